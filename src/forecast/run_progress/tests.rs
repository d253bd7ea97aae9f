//! Tests of the forecast of a run by its progress.

use super::*;
use crate::attribution::ledger::EpochSummary;
use crate::forecast::history::EarlierRun;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;

/// A run of work 1.0 at 100 W, whose `cost_s` of each of 1000 pieces is known. It is seen up to `until`.
fn run(cost_s: &[f64], until: f64) -> RunProgress {
    let mut progress = RunProgress::default();
    let mut seconds = 0.0;
    for n in 0..=(until * cost_s.len() as f64).round() as usize {
        seconds += if n > 0 { cost_s[n - 1] } else { 0.0 };
        let at = MonoNs((seconds * S as f64) as u64);
        progress.note(WorkMark { at, done: n as f64 / cost_s.len() as f64, total: 1.0 });
        progress.settle(at, at, |_| UseAt { duration_s: seconds, energy_j: Some(100.0 * seconds) });
    }
    progress
}

/// The forecast of time at this share of the work, and the true total, s.
fn forecast(cost_s: &[f64], until: f64) -> (Option<Forecast>, f64) {
    (run(cost_s, until).forecast(0.9, 0), cost_s.iter().sum())
}

fn holds(forecast: &Forecast, truth: f64) -> bool {
    forecast.duration_s.is_some_and(|e| (e.low..=e.high).contains(&truth))
}

#[test]
fn an_even_pace_is_continued() {
    for until in [0.02, 0.05, 0.3, 0.9] {
        let (forecast, truth) = forecast(&[0.5; 1000], until);
        let forecast = forecast.unwrap();
        let (time, energy) = (forecast.duration_s.unwrap(), forecast.energy_j.unwrap());
        assert!((time.value / truth - 1.0).abs() < 1e-6 && (energy.value / truth / 100.0 - 1.0).abs() < 1e-6);
        assert!(holds(&forecast, truth));
        println!("{until}: {:.0} to {:.0} of {truth:.0} s", time.low, time.high);
        assert!(until < 0.05 || time.high - time.low < 0.75 * truth);
    }
    assert!(forecast(&[0.5; 1000], 0.005).0.is_none(), "half a hundredth is too little");
}

#[test]
fn a_slow_start_is_counted_once() {
    let cost_s: Vec<f64> = (0..1000).map(|n| if n < 5 { 20.0 } else { 0.5 }).collect();
    let (forecast, truth) = forecast(&cost_s, 0.1);
    let time = forecast.unwrap().duration_s.unwrap();
    assert!((time.value / truth - 1.0).abs() < 0.02, "{time:?} of {truth}");
}

/// Earlier runs of 500 s, as one epoch each. The first takes a little more work than this one.
fn earlier(seconds: &[f64]) -> History {
    let run = |seconds: &f64| {
        let whole = EpochSummary {
            count: 1,
            duration_s: Some(*seconds),
            energy_j: Some(100.0 * seconds),
            fully_measured: true,
            gap_s: 0.0,
        };
        EarlierRun { epochs: vec![whole], is_whole: true, work: Some(seconds / 500.0), ..EarlierRun::default() }
    };
    History::new(&seconds.iter().map(run).collect::<Vec<_>>())
}

#[test]
fn earlier_runs_give_a_forecast_before_any_progress() {
    let known = earlier(&[520.0, 500.0]);
    assert!(RunProgress::default().forecast(0.9, 0).is_none());
    for until in [0.0, 0.004, 0.02] {
        let made = run(&[0.5; 1000], until).forecast_with(0.9, 0, &known).unwrap();
        let (time, energy) = (made.duration_s.unwrap(), made.energy_j.unwrap());
        assert!((time.value / 500.0 - 1.0).abs() < 0.01 && (energy.value / 50_000.0 - 1.0).abs() < 0.01, "{made:?}");
        assert!(holds(&made, 500.0) && time.high < 1.1 * time.low && made.support.runs > 0, "{until}: {made:?}");
    }
    assert!(RunProgress::default().forecast_with(0.9, 0, &known).is_some(), "the total is not known yet");
    // Twice as slow: the pace so far contradicts them.
    let slow = run(&[1.0; 1000], 0.2).forecast_with(0.9, 0, &known).unwrap();
    assert!((slow.duration_s.unwrap().value / 1000.0 - 1.0).abs() < 0.02 && slow.support.runs == 0, "{slow:?}");
    let other = earlier(&[5000.0, 9000.0]);
    assert!(run(&[0.5; 1000], 0.0).forecast_with(0.9, 0, &other).is_none(), "much more work");
    let whole = |planned| {
        crate::forecast::forecast(planned, 0.9, [].into_iter(), InterEpoch::default(), &FirstEpoch::default(), &known)
    };
    assert!((whole(1).unwrap().duration_s.unwrap().value / 510.0 - 1.0).abs() < 0.03 && whole(5).is_none());
    let done = run(&[0.5; 1000], 1.0);
    assert_eq!(done.forecast_with(0.9, 0, &known), done.forecast(0.9, 0));
}

#[test]
fn a_step_of_the_pace_is_adopted() {
    let cost_s: Vec<f64> = (0..1000).map(|n| if n < 400 { 0.5 } else { 1.5 }).collect();
    let (forecast, truth) = forecast(&cost_s, 0.6);
    let forecast = forecast.unwrap();
    assert!((forecast.duration_s.unwrap().value / truth - 1.0).abs() < 0.03, "{forecast:?} of {truth}");
    assert!(holds(&forecast, truth));
}

/// The step of time shrinks as the run goes on, as with an adaptive mesh.
#[test]
fn a_pace_that_drifts_is_in_the_interval() {
    let cost_s: Vec<f64> = (0..1000).map(|n| 0.5 * (1.0 + n as f64 / 1000.0)).collect();
    for until in [0.2, 0.3, 0.5, 0.8] {
        let (forecast, truth) = forecast(&cost_s, until);
        let forecast = forecast.unwrap();
        assert!(holds(&forecast, truth), "{until}: {forecast:?} of {truth}");
    }
}

#[test]
fn a_new_total_changes_what_remains() {
    let mut progress = run(&[1.0; 1000], 0.5);
    let total = |progress: &RunProgress| progress.forecast(0.9, 0).unwrap().duration_s.unwrap().value;
    assert!((total(&progress) - 1000.0).abs() < 1e-6);
    assert!(!progress.note(WorkMark { at: MonoNs(501 * S), done: 0.5, total: 2.0 }));
    assert!((total(&progress) - 2000.0).abs() < 1e-6 && progress.share() == Some(0.25));
    progress.note(WorkMark { at: MonoNs(501 * S), done: 0.4, total: 0.3 });
    assert_eq!((total(&progress), progress.share(), progress.work()), (500.0, Some(1.0), Some((0.5, 0.5))));
}

#[test]
fn points_are_thinned_and_wait_for_their_energy() {
    let progress = run(&vec![0.01; 200_000], 1.0);
    assert!(progress.points.len() < 1200, "{}", progress.points.len());
    assert_eq!(progress.share(), Some(1.0));
    let mut progress = RunProgress::default();
    let used = |_| UseAt { duration_s: 0.0, energy_j: Some(1.0) };
    assert!(progress.note(WorkMark { at: MonoNs(5 * S), done: 0.1, total: 1.0 }));
    progress.settle(MonoNs(4 * S), MonoNs(5 * S), used);
    assert!(progress.awaits().is_some() && progress.share().is_none());
    progress.settle(MonoNs(4 * S), MonoNs(6 * S), used);
    assert!(progress.awaits().is_none() && progress.points[0].energy_j.is_none(), "time waits no longer");
    progress.settle(MonoNs(5 * S), MonoNs(8 * S), used);
    assert_eq!(progress.points[0].energy_j, Some(1.0), "the energy has come");
}

/// A sensor whose readings come 2 s late.
#[test]
fn late_energy_is_forecast_from_the_newest_point_that_has_it() {
    let mut progress = RunProgress::default();
    for second in 0..=300 {
        let (at, done) = (MonoNs(second * S), second as f64);
        progress.note(WorkMark { at, done, total: 1000.0 });
        for step in 1..=10 {
            let now = at + step * S / 10;
            let known = MonoNs(now.0.saturating_sub(2 * S));
            progress.settle(known, now, |at| {
                let duration_s = at.s_since(MonoNs(0));
                UseAt { duration_s, energy_j: Some(100.0 * duration_s) }
            });
        }
    }
    let forecast = progress.forecast(0.9, 0).unwrap();
    let (time, energy) = (forecast.duration_s.unwrap(), forecast.energy_j.unwrap());
    assert!((time.value - 1000.0).abs() < 1e-6 && (energy.value - 100_000.0).abs() < 1e-3, "{energy:?}");
    assert!(time.used == 300.0 && (29_000.0..30_000.0).contains(&energy.used), "{energy:?}");
}

/// Ten outer steps whose pace is even, scatters, wanders or drifts.
#[test]
fn few_steps_have_a_wide_interval_that_holds() {
    let mut state = 11_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        3.46 * ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5)
    };
    for (scatter, wander, drift, warm_up) in [
        (0.02, 0.0, 0.0, 1.0),
        (0.1, 0.0, 0.0, 1.5),
        (0.02, 0.03, 0.0, 3.0),
        (0.02, 0.08, 0.0, 1.0),
        (0.02, 0.0, 0.5, 1.0),
    ] {
        let steps = [2, 3, 5, 7];
        let (mut held, mut width) = ([0; 4], [0.0; 4]);
        for _ in 0..200 {
            let mut pace = 60.0;
            let cost = |n: u32| {
                pace *= 1.0 + wander * random();
                pace * (1.0 + drift * f64::from(n) / 10.0)
                    * (1.0 + scatter * random())
                    * if n == 0 { warm_up } else { 1.0 }
            };
            let cost_s: Vec<f64> = (0..10).map(cost).collect();
            for (n, step) in steps.iter().enumerate() {
                let (forecast, truth) = forecast(&cost_s, f64::from(*step) / 10.0);
                let forecast = forecast.unwrap();
                held[n] += usize::from(holds(&forecast, truth));
                width[n] += forecast.duration_s.map_or(0.0, |time| (time.high - time.low) / truth / 200.0);
            }
        }
        println!("{scatter} {wander} {drift}: after {steps:?} of 10 held {held:?} of 200, widths {width:.2?}");
        assert!(held.iter().all(|held| *held >= 160), "{held:?}");
        assert!(width[0] < 1.2 && width[3] < 0.2, "{width:?}");
    }
    assert!(forecast(&[60.0; 10], 0.1).0.is_none(), "the first step may be a warm-up");
}

/// Runs whose pace scatters and wanders, a tenth, a third and two thirds through.
#[test]
fn the_interval_holds_as_often_as_stated() {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    for (scatter, wander) in [(0.3, 0.0), (0.1, 0.01), (0.05, 0.03)] {
        let mut held = [0; 3];
        for _ in 0..200 {
            let mut pace = 1.0_f64;
            let mut cost = || {
                pace *= 1.0 + wander * (random() - 0.5) * 3.46;
                pace * (1.0 + scatter * (random() - 0.5) * 3.46).max(0.05)
            };
            let cost_s: Vec<f64> = (0..1000).map(|_| cost()).collect();
            for (held, until) in held.iter_mut().zip([0.1, 0.33, 0.67]) {
                let (forecast, truth) = forecast(&cost_s, until);
                *held += usize::from(holds(&forecast.unwrap(), truth));
            }
        }
        println!("scatter {scatter}, wander {wander}: held {held:?} of 200");
        assert!(held.iter().all(|held| *held >= 160), "{held:?}");
    }
}

proptest! {
    /// Any marks give a forecast that is finite and ordered, or none.
    #[test]
    fn any_marks_are_survived(
        marks in prop::collection::vec((0u64..1 << 50, 0.0..f64::MAX, 1e-300..f64::MAX, any::<bool>()), 0..60),
        level in 0.5..0.999f64,
    ) {
        let mut progress = RunProgress::default();
        let mut at = MonoNs(0);
        for (gap, done, total, is_small) in marks {
            at = at + gap;
            let scale = if is_small { 1e-300 } else { 1.0 };
            progress.note(WorkMark { at, done: done * scale, total });
            progress.settle(at, at, |at| UseAt { duration_s: at.s_since(MonoNs(0)), energy_j: (gap % 3 > 0).then_some(at.0 as f64) });
            prop_assert!(progress.share().is_none_or(|share| (0.0..=1.0).contains(&share)));
            if let Some(forecast) = progress.forecast(level, 3) {
                for estimate in forecast.duration_s.into_iter().chain(forecast.energy_j) {
                    let Estimate { used, value, low, high } = estimate;
                    prop_assert!(used <= low && low <= value && value <= high && high.is_finite(), "{estimate:?}");
                }
            }
        }
    }
}
