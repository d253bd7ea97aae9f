//! Runs with a failing live provider: the energy is counted in any case, and the report states the origin of the
//! intensity.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::carbon::*;
use crate::grid_server::{Behaviour, FAR, Proxy, Server, Shown, refused_url, write_authority};
use carbontracker::carbon::http::client::HttpLimits;
use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const KEY: &str = "a-very-secret-key";

#[test]
fn key_is_sent_to_the_provider_and_never_shown() {
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

/// Failures of a provider, and a part of the message about each.
fn failures() -> Vec<(&'static str, Behaviour, &'static str)> {
    let good = || hours("DK-DK1", "latest", 0, 1, |_| 60.0);
    let Behaviour::Answer(body) = good() else { unreachable!() };
    let gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    vec![
        ("401", Behaviour::status(401), "check api_key"),
        ("403", Behaviour::status(403), "the key's plan does not cover DK-DK1"),
        ("404", Behaviour::status(404), "has no figures for DK-DK1"),
        ("429", Behaviour::with_header(429, "Retry-After: 7200"), "rate limit exceeded"),
        ("500", Behaviour::status(500), "the service failed"),
        ("redirect", Behaviour::redirect("https://elsewhere.invalid/"), "not followed"),
        ("HTML", Behaviour::text("<html><body>Please log in</body></html>"), "a proxy may have replaced it"),
        ("gzip", Behaviour::Answer(gzip), "compressed"),
        ("cut off", Behaviour::CutOff(body.clone()), "ended before the answer did"),
        (
            "wrong length",
            Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: twelve\r\n\r\n{}".to_vec()),
            "wrong Content-Length",
        ),
        ("half a JSON", Behaviour::Answer(body[..body.len() / 2].to_vec()), "the answer is cut off"),
        (
            "null",
            Behaviour::text(r#"{"zone": "DK-DK1", "carbonIntensity": "green", "datetime": "2026-03-02T13:00Z"}"#),
            "is not a number",
        ),
        ("endless", Behaviour::Endless, "too long"),
    ]
}

#[test]
fn failing_provider_leaves_energy_and_yearly_average() {
    for (name, behaviour, why) in failures() {
        let server = Server::start(behaviour);
        let options = format!("intensity=electricitymaps location=DK-DK1 api_key={KEY} intensity_url={}", url(&server));
        let tracker = tracker(&options);
        run(&tracker);
        let report = until(&tracker, |report| report["notes"].to_string().contains("electricitymaps: "));
        check_energy(&report);
        assert_eq!(report["intensity"]["kind"], "static", "{name}: {report}");
        assert!((number(&report, "/intensity/g_per_kwh") - 112.0).abs() < 1e-9, "{name}: {}", report["intensity"]);
        assert_eq!(number(&report, "/intensity/coverage"), 0.0, "{name}");
        let (notes, texts) = (report["notes"].to_string(), messages(&tracker));
        assert!(notes.contains(why) && notes.contains("yearly average of DK"), "{name}: {notes}");
        assert_eq!(texts.iter().filter(|message| message.contains(why)).count(), 1, "{name}: {texts:?}");
        for text in texts.iter().chain([&notes]) {
            assert!(
                !text.contains(KEY) && !text.contains("log in") && !text.contains("body-of-an-error"),
                "{name}: {text}"
            );
        }
    }
}

#[test]
fn unreachable_or_untrusted_provider_is_harmless() {
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

/// Runs in a process of its own, whose environment names the proxy.
#[test]
fn run_behind_a_proxy_has_live_figures() {
    if let Ok(options) = std::env::var("CT_LIVE_PROXIED") {
        let tracker = tracker(&options);
        run(&tracker);
        let report = until(&tracker, |report| is_live(report) || report["notes"].to_string().contains("https_proxy"));
        println!("{} {report} {:?}", report["intensity"]["kind"], messages(&tracker));
        return;
    }
    let file = std::env::temp_dir().join(format!("ct-authority-{}.pem", std::process::id()));
    write_authority(&file);
    let output_of = |port: u16, address: &str| {
        let key = carbontracker::os::random_u64();
        let options = format!("intensity=electricitymaps location=DE api_key={KEY} intensity_url={address}/{key}");
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "run::run_behind_a_proxy_has_live_figures", "--nocapture"]);
        command.env("CT_LIVE_PROXIED", options).env("SSL_CERT_FILE", &file);
        command.env("https_proxy", format!("http://me:pass-word@127.0.0.1:{port}")).env_remove("no_proxy");
        let output = command.env_remove("NO_PROXY").output().unwrap();
        let texts = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{texts} {}", String::from_utf8_lossy(&output.stderr));
        assert!(!texts.contains("pass-word") && !texts.contains(KEY), "{texts}");
        texts
    };
    let server = Server::start_tls(electricity_maps("DE", |_| 60.0), Shown::Good);
    let proxy = Proxy::to(&server);
    let live = output_of(proxy.port(), &format!("https://{FAR}"));
    assert!(live.contains("\"live\" "), "{live}");
    assert_eq!(proxy.requests().len(), 3);
    let closed = refused_url().rsplit(':').next().unwrap().parse().unwrap();
    let shut = output_of(closed, &format!("https://{FAR}"));
    assert!(shut.contains("\"static\" ") && shut.contains("the proxy in https_proxy cannot be reached"), "{shut}");
    std::fs::remove_file(file).unwrap();
}

/// A run whose provider answers this status to the request for a forecast only.
fn run_without_forecast(status: u16) -> (Tracker, Value) {
    let hours = |list: &str, from_h| hours("DK-DK1", list, from_h, from_h + 24, |_| 60.0);
    let server = Server::start(Behaviour::Paths(vec![
        ("/latest", hours("latest", 0)),
        ("/history", hours("history", -24)),
        ("/forecast", Behaviour::status(status)),
    ]));
    let tracker =
        tracker(&format!("intensity=electricitymaps location=DK-DK1 api_key={KEY} intensity_url={}", url(&server)));
    run(&tracker);
    let report = until(&tracker, is_live);
    check_energy(&report);
    (tracker, report)
}

#[test]
fn failed_forecast_stays_in_the_notes() {
    let (tracker, report) = run_without_forecast(500);
    assert!(report["notes"].to_string().contains("HTTP 500"), "{}", report["notes"]);
    assert!(messages(&tracker).iter().any(|message| message.contains("HTTP 500")));
}

#[test]
fn plan_without_forecast_is_reported_once() {
    let (tracker, report) = run_without_forecast(403);
    let texts = messages(&tracker);
    assert_eq!(texts.iter().filter(|message| message.contains("refuses its forecast")).count(), 1, "{texts:?}");
    assert_eq!(report["notes"], json!([]));
}

#[test]
fn missing_key_is_reported_after_the_look_up() {
    let place = Behaviour::text(r#"{"country_code": "FR", "latitude": "48.8", "longitude": "2.3"}"#);
    let server = Server::start(Behaviour::Paths(vec![("/v1/ip/geo.json", place)]));
    let tracker = tracker(&format!("intensity=electricitymaps location=ip intensity_url={}", url(&server)));
    run(&tracker);
    let report = until(&tracker, |report| report["notes"].to_string().contains("CARBONTRACKER_API_KEY"));
    assert_eq!((&report["intensity"]["kind"], &report["intensity"]["zone"]), (&json!("static"), &json!("FR")));
    let texts = messages(&tracker);
    assert!(texts.iter().any(|message| message.contains("CARBONTRACKER_API_KEY")), "{texts:?}");
}

/// The time of this end is a figure of `make bench`.
#[test]
fn destroy_does_not_wait_for_a_silent_provider() {
    for behaviour in [Behaviour::Silent, Behaviour::Endless, Behaviour::Slow(b"[]".to_vec(), Duration::from_secs(1))] {
        let name = format!("{behaviour:?}");
        let server = Server::start(behaviour);
        let tracker = tracker(&format!("intensity=carbonintensity_gb intensity_url={}", url(&server)));
        run(&tracker);
        server.await_requests(1);
        let start = Instant::now();
        tracker.destroy();
        assert!(start.elapsed() < HttpLimits::default().whole, "{name}: it has waited for the request's own limit");
    }
}

#[test]
fn missing_key_is_reported_and_the_run_measured() {
    let tracker = tracker("intensity=electricitymaps location=FR");
    let report = run(&tracker);
    check_energy(&report);
    assert_eq!((&report["intensity"]["kind"], &report["intensity"]["zone"]), (&json!("static"), &json!("FR")));
    assert!(report["notes"].to_string().contains("set api_key= or CARBONTRACKER_API_KEY"), "{}", report["notes"]);
    assert!(messages(&tracker).iter().any(|message| message.contains("CARBONTRACKER_API_KEY")));
}

#[test]
fn missing_location_is_reported_and_the_run_measured() {
    let tracker = tracker("intensity=energycharts");
    let report = run(&tracker);
    check_energy(&report);
    assert_eq!((&report["intensity"]["kind"], &report["intensity"]["zone"]), (&json!("static"), &json!("WORLD")));
    assert!(report["notes"].to_string().contains("no location given: energycharts takes"), "{}", report["notes"]);
    assert_eq!(messages(&tracker).iter().filter(|message| message.contains("no location given")).count(), 1);
}

#[test]
fn location_outside_the_provider_is_refused() {
    for (options, why) in [
        ("intensity=energidataservice location=FR", "knows Denmark only"),
        ("intensity=energycharts location=Atlantis", "location='Atlantis'"),
    ] {
        let message = Tracker::create(options).err().unwrap().message;
        assert!(message.contains(why), "{options}: {message}");
    }
}
