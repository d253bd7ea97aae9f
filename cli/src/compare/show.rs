//! A comparison as text, Markdown and JSON. Pure.

use super::notes::notes;
use super::sides::{CommonGrid, ComparedSide};
use super::spread::{Difference, LEVEL, NoiseVerdict, Spread};
use crate::export::exported_run::EnergyOrigin;
use crate::table;
use carbontracker::units::{Amount, ErrorBand, digits, duration, two_digits};
use serde_json::{Value, json};

/// Version of the JSON's layout.
const LAYOUT: u8 = 1;

/// The head of a quantity's column, its name in JSON, and how a value is written.
pub type ComparedQuantity = (&'static str, &'static str, fn(f64, Option<ErrorBand>) -> String);

pub const QUANTITIES: [ComparedQuantity; 4] = [
    ("energy", "energy_j", |joules, error| Amount::Energy.alone(joules, error)),
    ("CO2e", "co2eq_g", |grams, error| Amount::Grams.alone(grams, error)),
    ("time", "duration_s", |seconds, _| duration(seconds)),
    ("an epoch", "epoch_energy_j", |joules, error| Amount::Energy.alone(joules, error)),
];

/// The spreads of a side, in the order of `QUANTITIES`.
pub fn spreads(side: &ComparedSide, grid: CommonGrid) -> [Option<Spread>; QUANTITIES.len()] {
    [side.energy_j(), side.co2eq_g(grid), side.duration_s(), side.epoch_j()]
}

/// The differences of the other sides from the first.
pub fn differences(sides: &[ComparedSide], grid: CommonGrid) -> Vec<(&str, [Option<Difference>; QUANTITIES.len()])> {
    let Some((first, others)) = sides.split_first() else { return Vec::new() };
    let first = spreads(first, grid);
    let between = |side: &ComparedSide| {
        let mut other = spreads(side, grid).into_iter();
        first.map(|first| {
            let other = other.next().flatten();
            Some(Difference::between(&first?, &other?))
        })
    };
    others.iter().map(|side| (side.label.as_str(), between(side))).collect()
}

/// A row for each side.
fn rows(sides: &[ComparedSide], grid: CommonGrid, label: fn(&str) -> String) -> Vec<[String; 6]> {
    let [energy, mass, time, epoch] = QUANTITIES.map(|(head, _, _)| head.to_owned());
    let mut rows = vec![["side".to_owned(), "runs".to_owned(), energy, mass, time, epoch]];
    for side in sides {
        let error = side.error();
        let mut values = spreads(side, grid).into_iter().zip(QUANTITIES).map(|(spread, (_, _, shown))| {
            let Some(spread) = spread else { return "unknown".to_owned() };
            let deviation = spread.deviation.map(|deviation| match deviation / spread.mean {
                share if share < 1.0 => format!(" ± {} %", two_digits(share * 100.0)),
                _ => format!(" ± {}", shown(deviation, None)),
            });
            shown(spread.mean, error) + &deviation.unwrap_or_default()
        });
        let mut next = || values.next().unwrap_or_default();
        rows.push([label(&side.label), side.runs.len().to_string(), next(), next(), next(), next()]);
    }
    rows
}

/// The differences in words: quantity, factor and verdict. CO2e differs as energy does.
fn lines(differences: &[Option<Difference>; QUANTITIES.len()]) -> Vec<[String; 3]> {
    let heads = ["energy and CO2e", "", "time", "energy an epoch"];
    let known = differences.iter().zip(heads).filter(|(_, head)| !head.is_empty());
    let line = |(difference, head): (&Option<Difference>, &str)| {
        let (factor, verdict) = match difference {
            None => ("unknown".to_owned(), String::new()),
            Some(difference) => (difference.words().unwrap_or("unknown".into()), verdict(difference)),
        };
        [head.to_owned(), factor, verdict]
    };
    known.map(line).collect()
}

/// Whether a difference is larger than the noise, in words.
pub fn verdict(difference: &Difference) -> String {
    let p = difference.p.map_or(String::new(), |p| match p {
        p if p < 0.001 => " (p < 0.001)".into(),
        p => format!(" (p = {p:.3})"),
    });
    match difference.verdict() {
        NoiseVerdict::Larger => format!("larger than the noise of repeated runs{p}"),
        NoiseVerdict::Within => format!("within the noise of repeated runs{p}"),
        NoiseVerdict::Unknown => "the noise is unknown: a side has fewer than two known values".into(),
    }
}

/// The intensity and PUE of the CO2e.
pub fn converted(grid: CommonGrid) -> String {
    let pue = grid.pue.map_or("without PUE".into(), |pue| format!("at PUE {pue}"));
    match grid.g_per_kwh {
        Some(figure) => format!("CO2e of all sides at {} g/kWh, {pue}; energy is that of the devices", digits(figure)),
        None => "CO2e unknown: the first run has no carbon intensity; give one with --intensity G".into(),
    }
}

/// As text.
pub fn text(sides: &[ComparedSide], grid: CommonGrid) -> String {
    let mut text = table::text(&rows(sides, grid, str::to_owned));
    text += &format!("{}\n", converted(grid));
    let first = sides.first().map(|side| side.label.as_str()).unwrap_or_default();
    for (label, differences) in differences(sides, grid) {
        text += &format!("\n{label}, compared with {first}:\n");
        for [head, factor, verdict] in lines(&differences) {
            text += format!("  {head:<15}  {factor:<8}  {verdict}").trim_end();
            text.push('\n');
        }
    }
    let notes: String = notes(sides).iter().map(|note| format!("note: {note}\n")).collect();
    if notes.is_empty() { text } else { format!("{text}\n{notes}") }
}

/// As Markdown.
pub fn markdown(sides: &[ComparedSide], grid: CommonGrid) -> String {
    let mut text =
        format!("### Energy and CO2e\n\n{}\n{}.\n", table::markdown(&rows(sides, grid, table::code)), converted(grid));
    let first = sides.first().map(|side| table::code(&side.label)).unwrap_or_default();
    for (label, differences) in differences(sides, grid) {
        text += &format!("\n{} compared with {first}:\n\n", table::code(label));
        for [head, factor, verdict] in lines(&differences) {
            let verdict = if verdict.is_empty() { verdict } else { format!(", {verdict}") };
            text += &format!("- {head}: **{factor}**{verdict}\n");
        }
    }
    let notes: String = notes(sides).iter().map(|note| format!("- Note: {}\n", table::code(note))).collect();
    if notes.is_empty() { text } else { format!("{text}\n{notes}") }
}

/// As JSON.
pub fn json(sides: &[ComparedSide], grid: CommonGrid) -> String {
    let side = |side: &ComparedSide| {
        let mut json = json!({
            "name": side.label,
            "runs": side.runs.len(),
            "ids": side.runs.iter().map(|run| run.entry.id.as_str()).collect::<Vec<_>>(),
            "origin": side.origin().map(EnergyOrigin::word),
            "error": side.error().map(ErrorBand::json),
        });
        let spreads = spreads(side, grid).map(|spread| spread.map(|spread| spread.json()));
        insert(&mut json, spreads);
        json
    };
    let difference = |(label, differences): (&str, [Option<Difference>; QUANTITIES.len()])| {
        let mut json = json!({"name": label});
        insert(&mut json, differences.map(|difference| difference.map(|difference| difference.json())));
        json
    };
    let whole = json!({
        "schema": LAYOUT,
        "g_per_kwh": grid.g_per_kwh,
        "pue": grid.pue,
        "sides": sides.iter().map(side).collect::<Vec<_>>(),
        "compared_with": sides.first().map(|side| side.label.as_str()),
        "level": LEVEL,
        "differences": differences(sides, grid).into_iter().map(difference).collect::<Vec<_>>(),
        "notes": notes(sides),
    });
    format!("{whole:#}\n")
}

/// Adds a field for each quantity.
fn insert(json: &mut Value, values: [Option<Value>; QUANTITIES.len()]) {
    for ((_, name, _), value) in QUANTITIES.into_iter().zip(values) {
        json.as_object_mut().into_iter().for_each(|fields| drop(fields.insert(name.into(), json!(value))));
    }
}
