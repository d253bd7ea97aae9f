use super::*;

const S: u64 = 1_000_000_000;
const OTHERS: LeaseState =
    LeaseState { is_ours: false, is_apart: false, holder: Some(1), reported_until: None, lost_at: None, passed: None };
const OURS: LeaseState = LeaseState { is_ours: true, holder: None, ..OTHERS };

/// Epochs of a second, back to back, at 10 W, read four times each, while another process counts.
fn run_of(epochs: u64) -> (Ledger, StandbyLedger) {
    let mut run = Ledger::default();
    let mut standby = StandbyLedger::new("it".into(), "it".into(), &run);
    run.add_channel(DeviceKind::Cpu);
    standby.add_channel(DeviceKind::Cpu);
    standby.claim(0);
    standby.apply_lease(OTHERS, &mut run);
    for quarter in 0..4 * epochs {
        let at = S + quarter * S / 4;
        if quarter % 4 == 0 {
            let marks = [Mark::End(MonoNs(at)), Mark::Begin(MonoNs(at))];
            marks.into_iter().skip(usize::from(quarter == 0)).for_each(|mark| {
                run.mark(mark);
                standby.mark(mark);
            });
        }
        standby.credit(
            0,
            EnergyInterval { from: MonoNs(at), to: MonoNs(at + S / 4), joules: 2.5, measured: true },
            &mut run,
        );
    }
    let last = Mark::End(MonoNs(S + epochs * S));
    run.mark(last);
    standby.mark(last);
    (run, standby)
}

/// The energy in the timeline, J.
fn by_time(run: &Ledger) -> f64 {
    run.timeline().steps().filter_map(|step| step.energy.total()).sum()
}

fn energies(run: &Ledger) -> Vec<Option<f64>> {
    run.history().iter().map(|epoch| epoch.energy.total()).collect()
}

#[test]
fn energy_of_a_killed_owner_is_taken_over_whole() {
    let (mut run, mut standby) = run_of(3);
    standby.apply_lease(OTHERS, &mut run);
    assert_eq!((run.energy_j(), energies(&run)), (None, vec![None; 3]));
    standby.apply_lease(OURS, &mut run);
    assert_eq!((run.energy_j(), energies(&run)), (Some(30.0), vec![Some(10.0); 3]));
    assert_eq!(run.observed(3).filter(|epoch| epoch.fully_measured).count(), 3);
    standby.apply_lease(OURS, &mut run);
    assert_eq!(run.energy_j(), Some(30.0), "once");
    assert!((by_time(&run) - 30.0).abs() < 1e-9, "{}", by_time(&run));
}

#[test]
fn reported_energy_is_not_counted_again() {
    let (mut run, mut standby) = run_of(3);
    let ended_in_order = LeaseState { reported_until: Some(MonoNs(S + 2 * S + S / 8)), ..OURS };
    standby.apply_lease(ended_in_order, &mut run);
    assert!((run.energy_j().unwrap() - 8.75).abs() < 1e-9, "{:?}", run.energy_j());
    assert_eq!(energies(&run)[..2], [None, None]);
}

#[test]
fn energy_reported_before_a_kill_is_not_counted_again() {
    let (mut run, mut standby) = run_of(3);
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(2 * S)), ..OTHERS }, &mut run);
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(2 * S)), ..OURS }, &mut run);
    assert!((run.energy_j().unwrap() - 20.0).abs() < 1e-9, "{:?}", run.energy_j());
}

#[test]
fn interval_that_comes_after_the_takeover_is_divided() {
    let (mut run, mut standby) = run_of(2);
    let reported_until = Some(MonoNs(4 * S - S / 4));
    standby.apply_lease(LeaseState { reported_until, ..OURS }, &mut run);
    for mark in [Mark::Begin(MonoNs(3 * S)), Mark::End(MonoNs(4 * S))] {
        run.mark(mark);
        standby.mark(mark);
    }
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(3 * S), to: MonoNs(4 * S), joules: 10.0, measured: true },
        &mut run,
    );
    assert!((run.energy_j().unwrap() - 2.5).abs() < 1e-9, "{:?}", run.energy_j());
}

#[test]
fn lease_returned_unused_loses_nothing() {
    let (mut run, mut standby) = run_of(2);
    standby.apply_lease(OURS, &mut run);
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(3 * S), to: MonoNs(5 * S), joules: 20.0, measured: true },
        &mut run,
    );
    let lent = LeaseState { holder: None, reported_until: Some(MonoNs(3 * S)), ..OTHERS };
    assert!((by_time(&run) - 40.0).abs() < 1e-9, "{}", by_time(&run));
    standby.yield_from(MonoNs(3 * S), &mut run);
    standby.apply_lease(lent, &mut run);
    assert_eq!(run.energy_j(), Some(20.0), "the counted energy stays");
    assert!((by_time(&run) - 20.0).abs() < 1e-9, "{}", by_time(&run));
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(5 * S), to: MonoNs(6 * S), joules: 10.0, measured: true },
        &mut run,
    );
    let both = |run: &mut Ledger, standby: &mut StandbyLedger, mark| {
        run.mark(mark);
        standby.mark(mark);
    };
    both(&mut run, &mut standby, Mark::Begin(MonoNs(6 * S)));
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(3 * S)), ..OURS }, &mut run);
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(6 * S), to: MonoNs(7 * S), joules: 10.0, measured: true },
        &mut run,
    );
    both(&mut run, &mut standby, Mark::End(MonoNs(7 * S)));
    assert_eq!((run.epochs_j(), run.between_j()), (Some(30.0), Some(30.0)));
    assert!((by_time(&run) - 60.0).abs() < 1e-9, "{}", by_time(&run));
    assert_eq!(run.observed(3).filter(|epoch| epoch.fully_measured).count(), 3);
}

#[test]
fn energy_counted_by_another_process_stays_there() {
    let (mut run, mut standby) = run_of(2);
    standby.apply_lease(OURS, &mut run);
    standby.yield_from(MonoNs(3 * S), &mut run);
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(3 * S)), ..OTHERS }, &mut run);
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(3 * S), to: MonoNs(6 * S), joules: 30.0, measured: true },
        &mut run,
    );
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(5 * S)), ..OTHERS }, &mut run);
    for mark in [Mark::Begin(MonoNs(5 * S)), Mark::End(MonoNs(6 * S))] {
        run.mark(mark);
        standby.mark(mark);
    }
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(5 * S)), ..OURS }, &mut run);
    assert!((run.energy_j().unwrap() - 30.0).abs() < 1e-9, "{:?}", run.energy_j());
    assert!((by_time(&run) - 30.0).abs() < 1e-9, "{}", by_time(&run));
}

/// A lower rank takes the device in the middle of an epoch, and this process finds out later.
#[test]
fn energy_before_a_change_of_owner_stays() {
    let (mut run, mut standby) = run_of(2);
    standby.apply_lease(OURS, &mut run);
    run.mark(Mark::Begin(MonoNs(4 * S)));
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(3 * S), to: MonoNs(5 * S), joules: 20.0, measured: true },
        &mut run,
    );
    standby.yield_from(MonoNs(4 * S + S / 2), &mut run);
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(4 * S + S / 2)), ..OTHERS }, &mut run);
    for mark in [Mark::End(MonoNs(6 * S)), Mark::Begin(MonoNs(6 * S)), Mark::End(MonoNs(7 * S))] {
        run.mark(mark);
        standby.mark(mark);
    }
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(5 * S), to: MonoNs(7 * S), joules: 20.0, measured: true },
        &mut run,
    );
    assert_eq!((run.epochs_j(), run.between_j()), (Some(25.0), Some(10.0)));
    assert!((by_time(&run) - 35.0).abs() < 1e-9, "{}", by_time(&run));
    // This process gets the device back, and the next interval covers both turns.
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(8 * S)), ..OURS }, &mut run);
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(7 * S), to: MonoNs(9 * S), joules: 20.0, measured: true },
        &mut run,
    );
    run.mark(Mark::Begin(MonoNs(9 * S)));
    run.mark(Mark::End(MonoNs(9 * S)));
    assert_eq!((run.epochs_j(), run.between_j()), (Some(25.0), Some(20.0)));
}

/// This process took the device, and another took it within the same poll.
#[test]
fn turn_that_ends_at_once_counts() {
    let (mut run, mut standby) = run_of(3);
    let passed = Some((MonoNs(2 * S), MonoNs(3 * S + S / 2)));
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(3 * S + S / 2)), passed, ..OTHERS }, &mut run);
    assert_eq!((run.energy_j(), energies(&run)), (Some(15.0), vec![None, Some(10.0), Some(5.0)]));
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(3 * S + S / 2)), ..OURS }, &mut run);
    assert_eq!(run.energy_j(), Some(20.0));
    assert!((by_time(&run) - 20.0).abs() < 1e-9, "{}", by_time(&run));
}

#[test]
fn time_before_an_open_epoch_goes_with_it() {
    let (mut run, mut standby) = run_of(2);
    standby.apply_lease(OURS, &mut run);
    standby.credit(
        0,
        EnergyInterval { from: MonoNs(3 * S), to: MonoNs(5 * S), joules: 20.0, measured: true },
        &mut run,
    );
    run.mark(Mark::Begin(MonoNs(5 * S)));
    standby.yield_from(MonoNs(4 * S), &mut run);
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(4 * S)), ..OTHERS }, &mut run);
    run.mark(Mark::End(MonoNs(6 * S)));
    standby.mark(Mark::End(MonoNs(6 * S)));
    assert!((run.energy_j().unwrap() - 30.0).abs() < 1e-9, "{:?}", run.energy_j());
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(4 * S)), ..OURS }, &mut run);
    assert!((run.energy_j().unwrap() - 40.0).abs() < 1e-9, "{:?}", run.energy_j());
    assert!((by_time(&run) - 40.0).abs() < 1e-9, "{}", by_time(&run));
}

#[test]
fn epoch_counted_in_part_by_another_process_is_left_out_of_the_forecast() {
    let (mut run, mut standby) = run_of(3);
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(2 * S + S / 2)), ..OURS }, &mut run);
    let known: Vec<Option<f64>> = run.observed(3).map(|epoch| epoch.energy_j).collect();
    assert_eq!(known, [None, None, Some(10.0)]);
}

#[test]
fn long_run_is_taken_over_exactly() {
    let (mut run, mut standby) = run_of(10_000);
    standby.apply_lease(OURS, &mut run);
    assert!((run.energy_j().unwrap() - 100_000.0).abs() < 1e-4);
    assert!((run.history().iter().filter_map(|epoch| epoch.energy.total()).sum::<f64>() - 100_000.0).abs() < 1e-4);
}

/// In one epoch this process counts for 3 s, another for 7 s, and this one again; but that turn passes to the other.
#[test]
fn turn_before_a_turn_of_another_process_keeps_its_energy() {
    let (mut run, mut standby) = run_of(0);
    let both = |run: &mut Ledger, standby: &mut StandbyLedger, mark| {
        run.mark(mark);
        standby.mark(mark);
    };
    let read = |run: &mut Ledger, standby: &mut StandbyLedger, (from, to): (u64, u64)| {
        for tenth in 10 * from..10 * to {
            let (from, to) = (MonoNs(tenth * S / 10), MonoNs((tenth + 1) * S / 10));
            standby.credit(0, EnergyInterval { from, to, joules: 1.0, measured: true }, run);
        }
    };
    let at = |seconds: u64, lease: LeaseState| LeaseState { reported_until: Some(MonoNs(seconds * S)), ..lease };
    both(&mut run, &mut standby, Mark::Begin(MonoNs(10 * S)));
    standby.apply_lease(at(10, OURS), &mut run);
    read(&mut run, &mut standby, (10, 13));
    standby.yield_from(MonoNs(13 * S), &mut run);
    standby.apply_lease(at(13, OTHERS), &mut run);
    read(&mut run, &mut standby, (13, 20));
    standby.apply_lease(at(20, OURS), &mut run);
    read(&mut run, &mut standby, (20, 26));
    standby.yield_from(MonoNs(20 * S), &mut run);
    standby.apply_lease(at(20, OTHERS), &mut run);
    both(&mut run, &mut standby, Mark::End(MonoNs(26 * S)));
    let joules = run.energy_j().unwrap_or_default();
    assert!((joules - 30.0).abs() < 1e-9, "{joules} J, {} J by time", by_time(&run));
    assert!((by_time(&run) - 30.0).abs() < 1e-9, "{}", by_time(&run));
}

/// A reading spans an end of an epoch and the end of the turn. No later reading of that turn shows how to divide it.
#[test]
fn last_reading_of_a_turn_counts_if_the_turn_ends_after_a_mark() {
    let (mut run, mut standby) = run_of(0);
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(10 * S)), ..OURS }, &mut run);
    for mark in [Mark::Begin(MonoNs(10 * S)), Mark::End(MonoNs(12 * S)), Mark::Begin(MonoNs(12 * S))] {
        run.mark(mark);
        standby.mark(mark);
    }
    standby.yield_from(MonoNs(13 * S), &mut run);
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(13 * S)), ..OTHERS }, &mut run);
    let (from, to) = (MonoNs(10 * S), MonoNs(14 * S));
    standby.credit(0, EnergyInterval { from, to, joules: 40.0, measured: true }, &mut run);
    assert_eq!((energies(&run), run.energy_j()), (vec![Some(20.0)], Some(20.0)));
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(14 * S)), ..OURS }, &mut run);
    run.mark(Mark::End(MonoNs(14 * S)));
    assert_eq!(run.energy_j(), Some(30.0));
}

/// This process counts for 3 s and reads nothing more. It gets a second turn, which the other process takes from its
/// begin on.
#[test]
fn readings_of_an_earlier_turn_are_awaited_after_an_empty_turn() {
    let (mut run, mut standby) = run_of(0);
    let at = |seconds: u64, lease: LeaseState| LeaseState { reported_until: Some(MonoNs(seconds * S)), ..lease };
    standby.apply_lease(at(10, OURS), &mut run);
    let begin = Mark::Begin(MonoNs(10 * S));
    run.mark(begin);
    standby.mark(begin);
    for until in [13, 20] {
        standby.yield_from(MonoNs(until * S), &mut run);
        standby.apply_lease(at(until, OTHERS), &mut run);
        assert!(standby.awaits_readings(0, &run), "until {until} s");
        standby.apply_lease(at(20, OURS), &mut run);
    }
    standby.yield_from(MonoNs(20 * S), &mut run);
    let (from, to) = (MonoNs(10 * S), MonoNs(26 * S));
    standby.credit(0, EnergyInterval { from, to, joules: 16.0, measured: true }, &mut run);
    assert!(!standby.awaits_readings(0, &run), "the reading covers all turns");
    run.mark(Mark::End(MonoNs(26 * S)));
    assert_eq!(run.energy_j(), Some(3.0));
}

/// What phases get: in all as much as the run, whether the turn is known before a reading or after it.
#[test]
fn energy_of_turns_is_that_of_the_run() {
    let (mut run, mut standby) = run_of(2);
    let sum = |parts: &mut dyn Iterator<Item = EnergyInterval>| parts.map(|part| part.joules).sum::<f64>();
    let whole = EnergyInterval { from: MonoNs(S), to: MonoNs(4 * S), joules: 30.0, measured: true };
    assert_eq!(sum(&mut standby.in_turns(whole)), 0.0, "another process counts");
    let previous = standby.lease;
    standby.apply_lease(LeaseState { reported_until: Some(MonoNs(2 * S)), ..OURS }, &mut run);
    let before = sum(&mut standby.read_before_turn(previous).map(|(_, interval)| interval));
    assert!((before - 10.0).abs() < 1e-9 && run.energy_j() == Some(before), "{before}");
    assert!(standby.read_before_turn(standby.lease).next().is_none(), "once");
    assert!((sum(&mut standby.in_turns(whole)) - 20.0).abs() < 1e-9);
    standby.yield_from(MonoNs(3 * S), &mut run);
    assert!((sum(&mut standby.in_turns(whole)) - 10.0).abs() < 1e-9);
}
