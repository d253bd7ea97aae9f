//! Sentences for a paper: what the runs used, how it was measured, and the citation.

use super::run_entry::IntensityOrigin;
use super::totals::{Range, Totals};
use carbontracker::carbon::intensity::zones::{ZoneCountry, country};
use carbontracker::units::{Amount, ErrorBand, J_PER_KWH, digits, times};
use std::collections::BTreeSet;

/// The paper of Carbontracker, in BibTeX.
pub const CITATION: &str = "\
@misc{anthony2020carbontracker,
  title  = {Carbontracker: Tracking and Predicting the Carbon Footprint of Training Deep Learning Models},
  author = {Lasse F. Wolff Anthony and Benjamin Kanding and Raghavendra Selvan},
  note   = {ICML Workshop on Challenges in Deploying and Monitoring Machine Learning Systems, arXiv:2007.03051},
  month  = {July},
  year   = {2020}
}
";

/// The form of the text for a paper.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CitationForm {
    /// One sentence with energy, CO2e and place, and the BibTeX entry
    Short,
    /// Also the method, its error and the source of the carbon intensity
    Full,
    /// The short sentence without the BibTeX entry
    Plain,
}

impl CitationForm {
    /// The sentences, and the entry if the form has it.
    pub fn text(self, totals: &Totals) -> (String, Option<&'static str>) {
        match self {
            CitationForm::Short => (short(totals), Some(CITATION)),
            CitationForm::Full => (sentences(totals), Some(CITATION)),
            CitationForm::Plain => (short(totals), None),
        }
    }
}

/// One sentence: energy, emissions, place, and what is unknown.
pub fn short(totals: &Totals) -> String {
    let device_kwh = totals.energy_j.value().map(|joules| joules / J_PER_KWH);
    let Some(kwh) = totals.facility_kwh.value().or(device_kwh) else {
        return format!("The energy of {} is not known.", runs(totals));
    };
    let words = |value: f64, amount: Amount, error: Option<ErrorBand>| match error {
        Some(band) => format!("{} ({})", amount.rough(value, band), amount.interval(value, band)),
        None => amount.exact(value),
    };
    let error = totals.facility_kwh.error().or(totals.energy_j.error());
    let energy = words(kwh * J_PER_KWH, Amount::Energy, error);
    let is_simulated = totals.shares().any(|(method, _)| method == "simulated");
    let how = match (is_simulated, error) {
        (true, _) => "a simulated ",
        (false, Some(_)) => "an estimated ",
        (false, None) => "",
    };
    // Emissions are always estimated, since no one measures the grid's carbon intensity at the socket.
    let carbon = totals.co2eq_g.value().map(|grams| {
        let grams = words(grams, Amount::Grams, totals.co2eq_g.error());
        format!("an estimated {grams} of CO2eq{}{}", places(totals), origin(totals))
    });
    let carbon = carbon.unwrap_or("an unknown amount of CO2eq".into());
    let lacking = lacking(totals, &["energy", "CO2eq"]).map_or(String::new(), |lacking| format!(" {lacking}"));
    let pue = pue(totals);
    format!(
        "The computations for this work took {how}{energy} of electricity (PUE {pue}) and emitted {carbon}.{lacking}"
    )
}

/// Where the runs took place: " in Denmark and France".
fn places(totals: &Totals) -> String {
    const MOST: usize = 3;
    let zones: BTreeSet<&str> = totals.intensities.iter().filter_map(|one| one.zone.as_deref()).collect();
    let known = zones.iter().filter(|zone| **zone != "WORLD");
    let names: BTreeSet<String> = known.map(|zone| place(zone)).collect();
    let names: Vec<String> = names.into_iter().collect();
    match names.len() {
        0 => String::new(),
        count if count > MOST => format!(" in {count} places"),
        _ => format!(" in {}", names.join(" and ")),
    }
}

/// A zone in words: "California, United States"; its code if no table has it.
pub fn place(zone: &str) -> String {
    match country(zone) {
        Some(ZoneCountry { name, part: Some(part), .. }) => format!("{part}, {name}"),
        Some(ZoneCountry { name, .. }) => name.to_owned(),
        None => zone.to_owned(),
    }
}

/// The carbon intensity and its source: " (114 g/kWh, Ember, 2025)".
fn origin(totals: &Totals) -> String {
    let Some(range) = totals.g_per_kwh.known() else { return String::new() };
    let of = |one: &IntensityOrigin| {
        let name = match one.kind.as_deref() {
            Some("constant") => Some("given by the authors"),
            _ if one.zone.as_deref() == Some("WORLD") => Some("average of the world"),
            _ => one.source.as_deref(),
        };
        let year = one.year.map(|year| year.to_string());
        name.into_iter().chain(year.as_deref()).collect::<Vec<_>>().join(", ")
    };
    let sources: BTreeSet<String> = totals.intensities.iter().map(of).filter(|source| !source.is_empty()).collect();
    let mut sources = sources.into_iter();
    // Several sources stand in the full form.
    let only = sources.next().filter(|_| sources.next().is_none());
    let only = only.map_or(String::new(), |source| format!(", {source}"));
    format!(" ({} g/kWh{only})", shown(range, digits))
}

/// The sentences: energy and emissions, the method, the intensity, and what is unknown.
pub fn sentences(totals: &Totals) -> String {
    let Some(used) = used(totals) else {
        return format!("The energy of {} is not known.", runs(totals));
    };
    let sentences = [Some(used), how(totals), converted(totals), lacking(totals, &["time", "energy", "CO2eq"])];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The runs in words: "one run of 8 ranks". Ranks that could not be merged are "processes".
fn runs(totals: &Totals) -> String {
    let of_ranks = if totals.has_jobs() { format!(" of {} ranks", totals.ranks) } else { String::new() };
    match (totals.runs, totals.counted_elsewhere) {
        (1, _) => format!("one run{of_ranks}"),
        (count, 0) => format!("the {count} runs{of_ranks}"),
        (count, _) => format!("the {count} processes"),
    }
}

/// Energy and emissions; None if the energy is unknown.
fn used(totals: &Totals) -> Option<String> {
    let device_kwh = totals.energy_j.value().map(|joules| joules / J_PER_KWH);
    let kwh = totals.facility_kwh.value().or(device_kwh)?;
    let error = totals.facility_kwh.error().or(totals.energy_j.error());
    let devices = if totals.is_measured() { "measured devices" } else { "devices" };
    let amount = Amount::Of("kWh");
    let of = match (totals.pue.known(), device_kwh) {
        (Some(Range { most: 1.0, .. }), _) => {
            format!("of the {devices}, without the data centre's overhead (PUE 1)")
        }
        (_, Some(device_kwh)) => {
            format!("({} of the devices; PUE {})", amount.alone(device_kwh, totals.energy_j.error()), pue(totals))
        }
        (_, None) => format!("(PUE {})", pue(totals)),
    };
    let hours = totals.duration_s.value().map(|seconds| format!(", {} hours in all,", digits(seconds / 3600.0)));
    let carbon = totals.co2eq_g.value().map_or("unknown amount of CO2eq".into(), |grams| {
        let (kg, error, mass) = (Amount::Of("kg"), totals.co2eq_g.error(), grams / 1e3);
        match error {
            Some(band) => format!("{} of CO2eq ({})", kg.rough(mass, band), kg.interval(mass, band)),
            None => format!("{} of CO2eq", kg.exact(mass)),
        }
    });
    let stated = error.map_or(String::new(), |_| {
        let (low, high) = (times(ErrorBand::UNSTATED.low), times(ErrorBand::UNSTATED.high));
        let assumed = match totals.assumed {
            0 => String::new(),
            _ => format!(" Where an estimate states no error, {low} to {high} times its value is assumed."),
        };
        format!(" The intervals contain the true value in nine cases of ten.{assumed}")
    });
    let machine = if totals.has_jobs() { "node" } else { "machine" };
    let on = match (totals.hostless, totals.hosts.len()) {
        (0, 1) => format!(" on one {machine}"),
        (0, hosts) => format!(" on {hosts} {machine}s"),
        _ => String::new(),
    };
    Some(format!(
        "For this work, {}{on}{} used {} of electricity {of}, contributing an estimated {carbon}.{stated}",
        runs(totals),
        hours.unwrap_or_default(),
        amount.with(kwh, error)
    ))
}

/// "carbontracker 0.1.0", with each version as `shown`; without a version if none is known.
pub fn program(totals: &Totals, shown: impl Fn(&str) -> String) -> String {
    let versions: Vec<String> = totals.versions.iter().map(|version| shown(version)).collect();
    if versions.is_empty() { "carbontracker".into() } else { format!("carbontracker {}", versions.join(" and ")) }
}

/// The PUE of the runs.
pub fn pue(totals: &Totals) -> String {
    totals.pue.known().map_or("unknown".into(), |pue| shown(pue, |pue| pue.to_string()))
}

/// "a" or "a to b".
pub fn shown(range: Range, show: impl Fn(f64) -> String) -> String {
    let [least, most] = [range.least, range.most].map(show);
    if least == most { least } else { format!("{least} to {most}") }
}

/// How the energy was determined, with shares.
pub fn shares(totals: &Totals) -> String {
    let error = totals
        .estimated
        .error()
        .map(|band| format!(": between {} and {} times that in nine cases of ten", times(band.low), times(band.high)));
    let words = |name: &str| match name {
        "counter" => "measured by the hardware's energy counters".to_owned(),
        "power" => "measured as power over time".to_owned(),
        "estimate" => {
            let error = error.as_deref().unwrap_or(", with no error stated");
            format!("estimated from the device's load and design power, not measured{error}")
        }
        "simulated" => "simulated, not measured".to_owned(),
        _ => "of unknown origin".to_owned(),
    };
    let shares: Vec<(&str, f64)> = totals.shares().collect();
    let all: Vec<String> = match shares.as_slice() {
        [(name, _)] => vec![words(name)],
        shares => shares.iter().map(|(name, share)| format!("{} {}", percent(*share), words(name))).collect(),
    };
    all.join(", ")
}

fn percent(share: f64) -> String {
    if share < 0.001 { "under 0.1 %".into() } else { format!("{:.1} %", share * 100.0) }
}

/// The sentence on the method.
fn how(totals: &Totals) -> Option<String> {
    let program = program(totals, str::to_owned);
    let shares = Some(shares(totals)).filter(|shares| !shares.is_empty());
    let coverage = totals.coverage().map(|share| format!("readings cover {:.1} % of the time", share * 100.0));
    let all: Vec<String> = shares.into_iter().chain(coverage).collect();
    let all = if all.is_empty() { String::new() } else { format!(": {}", all.join("; ")) };
    // Imported runs have versions of Python's Carbontracker.
    let is_ours = totals.versions.iter().all(|version| version == env!("CARGO_PKG_VERSION"));
    let which = if is_ours { ", the C library that follows Python's Carbontracker" } else { "" };
    Some(format!("The energy was determined with {program}{which} (Anthony, Kanding and Selvan 2020){all}."))
}

/// The sentence on the carbon intensity.
fn converted(totals: &Totals) -> Option<String> {
    let range = totals.g_per_kwh.known()?;
    let figures = shown(range, digits);
    let grids: Vec<String> = totals.intensities.iter().map(grid).collect();
    let bases: BTreeSet<&str> =
        totals.intensities.iter().map(|one| one.basis.as_deref().unwrap_or("unknown")).collect();
    let mixed = if bases.len() > 1 {
        let bases: Vec<&str> = bases.into_iter().collect();
        format!(" These have different bases ({}), which the sum mixes.", bases.join(", "))
    } else {
        String::new()
    };
    Some(format!("CO2eq is computed with {figures} g/kWh ({}).{mixed}", grids.join("; ")))
}

/// "DK, 2025, lifecycle, yearly average".
pub fn grid(intensity: &IntensityOrigin) -> String {
    let kind = intensity.kind.as_deref().map(|kind| match kind {
        "static" => "yearly average",
        "constant" => "a figure given by the authors",
        "live" => "by the hour, from a live service",
        "file" => "by the hour, from a file",
        other => other,
    });
    let year = intensity.year.map(|year| year.to_string());
    let parts = [intensity.zone.as_deref(), year.as_deref(), intensity.basis.as_deref(), kind];
    let source = intensity.source.as_deref().filter(|_| intensity.kind.as_deref() != Some("constant"));
    let known: Vec<&str> = parts.into_iter().chain([source]).flatten().collect();
    if known.is_empty() { "of unknown origin".into() } else { known.join(", ") }
}

/// The sentence on what is unknown of these.
fn lacking(totals: &Totals, of: &[&str]) -> Option<String> {
    let lacks = [("time", totals.without_duration), ("energy", totals.without_energy), ("CO2eq", totals.without_co2eq)];
    let lacks = lacks.into_iter().filter(|(what, unknown)| *unknown > 0 && of.contains(what));
    let sentences = lacks.map(|(what, unknown)| {
        format!("The {what} of {unknown} of the {} runs is unknown and not included.", totals.runs)
    });
    Some(sentences.collect::<Vec<_>>().join(" ")).filter(|sentences| !sentences.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::run_entry::RunEntry;
    use serde_json::{Value, json};

    fn run(method: &str, error: Value, zone: &str) -> RunEntry {
        let component = json!({"kind": "gpu", "method": method, "energy_j": 3.6e6, "error": error,
            "status": if method == "simulated" { "simulated" } else { "ok" }});
        let report = json!({
            "run": {"id": zone, "epochs_done": 1},
            "usage": {"duration_s": null, "energy_j": 3.6e6, "facility_energy_kwh": 1.3, "co2eq_g": 148.2, "error": error},
            "intensity": {"kind": "static", "zone": zone, "year": 2025, "source": "Ember", "g_per_kwh": 114.0},
            "pue": 1.3, "components": [component],
        });
        RunEntry::of(String::new(), &report).unwrap()
    }

    #[test]
    fn short_sentence_says_how_the_energy_is_known() {
        let measured = run("counter", Value::Null, "DK");
        assert_eq!(
            short(&Totals::of([&measured])),
            "The computations for this work took 1.30 kWh of electricity (PUE 1.3) and emitted an estimated 148 g of \
             CO2eq in Denmark (114 g/kWh, Ember, 2025)."
        );
        let estimated = run("estimate", json!({"low": 0.5, "high": 2.0}), "FR");
        assert_eq!(
            short(&Totals::of([&estimated])),
            "The computations for this work took an estimated 1.3 kWh (0.65 to 2.6 kWh) of electricity (PUE 1.3) and \
             emitted an estimated 150 g (74 to 300 g) of CO2eq in France (114 g/kWh, Ember, 2025)."
        );
        assert!(short(&Totals::of([&run("simulated", Value::Null, "DK")])).contains("took a simulated 1.30 kWh"));
        let both = Totals::of([&measured, &estimated]);
        assert!(short(&both).contains("in Denmark and France (114 g/kWh, Ember, 2025)"), "{}", short(&both));
    }

    #[test]
    fn unknown_time_is_left_out_of_the_short_and_named_in_the_full_sentences() {
        let totals = Totals::of([&run("counter", Value::Null, "DK")]);
        let full = sentences(&totals);
        assert!(full.starts_with("For this work, one run used 1.30 kWh"), "{full}");
        assert!(full.contains("The time of 1 of the 1 runs is unknown"), "{full}");
        assert!(!short(&totals).contains("unknown"), "{}", short(&totals));
    }
}
