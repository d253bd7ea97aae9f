//! The power that a device reports beside its counter: the counter is checked by it, and where it stands still this power
//! is integrated in its place.

use super::{BRIDGE_S, EnergyInterval, LOST_AFTER, Meter, MeterEvent};
use crate::clock::{MonoNs, S_PER_NS};

/// A counter that has not moved for so long, s, at more power than this, W, stands still.
const QUIET_S: f64 = 0.2;
/// One that was seen to stand still for longer is granted twice as long.
const STEPS: f64 = 2.0;
const ALIVE_W: f64 = 1.0;
/// Powers further apart than this, s, tell no energy.
const SPARSE_S: f64 = 2.5;
/// The counter is judged by windows of at least so many powers and so many seconds: two short ones at first, then long ones.
const FEWEST: u32 = 10;
const SHORT: Window = Window { seconds: 5.0, allowed: 0.25 };
const LONG: Window = Window { seconds: 60.0, allowed: 0.15 };
/// Two windows in a row have to disagree, by so much more than is allowed as the powers' own spread explains: so many times the
/// standard error of their mean.
const SPREADS: f64 = 4.0;

/// For how long counter and power are compared, and by how much they may differ.
struct Window {
    seconds: f64,
    allowed: f64,
}

/// The power beside a counter, and both energies of late.
#[derive(Clone, Debug, Default)]
pub(super) struct PowerCheck {
    last: Option<(MonoNs, f64)>,
    /// It is integrated in the counter's place.
    pub stands_in: bool,
    /// Energy and time by the power, J and s; how many powers that is, their sum and that of their squares.
    power: (f64, f64),
    samples: u32,
    sums: (f64, f64),
    /// Windows that are over, and the ratio of the last one if that disagreed.
    windows: u32,
    suspect: Option<f64>,
    /// Energy and time by the counter, J and s.
    counted: (f64, f64),
}

impl PowerCheck {
    /// Takes note of what the counter counted in so many ns.
    pub fn count(&mut self, joules: f64, ns: u64) {
        if self.last.is_some() && !self.stands_in {
            self.counted = (self.counted.0 + joules, self.counted.1 + ns as f64 * S_PER_NS);
        }
    }

    /// Whether the device reports one.
    pub fn is_there(&self) -> bool {
        self.last.is_some()
    }

    /// Whether it stands in for the counter, and has answered of late.
    pub fn answers(&self, at: MonoNs) -> bool {
        self.stands_in && self.last.is_some_and(|(last, _)| at.s_since(last) < SPARSE_S)
    }

    /// Up to when its energy is credited.
    pub fn credited_until(&self) -> Option<MonoNs> {
        self.last.map(|(at, _)| at)
    }

    /// The verdict where a window is over: the counter's mean power over this one's where two windows in a row disagree.
    fn verdict(&mut self) -> Option<Option<f64>> {
        let (power, counted) = (self.power, self.counted);
        let window = if self.windows < 2 { SHORT } else { LONG };
        if self.samples < FEWEST || power.1 < window.seconds || power.0 <= 0.0 || counted.1 <= 0.0 {
            return None;
        }
        let ratio = counted.0 / counted.1 / (power.0 / power.1);
        let samples = f64::from(self.samples);
        let (mean, squares) = (self.sums.0 / samples, self.sums.1 / samples);
        let spread = (squares - mean * mean).max(0.0).sqrt() / mean / samples.sqrt();
        let is_off = (ratio - 1.0).abs() > window.allowed + SPREADS * spread;
        let before = std::mem::replace(&mut self.suspect, is_off.then_some(ratio));
        (self.power, self.counted, self.samples, self.sums) = Default::default();
        self.windows = self.windows.saturating_add(1);
        // One window that disagrees says nothing yet.
        if is_off && before.is_none() { None } else { Some(is_off.then_some(ratio)) }
    }
}

impl Meter {
    /// Takes the power that the device reports beside its counter.
    pub(super) fn power_beside(
        &mut self,
        at: MonoNs,
        watts: f64,
        credit: &mut impl FnMut(EnergyInterval),
    ) -> Option<MeterEvent> {
        let (moved_at, _) = self.last?;
        if self.beside.last.is_some_and(|(last, _)| at <= last) {
            return None;
        }
        let before = self.beside.last.replace((at, watts));
        let is_still = self.still_to.is_some() && at.s_since(moved_at) > QUIET_S.max(STEPS * self.longest_s);
        if !self.beside.stands_in && is_still && watts > ALIVE_W {
            return self.stand_in(moved_at, at, watts, credit);
        }
        let (from, before) = before?;
        let seconds = at.s_since(from);
        let joules = 0.5 * (before + watts) * seconds;
        if self.beside.stands_in {
            self.credit_power(from, at, joules, credit);
        } else if seconds <= SPARSE_S {
            self.beside.power = (self.beside.power.0 + joules, self.beside.power.1 + seconds);
            self.beside.samples += 1;
            self.beside.sums = (self.beside.sums.0 + watts, self.beside.sums.1 + watts * watts);
        }
        let verdict = self.beside.verdict()?;
        let before = std::mem::replace(&mut self.tally.disagreement, verdict);
        verdict.filter(|_| before.is_none()).map(MeterEvent::Disagrees)
    }

    /// From here on the power is integrated, and back to the counter's last sign of life it is taken to have been the same.
    fn stand_in(
        &mut self,
        from: MonoNs,
        at: MonoNs,
        watts: f64,
        credit: &mut impl FnMut(EnergyInterval),
    ) -> Option<MeterEvent> {
        let is_news = self.tally.by_power_s == 0.0;
        self.beside.stands_in = true;
        self.misses = 0;
        let seconds = at.s_since(from);
        if seconds <= BRIDGE_S {
            self.credit_power(from, at, watts * seconds, credit);
        }
        is_news.then_some(MeterEvent::ByPower)
    }

    fn credit_power(&mut self, from: MonoNs, to: MonoNs, joules: f64, credit: &mut impl FnMut(EnergyInterval)) {
        let seconds = to.s_since(from);
        self.fill_in(to, joules, credit);
        self.tally.by_power_s += seconds;
        if seconds <= BRIDGE_S {
            credit(EnergyInterval { from, to, joules, measured: self.misses < LOST_AFTER });
            self.note_power(joules, seconds);
        }
    }
}
