use super::*;
use proptest::prelude::*;

fn report(id: u64, name: Option<u8>, host: u8, epochs: u64, joules: Option<f64>) -> RunEntry {
    let report = json!({
        "run": {"id": id.to_string(), "name": name.map(|name| name.to_string()), "host": host.to_string(), "state": "done",
            "started": "2026-03-02T13:00:00Z", "epochs_done": epochs},
        "usage": {"duration_s": epochs as f64, "energy_j": joules, "facility_energy_kwh": joules, "co2eq_g": joules, "coverage": 0.5},
        "intensity": {"kind": "static"},
    });
    RunEntry::of("a.json".into(), &report).unwrap()
}

prop_compose! {
    fn any_run()(id in 0..50u64, name in proptest::option::of(0..3u8), host in 0..3u8, epochs in 0..9u64,
        joules in proptest::option::of(0.0..1e9)) -> RunEntry {
        report(id, name, host, epochs, joules)
    }
}

proptest! {
    #[test]
    fn groups_add_up_to_the_whole(runs in proptest::collection::vec(any_run(), 1..40)) {
        let whole = Totals::of(&runs);
        let runs: Vec<JobRow> = runs.into_iter().map(JobRow::single).collect();
        for by in [By::Run, By::Name, By::Host] {
            let groups = groups(&runs, by);
            let sum = |of: &dyn Fn(&Totals) -> f64| groups.iter().map(|(_, totals)| of(totals)).sum::<f64>();
            prop_assert_eq!(sum(&|totals| totals.runs as f64), whole.runs as f64);
            prop_assert_eq!(sum(&|totals| totals.epochs as f64), whole.epochs as f64);
            prop_assert_eq!(sum(&|totals| totals.without_energy as f64), whole.without_energy as f64);
            let joules = sum(&|totals| totals.energy_j.value().unwrap_or(0.0));
            prop_assert!((joules - whole.energy_j.value().unwrap_or(0.0)).abs() <= 1e-9 * joules);
        }
    }

    #[test]
    fn at_most_one_of_two_copies_is_fuller(one in any_run(), other in any_run()) {
        prop_assert!(!(one.is_fuller_than(&other) && other.is_fuller_than(&one)));
        prop_assert!(one.epochs <= other.epochs || one.is_fuller_than(&other));
    }
}

#[test]
fn missing_field_is_named() {
    let lacks = |report: &Value| RunEntry::of(String::new(), report).err().unwrap_or_default();
    assert_eq!(
        lacks(&json!({"usage": {"duration_s": -1}})),
        "/usage/duration_s is -1: expected a number from 0, or null"
    );
    assert_eq!(
        lacks(&json!({"usage": {"duration_s": 1, "energy_j": "x"}})),
        "/usage/energy_j is \"x\": expected a number from 0, or null"
    );
    assert_eq!(lacks(&json!({"usage": {"duration_s": 1}})), "/run/id is not a text");
}

#[test]
fn unknown_time_is_no_time_of_0() {
    let timeless = |usage: Value| {
        let run = json!({"id": "1", "epochs_done": 0, "started": "2026-03-02T13:00:00Z"});
        RunEntry::of(String::new(), &json!({"run": run, "usage": usage})).unwrap()
    };
    let unknown = timeless(json!({"duration_s": null}));
    assert_eq!(unknown.json()["duration_s"], Value::Null);
    let none = Totals::of([&unknown]);
    assert_eq!((none.time().as_str(), &none.json()["duration_s"]), ("unknown", &Value::Null));
    assert_eq!((none.wall_s(), &none.json()["to_unix_s"]), (None, &Value::Null), "its end is unknown");
    let both = Totals::of([&unknown, &report(2, None, 0, 3, Some(1.0))]);
    assert_eq!((both.time().as_str(), both.without_duration), ("3.00 s", 1));
    assert_eq!((both.coverage(), both.wall_s()), (Some(0.5), None));
    let used = timeless(json!({"duration_s": null, "energy_j": 1.0}));
    assert_eq!(Totals::of([&used]).coverage(), None);
}

#[test]
fn sum_without_known_values_is_unknown() {
    let totals = Totals::of(&[report(1, None, 0, 3, None)]);
    assert_eq!((totals.energy_j.value(), totals.coverage(), totals.pue.known().is_none()), (None, None, true));
    assert_eq!((totals.wall_s(), totals.shares().count()), (Some(3.0), 0));
}
