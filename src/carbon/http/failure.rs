//! Why a request got no answer, with a fix for the user. No text of the answer is shown: it may hold a key.

use crate::carbon::http::request::Secret;
use rustls::CertificateError;
use std::fmt;
use std::io::{self, ErrorKind};

/// Why there is no answer. The message names a fix. It follows the provider's name and a colon.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpFailure {
    /// A status other than 200.
    Status {
        /// The status.
        code: u16,
        /// The delay that the server asks for in `Retry-After`, s.
        retry_after_s: Option<f64>,
    },
    /// No complete answer within the limit of time.
    TimedOut,
    /// No connection; the cause.
    Unreachable(&'static str),
    /// No address is known for the host's name.
    Dns,
    /// The server's certificate is not trusted; the cause.
    Certificate(&'static str),
    /// This machine has no certificates of authorities.
    NoCertificates,
    /// The TLS handshake failed.
    Tls,
    /// The answer is larger than the limit.
    TooLong,
    /// The connection ended before the answer did.
    CutOff,
    /// `Content-Length` is not a valid length.
    WrongLength,
    /// The answer is compressed, although the request forbids it.
    Encoded,
    /// The answer is not HTTP.
    NotHttp,
    /// The proxy of the environment failed.
    Proxy {
        /// The environment variable that names the proxy.
        variable: &'static str,
        /// The cause.
        why: &'static str,
    },
    /// A key would go over a connection without encryption. Nothing was sent.
    Plain,
    /// The address is not valid. Nothing was sent.
    Address,
    /// The key is not valid in a header. Nothing was sent.
    Key,
    /// This process has too little memory for a request. Nothing was sent.
    Memory,
    /// A panic in the request, contained.
    Fault,
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HttpFailure::Status { code, .. } => return write!(f, "HTTP {code}: {}", status_in_words(*code)),
            HttpFailure::TimedOut => {
                "no complete answer in time: the service is slow, or this node cannot reach it; set https_proxy to a proxy, or \
                 intensity_url= to a mirror, that the node reaches"
            }
            HttpFailure::Unreachable(why) => {
                return write!(
                    f,
                    "no connection ({why}): this node cannot reach the service; set https_proxy to a proxy, or \
                     intensity_url= to a mirror, that the node reaches"
                );
            }
            HttpFailure::Dns => {
                "its name is not found: this node has no name server, or cannot reach the internet; set https_proxy to a proxy, \
                 or intensity_url= to a mirror, that the node reaches"
            }
            HttpFailure::Certificate(why) => return write!(f, "its certificate {why}; nothing was sent"),
            HttpFailure::NoCertificates => {
                "this machine has no certificates of authorities: no https server can be verified; install ca-certificates, or \
                 name a file of certificates in SSL_CERT_FILE"
            }
            HttpFailure::Tls => {
                "the TLS handshake failed: a proxy may break the encryption, or the server does not use https; check \
                 intensity_url="
            }
            HttpFailure::TooLong => "the answer is too long and was not read; check intensity_url=",
            HttpFailure::CutOff => "the connection ended before the answer did; it is retried",
            HttpFailure::WrongLength => "the answer has a wrong Content-Length; check intensity_url=",
            HttpFailure::Encoded => {
                "the answer is compressed, although the request forbids it: a proxy may do that; check intensity_url="
            }
            HttpFailure::NotHttp => "the answer is not HTTP; check intensity_url=",
            HttpFailure::Proxy { variable, why } => return write!(f, "the proxy in {variable} {why}"),
            HttpFailure::Plain => {
                "a key is sent over https only, or to this machine: nothing was sent; set intensity_url=https://…"
            }
            HttpFailure::Address => {
                "the address is not valid: nothing was sent; set intensity_url=https://HOST[:PORT][/PATH], without a name or \
                 password"
            }
            HttpFailure::Key => {
                "the key holds characters that no key has, such as a newline: nothing was sent; check api_key="
            }
            HttpFailure::Memory => "this process has too little free memory: nothing was sent; it is retried later",
            HttpFailure::Fault => "internal error in the request; it is retried; please report this bug",
        })
    }
}

/// The meaning of a status, and the fix. A provider may know a better one.
fn status_in_words(code: u16) -> &'static str {
    match code {
        0..300 => "the answer is not the one expected; check intensity_url=",
        300..=399 => "redirects are not followed, to protect your API key; check intensity_url=",
        401 => "the key is missing or wrong; check api_key=",
        403 => "the key does not cover this zone; check api_key= and location=",
        404 | 422 => "the service does not know this zone; check location= and intensity_url=",
        407 => "a proxy needs a login; set https_proxy=http://USER:PASSWORD@HOST:PORT, or intensity_url= to a mirror",
        429 => "rate limit exceeded; will retry after the server's delay",
        500.. => "the service failed; will retry later",
        _ => "the service refuses the request; check intensity_url=",
    }
}

/// The name of the variable that names a proxy, and the proxy's address.
pub type NamedProxy<'a> = (&'static str, &'a Secret);

/// The service's answer is late. The proxy may work.
pub(crate) const PROXY_LATE: &str = "gives no complete answer of the service in time";
/// The service's answer is cut off. The proxy may work.
pub(crate) const PROXY_CUT_OFF: &str = "ends the connection before the service's answer does";

impl HttpFailure {
    /// The cause behind an error, without its text. `proxy` is the proxy in use, if there is one.
    pub fn new(error: ureq::Error, proxy: Option<NamedProxy>) -> HttpFailure {
        let failure = direct_failure(error);
        let Some((variable, _)) = proxy else { return failure };
        // Only the proxy resolves the service's name and connects to it, so these failures are the proxy's.
        let why = match failure {
            HttpFailure::Dns => "is not found: its name is unknown here",
            HttpFailure::Unreachable(_) => "cannot be reached",
            HttpFailure::TimedOut => PROXY_LATE,
            HttpFailure::CutOff => PROXY_CUT_OFF,
            HttpFailure::Tls => "breaks the encrypted connection, or is not a proxy",
            HttpFailure::NotHttp => "does not answer as a proxy does",
            HttpFailure::Proxy { why, .. } => why,
            failure => return failure,
        };
        HttpFailure::Proxy { variable, why }
    }
}

fn direct_failure(error: ureq::Error) -> HttpFailure {
    match error {
        ureq::Error::ConnectProxyFailed(text) => HttpFailure::Proxy { variable: "", why: proxy_refusal(&text) },
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

/// The proxy's refusal. ureq gives its status in the text only; a test checks that text.
fn proxy_refusal(text: &str) -> &'static str {
    if text.contains("407") {
        "wants another name and password: set it as http://USER:PASSWORD@HOST:PORT"
    } else {
        "does not let this node through to the service"
    }
}

/// The failure behind a protocol error. ureq does not export its kinds; tests check these texts.
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
            HttpFailure::Unreachable("no route")
        }
        // std has no ErrorKind for a failed look-up of a name.
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
            "is not from an authority that this machine trusts (install ca-certificates, or name the issuer's in SSL_CERT_FILE)"
        }
        _ => "is not valid",
    })
}
