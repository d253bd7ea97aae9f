//! Shows what can be measured on this machine, and how to enable the rest.

mod checks;
mod fix;
mod on_path;

use crate::console::{Done, print, refuse};
use crate::option_args::OptionArgs;
use crate::wrap;
use ::console::{Style, Term};
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::measurement::source_name::SourceName;
use carbontracker::options::Options;
use carbontracker::options::environment;
use carbontracker::os;
use carbontracker::report::text::place_name;
use carbontracker::run_files::config::RunFilesConfig;
use carbontracker::tracker::Tracker;
use carbontracker::units::ErrorBand;
use carbontracker::units::{Amount, digits};
use checks::Check;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Length of the measurement. Counters step every 1 to 100 ms.
const MEASUREMENT: Duration = Duration::from_secs(1);
/// Extra time if a counter has not moved yet. By then the library knows a stalled counter, and its replacement.
const EXTRA_MEASUREMENT: Duration = Duration::from_secs(3);

const HELP: &str = "\
It makes a tracker as a program would, with the same options and environment, and measures for 1 s, or for 4 s if a
counter does not move. Then it lists what is measured, with its power; what is not, with the reason and the command that
helps; what matters on this machine; and the carbon intensity in effect. It uses no network unless an option asks for a
live service, and changes nothing without --fix.

With --fix it measures nothing. It lets all users read the processor's energy counters (RAPL): it shows the file of
udev that it would write, and asks. It needs root.

  carbontracker doctor
  carbontracker doctor -o 'location=DK intensity=energidataservice' --log-dir logs
  carbontracker doctor --json | jq '.components[] | {source, mean_power_w}'
  sudo carbontracker doctor --fix

Exit status: 0 something is measured, or --fix is done; 3 there is only an estimate, a simulation or nothing; 1 the
library is turned off or could not start, or --fix changed nothing; 2 wrong arguments or options.";

/// Show what can be measured here, why the rest cannot, and how to enable it
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct DoctorArgs {
    #[command(flatten)]
    options: OptionArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Let all users read the processor's energy counters, after a question
    #[arg(long, conflicts_with = "json")]
    fix: bool,
    /// Agree to --fix without the question
    #[arg(long, requires = "fix")]
    yes: bool,
}

impl DoctorArgs {
    /// Measures, checks the machine and prints the findings.
    pub fn call(self) -> Done {
        let text = self.options.with(&[]);
        let options = match Options::load(&text, os::variable) {
            Ok(options) => options,
            Err(error) => return refuse(&error.message),
        };
        if self.fix {
            return fix::fix(&options.measurement.sysroot, self.yes);
        }
        if environment::is_disabled(os::variable) {
            return Err("CARBONTRACKER_DISABLE is set: nothing is measured. Fix: unset CARBONTRACKER_DISABLE".into());
        }
        let checks = checks::all(&options);
        // It leaves no files. Without a job it also measures devices that another process of the job counts.
        let mut options = options;
        options.job = Some("off".into());
        options.files = RunFilesConfig { name: options.files.name, ..RunFilesConfig::default() };
        let tracker = match Tracker::start(options) {
            Ok(tracker) => tracker,
            Err(error) => return refuse(&error.message),
        };
        let reading = tracker.begin().and_then(|_| {
            std::thread::sleep(MEASUREMENT);
            if has_silent_device(&tracker.report("json")?) {
                std::thread::sleep(EXTRA_MEASUREMENT);
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

/// The findings as JSON: sections of the report under their own names, and the checks.
fn found(report: &Value, checks: &[Check]) -> Value {
    let of = |name: &str| report.get(name).cloned().unwrap_or_default();
    let names =
        |section: &str| -> Vec<String> { list(report, section).map(|one| text(one, "source").into()).collect() };
    let known = [names("components"), names("unavailable")].concat();
    let not_needed: Vec<&str> = SourceName::ALL
        .map(SourceName::as_str)
        .into_iter()
        .filter(|source| !known.iter().any(|one| one == source))
        .collect();
    let checks: Value = checks.iter().map(Check::json).collect();
    json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "host": report.pointer("/run/host"),
        "duration_s": report.pointer("/usage/duration_s"),
        "components": of("components"),
        "unavailable": of("unavailable"),
        "not_needed": not_needed,
        "checks": checks,
        "intensity": of("intensity"),
        "pue": of("pue"),
        "notes": of("notes"),
    })
}

/// True if a device answers but has no energy yet.
fn has_silent_device(report: &str) -> bool {
    let report: Value = serde_json::from_str(report).unwrap_or_default();
    let answers = |one: &Value| matches!(text(one, "status"), "ok" | "stalled");
    list(&report, "components").any(|one| answers(one) && one.get("energy_j").is_none_or(Value::is_null))
}

/// How a component's energy is known.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Measured,
    Estimated,
    Simulated,
}

impl Origin {
    /// None if the component has no energy.
    fn of(component: &Value) -> Option<Origin> {
        component.get("energy_j").filter(|energy| energy.is_number())?;
        Some(match (text(component, "status"), text(component, "method")) {
            ("simulated", _) => Origin::Simulated,
            (_, "estimate") => Origin::Estimated,
            _ => Origin::Measured,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Origin::Measured => "measured",
            Origin::Estimated => "estimated",
            Origin::Simulated => "simulated",
        }
    }
}

/// True if a device's own counter or sensor gave energy.
fn is_measured(found: &Value) -> bool {
    list(found, "components").any(|one| Origin::of(one) == Some(Origin::Measured))
}

/// The headline: the kinds of device that are measured, estimated and simulated.
fn verdict(found: &Value) -> String {
    let clause = |origin: Origin| {
        let has_origin = |kind: &&DeviceKind| {
            list(found, "components").any(|one| text(one, "kind") == kind.name() && Origin::of(one) == Some(origin))
        };
        let kinds: Vec<&str> = DeviceKind::ALL.iter().filter(has_origin).map(|kind| title(*kind)).collect();
        (!kinds.is_empty()).then(|| format!("{} power is {}", kinds.join(" and "), origin.as_str()))
    };
    let mut clauses: Vec<String> =
        [Origin::Measured, Origin::Estimated, Origin::Simulated].into_iter().filter_map(clause).collect();
    if !is_measured(found) {
        clauses.insert(0, why_not_measured(found).into());
    }
    clauses.join("; ")
}

fn why_not_measured(found: &Value) -> &'static str {
    let is_real = |one: &Value| text(one, "method") != "estimate" && text(one, "status") != "simulated";
    // These checks have a fix only if there are counters that this user may not read.
    let is_closed = |check: &Value| {
        ["powercap", "perf"].contains(&text(check, "name")) && check.get("cure").is_some_and(Value::is_string)
    };
    if list(found, "components").any(is_real) {
        "hardware energy counters found, but they gave no energy"
    } else if list(found, "checks").any(is_closed) {
        "hardware energy counters cannot be read"
    } else {
        "no hardware energy counters found"
    }
}

fn title(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "CPU",
        DeviceKind::Gpu => "GPU",
        DeviceKind::Dram => "memory",
        DeviceKind::Node => "node",
    }
}

/// The entries of an array.
fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A text, empty if unknown.
fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The findings as text. On a terminal, lines fit it and have colours.
fn in_words(found: &Value) -> String {
    let term = Term::stdout();
    let text = plain(found);
    let text = if term.is_term() { wrap::wrapped(&text, wrap::columns()) } else { text };
    if term.features().colors_supported() { coloured(&text) } else { text }
}

/// The findings with the headline in bold, and colours for what is well and what is not.
fn coloured(text: &str) -> String {
    let style = |of: Style, line: &str| of.force_styling(true).apply_to(line).to_string();
    let marks = [("  ok  ", Style::new().green()), ("  no  ", Style::new().red())];
    let mut is_first = true;
    let line = |line: &str| {
        if std::mem::take(&mut is_first) {
            return style(Style::new().bold(), line) + "\n";
        }
        let mark = marks.iter().find_map(|(mark, of)| Some((mark, of, line.strip_prefix(mark)?)));
        let fix = line.find("fix: ").filter(|at| line.get(..*at).is_some_and(|before| before.trim().is_empty()));
        match (mark, fix) {
            (Some((mark, of, rest)), _) => style(of.clone(), mark) + rest + "\n",
            (None, Some(_)) => style(Style::new().cyan(), line) + "\n",
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

/// The findings as plain text.
fn plain(found: &Value) -> String {
    let verdict = verdict(found);
    let mut lines = vec![format!("carbontracker {} on {}: {verdict}", text(found, "version"), text(found, "host"))];
    let mut section = |heading: &str, of: Vec<String>| {
        if !of.is_empty() {
            lines.push(format!("\n{heading}:"));
            lines.extend(of.into_iter().map(|line| format!("  {line}")));
        }
    };
    section("mean power during the measurement", list(found, "components").flat_map(component).collect());
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

/// The sources that are not measured. Sources with a fix come first.
fn unavailable(found: &Value) -> Vec<String> {
    let (fixable, other): (Vec<&Value>, Vec<&Value>) =
        list(found, "unavailable").partition(|one| one.get("cure").is_some_and(Value::is_string));
    let with_fix = |one: &&Value| {
        [format!("{}: {}", text(one, "source"), text(one, "reason")), format!("  fix: {}", text(one, "cure"))]
    };
    let mut lines: Vec<String> = fixable.iter().flat_map(with_fix).collect();
    lines.extend(other.iter().map(|one| format!("{}: {}", text(one, "source"), text(one, "reason"))));
    let not_needed: Vec<&str> = list(found, "not_needed").filter_map(Value::as_str).collect();
    if !not_needed.is_empty() {
        lines.push(format!("not needed or not requested: {}", not_needed.join(", ")));
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
    lines.extend(one.get("cure").and_then(Value::as_str).map(|fix| format!("      fix: {fix}")));
    lines
}

fn intensity(found: &Value) -> Vec<String> {
    let of = found.get("intensity").cloned().unwrap_or_default();
    let figure = of.get("g_per_kwh").and_then(Value::as_f64).map_or("unknown".into(), digits);
    let year = of.get("year").and_then(Value::as_u64).map(|year| year.to_string()).unwrap_or_default();
    // A yearly figure has its year, the user's own has neither.
    let kind = Some(text(&of, "kind")).filter(|kind| !["static", "constant"].contains(kind)).unwrap_or_default();
    let words = [place_name(text(&of, "zone")), &year, kind, text(&of, "basis"), text(&of, "use"), text(&of, "source")];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let mut lines = vec![format!("{figure} g/kWh ({})", words.join(", "))];
    lines.extend(list(found, "notes").filter_map(Value::as_str).map(|note| format!("note: {note}")));
    lines
}
