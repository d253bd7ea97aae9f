use super::*;
use proptest::prelude::*;
use serde_json::json;

/// A rank of 8, from one second to another.
fn part(rank: u64, from: f64, to: f64) -> RankReport<'static> {
    RankReport {
        job: Some("SLURM job 7"),
        name: Some("lulesh"),
        rank: Some(rank),
        ranks: Some(8),
        from: Some(from),
        to: Some(to),
    }
}

/// A name, the reports, and the expected rows.
type Case = (&'static str, Vec<RankReport<'static>>, &'static [&'static [usize]]);

#[test]
fn ranks_of_one_job_that_overlap_are_one_run() {
    let (a, b) = (part(0, 0.0, 100.0), part(1, 1.0, 90.0));
    let cases: [Case; 14] = [
        ("two ranks", vec![a, b], &[&[0, 1]]),
        ("in any order", vec![b, a], &[&[1, 0]]),
        ("a late one", vec![a, part(1, 99.0, 300.0), part(2, 290.0, 310.0)], &[&[0, 1, 2]]),
        ("another job", vec![a, RankReport { job: Some("SLURM job 8"), ..b }], &[&[0], &[1]]),
        ("no job", vec![RankReport { job: None, ..a }, RankReport { job: None, ..b }], &[&[0], &[1]]),
        ("no rank", vec![a, RankReport { rank: None, ..b }], &[&[0], &[1]]),
        ("another label", vec![a, RankReport { name: None, ..b }], &[&[0], &[1]]),
        ("another size", vec![a, RankReport { ranks: Some(16), ..b }], &[&[0], &[1]]),
        ("no size", vec![RankReport { ranks: None, ..a }, RankReport { ranks: None, ..b }], &[&[0, 1]]),
        ("one after another", vec![a, part(1, 200.0, 300.0)], &[&[0], &[1]]),
        ("the same rank twice", vec![a, part(0, 1.0, 50.0)], &[&[0], &[1]]),
        ("two steps at once", vec![a, part(0, 2.0, 50.0), b, part(1, 3.0, 50.0)], &[&[0, 2], &[1, 3]]),
        ("two steps in a row", vec![a, b, part(0, 102.0, 200.0), part(1, 102.0, 200.0)], &[&[0, 1], &[2, 3]]),
        ("one that is still running", vec![RankReport { to: None, ..a }, part(1, 500.0, 600.0)], &[&[0, 1]]),
    ];
    for (about, parts, expected) in cases {
        assert_eq!(joined(&parts), expected, "{about}");
    }
}

/// Runs started by xargs in one job: all are rank 0.
#[test]
fn many_short_runs_of_one_rank_stay_separate() {
    let parts: Vec<RankReport> = (0..10_000).map(|n| part(0, f64::from(n) * 0.1, f64::from(n) * 0.1 + 1.0)).collect();
    assert_eq!(joined(&parts).len(), 10_000);
}

prop_compose! {
    fn any_part()(job in proptest::option::of(0..2usize), name in 0..2usize, rank in proptest::option::of(0..5u64),
        from in proptest::option::of(0.0..100.0), took in proptest::option::of(0.0..50.0)) -> RankReport<'static> {
        let words = ["a", "b"];
        let to = from.zip(took).map(|(from, took): (f64, f64)| from + took);
        RankReport { job: job.map(|job| words[job]), name: Some(words[name]), rank, ranks: Some(5), from, to }
    }
}

proptest! {
    #[test]
    fn rows_hold_each_run_once_and_no_rank_twice(parts in proptest::collection::vec(any_part(), 0..40)) {
        let rows = joined(&parts);
        let mut all: Vec<usize> = rows.concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..parts.len()).collect::<Vec<_>>());
        for row in rows.iter().filter(|row| row.len() > 1) {
            let ranks: BTreeSet<Option<u64>> = row.iter().map(|&place| parts[place].rank).collect();
            prop_assert!(ranks.len() == row.len() && !ranks.contains(&None));
            prop_assert!(row.iter().all(|&place| parts[place].job.is_some() && parts[place].job == parts[row[0]].job));
            let end = |place: usize| parts[place].end();
            let latest = |n: usize| row[..=n].iter().map(|&place| end(place)).fold(0.0, f64::max);
            let overlap = row.windows(2).enumerate().all(|(n, pair)| latest(n) >= parts[pair[1]].from.unwrap());
            prop_assert!(overlap);
        }
    }
}

const START: f64 = 1_772_456_400.0; // 2026-03-02T13:00:00Z

/// A rank of two epochs, 100 s each.
fn rank(number: u64, host: &str, energy_j: Option<f64>) -> Value {
    let grams = energy_j.map(|joules| joules / 3.6e6 * 150.0);
    let each = energy_j.map(|joules| joules / 2.0);
    let estimate = |of: Option<f64>| of.map(|value| json!({"value": value, "low": value * 0.9, "high": value * 1.2}));
    let epoch = |n: u64| {
        json!({"index": n, "count": 1, "duration_s": 100.0, "energy_j": each, "co2eq_g": grams, "cpu_j": each,
        "gpu_j": null, "dram_j": null, "node_j": null, "coverage": each.map(|_| 1.0)})
    };
    let device = json!({"kind": "cpu", "device": "EPYC", "id": "a", "source": "rapl", "method": "counter", "energy_j": energy_j,
        "mean_power_w": energy_j.map(|joules| joules / 200.0), "coverage": 1.0, "status": "ok", "note": null});
    json!({
        "schema": 1,
        "run": {"id": number.to_string(), "name": "lulesh", "host": host, "job": "SLURM job 7", "rank": number, "ranks": 4,
            "started": "2026-03-02T13:00:00Z", "last_end_unix_s": START + 230.0, "state": "done", "epochs_planned": 3, "epochs_done": 2, "progress": null, "resumed": null},
        "usage": {"duration_s": 200.0, "energy_j": energy_j, "energy_kwh": energy_j.map(|joules| joules / 3.6e6),
            "facility_energy_kwh": energy_j.map(|joules| joules / 3.6e6 * 1.5), "co2eq_g": grams, "coverage": energy_j.map(|_| 1.0),
            "epochs": {"duration_s": 200.0, "energy_j": energy_j}, "between": {"duration_s": 0.0, "energy_j": null}},
        "forecast": {"after_epochs": 2, "level": 0.9, "duration_s": estimate(Some(300.0 + number as f64)), "energy_j": estimate(energy_j),
            "co2eq_g": estimate(grams)},
        "forecasts": [{"after_epochs": 1, "duration_s": estimate(Some(300.0)), "energy_j": estimate(energy_j)}],
        "intensity": {"g_per_kwh": 100.0, "kind": "static", "zone": "DK"},
        "pue": 1.5,
        "components": if energy_j.is_some() { json!([device]) } else { json!([]) },
        "unavailable": [],
        "epochs": [epoch(0), epoch(1)],
        "power": energy_j.map(|joules| json!({"from": [START + 30.0], "to": [START + 230.0], "cpu_w": [joules / 200.0],
            "gpu_w": null, "dram_w": null, "node_w": null})),
        "extras": {"cost": {"amount": energy_j, "forecast": energy_j, "currency": "EUR", "per_kwh": 0.3}, "embodied": {"co2eq_g": 7.0, "kg": 100.0}},
        "what_if": {"co2eq_g": grams, "zones": [{"zone": "FR", "g_per_kwh": 40.0, "co2eq_g": grams, "saves_share": 0.6}]},
        "notes": ["mind"],
    })
}

fn close(value: &Value, expected: f64) {
    assert!(value.as_f64().is_some_and(|value| (value / expected - 1.0).abs() < 1e-12), "{value} is not {expected}");
}

/// A rank that took a device over later had no forecast of its energy before.
#[test]
fn earlier_forecast_is_unknown_where_that_of_a_rank_is() {
    let ranks = [rank(0, "node1", Some(4e4)), rank(1, "node1", Some(2e4))];
    let mut late = ranks.clone();
    late[1]["forecasts"][0]["energy_j"] = Value::Null;
    let forecast = |ranks: &[Value; 2]| merged(&[&ranks[0], &ranks[1]])["forecasts"][0].clone();
    close(&forecast(&ranks)["energy_j"]["value"], 6e4);
    assert_eq!(forecast(&late)["energy_j"], Value::Null);
    close(&forecast(&late)["duration_s"]["value"], 300.0);
}

#[test]
fn a_job_is_the_sum_of_its_ranks() {
    let ranks =
        [rank(0, "node1", Some(4e4)), rank(1, "node1", None), rank(2, "node2", Some(2e4)), rank(3, "node2", None)];
    let rows = rows(&ranks);
    assert_eq!(rows.len(), 1);
    let job = &*rows[0];
    let run = json!({"name": "lulesh", "host": null, "hosts": ["node1", "node2"], "job": "SLURM job 7", "rank": null, "ranks": 4,
        "ranks_found": 4, "state": "done", "epochs_planned": 3, "epochs_done": 2});
    for (field, expected) in run.as_object().unwrap() {
        assert_eq!(job["run"][field], *expected, "{field}");
    }
    assert_eq!(place(job).as_deref(), Some("4 ranks on 2 nodes"));
    close(&job["usage"]["energy_j"], 6e4);
    close(&job["usage"]["co2eq_g"], 2.5);
    close(&job["usage"]["duration_s"], 200.0);
    close(&job["usage"]["coverage"], 1.0);
    close(&job["forecast"]["energy_j"]["low"], 5.4e4);
    close(&job["forecast"]["duration_s"]["value"], 303.0);
    close(&job["forecasts"][0]["energy_j"]["value"], 6e4);
    assert_eq!(
        (&job["intensity"]["g_per_kwh"], &job["pue"], &job["forecast"]["level"]),
        (&json!(100.0), &json!(1.5), &json!(0.9))
    );
    assert_eq!((&job["power"]["cpu_w"], &job["power"]["gpu_w"]), (&json!([300.0]), &Value::Null));
    assert_eq!(job["epochs"].as_array().map(Vec::len), Some(2));
    close(&job["epochs"][1]["cpu_j"], 3e4);
    close(&job["epochs"][1]["duration_s"], 100.0);
    assert_eq!(job["components"].as_array().map(Vec::len), Some(2));
    assert_eq!(job["components"][1]["host"], "node2");
    assert_eq!(job["nodes"][0], json!({"host": "node1", "ranks": 2, "counting": [0], "energy_j": 4e4}));
    close(&job["extras"]["cost"]["forecast"], 6e4);
    close(&job["extras"]["embodied"]["co2eq_g"], 7.0);
    close(&job["what_if"]["zones"][0]["co2eq_g"], 2.5);
    assert_eq!((&job["what_if"]["zones"][0]["g_per_kwh"], &job["notes"]), (&json!(40.0), &json!(["mind"])));
}

/// 0.1 + 0.7 - 0.7 - 0.1 is less than 0.
#[test]
fn a_job_has_the_phases_of_all_ranks() {
    let phases = |path: &str, seconds: f64, joules: Option<f64>| {
        let used = json!({"duration_s": seconds, "energy_j": joules, "energy_low_j": joules, "energy_high_j": joules});
        let mut row = json!({"path": path, "name": path, "depth": 1, "entries": 1, "own": used, "epochs": used});
        row.as_object_mut().unwrap().extend(used.as_object().unwrap().clone());
        json!({"duration_s": seconds, "energy_j": joules, "level": 0.9, "rows": [row]})
    };
    let (mut counting, mut other, mut before) =
        (rank(0, "node1", Some(1e4)), rank(1, "node1", None), rank(2, "node1", None));
    counting["phases"] = phases("solve", 2.0, Some(100.0));
    other["phases"] = phases("output", 3.0, None);
    before["phases"] = phases("solve", 1.0, Some(20.0)); // it counted before its first epoch
    let job = merged(&[&counting, &other, &before]);
    assert_eq!((&job["phases"]["energy_j"], &job["phases"]["duration_s"]), (&json!(120.0), &json!(3.0)));
    let rows = &job["phases"]["rows"];
    assert_eq!((&rows[0]["energy_j"], &rows[0]["mean_power_w"]), (&json!(120.0), &json!(60.0)));
    assert_eq!((&rows[1]["path"], &rows[1]["energy_j"]), (&json!("output"), &Value::Null));
}

#[test]
fn power_is_never_negative() {
    let part = |number: u64, from: f64, to: f64, watts: f64| {
        let mut rank = rank(number, "node1", Some(1e4));
        rank["power"] = json!({"from": [START + from], "to": [START + to], "cpu_w": [watts]});
        rank
    };
    let job = merged(&[&part(0, 0.0, 9.0, 0.0), &part(1, 0.0, 5.0, 0.1), &part(2, 1.0, 4.0, 0.7)]);
    let watts = job["power"]["cpu_w"].as_array().unwrap();
    assert!(watts.iter().all(|watts| watts.as_f64() >= Some(0.0)), "{watts:?}");
}

/// One rank ends and another takes over: it is one device with full coverage.
#[test]
fn a_handed_over_device_is_one_device() {
    let mut first = rank(0, "node1", Some(1e4));
    let mut second = rank(1, "node1", Some(1e4));
    first["usage"]["duration_s"] = json!(100.0);
    first["run"]["last_end_unix_s"] = json!(START + 130.0);
    first["epochs"].as_array_mut().unwrap().pop();
    first["epochs"][0]["energy_j"] = json!(1e4);
    first["power"] = json!({"from": [START + 30.0], "to": [START + 130.0], "cpu_w": [100.0]});
    first["run"]["epochs_done"] = json!(1);
    second["power"] = json!({"from": [START + 130.0], "to": [START + 230.0], "cpu_w": [100.0]});
    second["components"][0]["coverage"] = json!(0.5);
    second["components"][0]["mean_power_w"] = json!(100.0);
    second["epochs"][0]["energy_j"] = Value::Null;
    second["epochs"][1]["energy_j"] = json!(1e4);
    first["components"][0]["mean_power_w"] = json!(100.0);
    let job = merged(&[&second, &first]);
    close(&job["usage"]["coverage"], 1.0);
    close(&job["usage"]["duration_s"], 200.0);
    close(&job["components"][0]["mean_power_w"], 100.0);
    assert_eq!((job["components"].as_array().map(Vec::len), &job["run"]["epochs_done"]), (Some(1), &json!(2)));
    assert_eq!(job["power"]["cpu_w"], json!([100.0, 100.0]));
    assert_eq!(
        job["epochs"].as_array().unwrap().iter().map(|epoch| epoch["energy_j"].as_f64()).collect::<Vec<_>>(),
        [Some(1e4); 2]
    );
}

/// A finished rank uses nothing more; the rank that counts its devices now forecasts the rest.
#[test]
fn a_finished_rank_adds_its_use_to_the_forecast() {
    let mut living = rank(1, "node1", Some(1e4));
    living["run"]["state"] = json!("in_epoch");
    living["forecast"]["energy_j"] = json!({"value": 5e4, "low": 4e4, "high": 7e4});
    let job = merged(&[&rank(0, "node1", Some(2e4)), &living]);
    assert_eq!(job["forecast"]["energy_j"], json!({"value": 7e4, "low": 6e4, "high": 9e4}));
    assert_eq!((&job["forecast"]["level"], &job["run"]["state"]), (&json!(0.9), &json!("in_epoch")));
    living["forecast"] = Value::Null;
    assert!(merged(&[&rank(0, "node1", Some(2e4)), &living])["forecast"].is_null());
}

/// The journal of a killed rank has no end. Another rank counts its devices and forecasts the rest.
#[test]
fn a_killed_and_replaced_rank_adds_its_use_to_the_forecast() {
    let devices = |here: bool| json!({"devices": [{"ids": ["intel-rapl:0"], "counted_here": here, "process": 7}]});
    let unfinished = |number: u64, host: &str, joules: f64, here: bool, end: f64| {
        let mut rank = rank(number, host, Some(joules));
        rank["run"]["state"] = json!("unfinished");
        rank["run"]["last_end_unix_s"] = json!(START + end);
        rank["job"] = devices(here);
        rank
    };
    let forecast = |ranks: [&Value; 2]| merged(&ranks)["forecast"]["energy_j"]["value"].as_f64();
    let mut killed = unfinished(0, "node1", 2e4, true, 100.0);
    killed["forecast"]["energy_j"] = json!({"value": 5e4, "low": 4e4, "high": 6e4});
    let mut heir = unfinished(1, "node1", 1e4, true, 200.0);
    heir["forecast"]["energy_j"] = json!({"value": 3e4, "low": 2e4, "high": 4e4});
    assert_eq!(forecast([&killed, &heir]), Some(5e4));
    assert_eq!(forecast([&killed, &unfinished(1, "node2", 1e4, true, 200.0)]), Some(6e4), "another node's device");
    assert_eq!(forecast([&killed, &unfinished(1, "node1", 1e4, true, 100.0)]), Some(6e4), "not later");
    assert_eq!(forecast([&killed, &unfinished(1, "node1", 1e4, false, 200.0)]), Some(6e4), "not counted there");
    heir["run"]["state"] = json!("done");
    assert_eq!(forecast([&killed, &heir]), Some(5e4), "the job is over");
    let mut waiting = unfinished(1, "node1", 1e4, false, 200.0);
    waiting["forecast"]["energy_j"] = Value::Null;
    assert_eq!(forecast([&killed, &waiting]), Some(6e4), "a rank without a forecast adds what it used");
}

/// The journal of a rank that counts nothing is older, so the epochs are those of the rank that counts.
#[test]
fn the_open_epoch_is_that_of_the_counting_rank() {
    let (mut counting, mut other) = (rank(0, "node1", Some(2e4)), rank(1, "node1", None));
    for (rank, done, open_s, joules) in [(&mut counting, 2, 3.0, json!(300.0)), (&mut other, 1, 90.0, Value::Null)] {
        rank["run"]["state"] = json!("unfinished");
        rank["run"]["epochs_done"] = json!(done);
        rank["run"]["open"] = json!({"duration_s": open_s, "energy_j": joules});
    }
    let run = &merged(&[&other, &counting])["run"];
    assert_eq!((&run["epochs_done"], &run["open"]), (&json!(2), &json!({"duration_s": 3.0, "energy_j": 300.0})));
}

#[test]
fn an_unknown_end_is_none() {
    let mut report = rank(0, "node1", Some(2e4));
    assert_eq!(RankReport::of(&report).to, Some(START + 230.0));
    report["run"]["last_end_unix_s"] = Value::Null;
    assert_eq!(RankReport::of(&report).to, Some(START + 230.0));
    report["power"] = Value::Null;
    assert_eq!(RankReport::of(&report).to, Some(START + 200.0));
    report["run"]["resumed"] = json!({"times": 1, "lost_s": 0.0});
    assert_eq!((RankReport::of(&report).to, RankReport::of(&report).rank), (None, Some(0)));
    report["run"]["resumed"] = Value::Null;
    report["run"]["state"] = json!("unfinished");
    assert_eq!(RankReport::of(&report).to, None);
}

#[test]
fn a_job_is_agreed_only_if_all_ranks_agree() {
    let (mut one, mut other) = (rank(0, "node1", Some(2e4)), rank(1, "node1", Some(2e4)));
    assert!(merged(&[&one, &other])["job"]["agreed"].is_null());
    one["job"] = json!({"agreed": true, "devices": []});
    other["job"] = json!({"agreed": false, "devices": []});
    assert_eq!(merged(&[&one, &other])["job"]["agreed"], false);
}

#[test]
fn the_duration_is_the_union_of_all_ranks() {
    let mut late = rank(1, "node1", Some(1e4));
    late["run"]["last_end_unix_s"] = json!(START + 330.0);
    late["power"] = json!({"from": [START + 130.0], "to": [START + 330.0], "cpu_w": [50.0]});
    let job = merged(&[&rank(0, "node1", Some(1e4)), &late, &rank(2, "node1", None)]);
    close(&job["usage"]["duration_s"], 300.0);
    assert_eq!(job["power"]["cpu_w"], json!([50.0, 100.0, 50.0]));
    let nothing = merged(&[&rank(0, "node1", None), &rank(1, "node1", None)]);
    close(&nothing["usage"]["duration_s"], 200.0);
    assert!(nothing["usage"]["energy_j"].is_null() && nothing["power"].is_null(), "{nothing}");
}

#[test]
fn epochs_in_different_groups_are_joined() {
    let rows = |spans: &[(u64, u64)]| -> Value {
        let row = |(index, count): &(u64, u64)| json!({"index": index, "count": count, "duration_s": count, "energy_j": count, "coverage": 1.0});
        json!({"epochs": spans.iter().map(row).collect::<Value>()})
    };
    let (fine, coarse) = (rows(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]), rows(&[(0, 2), (2, 1)]));
    let joined = series::epochs(&[&coarse, &fine]);
    let shown: Vec<[f64; 4]> = joined
        .as_array()
        .unwrap()
        .iter()
        .map(|row| ["index", "count", "duration_s", "energy_j"].map(|name| row[name].as_f64().unwrap()))
        .collect();
    assert_eq!(shown, [[0.0, 2.0, 2.0, 4.0], [2.0, 1.0, 1.0, 2.0], [3.0, 1.0, 1.0, 1.0], [4.0, 1.0, 1.0, 1.0]]);
}

#[test]
fn a_rank_counted_elsewhere_is_found_by_its_fields() {
    let with = |job: Value| {
        let mut report = rank(1, "node1", None);
        report["job"] = job;
        is_counted_elsewhere(&report)
    };
    let device = |process: Value, here: bool| json!({"devices": [{"process": process, "counted_here": here}]});
    assert!(with(Value::Null) && with(device(json!(7), false)));
    assert!(!with(device(Value::Null, false)) && !with(device(json!(7), true)) && !with(json!({"devices": []})));
    // The form of version 0.1.0.
    let old = |reason: &str| json!({"run": {"id": "a"}, "usage": {"energy_j": null}, "unavailable": [{"source": "rapl", "reason": reason}]});
    assert!(is_counted_elsewhere(&old("intel-rapl:0: counted by process 7 of this job, and not here")));
    assert!(!is_counted_elsewhere(&old("/sys/class/powercap is missing")));
    assert!(!is_counted_elsewhere(&rank(0, "node1", Some(1.0))) && !is_counted_elsewhere(&json!({"run": {"id": "a"}})));
}

/// Two ranks of a node took turns, and each lists the device. The words of the reason do not matter.
#[test]
fn devices_counted_by_another_rank_are_found_by_a_field() {
    let with = |number: u64, entry: Value| {
        let mut rank = rank(number, "node1", Some(2e4));
        rank["job"] =
            json!({"devices": [{"device": "the processors", "ids": ["a"], "counted_here": false, "process": 7}]});
        rank["unavailable"] =
            json!([entry, {"source": "nvml", "reason": "a: no driver", "cure": null, "counted_elsewhere": false}]);
        rank
    };
    let reworded = json!({"source": "rapl", "reason": "rank 7 has it", "counted_elsewhere": true, "counted_by_pid": 7});
    // The form of version 0.1.0.
    let old = json!({"source": "rapl", "reason": "a: counted by process 7 of this job, and not here"});
    let job = merged(&[&with(0, reworded), &with(1, old)]);
    assert_eq!(job["unavailable"].as_array().unwrap().len(), 1, "{}", job["unavailable"]);
    assert_eq!((&job["unavailable"][0]["source"], job["usage"]["energy_j"].as_f64()), (&json!("nvml"), Some(4e4)));
}

/// The pointers of all values in a report.
fn pointers(at: &str, value: &Value, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| pointers(&format!("{at}/{name}"), value, all)),
        Value::Array(list) => list.iter().enumerate().for_each(|(n, value)| pointers(&format!("{at}/{n}"), value, all)),
        _ => (),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// With any change in the ranks' files, the job has a page.
    #[test]
    fn odd_files_give_a_page(changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..2, 0usize..9), 1..12)) {
        let mut ranks = [rank(0, "node1", Some(4e4)), rank(1, "node1", Some(2e4))];
        let mut all = Vec::new();
        pointers("", &ranks[0], &mut all);
        for (place, which, what) in changes {
            let odd = [Value::Null, json!(-1e300), json!(1e308), json!(u64::MAX), json!("x"), json!([]), json!({}), json!([1e9, -5, null]), json!(0)];
            if let Some(value) = ranks[which].pointer_mut(place.get::<String>(&all)) {
                *value = odd[what].clone();
            }
        }
        let job = merged(&[&ranks[0], &ranks[1]]);
        prop_assert!(job.is_object() && crate::report::html::page(&[job]).ends_with("</html>"));
    }
}
