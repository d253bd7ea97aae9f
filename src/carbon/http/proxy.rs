//! The proxy that the environment names. On many clusters a compute node reaches the internet only through a proxy.

use crate::carbon::http::request::Secret;
use std::net::IpAddr;

/// The variables that name a proxy. The first that is set is used.
const NAMED_BY: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// The variables that list hosts without a proxy.
const EXEMPT_IN: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy settings of the environment. The address may hold a password and is never shown.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    named: Option<(&'static str, Secret)>,
    exempt: String,
}

impl Proxies {
    /// The settings. `variable` looks up an environment variable.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let set = |name: &'static str| Some((name, variable(name).filter(|value| !value.trim().is_empty())?));
        let named = NAMED_BY.into_iter().find_map(set).map(|(name, value)| (name, Secret(value.trim().to_owned())));
        let exempt = EXEMPT_IN.into_iter().find_map(set).map(|(_, value)| value);
        Proxies { named, exempt: exempt.unwrap_or_default() }
    }

    /// The variable that names the proxy. Empty: none does.
    pub fn name(&self) -> &'static str {
        self.named.as_ref().map_or("", |(name, _)| name)
    }

    /// The proxy for a host: the variable that names it, and its address.
    pub fn to(&self, host: &str) -> Option<(&'static str, &Secret)> {
        let (name, address) = self.named.as_ref()?;
        (!is_listed(host, &self.exempt)).then_some((name, address))
    }
}

/// True if `no_proxy` lists a host: by name, by the end of its name, by address or network, or by `*`.
fn is_listed(host: &str, list: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase();
    let number = host.parse::<IpAddr>();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        let name = entry.strip_prefix('*').unwrap_or(&entry).trim_start_matches('.');
        match number {
            _ if entry == "*" => true,
            Ok(number) => is_in(number, entry.trim_start_matches('[').trim_end_matches(']')),
            Err(_) => host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        }
    })
}

/// True if an address equals another, or is in a network such as 10.0.0.0/8.
fn is_in(number: IpAddr, net: &str) -> bool {
    let Some((first, bits)) = net.split_once('/') else { return net.parse() == Ok(number) };
    let Ok(bits) = bits.parse::<u32>() else { return false };
    let differs =
        |by: u128, width: u32| width.checked_sub(bits).is_none_or(|rest| by.checked_shr(rest).unwrap_or(0) != 0);
    match (first.parse(), number) {
        (Ok(IpAddr::V4(first)), IpAddr::V4(number)) => !differs((first.to_bits() ^ number.to_bits()).into(), 32),
        (Ok(IpAddr::V6(first)), IpAddr::V6(number)) => !differs(first.to_bits() ^ number.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(set: &[(&str, &str)]) -> Proxies {
        Proxies::of(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn proxy_comes_from_the_first_variable_and_is_hidden() {
        let both = proxies(&[("ALL_PROXY", "b:1"), ("HTTPS_PROXY", "http://me:word@a:1"), ("https_proxy", " ")]);
        let (name, Secret(address)) = both.to("example.org").unwrap();
        assert_eq!((name, address.as_str()), ("HTTPS_PROXY", "http://me:word@a:1"));
        assert!(!format!("{both:?}").contains("word"));
        assert_eq!(proxies(&[("ALL_PROXY", "b:1")]).to("example.org").unwrap().0, "ALL_PROXY");
        // `HTTP_PROXY` is for http. A client may set it in a CGI program by the header "Proxy".
        assert!(proxies(&[("HTTP_PROXY", "a:1"), ("http_proxy", "a:1")]).to("example.org").is_none());
    }

    #[test]
    fn no_proxy_lists_names_domains_addresses_and_networks() {
        let listed = |host: &str, list: &str| proxies(&[("https_proxy", "a:1"), ("no_proxy", list)]).to(host).is_none();
        let list = "localhost, .example.org,*.test,Site.Example, 10.0.0.0/8,192.168.1.7,fd00::/8";
        for host in [
            "example.org",
            "api.example.org",
            "a.test",
            "site.example",
            "x.SITE.example.",
            "10.1.2.3",
            "192.168.1.7",
            "[fd00::1]",
        ] {
            assert!(listed(host, list), "{host}");
        }
        for host in ["example.com", "badexample.org", "example.org.evil", "11.1.2.3", "192.168.1.70", "[fe80::1]"] {
            assert!(!listed(host, list), "{host}");
        }
        assert!(listed("anything", "x, *") && listed("1.2.3.4", "*") && listed("1.2.3.4", "0.0.0.0/0"));
        for nothing in ["", " , ", "10.0.0.0/33", "10.0.0.0/x", "/8", "/"] {
            assert!(!listed("10.1.2.3", nothing), "{nothing}");
        }
    }
}
