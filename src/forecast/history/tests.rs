use super::*;
use crate::forecast::first_epoch::FirstEpoch;
use crate::forecast::{Estimate, Forecast, Support, forecast};
use proptest::prelude::*;

fn summary(amount: f64) -> EpochSummary {
    EpochSummary {
        count: 1,
        duration_s: Some(amount),
        energy_j: Some(100.0 * amount),
        fully_measured: true,
        gap_s: 0.0,
    }
}

fn run(costs: &[f64]) -> EarlierRun {
    EarlierRun { epochs: costs.iter().map(|&cost| summary(cost)).collect(), is_whole: true, ..EarlierRun::default() }
}

fn history(runs: &[Vec<f64>]) -> History {
    History::new(&runs.iter().map(|costs| run(costs)).collect::<Vec<_>>())
}

fn after(seen: &[f64], planned: u64, history: &History) -> Option<Forecast> {
    let epochs = seen.iter().map(|&cost| summary(cost));
    forecast(planned, 0.9, epochs, InterEpoch::default(), &FirstEpoch::default(), history)
}

fn time(seen: &[f64], planned: u64, history: &History) -> Estimate {
    after(seen, planned, history).and_then(|forecast| forecast.duration_s).unwrap()
}

/// A run of this many epochs at 1 s: the first takes longer, and each is off by up to a share of `noise`.
fn steady(epochs: usize, first: f64, noise: f64, seed: usize) -> Vec<f64> {
    let off = |n: usize| ((n * 7919 + seed * 104_729) % 101) as f64 / 50.0 - 1.0;
    (0..epochs).map(|n| if n == 0 { first } else { 1.0 + noise * off(n) }).collect()
}

/// 1 s an epoch, 1.28 s from epoch 50 on, as in one of the recorded sets.
fn stepped(epochs: usize) -> Vec<f64> {
    (0..epochs).map(|n| if n < 50 { 1.0 } else { 1.28 }).collect()
}

fn width(e: Estimate) -> f64 {
    (e.high - e.low) / e.value
}

#[test]
fn without_epochs_only_history_gives_a_forecast() {
    assert!(after(&[], 20, &History::default()).is_none());
    let total = after(&[], 20, &history(&[steady(20, 2.0, 0.01, 1)])).unwrap();
    assert_eq!(total.after_epochs, 0);
    assert!((total.duration_s.unwrap().value / 21.0 - 1.0).abs() < 0.01, "{total:?}");
    assert!(after(&[], 0, &history(&[steady(20, 2.0, 0.01, 1)])).is_none(), "the number of epochs is unknown");
}

/// The earlier run is the best forecast. 0.1 %: rounding, and the widest interval is that of one run beside one other.
#[test]
fn equal_runs_are_foretold_and_the_interval_closes() {
    let costs = steady(30, 1.2, 0.0, 1);
    let truth: f64 = costs.iter().sum();
    let known = history(&vec![costs.clone(); 3]);
    let mut widest = f64::INFINITY;
    for seen in 0..costs.len() {
        let total = time(&costs[..seen], 30, &known);
        assert!((total.value / truth - 1.0).abs() < 1e-3, "{seen}: {total:?}");
        assert!(total.low <= truth && truth <= total.high && width(total) <= 1.2 * widest, "{seen}: {total:?}");
        widest = widest.min(width(total));
    }
    assert!(width(time(&[], 30, &known)) < 0.05 && width(time(&costs[..2], 30, &known)) < 0.02);
}

/// No epoch before the step shows it. The earlier runs do, whatever their number of epochs.
#[test]
fn a_step_is_known_from_earlier_runs() {
    let known = history(&[stepped(80), stepped(120), stepped(90)]);
    for planned in [80, 160] {
        let costs = stepped(planned);
        let total = time(&costs[..3], planned as u64, &known);
        assert!((total.value / costs.iter().sum::<f64>() - 1.0).abs() < 0.01, "{planned}: {total:?}");
        let blind = time(&costs[..3], planned as u64, &History::default());
        assert!(blind.value < 0.92 * costs.iter().sum::<f64>(), "{blind:?}");
    }
}

/// Five times the level of all earlier runs: nothing of them is left after three epochs, nor is the interval narrower.
#[test]
fn history_of_another_level_is_dropped_within_three_epochs() {
    let known = history(&[steady(50, 1.1, 0.01, 1), steady(50, 1.1, 0.01, 2)]);
    let costs: Vec<f64> = steady(50, 1.1, 0.01, 3).iter().map(|cost| 5.0 * cost).collect();
    let (with, without) = (time(&costs[..3], 50, &known), time(&costs[..3], 50, &History::default()));
    assert!((with.value / without.value - 1.0).abs() < 0.01, "{with:?} {without:?}");
    assert!(with.high > 0.9 * without.high, "{with:?} {without:?}");
}

/// A first epoch 13 times longer than before: a warm-up, unless all epochs are. Both are in the interval.
#[test]
fn one_slow_first_epoch_does_not_overrule_earlier_runs() {
    let known = history(&vec![steady(50, 1.0, 0.01, 1); 4]);
    let total = time(&[13.0], 50, &known);
    assert!((total.value / (13.0 + 49.0) - 1.0).abs() < 0.1, "{total:?}");
    let (second, later) = (time(&[13.0, 13.0], 50, &known), time(&[13.0, 13.0, 13.0], 50, &known));
    assert!(second.high > 13.0 * 50.0 && (later.value / (13.0 * 50.0) - 1.0).abs() < 0.05, "{second:?} {later:?}");
}

/// A stall that an earlier run had says nothing of this run's epoch with the same number.
#[test]
fn a_stall_of_an_earlier_run_is_in_the_interval() {
    let mut odd = steady(30, 1.0, 0.01, 1);
    odd[20] = 6.0;
    let costs = steady(30, 1.0, 0.01, 2);
    let total = time(&costs[..3], 30, &history(&[odd]));
    assert!(total.low < 30.0 && 30.0 < total.high, "{total:?}");
}

#[test]
fn wildly_different_runs_give_no_forecast_before_the_first_epoch() {
    let of_level = |level: f64| steady(20, 1.0, 0.01, 1).iter().map(|cost| level * cost).collect::<Vec<_>>();
    let mixed = history(&[of_level(1.0), of_level(30.0), of_level(0.05)]);
    assert!(after(&[], 20, &mixed).is_none());
    let costs = of_level(30.0);
    let total = time(&costs[..2], 20, &mixed);
    assert!((total.value / costs.iter().sum::<f64>() - 1.0).abs() < 0.02, "{total:?}");
}

/// Another number of epochs, a missing amount, epochs that were merged, and a run that was killed.
#[test]
fn earlier_runs_may_be_incomplete() {
    let costs = steady(40, 2.0, 0.01, 3);
    let truth: f64 = costs.iter().sum();
    let mut unknown = run(&steady(40, 2.0, 0.01, 1));
    unknown.epochs[5].duration_s = None;
    unknown.epochs[6].energy_j = None;
    let mut merged = run(&steady(40, 2.0, 0.01, 1));
    let rest: Vec<EpochSummary> = merged.epochs.split_off(10);
    let sum = |of: fn(&EpochSummary) -> Option<f64>| rest.iter().filter_map(of).sum::<f64>();
    merged.epochs.push(EpochSummary {
        count: 30,
        duration_s: Some(sum(|epoch| epoch.duration_s)),
        energy_j: Some(sum(|epoch| epoch.energy_j)),
        ..summary(1.0)
    });
    let killed = EarlierRun { is_whole: false, ..run(&steady(12, 2.0, 0.01, 1)) };
    for earlier in [unknown, merged, killed, run(&steady(80, 2.0, 0.01, 1))] {
        let known = History::new(&[earlier]);
        for seen in [0, 1, 3] {
            let total = time(&costs[..seen], 40, &known);
            assert!((total.value / truth - 1.0).abs() < 0.01, "{seen}: {total:?}");
        }
    }
}

/// Time between the epochs, too, is known from earlier runs before the first gap.
#[test]
fn gaps_are_known_from_earlier_runs() {
    let mut earlier = run(&steady(10, 1.0, 0.0, 1));
    earlier.epochs.iter_mut().skip(1).for_each(|epoch| epoch.gap_s = 0.5);
    earlier.between = InterEpoch { duration_s: 4.5, energy_j: Some(45.0) };
    let known = History::new(&[earlier]);
    for seen in [0, 1] {
        let total = after(&vec![1.0; seen], 10, &known).unwrap();
        let (seconds, joules) = (total.duration_s.unwrap().value, total.energy_j.unwrap().value);
        assert!((seconds - 14.5).abs() < 0.02 && (joules - 1045.0).abs() < 2.0, "{seen}: {seconds} {joules}");
    }
}

/// A start-up of 60 s, then 3 epochs of 10 s: it happens once, whatever the number of epochs.
#[test]
fn start_up_counts_once() {
    let mut earlier = run(&[10.0; 3]);
    earlier.epochs.iter_mut().skip(1).for_each(|epoch| epoch.gap_s = 0.01);
    earlier.between = InterEpoch { duration_s: 60.02, energy_j: Some(600.2) };
    earlier.before_s = 60.0;
    let known = History::new(&[earlier]);
    for (planned, truth) in [(3, 90.02), (100, 1060.99)] {
        let total = after(&[], planned, &known).unwrap();
        let (seconds, joules) = (total.duration_s.unwrap().value, total.energy_j.unwrap().value);
        assert!((seconds - truth).abs() < 0.01, "{planned}: {seconds}");
        assert!((joules - 100.0 * (truth - 60.0) - 600.0).abs() < 100.0, "{planned}: {joules}");
    }
    // After its own start-up, nothing of it is still to come.
    let own = InterEpoch { duration_s: 50.0, energy_j: Some(500.0) };
    for (seen, between) in [(0, own), (1, own)] {
        let epochs = vec![summary(10.0); seen];
        let total = forecast(3, 0.9, epochs.into_iter(), between, &FirstEpoch::default(), &known).unwrap();
        assert!((total.duration_s.unwrap().value - 80.02).abs() < 0.02, "{seen}: {total:?}");
    }
}

/// The gap after a first epoch that compiles is longer than the later ones, as in the earlier runs.
#[test]
fn first_gap_of_a_run_does_not_overrule_earlier_ones() {
    let gaps = |of: &mut [EpochSummary]| {
        of.iter_mut().enumerate().skip(1).for_each(|(n, epoch)| epoch.gap_s = if n == 1 { 0.3 } else { 0.01 });
    };
    let mut earlier = run(&steady(30, 4.0, 0.01, 1));
    gaps(&mut earlier.epochs);
    earlier.between = InterEpoch { duration_s: 0.58, energy_j: None };
    let mut seen: Vec<EpochSummary> = steady(30, 4.0, 0.01, 2).iter().map(|&cost| summary(cost)).collect();
    gaps(&mut seen);
    let between = InterEpoch { duration_s: 0.3, energy_j: None };
    let made = |known: &History| {
        let two = seen.iter().take(2).copied();
        forecast(30, 0.9, two, between, &FirstEpoch::default(), known).unwrap().duration_s.unwrap()
    };
    let (with, without) = (made(&History::new(&[earlier])), made(&History::default()));
    assert!((with.value / 33.58 - 1.0).abs() < 0.03, "{with:?}");
    assert!(without.low < 33.58, "without earlier runs it may be the usual gap: {without:?}");
}

/// The only epoch of a run is its first one.
#[test]
fn run_of_one_epoch_is_like_the_first_of_earlier_ones() {
    let known = history(&vec![steady(20, 5.0, 0.01, 1); 3]);
    let total = time(&[], 1, &known);
    assert!((total.value / 5.0 - 1.0).abs() < 0.01, "{total:?}");
}

/// A device that answers late gives a first epoch of 0 J.
#[test]
fn first_epoch_of_nothing_gives_a_finite_interval() {
    let known = history(&vec![steady(20, 1.0, 0.01, 1); 2]);
    for seen in [vec![0.0], vec![0.0, 1.0], vec![0.0, 0.0], vec![0.0, 1.0, 1.0]] {
        for known in [&known, &History::default()] {
            let Some(made) = after(&seen, 20, known) else { continue };
            for e in [made.duration_s, made.energy_j].into_iter().flatten() {
                assert!([e.low, e.value, e.high].iter().all(|end| end.is_finite()), "{seen:?}: {e:?}");
                assert!(seen.len() < 2 || seen[1] == 0.0 || e.low > 1.0, "{seen:?}: {e:?}");
            }
        }
    }
}

/// A report names the runs that a forecast rests on. Runs that do not fit are dropped.
#[test]
fn support_counts_the_earlier_runs_in_use() {
    let at = |level: f64, seed: usize| steady(30, 1.0, 0.01, seed).iter().map(|cost| level * cost).collect::<Vec<_>>();
    let known = history(&[at(1.0, 1), at(1.0, 2), at(7.0, 3)]);
    let support = |seen: &[f64]| after(seen, 30, &known).unwrap().support;
    let fits = after(&at(1.0, 4)[..4], 30, &known).unwrap();
    assert!(fits.rests_on_history() && fits.support.runs == 2, "{fits:?}");
    let noisy: Vec<f64> = (0..6).map(|n| 40.0 * (1.0 + 0.4 * f64::from(n % 2)) + 9.0 * f64::from(n)).collect();
    assert!(support(&noisy).weight < 0.5, "{:?}", support(&noisy));
    assert_eq!(after(&at(1.0, 4)[..4], 30, &History::default()).unwrap().support, Support::default());
}

/// An epoch without a cost says nothing of the level.
#[test]
fn an_epoch_of_nothing_is_not_compared() {
    let costs = steady(30, 1.5, 0.01, 2);
    let mut seen = costs[..6].to_vec();
    seen[3] = 0.0;
    let total = time(&seen, 30, &history(&[steady(30, 1.5, 0.01, 1)]));
    assert!((total.value / (costs.iter().sum::<f64>() - costs[3]) - 1.0).abs() < 0.01, "{total:?}");
}

#[test]
fn useless_earlier_runs_are_ignored() {
    let nothing = EarlierRun::default();
    let zeros = run(&[0.0; 5]);
    let mut unknown = run(&[1.0; 5]);
    unknown.epochs.iter_mut().for_each(|epoch| (epoch.duration_s, epoch.energy_j) = (None, None));
    let useless = History::new(&[nothing, zeros, unknown]);
    assert!(useless.is_empty());
    assert_eq!(after(&[2.0, 1.0, 1.0], 9, &useless), after(&[2.0, 1.0, 1.0], 9, &History::default()));
}

/// The errors of ten runs that repeat within 0.1 % narrow the interval beside that of four.
#[test]
fn many_alike_runs_calibrate_the_interval() {
    let runs: Vec<Vec<f64>> = (0..12).map(|seed| steady(40, 1.2, 0.02, seed)).collect();
    let (few, many) = (history(&runs[..4]), history(&runs));
    let costs = steady(40, 1.2, 0.02, 99);
    for seen in [0, 2, 10] {
        let (few, many) = (time(&costs[..seen], 40, &few), time(&costs[..seen], 40, &many));
        // After many epochs, the run's own agreement has narrowed both.
        assert!(seen == 10 || width(many) < width(few), "{seen}: {many:?} {few:?}");
        assert!(many.low < costs.iter().sum() && costs.iter().sum::<f64>() < many.high, "{seen}: {many:?}");
    }
}

/// A thousand runs of a thousand epochs keep no more than the newest.
#[test]
fn history_is_bounded() {
    let runs: Vec<Vec<f64>> = (0..1000).map(|n| vec![1.0 + (n / 100) as f64; 4]).collect();
    let known = history(&runs);
    assert!(known.runs.len() <= MAX_RUNS);
    let total = time(&[10.0, 10.0], 4, &known);
    assert!((total.value / 40.0 - 1.0).abs() < 0.01, "the newest runs: {total:?}");
}

#[test]
fn progress_marks_and_history_agree_inside_the_first_epoch() {
    use crate::clock::MonoNs;
    use crate::forecast::first_epoch::ProgressPoint;
    let mut marks = FirstEpoch::default();
    marks.follow(Some(MonoNs(0)));
    for n in 1..=50 {
        let at = MonoNs(n * 20_000_000);
        marks.note(ProgressPoint { at, share: n as f64 / 100.0 });
        marks.settle(MonoNs::NEVER, MonoNs::ZERO, |at| Some(at.0 as f64 * 1e-7));
    }
    // 2 s for the first epoch at this pace, as before, when the others took 1 s.
    let known = history(&vec![steady(20, 2.0, 0.01, 1); 3]);
    let inside = |known: &History| {
        forecast(20, 0.9, std::iter::empty(), InterEpoch::default(), &marks, known).unwrap().duration_s.unwrap()
    };
    assert!((inside(&History::default()).value / 40.0 - 1.0).abs() < 0.01, "{:?}", inside(&History::default()));
    let total = inside(&known);
    assert!((total.value / 21.0 - 1.0).abs() < 0.02 && total.low >= 1.0, "{total:?}");
}

proptest! {
    #[test]
    fn the_interval_is_ordered_above_the_use_and_scales(
        seen in prop::collection::vec(prop_oneof![Just(0.0), 1e-3..1e4f64], 0..30),
        earlier in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0.0), 1e-3..1e4f64], 1..30), 1..5),
        left in 1u64..50,
        factor in 0.01..100.0f64,
    ) {
        let planned = seen.len() as u64 + left;
        let scaled = |costs: &[f64], factor: f64| -> Vec<EpochSummary> {
            costs.iter().map(|&cost| EpochSummary { duration_s: Some(1.0), energy_j: Some(cost * factor), ..summary(1.0) }).collect()
        };
        let total = |factor: f64| {
            let runs: Vec<EarlierRun> = earlier.iter().map(|costs| EarlierRun { epochs: scaled(costs, factor), is_whole: true, ..EarlierRun::default() }).collect();
            let epochs = scaled(&seen, factor).into_iter();
            forecast(planned, 0.9, epochs, InterEpoch::default(), &FirstEpoch::default(), &History::new(&runs)).and_then(|forecast| forecast.energy_j)
        };
        let Some(one) = total(1.0) else { return Ok(()) };
        prop_assert!(one.used <= one.low && one.low <= one.value && one.value <= one.high && one.high.is_finite(), "{one:?}");
        let other = total(factor).unwrap();
        prop_assert!((other.value / factor - one.value).abs() <= 1e-6 * one.value, "{one:?} {other:?}");
        prop_assert!((other.high / factor - one.high).abs() <= 1e-6 * one.high, "{one:?} {other:?}");
    }

    #[test]
    fn the_end_is_exact(costs in prop::collection::vec(0.0..1e4f64, 1..30), earlier in prop::collection::vec(1e-3..1e4f64, 1..30)) {
        let total = time(&costs, costs.len() as u64, &history(&[earlier]));
        let sum: f64 = costs.iter().sum();
        prop_assert_eq!((total.value, total.low, total.high), (sum, sum, sum));
    }

    /// The order counts only beyond the number of runs that are kept. Sums in another order differ by rounding.
    #[test]
    fn the_order_of_history_does_not_matter(seeds in prop::collection::vec(0usize..1000, 2..8), seen in 0usize..10) {
        let mut runs: Vec<Vec<f64>> = seeds.iter().map(|&seed| steady(20, 1.5, 0.03, seed)).collect();
        let costs = steady(20, 1.4, 0.03, 7);
        let one = time(&costs[..seen], 20, &history(&runs));
        runs.reverse();
        let other = time(&costs[..seen], 20, &history(&runs));
        prop_assert!((one.value / other.value - 1.0).abs() < 1e-6 && (one.high / other.high - 1.0).abs() < 1e-6);
    }
}
