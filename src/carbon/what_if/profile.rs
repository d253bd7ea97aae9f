//! The best start of a run whose power over time is known from earlier runs. Pure.

use super::{MAX_DELAY_S, MAX_RUN_S, START_STEP_S, Span, WhatIfStart};
use crate::carbon::intensity::curve::Curve;

/// Number of parts of equal time that a run is divided into.
const PARTS: usize = 64;
/// Unknown time that rounding may leave, s.
const ROUNDING_S: f64 = 1.0;
/// Smallest difference of two means that counts, as a share.
const MIN_SHARE: f64 = 1e-9;

/// The power of a run over its time, as shares of its mean power.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerProfile([f64; PARTS]);

impl PowerProfile {
    /// A constant power.
    pub const EVEN: PowerProfile = PowerProfile([1.0; PARTS]);

    /// The mean of these runs, each stretched to one length. A run is its parts: begin and end, s since its begin, and
    /// the power, W. Without any power it is even.
    pub fn mean(runs: impl Iterator<Item = Vec<(f64, f64, f64)>>) -> PowerProfile {
        let mut sums = [0.0; PARTS];
        for run in runs {
            let shares = shares(&run);
            let mean = shares.iter().sum::<f64>() / PARTS as f64;
            if mean > 0.0 && mean.is_finite() {
                sums.iter_mut().zip(shares).for_each(|(sum, joules)| *sum += joules / mean);
            }
        }
        let mean = sums.iter().sum::<f64>() / PARTS as f64;
        if mean > 0.0 { PowerProfile(sums.map(|sum| sum / mean)) } else { PowerProfile::EVEN }
    }

    /// The sums over a run of this length, s, from `start` on. Time counts by its power.
    fn span(&self, curve: &Curve, start: f64, duration_s: f64) -> Span {
        let each_s = duration_s / PARTS as f64;
        self.0.iter().enumerate().fold(Span::default(), |sum, (n, share)| {
            let part = Span::of(curve, start + n as f64 * each_s, start + (n + 1) as f64 * each_s);
            Span { weighted: sum.weighted + share * part.weighted, guessed_s: sum.guessed_s + part.guessed_s }
        })
    }
}

/// The energy of a run in each part of its time.
fn shares(run: &[(f64, f64, f64)]) -> [f64; PARTS] {
    let mut shares = [0.0; PARTS];
    let Some(length) = run.last().map(|(_, to, _)| *to).filter(|length| *length > 0.0) else { return shares };
    let each_s = length / PARTS as f64;
    for (n, share) in shares.iter_mut().enumerate() {
        let (begin, end) = (n as f64 * each_s, (n + 1) as f64 * each_s);
        let within = run.iter().map(|(from, to, watts)| (to.min(end) - from.max(begin)).max(0.0) * watts);
        *share = within.sum();
    }
    shares
}

/// The best start from now until `within_s` later, for a run of this length and profile. All of the run must be in
/// known time. Of equally good starts the first is chosen. None: too few hours are known.
pub fn best_start(
    curve: &Curve,
    profile: &PowerProfile,
    now: f64,
    within_s: f64,
    duration_s: f64,
) -> Option<WhatIfStart> {
    let until = curve.known_to()?;
    let last = (until - duration_s).min(now + within_s.min(MAX_DELAY_S));
    if !(duration_s > 0.0 && duration_s <= MAX_RUN_S && now.is_finite() && last >= now) {
        return None;
    }
    let at_now = profile.span(curve, now, duration_s);
    if at_now.guessed_s > ROUNDING_S {
        return None;
    }
    let mut best = (now, at_now.weighted);
    let next = (now / START_STEP_S).floor() + 1.0;
    for start in (0..).map(|n| (next + f64::from(n)) * START_STEP_S).take_while(|start| *start <= last) {
        let there = profile.span(curve, start, duration_s);
        if there.guessed_s <= ROUNDING_S && there.weighted < best.1 - MIN_SHARE * best.1.abs() {
            best = (start, there.weighted);
        }
    }
    let (at, weighted) = best;
    Some(WhatIfStart {
        at,
        delay_s: at - now,
        g_per_kwh: weighted / duration_s,
        now_g_per_kwh: at_now.weighted / duration_s,
        last,
        until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};

    const HOUR_S: f64 = 3600.0;

    /// A curve with these figures, one for each hour from 0 on.
    fn curve(figures: &[f64]) -> Curve {
        let mut curve = Curve::default();
        curve.take(figures.iter().enumerate().map(|(hour, figure)| IntensitySlot {
            from: hour as f64 * HOUR_S,
            to: (hour + 1) as f64 * HOUR_S,
            g_per_kwh: *figure,
            quality: IntensityQuality::Forecast,
        }));
        curve
    }

    #[test]
    fn profile_moves_the_start_to_where_the_power_is_needed() {
        let curve = curve(&[300.0, 100.0, 300.0, 200.0, 10.0, 300.0]);
        let best = |profile: &PowerProfile| best_start(&curve, profile, 0.0, 24.0 * HOUR_S, 2.0 * HOUR_S).unwrap();
        let even = best(&PowerProfile::EVEN);
        assert_eq!((even.at, even.g_per_kwh, even.now_g_per_kwh), (3.0 * HOUR_S, 105.0, 200.0));
        let late = PowerProfile::mean([vec![(0.0, 50.0, 10.0), (50.0, 100.0, 90.0)]].into_iter());
        assert!((best(&late).g_per_kwh - (0.1 * 200.0 + 0.9 * 10.0)).abs() < 1e-9);
        let early = PowerProfile::mean([vec![(0.0, 7.0, 90.0), (7.0, 14.0, 10.0)]].into_iter());
        assert_eq!(best(&early).at, 4.0 * HOUR_S);
        let soon = best_start(&curve, &early, 0.0, HOUR_S, 2.0 * HOUR_S).unwrap();
        assert_eq!((soon.at, soon.last), (HOUR_S, HOUR_S));
    }

    #[test]
    fn no_start_is_found_beyond_the_known_hours() {
        let curve = curve(&[300.0, 100.0]);
        let best = |now: f64, duration_s: f64| best_start(&curve, &PowerProfile::EVEN, now, HOUR_S, duration_s);
        assert_eq!(best(0.0, 3.0 * HOUR_S), None);
        assert_eq!(best(0.0, 2.0 * HOUR_S).map(|start| start.at), Some(0.0));
        assert_eq!(best(HOUR_S * 1.5, HOUR_S), None);
        assert_eq!((best(0.0, 0.0), best(f64::NAN, 1.0)), (None, None));
        assert_eq!(best_start(&Curve::default(), &PowerProfile::EVEN, 0.0, HOUR_S, 1.0), None);
    }

    #[test]
    fn profile_without_power_is_even() {
        assert_eq!(PowerProfile::mean(std::iter::empty()), PowerProfile::EVEN);
        assert_eq!(PowerProfile::mean([vec![], vec![(0.0, 1.0, 0.0)]].into_iter()), PowerProfile::EVEN);
        let PowerProfile(shares) = PowerProfile::mean([vec![(0.0, 64.0, 5.0)]].into_iter());
        assert!(shares.iter().all(|share| (share - 1.0).abs() < 1e-12));
    }
}
