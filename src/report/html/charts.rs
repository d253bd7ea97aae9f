//! The charts of a run.

use super::axis::Scale;
use super::chart::{Chart, Colour, Shape};
use super::json_view::JsonView;
use crate::report::decimate::groups;
use crate::units::{Amount, DisplayUnit, ErrorBand, J_PER_KWH, instant};
use plotters::style::RGBColor;

/// Kinds of component from the bottom of a stack to its top: name in the report, words on the page, colour.
pub const KINDS: [(&str, &str, Colour); 4] = [
    ("node", "whole node", RGBColor(0x8a, 0x5a, 0x9e)),
    ("cpu", "processors", RGBColor(0x00, 0x72, 0xb2)),
    ("dram", "memory", RGBColor(0x00, 0x9e, 0x73)),
    ("gpu", "GPUs", RGBColor(0xd5, 0x5e, 0x00)),
];
/// The colour of time, emissions and the forecast, which are of no kind.
const PLAIN: Colour = RGBColor(0x45, 0x6a, 0x9e);
/// The colour of the outcome beside the forecast.
const OUTCOME: Colour = RGBColor(0xb3, 0x26, 0x1e);
/// The most columns that a reader can distinguish.
pub const MAX_COLUMNS: usize = 160;
/// Up to this number, columns have room between them.
const MAX_SPACED_COLUMNS: usize = 40;

/// Opacity of columns; that of power over time is lighter, because it fills most of its chart.
const OPACITY: f64 = 0.85;
const POWER_OPACITY: f64 = 0.45;

/// An amount of each kind, in the order of `KINDS`; None: unknown.
type Amounts = [Option<f64>; KINDS.len()];

/// Amounts of each kind over a range of x.
struct Column {
    from: f64,
    to: f64,
    amounts: Amounts,
    /// What it is, shown beside its amount under the pointer.
    what: String,
}

/// What a chart shows, with the error band of an estimate.
type Shown = (Amount<'static>, Option<ErrorBand>);

/// The error band of the run's energy; None: it is measured.
fn error(run: &JsonView) -> Option<ErrorBand> {
    run.error("/usage/error")
}

/// A chart, the unit of its y, and the kinds of component in it.
pub struct Drawn {
    /// The chart.
    pub chart: Chart,
    /// The unit of y.
    pub unit: &'static str,
    /// Places in `KINDS`; empty: the chart is not by kind.
    pub kinds: Vec<usize>,
}

/// Power over time.
pub fn power(run: &JsonView) -> Option<Drawn> {
    let columns = power_columns(run)?;
    stacked("Power over time by kind of component", Scale::Clock, columns, (Amount::Power, error(run)))
}

/// Whether the only planned epoch has ended: the run is a program without epochs, or has just one.
pub fn is_one_epoch(run: &JsonView) -> bool {
    run.number("/run/epochs_planned") == Some(1.0) && run.number("/run/epochs_done") == Some(1.0)
}

/// Energy of each epoch, and true; or, if no energy is known, time of each epoch, and false. None: there
/// is one epoch only, or none.
pub fn epochs(run: &JsonView) -> Option<(bool, Drawn)> {
    let epochs = run.list("/epochs");
    if is_one_epoch(run) {
        return None; // one bar shows no course
    }
    let of = |field: &str| epochs.iter().any(|epoch| epoch.has(field));
    if of("/energy_j") {
        let columns = epoch_columns(&epochs, |epoch| KINDS.map(|(kind, ..)| epoch.number(&format!("/{kind}_j"))));
        let label = "Energy of each epoch by kind of component";
        return Some((true, stacked(label, Scale::Count, columns, (Amount::Energy, error(run)))?));
    }
    let columns = epoch_columns(&epochs, |epoch| [epoch.number("/duration_s"), None, None, None]);
    let mut drawn = stacked("Time of each epoch", Scale::Count, columns, (Amount::Time, None))?;
    drawn.kinds.clear();
    drawn.chart.shapes.iter_mut().for_each(|shape| shape.paint(PLAIN));
    Some((false, drawn))
}

/// The forecast and its interval against the number of epochs, and the outcome.
pub fn forecasts(run: &JsonView) -> Option<Drawn> {
    let list = run.list("/forecasts");
    let of = if list.iter().any(|then| then.has("/energy_j")) { "energy_j" } else { "duration_s" };
    let points: Vec<[f64; 4]> = list
        .iter()
        .filter_map(|then| {
            let number = |bound: &str| then.number(&format!("/{of}/{bound}"));
            Some([then.number("/after_epochs")?, number("value")?, number("low")?, number("high")?])
        })
        .collect();
    let (first, last) = (points.first()?[0], points.last()?[0]);
    if first == last {
        return None; // one point shows no course
    }
    let outcome = run.number(&format!("/usage/{of}")).filter(|_| has_outcome(run));
    let most = points.iter().map(|[.., high]| *high).fold(outcome.unwrap_or(0.0), f64::max);
    let least = points.iter().map(|[_, _, low, _]| *low).fold(most, f64::min);
    let unit = DisplayUnit::of(if of == "energy_j" { Amount::Energy } else { Amount::Time }, most);
    let scale = if last > 50.0 * first { Scale::Magnitude } else { Scale::Count };
    let line = |of: fn(&[f64; 4]) -> f64| points.iter().map(move |point| (point[0], unit.amount(of(point))));
    let upper = line(|[.., high]| *high);
    let lower: Vec<(f64, f64)> = line(|[_, _, low, _]| *low).collect();
    let mut shapes = Vec::new();
    shapes.push(Shape::Area(PLAIN, 0.25, upper.chain(lower.into_iter().rev()).collect()));
    shapes.push(Shape::Line(PLAIN, line(|[_, value, ..]| *value).collect()));
    shapes.push(Shape::Dots(PLAIN, line(|[_, value, ..]| *value).collect()));
    let level = |outcome: f64| vec![(first, unit.amount(outcome)), (last, unit.amount(outcome))];
    shapes.extend(outcome.map(|outcome| Shape::Dashed(OUTCOME, level(outcome))));
    let label =
        format!("Forecast of the whole run's {} against epochs seen", if of == "energy_j" { "energy" } else { "time" });
    let y = (unit.amount(least * 0.95), unit.amount(most));
    Some(plain(&label, (scale, first, last), y, unit.name, shapes))
}

/// Whether all planned epochs have ended, or all of the run's work is done.
pub fn is_whole(run: &JsonView) -> bool {
    let number = |pointer: &str| run.number(pointer).unwrap_or(0.0);
    let is_planned = number("/run/epochs_planned") > 0.0 && number("/run/epochs_done") >= number("/run/epochs_planned");
    is_planned || number("/forecast/after_share") >= 1.0
}

/// Whether there is an outcome to compare the forecast with: exactly the planned epochs have ended.
pub fn has_outcome(run: &JsonView) -> bool {
    is_whole(run) && run.number("/run/epochs_done") == run.number("/run/epochs_planned")
}

/// Carbon intensity of the grid by the hour; None: it did not change.
pub fn intensity(run: &JsonView) -> Option<Drawn> {
    const LEAST_CHANGE: f64 = 0.01;
    let pieces = hours(run)?;
    let least = pieces.iter().map(|(.., g)| *g).fold(f64::MAX, f64::min);
    // Figures from before a resume may be missing.
    let lines = pieces.chunk_by(|(_, to, _), (from, ..)| from == to);
    let line = |pieces: &[(f64, f64, f64)]| pieces.iter().flat_map(|&(from, to, g)| [(from, g), (to, g)]).collect();
    let most = pieces.iter().map(|(.., g)| *g).fold(0.0, f64::max);
    if most - least <= LEAST_CHANGE * most {
        return None;
    }
    let x = (Scale::Clock, pieces.first()?.0, pieces.last()?.1);
    let shapes = lines.map(|pieces| Shape::Line(PLAIN, line(pieces))).collect();
    Some(plain("The grid's carbon intensity over the run", x, (0.0, most), "gCO2e/kWh", shapes))
}

/// Cumulative emissions by time; None: one intensity holds, so they only follow the energy.
pub fn emitted(run: &JsonView) -> Option<Drawn> {
    intensity(run)?;
    let columns = power_columns(run)?;
    let (flat, pue) = (run.number("/intensity/g_per_kwh")?, run.number("/pue")?);
    let hours = hours(run).unwrap_or_default();
    let mut sum = 0.0;
    let mut line = vec![(columns.first()?.from, 0.0)];
    for column in &columns {
        let watts: f64 = column.amounts.iter().flatten().sum();
        let kwh = watts * (column.to - column.from) / J_PER_KWH * pue;
        sum += kwh * mean(&hours, column.from, column.to).unwrap_or(flat);
        line.push((column.to, sum));
    }
    let unit = DisplayUnit::of(Amount::Grams, sum);
    let x = (Scale::Clock, columns.first()?.from, columns.last()?.to);
    let line: Vec<(f64, f64)> = line.into_iter().map(|(at, grams)| (at, unit.amount(grams))).collect();
    let floor = [(x.2, 0.0), (x.1, 0.0)];
    let area = Shape::Area(PLAIN, 0.25, line.iter().copied().chain(floor).collect());
    let shapes = vec![area, Shape::Line(PLAIN, line)];
    Some(plain("CO2e emitted since the run began", x, (0.0, unit.amount(sum)), unit.name, shapes))
}

/// A chart that is not by kind.
fn plain(label: &str, x: (Scale, f64, f64), y: (f64, f64), unit: &'static str, shapes: Vec<Shape>) -> Drawn {
    Drawn { chart: Chart { label: label.into(), x, y, shapes, hints: Vec::new() }, unit, kinds: Vec::new() }
}

/// Pieces of intensity: begin and end, s since 1970, and g/kWh.
fn hours(run: &JsonView) -> Option<Vec<(f64, f64, f64)>> {
    let hours = run.part("/intensity/hours");
    let (from, to, g) = (hours.column("/from")?, hours.column("/to")?, hours.column("/g_per_kwh")?);
    let pieces = from.into_iter().zip(to).zip(g);
    Some(pieces.filter_map(|((from, to), g)| Some((from?, to?, g?))).collect())
}

/// The mean intensity of pieces over a time, g/kWh; None: no piece is in it.
fn mean(pieces: &[(f64, f64, f64)], from: f64, to: f64) -> Option<f64> {
    let within = pieces.iter().map(|&(begin, end, g)| (g, end.min(to) - begin.max(from))).filter(|(_, s)| *s > 0.0);
    let (weighted, seconds) = within.fold((0.0, 0.0), |(sum, all), (g, s)| (sum + g * s, all + s));
    (seconds > 0.0).then(|| weighted / seconds)
}

fn power_columns(run: &JsonView) -> Option<Vec<Column>> {
    let power = run.part("/power");
    let (from, to) = (power.column("/from")?, power.column("/to")?);
    let watts = KINDS.map(|(kind, ..)| power.column(&format!("/{kind}_w")));
    let columns = from.into_iter().zip(to).enumerate().filter_map(|(n, (from, to))| {
        let amounts = watts.each_ref().map(|column| *column.as_ref()?.get(n)?);
        let (from, to) = (from?, to?);
        let clock = |at: f64| instant(at).and_then(|at| Some(at.get(11..19)?.to_owned())).unwrap_or_default();
        Some(Column { from, to, amounts, what: format!("{} to {} UTC", clock(from), clock(to)) })
    });
    Some(columns.collect())
}

/// A column for each epoch, or for neighbours if there are many epochs: then it is their mean.
fn epoch_columns(epochs: &[JsonView], amounts: impl Fn(&JsonView) -> Amounts) -> Vec<Column> {
    let spans: Vec<(f64, f64, Amounts)> = epochs
        .iter()
        .filter_map(|epoch| {
            let (index, count) = (epoch.number("/index")?, epoch.number("/count")?);
            Some((index, index + count, amounts(epoch)))
        })
        .collect();
    let spacing = if spans.len() <= MAX_SPACED_COLUMNS { 0.1 } else { 0.0 };
    let column = |group: &[(f64, f64, Amounts)]| {
        let (from, to) = (group.first()?.0, group.last()?.1);
        let mean = |kind: usize| {
            let known = group.iter().filter_map(|(from, to, of)| Some((of.get(kind).copied()??, to - from)));
            let (sum, count) = known.fold((0.0, 0.0), |(sum, all), (amount, count)| (sum + amount, all + count));
            (count > 0.0).then(|| sum / count)
        };
        let what = match to - from {
            count if count > 1.0 => format!("epochs {} to {to}, each", from + 1.0),
            _ => format!("epoch {to}"),
        };
        // The centre of an epoch's column is the epoch's number, from 1.
        Some(Column { from: from + 0.5 + spacing, to: to + 0.5 - spacing, amounts: [0, 1, 2, 3].map(mean), what })
    };
    groups(&spans, |(from, to, _)| (*from, *to), MAX_COLUMNS).into_iter().filter_map(column).collect()
}

/// The height of the highest stack.
fn top(columns: &[Column]) -> f64 {
    columns.iter().map(|column| column.amounts.iter().flatten().sum::<f64>()).fold(0.0, f64::max)
}

/// Stacked columns: each kind is an area, with gaps where its amount is unknown or time is missing.
fn stacked(label: &str, scale: Scale, columns: Vec<Column>, (amount, error): Shown) -> Option<Drawn> {
    let unit = DisplayUnit::of(amount, top(&columns));
    let mut shapes = Vec::new();
    let mut kinds = Vec::new();
    for (kind, (.., colour)) in KINDS.into_iter().enumerate() {
        let mut open: Vec<(f64, f64, f64, f64)> = Vec::new();
        let drawn = shapes.len();
        let opacity = if amount == Amount::Power { POWER_OPACITY } else { OPACITY };
        for column in &columns {
            let base: f64 = column.amounts.iter().take(kind).flatten().sum();
            let amount = column.amounts.get(kind).copied().flatten();
            let is_joined =
                open.last().is_none_or(|(_, to, ..)| (column.from - to).abs() <= (column.to - column.from) * 0.01);
            if amount.is_none() || !is_joined {
                shapes.extend(area((colour, opacity), &std::mem::take(&mut open)));
            }
            let top = |amount: f64| (column.from, column.to, unit.amount(base), unit.amount(base + amount));
            open.extend(amount.map(top));
        }
        shapes.extend(area((colour, opacity), &open));
        kinds.extend((shapes.len() > drawn).then_some(kind));
    }
    let room = if scale == Scale::Count { 0.2 } else { 0.0 };
    let x = (scale, columns.first()?.from - room, columns.last()?.to + room);
    let hint = |column: &Column| {
        let known = column.amounts.iter().flatten().copied().reduce(|a, b| a + b)?;
        Some((column.from, column.to, format!("{}: {}", column.what, amount.alone(known, error))))
    };
    let hints = columns.iter().filter_map(hint).collect();
    let chart = Chart { label: label.into(), x, y: (0.0, unit.amount(top(&columns))), shapes, hints };
    Some(Drawn { chart, unit: unit.name, kinds })
}

/// The area between a floor and a ceiling, from spans of (from, to, floor, ceiling).
fn area((colour, opacity): (Colour, f64), spans: &[(f64, f64, f64, f64)]) -> Option<Shape> {
    let ceiling = spans.iter().flat_map(|&(from, to, _, ceiling)| [(from, ceiling), (to, ceiling)]);
    let floor = spans.iter().rev().flat_map(|&(from, to, floor, _)| [(to, floor), (from, floor)]);
    (!spans.is_empty()).then(|| Shape::Area(colour, opacity, ceiling.chain(floor).collect()))
}

#[cfg(test)]
mod tests;
