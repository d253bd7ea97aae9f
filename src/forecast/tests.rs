use super::first_epoch::ProgressPoint;
use super::*;
use crate::clock::MonoNs;
use proptest::prelude::*;

fn epochs(seconds_and_joules: &[(f64, f64)]) -> Vec<EpochSummary> {
    let epoch = |&(duration_s, joules): &(f64, f64)| EpochSummary {
        count: 1,
        duration_s: Some(duration_s),
        energy_j: Some(joules),
        fully_measured: true,
        gap_s: 0.0,
    };
    seconds_and_joules.iter().map(epoch).collect()
}

/// The forecast of a run of these epochs, with time and energy between them, divided evenly.
fn whole(planned: u64, seen: &[EpochSummary], between: (f64, f64)) -> Option<Forecast> {
    let gaps = seen.len().saturating_sub(1).max(1) as f64;
    let with_gap = |(n, epoch): (usize, &EpochSummary)| EpochSummary {
        gap_s: if n == 0 { 0.0 } else { between.0 / gaps },
        ..*epoch
    };
    let between = InterEpoch { duration_s: between.0, energy_j: Some(between.1) };
    forecast(planned, 0.9, seen.iter().enumerate().map(with_gap), between, &FirstEpoch::default(), &History::default())
}

fn energy(planned: u64, joules: &[f64]) -> Estimate {
    let seen = epochs(&joules.iter().map(|&j| (1.0, j)).collect::<Vec<_>>());
    whole(planned, &seen, (0.0, 0.0)).unwrap().energy_j.unwrap()
}

#[test]
fn a_forecast_needs_a_plan_and_an_epoch() {
    let seen = epochs(&[(1.0, 5.0)]);
    assert_eq!(whole(0, &seen, (0.0, 0.0)), None);
    assert_eq!(whole(5, &[], (0.0, 0.0)), None);
}

#[test]
fn a_warm_up_is_counted_once() {
    let total = energy(100, &[300.0, 100.0, 100.0]);
    assert!((total.value / (300.0 + 99.0 * 100.0) - 1.0).abs() < 1e-4, "{total:?}");
    let seen = epochs(&[(3.0, 300.0), (1.0, 100.0)]);
    let total = whole(100, &seen, (0.0, 0.0)).unwrap();
    assert!((total.energy_j.unwrap().value / (300.0 + 99.0 * 100.0) - 1.0).abs() < 1e-2, "{total:?}");
    assert!((total.duration_s.unwrap().value / (3.0 + 99.0) - 1.0).abs() < 1e-2, "{total:?}");
}

/// The first epoch of 100 s at 1 kW, its first tenth nine times slower, marked each 100th.
fn warming_up(until: f64) -> FirstEpoch {
    let mut first_epoch = FirstEpoch::default();
    first_epoch.follow(Some(MonoNs(0)));
    for n in 1..=(until * 100.0) as u64 {
        let share = n as f64 / 100.0;
        let seconds = 100.0 * (share + 8.0 * share.min(0.1));
        first_epoch.note(ProgressPoint { at: MonoNs((seconds * 1e9) as u64), share });
        first_epoch.settle(MonoNs::NEVER, MonoNs::ZERO, |_| Some(1000.0 * seconds));
    }
    first_epoch
}

fn with_progress(seen: &[(f64, f64)], until: f64) -> Option<Forecast> {
    forecast(10, 0.9, epochs(seen).into_iter(), InterEpoch::default(), &warming_up(until), &History::default())
}

#[test]
fn progress_gives_a_forecast_inside_the_first_epoch() {
    assert_eq!(with_progress(&[], 0.04), None);
    let total = with_progress(&[], 0.05).unwrap();
    assert_eq!(total.after_epochs, 0);
    let half = with_progress(&[], 0.5).unwrap();
    let (seconds, joules) = (half.duration_s.unwrap(), half.energy_j.unwrap());
    assert!((seconds.value / 1080.0 - 1.0).abs() < 0.01 && (joules.value / 1.08e6 - 1.0).abs() < 0.01, "{half:?}");
    assert!(seconds.low < 1080.0 && 1080.0 < seconds.high && seconds.low > 130.0);
}

#[test]
fn after_the_first_epoch_its_warm_up_is_not_multiplied() {
    let total = with_progress(&[(180.0, 180e3)], 1.0).unwrap().energy_j.unwrap();
    assert!((total.value / 1.08e6 - 1.0).abs() < 0.01, "{total:?}");
    let blind = whole(10, &epochs(&[(180.0, 180e3)]), (0.0, 0.0)).unwrap().energy_j.unwrap();
    assert!(blind.value == 1.8e6 && total.high - total.low < (blind.high - blind.low) / 3.0);
    let later = with_progress(&[(180.0, 180e3), (100.0, 100e3)], 1.0).unwrap().energy_j.unwrap();
    assert!((later.value / 1.08e6 - 1.0).abs() < 0.01, "{later:?}");
}

#[test]
fn the_interval_gets_narrower_with_more_epochs() {
    let width = |seen: usize| {
        let total = energy(50, &vec![100.0; seen]);
        (total.high - total.low) / total.value
    };
    assert!(width(1) > 1.0 && width(2) < 0.3 && width(10) < width(2) && width(49) < 0.01);
}

#[test]
fn unrecorded_times_give_no_forecast_of_time() {
    let mut seen = epochs(&[(0.0, 30.0), (0.0, 10.0), (0.0, 10.0)]);
    seen.iter_mut().for_each(|epoch| epoch.duration_s = None);
    let total = whole(10, &seen, (0.0, 0.0)).unwrap();
    assert!(total.duration_s.is_none() && (total.energy_j.unwrap().value / 120.0 - 1.0).abs() < 1e-3);
}

#[test]
fn gaps_between_epochs_are_projected_too() {
    let seen = epochs(&[(1.0, 10.0), (1.0, 10.0), (1.0, 10.0)]);
    let total = whole(10, &seen, (1.0, 4.0)).unwrap();
    assert!((total.duration_s.unwrap().value - (4.0 + 7.0 * 1.5)).abs() < 1e-9);
    assert!((total.energy_j.unwrap().value - (34.0 + 7.0 * 12.0)).abs() < 1e-9);
}

#[test]
fn a_finished_run_has_no_interval() {
    let total = energy(3, &[10.0, 11.0, 12.0]);
    assert_eq!((total.value, total.low, total.high), (33.0, 33.0, 33.0));
}

#[test]
fn unknown_energy_gives_no_forecast_of_energy() {
    let mut seen = epochs(&[(2.0, 0.0), (2.0, 0.0)]);
    seen.iter_mut().for_each(|epoch| epoch.energy_j = None);
    let total = whole(10, &seen, (0.0, 0.0)).unwrap();
    assert_eq!((total.energy_j, total.duration_s.unwrap().value), (None, 20.0));
}

#[test]
fn a_partly_measured_epoch_does_not_move_the_forecast() {
    let mut seen = epochs(&[(1.0, 100.0), (1.0, 100.0), (1.0, 0.01)]);
    seen[2].fully_measured = false;
    let total = whole(10, &seen, (0.0, 0.0)).unwrap().energy_j.unwrap();
    assert!((total.value - 900.01).abs() < 1e-9, "200.01 J used, seven to come: {total:?}");
}

#[test]
fn progress_to_the_end_closes_the_interval() {
    let total = |until: f64| {
        forecast(1, 0.9, std::iter::empty(), InterEpoch::default(), &warming_up(until), &History::default())
            .unwrap()
            .duration_s
            .unwrap()
    };
    assert!(total(0.99).high < 185.0, "{:?}", total(0.99));
    assert_eq!((total(1.0).low, total(1.0).value, total(1.0).high), (180.0, 180.0, 180.0));
}

#[test]
fn the_rest_is_the_total_less_the_use() {
    let total = Estimate { used: 30.0, value: 100.0, low: 50.0, high: 150.0 };
    let rest = |used: Option<f64>| {
        let rest = used.map_or(total, |used| total.after_use(used)).rest();
        [rest.value, rest.low, rest.high]
    };
    assert_eq!(
        (rest(None), rest(Some(20.0)), rest(Some(60.0))),
        ([70.0, 20.0, 120.0], [70.0, 20.0, 120.0], [40.0, 0.0, 90.0])
    );
}

/// Its energy was used, though it was not measured.
#[test]
fn an_unmeasured_epoch_counts_like_a_future_one() {
    let mut seen = epochs(&[(1.0, 0.0), (1.0, 10.0), (1.0, 10.0)]);
    seen[0].energy_j = None;
    let total = whole(3, &seen, (0.0, 0.0)).unwrap().energy_j.unwrap();
    assert!(total.value == 30.0 && total.low > 25.0, "{total:?}");
}

#[test]
fn a_single_long_gap_is_not_projected_but_regular_gaps_are() {
    let with_gaps = |gaps: &[f64]| {
        let seen = epochs(&vec![(100.0, 1000.0); gaps.len() + 1]);
        let seen = seen.iter().zip([0.0].iter().chain(gaps)).map(|(epoch, &gap_s)| EpochSummary { gap_s, ..*epoch });
        let sum: f64 = gaps.iter().sum();
        let between = InterEpoch { duration_s: sum, energy_j: Some(sum * 5.0) };
        let total = forecast(100, 0.9, seen, between, &FirstEpoch::default(), &History::default()).unwrap();
        (total.duration_s.unwrap().value - 10_000.0, total.energy_j.unwrap().value - 100_000.0)
    };
    let near = |(seconds, joules): (f64, f64), gaps_s: f64| {
        (seconds - gaps_s).abs() < 1e-6 && (joules - 5.0 * gaps_s).abs() < 1e-6
    };
    assert!(near(with_gaps(&[20.0]), 99.0 * 20.0));
    assert!(near(with_gaps(&[0.0, 0.0, 20.0, 0.0, 0.0, 20.0]), 40.0 + 93.0 * 40.0 / 6.0));
    assert!(near(with_gaps(&[3600.0, 2.0, 2.0]), 3604.0 + 96.0 * 2.0), "{:?}", with_gaps(&[3600.0, 2.0, 2.0]));
    assert!(near(with_gaps(&[3600.0]), 3600.0 + 98.0 * 100.0), "{:?}", with_gaps(&[3600.0]));
}

#[test]
fn a_far_longer_second_epoch_keeps_the_first_in_the_interval() {
    let total = whole(20, &epochs(&[(1500.0, 1.0), (20_000.0, 1.0)]), (0.0, 0.0)).unwrap().duration_s.unwrap();
    assert!(total.low < 21_500.0 + 18.0 * 1500.0, "{total:?}");
}

fn time(planned: u64, seconds: &[f64]) -> Estimate {
    let seen = epochs(&seconds.iter().map(|&s| (s, 1.0)).collect::<Vec<_>>());
    whole(planned, &seen, (0.0, 0.0)).unwrap().duration_s.unwrap()
}

/// Kernels compile, data is binned or downloaded: up to 40 times as long, and up to a quarter of an hour.
#[test]
fn nearly_all_of_the_first_epoch_may_be_warm_up() {
    for (each, planned) in [0.025, 1.0, 20.0].into_iter().flat_map(|each| [10, 50, 200, 1000].map(|n| (each, n))) {
        let holds = |slower: f64| {
            let (total, truth) = (time(planned, &[each * slower]), each * (slower + planned as f64 - 1.0));
            total.low <= truth && truth <= total.high
        };
        let all = (1..=40).filter(|&slower| holds(f64::from(slower))).count();
        assert!(all >= 36, "{each} s, {planned} epochs: {all} of 40");
    }
    // A Flux network compiles for 20.8 s in its first epoch of 20.9 s. An hour is no warm-up.
    assert!(time(20, &[20.9]).low < 20.9 + 19.0 * 0.11);
    assert!(time(20, &[3600.0]).low > 0.5 * 20.0 * 3600.0);
}

/// All of it may be a slow start: cold files, a first download. A change of the rate shows which part is.
#[test]
fn marks_narrow_the_interval_only_after_a_change_of_rate() {
    for slower in [1.3, 1.6, 2.5] {
        let mut evenly = FirstEpoch::default();
        evenly.follow(Some(MonoNs(0)));
        for n in 1..=20 {
            let seconds = 100.0 * slower * f64::from(n) / 20.0;
            evenly.note(ProgressPoint { at: MonoNs((seconds * 1e9) as u64), share: f64::from(n) / 20.0 });
            evenly.settle(MonoNs::NEVER, MonoNs::ZERO, |_| Some(100.0 * seconds));
        }
        let seen = epochs(&[(100.0 * slower, 1e4 * slower)]);
        let total = forecast(10, 0.9, seen.into_iter(), InterEpoch::default(), &evenly, &History::default());
        let total = total.unwrap().energy_j.unwrap();
        assert!(total.low < 1e4 * (slower + 9.0) && total.value == 1e5 * slower, "{slower}: {total:?}");
    }
    let changed = with_progress(&[(180.0, 180e3)], 1.0).unwrap().duration_s.unwrap();
    let blind = time(10, &[180.0]);
    assert!(changed.high - changed.low < (blind.high - blind.low) / 2.0, "{changed:?} {blind:?}");
}

/// A first batch that compiles for 17 s, when all others take milliseconds.
#[test]
fn a_first_mark_may_be_all_warm_up() {
    let mut first_epoch = FirstEpoch::default();
    first_epoch.follow(Some(MonoNs(0)));
    for n in 1..=5 {
        let at = MonoNs(17_300_000_000 + n * 2_000_000);
        first_epoch.note(ProgressPoint { at, share: n as f64 / 47.0 });
        first_epoch.settle(MonoNs::NEVER, MonoNs::ZERO, |_| None);
    }
    let total =
        forecast(20, 0.9, std::iter::empty(), InterEpoch::default(), &first_epoch, &History::default()).unwrap();
    assert!(total.duration_s.unwrap().low < 19.2, "{total:?}");
}

/// The formula that is hard to beat: what was seen, and the mean of epochs 2 to k for the rest.
#[test]
fn regular_epochs_are_projected_by_their_mean() {
    let costs = [150.0, 104.0, 97.0, 99.0, 118.0, 101.0, 95.0];
    for seen in 2..=costs.len() {
        let later = &costs[1..seen];
        let mean = later.iter().sum::<f64>() / later.len() as f64;
        let plain = costs[..seen].iter().sum::<f64>() + (60 - seen) as f64 * mean;
        assert!((energy(60, &costs[..seen]).value / plain - 1.0).abs() < 1e-9, "{seen}");
    }
}

/// One epoch of seven times the level is expected less often than it was seen. If half of them are, all are.
#[test]
fn a_single_stall_is_not_projected_but_frequent_ones_are() {
    let rest = |costs: &[f64]| energy(100, costs).value - costs.iter().sum::<f64>();
    assert!((rest(&[1.0, 1.0, 7.0, 1.0]) / 96.0 - 1.0).abs() < 0.01);
    let half: Vec<f64> = (0..12).map(|n| if n % 2 == 1 { 1.6 } else { 1.0 }).collect();
    assert!((rest(&half) / (88.0 * 1.3) - 1.0).abs() < 0.05, "{}", rest(&half) / 88.0);
}

/// Its first use may compile or open files. The first epoch, which may be mostly warm-up, is no measure of it.
#[test]
fn a_single_gap_counts_as_an_epoch_at_most() {
    let mut seen = epochs(&[(19.0, 1.0), (0.1, 1.0)]);
    seen[1].gap_s = 1.6;
    let between = InterEpoch { duration_s: 1.6, energy_j: None };
    let total = forecast(20, 0.9, seen.into_iter(), between, &FirstEpoch::default(), &History::default()).unwrap();
    assert!(total.duration_s.unwrap().value < 19.1 + 1.6 + 18.0 * 0.2 + 1e-9, "{total:?}");
}

proptest! {
    #[test]
    fn constant_epochs_give_the_exact_total_and_a_shrinking_interval(joules in 0.1..1e6f64, planned in 4u64..500) {
        let mut width = f64::INFINITY;
        for seen in 1..planned.min(40) {
            let total = energy(planned, &vec![joules; seen as usize]);
            prop_assert!((total.value / (planned as f64 * joules) - 1.0).abs() < 1e-9);
            prop_assert!(total.high - total.low < width);
            width = total.high - total.low;
        }
    }

    #[test]
    fn the_interval_is_ordered_above_the_use_and_scales(joules in prop::collection::vec(0.0..1e4f64, 1..50), left in 0u64..100, factor in 0.1..10.0f64) {
        let planned = joules.len() as u64 + left;
        let total = energy(planned, &joules);
        let used: f64 = joules.iter().sum();
        prop_assert!(total.low <= total.value + 1e-6 && total.value <= total.high + 1e-6 && total.low >= used - 1e-6);
        let scaled = energy(planned, &joules.iter().map(|j| j * factor).collect::<Vec<_>>());
        prop_assert!((scaled.value - total.value * factor).abs() <= 1e-9 * scaled.value.max(1.0));
        prop_assert!((scaled.high - total.high * factor).abs() <= 1e-6 * scaled.high.max(1.0));
    }

    #[test]
    fn one_outlier_among_twenty_counts_less_than_its_share(odd in 2.0..50.0f64, index in 0usize..20) {
        let mut joules = vec![1.0; 20];
        joules[index] = odd;
        prop_assert!(energy(100, &joules).value - 100.0 < (odd - 1.0) * 5.0);
    }

    #[test]
    fn falling_costs_give_no_forecast_below_the_use(power in 0.5..3.0f64, count in 2usize..40, left in 1u64..2000) {
        let joules: Vec<f64> = (0..count).map(|n| ((count - n) as f64).powf(power)).collect();
        let total = energy(count as u64 + left, &joules);
        prop_assert!(total.used <= total.low && total.low < total.value && total.value < total.high, "{total:?}");
        prop_assert!(total.value < total.used + left as f64 * joules[0]);
    }
}

#[test]
fn an_estimated_forecast_has_only_the_digits_of_its_interval() {
    let forecast = Estimate { used: 0.0, value: 1e3, low: 9e2, high: 2e3 };
    assert_eq!(forecast.amount(crate::units::Amount::Grams, false), "1.0 kg (0.90 to 2.0)");
    assert_eq!(forecast.amount(crate::units::Amount::Grams, true), "≈ 1.0 kg (0.90 to 2.0)");
}
