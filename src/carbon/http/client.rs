//! Asks one thing of one HTTP service, within a time, and says what came of it. It follows no redirect, keeps no connection,
//! and shows nothing of a key, a header or an answer. A proxy only carries what is encrypted for the service.

use super::proxy::Proxies;
use crate::carbon::http::request::{HttpMethod, HttpRequest, Secret};
use crate::os::memory;
use rustls::CertificateError;
use rustls::crypto::ring;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderValue, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy, ProxyProtocol, http};

/// How we name ourselves to a service.
const USER_AGENT: &str = concat!("carbontracker/", env!("CARGO_PKG_VERSION"));
/// Where a cloud tells a machine about itself: an address that never leaves the machine's own link, and no https there.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// What a request may take at most.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// From looking the name up to the last byte.
    pub whole: Duration,
    /// Bytes of the answer; the largest known, two days of five minutes, has a quarter of a million.
    pub body: u64,
    /// Bytes of its status line and headers.
    pub headers: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits { whole: Duration::from_secs(10), body: 4 << 20, headers: 8 << 10 }
    }
}

/// Why there is no answer. Its words say what to do, after the name of the service and a colon.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpFailure {
    /// It answered, but not with 200.
    Status {
        /// Which status.
        code: u16,
        /// It wants to be left alone for so long, s.
        retry_after_s: Option<f64>,
    },
    /// Nothing, or not all, within the time.
    TimedOut,
    /// No connection; why.
    Unreachable(&'static str),
    /// Its name is not known here.
    Dns,
    /// Its certificate is not trusted; why.
    Certificate(&'static str),
    /// There are no certificates on this machine to trust any other by.
    NoCertificates,
    /// The two sides could not agree on TLS.
    Tls,
    /// The answer has more bytes than any known.
    TooLong,
    /// The connection ended before the answer did.
    CutOff,
    /// The answer does not say rightly how long it is.
    WrongLength,
    /// The answer is compressed, which was not asked for.
    Encoded,
    /// The answer is no HTTP.
    NotHttp,
    /// The proxy of the environment stands in the way.
    Proxy {
        /// Which variable names it.
        variable: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It would have been a key over a connection that others can read: nothing was sent.
    Plain,
    /// No such address can be asked: nothing was sent.
    Address,
    /// What was given as a key is none: nothing was sent.
    Key,
    /// This process has too little memory left to ask.
    Memory,
    /// A fault of ours, contained.
    Fault,
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HttpFailure::Status { code, .. } => return write!(f, "status {code}, {}", status_in_words(*code)),
            HttpFailure::TimedOut => {
                "no whole answer in time: it is slow, or this node has no way to it; see whether the node reaches the internet, perhaps by a proxy (https_proxy), or set intensity_url= to a mirror that it does reach"
            }
            HttpFailure::Unreachable(why) => return write!(f, "no connection ({why}): see whether this node reaches it, perhaps by a proxy (https_proxy), or set intensity_url= to a mirror that it does reach"),
            HttpFailure::Dns => {
                "its name is not found: this node may have no name server or no way to the internet; set https_proxy to a proxy, or intensity_url= to a mirror, that it reaches"
            }
            HttpFailure::Certificate(why) => return write!(f, "its certificate {why}, so nothing was asked"),
            HttpFailure::NoCertificates => {
                "this machine has no certificates to know it by: install ca-certificates, or name a file of them in SSL_CERT_FILE"
            }
            HttpFailure::Tls => "no agreement on an encrypted connection: something in between may break into it, or it is no https server",
            HttpFailure::TooLong => "an answer far longer than any known: not read; see intensity_url=",
            HttpFailure::CutOff => "the connection ended before the answer did",
            HttpFailure::WrongLength => "an answer that misstates its own length",
            HttpFailure::Encoded => "a compressed answer, which was not asked for: a proxy in between may do that",
            HttpFailure::NotHttp => "the answer is no HTTP: see intensity_url=",
            HttpFailure::Proxy { variable, why } => return write!(f, "the proxy that {variable} names {why}"),
            HttpFailure::Plain => "a key is sent over https only, or to this machine itself: nothing was sent; give intensity_url= as https://…",
            HttpFailure::Address => "no such address: give intensity_url= as https://HOST[:PORT][/PATH], without a name or password in it",
            HttpFailure::Key => "the key holds characters that no key has, such as a newline: nothing was sent; see api_key=",
            HttpFailure::Memory => "this program's memory is used up, so nothing was asked: it is tried again later",
            HttpFailure::Fault => "a fault of ours in asking, contained",
        })
    }
}

/// What a status means for a person; a service may know better.
fn status_in_words(code: u16) -> &'static str {
    match code {
        0..300 => "which is no answer to what was asked",
        300..=399 => {
            "which leads elsewhere and is not followed, so that a key stays where it was given for: see intensity_url="
        }
        401 => "the key is missing or wrong: see api_key=",
        403 => "the key does not cover this: see api_key= and location=",
        404 | 422 => "it does not know what was asked: see location= and intensity_url=",
        407 => {
            "a proxy in between wants to be asked: set https_proxy to it, or intensity_url= to a mirror that this node reaches"
        }
        429 => "asked too often, from this address or with this key: asked again when it allows",
        500.. => "it has trouble of its own: asked again later",
        _ => "it does not take what was asked",
    }
}

/// What a service answers to a request with status 200. `base` is its scheme and host, perhaps with the beginning of a path,
/// unless the request names its own. It returns, whatever happens, soon after the limit of time.
pub fn ask(base: &str, request: &HttpRequest, limits: &HttpLimits, proxies: &Proxies) -> Result<Vec<u8>, HttpFailure> {
    /// Bytes that certificates, connection and answer take.
    const ENOUGH: usize = 8 << 20;
    let work = AssertUnwindSafe(|| {
        memory::check(ENOUGH, "a request").map_err(|_| HttpFailure::Memory)?;
        let uri = address(request.base.unwrap_or(base), request)?;
        let by = proxy(&uri, proxies);
        let agent = agent(limits, uri.scheme_str() == Some("https"), by.map(dial).transpose()?)?;
        let answer = send(request.method, uri, &request.headers, agent)?;
        read(answer.map_err(|error| failure(error, by))?, limits).map_err(|error| failure(error, by))?
    });
    catch_unwind(work).unwrap_or(Err(HttpFailure::Fault))
}

/// The proxy to an address: only what is encrypted goes by one, and nothing that stays on this machine.
fn proxy<'a>(uri: &Uri, proxies: &'a Proxies) -> Option<Named<'a>> {
    let host = uri.host().filter(|host| uri.scheme_str() == Some("https") && !is_near(host))?;
    proxies.to(host)
}

/// A proxy's variable and address.
type Named<'a> = (&'static str, &'a Secret);

fn dial((variable, Secret(address)): Named) -> Result<Proxy, HttpFailure> {
    let refused = |why| HttpFailure::Proxy { variable, why };
    let proxy = Proxy::new(address).map_err(|_| refused(NO_PROXY))?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(proxy),
        _ => Err(refused("is of a kind that is not spoken here: http:// and https:// are")),
    }
}

const NO_PROXY: &str = "is no address: give it as http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT";

/// The whole address, if it may be asked.
fn address(base: &str, request: &HttpRequest) -> Result<Uri, HttpFailure> {
    let uri: Uri =
        format!("{}{}", base.trim_end_matches('/'), request.path).parse().map_err(|_| HttpFailure::Address)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(HttpFailure::Address)?;
    // A name and password in it would be a key, sent by a header that nobody looks after.
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

/// Whether what is sent there in the clear stays where only this machine can read it.
fn is_near(host: &str) -> bool {
    let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || number.is_ok_and(|number| number.is_loopback() || number == METADATA)
}

/// What asks: new each time, so nothing is left open between two rounds, and nothing remembered that a fork could copy.
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

/// Those this machine trusts. Some that cannot be read are no reason to do without the others.
fn certificates() -> Result<RootCerts, HttpFailure> {
    let found = rustls_native_certs::load_native_certs().certs;
    let certs: Vec<_> = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    if certs.is_empty() { Err(HttpFailure::NoCertificates) } else { Ok(RootCerts::Specific(Arc::new(certs))) }
}

/// The answer, or why there is none; Err: nothing was sent.
fn send(
    method: HttpMethod,
    uri: Uri,
    headers: &[(&str, Secret)],
    agent: Agent,
) -> Result<Result<http::Response<Body>, ureq::Error>, HttpFailure> {
    let mut request = http::Request::builder().uri(uri);
    for (name, Secret(value)) in headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| HttpFailure::Key)?;
        value.set_sensitive(true);
        request = request.header(*name, value);
    }
    let made = |_: http::Error| HttpFailure::Key;
    Ok(match method {
        HttpMethod::Get => agent.run(request.method("GET").body(()).map_err(made)?),
        HttpMethod::Put => agent.run(request.method("PUT").body("").map_err(made)?),
    })
}

/// The body of an answer, if it is what was asked for; Err: it is not all there.
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

/// For how long to leave it alone: a number of seconds, or a date.
fn retry_after_s(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds as f64);
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64())
}

/// What an error says, without its text, which may hold some of what was sent or received.
fn failure(error: ureq::Error, by: Option<Named>) -> HttpFailure {
    let failure = direct_failure(error);
    let Some((variable, _)) = by else { return failure };
    // Of the service itself only the proxy knows where it is, and whether it answers.
    let why = match failure {
        HttpFailure::Dns => "is not found: its name is unknown here",
        HttpFailure::Unreachable(_) => "cannot be reached",
        HttpFailure::TimedOut => LATE,
        HttpFailure::CutOff => CUT_OFF,
        HttpFailure::Tls => "breaks the encrypted connection, or is no proxy",
        HttpFailure::NotHttp => "does not answer as a proxy does",
        HttpFailure::Proxy { why, .. } => why,
        failure => return failure,
    };
    HttpFailure::Proxy { variable, why }
}

/// What the service behind a proxy may have to do with.
pub(crate) const LATE: &str = "gives no whole answer of the service in time";
pub(crate) const CUT_OFF: &str = "ends the connection before the service's answer does";

fn direct_failure(error: ureq::Error) -> HttpFailure {
    match error {
        ureq::Error::ConnectProxyFailed(text) => HttpFailure::Proxy { variable: "", why: refusal_of_a_proxy(&text) },
        ureq::Error::Timeout(_) => HttpFailure::TimedOut,
        ureq::Error::HostNotFound => HttpFailure::Dns,
        ureq::Error::Io(error) => io_failure(&error),
        ureq::Error::Rustls(error) => tls_failure(&error),
        ureq::Error::Tls(_) | ureq::Error::TlsRequired => HttpFailure::Tls,
        ureq::Error::LargeResponseHeader(..) | ureq::Error::BodyExceedsLimit(_) => HttpFailure::TooLong,
        ureq::Error::BadUri(_) => HttpFailure::Address,
        ureq::Error::BodyStalled => HttpFailure::CutOff,
        ureq::Error::Protocol(error) => protocol_failure(&error.to_string()),
        ureq::Error::Http(_) => HttpFailure::NotHttp,
        _ => HttpFailure::Fault,
    }
}

/// The status is in the text only; a test holds that to what it is.
fn refusal_of_a_proxy(text: &str) -> &'static str {
    if text.contains("407") {
        "wants another name and password: give it as http://USER:PASSWORD@HOST:PORT"
    } else {
        "does not let this node through to the service"
    }
}

/// The kinds of that error have no names outside of ureq; tests hold these texts to what they are.
fn protocol_failure(text: &str) -> HttpFailure {
    match text {
        _ if text.contains("content-length") => HttpFailure::WrongLength,
        _ if text.contains("too many headers") => HttpFailure::TooLong,
        _ => HttpFailure::NotHttp,
    }
}

fn io_failure(error: &io::Error) -> HttpFailure {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return tls_failure(error);
    }
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => HttpFailure::TimedOut,
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => HttpFailure::CutOff,
        ErrorKind::ConnectionRefused => HttpFailure::Unreachable("refused"),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
            HttpFailure::Unreachable("no way there")
        }
        // std has no kind for it.
        _ if error.to_string().starts_with("failed to lookup address") => HttpFailure::Dns,
        _ => HttpFailure::Unreachable("refused by the operating system"),
    }
}

fn tls_failure(error: &rustls::Error) -> HttpFailure {
    let rustls::Error::InvalidCertificate(certificate) = error else { return HttpFailure::Tls };
    HttpFailure::Certificate(match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired, or this machine's clock is wrong"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet, or this machine's clock is wrong"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "is another host's",
        CertificateError::UnknownIssuer => {
            "is by nobody this machine trusts (install ca-certificates, or name the issuer's in SSL_CERT_FILE)"
        }
        _ => "is not valid",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, key: Option<&str>) -> HttpRequest {
        let headers = key.map(|key| ("auth-token", Secret(key.into()))).into_iter().collect();
        HttpRequest { path: path.into(), headers, ..HttpRequest::default() }
    }

    fn refused(base: &str, key: Option<&str>) -> Option<HttpFailure> {
        address(base, &request("/a?b=c", key)).err()
    }

    #[test]
    fn a_key_goes_nowhere_in_the_clear_but_to_this_machine() {
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
    fn what_is_no_address_is_refused() {
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
