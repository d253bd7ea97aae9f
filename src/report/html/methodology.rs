//! How a run was measured, in words that can go into a paper's appendix.

use super::json_view::{JsonView, percent, whole, whole_percent};
use crate::measurement::channel::ErrorBand;
use crate::measurement::source_name::SourceName;
use crate::units::{digits, duration, times};
use maud::{Markup, html};

const ESTIMATE: &str = "an estimate and no measurement: a processor by its busy cores and the thermal design power of its \
    model, memory by its size";

/// A source of energy in words, and which kind of reading it is where it has two.
fn source(name: &str, method: &str) -> String {
    let by = |counter: &str, power: &str| if method == "counter" { counter.to_owned() } else { power.to_owned() };
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
        SourceName::Hwmon if method == "counter" => "the energy counters of the board (hwmon)".into(),
        SourceName::Hwmon => "the power sensors of the board (hwmon), 10 times a second, integrated over time".into(),
        SourceName::PmCounters => "HPE Cray's energy counters of the node (pm_counters)".into(),
        SourceName::Battery => "the gauge of the discharging battery".into(),
        SourceName::CpuModel | SourceName::MemoryModel => ESTIMATE.into(),
        SourceName::Simulated => "a simulated device: these figures are by definition and not measured".into(),
        SourceName::Search => format!("the source {name}"),
    }
}

/// The section.
pub fn section(run: &JsonView) -> Markup {
    let is_ours = run.has("/run/version") && !run.has("/run/imported");
    html! {
        h2 { "How it was measured" }
        @if is_ours { (time_and_energy(run)) } @else { (read_from_logs(run)) }
        @if is_ours && !run.list("/components").is_empty() {
            (sources(run))
            (left_out(run))
        }
        (carbon(run))
        @if is_ours { (forecast(run)) }
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
            (extent(run)) ". They tell no more of how it was measured than the table and the notes above."
        }
    }
}

fn time_and_energy(run: &JsonView) -> Markup {
    html! {
        p {
            "Time and energy were determined with the C library carbontracker " (run.words("/run/version"))
            ", which does what Carbontracker (Anthony, Kanding and Selvan, 2020) does for Python, "
            @if run.ranks().is_some() { "by " } @else { "on " }
            (run.place().unwrap_or("a machine without a name".into()))
            @if run.has("/run/resumed") { " (the last of the run's processes)" }
            ", from the begin of the first epoch to the end of the last: " (extent(run)) "."
            @if run.has("/run/resumed") { " The time between the run's processes is not in it." }
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

/// When devices were read.
fn readings(run: &JsonView) -> Markup {
    /// Marks closer than this share a reading, s.
    const APART_S: f64 = 0.01;
    let epoch_s = run.number("/usage/epochs/duration_s").zip(run.number("/run/epochs_done")).map(|(s, n)| s / n);
    let has_counter = run.list("/components").iter().any(|device| device.text("/method") == Some("counter"));
    html! {
        "Devices were read at the begin and the end of each epoch"
        @if epoch_s.is_some_and(|epoch_s| epoch_s < APART_S) { " (of those within 10 ms together)" }
        @if run.has("/run/interval_s") { " and every " (run.shown("/run/interval_s", duration)) " in between" }
        @if has_counter { "; by a counter an epoch's energy is the difference of its counts at the epoch's own instants" }
        "."
    }
}

/// Which devices, by which source.
fn sources(run: &JsonView) -> Markup {
    type CountByMethod<'a> = (&'a str, &'a str, Option<ErrorBand>);
    let mut by_source: Vec<(CountByMethod, Vec<&str>)> = Vec::new();
    for device in run.list("/components") {
        let by = (device.words("/source"), device.words("/method"), device.error("/error"));
        let name = device.words("/device");
        match by_source.iter_mut().find(|(known, _)| *known == by) {
            Some((_, names)) => names.push(name),
            None => by_source.push((by, vec![name])),
        }
    }
    html! {
        ul {
            @for ((name, method, error), devices) in by_source {
                li { (listed(devices.into_iter())) ": by " (source(name, method)) (off(error)) "." }
            }
        }
        @if run.has("/usage/coverage") && is_measured(run) {
            p {
                "Readings confirm " (run.shown("/usage/coverage", percent))
                " of the run's time (the least of all devices). What a counter went on counting while it could not be "
                "read is in the energy; what a power sensor missed for long is not."
            }
        }
    }
}

/// How far off an estimate may be, in words.
fn off(error: Option<ErrorBand>) -> String {
    error.map_or(String::new(), |band| {
        let [low, high] = [band.low, band.high].map(times);
        format!("; in nine cases of ten the truth lies between {low} and {high} times its figure")
    })
}

/// "A, B and 8 × C".
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

/// Whether any device was, and not all estimated or simulated.
fn is_measured(run: &JsonView) -> bool {
    let devices = run.list("/components");
    devices
        .iter()
        .any(|device| device.text("/source") != Some("simulated") && device.text("/method") != Some("estimate"))
}

fn left_out(run: &JsonView) -> Markup {
    let devices = run.list("/components");
    let has = |kind: &str| devices.iter().any(|device| device.text("/kind") == Some(kind));
    let parts = [("cpu", "processors"), ("gpu", "GPUs"), ("dram", "memory")];
    let absent = listed(parts.into_iter().filter(|(kind, _)| !has(kind) && !has("node")).map(|(_, words)| words));
    html! {
        p {
            @if has("node") {
                "Not included: what the node's own meter does not reach (it may leave out power supplies, fans and "
                "disks), the network and the making of the devices"
            } @else {
                "Not included: power supplies, fans, disks, the network and the making of the devices"
            }
            @if !absent.is_empty() { "; nor " (absent) ", of which nothing was measured" }
            "."
            @if is_measured(run) { " A device's energy is that of all who used it meanwhile, other programs too." }
        }
    }
}

fn carbon(run: &JsonView) -> Markup {
    html! {
        p {
            @if run.has("/pue") {
                "Facility energy is the devices' energy times a PUE of " (run.shown("/pue", digits))
                @if run.has("/facility/pue") {
                    ", which is that of " (run.words("/facility/region")) @if let Some(year) = run.number("/facility/pue_year") { " in " (year) }
                    ", " (run.words("/facility/source"))
                }
                @if run.number("/pue") == Some(1.0) { ", that is without cooling and conversion" }
                ". "
            } @else {
                "The PUE is not known. "
            }
            "CO2e is facility energy times the carbon intensity of the grid: "
            (intensity(&run.part("/intensity"), run.has("/run/resumed"))) "."
        }
    }
}

fn intensity(intensity: &JsonView, is_resumed: bool) -> Markup {
    let figure = html! { (intensity.shown("/g_per_kwh", digits)) " gCO2e/kWh" };
    let basis = match intensity.text("/basis") {
        Some("lifecycle") => ", over the life cycle of the power plants and their fuel",
        Some("direct") => ", direct emissions of the power plants only",
        _ => "",
    };
    let scope = match intensity.text("/use") {
        Some("production") => ", of what is produced there",
        Some("consumption") => ", of what is consumed there",
        _ => "",
    };
    let source = html! { (basis) (scope) ", from " (intensity.text("/source").unwrap_or("an unknown source")) };
    match intensity.text("/kind") {
        Some("constant") => html! { (figure) ", as given by the user" },
        Some("file" | "live") => html! {
            "each hour's energy at that hour's figure"
            @if let Some(zone) = intensity.text("/zone") { " for " (zone) }
            (source) "; in the mean " (figure)
            @if intensity.has("/coverage") {
                ". " (intensity.shown("/coverage", percent)) " of the energy"
                @if is_resumed { " since the run was last taken up" }
                " had a figure of its own hour"
            }
            @if intensity.has("/metered_share") {
                ", " (intensity.shown("/metered_share", percent)) " one that is no estimate or forecast"
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

fn forecast(run: &JsonView) -> Markup {
    html! {
        @if run.has("/forecast") {
            p {
                "The forecast keeps what was used and projects what remains at the present pace of the epochs, their "
                "warm-up counted once; its interval is meant to hold the outcome of "
                (run.shown("/forecast/level", whole_percent)) " of runs."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_are_counted() {
        assert_eq!(listed(["A"].into_iter()), "A");
        assert_eq!(listed(["A", "B", "B", "C", "B"].into_iter()), "A, 3 × B and C");
        assert_eq!(listed([].into_iter()), "");
    }
}
