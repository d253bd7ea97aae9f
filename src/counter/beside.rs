//! The power that a device reports beside its counter: the counter is checked by it, and where it stands still this power
//! is integrated in its place.

use super::{BRIDGE_S, Credit, Event, LOST_AFTER, Meter, NS};

/// A counter that has not moved for so long, s, at more power than this, W, stands still.
const QUIET_S: f64 = 0.2;
const ALIVE_W: f64 = 1.0;
/// Powers further apart than this, s, tell no energy.
const SPARSE_S: f64 = 2.5;
/// So many of them are needed before the counter is judged.
const FEWEST: u32 = 20;
/// After so many seconds counter and power may differ by so much. The two look at different moments: over a short time they
/// may differ by more. After the last, the comparison begins anew.
const ALLOWED: [(f64, f64); 3] = [(5.0, 0.35), (20.0, 0.20), (60.0, 0.15)];

/// The power beside a counter, and both energies of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    last: Option<(u64, f64)>,
    /// It is integrated in the counter's place.
    pub stands_in: bool,
    /// Energy and time by the power, J and s, and how many powers that is.
    power: (f64, f64),
    samples: u32,
    /// Energy and time by the counter, J and s.
    counted: (f64, f64),
}

impl Beside {
    /// Takes note of what the counter counted in so many ns.
    pub fn count(&mut self, joules: f64, ns: u64) {
        if self.last.is_some() && !self.stands_in {
            self.counted = (self.counted.0 + joules, self.counted.1 + ns as f64 * NS);
        }
    }

    /// Whether it stands in for the counter, and has answered of late.
    pub fn answers(&self, at: u64) -> bool {
        self.stands_in && self.last.is_some_and(|(last, _)| at.saturating_sub(last) as f64 * NS < SPARSE_S)
    }

    /// Up to when its energy is credited, ns.
    pub fn credited_to(&self) -> u64 {
        self.last.map_or(0, |(at, _)| at)
    }

    /// The counter's mean power over this one's, where they differ by more than is allowed by now.
    fn disagreement(&mut self) -> Option<f64> {
        let (power, counted) = (self.power, self.counted);
        if self.samples < FEWEST || power.0 <= 0.0 || counted.1 <= 0.0 {
            return None;
        }
        let ratio = counted.0 / counted.1 / (power.0 / power.1);
        let allowed = ALLOWED.iter().rev().find(|(after, _)| power.1 >= *after)?.1;
        if ALLOWED.last().is_some_and(|(last, _)| power.1 >= *last) {
            (self.power, self.counted, self.samples) = Default::default();
        }
        ((ratio - 1.0).abs() > allowed).then_some(ratio)
    }
}

impl Meter {
    /// Takes the power that the device reports beside its counter.
    pub(super) fn power_beside(&mut self, at: u64, watts: f64, credit: &mut impl FnMut(Credit)) -> Option<Event> {
        let (moved_at, _) = self.last?;
        if self.beside.last.is_some_and(|(last, _)| at <= last) {
            return None;
        }
        let before = self.beside.last.replace((at, watts));
        let is_still = self.still_to.is_some() && at.saturating_sub(moved_at) as f64 * NS > QUIET_S;
        if !self.beside.stands_in && is_still && watts > ALIVE_W {
            return self.stand_in(moved_at, at, watts, credit);
        }
        let (from, before) = before?;
        let seconds = (at - from) as f64 * NS;
        let joules = 0.5 * (before + watts) * seconds;
        if self.beside.stands_in {
            self.credit_power(from, at, joules, credit);
        } else if seconds <= SPARSE_S {
            self.beside.power = (self.beside.power.0 + joules, self.beside.power.1 + seconds);
            self.beside.samples += 1;
        }
        let ratio = self.beside.disagreement()?;
        let is_news = self.tally.disagreement.replace(ratio).is_none();
        is_news.then_some(Event::Disagrees(ratio))
    }

    /// From here on the power is integrated, and back to the counter's last sign of life it is taken to have been the same.
    fn stand_in(&mut self, from: u64, at: u64, watts: f64, credit: &mut impl FnMut(Credit)) -> Option<Event> {
        let is_news = self.tally.by_power_s == 0.0;
        self.beside.stands_in = true;
        self.misses = 0;
        let seconds = (at - from) as f64 * NS;
        if seconds <= BRIDGE_S {
            self.credit_power(from, at, watts * seconds, credit);
        }
        is_news.then_some(Event::ByPower)
    }

    fn credit_power(&mut self, from: u64, to: u64, joules: f64, credit: &mut impl FnMut(Credit)) {
        let seconds = (to - from) as f64 * NS;
        self.fill_in(to, joules, credit);
        self.tally.by_power_s += seconds;
        if seconds <= BRIDGE_S {
            credit(Credit { from, to, joules, measured: self.misses < LOST_AFTER });
            self.note_power(joules, seconds);
        }
    }
}
