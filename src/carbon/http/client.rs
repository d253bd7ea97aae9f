//! Sends one HTTP request and reads its answer, within a time. It follows no redirect and keeps no connection. It shows
//! no key, no header and no text of an answer. A proxy only carries encrypted connections.

use super::failure::{HttpFailure, NamedProxy};
use super::proxy::Proxies;
use crate::carbon::http::request::{HttpMethod, HttpRequest, Secret};
use crate::os::world::{self, WebReply};
use crate::os::{self, memory};
use rustls::crypto::ring;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{HeaderValue, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy, ProxyProtocol, http};

/// The User-Agent header of each request.
const USER_AGENT: &str = concat!("carbontracker/", env!("CARGO_PKG_VERSION"));
/// Address of a cloud's metadata service. It is link-local and never leaves the host, and it has no https.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Time from the look-up of the name to the last byte.
    pub whole: Duration,
    /// Size of the answer's body, bytes. The largest known, two days of five minutes, has a quarter of a million.
    pub body: u64,
    /// Size of the status line and headers, bytes.
    pub headers: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits { whole: Duration::from_secs(10), body: 4 << 20, headers: 8 << 10 }
    }
}

/// The body of an answer with status 200. `base` is scheme and host, and may have the beginning of a path; a request
/// may name its own base. The call returns soon after the limit of time in any case.
pub fn ask(base: &str, request: &HttpRequest, limits: &HttpLimits, proxies: &Proxies) -> Result<Vec<u8>, HttpFailure> {
    /// Memory that certificates, connection and answer need, bytes.
    const NEEDED_BYTES: usize = 8 << 20;
    let work = AssertUnwindSafe(|| {
        memory::check(NEEDED_BYTES, "a request").map_err(|_| HttpFailure::Memory)?;
        let uri = address(request.base.unwrap_or(base), request)?;
        let by = proxy(&uri, proxies);
        let answer = match world::ask(|world| world.fetch(&uri.to_string(), limits.whole)) {
            Some(reply) => simulated(reply),
            None => {
                let agent = agent(limits, uri.scheme_str() == Some("https"), by.map(dial).transpose()?)?;
                send(request, uri, agent)?
            }
        };
        read(answer.map_err(|error| HttpFailure::new(error, by))?, limits)
            .map_err(|error| HttpFailure::new(error, by))?
    });
    catch_unwind(work).unwrap_or(Err(HttpFailure::Fault))
}

/// The answer in a simulated world, in the form of a real one.
fn simulated(reply: io::Result<WebReply>) -> Result<http::Response<Body>, ureq::Error> {
    let WebReply { status, retry_after, body } = reply.map_err(ureq::Error::Io)?;
    let answer = http::Response::builder().status(status);
    let answer = retry_after.into_iter().fold(answer, |answer, delay| answer.header("retry-after", delay));
    Ok(answer.body(Body::builder().data(body))?)
}

/// The proxy for an address. Only encrypted connections use one, and none to this machine.
fn proxy<'a>(uri: &Uri, proxies: &'a Proxies) -> Option<NamedProxy<'a>> {
    let host = uri.host().filter(|host| uri.scheme_str() == Some("https") && !is_near(host))?;
    proxies.to(host)
}

fn dial((variable, Secret(address)): NamedProxy) -> Result<Proxy, HttpFailure> {
    let refused = |why| HttpFailure::Proxy { variable, why };
    let proxy = Proxy::new(address).map_err(|_| refused(BAD_PROXY))?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(proxy),
        _ => Err(refused("is of a kind that is not supported: set it as http://… or https://…")),
    }
}

const BAD_PROXY: &str = "is not an address: set it as http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT";

/// The full address. Errors: it is not valid, or it would send a key without encryption.
fn address(base: &str, request: &HttpRequest) -> Result<Uri, HttpFailure> {
    let uri: Uri =
        format!("{}{}", base.trim_end_matches('/'), request.path).parse().map_err(|_| HttpFailure::Address)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(HttpFailure::Address)?;
    // A name and password in the address would be sent in a header that nothing here protects.
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
        return Err(HttpFailure::Address);
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if request.headers.is_empty() || is_near(host) => Ok(uri),
        Some("http") => Err(HttpFailure::Plain),
        _ => Err(HttpFailure::Address),
    }
}

/// True if only this machine can read what is sent to this host without encryption.
fn is_near(host: &str) -> bool {
    let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || number.is_ok_and(|number| number.is_loopback() || number == METADATA)
}

/// A new agent for each request. No connection stays open between rounds, and a fork copies none.
fn agent(limits: &HttpLimits, is_https: bool, proxy: Option<Proxy>) -> Result<Agent, HttpFailure> {
    let mut config = Agent::config_builder()
        .timeout_global(Some(limits.whole))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(limits.headers)
        .max_idle_connections(0)
        .proxy(proxy)
        .user_agent(USER_AGENT)
        .accept("application/json")
        .accept_encoding("identity");
    if is_https {
        let provider = Arc::new(ring::default_provider());
        let tls = TlsConfig::builder().root_certs(certificates()?).unversioned_rustls_crypto_provider(provider);
        config = config.tls_config(tls.build());
    }
    Ok(config.build().new_agent())
}

/// The certificates that this machine trusts. Unreadable ones are left out.
fn certificates() -> Result<RootCerts, HttpFailure> {
    let found = rustls_native_certs::load_native_certs().certs;
    let certs: Vec<_> = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    if certs.is_empty() { Err(HttpFailure::NoCertificates) } else { Ok(RootCerts::Specific(Arc::new(certs))) }
}

/// Sends the request. The inner result is the answer. Errors: nothing was sent.
fn send(asked: &HttpRequest, uri: Uri, agent: Agent) -> Result<Result<http::Response<Body>, ureq::Error>, HttpFailure> {
    let mut request = http::Request::builder().uri(uri);
    for (name, Secret(value)) in &asked.headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| HttpFailure::Key)?;
        value.set_sensitive(true);
        request = request.header(name.as_ref(), value);
    }
    let made = |_: http::Error| HttpFailure::Key;
    Ok(match asked.method {
        HttpMethod::Get => agent.run(request.method("GET").body(()).map_err(made)?),
        HttpMethod::Put => agent.run(request.method("PUT").body("").map_err(made)?),
        HttpMethod::Post => {
            let request = request.method("POST").header(header::CONTENT_TYPE, "application/json");
            agent.run(request.body(asked.body.as_str()).map_err(made)?)
        }
    })
}

/// Reads the body of an answer. The inner error is a wrong answer, the outer one an incomplete answer.
fn read(mut answer: http::Response<Body>, limits: &HttpLimits) -> Result<Result<Vec<u8>, HttpFailure>, ureq::Error> {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let code = answer.status().as_u16();
    if code != 200 {
        return Ok(Err(HttpFailure::Status { code, retry_after_s: header("retry-after").and_then(retry_after_s) }));
    }
    if header("content-encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Ok(Err(HttpFailure::Encoded));
    }
    let mut body = Vec::new();
    let mut rest = answer.body_mut().as_reader().take(limits.body + 1);
    rest.read_to_end(&mut body)?;
    if body.len() as u64 > limits.body {
        return Ok(Err(HttpFailure::TooLong));
    }
    const GZIP: &[u8] = &[0x1f, 0x8b]; // RFC 1952, 2.3.1
    Ok(if body.starts_with(GZIP) { Err(HttpFailure::Encoded) } else { Ok(body) })
}

/// Parses `Retry-After`, a number of seconds or a date. The result is in s.
fn retry_after_s(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds as f64);
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(os::date()).unwrap_or_default().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn request(path: &str, key: Option<&str>) -> HttpRequest {
        let headers = key.map(|key| ("auth-token".into(), Secret(key.into()))).into_iter().collect();
        HttpRequest { path: path.into(), headers, ..HttpRequest::default() }
    }

    fn refused(base: &str, key: Option<&str>) -> Option<HttpFailure> {
        address(base, &request("/a?b=c", key)).err()
    }

    #[test]
    fn key_is_sent_in_clear_text_to_this_machine_only() {
        for near in [
            "http://127.0.0.1:8080",
            "http://127.8.9.10",
            "http://[::1]:1",
            "http://LocalHost",
            "http://169.254.169.254",
        ] {
            assert_eq!(refused(near, Some("k")), None, "{near}");
        }
        for far in [
            "http://example.org",
            "http://10.0.0.1",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://[2001:db8::1]",
            "http://0x7f000001",
        ] {
            assert_eq!(refused(far, Some("k")), Some(HttpFailure::Plain), "{far}");
            assert_eq!(refused(far, None), None, "{far}");
        }
        assert_eq!(refused("https://example.org/mirror/", Some("k")), None);
    }

    #[test]
    fn invalid_addresses_are_refused() {
        for base in [
            "",
            "example.org",
            "ftp://example.org",
            "http://",
            "https://a b",
            "https://me:word@example.org",
            "file:///etc",
        ] {
            assert_eq!(refused(base, None), Some(HttpFailure::Address), "{base}");
        }
        let whole = address("https://example.org/mirror/", &request("/v3?x=1", None)).unwrap();
        assert_eq!(whole.to_string(), "https://example.org/mirror/v3?x=1");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after_s("120"), Some(120.0));
        assert_eq!(retry_after_s("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0.0));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(600));
        assert!(retry_after_s(&soon).is_some_and(|s| (500.0..=600.0).contains(&s)));
        for nonsense in ["", "-1", "soon", "1e9", "99999999999999999999999"] {
            assert_eq!(retry_after_s(nonsense), None, "{nonsense}");
        }
    }
}
