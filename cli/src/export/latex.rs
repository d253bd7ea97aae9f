//! Sentences for a paper in LaTeX with siunitx: those of the Carbontracker paper, and one on the method. Pure.

use super::exported_run::{EnergyOrigin, ExportedRuns, plain};
use crate::aggregate::citation::{CITATION, grid, program, pue};
use crate::report_files::{number, word};
use carbontracker::report::equivalents;
use carbontracker::units::ErrorBand;

/// The sentences. An error: the energy of all runs is unknown.
pub fn sentences(runs: &ExportedRuns) -> Result<String, String> {
    let totals = &runs.totals;
    let kwh = totals.facility_kwh.value().ok_or(
        "the energy of these runs is unknown; nothing is exported; 'carbontracker doctor' shows what cannot be measured",
    )?;
    let mass = totals.co2eq_g.value().map(|grams| {
        let error = totals.co2eq_g.error();
        let driven = driven(grams).map(|(km, source)| {
            format!(
                "\nThis is equivalent to {} travelled by car ({}).",
                si(km, error, r"\kilo\metre"),
                escaped(&source)
            )
        });
        format!(" contributing to {} of CO$_2$eq.{}", si(grams / 1e3, error, r"\kilo\gram"), driven.unwrap_or_default())
    });
    let mass = mass.unwrap_or_else(|| ".\nIts CO$_2$eq is unknown.".into());
    let energy = si(kwh, totals.facility_kwh.error(), r"\kilo\watt\hour");
    let lines = [
        r"% \usepackage{siunitx}".to_owned(),
        format!("The training of models in this work is estimated to use {energy} of electricity{mass}"),
        method(runs),
    ];
    let entry: String = CITATION.lines().map(|line| format!("% {line}\n")).collect();
    Ok(lines.into_iter().chain(intervals(runs)).chain(lacking(runs)).collect::<Vec<_>>().join("\n") + "\n" + &entry)
}

/// The way by car with the same emissions, km, and the source of the figure.
fn driven(grams: f64) -> Option<(f64, String)> {
    let all = equivalents(Some(grams), None);
    let car = all.as_array()?.iter().find(|one| word(one, "/unit").is_some_and(|unit| unit.starts_with("km in a")))?;
    Some((number(car, "/value")?, word(car, "/source")?.to_owned()))
}

/// The sentence on PUE, place, source and reference.
fn method(runs: &ExportedRuns) -> String {
    let totals = &runs.totals;
    let places = runs.places();
    let within = if places.is_empty() { String::new() } else { format!(" in {}", escaped(&places.join(" and "))) };
    let grids: Vec<String> = totals.intensities.iter().map(|one| escaped(&grid(one))).collect();
    let intensity = if grids.is_empty() { "unknown".into() } else { grids.join("; ") };
    let how = match EnergyOrigin::of(totals) {
        Some(EnergyOrigin::Simulated) => "simulated, not measured,",
        Some(EnergyOrigin::Unknown) | None => "determined",
        Some(origin) => origin.word(),
    };
    format!(
        "The energy was {how} with {}~\\cite{{anthony2020carbontracker}}{within}, with a PUE of {} and \
         a carbon intensity from: {intensity}.",
        program(totals, escaped),
        escaped(&pue(totals))
    )
}

/// The sentence on the intervals of estimates.
fn intervals(runs: &ExportedRuns) -> Option<String> {
    let ErrorBand { low, high } = runs.totals.facility_kwh.error()?;
    let (low, high) = (plain(low, None), plain(high, None));
    Some(format!("These are estimates: the true values are between {low} and {high} times them in nine cases of ten."))
}

/// The sentence on runs that the amounts lack.
fn lacking(runs: &ExportedRuns) -> Option<String> {
    let totals = &runs.totals;
    let lacks = [("energy", totals.without_energy), ("CO$_2$eq", totals.without_co2eq)];
    let sentences = lacks
        .into_iter()
        .filter(|(_, unknown)| *unknown > 0)
        .map(|(what, unknown)| format!("The {what} of {unknown} of {} runs is unknown and not included.", totals.runs));
    Some(sentences.collect::<Vec<_>>().join(" ")).filter(|all| !all.is_empty())
}

/// An amount with its unit.
fn si(value: f64, error: Option<ErrorBand>, unit: &str) -> String {
    format!("\\SI{{{}}}{{{unit}}}", plain(value, error))
}

/// A text in which no character is a command of LaTeX.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '\\' => r"\textbackslash{}".to_owned(),
        '~' => r"\textasciitilde{}".to_owned(),
        '^' => r"\textasciicircum{}".to_owned(),
        // The default encoding of fonts has other signs at these places.
        '|' => r"\textbar{}".to_owned(),
        '<' => r"\textless{}".to_owned(),
        '>' => r"\textgreater{}".to_owned(),
        c if c.is_control() => " ".to_owned(),
        '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{c}"),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_command() {
        assert_eq!(
            escaped("a_b\\input{x}%$&#~^|<>\n="),
            r"a\_b\textbackslash{}input\{x\}\%\$\&\#\textasciitilde{}\textasciicircum{}\textbar{}\textless{}\textgreater{} ="
        );
    }
}
