//! A collector of OpenTelemetry: its address and headers, from the command line and the standard variables. Pure.
//!
//! A header may hold a token, so no message has its value.

use carbontracker::carbon::http::request::Secret;
use std::borrow::Cow;
use std::ffi::OsString;

/// The variables for the address: of metrics as it is, and of all signals.
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The path that is added to the address of all signals.
const METRICS_PATH: &str = "/v1/metrics";
/// The variables for headers. The first one counts.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];

/// Where metrics are sent, and with which headers.
#[derive(Debug)]
pub struct Collector {
    pub url: String,
    #[cfg_attr(not(feature = "live"), allow(dead_code))]
    pub headers: Vec<(Cow<'static, str>, Secret)>,
}

impl Collector {
    /// The collector at an address; empty: at that of the variables. A header of the command line replaces one of the
    /// variables.
    pub fn of(url: &str, headers: &[String], variable: impl Fn(&str) -> Option<OsString>) -> Result<Collector, String> {
        let set = |name: &str| variable(name)?.into_string().ok().filter(|value| !value.trim().is_empty());
        let named = Some(url.to_owned()).filter(|url| !url.is_empty()).or_else(|| set(METRICS_ENDPOINT));
        let base = || set(ENDPOINT).map(|base| format!("{}{METRICS_PATH}", base.trim().trim_end_matches('/')));
        let url = named.or_else(base).ok_or_else(|| {
            format!("--send has no address; nothing was sent; give --send URL, or set {METRICS_ENDPOINT} or {ENDPOINT}")
        })?;
        let given = headers.iter().map(|text| header(text.split_once(':'), "--header"));
        let mut all: Vec<(Cow<'static, str>, Secret)> = given.collect::<Result<_, _>>()?;
        if let Some((name, list)) = HEADERS.iter().find_map(|name| Some((name, set(name)?))) {
            for pair in list.split(',').filter(|pair| !pair.trim().is_empty()) {
                let (key, value) = header(pair.split_once('='), name)?;
                let value = unescaped(&value.0).ok_or_else(|| unfit(name))?;
                if all.iter().all(|(known, _)| !known.eq_ignore_ascii_case(&key)) {
                    all.push((key, Secret(value)));
                }
            }
        }
        Ok(Collector { url: url.trim().to_owned(), headers: all })
    }

    /// The address for a message: without a password or a query, which may be a key.
    pub fn shown(&self) -> String {
        let address = self.url.split(['?', '#']).next().unwrap_or_default();
        match address.split_once("://") {
            Some((scheme, rest)) => {
                let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
                let host = host.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{host}{path}")
            }
            // Not an address. A header may have been written here by mistake.
            None => "--send".into(),
        }
    }
}

/// The name and value of a header. `from`: where it is from, for a message.
fn header(parts: Option<(&str, &str)>, from: &str) -> Result<(Cow<'static, str>, Secret), String> {
    let (name, value) = parts.map(|(name, value)| (name.trim(), value.trim())).ok_or_else(|| unfit(from))?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let fits = !name.is_empty() && name.chars().all(is_token) && !value.contains(char::is_control);
    if fits { Ok((name.to_owned().into(), Secret(value.to_owned()))) } else { Err(unfit(from)) }
}

fn unfit(from: &str) -> String {
    let form =
        if from == "--header" { "'NAME: VALUE'" } else { "NAME=VALUE,NAME=VALUE, with %XX for special characters" };
    format!("{from} has a header that is not valid; nothing was sent; write it as {form}")
}

/// A value in which %XX stands for a byte. None: a number is missing, or it is no text of one line.
fn unescaped(value: &str) -> Option<String> {
    let mut parts = value.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (number, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(number, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, headers: &[&str], variables: &[(&str, &str)]) -> Result<Collector, String> {
        let headers: Vec<String> = headers.iter().map(|text| (*text).to_owned()).collect();
        let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        Collector::of(url, &headers, value)
    }

    fn shown(collector: &Collector) -> Vec<String> {
        collector.headers.iter().map(|(name, Secret(value))| format!("{name}: {value}")).collect()
    }

    #[test]
    fn address_is_that_of_the_user_or_of_the_variables() {
        let url = |url, variables: &[(&str, &str)]| of(url, &[], variables).map(|collector| collector.url);
        let base = (ENDPOINT, "http://h:4318/");
        assert_eq!(url("http://a/x", &[base]).unwrap(), "http://a/x");
        assert_eq!(url("", &[base]).unwrap(), "http://h:4318/v1/metrics");
        assert_eq!(url("", &[base, (METRICS_ENDPOINT, "http://m/own")]).unwrap(), "http://m/own");
        assert!(url("", &[(ENDPOINT, " ")]).unwrap_err().contains("--send has no address"));
    }

    #[test]
    fn headers_come_from_both_and_the_command_line_counts_first() {
        let variables = [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20old, x-a=1%2C2 ,")];
        let both = of("http://a", &["Authorization: Bearer a:b"], &variables).unwrap();
        assert_eq!(shown(&both), ["Authorization: Bearer a:b", "x-a: 1,2"]);
        assert_eq!(shown(&of("http://a", &[], &variables).unwrap()), ["authorization: Bearer old", "x-a: 1,2"]);
        let own = ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "k=v");
        assert_eq!(shown(&of("http://a", &[], &[variables[0], own]).unwrap()), ["k: v"]);
    }

    #[test]
    fn no_message_has_a_token() {
        for wrong in ["secret", "a b: secret", ": secret", "a: secret\nb: secret"] {
            let why = of("http://a", &[wrong], &[]).unwrap_err();
            assert!(why.contains("--header") && !why.contains("secret"), "{why}");
        }
        for wrong in ["secret", "a=secret%0", "a=secret%zz", "a=secret%0a"] {
            let why = of("http://a", &[], &[("OTEL_EXPORTER_OTLP_HEADERS", wrong)]).unwrap_err();
            assert!(why.contains("OTEL_EXPORTER_OTLP_HEADERS") && !why.contains("secret"), "{why}");
        }
        let collector = of("https://u:secret@h:1/p?key=secret#secret", &["a: secret"], &[]).unwrap();
        assert_eq!(collector.shown(), "https://h:1/p");
        assert!(!format!("{:?}", collector.headers).contains("secret"));
        assert_eq!(of("Bearer secret", &[], &[]).unwrap().shown(), "--send");
    }
}
