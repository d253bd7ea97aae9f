//! How a run went: its power, the grid's intensity and the forecast over its time, thinned to what a picture can show.
//! Pure.

use super::decimate::{ever_wider, groups};
use crate::attribution::carried_over::CarriedInterval;
use crate::attribution::epochs::PerKind;
use crate::attribution::ledger::{InterEpoch, Ledger};
use crate::carbon::emissions::EmissionFactors;
use crate::carbon::intensity::curve::{Origin, Piece};
use crate::clock::WallClock;
use crate::forecast::{self, Forecast};
use crate::measurement::channel::DeviceKind;
use crate::state::RunState;

/// So many points of power and of intensity are told.
const MOST_POWER: usize = 512;
const MOST_HOURS: usize = 256;
/// And of forecasts.
pub const MOST_FORECASTS: usize = 64;

/// How a run went.
#[derive(Default)]
pub struct TimeSeries {
    /// Mean power, oldest first.
    pub power: Vec<PowerPoint>,
    /// The grid's intensity, oldest first; None where one figure holds for all of the run.
    pub hours: Option<Vec<Piece>>,
    /// What was forecast after so many epochs, fewest first.
    pub forecasts: Vec<Forecast>,
}

/// Mean power over some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerPoint {
    /// From, s since 1970 UTC,
    pub from: f64,
    /// to.
    pub to: f64,
    /// By kind, in the order of `DeviceKind::ALL`, W; None: not known.
    pub watts: [Option<f64>; DeviceKind::ALL.len()],
}

impl TimeSeries {
    /// The course of a run up to `now`, ns; an epoch that is open is shown as far as it is.
    pub fn new(books: &RunState, pricing: &EmissionFactors, planned: u64, level: f64, now: u64) -> TimeSeries {
        let RunState { ledger, calendar, .. } = books;
        let begin = ledger.first_begin().unwrap_or(now);
        let end = if ledger.is_open() { now } else { ledger.last_end().unwrap_or(begin).max(begin) };
        let known_to = (0..books.metered.len()).map(|channel| ledger.credited_to(channel)).max().unwrap_or(0);
        let mut since: Vec<CarriedInterval> = stretches(ledger, calendar, begin, end, known_to).collect();
        if !ledger.is_open() {
            end_with(&mut since, used(books));
        }
        let stretches: Vec<CarriedInterval> = books.past.power.iter().copied().chain(since).collect();
        let from = calendar.unix_s(begin);
        let from = stretches.first().map_or(from, |first| first.from.min(from));
        // What an earlier process made up where nothing was said is not known.
        let is_known = |piece: &Piece| piece.to > calendar.unix_s(begin) || matches!(piece.origin, Origin::Given(_));
        let pieces = |curve| pricing.pieces(curve, from, calendar.unix_s(end)).filter(is_known).collect::<Vec<Piece>>();
        TimeSeries {
            power: thinned_power(&stretches),
            hours: pricing.curve.map(|curve| thinned_hours(&pieces(curve))),
            forecasts: forecasts(books, planned, level),
        }
    }
}

/// What was used by time, from `begin` to `end`, ns. Energy is known up to `known_to`, ns: the last step is no longer.
fn stretches(
    ledger: &Ledger,
    calendar: &WallClock,
    begin: u64,
    end: u64,
    known_to: u64,
) -> impl Iterator<Item = CarriedInterval> {
    ledger.timeline().steps().filter_map(move |step| {
        let (from, to) = (step.from.max(begin), step.to.min(known_to));
        let last = to.min(end);
        if last <= from {
            return None;
        }
        let share = (last - from) as f64 / (to - from) as f64;
        let mut energy = PerKind::default();
        for kind in DeviceKind::ALL {
            step.energy.get(kind).into_iter().for_each(|joules| energy.add(kind, joules * share));
        }
        Some(CarriedInterval { from: calendar.unix_s(from), to: calendar.unix_s(last), energy })
    })
}

/// What this process measured of the run, by kind.
fn used(books: &RunState) -> PerKind {
    let mut used = PerKind::default();
    for (number, metered) in books.ours() {
        let joules = books.ledger.channel(number).joules.zip(metered.before.sum().joules.or(Some(0.0)));
        joules.into_iter().for_each(|(all, before)| used.add(metered.channel.kind, all - before));
    }
    used
}

/// The last step goes on after the run: its share of the run is what the others leave of the whole, whenever that is asked.
fn end_with(stretches: &mut [CarriedInterval], whole: PerKind) {
    let Some((last, others)) = stretches.split_last_mut() else { return };
    let mut rest = PerKind::default();
    for kind in DeviceKind::ALL {
        let before: f64 = others.iter().filter_map(|stretch| stretch.energy.get(kind)).sum();
        whole.get(kind).into_iter().for_each(|joules| rest.add(kind, (joules - before).max(0.0)));
    }
    last.energy = rest;
}

/// Mean power, neighbours together until few enough are left. Their energy stays: a gap too short to be one lowers the mean.
pub fn thinned_power(stretches: &[CarriedInterval]) -> Vec<PowerPoint> {
    let mean = |of: &[CarriedInterval], kind: DeviceKind| {
        let joules = of.iter().filter_map(|stretch| stretch.energy.get(kind)).reduce(|a, b| a + b)?;
        let unknown = of.iter().filter(|stretch| stretch.energy.get(kind).is_none());
        let unknown_s: f64 = unknown.map(|stretch| stretch.to - stretch.from).sum();
        let known_s = of.last()?.to - of.first()?.from - unknown_s;
        (known_s > 0.0).then(|| joules / known_s)
    };
    let groups = groups(stretches, |stretch| (stretch.from, stretch.to), MOST_POWER);
    let power = groups.into_iter().filter_map(|group| {
        let watts = DeviceKind::ALL.map(|kind| mean(group, kind));
        Some(PowerPoint { from: group.first()?.from, to: group.last()?.to, watts })
    });
    power.collect()
}

/// The same of the grid's intensity.
fn thinned_hours(pieces: &[Piece]) -> Vec<Piece> {
    let groups = groups(pieces, |piece| (piece.from, piece.to), MOST_HOURS);
    let hours = groups.into_iter().filter_map(|group| {
        let (first, last) = (group.first()?, group.last()?);
        let sum = |of: fn(&Piece) -> f64| group.iter().map(|piece| of(piece) * (piece.to - piece.from)).sum::<f64>();
        let g_per_kwh = if group.len() == 1 { first.g_per_kwh } else { sum(|piece| piece.g_per_kwh) / sum(|_| 1.0) };
        Some(Piece { to: last.to, g_per_kwh, ..*first })
    });
    hours.collect()
}

/// The forecasts as they were, made anew from the epochs that had ended by then.
fn forecasts(books: &RunState, planned: u64, level: f64) -> Vec<Forecast> {
    let ledger = &books.ledger;
    let counts = ledger.history().iter().scan(0, |count, epoch| {
        *count += epoch.count;
        Some(*count)
    });
    let ends: Vec<u64> = counts.take_while(|count| *count <= books.settled.min(planned)).collect();
    let after = |&epochs: &u64| {
        let between = between_first(ledger, epochs);
        forecast::forecast(planned, level, ledger.observed(epochs), between, &books.progress)
    };
    ever_wider(&ends, MOST_FORECASTS).filter_map(after).collect()
}

/// What lay between the first epochs. Of its energy only all is known: it is divided as the time is.
fn between_first(ledger: &Ledger, epochs: u64) -> InterEpoch {
    let between = ledger.between_first(epochs);
    let all_s = ledger.between_ns() as f64 * 1e-9;
    let share = if all_s > 0.0 { between.duration_s / all_s } else { 0.0 };
    InterEpoch { energy_j: between.energy_j.map(|joules| joules * share), ..between }
}

#[cfg(test)]
mod tests;
