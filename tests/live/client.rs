//! Live services of carbon intensity, played on this machine: what is asked, how politely, and what is made of bad answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::grid_server::{Behaviour, FAR, Proxy, Server, Shown, refused_url, write_authority};
use carbontracker::carbon::http::client::{self, HttpFailure, HttpLimits};
use carbontracker::carbon::http::proxy::Proxies;
use carbontracker::carbon::http::request::{HttpMethod, HttpRequest, Secret};
use carbontracker::carbon::intensity::slot::{FigureQuality, IntensitySlot};
use carbontracker::carbon::live::poller::{self, Lookup, PollConfig, PollTask, PollUpdate, Target};
use carbontracker::carbon::provider::Provider;
use carbontracker::os::worker::Worker;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const KEY: &str = "a-very-secret-key";
/// A second of the schedule takes a thousandth.
const QUICK: f64 = 0.001;
const PATIENCE: Duration = Duration::from_secs(30);

fn request(path: &str) -> HttpRequest {
    HttpRequest { path: path.into(), headers: vec![("auth-token", Secret(KEY.into()))], ..HttpRequest::default() }
}

fn limits(whole: Duration) -> HttpLimits {
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
fn an_answer_is_had_and_asked_for_politely() {
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
}

#[test]
fn an_answer_in_chunks_or_to_the_end_of_the_connection_is_whole() {
    let body = b"[1, 2, 3, 4, 5, 6, 7, 8, 9]".to_vec();
    assert_eq!(answered(Behaviour::Chunked(body.clone())).unwrap(), body);
    let to_the_end = [b"HTTP/1.0 200 OK\r\n\r\n", body.as_slice()].concat();
    assert_eq!(answered(Behaviour::Raw(to_the_end)).unwrap(), body);
    let page = "<html>not what was asked</html>";
    assert_eq!(answered(Behaviour::text(page)).unwrap(), page.as_bytes(), "the service sees to it");
}

#[test]
fn a_status_says_how_long_to_leave_it_alone() {
    for code in [201, 204, 301, 304, 307, 400, 401, 403, 404, 422, 429, 500, 503, 599] {
        assert_eq!(failed(Behaviour::status(code)), HttpFailure::Status { code, retry_after_s: None }, "{code}");
    }
    let retry = |value: &str| failed(Behaviour::with_header(429, &format!("Retry-After: {value}")));
    assert_eq!(retry("120"), HttpFailure::Status { code: 429, retry_after_s: Some(120.0) });
    assert_eq!(retry("Sun, 06 Nov 1994 08:49:37 GMT"), HttpFailure::Status { code: 429, retry_after_s: Some(0.0) });
    assert_eq!(retry("tomorrow"), HttpFailure::Status { code: 429, retry_after_s: None });
}

#[test]
fn a_slow_or_silent_server_is_left_in_time() {
    let slow = Behaviour::Slow(vec![b' '; 1000], Duration::from_millis(50));
    for behaviour in [slow, Behaviour::Silent, Behaviour::Deaf] {
        for server in [Server::start(behaviour.clone()), Server::start_tls(behaviour.clone(), Shown::Good)] {
            let start = Instant::now();
            let base = server.url().replace("localhost", "127.0.0.1");
            let failure = ask(&base, &request("/"), &limits(Duration::from_millis(500))).unwrap_err();
            // Where the server does shake hands, its certificate is not trusted here.
            let is_right =
                matches!(failure, HttpFailure::TimedOut | HttpFailure::Certificate(_) | HttpFailure::NoCertificates);
            assert!(is_right, "{behaviour:?}: {failure:?}");
            assert!(start.elapsed() < Duration::from_secs(10), "{behaviour:?}: {:?}", start.elapsed());
            if base.starts_with("http:") {
                assert_eq!(failure, HttpFailure::TimedOut);
            }
        }
    }
}

#[test]
fn half_an_answer_is_none() {
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
fn an_answer_without_an_end_is_not_waited_for() {
    assert_eq!(failed(Behaviour::Endless), HttpFailure::TooLong);
    assert_eq!(failed(Behaviour::EndlessHeaders), HttpFailure::TooLong);
    assert_eq!(failed(Behaviour::EndlessLine), HttpFailure::TooLong);
    assert_eq!(failed(Behaviour::Answer(vec![b' '; 100_001])), HttpFailure::TooLong);
    assert_eq!(answered(Behaviour::Answer(vec![b' '; 100_000])).unwrap().len(), 100_000);
}

#[test]
fn what_was_not_asked_for_is_not_taken() {
    let gzip = b"\x1f\x8b\x08\x00".to_vec();
    assert_eq!(failed(Behaviour::Status(200, "Content-Encoding: gzip\r\n".into(), gzip.clone())), HttpFailure::Encoded);
    assert_eq!(failed(Behaviour::Answer(gzip)), HttpFailure::Encoded);
    assert_eq!(failed(Behaviour::with_header(200, "Content-Encoding: br")), HttpFailure::Encoded);
    assert!(answered(Behaviour::Status(200, "Content-Encoding: identity\r\n".into(), b"{}".to_vec())).is_ok());
    assert_eq!(failed(Behaviour::Raw(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec())), HttpFailure::NotHttp);
}

#[test]
fn a_redirect_is_not_followed_and_the_key_stays() {
    let elsewhere = Server::start(Behaviour::text("{}"));
    for code in [301, 302, 303, 307, 308] {
        let behaviour = Behaviour::with_header(code, &format!("Location: {}/latest", elsewhere.url()));
        assert_eq!(failed(behaviour), HttpFailure::Status { code, retry_after_s: None });
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn what_cannot_be_reached_is_told_apart() {
    assert_eq!(get(&refused_url()), Err(HttpFailure::Unreachable("refused")));
    let unknown = get("https://grid.invalid").unwrap_err();
    // Without certificates nothing is asked; a name server may also not answer at all.
    assert!(matches!(unknown, HttpFailure::Dns | HttpFailure::TimedOut | HttpFailure::NoCertificates), "{unknown:?}");
    let mut newline = request("/");
    newline.headers = vec![("auth-token", Secret("two\nlines".into()))];
    assert_eq!(ask(&refused_url(), &newline, &HttpLimits::default()), Err(HttpFailure::Key));
    assert_eq!(get("http://grid.invalid"), Err(HttpFailure::Plain));
}

/// In a process of its own, whose environment says whom to trust.
#[test]
fn certificates_are_those_of_the_machine() {
    let folder = Scratch::new("certificates");
    let file = folder.0.join("authority.pem");
    if std::env::var_os("CT_LIVE_TLS").is_none() {
        for (mode, trusted) in [("known", &file), ("none", &folder.0.join("missing.pem"))] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "client::certificates_are_those_of_the_machine", "--nocapture"]);
            command.env("CT_LIVE_TLS", mode).env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
            // What stays on this machine goes by no proxy.
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
    // The authority is made anew in each process, where the variable points to.
    write_authority(&PathBuf::from(std::env::var_os("SSL_CERT_FILE").unwrap()));
    assert_eq!(get(&good.url()).unwrap(), b"{}");
    assert_eq!(good.requests()[0].header("auth-token"), Some(KEY));
    let (_fetcher, news) = follow(&good); // on a thread with a stack as small as ours is
    assert!(matches!(next(&news), PollUpdate::Failed(words) if words == "testgrid: an answer without a figure"));
    let by_number = good.url().replace("localhost", "127.0.0.1");
    assert_eq!(get(&by_number), Err(HttpFailure::Certificate("is another host's")));
    for (shown, why) in [
        (Shown::SelfSigned, "nobody this machine trusts"),
        (Shown::OtherName, "another host's"),
        (Shown::Expired, "expired"),
        (Shown::NotYet, "not valid yet"),
    ] {
        let bad = Server::start_tls(Behaviour::text("{}"), shown);
        let failure = get(&bad.url()).unwrap_err();
        assert!(matches!(failure, HttpFailure::Certificate(said) if said.contains(why)), "{shown:?}: {failure:?}");
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

/// In a process of its own, which knows the authority.
#[test]
fn by_a_proxy_of_the_environment() {
    let Some(file) = std::env::var_os("CT_LIVE_PROXY") else {
        let folder = Scratch::new("proxy");
        let file = folder.0.join("authority.pem");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "client::by_a_proxy_of_the_environment", "--nocapture"]);
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
    // What is near, what is not encrypted and what is exempt goes by none.
    assert!(patient(&[("https_proxy", address.clone())], &service.url()).is_ok());
    let plain = Server::start(Behaviour::text("{}"));
    assert!(patient(&[("https_proxy", address.clone())], &plain.url()).is_ok());
    let exempt = patient(&[("https_proxy", address), ("no_proxy", "localhost, .invalid".into())], &far);
    assert!(matches!(exempt, Err(HttpFailure::Dns | HttpFailure::TimedOut)), "{exempt:?}");
    assert_eq!(proxy.requests().len(), 2);

    let unlike = Server::start_tls(Behaviour::text("{}"), Shown::OtherName);
    let led = by(format!("127.0.0.1:{}", Proxy::to(&unlike).port()));
    assert_eq!(led, Err(HttpFailure::Certificate("is another host's")), "a proxy is not trusted");

    let says = |behaviour: Behaviour| by(Server::start(behaviour).url().replace("//", "//me:pass-word@"));
    let unready = [
        (says(Behaviour::status(407)), "another name and password"),
        (says(Behaviour::status(403)), "does not let this node through"),
        (says(Behaviour::status(502)), "does not let this node through"),
        (says(Behaviour::Silent), "in time"),
        (says(Behaviour::Deaf), "in time"),
        (says(Behaviour::EndlessLine), "proxy"),
        (says(Behaviour::Raw(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec())), "as a proxy does"),
        (says(Behaviour::Raw(Vec::new())), "proxy"),
        (by(refused_url()), "cannot be reached"),
        (by("http://proxy.invalid:3128".into()), "is not found"),
        (by("http://me:pass-word@".into()), "is no address"),
        (by("socks5://127.0.0.1:1".into()), "of a kind"),
    ];
    for (failure, why) in unready {
        let Err(failure @ HttpFailure::Proxy { variable: "https_proxy", .. }) = failure else {
            panic!("{why}: {failure:?}")
        };
        let words = failure.to_string();
        assert!(words.starts_with("the proxy that https_proxy names ") && words.contains(why), "{why}: {words}");
        assert!(!words.contains("pass-word") && !words.contains(KEY), "{words}");
    }
    let deaf = Server::start_tls(Behaviour::Deaf, Shown::Good);
    let begin = Instant::now();
    let late = by(format!("127.0.0.1:{}", Proxy::to(&deaf).port()));
    assert!(matches!(late, Err(HttpFailure::Proxy { .. })) && begin.elapsed() < Duration::from_secs(10), "{late:?}");
}

/// A folder of one test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
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

/// A small service: the latest figure and, for some, a forecast.
struct Grid {
    next: u8,
    refresh_s: f64,
}

impl Provider for Grid {
    fn name(&self) -> &'static str {
        "testgrid"
    }
    fn host(&self) -> &'static str {
        "https://testgrid.invalid"
    }
    fn zone(&self) -> String {
        "DK".into()
    }
    fn static_zone(&self) -> String {
        "DK".into()
    }
    fn basis(&self) -> &'static str {
        "lifecycle"
    }
    fn source(&self) -> &'static str {
        "nobody"
    }
    fn refresh_s(&self) -> f64 {
        self.refresh_s
    }
    fn next(&mut self, _: f64) -> Option<HttpRequest> {
        let answer = self.next;
        self.next = (answer + 1) % 3;
        let path = ["/latest", "/forecast"].get(usize::from(answer))?;
        Some(HttpRequest { is_optional: answer == 1, answer, ..request(path) })
    }
    fn take(&mut self, _: &HttpRequest, body: &[u8]) -> Result<Vec<IntensitySlot>, String> {
        let value: serde_json::Value = serde_json::from_slice(body).map_err(|_| "an answer that is no JSON")?;
        if value.is_null() {
            return Ok(Vec::new());
        }
        let g_per_kwh = value.as_f64().ok_or("an answer without a figure")?;
        Ok(vec![IntensitySlot { from: 0.0, to: 300.0, g_per_kwh, standing: FigureQuality::Actual }])
    }
    fn cure(&self, status: u16) -> Option<String> {
        (status == 401).then(|| "the key is wrong: see testgrid's pages".into())
    }
}

fn target(base: &str) -> Target {
    Target { service: Box::new(Grid { next: 0, refresh_s: 300.0 }), base: base.into(), key: Secret(KEY.into()) }
}

fn start(aim: PollTask, folder: Option<&Scratch>, whole: Duration) -> (Worker, Receiver<PollUpdate>) {
    let (sender, news) = channel();
    let manner = PollConfig {
        folder: folder.map(|folder| folder.0.clone()),
        limits: limits(whole),
        scale: QUICK,
        ..PollConfig::default()
    };
    let fetcher = poller::start(aim, manner, move |news| {
        let _ = sender.send(news);
    });
    (fetcher.unwrap(), news)
}

fn follow(server: &Server) -> (Worker, Receiver<PollUpdate>) {
    start(PollTask::Grid(target(&server.url())), None, PATIENCE)
}

fn next(news: &Receiver<PollUpdate>) -> PollUpdate {
    news.recv_timeout(PATIENCE).expect("news")
}

fn figures(news: PollUpdate) -> Vec<f64> {
    match news {
        PollUpdate::Slots(slots) => slots.iter().map(|slot| slot.g_per_kwh).collect(),
        other => panic!("{other:?}"),
    }
}

fn paths(forecast: Behaviour) -> Behaviour {
    Behaviour::Paths(vec![("/latest", Behaviour::text("114.5")), ("/forecast", forecast)])
}

#[test]
fn figures_come_round_after_round_and_no_sooner() {
    let server = Server::start(paths(Behaviour::text("99")));
    let (_fetcher, news) = follow(&server);
    for _ in 0..3 {
        assert_eq!(figures(next(&news)), [114.5, 99.0]);
    }
    let asked = server.requests();
    let rounds: Vec<Instant> = asked.iter().filter(|asked| asked.path == "/latest").map(|asked| asked.at).collect();
    assert!(rounds.len() >= 3, "{asked:?}");
    for pair in rounds.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(300), "{rounds:?}");
    }
}

#[test]
fn what_the_plan_lacks_is_no_failure_and_not_asked_for_again() {
    for code in [401, 403, 404] {
        let server = Server::start(paths(Behaviour::status(code)));
        let (_fetcher, news) = follow(&server);
        assert!(matches!(next(&news), PollUpdate::Lacks(words) if words.starts_with("testgrid refuses its forecast")));
        for _ in 0..3 {
            assert_eq!(figures(next(&news)), [114.5]);
        }
        let forecasts = server.requests().iter().filter(|asked| asked.path == "/forecast").count();
        assert_eq!(forecasts, 1);
    }
}

#[test]
fn a_failure_is_said_once_asked_again_ever_later_and_its_end_is_said() {
    let server = Server::start(Behaviour::status(500));
    let (_fetcher, news) = follow(&server);
    let asked = server.await_requests(4);
    let PollUpdate::Failed(words) = next(&news) else { panic!("not a failure") };
    assert!(words.starts_with("testgrid: status 500") && !words.contains("body-of"), "{words}");
    for (n, pair) in asked.windows(2).take(3).enumerate() {
        let least = Duration::from_millis(30 << n);
        assert!(pair[1].at - pair[0].at >= least, "{n}: {:?}", pair[1].at - pair[0].at);
    }
    assert!(news.try_recv().is_err(), "said twice");
    server.turns(Behaviour::text("7"));
    assert_eq!(figures(next(&news)), [7.0, 7.0]);
    assert_eq!(next(&news), PollUpdate::Back);
    server.turns(Behaviour::text("<html>"));
    loop {
        match next(&news) {
            PollUpdate::Slots(_) => (),
            other => break assert_eq!(other, PollUpdate::Failed("testgrid: an answer that is no JSON".into())),
        }
    }
}

/// The sample of a service that is well and knows nothing.
#[test]
fn an_answer_without_any_figure_is_said() {
    let server = Server::start(Behaviour::text("null"));
    let (_fetcher, news) = follow(&server);
    assert!(
        matches!(next(&news), PollUpdate::Failed(words) if words == "testgrid: it answers, but has no figures for DK at present")
    );
    server.turns(Behaviour::text("7"));
    assert_eq!(figures(next(&news)), [7.0, 7.0]);
    assert_eq!(next(&news), PollUpdate::Back);
}

/// They come before the failure: its message names what prices the run meanwhile.
#[test]
fn figures_that_came_before_a_failure_in_a_round_count() {
    let server = Server::start(paths(Behaviour::status(500)));
    let (_fetcher, news) = follow(&server);
    assert_eq!(figures(next(&news)), [114.5]);
    let failed = next(&news);
    assert!(matches!(failed, PollUpdate::Failed(_)), "{failed:?}");
}

#[test]
fn a_refusal_is_left_alone_for_an_hour_and_retry_after_is_kept_to() {
    let refuses = Server::start(Behaviour::status(401));
    let limits = Server::start(Behaviour::with_header(429, "Retry-After: 1500"));
    let ((_a, refused), (_b, limited)) = (follow(&refuses), follow(&limits));
    assert_eq!(
        next(&refused),
        PollUpdate::Failed("testgrid: status 401: the key is wrong: see testgrid's pages".into())
    );
    assert!(matches!(next(&limited), PollUpdate::Failed(words) if words.contains("429")));
    let gap = |server: &Server| {
        let asked = server.await_requests(2);
        asked[1].at - asked[0].at
    };
    assert!(gap(&limits) >= Duration::from_millis(1500));
    assert!(gap(&refuses) >= Duration::from_millis(3600));
}

#[test]
fn the_ranks_of_a_node_and_the_next_job_share_answers() {
    let folder = Scratch::new("shared");
    let server = Server::start(paths(Behaviour::text("99")));
    let slow = || {
        let mut target = target(&server.url());
        target.service = Box::new(Grid { next: 0, refresh_s: 60_000.0 });
        start(PollTask::Grid(target), Some(&folder), PATIENCE)
    };
    let ranks: Vec<_> = (0..8).map(|_| slow()).collect();
    for (_, news) in &ranks {
        assert_eq!(figures(next(news)), [114.5, 99.0]);
    }
    drop(ranks);
    assert_eq!(figures(next(&slow().1)), [114.5, 99.0]);
    assert_eq!(server.requests().len(), 2, "{:?}", server.requests());
    let other = Target { key: Secret("another".into()), ..target(&server.url()) };
    assert_eq!(figures(next(&start(PollTask::Grid(other), Some(&folder), PATIENCE).1)), [114.5, 99.0]);
    assert_eq!(server.requests().len(), 4, "another key is asked for by itself");
}

#[test]
fn a_round_that_was_broken_off_is_not_shared() {
    let folder = Scratch::new("broken off");
    let slow = Behaviour::Slow(b"114.5".to_vec(), Duration::from_millis(200));
    let server = Server::start(Behaviour::Paths(vec![("/latest", slow), ("/", Behaviour::text("99"))]));
    let (fetcher, _news) = start(PollTask::Grid(target(&server.url())), Some(&folder), PATIENCE);
    server.await_requests(1);
    fetcher.end_within(PATIENCE);
    assert_eq!(server.requests().len(), 1, "nothing more is asked");
    let (_fetcher, news) = start(PollTask::Grid(target(&server.url())), Some(&folder), PATIENCE);
    assert_eq!(figures(next(&news)), [114.5, 99.0]);
}

#[test]
fn a_service_that_fails_is_left_alone_by_all_ranks_and_all_say_why() {
    let folder = Scratch::new("failing");
    let server = Server::start(Behaviour::with_header(503, "Retry-After: 20000"));
    let ranks: Vec<_> = (0..4).map(|_| start(PollTask::Grid(target(&server.url())), Some(&folder), PATIENCE)).collect();
    for (_, news) in &ranks {
        assert!(matches!(next(news), PollUpdate::Failed(words) if words.contains("503")));
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_next_job_does_not_begin_anew_with_a_service_that_fails() {
    for pause in [20, 300] {
        let folder = Scratch::new("again");
        let server = Server::start(Behaviour::status(500));
        let job = || start(PollTask::Grid(target(&server.url())), Some(&folder), PATIENCE);
        let (first, _news) = job();
        server.await_requests(3);
        std::thread::sleep(Duration::from_millis(pause)); // it rests for 120
        first.end_within(PATIENCE);
        let asked_first = server.requests().len();
        let (_next, news) = job();
        assert!(matches!(next(&news), PollUpdate::Failed(words) if words.contains("500")));
        let asked = server.await_requests(asked_first + 2);
        let gaps: Vec<Duration> = asked.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        let least = Duration::from_millis(30 << asked_first);
        assert!(gaps[asked_first] >= least, "{pause}: {gaps:?}");
    }
}

#[test]
fn nobody_waits_for_a_request_that_hangs() {
    for behaviour in [Behaviour::Silent, Behaviour::Deaf, Behaviour::Slow(vec![b' '; 9999], Duration::from_millis(100))]
    {
        let server = Server::start(behaviour.clone());
        let begin = Instant::now();
        let (fetcher, news) = follow(&server);
        let started = begin.elapsed();
        if !matches!(behaviour, Behaviour::Deaf) {
            server.await_requests(1);
        }
        let begin = Instant::now();
        fetcher.end_within(Duration::from_millis(20));
        assert!(started < Duration::from_secs(5) && begin.elapsed() < Duration::from_secs(5), "{behaviour:?}");
        assert!(news.try_recv().is_err());
    }
    // One that only waits ends at once; this one waits for 20 s.
    let server = Server::start(Behaviour::with_header(503, "Retry-After: 20000"));
    let (fetcher, news) = follow(&server);
    next(&news);
    let begin = Instant::now();
    fetcher.end_within(PATIENCE);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(matches!(news.recv_timeout(PATIENCE), Err(std::sync::mpsc::RecvTimeoutError::Disconnected)), "it is gone");
}

/// A forked child has the value, but not the thread, and must not wait for it.
#[test]
fn a_forked_child_has_nothing_to_end() {
    let server = Server::start(Behaviour::Silent);
    let (fetcher, _news) = follow(&server);
    server.await_requests(1);
    // SAFETY: the child calls nothing but what ends the fetcher, and leaves by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        fetcher.end_within(Duration::from_secs(1000));
        // SAFETY: ends this process, without its exit handlers.
        unsafe { libc::_exit(7) };
    }
    let begin = Instant::now();
    let mut status = 0;
    // SAFETY: `status` is an int to write to.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
        if begin.elapsed() > PATIENCE {
            // SAFETY: the child is ours and not yet waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status}");
    assert_eq!(server.requests().len(), 1);
    fetcher.end_within(Duration::ZERO);
}

#[test]
fn where_this_machine_is_says_what_to_ask() {
    let folder = Scratch::new("place");
    let atlas = Server::start(Behaviour::status(500));
    let grid = Server::start(paths(Behaviour::text("99")));
    let lookup = |answers: &'static str| {
        let (atlas, grid) = (atlas.url(), grid.url());
        PollTask::Place(Lookup {
            name: "test",
            base: atlas,
            find: Box::new(move |ask| {
                let question = HttpRequest { method: HttpMethod::Put, ..request("/where") };
                let body = ask(&question, PATIENCE).map_err(|failure| format!("atlas: {failure}"))?;
                String::from_utf8(body).map_err(|_| "atlas: no text".into())
            }),
            choose: Box::new(move |place| match answers {
                "service" => Ok((place == "DK").then(|| target(&grid))),
                _ => Err(format!("testgrid does not know {place}")),
            }),
        })
    };
    let (_a, news) = start(lookup("service"), Some(&folder), PATIENCE);
    assert!(matches!(next(&news), PollUpdate::Failed(words) if words.starts_with("atlas: status 500")));
    atlas.turns(Behaviour::text("DK"));
    assert_eq!(next(&news), PollUpdate::Back);
    assert_eq!(next(&news), PollUpdate::Place("DK".into()));
    assert_eq!(figures(next(&news)), [114.5, 99.0]);
    let times = atlas.requests().len();
    let (_b, news) = start(lookup("nothing"), Some(&folder), PATIENCE);
    assert_eq!(next(&news), PollUpdate::Place("DK".into()));
    assert_eq!(next(&news), PollUpdate::Failed("testgrid does not know DK".into()));
    assert!(news.recv_timeout(PATIENCE).is_err(), "it has ended");
    assert_eq!(atlas.requests().len(), times, "the place was known");
}

#[test]
fn a_key_is_in_no_words() {
    let echo = format!("HTTP/1.1 200 OK\r\n{KEY}: {KEY}\r\nContent-Length: {KEY}\r\n\r\n{KEY}");
    let behaviours = [
        Behaviour::Status(401, format!("WWW-Authenticate: {KEY}\r\n"), KEY.into()),
        Behaviour::Status(429, format!("Retry-After: {KEY}\r\n"), KEY.into()),
        Behaviour::redirect(&format!("http://{KEY}.invalid/{KEY}")),
        Behaviour::text(KEY),
        Behaviour::Raw(echo.into_bytes()),
        Behaviour::Raw(KEY.into()),
        Behaviour::CutOff(KEY.into()),
        Behaviour::Status(200, format!("Content-Encoding: {KEY}\r\n"), KEY.into()),
    ];
    for behaviour in behaviours {
        let server = Server::start(behaviour);
        let said = next(&follow(&server).1);
        assert!(matches!(&said, PollUpdate::Failed(words) if !words.contains(KEY) && words.len() > 20), "{said:?}");
    }
    for base in [format!("http://{KEY}.invalid"), format!("https://{KEY}@x.invalid"), format!("{KEY}://x")] {
        let said = next(&start(PollTask::Grid(target(&base)), None, PATIENCE).1);
        assert!(matches!(&said, PollUpdate::Failed(words) if !words.contains(KEY)), "{said:?}");
    }
    assert!(!format!("{:?}", request("/")).contains(KEY));
}
