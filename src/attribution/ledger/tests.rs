use super::*;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;

fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.add_channel(DeviceKind::Cpu);
    ledger
}

fn watts(ledger: &mut Ledger, from: u64, to: u64, watts: f64) {
    let joules = watts * (to - from) as f64 * 1e-9;
    ledger.credit(0, EnergyInterval { from: MonoNs(from), to: MonoNs(to), joules, measured: true });
    ledger.release(0);
}

fn energies(ledger: &Ledger) -> Vec<f64> {
    ledger.history().iter().map(|epoch| epoch.energy.total().unwrap_or(f64::NAN)).collect()
}

#[test]
fn energy_is_in_epochs_or_between_and_outside_the_run_nowhere() {
    let mut l = ledger();
    watts(&mut l, 0, S, 100.0);
    for (begin, end) in [(S, 3 * S), (4 * S, 6 * S)] {
        l.mark(Mark::Begin(MonoNs(begin)));
        l.mark(Mark::End(MonoNs(end)));
    }
    watts(&mut l, S, 10 * S, 100.0);
    assert_eq!((l.epochs_j(), l.between_j(), l.run_ns()), (Some(400.0), Some(100.0), 5 * S));
    assert_eq!(energies(&l), [200.0, 200.0]);
    assert_eq!(l.channel(0).measured_ns, 5e9);
}

#[test]
fn energy_is_known_at_instants_before_the_newest_mark() {
    let mut l = ledger();
    for n in 0..20 {
        l.mark(Mark::Begin(MonoNs(n * S + S / 20)));
        l.mark(Mark::End(MonoNs(n * S + S * 7 / 10)));
        watts(&mut l, n * S, (n + 1) * S, 100.0 + n as f64);
    }
    let truth = |at: u64| {
        (0..at / S).map(|n| 100.0 + n as f64).sum::<f64>() + (100.0 + (at / S) as f64) * (at % S) as f64 / 1e9 - 5.0
    };
    for at in [S / 20, S / 2, 3 * S + S / 3, 17 * S, 19 * S + S * 7 / 10] {
        let until = l.energy_until(MonoNs(at)).unwrap();
        assert!((until - truth(at)).abs() < 1e-6, "{at}: {until}, not {}", truth(at));
    }
}

#[test]
fn a_cancelled_epoch_is_between_epochs() {
    let mut l = ledger();
    l.mark(Mark::Begin(MonoNs(0)));
    watts(&mut l, 0, S, 10.0);
    l.mark(Mark::Cancel(MonoNs(S)));
    assert_eq!((l.epochs(), l.epochs_j(), l.run_ns()), (0, None, 0));
    l.mark(Mark::Begin(MonoNs(2 * S)));
    l.mark(Mark::End(MonoNs(3 * S)));
    watts(&mut l, S, 3 * S, 10.0);
    assert_eq!((l.epochs(), l.epochs_j(), l.between_j()), (1, Some(10.0), Some(20.0)));
}

#[test]
fn a_cancelled_epoch_is_known_while_the_first_epoch_is_open() {
    let mut l = ledger();
    l.mark(Mark::Begin(MonoNs(0)));
    watts(&mut l, 0, S, 10.0);
    l.mark(Mark::Cancel(MonoNs(S)));
    watts(&mut l, S, 2 * S, 10.0);
    l.mark(Mark::Begin(MonoNs(2 * S)));
    watts(&mut l, 2 * S, 3 * S, 50.0);
    assert!(l.is_in_first() && l.first_epoch() == Some(MonoNs(2 * S)));
    assert_eq!(l.between_first(0), InterEpoch { duration_s: 2.0, energy_j: Some(20.0) });
    assert_eq!((l.open_j(MonoNs(5 * S / 2)), l.open_j(MonoNs(3 * S))), (Some(25.0), Some(50.0)));
    l.mark(Mark::End(MonoNs(3 * S)));
    assert!(!l.is_in_first() && l.first_epoch() == Some(MonoNs(2 * S)));
    assert_eq!(l.between_first(1), InterEpoch { duration_s: 2.0, energy_j: Some(20.0) });
}

#[test]
fn late_energy_goes_to_its_epochs() {
    let mut l = ledger();
    for n in 0..4 {
        l.mark(Mark::Begin(MonoNs(n * S)));
        l.mark(Mark::End(MonoNs((n + 1) * S)));
    }
    assert_eq!(l.epochs_j(), None);
    watts(&mut l, 0, 4 * S, 50.0);
    assert_eq!(energies(&l), [50.0; 4]);
}

#[test]
fn a_batch_divides_by_time() {
    let mut l = ledger();
    l.mark(Mark::Batch { begin: MonoNs(0), end: MonoNs(10 * S), inside: 9 * S, count: 1000 });
    watts(&mut l, 0, 10 * S, 100.0);
    assert_eq!(l.epochs(), 1000);
    assert!((l.epochs_j().unwrap() - 900.0).abs() < 1e-9 && (l.between_j().unwrap() - 100.0).abs() < 1e-9);
}

#[test]
fn a_late_reading_is_divided_by_the_power_that_follows() {
    let mut l = ledger();
    l.mark(Mark::Begin(MonoNs(0)));
    l.mark(Mark::End(MonoNs(S)));
    // 100 W up to the end at 1 s, 10 W after it; the reading comes 0.2 s late.
    l.credit(0, EnergyInterval { from: MonoNs(0), to: MonoNs(S + S / 5), joules: 102.0, measured: true });
    assert_eq!((energies(&l).len(), l.epochs_j(), l.credited_until(0)), (1, None, None), "held until the next");
    watts(&mut l, S + S / 5, 2 * S, 10.0);
    assert!((l.epochs_j().unwrap() - 100.0).abs() < 1e-9 && l.credited_until(0) == Some(MonoNs(2 * S)));
    l.mark(Mark::Begin(MonoNs(3 * S)));
    l.credit(0, EnergyInterval { from: MonoNs(2 * S), to: MonoNs(4 * S), joules: 20.0, measured: true });
    l.mark(Mark::End(MonoNs(4 * S)));
    l.release(0);
    assert!((l.epochs_j().unwrap() - 110.0).abs() < 1e-9, "no further reading: evenly");
}

#[test]
fn a_short_interval_after_a_late_reading_shows_only_its_own_time() {
    let mut l = ledger();
    l.mark(Mark::Begin(MonoNs(0)));
    l.mark(Mark::End(MonoNs(60 * S)));
    let credit = |l: &mut Ledger, from: u64, to: u64, joules: f64| {
        l.credit(0, EnergyInterval { from: MonoNs(from), to: MonoNs(to), joules, measured: true });
    };
    // 100 W all the time. The counter made no step in the 10 ms after the late reading.
    credit(&mut l, 0, 66 * S, 6600.0);
    credit(&mut l, 66 * S, 66 * S + S / 100, 0.0);
    let joules = l.epochs_j().unwrap_or(0.0);
    assert!((joules - 6000.0).abs() <= 1.0 + 1e-6, "{joules} J");
}

#[test]
fn a_late_mark_gets_the_energy_of_its_own_time_only() {
    let mut l = ledger();
    watts(&mut l, 0, S, 100.0);
    for n in 0..60 {
        watts(&mut l, S + n * S, S + (n + 1) * S, 100.0);
    }
    l.mark(Mark::Batch { begin: MonoNs(S), end: MonoNs(S + S / 500), inside: S / 1000, count: 10_000 });
    assert!((l.epochs_j().unwrap() - 0.1).abs() < 1e-6, "{:?}", l.epochs_j());
    assert!((l.between_j().unwrap() - 0.1).abs() < 1e-6, "{:?}", l.between_j());
}

#[test]
fn energy_divided_by_time_is_stated() {
    let mut l = ledger();
    l.mark(Mark::Begin(MonoNs(0)));
    watts(&mut l, 0, 2 * S, 100.0);
    l.mark(Mark::End(MonoNs(2 * S)));
    assert_eq!(l.by_time_share(), Some(0.0), "the reading came at the mark");
    l.mark(Mark::Begin(MonoNs(3 * S)));
    l.mark(Mark::End(MonoNs(4 * S)));
    watts(&mut l, 2 * S, 6 * S, 50.0);
    let bounds: Vec<_> = l.history().iter().filter_map(Epoch::energy_bounds).collect();
    assert_eq!(bounds, [[200.0, 200.0], [0.0, 200.0]], "the second is in one interval of 200 J");
    assert_eq!(l.by_time_share(), Some(50.0 / 250.0));
}

proptest! {
    /// For any division of the run and any readings, the parts sum to the whole.
    #[test]
    fn energy_is_additive(
        spans in prop::collection::vec((1u64..3_000, 0u64..2_000, any::<bool>()), 1..60),
        intervals in prop::collection::vec((1u64..4_000, 0.0..500.0f64), 1..80),
        lag in 0usize..13,
    ) {
        let mut l = ledger();
        let mut marks = Vec::new();
        let mut at = 1_000;
        for &(inside, gap, cancelled) in &spans {
            marks.push(Mark::Begin(MonoNs(at)));
            at += inside;
            marks.push(if cancelled { Mark::Cancel(MonoNs(at)) } else { Mark::End(MonoNs(at)) });
            at += gap;
        }
        let (mut from, mut parts) = (0, Vec::new());
        for &(ns, joules) in &intervals {
            parts.push(EnergyInterval { from: MonoNs(from), to: MonoNs(from + ns), joules, measured: true });
            from += ns;
        }
        // With a lag of 12, all marks come before the energy. Otherwise a mark comes `lag` readings after its time.
        let mut marks = marks.iter().peekable();
        for (number, &part) in parts.iter().enumerate() {
            let marked_until = if lag == 12 { MonoNs::NEVER } else { number.checked_sub(lag).map_or(MonoNs::ZERO, |number| parts[number].to) };
            while let Some(mark) = marks.next_if(|mark| matches!(mark, Mark::Begin(at) | Mark::End(at) | Mark::Cancel(at) if *at <= marked_until)) {
                l.mark(*mark);
            }
            l.credit(0, part);
        }
        marks.for_each(|&mark| l.mark(mark));
        let run = (MonoNs(1_000), l.last_end().unwrap_or(MonoNs(1_000)));
        let used = |from: MonoNs, to: MonoNs| -> f64 {
            parts.iter().map(|part| {
                let overlap = part.to.min(to).ns_since(part.from.max(from));
                part.joules * overlap as f64 / part.to.ns_since(part.from) as f64
            }).sum()
        };
        let truth = used(run.0, run.1);
        for epoch in l.history().iter() {
            let (is, should) = (epoch.energy.total().unwrap_or(0.0), used(epoch.begin, epoch.end));
            prop_assert!((is - should).abs() < 1e-6 * should.max(1.0), "{epoch:?}: {is} against {should}");
        }
        let share = l.channel(0).joules.unwrap_or(0.0);
        let sums = l.epochs_j().unwrap_or(0.0) + l.between_j().unwrap_or(0.0);
        let epochs: f64 = energies(&l).into_iter().filter(|e| !e.is_nan()).sum();
        let by_time: f64 = l.timeline().steps().filter_map(|step| step.energy.total()).sum();
        let recent: f64 = l.accounts[0].recent().map(|interval| interval.joules).sum();
        let after = l.accounts[0].after.joules.unwrap_or(0.0) + recent;
        prop_assert!((by_time - sums - after).abs() < 1e-6 * truth.max(1.0), "{by_time} by time, {sums} and {after}");
        prop_assert!((share - sums).abs() < 1e-6);
        prop_assert!((epochs - l.epochs_j().unwrap_or(0.0)).abs() < 1e-6);
        prop_assert!((sums - truth).abs() < 1e-6 * truth.max(1.0), "{sums} against {truth}");
    }

    #[test]
    fn bounds_hold_the_energy_for_any_power(
        watts in prop::collection::vec(0.0f64..300.0, 60),
        marks in prop::collection::btree_set(0u64..=60, 2..20),
        reads in prop::collection::btree_set(1u64..60, 0..12),
        are_late in any::<bool>(),
    ) {
        const STEP: u64 = S / 100;
        let mut l = ledger();
        let marks: Vec<u64> = marks.into_iter().collect();
        let epochs: Vec<(u64, u64)> = marks.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        let joules = |from: u64, to: u64| watts[from as usize..to as usize].iter().sum::<f64>() / 100.0;
        let all = || epochs.iter().flat_map(|&(begin, end)| {
            [(begin, Mark::Begin(MonoNs(begin * STEP))), (end, Mark::End(MonoNs(end * STEP)))]
        });
        let (mut last, mut marked) = (0, None);
        for read in reads.into_iter().chain([60]) {
            let until = if are_late { 60 } else { read };
            all().filter(|(at, _)| Some(*at) > marked && *at <= until).for_each(|(_, mark)| l.mark(mark));
            marked = marked.max(Some(until));
            let (from, to) = (MonoNs(last * STEP), MonoNs(read * STEP));
            l.credit(0, EnergyInterval { from, to, joules: joules(last, read), measured: true });
            l.release(0);
            last = read;
        }
        for (epoch, (begin, end)) in l.history().iter().zip(&epochs) {
            let ([least, most], truth) = (epoch.energy_bounds().unwrap(), joules(*begin, *end));
            prop_assert!(least <= truth + 1e-6 && truth <= most + 1e-6, "{truth} J, not {least} to {most} J");
        }
    }
}
