//! How a run was measured, in words for a paper's appendix.

use super::json_view::{JsonView, percent, whole, whole_percent};
use crate::measurement::channel::MeasuringMethod;
use crate::measurement::source_name::SourceName;
use crate::units::ErrorBand;
use crate::units::{digits, duration, times};
use maud::{Markup, html};

const ESTIMATE: &str = "an estimate, not a measurement: a processor from its busy cores and the thermal design power of its \
    model, memory from its size";

/// A source of energy in words. Some sources have two methods.
fn source(name: &str, method: Option<MeasuringMethod>) -> String {
    let is_counter = method == Some(MeasuringMethod::Counter);
    let by = |counter: &str, power: &str| if is_counter { counter.to_owned() } else { power.to_owned() };
    // A file of a newer version may name a source that this version does not know.
    let Ok(source) = name.parse() else { return format!("the source {name}") };
    match source {
        SourceName::Rapl => "the processor's energy counters (RAPL), read through Linux powercap".into(),
        SourceName::PerfRapl => "the processor's energy counters (RAPL), read as perf events".into(),
        SourceName::Nvml => by(
            "NVIDIA's driver (NVML), from the GPU's energy counter",
            "NVIDIA's driver (NVML), from the GPU's power sensor, 20 times a second, integrated over time",
        ),
        SourceName::Amdgpu => by(
            "AMD's GPU driver, from the card's energy counter",
            "AMD's GPU driver, from the card's power sensor, 10 times a second, integrated over time",
        ),
        SourceName::IntelGpu => by(
            "Intel's GPU driver, from the card's energy counter",
            "Intel's GPU driver, from the card's power sensor, integrated over time",
        ),
        SourceName::Hwmon => by(
            "the energy counters of the board (hwmon)",
            "the power sensors of the board (hwmon), 10 times a second, integrated over time",
        ),
        SourceName::PmCounters => "HPE Cray's energy counters of the node (pm_counters)".into(),
        SourceName::Battery => "the gauge of the discharging battery".into(),
        SourceName::CpuModel | SourceName::MemoryModel => ESTIMATE.into(),
        SourceName::Simulated => "a simulated device: its figures are defined by the user and not measured".into(),
        SourceName::Search => format!("the source {name}"),
    }
}

/// The section on how the run was measured.
pub fn section(run: &JsonView) -> Markup {
    let is_own = run.has("/run/version") && !run.has("/run/imported");
    html! {
        h2 { "How it was measured" }
        @if is_own { (time_and_energy(run)) } @else { (read_from_logs(run)) }
        @if is_own && !run.list("/components").is_empty() {
            (sources(run))
            (left_out(run))
        }
        (carbon(run))
        @if is_own { (forecast(run)) }
        p.soft {
            "Carbontracker: L. F. W. Anthony, B. Kanding and R. Selvan, “Carbontracker: Tracking and Predicting the "
            "Carbon Footprint of Training Deep Learning Models”, ICML Workshop on Challenges in Deploying and "
            "Monitoring Machine Learning Systems, 2020, "
            a href="https://arxiv.org/abs/2007.03051" { "arXiv:2007.03051" } "."
        }
    }
}

/// "3 epochs in 2.00 s".
fn extent(run: &JsonView) -> Markup {
    let epochs = if run.number("/run/epochs_done") == Some(1.0) { "epoch" } else { "epochs" };
    html! { (run.shown("/run/epochs_done", whole)) " " (epochs) " in " (run.shown("/usage/duration_s", duration)) }
}

fn read_from_logs(run: &JsonView) -> Markup {
    html! {
        p {
            "These figures are read from logs in the format of Carbontracker (Anthony, Kanding and Selvan, 2020): "
            (extent(run)) ". The logs state nothing else on how it was measured; see the table and the notes above."
        }
    }
}

fn time_and_energy(run: &JsonView) -> Markup {
    html! {
        p {
            "Time and energy were determined with the C library carbontracker " (run.words("/run/version"))
            ", a counterpart of Carbontracker for Python (Anthony, Kanding and Selvan, 2020), "
            @if run.ranks().is_some() { "by " } @else { "on " }
            (run.place().unwrap_or("an unnamed machine".into()))
            @if run.has("/run/resumed") { " (the last process of the run)" }
            ", from the begin of the first epoch to the end of the last: " (extent(run)) "."
            @if run.has("/run/resumed") { " The time between the processes of the run is not included." }
            @if run.is_counted_elsewhere() {
                " The energy of its devices is in the report of another process of its job."
            } @else if run.list("/components").is_empty() {
                " No energy was measured."
            } @else {
                " Energy used between epochs is included. "
                @if run.ranks().is_some() { "On each node one rank at a time counts each device; energies are sums over ranks. " }
                (readings(run))
            }
        }
    }
}

/// The sentence on the times at which devices were read.
fn readings(run: &JsonView) -> Markup {
    /// Marks that are closer than this share a reading, s.
    const MIN_APART_S: f64 = 0.01;
    let epoch_s = run.number("/usage/epochs/duration_s").zip(run.number("/run/epochs_done")).map(|(s, n)| s / n);
    let has_counter = run.list("/components").iter().any(|device| device.method() == Some(MeasuringMethod::Counter));
    html! {
        "Devices were read at the begin and the end of each epoch"
        @if epoch_s.is_some_and(|epoch_s| epoch_s < MIN_APART_S) { " (once for all within 10 ms)" }
        @if run.has("/run/interval_s") { " and every " (run.shown("/run/interval_s", duration)) " in between" }
        @if has_counter { "; with a counter, an epoch's energy is the difference of its counts at the begin and the end of the epoch" }
        "."
    }
}

/// The devices by source, and the coverage.
fn sources(run: &JsonView) -> Markup {
    type SourceAndMethod<'a> = (&'a str, Option<MeasuringMethod>, Option<ErrorBand>);
    let mut by_source: Vec<(SourceAndMethod, Vec<&str>)> = Vec::new();
    for device in run.list("/components") {
        let by = (device.words("/source"), device.method(), device.error("/error"));
        let name = device.words("/device");
        match by_source.iter_mut().find(|(known, _)| *known == by) {
            Some((_, names)) => names.push(name),
            None => by_source.push((by, vec![name])),
        }
    }
    html! {
        ul {
            @for ((name, method, error), devices) in by_source {
                li { (listed(devices.into_iter())) ": by " (source(name, method)) (error_words(error)) "." }
            }
        }
        @if run.has("/usage/coverage") && is_measured(run) {
            p {
                "Readings confirm " (run.shown("/usage/coverage", percent))
                " of the run's time (the lowest value of all devices). The energy includes what a counter counted while it "
                "could not be read. It does not include longer gaps of a power sensor."
            }
        }
    }
}

/// The error interval of an estimate in words.
fn error_words(error: Option<ErrorBand>) -> String {
    error.map_or(String::new(), |band| {
        let [low, high] = [band.low, band.high].map(times);
        format!("; in nine cases of ten the truth is {low} to {high} times its figure")
    })
}

/// A list of names, as "A, B and 8 × C".
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counted.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counted.push((name, 1)),
        }
    }
    let many = |(name, n): (&str, usize)| if n == 1 { name.to_owned() } else { format!("{n} × {name}") };
    let words: Vec<String> = counted.into_iter().map(many).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// Whether any device was measured, neither estimated nor simulated.
fn is_measured(run: &JsonView) -> bool {
    let is_measured = |device: &JsonView| !device.is_simulated() && device.method() != Some(MeasuringMethod::Estimate);
    run.list("/components").iter().any(is_measured)
}

/// The sentence on what the energy does not include.
fn left_out(run: &JsonView) -> Markup {
    let devices = run.list("/components");
    let has = |kind: &str| devices.iter().any(|device| device.text("/kind") == Some(kind));
    let parts = [("cpu", "processors"), ("gpu", "GPUs"), ("dram", "memory")];
    let absent = listed(parts.into_iter().filter(|(kind, _)| !has(kind) && !has("node")).map(|(_, words)| words));
    html! {
        p {
            @if has("node") {
                "Not included: parts that the node's own meter does not cover (it may exclude power supplies, fans and "
                "disks), the network and the making of the devices"
            } @else {
                "Not included: power supplies, fans, disks, the network and the making of the devices"
            }
            @if !absent.is_empty() { "; also not " (absent) ", which were not measured" }
            "."
            @if is_measured(run) { " A device's energy includes all programs that used it during the run." }
        }
    }
}

/// The sentences on the facility's energy and the emissions.
fn carbon(run: &JsonView) -> Markup {
    html! {
        p {
            @if run.has("/pue") {
                "Facility energy is the devices' energy times a PUE of " (run.shown("/pue", digits))
                @if run.has("/facility/pue") {
                    ", which is that of " (run.words("/facility/region")) @if let Some(year) = run.number("/facility/pue_year") { " in " (year) }
                    ", " (run.words("/facility/source"))
                }
                @if run.number("/pue") == Some(1.0) { ", which excludes cooling and power conversion" }
                ". "
            } @else {
                "The PUE is not known. "
            }
            "CO2e is facility energy times the carbon intensity of the grid: "
            (intensity(&run.part("/intensity"), run.has("/run/resumed"))) "."
        }
    }
}

/// The intensity in words.
fn intensity(intensity: &JsonView, is_resumed: bool) -> Markup {
    let figure = html! { (intensity.shown("/g_per_kwh", digits)) " gCO2e/kWh" };
    let basis = match intensity.text("/basis") {
        Some("lifecycle") => ", including the life cycle of the power plants and their fuel",
        Some("direct") => ", direct emissions of the power plants only",
        _ => "",
    };
    let scope = match intensity.text("/use") {
        Some("production") => ", of the production there",
        Some("consumption") => ", of the consumption there",
        _ => "",
    };
    let source = html! { (basis) (scope) ", from " (intensity.text("/source").unwrap_or("an unknown source")) };
    match intensity.text("/kind") {
        Some("constant") => html! { (figure) ", as given by the user" },
        Some("file" | "live") => html! {
            "the energy of each hour is converted at the figure of that hour"
            @if let Some(zone) = intensity.text("/zone") { " for " (zone) }
            (source) "; in the mean " (figure)
            @if intensity.has("/coverage") {
                ". " (intensity.shown("/coverage", percent)) " of the energy"
                @if is_resumed { " since the run was last resumed" }
                " had a figure of its own hour"
            }
            @if intensity.has("/metered_share") {
                ", " (intensity.shown("/metered_share", percent)) " had one that is not an estimate or a forecast"
            }
        },
        None => html! { (figure) @if let Some(source) = intensity.text("/source") { ", " (source) } },
        _ => html! {
            (figure) ", the yearly average of " (intensity.text("/zone").unwrap_or("an unknown zone"))
            @if let Some(year) = intensity.number("/year") { " in " (year) }
            (source)
        },
    }
}

/// The sentence on the forecast.
fn forecast(run: &JsonView) -> Markup {
    html! {
        @if run.has("/forecast") {
            p {
                "The forecast is the use up to now plus a projection of the rest at the present pace of the epochs, with one "
                "warm-up; its interval is meant to hold the outcome of "
                (run.shown("/forecast/level", whole_percent)) " of runs."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_words() {
        for name in SourceName::ALL.map(SourceName::as_str) {
            assert!(!source(name, None).starts_with("the source "), "{name}");
        }
    }

    #[test]
    fn equal_names_are_counted() {
        assert_eq!(listed(["A"].into_iter()), "A");
        assert_eq!(listed(["A", "B", "B", "C", "B"].into_iter()), "A, 3 × B and C");
        assert_eq!(listed([].into_iter()), "");
    }
}
