use super::*;
use proptest::prelude::*;

fn epochs(each: &[f64]) -> Vec<EpochCost> {
    each.iter().map(|&each| EpochCost { count: 1.0, each }).collect()
}

/// The trend of the present level.
fn trend(each: &[f64]) -> Trend {
    let taken = epochs(each);
    let (start, _) = present(&taken).unwrap();
    Trend::of(&taken[start..]).unwrap()
}

fn repeated(parts: &[(usize, f64)]) -> Vec<f64> {
    parts.iter().flat_map(|&(count, each)| std::iter::repeat_n(each, count)).collect()
}

#[test]
fn no_epochs_have_no_trend() {
    assert!(present(&[]).is_none() && Trend::of(&[]).is_none());
}

#[test]
fn a_stall_does_not_move_the_level() {
    let trend = trend(&[1490.0, 1510.0, 20_708.0, 1500.0, 1505.0, 1495.0]);
    assert!((trend.level / 1500.0 - 1.0).abs() < 0.02 && trend.drift == 0.0, "{trend:?}");
}

#[test]
fn a_level_shift_is_followed_from_its_third_epoch_on() {
    for to in [700.0, 1280.0] {
        let level = |n: usize| trend(&repeated(&[(50, 1000.0), (n, to)])).level;
        assert!((level(2) / 1000.0 - 1.0).abs() < 0.02, "{}", level(2));
        assert!((level(3) / to - 1.0).abs() < 1e-9, "{}", level(3));
    }
}

#[test]
fn a_level_that_returns_is_found_again() {
    let trend = trend(&repeated(&[(3, 1.0), (3, 1.99), (3, 1.0)]));
    assert!((trend.level - 1.0).abs() < 1e-9, "{trend:?}");
}

#[test]
fn smaller_first_epochs_do_not_count() {
    assert!((trend(&[0.5, 1.0, 1.0]).level - 1.0).abs() < 1e-9);
    assert!((trend(&[0.2, 0.2, 1.0, 1.0, 1.0]).level - 1.0).abs() < 1e-9);
}

#[test]
fn regular_outliers_count_a_little() {
    // Every fourth takes a tenth more: 1.025 on average.
    let each: Vec<f64> = (0..40).map(|n| if n % 4 == 3 { 1.1 } else { 1.0 }).collect();
    let level = trend(&each).level;
    assert!((1.005..1.03).contains(&level), "{level}");
}

#[test]
fn real_drift_is_followed() {
    let steady = |n: usize| 18_500.0 - 844.0 * n as f64;
    let seen: Vec<f64> = (0..5).map(steady).collect();
    let rest: f64 = (5..10).map(steady).sum();
    assert!((trend(&seen).of_next(5.0) / rest - 1.0).abs() < 0.2);
    let seen: Vec<f64> = (0..7).map(steady).collect();
    let rest: f64 = (7..10).map(steady).sum();
    assert!((trend(&seen).of_next(3.0) / rest - 1.0).abs() < 0.03);
}

#[test]
fn drift_over_a_long_run_is_no_level_shift() {
    let seen: Vec<f64> = (0..50).map(|n| 1000.0 + 10.0 * n as f64).collect();
    let rest: f64 = (50..100).map(|n| 1000.0 + 10.0 * n as f64).sum();
    assert!((trend(&seen).of_next(50.0) / rest - 1.0).abs() < 0.01);
}

#[test]
fn downward_drift_stops_above_0() {
    let trend = Trend { level: 10.0, drift: -1.0, spread: 0.0, epochs: 50.0 };
    assert!(
        (trend.of_next(100.0) - (9 + 8 + 7 + 6 + 5 + 4 + 93 * 3 + 3) as f64).abs() < 1e-9,
        "{}",
        trend.of_next(100.0)
    );
}

#[test]
fn agreement_falls_with_the_difference_in_both_directions() {
    assert_eq!(agreement(1.0, 1.0), 1.0);
    assert!((agreement(1.09, 1.0) - 0.1).abs() < 1e-9 && (agreement(0.91, 1.0) - 0.1).abs() < 1e-9);
    assert_eq!(agreement(1.0, 0.0), 0.0);
}

proptest! {
    #[test]
    fn equal_epochs_have_their_cost_as_level(each in 1e-6..1e9f64, count in 1usize..60, left in 0u32..10_000) {
        let trend = trend(&vec![each; count]);
        let left = f64::from(left);
        prop_assert!((trend.level / each - 1.0).abs() < 1e-12 && trend.drift == 0.0);
        prop_assert!((trend.of_next(left) - left * each).abs() <= 1e-9 * left * each);
    }

    #[test]
    fn the_trend_scales_with_the_costs(each in prop::collection::vec(0.0..1e3f64, 1..40), factor in 1e-3..1e3f64) {
        let (one, other) = (trend(&each), trend(&each.iter().map(|each| each * factor).collect::<Vec<_>>()));
        let near = |a: f64, b: f64| (a * factor - b).abs() <= 1e-6 * (a * factor).abs().max(1e-9);
        prop_assert!(near(one.level, other.level) && (one.spread - other.spread).abs() < 1e-6, "{one:?} {other:?}");
    }

    #[test]
    fn one_outlier_among_twenty_moves_the_level_by_its_share_at_most(odd in 0.0..50.0f64, index in 0usize..20, noise in prop::collection::vec(-0.02..0.02f64, 20)) {
        let mut each: Vec<f64> = noise.iter().map(|noise| 1.0 + noise).collect();
        let before = trend(&each);
        let share = (odd - each[index]) / 20.0;
        prop_assume!(share.abs() > 0.01);
        each[index] = odd;
        prop_assert!((trend(&each).level - before.level).abs() < share.abs() * 1.0001 + 1e-9, "{} by {share}", trend(&each).level - before.level);
    }

    #[test]
    fn the_trend_is_finite_for_any_costs(each in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1e12f64], 1..60), left in 0.0..1e6f64) {
        let trend = trend(&each);
        prop_assert!(trend.level.is_finite() && trend.drift.is_finite() && trend.spread >= 0.0);
        prop_assert!(trend.of_next(left).is_finite());
    }
}
