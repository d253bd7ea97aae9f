//! A run priced by a live service that is played on this machine, on its good days and its bad ones: the energy is counted
//! whatever the service does, and the report says what the price rests on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod grid_server;
mod steady;

use carbontracker::tracker::Tracker;
use grid_server::{Behaviour, Server, Shown, refused_url};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const KEY: &str = "a-very-secret-key";

fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn stamp(at: f64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs_f64(at)).to_string()
}

/// Half-hours of Britain around now, each with this figure, as the service writes them.
fn half_hours(from_h: i32, to_h: i32, figure: impl Fn(i32) -> f64, is_actual: bool) -> Behaviour {
    let this = (unix_s() / 1800.0).floor() * 1800.0;
    let minute = |at: f64| format!("{}Z", &stamp(at)[..16]);
    let slots = (2 * from_h..2 * to_h).map(|n| {
        let actual = if is_actual { json!(figure(n)) } else { Value::Null };
        let from = this + f64::from(n) * 1800.0;
        json!({"from": minute(from), "to": minute(from + 1800.0), "intensity": {"forecast": figure(n), "actual": actual}})
    });
    Behaviour::text(&json!({ "data": slots.collect::<Vec<_>>() }).to_string())
}

/// Hours of Electricity Maps around now.
fn hours(zone: &str, list: &str, from_h: i32, to_h: i32, figure: impl Fn(i32) -> f64) -> Behaviour {
    let this = (unix_s() / 3600.0).floor() * 3600.0;
    let hours = (from_h..to_h).map(|n| {
        let at = stamp(this + f64::from(n) * 3600.0);
        json!({"zone": zone, "carbonIntensity": figure(n), "datetime": at, "isEstimated": false, "emissionFactorType": "lifecycle"})
    });
    let mut hours: Vec<Value> = hours.collect();
    Behaviour::text(&match list {
        "latest" => hours.remove(0).to_string(),
        list => json!({"zone": zone, list: hours}).to_string(),
    })
}

/// A day back and a day ahead.
fn electricity_maps(zone: &str, figure: fn(i32) -> f64) -> Behaviour {
    Behaviour::Paths(vec![
        ("/latest", hours(zone, "latest", 0, 1, figure)),
        ("/history", hours(zone, "history", -24, 0, figure)),
        ("/forecast", hours(zone, "forecast", 0, 24, figure)),
    ])
}

/// The server's address, and a path that no test before has had: what is cached is told apart by it.
fn url(server: &Server) -> String {
    format!("{}/{}", server.url(), carbontracker::host::random_u64())
}

/// 3.6 kW, so that energy and time tell one another.
fn tracker(options: &str) -> Tracker {
    Tracker::create(&format!("sim_cpu=x:3600 {options}")).unwrap().unwrap()
}

fn run(tracker: &Tracker) -> Value {
    for _ in 0..3 {
        tracker.begin().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        tracker.end().unwrap();
    }
    report(tracker)
}

fn report(tracker: &Tracker) -> Value {
    serde_json::from_str(&tracker.report("json").unwrap()).unwrap()
}

fn messages(tracker: &Tracker) -> Vec<String> {
    let mut all = Vec::new();
    while tracker
        .take_message(|text| {
            all.push(text.to_owned());
            Ok(carbontracker::error::Status::CT_OK)
        })
        .is_ok()
    {}
    all
}

/// Waits for a report of which this holds.
fn until(tracker: &Tracker, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let report = report(tracker);
        if holds(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "{report}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_live(report: &Value) -> bool {
    report["intensity"]["kind"] == "live"
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {report}"))
}

/// All the energy is there, and it costs what the report says.
fn check_energy(report: &Value) {
    let (joules, seconds) = (number(report, "/usage/energy_j"), number(report, "/usage/duration_s"));
    assert!((joules / seconds / 3600.0 - 1.0).abs() < 1e-6, "{report}");
    let grams = number(report, "/usage/energy_kwh") * number(report, "/intensity/g_per_kwh");
    assert!((number(report, "/usage/co2eq_g") / grams - 1.0).abs() < 1e-9, "{report}");
}

#[test]
fn each_service_prices_a_run_and_what_is_to_come() {
    let flat = |_: i32| 80.0;
    let britain = Server::start(Behaviour::Paths(vec![
        ("/pt24h", half_hours(-24, 1, flat, true)),
        ("/fw48h", half_hours(0, 48, |_| 160.0, false)),
    ]));
    let tracker = tracker(&format!("epochs=100000 intensity=carbonintensity_gb intensity_url={}", url(&britain)));
    tracker.begin().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    tracker.end().unwrap();
    until(&tracker, is_live);
    let report = run(&tracker);
    check_energy(&report);
    assert!((number(&report, "/intensity/g_per_kwh") - 80.0).abs() < 1e-6, "{}", report["intensity"]);
    let about = &report["intensity"];
    assert_eq!((&about["zone"], &about["basis"], &about["year"]), (&json!("GB"), &json!("direct"), &Value::Null));
    assert_eq!((number(&report, "/intensity/coverage"), number(&report, "/intensity/metered_share")), (1.0, 1.0));
    assert_eq!(report["notes"], json!([]));
    // 100,000 epochs of some 20 ms are more than half an hour, at twice the intensity.
    let (value, used) = (number(&report, "/forecast/co2eq_g/value"), number(&report, "/usage/co2eq_g"));
    let kwh = (number(&report, "/forecast/energy_j/value") - number(&report, "/usage/energy_j")) / 3.6e6;
    let ahead = (value - used) / kwh;
    assert!((80.0..=160.0).contains(&ahead), "{ahead}");
    let off = number(&report, "/forecast/co2eq_g/high") / value;
    assert!(off > 1.1, "the grid's forecast may be off: {off}");
}

#[test]
fn a_key_is_sent_to_the_service_and_shown_to_nobody() {
    let server = Server::start(electricity_maps("DK-DK1", |_| 60.0));
    let options = format!("intensity=electricitymaps location=dk-dk1 api_key={KEY} intensity_url={}", url(&server));
    let tracker = tracker(&options);
    run(&tracker);
    let report = until(&tracker, is_live);
    check_energy(&report);
    assert_eq!(report["intensity"]["zone"], "DK-DK1");
    assert!((number(&report, "/intensity/g_per_kwh") - 60.0).abs() < 1e-9);
    assert!(server.requests().iter().all(|asked| asked.header("auth-token") == Some(KEY)));
    server.turns(Behaviour::status(401));
    let shown = ["text", "json", "csv", "prometheus"].map(|format| tracker.report(format).unwrap()).join("");
    assert!(!shown.contains(KEY) && !messages(&tracker).join("").contains(KEY));
    let refused =
        Tracker::create(&format!("api_key='{KEY} {KEY}' intensity=electricitymaps location=DK")).err().unwrap();
    assert!(!refused.message.contains(KEY), "{}", refused.message);
}

/// What a service may do to us, and a word of what is then said.
fn bad_days() -> Vec<(&'static str, Behaviour, &'static str)> {
    let good = || hours("DK-DK1", "latest", 0, 1, |_| 60.0);
    let Behaviour::Answer(body) = good() else { unreachable!() };
    let gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    vec![
        ("401", Behaviour::status(401), "check api_key"),
        ("403", Behaviour::status(403), "the key's plan does not hold DK-DK1"),
        ("404", Behaviour::status(404), "has nothing for DK-DK1"),
        ("429", Behaviour::with_header(429, "Retry-After: 7200"), "asked too often"),
        ("500", Behaviour::status(500), "troubles of its own"),
        ("redirect", Behaviour::redirect("https://elsewhere.invalid/"), "not followed"),
        ("HTML", Behaviour::text("<html><body>Please log in</body></html>"), "is a proxy in between?"),
        ("gzip", Behaviour::Answer(gzip), "compressed"),
        ("cut off", Behaviour::CutOff(body.clone()), "ended before the answer did"),
        (
            "wrong length",
            Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: twelve\r\n\r\n{}".to_vec()),
            "how long it is",
        ),
        ("half a JSON", Behaviour::Answer(body[..body.len() / 2].to_vec()), "the answer is cut off"),
        (
            "null",
            Behaviour::text(r#"{"zone": "DK-DK1", "carbonIntensity": "green", "datetime": "2026-03-02T13:00Z"}"#),
            "no number",
        ),
        ("endless", Behaviour::Endless, "far longer than any known"),
    ]
}

#[test]
fn on_a_bad_day_the_energy_is_counted_and_the_yearly_average_counts() {
    for (name, behaviour, why) in bad_days() {
        let server = Server::start(behaviour);
        let options = format!("intensity=electricitymaps location=DK-DK1 api_key={KEY} intensity_url={}", url(&server));
        let tracker = tracker(&options);
        run(&tracker);
        let report = until(&tracker, |report| report["notes"].to_string().contains("electricitymaps: "));
        check_energy(&report);
        assert_eq!(report["intensity"]["kind"], "static", "{name}: {report}");
        assert!((number(&report, "/intensity/g_per_kwh") - 114.41).abs() < 1e-9, "{name}: {}", report["intensity"]);
        assert_eq!(number(&report, "/intensity/coverage"), 0.0, "{name}");
        let (notes, said) = (report["notes"].to_string(), messages(&tracker));
        assert!(notes.contains(why) && notes.contains("yearly average of DK"), "{name}: {notes}");
        assert_eq!(said.iter().filter(|message| message.contains(why)).count(), 1, "{name}: {said:?}");
        for text in said.iter().chain([&notes]) {
            assert!(
                !text.contains(KEY) && !text.contains("log in") && !text.contains("body-of-an-error"),
                "{name}: {text}"
            );
        }
    }
}

#[test]
fn a_service_that_cannot_be_reached_or_trusted_is_no_harm() {
    let (forged, expired) = (Shown::SelfSigned, Shown::Expired);
    let tls = [forged, expired].map(|shown| Server::start_tls(electricity_maps("DE", |_| 1.0), shown));
    let urls = [url(&tls[0]), url(&tls[1]), refused_url(), "https://grid.invalid".into(), "http://10.255.255.1".into()];
    for url in urls {
        let tracker = tracker(&format!("intensity=electricitymaps location=DE api_key={KEY} intensity_url={url}"));
        run(&tracker);
        let report = until(&tracker, |report| report["notes"].to_string().contains("electricitymaps: "));
        check_energy(&report);
        assert_eq!(
            (&report["intensity"]["kind"], &report["intensity"]["zone"]),
            (&json!("static"), &json!("DE")),
            "{url}"
        );
    }
    assert!(tls.iter().all(|server| server.requests().is_empty()));
}

/// How long the end of a tracker takes, at its quickest: the machine may be busy with other things.
fn shortest_end(options: &str, wait: impl Fn()) -> Duration {
    let ends = (0..4).map(|_| {
        let tracker = tracker(options);
        run(&tracker);
        wait();
        let start = Instant::now();
        tracker.destroy();
        start.elapsed()
    });
    ends.min().unwrap()
}

#[test]
fn nobody_waits_for_a_service_that_does_not_answer() {
    for behaviour in [Behaviour::Silent, Behaviour::Slow(b"{\"data\": []}".to_vec(), Duration::from_secs(1))] {
        let server = Server::start(behaviour);
        let options = format!("intensity=carbonintensity_gb intensity_url={}", url(&server));
        let asked = std::cell::Cell::new(0);
        let end = shortest_end(&options, || {
            // It is being asked at that moment; the other trackers' requests may have come to an end.
            asked.set(asked.get() + 1);
            let asked = asked.get();
            if asked == 1 {
                server.await_requests(1);
            }
        });
        assert!(end < Duration::from_millis(250), "{end:?}");
    }
    let end = shortest_end("intensity=carbonintensity_gb intensity_url=https://grid.invalid", || ());
    assert!(end < Duration::from_millis(250), "{end:?}");
}

#[test]
fn without_a_key_the_run_is_measured_and_the_cure_is_said() {
    let tracker = tracker("intensity=electricitymaps location=FR");
    let report = run(&tracker);
    check_energy(&report);
    assert_eq!((&report["intensity"]["kind"], &report["intensity"]["zone"]), (&json!("static"), &json!("FR")));
    assert!(report["notes"].to_string().contains("set api_key= or CARBONTRACKER_API_KEY"), "{}", report["notes"]);
    assert!(messages(&tracker).iter().any(|message| message.contains("CARBONTRACKER_API_KEY")));
}

#[test]
fn a_place_that_a_service_does_not_know_is_refused() {
    for (options, why) in [
        ("intensity=energidataservice location=FR", "knows Denmark only"),
        ("intensity=electricitymaps", "no location given"),
        ("intensity=energycharts location=Atlantis", "location='Atlantis'"),
    ] {
        let message = Tracker::create(options).err().unwrap().message;
        assert!(message.contains(why), "{options}: {message}");
    }
}
