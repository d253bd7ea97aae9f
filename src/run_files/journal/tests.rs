use super::*;
use crate::attribution::carried_over::{CarriedOver, LostEnergy};
use crate::attribution::epochs::{Epoch, EpochStore, RecordedFigures};
use crate::attribution::ledger::Mark;
use crate::carbon::intensity::{Intensity, IntensityKind};
use crate::carbon::select;
use crate::clock::MonoNs;
use crate::coordination::job::Rank;
use crate::measurement::channel::{MeasuringMethod, Quantity};
use crate::measurement::meter::EnergyInterval;
use crate::measurement::source_name::SourceName;
use crate::options::Options;
use crate::report::{Detail, Now, ReportSettings};
use crate::run_files::crash_counter::Count;
use crate::state::RunState;
use crate::units::ErrorBand;
use proptest::prelude::*;
use std::sync::Arc;

const MS: u64 = 1_000_000;

fn settings() -> Arc<ReportSettings> {
    Arc::new(ReportSettings {
        id: "0123456789abcdef".into(),
        name: Some("a \"name\"".into()),
        host: "node".into(),
        job: None,
        rank: Rank::default(),
        started: "2026-01-02T03:04:05Z".into(),
        interval_s: 1.0,
        planned: 100,
        level: 0.9,
        budgets: crate::state::config::Budgets::default(),
        prints: false,
        monitored: None,
        elsewhere: None,
        rates: Default::default(),
    })
}

fn new_state() -> RunState {
    let options = Options::parse("intensity=200", |_| None).unwrap();
    RunState::new(select::choose(&options.carbon, |_| None).unwrap().grid, 1.2)
}

fn one(kind: DeviceKind, id: &str) -> Channel {
    let quantity = Quantity::Power { max_watts: 1e5 };
    Channel::new((kind, SourceName::Rapl), format!("device {id}"), id, MeasuringMethod::Counter, quantity)
}

/// Runs epochs of an attempt: (length, time after it), ms, at these powers, W, on the last channels. Returns
/// the end, ns.
fn live(state: &mut RunState, start: u64, epochs: &[(u64, u64)], watts: &[f64]) -> u64 {
    let mut at = start;
    let from = state.metering.channels.len() - watts.len();
    for &(inside, gap) in epochs {
        state.attribution.ledger.mark(Mark::Begin(MonoNs(at)));
        at += inside * MS;
        state.attribution.ledger.mark(Mark::End(MonoNs(at)));
        at += gap * MS;
    }
    for (number, watts) in watts.iter().enumerate() {
        let joules = watts * (at - start) as f64 * 1e-9;
        state
            .attribution
            .ledger
            .credit(from + number, EnergyInterval { from: MonoNs(start), to: MonoNs(at), joules, measured: true });
    }
    state.attribution.ledger.release_all();
    state.settle(MonoNs(at));
    at
}

fn report(state: &RunState, at: u64, detail: Detail) -> Report {
    Report::new(&settings(), state, Now { at: MonoNs(at), whole: true, open: None }, detail)
}

/// The lines that an attempt writes.
fn lines(state: &RunState, at: u64, attempt: u64, written: u64) -> String {
    let already = state.attribution.ledger.history().first(written).fold(Epoch::none(), |all, one| all.joined(one));
    let mut report = report(state, at, Detail::Since(already));
    let mut lines = vec![opening(&report, attempt, written, &Process::default()), components(&report)];
    let mut last = None;
    for (mut line, Epoch { end, inside, .. }) in report.epoch_lines(usize::MAX) {
        let gap = last.map_or(0, |last| end.ns_since(last) - inside);
        last = Some(end);
        line["gap_s"] = json!(gap as f64 * 1e-9);
        lines.push(line);
    }
    lines.last_mut().unwrap()["so_far"] = so_far(&report, UnixS::default(), None);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn usage(state: &RunState, at: u64) -> Value {
    report(state, at, Detail::Totals(None)).section("usage")
}

fn near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.iter().all(|(key, v)| key == "by_time_share" || near(v, &b[key])),
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1e-9),
            _ => a == b,
        },
    }
}

#[test]
fn resumed_run_continues_with_exact_numbers() {
    let (first, second) = ([(40, 3), (50, 2), (60, 0)], [(45, 1), (55, 0)]);
    let mut state = new_state();
    state.add(&one(DeviceKind::Cpu, "a"), None, None);
    state.add(&one(DeviceKind::Dram, "b"), None, None);
    let at = live(&mut state, 1 << 40, &first, &[100.0, 10.0]);
    let text = lines(&state, at, 1, 0);
    let before = usage(&state, at);
    let carried_over = Journal::parse(text.as_bytes()).unwrap().into_carried_over(None);
    assert_eq!((carried_over.epochs_done(), carried_over.attempts), (3, 1));
    // The next attempt is on a machine that has just started, so its clock starts anew.
    let start = 1 << 60;
    let mut next = new_state();
    next.resume(carried_over, MonoNs(start));
    assert!(near(&before, &usage(&next, start)), "{before} {}", usage(&next, start));
    next.add(&one(DeviceKind::Cpu, "a"), None, None);
    next.add(&one(DeviceKind::Dram, "b"), None, None);
    assert!(near(&before, &usage(&next, start)), "with the components");
    let end = live(&mut next, start + 1000 * MS, &second, &[100.0, 10.0]);
    let whole = usage(&next, end);
    let number = |pointer: &str| whole.pointer(pointer).unwrap().as_f64().unwrap();
    assert!((number("/duration_s") - (0.155 + 0.101)).abs() < 1e-9, "{whole}");
    assert!((number("/epochs/duration_s") - 0.25).abs() < 1e-9);
    assert!((number("/energy_j") - 110.0 * 0.256).abs() < 1e-6, "{whole}");
    assert!((number("/between/energy_j") - 110.0 * 0.006).abs() < 1e-6);
    assert!((number("/coverage") - 1.0).abs() < 1e-9);
    assert!((number("/co2eq_g") - number("/facility_energy_kwh") * 200.0).abs() < 1e-9);
    let all = report(&next, end, Detail::Epochs);
    let epochs = all.section("epochs");
    let indices: Vec<_> = epochs.as_array().unwrap().iter().map(|epoch| epoch["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    assert_eq!(all.section("components").as_array().unwrap().len(), 2);
    let sum: f64 = epochs.as_array().unwrap().iter().map(|epoch| epoch["energy_j"].as_f64().unwrap()).sum();
    assert!((sum - number("/epochs/energy_j")).abs() < 1e-9);
    let observed: Vec<_> = next.attribution.ledger.observed(5).collect();
    assert!(observed.iter().all(|epoch| epoch.fully_measured && epoch.duration_s.is_some()));
    assert!((observed[1].gap_s - 0.003).abs() < 1e-9 && observed[3].gap_s < 1e-9, "{observed:?}");
    // A third attempt continues from both.
    let text = text + &lines(&next, end, 2, 3);
    let again = Journal::parse(text.as_bytes()).unwrap();
    assert!(again.flaws.is_empty(), "{:?}", again.flaws);
    let mut third = new_state();
    third.resume(again.into_carried_over(None), MonoNs(start));
    assert!(near(&whole, &usage(&third, start)), "{whole} {}", usage(&third, start));
}

/// A processor that only a model estimates.
fn guessed(id: &str) -> Channel {
    Channel {
        source: SourceName::CpuModel,
        method: MeasuringMethod::Estimate,
        error: Some(ErrorBand { low: 0.5, high: 2.0 }),
        ..one(DeviceKind::Cpu, id)
    }
}

/// The first attempt estimates 30 J, the second measures 10 J.
#[test]
fn estimated_energy_keeps_its_error_if_the_next_attempt_measures() {
    let mut state = new_state();
    state.add(&guessed("a"), None, None);
    let at = live(&mut state, 1 << 40, &[(300, 0)], &[100.0]);
    let text = lines(&state, at, 1, 0);
    let carried_over = Journal::parse(text.as_bytes()).unwrap().into_carried_over(None);
    assert_eq!(carried_over.error(), Some(ErrorBand { low: 0.5, high: 2.0 }));
    let mut next = new_state();
    next.resume(carried_over, MonoNs(1 << 60));
    next.add(&one(DeviceKind::Cpu, "c"), None, None);
    let end = live(&mut next, (1 << 60) + MS, &[(100, 0)], &[100.0]);
    let near = |of: &Value, name: &str, expected: f64| {
        let value = of[name].as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 1e-9, "{name}: {value} is not {expected}");
    };
    let whole = usage(&next, end);
    near(&whole, "energy_j", 40.0);
    near(&whole, "energy_low_j", 25.0);
    near(&whole, "energy_high_j", 70.0);
    near(&whole["error"], "high", 1.75);
    // The report made from the journal has the same error.
    let read = crate::run_files::journal_report::report_of(
        &Journal::parse((text + &lines(&next, end, 2, 1)).as_bytes()).unwrap(),
    );
    assert_eq!(read["usage"]["error"], whole["error"]);
    near(&read["usage"], "co2eq_high_g", whole["co2eq_high_g"].as_f64().unwrap());
    near(&read["equivalents"][0], "high", read["equivalents"][0]["value"].as_f64().unwrap() * 1.75);
    let errors: Vec<bool> = read["components"].as_array().unwrap().iter().map(|one| one["error"].is_object()).collect();
    assert_eq!(errors, [false, true], "{}", read["components"]);
}

/// A journal of 0.1.0 has no error for estimates.
#[test]
fn estimate_without_an_error_is_not_exact() {
    let mut state = new_state();
    state.add(&Channel { error: None, ..guessed("a") }, None, None);
    let at = live(&mut state, 1 << 40, &[(300, 0)], &[100.0]);
    let text = lines(&state, at, 1, 0);
    let carried_over = Journal::parse(text.as_bytes()).unwrap().into_carried_over(None);
    assert_eq!(carried_over.error(), Some(ErrorBand::UNSTATED));
    let simulated = text.replace("\"simulated\":false", "\"simulated\":true");
    assert_eq!(Journal::parse(simulated.as_bytes()).unwrap().into_carried_over(None).error(), None);
    let mut next = new_state();
    next.resume(carried_over, MonoNs(1 << 60));
    next.add(&one(DeviceKind::Cpu, "c"), None, None);
    let end = live(&mut next, (1 << 60) + MS, &[(100, 0)], &[100.0]);
    let high_j = usage(&next, end)["energy_high_j"].as_f64().unwrap();
    assert!((high_j - 100.0).abs() < 1e-6, "30 J of an estimate and 10 J measured: {high_j}");
}

/// Both attempts estimate the same device.
#[test]
fn estimate_that_continues_is_one_component() {
    let mut state = new_state();
    state.add(&guessed("a"), None, None);
    let at = live(&mut state, 1 << 40, &[(300, 0)], &[100.0]);
    let mut next = new_state();
    next.resume(Journal::parse(lines(&state, at, 1, 0).as_bytes()).unwrap().into_carried_over(None), MonoNs(1 << 60));
    next.add(&guessed("a"), None, None);
    let end = live(&mut next, (1 << 60) + MS, &[(100, 0)], &[100.0]);
    let components = report(&next, end, Detail::Totals(None)).section("components");
    assert_eq!(components.as_array().unwrap().len(), 1);
    assert_eq!(components[0]["error"], json!({"low": 0.5, "high": 2.0}));
}

#[test]
fn error_in_a_journal_is_checked() {
    let mut state = new_state();
    state.add(&guessed("a"), None, None);
    let at = live(&mut state, 1 << 40, &[(100, 0)], &[100.0]);
    let text = lines(&state, at, 1, 0);
    let error =
        |text: &str| Journal::parse(text.as_bytes()).unwrap().into_carried_over(None).components[0].channel.error;
    assert!(text.contains("\"low\":0.5") && error(&text).is_some(), "{text}");
    for odd in ["\"low\":-0.5", "\"low\":0", "\"low\":7", "\"low\":null", "\"lower\":0.5"] {
        assert_eq!(error(&text.replace("\"low\":0.5", odd)), Some(ErrorBand::UNSTATED), "{odd}");
    }
    // A journal of measured energy has no errors.
    let mut state = new_state();
    state.add(&one(DeviceKind::Cpu, "a"), None, None);
    let at = live(&mut state, 1 << 40, &[(100, 0)], &[100.0]);
    assert!(!lines(&state, at, 1, 0).contains("error") && !lines(&state, at, 1, 0).contains("low_j"));
}

#[test]
fn attempt_on_another_machine_adds_its_components() {
    let mut state = new_state();
    state.add(&one(DeviceKind::Cpu, "a"), None, None);
    let at = live(&mut state, 1 << 40, &[(100, 0)], &[100.0]);
    let carried_over = Journal::parse(lines(&state, at, 1, 0).as_bytes()).unwrap().into_carried_over(None);
    let mut next = new_state();
    next.resume(carried_over, MonoNs(1 << 60));
    next.add(&one(DeviceKind::Cpu, "c"), None, None);
    let end = live(&mut next, (1 << 60) + MS, &[(100, 0)], &[300.0]);
    let whole = usage(&next, end);
    assert!((whole["energy_j"].as_f64().unwrap() - 40.0).abs() < 1e-6, "{whole}");
    assert!(
        (whole["coverage"].as_f64().unwrap() - 1.0).abs() < 1e-9,
        "each was measured as long as it was there: {whole}"
    );
    let components = report(&next, end, Detail::Totals(None)).section("components");
    let joules: Vec<_> = components.as_array().unwrap().iter().map(|one| one["energy_j"].as_f64().unwrap()).collect();
    assert!((joules[0] - 30.0).abs() < 1e-6 && (joules[1] - 10.0).abs() < 1e-6, "{components}");
}

/// A live service may not have replied before the first line is written.
#[test]
fn journal_has_the_intensity_that_was_known_last() {
    let mut state = new_state();
    state.add(&one(DeviceKind::Cpu, "a"), None, None);
    let at = live(&mut state, 1 << 40, &[(40, 3)], &[100.0]);
    let text = lines(&state, at, 1, 0);
    state.carbon.grid.flat = Intensity { kind: IntensityKind::Live, zone: Some("DE".into()), ..state.carbon.grid.flat };
    let later = components(&report(&state, at, Detail::Totals(None))).to_string() + "\n";
    let journal = Journal::parse((text + &later).as_bytes()).unwrap();
    assert_eq!(
        (&journal.opening["intensity"]["kind"], &journal.intensity["kind"]),
        (&json!("constant"), &json!("live"))
    );
    assert_eq!(journal.intensity["zone"], "DE");
}

/// The lines of a run of four epochs.
fn four() -> Vec<String> {
    let mut state = new_state();
    state.add(&one(DeviceKind::Cpu, "a"), None, None);
    let mut text = String::new();
    let mut at = 1 << 40;
    for written in 0..4 {
        at = live(&mut state, at, &[(100, 0)], &[50.0]);
        let part = lines(&state, at, 1, written);
        text.extend(part.lines().skip(if written == 0 { 0 } else { 2 }).map(|line| format!("{line}\n")));
    }
    text.lines().map(str::to_owned).collect()
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

#[test]
fn torn_invalid_and_missing_lines_are_left_out_and_the_rest_counts() {
    let lines = four();
    let carried_over_of = |text: &[u8]| {
        let journal = Journal::parse(text).unwrap();
        (journal.flaws.clone(), journal.into_carried_over(None))
    };
    let whole = joined(&lines);
    assert_eq!(carried_over_of(&whole).1.epochs_done(), 4);
    // The last line is torn.
    let last = whole.len() - lines[5].len() - 1;
    for end in [last + 1, last + 20, last + lines[5].len() - 1] {
        let (flaws, carried_over) = carried_over_of(&whole[..end]);
        assert_eq!((flaws.len(), carried_over.epochs_done()), (1, 3), "{flaws:?}");
        assert!(flaws[0].contains("torn") && (carried_over.energy_j.unwrap() - 15.0).abs() < 1e-9);
    }
    // Invalid lines are in the middle.
    let mut with_invalid = lines.clone();
    with_invalid.insert(4, "not of ours".into());
    with_invalid.insert(4, "{\"index\":\"x\"}".into());
    with_invalid.insert(4, "[1,2]".into());
    let (flaws, carried_over) = carried_over_of(&joined(&with_invalid));
    assert_eq!((flaws.len(), carried_over.epochs_done()), (3, 4), "{flaws:?}");
    // A line in the middle is lost: its epoch is counted, and its energy is in the sum.
    let mut holed = lines.clone();
    holed.remove(3);
    let (flaws, carried_over) = carried_over_of(&joined(&holed));
    assert!(
        flaws.is_empty() && carried_over.epochs_done() == 4 && (carried_over.energy_j.unwrap() - 20.0).abs() < 1e-9
    );
    assert_eq!(carried_over.inside_ns, 400 * MS);
    // A repeated line counts once.
    let mut twice = lines.clone();
    twice.push(lines[5].clone());
    assert_eq!((carried_over_of(&joined(&twice)).0.len(), carried_over_of(&joined(&twice)).1.epochs_done()), (1, 4));
    for none in ["", "\n", "a,b\n1,2\n", "{\"schema\":1}\n", "{\"journal\":2,\"run\":{\"id\":\"x\"}}\n"] {
        assert!(Journal::parse(none.as_bytes()).is_err(), "{none:?}");
    }
    let mut other = lines.clone();
    other.push(lines[0].replace("0123456789abcdef", "fedcba9876543210"));
    assert_eq!(carried_over_of(&joined(&other)).0.len(), 1, "another run's opening");
}

#[test]
fn pieces_before_the_epochs_are_no_epochs_also_if_a_line_is_lost() {
    let mut lines = four();
    lines[2..5].iter_mut().for_each(|line| line.insert_str(1, "\"piece\":true,"));
    lines[5] = lines[5].replace("\"index\":3", "\"index\":0").replace("\"epochs_done\":4", "\"epochs_done\":1");
    for lost in 2..5 {
        let journal = Journal::parse(&joined(&[&lines[..lost], &lines[lost + 1..]].concat())).unwrap();
        assert!(journal.flaws.is_empty() && journal.epochs_done == 1, "{lost}: {:?}", journal.flaws);
    }
}

#[test]
fn epochs_without_a_line_are_known_by_the_crash_counter() {
    let journal = Journal::parse(&joined(&four()[..5])).unwrap();
    let counted = Count { epochs: 6, inside: 650 * MS, span: 660 * MS };
    let carried_over = journal.into_carried_over(Some(counted));
    assert_eq!((carried_over.epochs_done(), carried_over.inside_ns, carried_over.duration_ns), (6, 650 * MS, 660 * MS));
    let last = carried_over.epochs.last().unwrap();
    assert_eq!(
        (last.count, last.inside, last.energy.total(), last.end),
        (3, 350 * MS, None, MonoNs(carried_over.duration_ns))
    );
    assert!(
        (carried_over.energy_j.unwrap() - 15.0).abs() < 1e-9
            && (carried_over.coverage.unwrap() - 300.0 / 660.0).abs() < 1e-9
    );
    let all_known = Count { epochs: 3, inside: 300 * MS, span: 300 * MS };
    assert_eq!(Journal::parse(&joined(&four()[..5])).unwrap().into_carried_over(Some(all_known)).epochs_done(), 3);
}

/// A kill may tear the lines that the next attempt writes for such epochs, after its opening line.
#[test]
fn epochs_without_a_line_are_known_by_the_next_opening() {
    let mut lines = four();
    lines.truncate(5);
    lines.push(lines[0].replace("\"life\":1,\"before\":0", "\"life\":2,\"before\":6"));
    let torn = Journal::parse(&joined(&lines)).unwrap();
    let carried_over = torn.into_carried_over(Some(Count::default()));
    assert_eq!((carried_over.epochs_done(), carried_over.inside_ns), (6, 300 * MS));
    lines.push("{\"index\":3,\"count\":3,\"duration_s\":0.3}".into());
    let whole = Journal::parse(&joined(&lines)).unwrap();
    assert_eq!(whole.into_carried_over(Some(Count::default())).epochs_done(), 6);
}

#[test]
fn epoch_open_at_a_kill_is_reported_as_lost() {
    let mut lines = four();
    let mut so_far: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let mut so_far = so_far["so_far"].take();
    so_far["open"] = json!({"duration_s": 1.5, "energy_j": 75.0});
    lines.push(json!({"so_far": so_far}).to_string());
    let lost = Journal::parse(&joined(&lines)).unwrap().into_carried_over(None).lost;
    assert_eq!(lost, LostEnergy { times: 1, seconds: 1.5, joules: Some(75.0) });
    // By the crash counter it ended after that.
    let counted = Some(Count { epochs: 5, inside: 2000 * MS, span: 2000 * MS });
    assert_eq!(Journal::parse(&joined(&lines)).unwrap().into_carried_over(counted).lost, LostEnergy::default());
    // The next attempt also had an open epoch.
    lines.extend([lines[0].clone(), lines[6].clone()]);
    assert_eq!(Journal::parse(&joined(&lines)).unwrap().into_carried_over(None).lost.times, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_text_never_panics(
        positions in prop::collection::vec((0usize..6000, any::<u8>()), 0..6),
        cut in 0usize..6000,
        counted in prop::option::of((0u64..9, any::<u64>(), any::<u64>())),
    ) {
        let mut text = joined(&four());
        for (position, byte) in positions {
            let position = position % text.len();
            text[position] = byte;
        }
        text.truncate(text.len() - cut % text.len() / 4);
        if let Ok(journal) = Journal::parse(&text) {
            let counted = counted.map(|(epochs, inside, span)| Count { epochs, inside: inside >> 8, span: span >> 8 });
            let carried_over = journal.into_carried_over(counted);
            let mut state = new_state();
            state.resume(carried_over, MonoNs(1 << 60));
            state.add(&one(DeviceKind::Cpu, "a"), None, None);
            let text = report(&state, 1 << 60, Detail::Epochs).render("json").unwrap();
            prop_assert!(!text.contains("NaN") && serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}

#[test]
fn epochs_of_a_long_run_are_decimated_and_sums_stay() {
    let mut history = EpochStore::default();
    let recorded = Some(RecordedFigures { co2eq_g: Some(1.0), coverage: Some(1.0) });
    for n in 0..100_000u64 {
        history.push(Epoch { recorded, ..Epoch::empty(MonoNs(n * MS), MonoNs((n + 1) * MS), MS, 1) });
    }
    assert!(history.len() <= 4097);
    assert_eq!(history.iter().map(|epoch| epoch.count).sum::<u64>(), 100_000);
    let grams: f64 = history.iter().filter_map(|epoch| epoch.recorded?.co2eq_g).sum();
    assert_eq!(grams, 100_000.0);
}

/// Fuzzing found it: emissions became negative, because the numbers had more energy than the components.
#[test]
fn journal_without_its_components_has_no_negative_emissions() {
    let mut kept = four();
    kept.retain(|line| !line.starts_with("{\"components\""));
    let past = Journal::parse(&joined(&kept)).unwrap().into_carried_over(None);
    assert!(past.components.is_empty() && past.energy_j > Some(0.0));
    let mut state = new_state();
    let start = 1 << 60;
    state.resume(past.clone(), MonoNs(start));
    state.add(&one(DeviceKind::Cpu, "a"), None, None);
    let at = live(&mut state, start, &[(100, 0)], &[10.0]);
    let own_g = 0.1 * 10.0 / 3.6e6 * 1.2 * 200.0;
    let grams = usage(&state, at)["co2eq_g"].as_f64().unwrap();
    assert!((grams - own_g).abs() < 1e-9, "{grams}");
}

/// The next attempt names its components before it has numbers.
#[test]
fn kill_before_the_first_numbers_keeps_each_components_energy() {
    let mut state = new_state();
    state.add(&one(DeviceKind::Cpu, "a"), None, None);
    state.add(&one(DeviceKind::Gpu, "b"), None, None);
    let at = live(&mut state, 1 << 40, &[(40, 3), (50, 0)], &[100.0, 200.0]);
    let mut text = lines(&state, at, 1, 0);
    let first = Journal::parse(text.as_bytes()).unwrap().into_carried_over(None);
    let mut next = new_state();
    next.resume(first.clone(), MonoNs(1 << 60));
    next.add(&one(DeviceKind::Cpu, "c"), None, None);
    let report = report(&next, 1 << 60, Detail::Totals(None));
    for line in [opening(&report, 2, 2, &Process::default()), components(&report)] {
        text += &format!("{line}\n");
    }
    let carried_over = Journal::parse(text.as_bytes()).unwrap().into_carried_over(None);
    let used = |carried_over: &CarriedOver| -> Vec<_> {
        carried_over.components.iter().map(|one| (one.channel.id.clone(), one.used.sum().joules)).collect()
    };
    assert_eq!(used(&carried_over), used(&first));
}
