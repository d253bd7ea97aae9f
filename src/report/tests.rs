use super::*;
use crate::channel::{Kind, Method, Quantity};
use crate::counter::Credit;
use crate::ledger::Mark;
use crate::options::Options;
use proptest::prelude::*;
use serde_json::Value;

/// Later than all of the run, with all of it known and no epoch open.
const NOW: Now = Now { at: 1 << 40, whole: true, open: None };

fn setting(name: Option<String>, planned: u64) -> Arc<Setting> {
    Arc::new(Setting {
        id: "0123456789abcdef".into(),
        name,
        host: "node \"1\"".into(),
        started: "2026-01-02T03:04:05Z".into(),
        planned,
        level: 0.9,
        monitored: None,
        elsewhere: None,
        rates: crate::extras::Rates::default(),
    })
}

fn books(kinds: &[Kind], epochs: &[(u64, u64)], watts: &[f64]) -> Books {
    let unavailable = vec![Unavailable { source: "rapl", reason: "a \\ reason".into(), cure: None }];
    let options = Options::parse("intensity=200", |_| None).unwrap();
    let grid = crate::intensity::choose(&options, |_| None).unwrap().grid;
    let mut books = Books { unavailable, ..Books::new(grid, 1.5) };
    for (number, &kind) in kinds.iter().enumerate() {
        books.add(
            &Channel {
                kind,
                device: "device, \"quoted\"".into(),
                id: format!("id{number}"),
                source: "test",
                method: Method::Power,
                quantity: Quantity::Power,
                simulated: false,
                note: None,
            },
            None,
            None,
        );
    }
    let mut at = 1_000;
    for &(inside, gap) in epochs {
        books.ledger.mark(Mark::Begin(at));
        at += inside;
        books.ledger.mark(Mark::End(at));
        at += gap;
    }
    for (number, watts) in watts.iter().enumerate().take(kinds.len()) {
        books.ledger.credit(number, Credit { from: 0, to: at, joules: watts * at as f64 * 1e-9, measured: true });
    }
    books.ledger.release_all();
    books
}

fn json_of(setting: &Arc<Setting>, books: &Books) -> Value {
    serde_json::from_str(&Report::new(setting, books, NOW, Detail::Epochs).render("json").unwrap()).unwrap()
}

fn sum(of: &Value, field: &str) -> f64 {
    of.as_array().unwrap().iter().filter_map(|entry| entry[field].as_f64()).sum()
}

#[test]
fn unknown_is_null_and_never_zero() {
    let report = json_of(&setting(None, 10), &books(&[], &[(5, 5), (5, 5)], &[]));
    for pointer in [
        "/usage/energy_j",
        "/usage/co2eq_g",
        "/usage/coverage",
        "/usage/between/energy_j",
        "/epochs/0/energy_j",
        "/epochs/1/cpu_j",
        "/run/name",
    ] {
        assert_eq!(report.pointer(pointer), Some(&Value::Null), "{pointer}");
    }
    assert!(report["notes"].to_string().contains("no source of energy was found"));
    let cpu_only = json_of(&setting(None, 0), &books(&[Kind::Cpu], &[(5, 0)], &[1.0]));
    assert!(cpu_only["epochs"][0]["cpu_j"].is_f64() && cpu_only["epochs"][0]["gpu_j"].is_null());
    assert!(cpu_only["forecast"].is_null());
}

#[test]
fn a_number_by_pointer_is_the_number_in_the_whole() {
    let (setting, books) =
        (setting(None, 10), books(&[Kind::Cpu, Kind::Dram], &[(5_000, 100), (6_000, 50), (7_000, 0)], &[100.0, 10.0]));
    let whole = json_of(&setting, &books);
    for pointer in [
        "/usage/energy_j",
        "/usage/between/duration_s",
        "/epochs/2/energy_j",
        "/epochs/0/index",
        "/components/1/energy_j",
        "/pue",
        "/schema",
        "/intensity/g_per_kwh",
    ] {
        let one = Report::new(&setting, &books, NOW, Report::detail_for(pointer)).value(pointer).unwrap();
        let there = whole.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!((one - there).abs() <= 1e-12 * there.abs(), "{pointer}: {one} {there}");
    }
    for pointer in [
        "",
        "/",
        "usage",
        "/usage",
        "/usage/energy",
        "/epochs",
        "/epochs/3/index",
        "/epochs/x/index",
        "/epochs/-1/index",
        "/run/host",
        "/epochs/0",
        "/usage/energy_j/x",
        "/~2",
    ] {
        let refused = Report::new(&setting, &books, NOW, Report::detail_for(pointer)).value(pointer).unwrap_err();
        assert_eq!(refused.status, Status::CT_ENOENT, "{pointer}");
    }
}

#[test]
fn formats_are_named_and_others_refused() {
    let report =
        Report::new(&setting(Some("x".into()), 3), &books(&[Kind::Cpu], &[(5, 5)], &[1.0]), NOW, Detail::Epochs);
    assert!(report.render("text").unwrap().starts_with("x: 1 of 3 epochs on node"));
    assert_eq!(report.render("csv").unwrap().lines().count(), 2);
    for format in ["html", "xml", ""] {
        assert_eq!(report.render(format).unwrap_err().status, Status::CT_EINVAL);
    }
}

proptest! {
    /// Whatever the run and its name, the JSON parses, its parts sum to its wholes, and CSV and Prometheus agree.
    #[test]
    fn sums_agree_in_every_format(
        name in prop::option::of(".*"),
        kinds in prop::collection::vec(prop::sample::select(Kind::ALL.to_vec()), 0..6),
        epochs in prop::collection::vec((1u64..1_000_000_000, 0u64..1_000_000_000), 0..30),
        watts in prop::collection::vec(0.0..1000.0f64, 6),
        planned in 0u64..50,
    ) {
        let (setting, books) = (setting(name, planned), books(&kinds, &epochs, &watts));
        let report = json_of(&setting, &books);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9);
        let usage = &report["usage"];
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        let total = number(&usage["energy_j"]);
        prop_assert!(near(total, number(&usage["epochs"]["energy_j"]) + number(&usage["between"]["energy_j"])));
        prop_assert!(near(total, sum(&report["components"], "energy_j")));
        prop_assert!(near(number(&usage["epochs"]["energy_j"]), sum(&report["epochs"], "energy_j")));
        prop_assert!(near(number(&usage["duration_s"]), number(&usage["epochs"]["duration_s"]) + number(&usage["between"]["duration_s"])));
        prop_assert!(near(number(&usage["co2eq_g"]), total / 3.6e6 * 1.5 * 200.0));
        let kinds_j: f64 = ["cpu_j", "gpu_j", "dram_j", "node_j"].iter().map(|kind| sum(&report["epochs"], kind)).sum();
        prop_assert!(near(kinds_j, sum(&report["epochs"], "energy_j")));
        let whole = Report::new(&setting, &books, NOW, Detail::Epochs);
        let csv = whole.render("csv").unwrap();
        prop_assert_eq!(csv.lines().count(), 1 + epochs.len());
        prop_assert!(csv.lines().all(|line| line.split(',').count() == 9));
        let prometheus = whole.render("prometheus").unwrap();
        for line in prometheus.lines().filter(|line| !line.starts_with('#')) {
            prop_assert!(line.starts_with("carbontracker_") && line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
        prop_assert!(whole.render("text").unwrap().lines().count() >= 4);
    }
}
