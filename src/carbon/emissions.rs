//! Emissions of a run: each joule at the intensity of its hour, past and future. Pure.

use super::intensity::GridIntensity;
use super::intensity::curve::{Curve, Origin, Piece};
use super::intensity::slot::IntensityQuality;
use crate::attribution::ledger::Ledger;
use crate::clock::{MonoNs, WallClock};
use crate::forecast::{self, Estimate, Forecast};
use crate::units::J_PER_KWH;

/// Error of a provider's forecast of the mean intensity, as a share, at `ERROR_LEVEL`. British half-hours were 18 % off
/// in the mean of 26 days. Means over 1 to 48 hours of one of these days were 2 to 26 % off.
const FORECAST_ERROR: f64 = 0.2;
/// Error of a typical day's mean intensity, as a share, at `ERROR_LEVEL`. Held figures were 11 to 17 % off after a day,
/// yearly averages 17 to 36 %.
const TYPICAL_DAY_ERROR: f64 = 0.3;
/// Probability that the two errors above hold.
const ERROR_LEVEL: f64 = 0.9;
/// Longest future interval that a mean covers, s. Beyond it the intensity is assumed to repeat.
const MAX_AHEAD_S: f64 = 366.0 * 24.0 * 3600.0;
/// Largest difference between two sums over the same intensity, as a share. It comes from rounding.
const ROUNDING_SHARE: f64 = 1e-9;
/// Shortest interval, s. A date has a resolution of 240 ns; a shorter interval may have no length, so that its energy
/// would have no intensity.
const MIN_STEP_S: f64 = 1e-6;

/// The factors that convert energy into emissions.
#[derive(Clone, Copy)]
pub struct EmissionFactors<'a> {
    /// The figure where the curve has none, gCO2e/kWh.
    pub flat: f64,
    /// Figures by the hour. None: the flat figure is used for all time.
    pub curve: Option<&'a Curve>,
    /// Maps the monotonic clock to UTC.
    pub clock: &'a WallClock,
    /// Facility energy over IT energy.
    pub pue: f64,
    /// Energy and emissions of earlier attempts of the run.
    pub carried_over: CarriedEmissions,
}

/// Energy and emissions of earlier attempts of the run. They are not converted again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CarriedEmissions {
    /// Energy of the devices, J.
    pub joules: f64,
    /// Emissions of that energy, g CO2e.
    pub co2eq_g: f64,
}

/// Emissions of the run so far.
#[derive(Clone, Debug)]
pub struct Emissions {
    /// Facility energy over IT energy.
    pub pue: f64,
    /// Mean intensity of the energy used, by the time of use, gCO2e/kWh. Before any use it is the intensity of now.
    pub g_per_kwh: f64,
    /// Mean intensity of the energy that this attempt used, gCO2e/kWh.
    own_g_per_kwh: f64,
    /// What the figures by the hour cover. None: one figure is used for all time.
    pub sources: Option<IntensitySources>,
    joules: Option<f64>,
    duration_s: f64,
    /// Start of the run, and end of its last epoch, s since 1970 UTC. Without an epoch both are the start.
    began_s: f64,
    ended_s: f64,
    sums: Vec<EmissionSum>,
}

/// How much of a run's energy the figures by the hour cover.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IntensitySources {
    /// Number of figures that overlap the run.
    pub slots: usize,
    /// Share of the energy whose hour has a figure of its own. The rest is filled in. None: no energy yet.
    pub covered: Option<f64>,
    /// Share of the energy whose hour has a measured figure.
    pub metered: Option<f64>,
    /// Share of the energy that is weeks from any figure and converted at the flat one.
    pub flat: Option<f64>,
}

/// Sums from the start of the run up to an instant.
#[derive(Clone, Copy, Debug, Default)]
struct EmissionSum {
    /// The instant, on the monotonic clock.
    to: MonoNs,
    joules: f64,
    /// Sum of each joule times its intensity, J g/kWh.
    weighted: f64,
}

impl<'a> EmissionFactors<'a> {
    /// The factors of a grid at this PUE (facility energy over IT energy), for a run without an earlier attempt.
    pub fn new(grid: &'a GridIntensity, clock: &'a WallClock, pue: f64) -> EmissionFactors<'a> {
        let curve = grid.hourly.as_ref().map(|hourly| &hourly.curve);
        EmissionFactors { flat: grid.flat.g_per_kwh, curve, clock, pue, carried_over: CarriedEmissions::default() }
    }

    /// Emissions of the run in a ledger. `now` is after all of the run.
    pub fn emissions(&self, ledger: &Ledger, now: MonoNs) -> Emissions {
        let began = ledger.first_begin().unwrap_or(now);
        let ended = ledger.last_end().unwrap_or(began);
        let mut emissions = Emissions {
            pue: self.pue,
            g_per_kwh: self.flat,
            own_g_per_kwh: self.flat,
            sources: None,
            joules: ledger.energy_j(),
            duration_s: ledger.run_ns() as f64 * 1e-9,
            began_s: self.clock.unix_s(began).0,
            ended_s: self.clock.unix_s(ended).0,
            sums: Vec::new(),
        };
        if let Some(curve) = self.curve {
            self.convert_by_hour(&mut emissions, curve, ledger, now);
        }
        emissions.own_g_per_kwh = emissions.g_per_kwh;
        let carried_over = self.carried_over;
        let total = emissions.joules.unwrap_or(0.0);
        if carried_over.joules > 0.0 {
            let since = emissions.facility_kwh(total - carried_over.joules) * emissions.g_per_kwh;
            let mean = (carried_over.co2eq_g + since) / emissions.facility_kwh(total);
            // If both parts have one figure, that figure is kept exactly.
            let is_same = (mean - emissions.g_per_kwh).abs() <= ROUNDING_SHARE * mean;
            emissions.g_per_kwh = if is_same { emissions.g_per_kwh } else { mean };
        }
        emissions
    }

    fn convert_by_hour(&self, emissions: &mut Emissions, curve: &Curve, ledger: &Ledger, now: MonoNs) {
        let Some((began, ended)) = ledger.first_begin().zip(ledger.last_end()) else {
            let now = self.clock.unix_s(now).0;
            emissions.g_per_kwh = self.mean(curve, now, now + 1.0);
            emissions.sources = Some(IntensitySources::default());
            return;
        };
        let total = emissions.joules.unwrap_or(0.0) - self.carried_over.joules;
        if curve.is_empty() {
            let none = (total > 0.0).then_some(0.0);
            emissions.sources =
                Some(IntensitySources { slots: 0, covered: none, metered: none, flat: none.map(|_| 1.0) });
            return;
        }
        let mut sum = EmissionSum { to: began, ..EmissionSum::default() };
        let mut metered_j = 0.0;
        let mut predicted_j = 0.0;
        let mut filled_j = 0.0;
        let mut flat_j = 0.0;
        emissions.sums.push(sum);
        for step in ledger.timeline().steps().take_while(|step| step.from < ended) {
            // The last step may reach beyond the end of the run. That part is not counted. Where another process took
            // energy over, rounding is left, which may be negative.
            let used = step.energy.total().unwrap_or(0.0);
            let joules = if step.to < ended { used } else { total - sum.joules }.max(0.0);
            let (from, to) = (step.from.max(began), step.to.min(ended));
            let from_s = self.clock.unix_s(from).0;
            let to_s = self.clock.unix_s(to).0.max(from_s + MIN_STEP_S);
            for Piece { from, to, g_per_kwh, origin } in self.pieces(curve, from_s, to_s) {
                let part = joules * (to - from) / (to_s - from_s);
                sum.weighted += part * g_per_kwh;
                match origin {
                    Origin::Given(IntensityQuality::Actual) => metered_j += part,
                    Origin::Given(_) => predicted_j += part,
                    Origin::Filled | Origin::Typical => filled_j += part,
                    Origin::Flat => flat_j += part,
                }
            }
            sum = EmissionSum { to, joules: sum.joules + joules, ..sum };
            emissions.sums.push(sum);
        }
        let share = |part: f64, rest: f64| (part + rest > 0.0).then(|| part / (part + rest));
        emissions.sources = Some(IntensitySources {
            slots: curve.slots_within(emissions.began_s, emissions.ended_s).len(),
            covered: share(metered_j + predicted_j, filled_j + flat_j),
            metered: share(metered_j, predicted_j + filled_j + flat_j),
            flat: share(flat_j, metered_j + predicted_j + filled_j),
        });
        emissions.g_per_kwh = match sum.joules > 0.0 {
            true => sum.weighted / sum.joules,
            false => self.mean(curve, emissions.began_s, emissions.ended_s.max(emissions.began_s + 1.0)),
        };
    }

    /// The figures from one time to another, s since 1970 UTC. The flat figure fills the time that the curve does not
    /// reach.
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

    /// Emissions of the whole run, g CO2e: those so far, and the future ones at the intensity of the hours that the run
    /// will take. The interval combines the errors of the energy and of the intensity.
    pub fn forecast(&self, emissions: &Emissions, forecast: &Forecast) -> Option<Estimate> {
        let energy = forecast.energy_j?;
        let so_far = emissions.joules.unwrap_or(0.0);
        let Some(curve) = self.curve else {
            // Future energy is converted at this attempt's figure, and not at the mean over all attempts.
            let difference = emissions.grams(so_far) - emissions.facility_kwh(so_far) * self.flat;
            return Some(energy.scaled(emissions.facility_kwh(1.0) * self.flat).and(difference));
        };
        let rest_s = forecast.duration_s.map_or(0.0, |time| time.value - emissions.duration_s).clamp(1.0, MAX_AHEAD_S);
        // Inside the first epoch a part of the energy is already used, in the hours before the rest.
        let used_s = forecast.duration_s.map_or(0.0, |time| time.used - emissions.duration_s).clamp(0.0, rest_s);
        let grams = |joules: f64, from_s: f64, to_s: f64| {
            let g_per_kwh = self.mean(curve, emissions.ended_s + from_s, emissions.ended_s + to_s.max(from_s + 1.0));
            emissions.facility_kwh(joules.max(0.0)) * g_per_kwh
        };
        let used = emissions.grams(so_far) + grams(energy.used - so_far, 0.0, used_s);
        let value = used + grams(energy.value - energy.used.max(so_far), used_s, rest_s);
        let (from, to) = (emissions.ended_s + used_s, emissions.ended_s + rest_s.max(used_s + 1.0));
        let error_share = self.error_at(curve, from, to, forecast.level);
        // The errors are shares of the future energy. They are applied on both sides.
        let to_come = energy.value - energy.used;
        let bound = |joules: f64, sign: f64| {
            let by_energy = if to_come > 0.0 { ((joules - energy.used) / to_come).max(1e-9).ln() } else { 0.0 };
            used + (value - used) * (sign * by_energy.hypot(error_share)).exp()
        };
        Some(Estimate { used, value, low: bound(energy.low, -1.0), high: bound(energy.high, 1.0) })
    }

    /// Error of the mean intensity of a future interval, s since 1970 UTC, as a share, at this level.
    pub fn error_at(&self, curve: &Curve, from: f64, to: f64, level: f64) -> f64 {
        self.error_share(curve, from, to) * forecast::quantile(level) / forecast::quantile(ERROR_LEVEL)
    }

    /// Error of the mean intensity of a future interval, as a share, at `ERROR_LEVEL`.
    fn error_share(&self, curve: &Curve, from: f64, to: f64) -> f64 {
        let parts = self.pieces(curve, from, to).map(|piece| {
            let error_share = match piece.origin {
                Origin::Given(IntensityQuality::Forecast) => FORECAST_ERROR,
                Origin::Given(_) => 0.0,
                Origin::Filled | Origin::Typical | Origin::Flat => TYPICAL_DAY_ERROR,
            };
            error_share * (piece.to - piece.from) / (to - from)
        });
        parts.sum()
    }
}

impl Emissions {
    /// Facility energy for an energy of the devices in joules, kWh.
    pub fn facility_kwh(&self, joules: f64) -> f64 {
        joules / J_PER_KWH * self.pue
    }

    /// Emissions of an energy of the devices in joules, at the run's mean intensity, g CO2e.
    pub fn grams(&self, joules: f64) -> f64 {
        self.facility_kwh(joules) * self.g_per_kwh
    }

    /// Emissions of joules that this attempt used or will use, at its own mean intensity, g CO2e.
    pub fn own_grams(&self, joules: f64) -> f64 {
        self.facility_kwh(joules) * self.own_g_per_kwh
    }

    /// Emissions of joules used between two instants on the monotonic clock, g CO2e.
    pub fn grams_between(&self, from: MonoNs, to: MonoNs, joules: f64) -> f64 {
        let (before, after) = (self.up_to(from), self.up_to(to));
        let used = after.joules - before.joules;
        let g_per_kwh = if used > 0.0 { (after.weighted - before.weighted) / used } else { self.own_g_per_kwh };
        self.facility_kwh(joules) * g_per_kwh
    }

    /// The sums up to an instant, interpolated linearly in time.
    fn up_to(&self, at: MonoNs) -> EmissionSum {
        let next = self.sums.partition_point(|line| line.to < at);
        let after = self.sums.get(next).or(self.sums.last()).copied().unwrap_or_default();
        let before = next.checked_sub(1).and_then(|last| self.sums.get(last)).copied();
        let Some(before) = before.filter(|before| after.to > before.to) else { return after };
        let share = at.ns_since(before.to) as f64 / after.to.ns_since(before.to) as f64;
        let between = |before: f64, after: f64| before + share * (after - before);
        EmissionSum {
            to: at,
            joules: between(before.joules, after.joules),
            weighted: between(before.weighted, after.weighted),
        }
    }
}

#[cfg(test)]
mod tests;
