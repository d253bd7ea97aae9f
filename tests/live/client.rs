//! The HTTP client: what it sends, its limits, and its failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::grid_server::{Behaviour, FAR, Proxy, Server, Shown, refused_url, write_authority};
use crate::poller::{follow, next};
use carbontracker::carbon::http::client::{self, HttpLimits};
use carbontracker::carbon::http::failure::HttpFailure;
use carbontracker::carbon::http::proxy::Proxies;
use carbontracker::carbon::http::request::{HttpMethod, HttpRequest, Secret};
use carbontracker::carbon::live::poller::PollUpdate;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub const KEY: &str = "a-very-secret-key";
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn request(path: &str) -> HttpRequest {
    HttpRequest {
        path: path.into(),
        headers: vec![("auth-token".into(), Secret(KEY.into()))],
        ..HttpRequest::default()
    }
}

pub fn limits(whole: Duration) -> HttpLimits {
    HttpLimits { whole, body: 100_000, ..HttpLimits::default() }
}

fn ask(base: &str, request: &HttpRequest, limits: &HttpLimits) -> Result<Vec<u8>, HttpFailure> {
    client::ask(base, request, limits, &Proxies::default())
}

fn get(base: &str) -> Result<Vec<u8>, HttpFailure> {
    ask(base, &request("/latest?zone=DK"), &limits(Duration::from_secs(10)))
}

fn answered(behaviour: Behaviour) -> Result<Vec<u8>, HttpFailure> {
    get(&Server::start(behaviour).url())
}

fn failed(behaviour: Behaviour) -> HttpFailure {
    answered(behaviour).expect_err("a failure")
}

#[test]
fn request_has_the_expected_headers() {
    let server = Server::start(Behaviour::text("{}"));
    assert_eq!(get(&server.url()).unwrap(), b"{}");
    let asked = &server.requests()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/latest?zone=DK"));
    assert_eq!(asked.header("user-agent"), Some(concat!("carbontracker/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert_eq!(asked.header("accept-encoding"), Some("identity"));
    assert_eq!(asked.header("auth-token"), Some(KEY));
    assert_eq!(asked.header("host"), Some(format!("127.0.0.1:{}", server.port()).as_str()));

    let put =
        ask(&server.url(), &HttpRequest { method: HttpMethod::Put, ..request("/token") }, &limits(PATIENCE)).unwrap();
    let asked = &server.requests()[1];
    assert_eq!(
        (put.as_slice(), asked.method.as_str(), asked.header("content-length")),
        (b"{}".as_slice(), "PUT", Some("0"))
    );
    let post = HttpRequest { method: HttpMethod::Post, body: "[1]".into(), ..request("/v1/metrics") };
    assert_eq!(ask(&server.url(), &post, &limits(PATIENCE)).unwrap(), b"{}");
    let asked = &server.requests()[2];
    let headers = ["content-type", "content-length"].map(|name| asked.header(name));
    assert_eq!((asked.method.as_str(), headers), ("POST", [Some("application/json"), Some("3")]));
}

#[test]
fn chunked_and_unbounded_answers_are_complete() {
    let body = b"[1, 2, 3, 4, 5, 6, 7, 8, 9]".to_vec();
    assert_eq!(answered(Behaviour::Chunked(body.clone())).unwrap(), body);
    let to_the_end = [b"HTTP/1.0 200 OK\r\n\r\n", body.as_slice()].concat();
    assert_eq!(answered(Behaviour::Raw(to_the_end)).unwrap(), body);
    let page = "<html>not what was asked</html>";
    assert_eq!(answered(Behaviour::text(page)).unwrap(), page.as_bytes(), "the provider checks the body");
}

#[test]
fn status_carries_retry_after() {
    for code in [201, 204, 301, 304, 307, 400, 401, 403, 404, 422, 429, 500, 503, 599] {
        assert_eq!(failed(Behaviour::status(code)), HttpFailure::Status { code, retry_after_s: None }, "{code}");
    }
    let retry = |value: &str| failed(Behaviour::with_header(429, &format!("Retry-After: {value}")));
    assert_eq!(retry("120"), HttpFailure::Status { code: 429, retry_after_s: Some(120.0) });
    assert_eq!(retry("Sun, 06 Nov 1994 08:49:37 GMT"), HttpFailure::Status { code: 429, retry_after_s: Some(0.0) });
    assert_eq!(retry("tomorrow"), HttpFailure::Status { code: 429, retry_after_s: None });
}

#[test]
fn slow_or_silent_server_times_out() {
    let slow = Behaviour::Slow(vec![b' '; 1000], Duration::from_millis(50));
    for behaviour in [slow, Behaviour::Silent, Behaviour::Deaf] {
        for server in [Server::start(behaviour.clone()), Server::start_tls(behaviour.clone(), Shown::Good)] {
            let base = server.url().replace("localhost", "127.0.0.1");
            let failure = ask(&base, &request("/"), &limits(Duration::from_millis(500))).unwrap_err();
            // If the server finishes the handshake, its certificate is not trusted here.
            let is_right =
                matches!(failure, HttpFailure::TimedOut | HttpFailure::Certificate(_) | HttpFailure::NoCertificates);
            assert!(is_right, "{behaviour:?}: {failure:?}");
            if base.starts_with("http:") {
                assert_eq!(failure, HttpFailure::TimedOut);
            }
        }
    }
}

#[test]
fn incomplete_answer_is_a_failure() {
    assert_eq!(failed(Behaviour::CutOff(b"{\"figure\": 1".to_vec())), HttpFailure::CutOff);
    assert_eq!(failed(Behaviour::Raw(Vec::new())), HttpFailure::CutOff);
    assert_eq!(failed(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())), HttpFailure::CutOff);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf".to_vec();
    assert_eq!(failed(Behaviour::Raw(chunked)), HttpFailure::CutOff);
    for length in ["-1", "12x", "1, 2", "99999999999999999999999999"] {
        let raw = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{{}}");
        assert_eq!(failed(Behaviour::Raw(raw.into_bytes())), HttpFailure::WrongLength, "{length}");
    }
}

#[test]
fn endless_answer_is_a_failure() {
    assert_eq!(failed(Behaviour::Endless), HttpFailure::TooLong);
    assert_eq!(failed(Behaviour::EndlessHeaders), HttpFailure::TooLong);
    assert_eq!(failed(Behaviour::EndlessLine), HttpFailure::TooLong);
    assert_eq!(failed(Behaviour::Answer(vec![b' '; 100_001])), HttpFailure::TooLong);
    assert_eq!(answered(Behaviour::Answer(vec![b' '; 100_000])).unwrap().len(), 100_000);
}

#[test]
fn compressed_and_other_answers_are_refused() {
    let gzip = b"\x1f\x8b\x08\x00".to_vec();
    assert_eq!(failed(Behaviour::Status(200, "Content-Encoding: gzip\r\n".into(), gzip.clone())), HttpFailure::Encoded);
    assert_eq!(failed(Behaviour::Answer(gzip)), HttpFailure::Encoded);
    assert_eq!(failed(Behaviour::with_header(200, "Content-Encoding: br")), HttpFailure::Encoded);
    assert!(answered(Behaviour::Status(200, "Content-Encoding: identity\r\n".into(), b"{}".to_vec())).is_ok());
    assert_eq!(failed(Behaviour::Raw(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec())), HttpFailure::NotHttp);
}

#[test]
fn redirect_is_not_followed() {
    let elsewhere = Server::start(Behaviour::text("{}"));
    for code in [301, 302, 303, 307, 308] {
        let behaviour = Behaviour::with_header(code, &format!("Location: {}/latest", elsewhere.url()));
        assert_eq!(failed(behaviour), HttpFailure::Status { code, retry_after_s: None });
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn unreachable_servers_have_different_failures() {
    assert_eq!(get(&refused_url()), Err(HttpFailure::Unreachable("refused")));
    let unknown = get("https://grid.invalid").unwrap_err();
    // Without certificates nothing is sent. A name server may also not answer.
    assert!(matches!(unknown, HttpFailure::Dns | HttpFailure::TimedOut | HttpFailure::NoCertificates), "{unknown:?}");
    let mut newline = request("/");
    newline.headers = vec![("auth-token".into(), Secret("two\nlines".into()))];
    assert_eq!(ask(&refused_url(), &newline, &HttpLimits::default()), Err(HttpFailure::Key));
    assert_eq!(get("http://grid.invalid"), Err(HttpFailure::Plain));
}

/// Runs in a process of its own, whose environment names the trusted certificates.
#[test]
fn certificates_come_from_the_machine() {
    let folder = Scratch::new("certificates");
    let file = folder.0.join("authority.pem");
    if std::env::var_os("CT_LIVE_TLS").is_none() {
        for (mode, trusted) in [("known", &file), ("none", &folder.0.join("missing.pem"))] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "client::certificates_come_from_the_machine", "--nocapture"]);
            command.env("CT_LIVE_TLS", mode).env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
            // Connections to this machine use no proxy.
            command.env("ALL_PROXY", refused_url()).env("HTTPS_PROXY", refused_url());
            let output = command.output().unwrap();
            assert!(output.status.success(), "{mode}: {}", String::from_utf8_lossy(&output.stderr));
        }
        return;
    }
    let good = Server::start_tls(Behaviour::text("{}"), Shown::Good);
    if std::env::var_os("CT_LIVE_TLS").is_some_and(|mode| mode == "none") {
        assert_eq!(get(&good.url()), Err(HttpFailure::NoCertificates));
        return;
    }
    // Each process makes its own authority, at the path in the variable.
    write_authority(&PathBuf::from(std::env::var_os("SSL_CERT_FILE").unwrap()));
    assert_eq!(get(&good.url()).unwrap(), b"{}");
    assert_eq!(good.requests()[0].header("auth-token"), Some(KEY));
    let (_fetcher, news) = follow(&good); // on a thread with the library's small stack
    assert!(matches!(next(&news), PollUpdate::Failed(words) if words == "testgrid: an answer without a figure"));
    let by_number = good.url().replace("localhost", "127.0.0.1");
    assert_eq!(get(&by_number), Err(HttpFailure::Certificate("is another host's")));
    for (shown, why) in [
        (Shown::SelfSigned, "an authority that this machine trusts"),
        (Shown::OtherName, "another host's"),
        (Shown::Expired, "expired"),
        (Shown::NotYet, "not valid yet"),
    ] {
        let bad = Server::start_tls(Behaviour::text("{}"), shown);
        let failure = get(&bad.url()).unwrap_err();
        assert!(matches!(failure, HttpFailure::Certificate(cause) if cause.contains(why)), "{shown:?}: {failure:?}");
        assert!(bad.requests().is_empty(), "{shown:?}: the key was sent");
    }
    let silent = Server::start_tls(Behaviour::Silent, Shown::Good);
    let deaf = Server::start_tls(Behaviour::Deaf, Shown::Good);
    for server in [silent, deaf] {
        let failure = ask(&server.url(), &request("/"), &limits(Duration::from_millis(500)));
        assert_eq!(failure, Err(HttpFailure::TimedOut));
    }
    let cut = Server::start_tls(Behaviour::CutOff(b"{".to_vec()), Shown::Good);
    assert_eq!(get(&cut.url()), Err(HttpFailure::CutOff));
    let plain = Server::start(Behaviour::text("{}"));
    assert_eq!(get(&plain.url().replace("http:", "https:")), Err(HttpFailure::Tls));
}

/// Runs in a process of its own, which trusts the authority.
#[test]
fn proxy_of_the_environment_is_used() {
    let Some(file) = std::env::var_os("CT_LIVE_PROXY") else {
        let folder = Scratch::new("proxy");
        let file = folder.0.join("authority.pem");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "client::proxy_of_the_environment_is_used", "--nocapture"]);
        let output = command.env("CT_LIVE_PROXY", &file).env("SSL_CERT_FILE", &file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    write_authority(&PathBuf::from(file));
    let proxies = |set: &[(&str, String)]| {
        Proxies::of(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
    };
    let far = format!("https://{FAR}");
    let brief = limits(Duration::from_millis(700));
    let by = |address: String| client::ask(&far, &request("/"), &brief, &proxies(&[("https_proxy", address)]));

    let service = Server::start_tls(Behaviour::text("{}"), Shown::Good);
    let proxy = Proxy::to(&service);
    let patient =
        |set: &[(&str, String)], base: &str| client::ask(base, &request("/"), &limits(PATIENCE), &proxies(set));
    let address = format!("http://me:pass%20word@127.0.0.1:{}", proxy.port());
    assert_eq!(patient(&[("HTTPS_PROXY", address.clone())], &far).unwrap(), b"{}");
    assert_eq!(patient(&[("ALL_PROXY", format!("127.0.0.1:{}", proxy.port()))], &far).unwrap(), b"{}");
    let asked = proxy.requests();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("CONNECT", format!("{FAR}:443").as_str()));
    assert_eq!(asked[0].header("proxy-authorization"), Some("Basic bWU6cGFzcyB3b3Jk"));
    assert!(asked.iter().all(|asked| asked.header("auth-token").is_none()), "the key is the service's");
    assert!(
        service
            .requests()
            .iter()
            .all(|asked| { asked.header("auth-token") == Some(KEY) && asked.header("proxy-authorization").is_none() })
    );
    // Local, unencrypted and exempt connections use no proxy.
    assert!(patient(&[("https_proxy", address.clone())], &service.url()).is_ok());
    let plain = Server::start(Behaviour::text("{}"));
    assert!(patient(&[("https_proxy", address.clone())], &plain.url()).is_ok());
    let exempt = patient(&[("https_proxy", address), ("no_proxy", "localhost, .invalid".into())], &far);
    assert!(matches!(exempt, Err(HttpFailure::Dns | HttpFailure::TimedOut)), "{exempt:?}");
    assert_eq!(proxy.requests().len(), 2);

    let unlike = Server::start_tls(Behaviour::text("{}"), Shown::OtherName);
    let led = by(format!("127.0.0.1:{}", Proxy::to(&unlike).port()));
    assert_eq!(led, Err(HttpFailure::Certificate("is another host's")), "a proxy is not trusted");

    let behaves = |behaviour: Behaviour| by(Server::start(behaviour).url().replace("//", "//me:pass-word@"));
    let unready = [
        (behaves(Behaviour::status(407)), "another name and password"),
        (behaves(Behaviour::status(403)), "does not let this node through"),
        (behaves(Behaviour::status(502)), "does not let this node through"),
        (behaves(Behaviour::Silent), "in time"),
        (behaves(Behaviour::Deaf), "in time"),
        (behaves(Behaviour::EndlessLine), "proxy"),
        (behaves(Behaviour::Raw(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec())), "as a proxy does"),
        (behaves(Behaviour::Raw(Vec::new())), "proxy"),
        (by(refused_url()), "cannot be reached"),
        (by("http://proxy.invalid:3128".into()), "is not found"),
        (by("http://me:pass-word@".into()), "is not an address"),
        (by("socks5://127.0.0.1:1".into()), "of a kind"),
    ];
    for (failure, why) in unready {
        let Err(failure @ HttpFailure::Proxy { variable: "https_proxy", .. }) = failure else {
            panic!("{why}: {failure:?}")
        };
        let words = failure.to_string();
        assert!(words.starts_with("the proxy in https_proxy ") && words.contains(why), "{why}: {words}");
        assert!(!words.contains("pass-word") && !words.contains(KEY), "{words}");
    }
    let deaf = Server::start_tls(Behaviour::Deaf, Shown::Good);
    let late = by(format!("127.0.0.1:{}", Proxy::to(&deaf).port()));
    assert!(matches!(late, Err(HttpFailure::Proxy { .. })), "{late:?}");
}

/// A scratch folder for one test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("ct-live-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        Scratch(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
