//! Power, carbon intensity and forecasts over the time of a run, downsampled for charts. Pure.

use super::decimate::{ever_wider, groups};
use crate::attribution::carried_over::CarriedInterval;
use crate::attribution::epochs::PerKind;
use crate::attribution::ledger::{InterEpoch, Ledger};
use crate::attribution::timeline::TimelineStep;
use crate::carbon::emissions::EmissionFactors;
use crate::carbon::intensity::curve::{Origin, Piece};
use crate::clock::{MonoNs, WallClock};
use crate::forecast::history::History;
use crate::forecast::{self, Forecast};
use crate::measurement::channel::DeviceKind;
use crate::state::RunState;
use serde_json::{Value, json};

/// Most entries of mean power in a report.
const MAX_POWER: usize = 512;
/// Shortest time over which the power of now is a mean, ns.
const RECENT_NS: u64 = 10_000_000_000;
/// Most pieces of intensity in a report.
const MAX_HOURS: usize = 256;
/// Most earlier forecasts in a report.
pub const MAX_FORECASTS: usize = 64;

/// Power, intensity and forecasts over the time of a run.
#[derive(Default)]
pub struct TimeSeries {
    /// Mean power, oldest first.
    pub power: Vec<PowerPoint>,
    /// Carbon intensity, oldest first; None: one figure is used for the whole run.
    pub hours: Option<Vec<Piece>>,
    /// Earlier forecasts, fewest epochs first.
    pub forecasts: Vec<Forecast>,
}

/// Mean power over some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerPoint {
    /// Begin, s since 1970 UTC.
    pub from: f64,
    /// End, s since 1970 UTC.
    pub to: f64,
    /// Power of each kind, in the order of `DeviceKind::ALL`, W; None: unknown.
    pub watts: [Option<f64>; DeviceKind::ALL.len()],
}

impl TimeSeries {
    /// The time series of a run up to `now`, with the open epoch as far as it is.
    pub fn new(state: &RunState, factors: &EmissionFactors, planned: u64, level: f64, now: MonoNs) -> TimeSeries {
        let (ledger, clock) = (&state.attribution.ledger, &state.carbon.clock);
        let begin = ledger.first_begin().unwrap_or(now);
        let end = if ledger.is_open() { now } else { ledger.last_end().unwrap_or(begin).max(begin) };
        let known_until = (0..state.metering.channels.len())
            .map(|channel| ledger.credited_until(channel))
            .max()
            .flatten()
            .unwrap_or_default();
        let mut own: Vec<CarriedInterval> = intervals(ledger, clock, begin, end, known_until).collect();
        if !ledger.is_open() {
            close_last(&mut own, used(state));
        }
        let intervals: Vec<CarriedInterval> = state.attribution.carried_over.power.iter().copied().chain(own).collect();
        let from = clock.unix_s(begin).0;
        let from = intervals.first().map_or(from, |first| first.from.min(from));
        // An earlier process may have filled its gaps otherwise: only reported figures of its time are known.
        let is_known = |piece: &Piece| piece.to > clock.unix_s(begin).0 || matches!(piece.origin, Origin::Given(_));
        let pieces = |curve| factors.pieces(curve, from, clock.unix_s(end).0).filter(is_known).collect::<Vec<Piece>>();
        TimeSeries {
            power: thinned_power(&intervals),
            hours: factors.curve.map(|curve| thinned_hours(&pieces(curve))),
            forecasts: forecasts(state, planned, level),
        }
    }
}

/// Mean power of the newest time whose energy is known, by kind, in the order of `DeviceKind::ALL`, W; None: unknown.
pub fn recent_power(state: &RunState, now: MonoNs) -> [Option<f64>; DeviceKind::ALL.len()] {
    let ledger = &state.attribution.ledger;
    let until = state.all_known_until().min(now);
    let begin = ledger.first_begin().unwrap_or(until);
    // The newest step may be wider than the time asked for.
    let is_recent = |step: &TimelineStep| {
        let width = step.to.ns_since(step.from);
        step.from >= begin && until.ns_since(step.to) < RECENT_NS.saturating_sub(width).max(width)
    };
    let steps = ledger.timeline().steps().rev().skip_while(|step| step.to > until);
    let recent: Vec<TimelineStep> = steps.take_while(is_recent).collect();
    DeviceKind::ALL.map(|kind| {
        let known = recent.iter().filter_map(|step| Some((step.energy.get(kind)?, step.to.ns_since(step.from))));
        let (joules, ns) = known.fold((0.0, 0), |(joules, ns), (more, width)| (joules + more, ns + width));
        (ns > 0).then(|| joules / (ns as f64 * 1e-9))
    })
}

/// Energy by time, from `begin` to `end`. Energy is known up to `known_until`, where the last interval ends.
fn intervals(
    ledger: &Ledger,
    clock: &WallClock,
    begin: MonoNs,
    end: MonoNs,
    known_until: MonoNs,
) -> impl Iterator<Item = CarriedInterval> {
    ledger.timeline().steps().filter_map(move |step| {
        let (from, to) = (step.from.max(begin), step.to.min(known_until));
        let last = to.min(end);
        if last <= from {
            return None;
        }
        let share = last.ns_since(from) as f64 / to.ns_since(from) as f64;
        let mut energy = PerKind::default();
        for kind in DeviceKind::ALL {
            step.energy.get(kind).into_iter().for_each(|joules| energy.add(kind, joules * share));
        }
        Some(CarriedInterval { from: clock.unix_s(from).0, to: clock.unix_s(last).0, energy })
    })
}

/// The run's energy that this process measured, by kind.
fn used(state: &RunState) -> PerKind {
    let mut used = PerKind::default();
    for (number, metered) in state.ours() {
        let joules =
            state.attribution.ledger.channel(number).joules.zip(metered.carried_over.sum().joules.or(Some(0.0)));
        joules.into_iter().for_each(|(all, carried_over)| used.add(metered.channel.kind, all - carried_over));
    }
    used
}

/// Sets the last interval's energy to the rest of the run's energy. Its step extends beyond the run and still grows.
fn close_last(intervals: &mut [CarriedInterval], whole: PerKind) {
    let Some((last, others)) = intervals.split_last_mut() else { return };
    let mut rest = PerKind::default();
    for kind in DeviceKind::ALL {
        let counted: f64 = others.iter().filter_map(|interval| interval.energy.get(kind)).sum();
        whole.get(kind).into_iter().for_each(|joules| rest.add(kind, (joules - counted).max(0.0)));
    }
    last.energy = rest;
}

/// Mean power of intervals, where neighbours are merged until few enough are left. Merging keeps the energy: a gap
/// within a group lowers its mean.
pub fn thinned_power(intervals: &[CarriedInterval]) -> Vec<PowerPoint> {
    let mean = |of: &[CarriedInterval], kind: DeviceKind| {
        let joules = of.iter().filter_map(|interval| interval.energy.get(kind)).reduce(|a, b| a + b)?;
        let unknown = of.iter().filter(|interval| interval.energy.get(kind).is_none());
        let unknown_s: f64 = unknown.map(|interval| interval.to - interval.from).sum();
        let known_s = of.last()?.to - of.first()?.from - unknown_s;
        (known_s > 0.0).then(|| joules / known_s)
    };
    let groups = groups(intervals, |interval| (interval.from, interval.to), MAX_POWER);
    let power = groups.into_iter().filter_map(|group| {
        let watts = DeviceKind::ALL.map(|kind| mean(group, kind));
        Some(PowerPoint { from: group.first()?.from, to: group.last()?.to, watts })
    });
    power.collect()
}

/// Carbon intensity, where neighbours are merged into their mean until few enough are left.
fn thinned_hours(pieces: &[Piece]) -> Vec<Piece> {
    let groups = groups(pieces, |piece| (piece.from, piece.to), MAX_HOURS);
    let hours = groups.into_iter().filter_map(|group| {
        let (first, last) = (group.first()?, group.last()?);
        let sum = |of: fn(&Piece) -> f64| group.iter().map(|piece| of(piece) * (piece.to - piece.from)).sum::<f64>();
        let g_per_kwh = if group.len() == 1 { first.g_per_kwh } else { sum(|piece| piece.g_per_kwh) / sum(|_| 1.0) };
        Some(Piece { to: last.to, g_per_kwh, ..*first })
    });
    hours.collect()
}

/// Earlier forecasts, computed again from the epochs that had ended by then. With earlier runs that takes too long, so
/// those that were made are used. The forecasts before the earlier runs arrived were made without them.
fn forecasts(state: &RunState, planned: u64, level: f64) -> Vec<Forecast> {
    let made = state.forecasting.made().unwrap_or_default();
    let first_made = made.first().map_or(u64::MAX, |first| first.after_epochs);
    let ledger = &state.attribution.ledger;
    let counts = ledger.marked().scan(0, |count, epoch| {
        *count += epoch.count;
        Some(*count)
    });
    let until = state.attribution.settled_epochs().min(planned).min(first_made.saturating_sub(1));
    let ends: Vec<u64> = counts.take_while(|count| *count <= until).collect();
    let after = |&epochs: &u64| {
        let between = between_first(ledger, epochs);
        let first_epoch = &state.forecasting.first_epoch;
        forecast::forecast(planned, level, ledger.observed(epochs), between, first_epoch, &History::default())
    };
    let mut all: Vec<Forecast> = ever_wider(&ends, MAX_FORECASTS).filter_map(after).collect();
    all.extend(made);
    ever_wider(&all, MAX_FORECASTS).copied().collect()
}

/// Time and energy between the first epochs. Only the energy of all gaps is known; it is divided by their time.
fn between_first(ledger: &Ledger, epochs: u64) -> InterEpoch {
    let between = ledger.between_first(epochs);
    let all_s = ledger.between_ns() as f64 * 1e-9;
    let share = if all_s > 0.0 { between.duration_s / all_s } else { 0.0 };
    InterEpoch { energy_j: between.energy_j.map(|joules| joules * share), ..between }
}

/// Mean power by time, from the energy of these intervals.
pub fn power(intervals: &[CarriedInterval]) -> Value {
    power_columns(&thinned_power(intervals))
}

/// Mean power by time, with a column for each kind of device. Null: no kind is measured.
pub fn power_columns(points: &[PowerPoint]) -> Value {
    let column = |kind: DeviceKind| {
        let watts = || points.iter().map(|power| power.watts.get(kind as usize).copied().flatten());
        watts().any(|watts| watts.is_some()).then(|| watts().collect::<Vec<_>>())
    };
    let [cpu_w, gpu_w, dram_w, node_w] = DeviceKind::ALL.map(column);
    if [&cpu_w, &gpu_w, &dram_w, &node_w].iter().all(|column| column.is_none()) {
        return Value::Null;
    }
    let times = |of: fn(&PowerPoint) -> f64| points.iter().map(of).collect::<Vec<_>>();
    json!({
        "from": times(|power| power.from),
        "to": times(|power| power.to),
        "cpu_w": cpu_w,
        "gpu_w": gpu_w,
        "dram_w": dram_w,
        "node_w": node_w,
    })
}

#[cfg(test)]
mod tests;
