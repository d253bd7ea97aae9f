//! What a run's energy costs the climate: each joule at the intensity of its hour, past and to come. Pure.

use super::intensity::curve::{Curve, Origin, Piece};
use super::intensity::slot::FigureQuality;
use crate::attribution::ledger::Ledger;
use crate::clock::{MonoNs, WallClock};
use crate::forecast::{self, Estimate, Forecast};
use crate::units::J_PER_KWH;

/// How far the mean of a service's forecast is off, as a share, at level 0.9: British half-hours were 18 % off in the mean
/// on 26 days, means over 1 to 48 hours of one of them 2 to 26 %.
const FORECAST_OFF: f64 = 0.2;
/// The same of a typical day: held figures were 11 to 17 % off after a day, yearly averages 17 to 36 %.
const TYPICAL_OFF: f64 = 0.3;
/// The level that both are for.
const LEVEL: f64 = 0.9;
/// What is further ahead than this, s, is taken to be like the year before it.
const LONGEST_S: f64 = 366.0 * 24.0 * 3600.0;
/// Sums of what was priced alike differ by less than this share.
const ROUNDING: f64 = 1e-9;
/// Dates are told apart to 240 ns: what is shorter than this, s, could be of no time, and its energy of no price.
const MOMENT_S: f64 = 1e-6;

/// What turns energy into emissions.
#[derive(Clone, Copy)]
pub struct EmissionFactors<'a> {
    /// The figure that counts where there is no other, gCO2e/kWh.
    pub flat: f64,
    /// Figures by the hour.
    pub curve: Option<&'a Curve>,
    /// Which hour it was.
    pub calendar: &'a WallClock,
    /// Facility energy over IT energy.
    pub pue: f64,
    /// What earlier processes of the run were billed.
    pub before: Before,
}

/// What earlier processes of the run were billed: it stays as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Before {
    /// Energy of the devices, J.
    pub joules: f64,
    /// Its emissions, g CO2e.
    pub co2eq_g: f64,
}

/// The run so far.
#[derive(Clone, Debug)]
pub struct Emissions {
    /// Facility energy over IT energy.
    pub pue: f64,
    /// Of what was used, by when it was; before anything was, of now; gCO2e/kWh.
    pub g_per_kwh: f64,
    /// The same of this process's part of the run.
    own_g_per_kwh: f64,
    /// What it was priced by; None where one figure holds for all time.
    pub sources: Option<IntensitySources>,
    joules: Option<f64>,
    duration_s: f64,
    /// When the run began and when its last epoch ended (none has: when it began), s since 1970.
    began: f64,
    ended: f64,
    lines: Vec<EmissionLine>,
}

/// What a bill by the hour rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IntensitySources {
    /// Figures that count in it.
    pub slots: usize,
    /// Share of the energy whose hour was told; the rest was filled in. None: no energy as yet.
    pub told: Option<f64>,
    /// Share of it whose hour was metered.
    pub metered: Option<f64>,
    /// Share of it that no figure is near to, at the one for all time.
    pub flat: Option<f64>,
}

/// Sums up to an instant.
#[derive(Clone, Copy, Debug, Default)]
struct EmissionLine {
    to: MonoNs,
    joules: f64,
    /// Each joule times its g/kWh.
    weighted: f64,
}

impl EmissionFactors<'_> {
    /// The bill of a run; `now` is later than all of it.
    pub fn bill(&self, ledger: &Ledger, now: MonoNs) -> Emissions {
        let began = ledger.first_begin().unwrap_or(now);
        let ended = ledger.last_end().unwrap_or(began);
        let mut bill = Emissions {
            pue: self.pue,
            g_per_kwh: self.flat,
            own_g_per_kwh: self.flat,
            sources: None,
            joules: ledger.energy_j(),
            duration_s: ledger.run_ns() as f64 * 1e-9,
            began: self.calendar.unix_s(began).0,
            ended: self.calendar.unix_s(ended).0,
            lines: Vec::new(),
        };
        if let Some(curve) = self.curve {
            self.price_by_hour(&mut bill, curve, ledger, now);
        }
        bill.own_g_per_kwh = bill.g_per_kwh;
        let (before, total) = (self.before, bill.joules.unwrap_or(0.0));
        if before.joules > 0.0 {
            let since = bill.facility_kwh(total - before.joules) * bill.g_per_kwh;
            let mean = (before.co2eq_g + since) / bill.facility_kwh(total);
            // One figure for all stays as it was given.
            let is_same = (mean - bill.g_per_kwh).abs() <= ROUNDING * mean;
            bill.g_per_kwh = if is_same { bill.g_per_kwh } else { mean };
        }
        bill
    }

    fn price_by_hour(&self, bill: &mut Emissions, curve: &Curve, ledger: &Ledger, now: MonoNs) {
        let Some((began, ended)) = ledger.first_begin().zip(ledger.last_end()) else {
            let now = self.calendar.unix_s(now).0;
            bill.g_per_kwh = self.mean(curve, now, now + 1.0);
            bill.sources = Some(IntensitySources::default());
            return;
        };
        let total = bill.joules.unwrap_or(0.0) - self.before.joules;
        if curve.is_empty() {
            let none = (total > 0.0).then_some(0.0);
            bill.sources = Some(IntensitySources { slots: 0, told: none, metered: none, flat: none.map(|_| 1.0) });
            return;
        }
        let mut sum = EmissionLine { to: began, ..EmissionLine::default() };
        let (mut metered_j, mut told_j, mut filled_j, mut flat_j) = (0.0, 0.0, 0.0, 0.0);
        bill.lines.push(sum);
        for step in ledger.timeline().steps().take_while(|step| step.from < ended) {
            // What lies in the last step after the run's end is none of it.
            let used = step.energy.total().unwrap_or(0.0);
            let joules = if step.to < ended { used } else { total - sum.joules };
            let (from, to) = (step.from.max(began), step.to.min(ended));
            let from_s = self.calendar.unix_s(from).0;
            let to_s = self.calendar.unix_s(to).0.max(from_s + MOMENT_S);
            for Piece { from, to, g_per_kwh, origin } in self.pieces(curve, from_s, to_s) {
                let part = joules * (to - from) / (to_s - from_s);
                sum.weighted += part * g_per_kwh;
                match origin {
                    Origin::Said(FigureQuality::Actual) => metered_j += part,
                    Origin::Said(_) => told_j += part,
                    Origin::Filled | Origin::Typical => filled_j += part,
                    Origin::Flat => flat_j += part,
                }
            }
            sum = EmissionLine { to, joules: sum.joules + joules, ..sum };
            bill.lines.push(sum);
        }
        let share = |part: f64, rest: f64| (part + rest > 0.0).then(|| part / (part + rest));
        bill.sources = Some(IntensitySources {
            slots: curve.slots_within(bill.began, bill.ended).len(),
            told: share(metered_j + told_j, filled_j + flat_j),
            metered: share(metered_j, told_j + filled_j + flat_j),
            flat: share(flat_j, metered_j + told_j + filled_j),
        });
        bill.g_per_kwh = match sum.joules > 0.0 {
            true => sum.weighted / sum.joules,
            false => self.mean(curve, bill.began, bill.ended.max(bill.began + 1.0)),
        };
    }

    /// The curve's figures, and the flat one before and after its reach.
    pub fn pieces(&self, curve: &Curve, from: f64, to: f64) -> impl Iterator<Item = Piece> {
        let (first, last) = curve.reach().unwrap_or((f64::INFINITY, f64::INFINITY));
        let (first, last) = (first.max(from).min(to), last.max(from).min(to));
        let flat = |from: f64, to: f64| {
            let piece = Piece { from, to, g_per_kwh: self.flat, origin: Origin::Flat };
            (to > from).then_some(piece)
        };
        flat(from, first).into_iter().chain(curve.pieces(first, last)).chain(flat(last, to))
    }

    fn mean(&self, curve: &Curve, from: f64, to: f64) -> f64 {
        let weighted = self.pieces(curve, from, to).map(|piece| piece.g_per_kwh * (piece.to - piece.from));
        weighted.sum::<f64>() / (to - from)
    }

    /// Emissions of the whole run, g CO2e: those so far, and what is still to come at the intensity of the hours it will
    /// take. How far that may be off adds to how far the energy may be.
    pub fn forecast(&self, bill: &Emissions, forecast: &Forecast) -> Option<Estimate> {
        let energy = forecast.energy_j?;
        let so_far = bill.joules.unwrap_or(0.0);
        let Some(curve) = self.curve else {
            // What is to come has this process's price, and not the mean of all of them.
            let dearer = bill.grams(so_far) - bill.facility_kwh(so_far) * self.flat;
            return Some(energy.scaled(bill.facility_kwh(1.0) * self.flat).and(dearer));
        };
        let rest_s = forecast.duration_s.map_or(0.0, |time| time.value - bill.duration_s).clamp(1.0, LONGEST_S);
        // Inside the first epoch some of it is used already, in the hours before the rest.
        let used_s = forecast.duration_s.map_or(0.0, |time| time.used - bill.duration_s).clamp(0.0, rest_s);
        let grams = |joules: f64, from_s: f64, to_s: f64| {
            let g_per_kwh = self.mean(curve, bill.ended + from_s, bill.ended + to_s.max(from_s + 1.0));
            bill.facility_kwh(joules.max(0.0)) * g_per_kwh
        };
        let used = bill.grams(so_far) + grams(energy.used - so_far, 0.0, used_s);
        let value = used + grams(energy.value - energy.used.max(so_far), used_s, rest_s);
        let off = self.off(curve, bill.ended + used_s, bill.ended + rest_s.max(used_s + 1.0))
            * forecast::quantile(forecast.level)
            / forecast::quantile(LEVEL);
        // Shares of what is still to come, on either side.
        let to_come = energy.value - energy.used;
        let bound = |joules: f64, sign: f64| {
            let by_energy = if to_come > 0.0 { ((joules - energy.used) / to_come).max(1e-9).ln() } else { 0.0 };
            used + (value - used) * (sign * by_energy.hypot(off)).exp()
        };
        Some(Estimate { used, value, low: bound(energy.low, -1.0), high: bound(energy.high, 1.0) })
    }

    /// How far the mean intensity of a time to come may be off, as a share, at level 0.9.
    fn off(&self, curve: &Curve, from: f64, to: f64) -> f64 {
        let parts = self.pieces(curve, from, to).map(|piece| {
            let off = match piece.origin {
                Origin::Said(FigureQuality::Forecast) => FORECAST_OFF,
                Origin::Said(_) => 0.0,
                Origin::Filled | Origin::Typical | Origin::Flat => TYPICAL_OFF,
            };
            off * (piece.to - piece.from) / (to - from)
        });
        parts.sum()
    }
}

impl Emissions {
    /// Facility energy behind so many joules of the devices, kWh.
    pub fn facility_kwh(&self, joules: f64) -> f64 {
        joules / J_PER_KWH * self.pue
    }

    /// Emissions behind so many joules of the devices at the run's mean intensity, g CO2e.
    pub fn grams(&self, joules: f64) -> f64 {
        self.facility_kwh(joules) * self.g_per_kwh
    }

    /// The same of joules that this process used, or will.
    pub fn own_grams(&self, joules: f64) -> f64 {
        self.facility_kwh(joules) * self.own_g_per_kwh
    }

    /// The same of joules used from one instant to another.
    pub fn grams_between(&self, from: MonoNs, to: MonoNs, joules: f64) -> f64 {
        let (before, after) = (self.up_to(from), self.up_to(to));
        let used = after.joules - before.joules;
        let g_per_kwh = if used > 0.0 { (after.weighted - before.weighted) / used } else { self.own_g_per_kwh };
        self.facility_kwh(joules) * g_per_kwh
    }

    /// The sums up to an instant, evenly in time between two lines.
    fn up_to(&self, at: MonoNs) -> EmissionLine {
        let next = self.lines.partition_point(|line| line.to < at);
        let after = self.lines.get(next).or(self.lines.last()).copied().unwrap_or_default();
        let before = next.checked_sub(1).and_then(|last| self.lines.get(last)).copied();
        let Some(before) = before.filter(|before| after.to > before.to) else { return after };
        let share = at.ns_since(before.to) as f64 / after.to.ns_since(before.to) as f64;
        let between = |before: f64, after: f64| before + share * (after - before);
        EmissionLine {
            to: at,
            joules: between(before.joules, after.joules),
            weighted: between(before.weighted, after.weighted),
        }
    }
}

#[cfg(test)]
mod tests;
