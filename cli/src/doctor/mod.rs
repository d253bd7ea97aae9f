//! What can be measured here, and what would help.

mod checks;

use crate::console::{Done, print, refuse};
use crate::option_args::Given;
use carbontracker::measurement::channel::ErrorBand;
use carbontracker::measurement::source_name::SourceName;
use carbontracker::options::Options;
use carbontracker::options::environment;
use carbontracker::os;
use carbontracker::run_files::config::RunFilesConfig;
use carbontracker::tracker::Tracker;
use carbontracker::units::{Amount, digits};
use checks::Check;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// How long the live reading takes: counters step every millisecond to tenth of a second.
const READING: Duration = Duration::from_secs(1);
/// How much longer where a counter has yet to move: one without a sign of life is known by then, and what stands in for it.
const MORE: Duration = Duration::from_secs(3);

const HELP: &str = "\
It makes a tracker as a program would, by the same options and environment, and measures one second, or four where a counter does not move. Then it lists what is
measured, with the power of that time; what is not, with the reason and the command that helps; what of this machine
matters for that; and the carbon intensity in effect. Nothing is changed, and nothing asked of the network, unless an option
asks for a live service.

  carbontracker doctor
  carbontracker doctor -o 'location=DK intensity=energidataservice' --log-dir logs
  carbontracker doctor --json | jq '.components[] | {source, mean_power_w}'

Exit status: 0 something is measured, 3 there is only an estimate, a simulation or nothing; 1 the library is turned off, or
could not start; 2 wrong arguments or options.";

/// Tell what can be measured here, why the rest cannot, and what helps
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Doctor {
    #[command(flatten)]
    given: Given,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Looks, and prints what it found.
    pub fn call(self) -> Done {
        let text = self.given.with(&[]);
        let options = match Options::parse(&text, os::variable) {
            Ok(options) => options,
            Err(error) => return refuse(&error.message),
        };
        if environment::is_disabled(os::variable) {
            return Err("CARBONTRACKER_DISABLE is set: nothing is measured. Cure: unset CARBONTRACKER_DISABLE".into());
        }
        let checks = checks::all(&options);
        // It leaves no files, and looks at devices that another process of this job may be counting.
        let mut options = options;
        options.job = Some("off".into());
        options.files = RunFilesConfig { name: options.files.name, ..RunFilesConfig::default() };
        let tracker = match Tracker::start(options) {
            Ok(tracker) => tracker,
            Err(error) => return refuse(&error.message),
        };
        let reading = tracker.begin().and_then(|_| {
            std::thread::sleep(READING);
            if is_doubted(&tracker.report("json")?) {
                std::thread::sleep(MORE);
            }
            tracker.end()?;
            tracker.report("json")
        });
        tracker.destroy();
        let report: Value = reading
            .map_err(|error| error.message)
            .and_then(|report| serde_json::from_str(&report).map_err(|error| error.to_string()))?;
        let found = found(&report, &checks);
        print(&if self.json { format!("{found:#}\n") } else { in_words(&found) })?;
        const NOTHING_MEASURED: u8 = 3;
        Ok(if is_measured(&found) { ExitCode::SUCCESS } else { ExitCode::from(NOTHING_MEASURED) })
    }
}

/// All that was found: of the report what matters here, under its names.
fn found(report: &Value, checks: &[Check]) -> Value {
    let of = |name: &str| report.get(name).cloned().unwrap_or_default();
    let names =
        |section: &str| -> Vec<String> { list(report, section).map(|one| text(one, "source").into()).collect() };
    let known = [names("components"), names("unavailable")].concat();
    let aside: Vec<&str> = SourceName::ALL
        .map(SourceName::as_str)
        .into_iter()
        .filter(|source| !known.iter().any(|one| one == source))
        .collect();
    let checks: Value = checks.iter().map(Check::json).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "host": report.pointer("/run/host"),
        "duration_s": report.pointer("/usage/duration_s"),
        "components": of("components"),
        "unavailable": of("unavailable"),
        "not_needed": aside,
        "checks": checks,
        "intensity": of("intensity"),
        "pue": of("pue"),
        "notes": of("notes"),
    })
}

/// Whether a device answers and has no energy yet.
fn is_doubted(report: &str) -> bool {
    let report: Value = serde_json::from_str(report).unwrap_or_default();
    let is_quiet = |one: &Value| matches!(text(one, "status"), "ok" | "stalled");
    list(&report, "components").any(|one| is_quiet(one) && one.get("energy_j").is_none_or(Value::is_null))
}

/// Whether a real device's own figures are there.
fn is_measured(found: &Value) -> bool {
    let is_real = |one: &Value| text(one, "method") != "estimate" && text(one, "status") != "simulated";
    list(found, "components").any(|one| is_real(one) && one.get("energy_j").is_some_and(Value::is_number))
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn in_words(found: &Value) -> String {
    let verdict = if is_measured(found) { "this machine's energy is measured" } else { "nothing here is measured" };
    let mut lines = vec![format!("carbontracker {} on {}: {verdict}", text(found, "version"), text(found, "host"))];
    let mut section = |heading: &str, of: Vec<String>| {
        if !of.is_empty() {
            lines.push(format!("\n{heading}:"));
            lines.extend(of.into_iter().map(|line| format!("  {line}")));
        }
    };
    section("power, over the seconds measured", list(found, "components").flat_map(component).collect());
    section("not measured", unavailable(found));
    section("this machine", list(found, "checks").flat_map(check).collect());
    section("carbon intensity", intensity(found));
    lines.push(String::new());
    lines.join("\n")
}

fn component(one: &Value) -> Vec<String> {
    let watts = one.get("mean_power_w").and_then(Value::as_f64);
    let error = ErrorBand::read(one.get("error"));
    let watts = watts.map_or("unknown".into(), |watts| Amount::Of("W").with(watts, error));
    let [kind, device, id, method, source] = ["kind", "device", "id", "method", "source"].map(|key| text(one, key));
    let mut lines = vec![format!("{kind:<5} {watts:>8}  {device} ({id}), {method} by {source}")];
    lines.extend(one.get("note").and_then(Value::as_str).map(|note| format!("                {note}")));
    lines
}

/// First what something can be done about.
fn unavailable(found: &Value) -> Vec<String> {
    let (curable, other): (Vec<&Value>, Vec<&Value>) =
        list(found, "unavailable").partition(|one| one.get("cure").is_some_and(Value::is_string));
    let with_cure = |one: &&Value| {
        [format!("{}: {}", text(one, "source"), text(one, "reason")), format!("  cure: {}", text(one, "cure"))]
    };
    let mut lines: Vec<String> = curable.iter().flat_map(with_cure).collect();
    lines.extend(other.iter().map(|one| format!("{}: {}", text(one, "source"), text(one, "reason"))));
    let aside: Vec<&str> = list(found, "not_needed").filter_map(Value::as_str).collect();
    if !aside.is_empty() {
        lines.push(format!("not needed, or not asked for: {}", aside.join(", ")));
    }
    lines
}

fn check(one: &Value) -> Vec<String> {
    let mark = match one.get("ok").and_then(Value::as_bool) {
        Some(true) => "ok",
        Some(false) => "no",
        None => "--",
    };
    let mut lines = vec![format!("{mark}  {}: {}", text(one, "name"), text(one, "finding"))];
    lines.extend(one.get("cure").and_then(Value::as_str).map(|cure| format!("      cure: {cure}")));
    lines
}

fn intensity(found: &Value) -> Vec<String> {
    let of = found.get("intensity").cloned().unwrap_or_default();
    let figure = of.get("g_per_kwh").and_then(Value::as_f64).map_or("unknown".into(), digits);
    let year = of.get("year").and_then(Value::as_u64).map(|year| year.to_string()).unwrap_or_default();
    let words =
        [text(&of, "zone"), &year, text(&of, "kind"), text(&of, "basis"), text(&of, "use"), text(&of, "source")];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let mut lines = vec![format!("{figure} g/kWh ({})", words.join(", "))];
    lines.extend(list(found, "notes").filter_map(Value::as_str).map(|note| format!("note: {note}")));
    lines
}
