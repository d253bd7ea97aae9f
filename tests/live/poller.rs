//! The polling thread: its schedule, the updates it delivers, and what it shares with other processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::client::{KEY, PATIENCE, Scratch, limits, request};
use crate::grid_server::{Behaviour, Server};
use carbontracker::carbon::http::request::{HttpMethod, HttpRequest, Secret};
use carbontracker::carbon::intensity::EmissionsBasis;
use carbontracker::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use carbontracker::carbon::live::poller::{self, Lookup, PollConfig, PollTask, PollUpdate, Target};
use carbontracker::carbon::provider::Provider;
use carbontracker::os::worker::Worker;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Factor of all delays: a second takes a millisecond.
const QUICK: f64 = 0.001;

/// A small provider: the latest figure and an optional forecast.
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
    fn basis(&self) -> EmissionsBasis {
        EmissionsBasis::Lifecycle
    }
    fn source(&self) -> &'static str {
        "test"
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
        Ok(vec![IntensitySlot { from: 0.0, to: 300.0, g_per_kwh, quality: IntensityQuality::Actual }])
    }
    fn fix(&self, status: u16) -> Option<String> {
        (status == 401).then(|| "the key is wrong; check testgrid's pages".into())
    }
}

fn target(base: &str) -> Target {
    Target { provider: Box::new(Grid { next: 0, refresh_s: 300.0 }), base: base.into(), key: Secret(KEY.into()) }
}

fn start(task: PollTask, folder: Option<&Scratch>, whole: Duration) -> (Worker, Receiver<PollUpdate>) {
    let (sender, news) = channel();
    let config = PollConfig {
        folder: folder.map(|folder| folder.0.clone()),
        limits: limits(whole),
        scale: QUICK,
        ..PollConfig::default()
    };
    let worker = poller::start(task, config, move |update| {
        let _ = sender.send(update);
    });
    (worker.unwrap(), news)
}

pub fn follow(server: &Server) -> (Worker, Receiver<PollUpdate>) {
    start(PollTask::Grid(target(&server.url())), None, PATIENCE)
}

pub fn next(news: &Receiver<PollUpdate>) -> PollUpdate {
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
fn rounds_come_at_their_interval() {
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
fn optional_request_refused_is_no_failure_and_not_repeated() {
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
fn failure_is_reported_once_and_retried_with_growing_delay() {
    let server = Server::start(Behaviour::status(500));
    let (_fetcher, news) = follow(&server);
    let asked = server.await_requests(4);
    let PollUpdate::Failed(words) = next(&news) else { panic!("not a failure") };
    assert!(words.starts_with("testgrid: HTTP 500") && !words.contains("body-of"), "{words}");
    for (n, pair) in asked.windows(2).take(3).enumerate() {
        let least = Duration::from_millis(30 << n);
        assert!(pair[1].at - pair[0].at >= least, "{n}: {:?}", pair[1].at - pair[0].at);
    }
    assert!(news.try_recv().is_err(), "reported twice");
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

/// The answer of a provider that works but has no figures.
#[test]
fn answer_without_figures_is_reported() {
    let server = Server::start(Behaviour::text("null"));
    let (_fetcher, news) = follow(&server);
    assert!(
        matches!(next(&news), PollUpdate::Failed(words) if words == "testgrid: it answers, but has no figures for DK at present; it is retried")
    );
    server.turns(Behaviour::text("7"));
    assert_eq!(figures(next(&news)), [7.0, 7.0]);
    assert_eq!(next(&news), PollUpdate::Back);
}

/// The figures come before the failure, because its message names the figures in use.
#[test]
fn figures_before_a_failure_in_a_round_are_used() {
    let server = Server::start(paths(Behaviour::status(500)));
    let (_fetcher, news) = follow(&server);
    assert_eq!(figures(next(&news)), [114.5]);
    let failed = next(&news);
    assert!(matches!(failed, PollUpdate::Failed(_)), "{failed:?}");
}

#[test]
fn refusal_waits_an_hour_and_retry_after_is_honoured() {
    let refuses = Server::start(Behaviour::status(401));
    let limits = Server::start(Behaviour::with_header(429, "Retry-After: 1500"));
    let ((_a, refused), (_b, limited)) = (follow(&refuses), follow(&limits));
    assert_eq!(
        next(&refused),
        PollUpdate::Failed("testgrid: HTTP 401: the key is wrong; check testgrid's pages".into())
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
fn ranks_of_a_node_and_the_next_job_share_answers() {
    let folder = Scratch::new("shared");
    let server = Server::start(paths(Behaviour::text("99")));
    let slow = || {
        let mut target = target(&server.url());
        target.provider = Box::new(Grid { next: 0, refresh_s: 60_000.0 });
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
fn interrupted_round_is_not_shared() {
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
fn failure_is_shared_and_reported_by_all_ranks() {
    let folder = Scratch::new("failing");
    let server = Server::start(Behaviour::with_header(503, "Retry-After: 20000"));
    let ranks: Vec<_> = (0..4).map(|_| start(PollTask::Grid(target(&server.url())), Some(&folder), PATIENCE)).collect();
    for (_, news) in &ranks {
        assert!(matches!(next(news), PollUpdate::Failed(words) if words.contains("503")));
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn end_does_not_wait_for_a_hanging_request() {
    for behaviour in [Behaviour::Silent, Behaviour::Deaf, Behaviour::Slow(vec![b' '; 9999], Duration::from_millis(100))]
    {
        let server = Server::start(behaviour.clone());
        let begin = Instant::now();
        let (fetcher, news) = follow(&server);
        if !matches!(behaviour, Behaviour::Deaf) {
            server.await_requests(1);
        }
        fetcher.end_within(Duration::from_millis(20));
        // The request itself would last until its limit.
        assert!(begin.elapsed() < PATIENCE, "{behaviour:?}");
        assert!(news.try_recv().is_err());
    }
    // A thread that waits between rounds ends at once. This one would wait for 20 s, longer than its end is awaited.
    let server = Server::start(Behaviour::with_header(503, "Retry-After: 20000"));
    let (fetcher, news) = follow(&server);
    next(&news);
    fetcher.end_within(Duration::from_secs(10));
    let last = news.recv_timeout(Duration::from_secs(5));
    assert_eq!(last, Err(std::sync::mpsc::RecvTimeoutError::Disconnected), "it is gone");
}

/// A forked child has the handle but not the thread, and must not wait for it.
#[test]
fn forked_child_does_not_wait_for_the_thread() {
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
fn location_decides_the_provider() {
    let folder = Scratch::new("place");
    let atlas = Server::start(Behaviour::status(500));
    let grid = Server::start(paths(Behaviour::text("99")));
    let lookup = |answers: &'static str| {
        let (atlas, grid) = (atlas.url(), grid.url());
        PollTask::Location(Lookup {
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
    assert!(matches!(next(&news), PollUpdate::Failed(words) if words.starts_with("atlas: HTTP 500")));
    atlas.turns(Behaviour::text("DK"));
    assert_eq!(next(&news), PollUpdate::Back);
    assert_eq!(figures(next(&news)), [114.5, 99.0]);
    let times = atlas.requests().len();
    let (_b, news) = start(lookup("nothing"), Some(&folder), PATIENCE);
    assert_eq!(next(&news), PollUpdate::Failed("testgrid does not know DK".into()));
    assert!(news.recv_timeout(PATIENCE).is_err(), "it has ended");
    assert_eq!(atlas.requests().len(), times, "the place was known");
}

#[test]
fn key_is_in_no_message() {
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
        let update = next(&follow(&server).1);
        assert!(matches!(&update, PollUpdate::Failed(words) if !words.contains(KEY) && words.len() > 20), "{update:?}");
    }
    for base in [format!("http://{KEY}.invalid"), format!("https://{KEY}@x.invalid"), format!("{KEY}://x")] {
        let update = next(&start(PollTask::Grid(target(&base)), None, PATIENCE).1);
        assert!(matches!(&update, PollUpdate::Failed(words) if !words.contains(KEY)), "{update:?}");
    }
    assert!(!format!("{:?}", request("/")).contains(KEY));
}
