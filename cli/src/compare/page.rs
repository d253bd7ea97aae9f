//! A comparison as a page. Pure.

use super::notes::notes;
use super::show::{ComparedQuantity, QUANTITIES, converted, differences, spreads, verdict};
use super::sides::{CommonGrid, ComparedSide};
use super::spread::{Difference, NoiseVerdict, Spread};
use crate::export::exported_run::EnergyOrigin;
use carbontracker::report::html::{TableHead, blocks, framed};
use carbontracker::units::{Amount, DisplayUnit, digits, two_digits};
use maud::{Markup, html};

/// The kind of amount of each quantity.
const AMOUNTS: [Amount<'static>; QUANTITIES.len()] = [Amount::Energy, Amount::Grams, Amount::Time, Amount::Energy];
/// The quantities with bars: energy, time, energy an epoch. CO2e differs as energy does.
const WITH_BARS: [(usize, &str); 3] = [(0, "Energy"), (2, "Time"), (3, "Energy an epoch")];

/// A quantity of all sides, in one unit.
struct Column {
    /// "energy, Wh".
    title: String,
    /// A time is measured, also where the energy is estimated.
    is_time: bool,
    unit: DisplayUnit<'static>,
    spreads: Vec<Option<Spread>>,
}

/// The page.
pub fn page(sides: &[ComparedSide], grid: CommonGrid) -> String {
    let first = sides.first().map_or("", |side| side.label.as_str());
    let title = match sides {
        [_, other] => format!("{} compared with {first}", other.label),
        _ => format!("{} sides compared with {first}", sides.len().saturating_sub(1)),
    };
    let columns = columns(sides, grid);
    let content = html! {
        h1 { (title) }
        @if let Some((first, others)) = sides.split_first() {
            @for (side, (_, differences)) in others.iter().zip(differences(sides, grid)) {
                p.lead { (sentence(side, first, &differences)) }
            }
        }
        p { @for origin in origins(sides) { span.badge { (origin) } " " } }
        @for (place, head) in WITH_BARS {
            @if let Some(column) = columns.get(place).filter(|column| column.spreads.iter().any(Option::is_some)) {
                h2 { (head) }
                (bars(sides, column))
            }
        }
        @if sides.iter().any(|side| side.runs.len() > 1) {
            p.soft { "The line on a bar is the noise: one standard deviation of the repeated runs to each side of their mean." }
        }
        h2 { "All values" }
        (values(sides, &columns))
        p.soft { (converted(grid)) "." }
        h2 { "Differences" }
        (changes(sides, first, grid))
        @let notes = notes(sides);
        @if !notes.is_empty() {
            h2 { "Notes" }
            ul { @for note in &notes { li { (note) } } }
        }
    };
    framed(&title, content).into_string()
}

fn columns(sides: &[ComparedSide], grid: CommonGrid) -> Vec<Column> {
    let all: Vec<_> = sides.iter().map(|side| spreads(side, grid)).collect();
    let column = |((place, (head, ..)), amount): ((usize, ComparedQuantity), Amount<'static>)| {
        let spreads: Vec<Option<Spread>> = all.iter().map(|of| of.get(place).copied().flatten()).collect();
        let most = spreads.iter().flatten().map(|spread| spread.mean).fold(0.0, f64::max);
        let unit = DisplayUnit::of(amount, most);
        let head = if head == "an epoch" { "energy an epoch" } else { head };
        Column { title: format!("{head}, {}", unit.name), is_time: matches!(amount, Amount::Time), unit, spreads }
    };
    QUANTITIES.into_iter().enumerate().zip(AMOUNTS).map(column).collect()
}

/// How a side differs from the first, and whether that is more than noise.
fn sentence(side: &ComparedSide, first: &ComparedSide, differences: &[Option<Difference>]) -> Markup {
    // Runs of different length compare by their epochs.
    let epochs = [side, first].into_iter().flat_map(|side| &side.runs).map(|run| run.entry.epochs);
    let is_alike = epochs.clone().min() == epochs.max();
    let (energy, begin, of) = if is_alike { (0, "", "of") } else { (3, "An epoch of ", "of an epoch of") };
    let by_preference = [(energy, begin, "used", "the energy", of), (2, "", "took", "the time", "of")];
    let known =
        |(place, begin, verb, what, of)| Some((differences.get(place).copied().flatten()?, begin, verb, what, of));
    let Some((difference, begin, verb, what, of)) = by_preference.into_iter().find_map(known) else {
        return html! { "How " strong { (side.label) } " differs from " (first.label) " is unknown." };
    };
    let is_estimated = verb == "used" && (side.error().is_some() || first.error().is_some());
    let about = if is_estimated { "about " } else { "" };
    let share = difference.ratio.map_or("an unknown share of".into(), |ratio| match ratio {
        ratio if ratio < 0.995 => format!("{} % of", two_digits(ratio * 100.0)),
        ratio if ratio < 1.005 => "1.00 times".into(),
        ratio => format!("{} times", if is_estimated { two_digits(ratio) } else { digits(ratio) }),
    });
    let noise = match difference.verdict() {
        NoiseVerdict::Larger => "The difference is larger than the noise of repeated runs.",
        NoiseVerdict::Within => "Noise alone could give such a difference.",
        NoiseVerdict::Unknown => "Whether this is more than noise is unknown: each side needs two runs or more.",
    };
    html! {
        (begin) strong { (side.label) } " " (verb) " " (about) strong { (share) " " (what) } " " (of) " " (first.label) ". " (noise)
    }
}

/// How the energy of the sides was determined.
fn origins(sides: &[ComparedSide]) -> Vec<&'static str> {
    let mut origins: Vec<&str> = sides.iter().filter_map(ComparedSide::origin).map(EnergyOrigin::word).collect();
    origins.sort_unstable();
    origins.dedup();
    origins
}

/// A bar for each side, with its noise.
fn bars(sides: &[ComparedSide], column: &Column) -> Markup {
    let Column { title, spreads, .. } = column;
    let upper = |spread: &Spread| spread.mean + spread.deviation.unwrap_or_default();
    let most = spreads.iter().flatten().map(upper).fold(f64::MIN_POSITIVE, f64::max);
    let percent = |part: f64| (part / most * 100.0).clamp(0.0, 100.0);
    let heads = [TableHead::Text("side"), TableHead::Number(title), TableHead::Bar];
    let rows = html! {
        @for (side, spread) in sides.iter().zip(spreads) {
            tr {
                th.long scope="row" { (side.label) }
                td.n data-label=(title) { (shown(side, column, *spread)) }
                td.bar {
                    @if let Some(spread) = spread {
                        span style=(format!("width:{:.1}%", percent(spread.mean))) {}
                        @if let Some(deviation) = spread.deviation {
                            @let (from, to) = (percent(spread.mean - deviation), percent(spread.mean + deviation));
                            i.noise style=(format!("margin-left:{from:.1}%;width:{:.1}%", to - from)) {}
                        }
                    }
                }
            }
        }
    };
    blocks(&heads, rows)
}

/// The mean with its deviation, in the unit of the column.
fn shown(side: &ComparedSide, Column { is_time, unit, .. }: &Column, spread: Option<Spread>) -> Markup {
    let is_estimated = side.error().is_some() && !is_time;
    let (about, written) = if is_estimated { ("≈ ", two_digits as fn(f64) -> String) } else { ("", digits as _) };
    html! {
        @match spread {
            None => { span.unknown { "unknown" } }
            Some(spread) => {
                (about) (written(unit.amount(spread.mean)))
                @if let Some(deviation) = spread.deviation { " ± " (two_digits(unit.amount(deviation))) }
            }
        }
    }
}

/// A row for each side, with one unit a column.
fn values(sides: &[ComparedSide], columns: &[Column]) -> Markup {
    let mut heads = vec![TableHead::Text("side"), TableHead::Number("runs")];
    heads.extend(columns.iter().map(|column| TableHead::Number(&column.title)));
    let rows = html! {
        @for (place, side) in sides.iter().enumerate() {
            tr {
                th.long scope="row" { (side.label) }
                td.n data-label="runs" { (side.runs.len()) }
                @for column in columns {
                    td.n data-label=(column.title) { (shown(side, column, column.spreads.get(place).copied().flatten())) }
                }
            }
        }
    };
    blocks(&heads, rows)
}

/// A row for each other side and quantity: the factor and the verdict.
fn changes(sides: &[ComparedSide], first: &str, grid: CommonGrid) -> Markup {
    let factor = format!("compared with {first}");
    let heads =
        [TableHead::Text("side"), TableHead::Text("quantity"), TableHead::Number(&factor), TableHead::Text("verdict")];
    let rows = html! {
        @for (label, differences) in differences(sides, grid) {
            @for (place, head) in WITH_BARS {
                @let difference = differences.get(place).copied().flatten();
                tr {
                    th.long scope="row" { (label) }
                    td data-label="quantity" { @if place == 0 { "Energy and CO2e" } @else { (head) } }
                    td.n data-label=(factor) {
                        @match difference.and_then(|difference| difference.words()) {
                            Some(words) => { (words) }
                            None => { span.unknown { "unknown" } }
                        }
                    }
                    td data-label="verdict" { @if let Some(difference) = &difference { (verdict(difference).replace("p < ", "p\u{a0}<\u{a0}")) } }
                }
            }
        }
    };
    blocks(&heads, rows)
}
