//! The power that a device reports in addition to its counter. It checks the counter. If the counter stands still, this
//! power is integrated instead.

use super::{BRIDGE_S, EnergyInterval, LOST_AFTER_MISSES, Meter, MeterEvent};
use crate::clock::{MonoNs, S_PER_NS};

/// A counter stands still if it has not moved for this time, s, while the power is above `MIN_ALIVE_W`.
const MIN_STILL_S: f64 = 0.2;
/// A counter may stand still for this multiple of its longest step so far.
const STILL_STEPS: f64 = 2.0;
/// Power above which a counter should move, W.
const MIN_ALIVE_W: f64 = 1.0;
/// Longest gap between two powers that is integrated to check the counter, s.
const MAX_POWER_GAP_S: f64 = 2.5;
/// Powers that a window needs at least. The first two windows are short, later ones are long.
const MIN_POWERS: u32 = 10;
const SHORT_WINDOW: Window = Window { seconds: 5.0, allowed: 0.25 };
const LONG_WINDOW: Window = Window { seconds: 60.0, allowed: 0.15 };
/// Added to the allowed difference: this multiple of the standard error of the mean power.
const NOISE_ERRORS: f64 = 4.0;

/// A window in which counter and power are compared: its least length, s, and the allowed difference, as a share.
struct Window {
    seconds: f64,
    allowed: f64,
}

/// The reported power, and the energies of counter and power in the current window.
#[derive(Clone, Debug, Default)]
pub(super) struct PowerCheck {
    /// The last power, W.
    last: Option<(MonoNs, f64)>,
    /// Whether the power is integrated instead of the counter.
    pub stands_in: bool,
    /// Energy and time by the power, J and s.
    power: (f64, f64),
    /// Number of powers in the window.
    samples: u32,
    /// Sum of the powers, W, and of their squares.
    sums: (f64, f64),
    /// Number of complete windows.
    windows: u32,
    /// Ratio of counter to power in the last window, if they disagreed there.
    suspect: Option<f64>,
    /// Energy and time by the counter, J and s.
    counted: (f64, f64),
}

impl PowerCheck {
    /// Adds energy that the counter counted in `ns`.
    pub fn count(&mut self, joules: f64, ns: u64) {
        if self.last.is_some() && !self.stands_in {
            self.counted = (self.counted.0 + joules, self.counted.1 + ns as f64 * S_PER_NS);
        }
    }

    /// Whether the device reports a power.
    pub fn is_there(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the power is integrated instead of the counter, and was read recently.
    pub fn answers(&self, at: MonoNs) -> bool {
        self.stands_in && self.last.is_some_and(|(last, _)| at.s_since(last) < MAX_POWER_GAP_S)
    }

    /// Energy by the power is credited up to here; None: there is no power.
    pub fn credited_until(&self) -> Option<MonoNs> {
        self.last.map(|(at, _)| at)
    }

    /// The result of a complete window; None: it is not complete, or only one window disagrees. The inner value is the
    /// ratio of counter to power if two windows in a row disagree.
    fn judge_window(&mut self) -> Option<Option<f64>> {
        let (power, counted) = (self.power, self.counted);
        let window = if self.windows < 2 { SHORT_WINDOW } else { LONG_WINDOW };
        if self.samples < MIN_POWERS || power.1 < window.seconds || power.0 <= 0.0 || counted.1 <= 0.0 {
            return None;
        }
        let ratio = counted.0 / counted.1 / (power.0 / power.1);
        let samples = f64::from(self.samples);
        let (mean, squares) = (self.sums.0 / samples, self.sums.1 / samples);
        let spread = (squares - mean * mean).max(0.0).sqrt() / mean / samples.sqrt();
        let is_off = (ratio - 1.0).abs() > window.allowed + NOISE_ERRORS * spread;
        let previous = std::mem::replace(&mut self.suspect, is_off.then_some(ratio));
        (self.power, self.counted, self.samples, self.sums) = Default::default();
        self.windows = self.windows.saturating_add(1);
        // One window that disagrees is not enough.
        if is_off && previous.is_none() { None } else { Some(is_off.then_some(ratio)) }
    }
}

impl Meter {
    /// Takes the power that the device reports in addition to its counter.
    pub(super) fn check_power(
        &mut self,
        at: MonoNs,
        watts: f64,
        credit: &mut impl FnMut(EnergyInterval),
    ) -> Option<MeterEvent> {
        let (moved_at, _) = self.last?;
        if self.power_check.last.is_some_and(|(last, _)| at <= last) {
            return None;
        }
        let previous = self.power_check.last.replace((at, watts));
        let is_still =
            self.still_until.is_some() && at.s_since(moved_at) > MIN_STILL_S.max(STILL_STEPS * self.longest_s);
        if !self.power_check.stands_in && is_still && watts > MIN_ALIVE_W {
            return self.stand_in(moved_at, at, watts, credit);
        }
        let (from, previous_watts) = previous?;
        let seconds = at.s_since(from);
        let joules = 0.5 * (previous_watts + watts) * seconds;
        if self.power_check.stands_in {
            self.credit_power(from, at, joules, credit);
        } else if seconds <= MAX_POWER_GAP_S {
            self.power_check.power = (self.power_check.power.0 + joules, self.power_check.power.1 + seconds);
            self.power_check.samples += 1;
            self.power_check.sums = (self.power_check.sums.0 + watts, self.power_check.sums.1 + watts * watts);
        }
        let ratio = self.power_check.judge_window()?;
        let previous = std::mem::replace(&mut self.faults.disagreement, ratio);
        ratio.filter(|_| previous.is_none()).map(MeterEvent::Disagrees)
    }

    /// Switches to the power. The time since the counter's last move gets the same power.
    fn stand_in(
        &mut self,
        from: MonoNs,
        at: MonoNs,
        watts: f64,
        credit: &mut impl FnMut(EnergyInterval),
    ) -> Option<MeterEvent> {
        let is_news = self.faults.by_power_s == 0.0;
        self.power_check.stands_in = true;
        self.misses = 0;
        let seconds = at.s_since(from);
        if seconds <= BRIDGE_S {
            self.credit_power(from, at, watts * seconds, credit);
        }
        is_news.then_some(MeterEvent::ByPower)
    }

    /// Credits energy by the power.
    fn credit_power(&mut self, from: MonoNs, to: MonoNs, joules: f64, credit: &mut impl FnMut(EnergyInterval)) {
        let seconds = to.s_since(from);
        self.fill_in(to, joules, credit);
        self.faults.by_power_s += seconds;
        if seconds <= BRIDGE_S {
            credit(EnergyInterval { from, to, joules, measured: self.misses < LOST_AFTER_MISSES });
            self.note_power(joules, seconds);
        }
    }
}
