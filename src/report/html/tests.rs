use super::*;
use serde_json::json;

/// The words of a page, without those in charts.
fn words(report: &Value) -> String {
    let page = page(std::slice::from_ref(report));
    let body = page.split_once("<body>").unwrap().1;
    let (mut words, mut depth) = (String::new(), 0);
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        depth += i32::from(tag.starts_with("svg")) - i32::from(tag == "/svg");
        if depth == 0 {
            words += text;
        }
    }
    words
}

/// Two epochs of an hour, measured with one device by this source and method.
fn report(source: &str, method: &str) -> Value {
    json!({
        "run": {"id": "a", "host": "node1", "version": "0.1.0", "interval_s": 1.0, "state": "done", "epochs_done": 2},
        "usage": {"duration_s": 7200.0, "energy_j": 7.2e5, "coverage": 1.0, "epochs": {"duration_s": 7200.0}},
        "pue": 1.0,
        "intensity": {"g_per_kwh": 200.0, "kind": "constant"},
        "components": [{"kind": "cpu", "device": "A", "source": source, "method": method, "energy_j": 7.2e5}],
        "power": {"from": [0.0], "to": [7200.0], "cpu_w": [100.0], "gpu_w": null, "dram_w": null, "node_w": null},
    })
}

#[test]
fn estimates_and_simulated_devices_are_not_shown_as_measured() {
    let measured = words(&report("rapl", "counter"));
    assert!(measured.contains("the difference of its counts") && measured.contains("Readings confirm"), "{measured}");
    assert!(!measured.contains("all of it"), "{measured}");
    let cases = [
        ("simulated", "power", "all of it simulated, not measured"),
        ("cpu_model", "estimate", "all of it estimated, not measured"),
    ];
    for (source, method, expected) in cases {
        let words = words(&report(source, method));
        assert!(words.contains(expected), "{words}");
        for wrong in ["counts", "Readings confirm", "other programs", "of the run's time"] {
            assert!(!words.contains(wrong), "{wrong}: {words}");
        }
    }
    let mut mixed = report("rapl", "counter");
    let more = json!({"kind": "gpu", "device": "B", "source": "simulated", "method": "power", "energy_j": 2.4e5});
    mixed["components"].as_array_mut().unwrap().push(more);
    assert!(words(&mixed).contains("25.0 % of it simulated"));
    mixed["components"][0]["kind"] = "node".into();
    assert!(words(&mixed).contains("parts that the node's own meter does not cover"));
}

/// Carbontracker's logs state little; the page adds nothing to it.
#[test]
fn imported_logs_are_not_shown_as_our_measurements() {
    let mut report = report("carbontracker 2.4.7", "power");
    report["run"]["version"] = Value::Null;
    report["run"]["state"] = "between".into();
    report["run"]["epochs_planned"] = 9.into();
    report["pue"] = Value::Null;
    report["usage"]["coverage"] = Value::Null;
    report["intensity"] = json!({"g_per_kwh": 445.0, "kind": null, "source": "by Carbontracker, at Lund"});
    let estimate = json!({"value": 3.6e6, "low": null, "high": null});
    report["forecast"] = json!({"after_epochs": null, "level": null, "energy_j": estimate});
    let words = words(&report);
    assert!(words.contains("read from logs in the format of Carbontracker"), "{words}");
    assert!(
        words.contains("445 gCO2e/kWh, by Carbontracker, at Lund") && words.contains("The PUE is not known"),
        "{words}"
    );
    assert!(words.contains("Forecast of all 9 epochs: energy 1.00 kWh."), "{words}");
    for wrong in ["C library", "yearly average", "begin and the end", "unknown zone", "intervals", "of the time"] {
        assert!(!words.contains(wrong), "{wrong}: {words}");
    }
}

#[test]
fn interrupted_epochs_are_shown() {
    let mut report = report("rapl", "counter");
    let resumed = |lost_epochs: u64, lost_j: Value| json!({"times": 1, "lost_epochs": lost_epochs, "lost_s": 60.0, "lost_j": lost_j});
    report["run"]["resumed"] = resumed(0, Value::Null);
    let none = words(&report);
    assert!(none.contains("Resumed once. No interrupted epoch is known"), "{none}");
    assert!(
        none.contains("The time between the processes of the run is not included") && !none.contains("did not end"),
        "{none}"
    );
    report["run"]["resumed"] = resumed(2, json!(500.0));
    let some = words(&report);
    assert!(
        some.contains("Interrupted epochs: 2. Their use is not in the figures above; the journal has 1 min, 139 mWh."),
        "{some}"
    );
    assert_eq!(some.matches("includes epochs that did not end").count(), 1, "of power");
}

/// A report from a journal has no hourly figures.
#[test]
fn flat_charts_are_left_out() {
    let mut report = report("rapl", "counter");
    report["intensity"] = json!({"g_per_kwh": 200.0, "kind": "file", "hours": null});
    assert!(!words(&report).contains("CO2e since the run began"));
    let hours = |g: [f64; 2]| json!({"from": [0.0, 3600.0], "to": [3600.0, 7200.0], "g_per_kwh": g});
    report["intensity"]["hours"] = hours([200.0, 200.5]);
    assert!(!words(&report).contains("CO2e since the run began") && !words(&report).contains("Carbon intensity of"));
    report["intensity"]["hours"] = hours([100.0, 300.0]);
    assert!(words(&report).contains("CO2e since the run began") && words(&report).contains("Carbon intensity of"));
}

#[test]
fn a_time_axis_has_its_dates() {
    let mut report = report("rapl", "counter");
    assert!(words(&report).contains("Mean power by time of day on 1970-01-01, UTC."));
    report["power"]["to"][0] = json!(90_000.0);
    assert!(words(&report).contains("Mean power by time, 1970-01-01 00:00 to 1970-01-02 01:00 UTC."));
}

#[test]
fn a_rank_whose_devices_another_counts_is_marked() {
    let mut rank = report("rapl", "counter");
    rank["components"] = json!([]);
    rank["usage"]["energy_j"] = Value::Null;
    rank["job"] = json!({"agreed": true, "devices": [{"ids": ["intel-rapl:0"], "counted_here": false, "process": 7}]});
    let alone = words(&rank);
    assert!(alone.contains("another process of the job counts the devices") && !alone.contains("No energy"), "{alone}");
    assert!(alone.contains("in another rank's"), "{alone}");
    rank["job"]["devices"] = json!([]);
    assert!(words(&rank).contains("Nothing: times are measured") && words(&rank).contains("No energy was measured"));
}

/// Eight ranks on two nodes. The first rank of each node counts the processors.
#[test]
fn the_ranks_of_a_job_are_one_run() {
    let rank = |number: u64| {
        let mut rank = report("rapl", "counter");
        rank["run"]["id"] = json!(number.to_string());
        rank["run"]["name"] = json!("lulesh");
        rank["run"]["host"] = json!(format!("node{}", number / 4));
        rank["run"]["started"] = json!("2026-03-02T13:00:00Z");
        rank["run"]["epochs_planned"] = json!(4);
        rank["forecast"] =
            json!({"after_epochs": 2, "level": 0.9, "energy_j": {"value": 1.44e6, "low": 1.4e6, "high": 1.5e6}});
        rank["components"][0]["mean_power_w"] = json!(100.0);
        rank["components"][0]["coverage"] = json!(1.0);
        rank["usage"]["co2eq_g"] = json!(40.0);
        [("job", json!("SLURM job 7")), ("rank", json!(number)), ("ranks", json!(8))]
            .into_iter()
            .for_each(|(name, value)| rank["run"][name] = value);
        if number % 4 != 0 {
            ["forecast", "power"].iter().for_each(|name| rank[name] = Value::Null);
            rank["components"] = json!([]);
            ["energy_j", "co2eq_g"].iter().for_each(|name| rank["usage"][name] = Value::Null);
        }
        rank
    };
    let mut reports: Vec<Value> = (0..8).map(rank).collect();
    let alone = page(&reports);
    assert!(alone.contains("<title>lulesh: 1 run, 8 ranks · carbontracker</title>"), "{alone}");
    assert_eq!((alone.matches("<article").count(), alone.matches("<details").count()), (1, 0));
    for words in [
        "8 ranks on 2 nodes, SLURM job 7, 2026-03-02 13:00:00 UTC, done",
        ">400 Wh</data>",
        "Forecast of all ",
        ">800 Wh</data>",
        "<h2>Nodes</h2>",
        " on node1",
    ] {
        assert!(alone.contains(words), "{words}: {alone}");
    }
    assert!(!alone.contains(">unknown<"), "a rank that counts nothing is not unknown: {alone}");
    let mut other = report("rapl", "counter");
    other["run"]["id"] = json!("other");
    reports.push(other);
    let both = page(&reports);
    assert!(both.contains("<h1>2 runs, 9 ranks</h1>"), "{both}");
    assert_eq!((both.matches("<details").count(), both.matches("<tr data-report=").count()), (2, 2));
}

/// Runs of one name have a row with their mean and range. A column has one unit, and each run a bar.
#[test]
fn several_runs_can_be_compared_by_eye() {
    let of = |id: &str, name: &str, joules: f64| {
        let mut one = report("rapl", "counter");
        (one["run"]["id"], one["run"]["name"]) = (json!(id), json!(name));
        one["usage"]["energy_j"] = json!(joules);
        one
    };
    let page = page(&[of("a", "net", 3.6e3), of("b", "net", 7.2e3), of("c", "big", 3.6e6)]);
    assert!(page.contains(">0.00150 (0.00100 to 0.00200)<") && page.contains(">energy,\u{a0}kWh<"), "{page}");
    assert_eq!(page.matches("<td class=\"bar\"><span style=\"width:").count(), 3);
    assert!(!page.contains(">big</th><td class=\"n\" data-label=\"runs\">"), "one run is no group");
}

/// A card that does nothing is seen.
#[test]
fn each_of_several_gpus_has_its_share() {
    let mut one = report("nvml", "counter");
    let gpu = |id: &str, joules: f64| json!({"kind": "gpu", "device": "H", "id": id, "source": "nvml", "method": "counter", "energy_j": joules});
    one["components"] = json!([gpu("a", 3e5), gpu("b", 1e5), gpu("c", 0.0)]);
    let words = words(&one);
    assert!(["GPU 0, 75.0 %", "GPU 1, 25.0 %", "GPU 2, 0.0 %"].iter().all(|part| words.contains(part)), "{words}");
}

/// An identifier says nothing to a reader, so it is the last resort.
#[test]
fn run_without_a_name_has_its_host_and_start_as_title() {
    let mut unnamed = report("rapl", "counter");
    unnamed["run"] = json!({"id": "9f819d36", "host": "node1", "started": "2026-03-02T13:00:00Z"});
    let title = |of: &Value| {
        page(std::slice::from_ref(of)).split("<title>").nth(1).map(|rest| rest[..rest.find('<').unwrap()].to_owned())
    };
    assert_eq!(title(&unnamed).as_deref(), Some("Run on node1, 2026-03-02 13:00:00 UTC · carbontracker"));
    unnamed["run"]["started"] = Value::Null;
    assert_eq!(title(&unnamed).as_deref(), Some("Run 9f819d36 · carbontracker"));
    unnamed["run"] = json!({});
    assert_eq!(title(&unnamed).as_deref(), Some("Run without a name · carbontracker"));
}

#[test]
fn several_runs_have_a_timeline_their_provenance_and_their_pue() {
    let run = |day: u32, joules: f64| {
        let mut run = report("simulated", "power");
        run["run"]["id"] = json!(format!("run-{day}"));
        run["run"]["started"] = json!(format!("2026-03-{day:02}T13:00:00Z"));
        run["usage"]["energy_j"] = json!(joules);
        run["usage"]["facility_energy_kwh"] = json!(joules * 1.5 / 3.6e6);
        run["pue"] = json!(1.5);
        run["components"][0]["energy_j"] = json!(joules);
        run
    };
    let several = page(&[run(2, 3.6e6), run(3, 7.2e6)]);
    for words in ["all of it simulated, not measured", "By day", "2026-03-02", "width:50.0%", "4.50 kWh with PUE"] {
        assert!(several.contains(words), "{words}: {several}");
    }
    let coverage_columns = |page: &str| page.matches("coverage</th>").count();
    assert_eq!(coverage_columns(&several), 2, "only those of the devices: all is covered");
    let mut lacking = run(4, 1.0);
    lacking["usage"]["coverage"] = json!(0.5);
    let lacking = page(&[run(4, 3.6e6), lacking]);
    assert_eq!(coverage_columns(&lacking), 3);
    assert!(!lacking.contains("By day"), "one day is no timeline");
}
