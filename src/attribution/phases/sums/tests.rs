use super::*;
use proptest::prelude::*;

/// A generator of numbers from 0 to 1, and of normal ones.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn add(sums: &mut PhaseSums, mix: &[(usize, f64)], joules: f64, is_measured: bool) {
    sums.add(&Portion { mix, joules, is_measured, follows: true, step_s: 0.0 });
}

#[test]
fn interval_in_one_phase_is_exact() {
    let mut sums = PhaseSums::default();
    add(&mut sums, &[(3, 2.0)], 100.0, true);
    add(&mut sums, &[(5, 1.0)], 7.0, true);
    add(&mut sums, &[(3, 1.0)], 80.0, true);
    let shares = sums.fit();
    for (phase, joules) in [(3, 180.0), (5, 7.0), (0, 0.0)] {
        let (used, half) = shares.of(&[phase]);
        assert!((used - joules).abs() < 1e-9 && half < 1e-6, "{phase}: {used} ± {half}");
    }
}

#[test]
fn phases_that_no_interval_separates_are_shared_by_time_and_wide() {
    let mut sums = PhaseSums::default();
    (0..50).for_each(|_| add(&mut sums, &[(0, 0.75), (1, 0.25)], 100.0, true));
    let shares = sums.fit();
    let (used, half) = shares.of(&[1]);
    assert!((used - 1_250.0).abs() < 1.0 && half > 900.0, "{used} ± {half}");
    let (both, half) = shares.of(&[0, 1]);
    assert!((both - 5_000.0).abs() < 1e-6 && half < 1e-3, "{both} ± {half}");
}

#[test]
fn short_phases_are_separated_by_many_intervals() {
    let (mut sums, mut random) = (PhaseSums::default(), Random(7));
    let (mut used, mut whole) = ([0.0; 2], 0.0);
    for _ in 0..400 {
        let share = 0.3 + 0.2 * random.uniform();
        let mix = [(0, 0.025 * share), (1, 0.025 * (1.0 - share))];
        let joules = [150.0 * mix[0].1, 40.0 * mix[1].1];
        used = [used[0] + joules[0], used[1] + joules[1]];
        let noise = 0.02 * random.normal();
        whole += joules[0] + joules[1] + noise;
        add(&mut sums, &mix, joules[0] + joules[1] + noise, true);
    }
    let shares = sums.fit();
    let found = [shares.of(&[0]), shares.of(&[1])];
    assert!((found[0].0 + found[1].0 - whole).abs() < 1e-9 * whole);
    for (phase, (joules, half)) in found.iter().enumerate() {
        assert!((joules - used[phase]).abs() < *half && *half < 0.1 * used[phase], "{joules} ± {half}, {used:?}");
    }
}

#[test]
fn interval_holds_the_truth_in_nine_cases_of_ten() {
    let (mut held, mut cases) = (0, 0);
    for seed in 0..300 {
        let (mut sums, mut random) = (PhaseSums::default(), Random(seed));
        let watts: Vec<f64> = (0..4).map(|_| 20.0 + 200.0 * random.uniform()).collect();
        let noise = 4.0 * random.uniform();
        let mut used = [0.0; 4];
        for _ in 0..20 + seed {
            let mut mix: Vec<(usize, f64)> = (0..4).map(|phase| (phase, random.uniform() * 0.01)).collect();
            mix.retain(|_| random.uniform() < 0.7);
            let energies: Vec<(usize, f64)> =
                mix.iter().map(|(phase, s)| (*phase, watts[*phase] * s + noise * s.sqrt() * random.normal())).collect();
            energies.iter().for_each(|(phase, joules)| used[*phase] += joules);
            add(&mut sums, &mix, energies.iter().map(|(_, joules)| joules).sum(), true);
        }
        let shares = sums.fit();
        for (phase, truth) in used.into_iter().enumerate() {
            let (joules, half) = shares.of(&[phase]);
            held += i32::from((joules - truth).abs() <= half);
            cases += 1;
        }
    }
    let share = f64::from(held) / f64::from(cases);
    assert!((0.87..0.96).contains(&share), "{share}");
}

#[test]
fn filled_energy_is_shared_by_time() {
    let mut sums = PhaseSums::default();
    add(&mut sums, &[(0, 1.0)], 10.0, true);
    add(&mut sums, &[(0, 1.0), (1, 3.0)], 40.0, false);
    let shares = sums.fit();
    assert!((shares.of(&[0]).0 - 20.0).abs() < 1e-9 && (shares.of(&[1]).0 - 30.0).abs() < 1e-9);
    assert_eq!(sums.total_j(), 50.0);
}

proptest! {
    #[test]
    fn energies_are_finite_not_negative_and_add_up(
        intervals in prop::collection::vec((prop::collection::vec((0_usize..8, 1e-9..10.0), 1..5), 0.0..1e4, any::<bool>()), 1..40),
    ) {
        let mut sums = PhaseSums::default();
        for (mix, joules, is_measured) in &intervals {
            add(&mut sums, mix, *joules, *is_measured);
        }
        let shares = sums.fit();
        let each: Vec<f64> = (0..8).map(|phase| shares.of(&[phase]).0).collect();
        let all: f64 = intervals.iter().map(|(_, joules, _)| joules).sum();
        prop_assert!(each.iter().all(|joules| joules.is_finite() && *joules >= -1e-9 * all), "{each:?}");
        prop_assert!((each.iter().sum::<f64>() - all).abs() <= 1e-6 * all.max(1.0));
        prop_assert!((0..8).all(|phase| shares.of(&[phase]).1.is_finite()));
    }
}
