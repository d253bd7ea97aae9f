//! The view of a run at one moment: lines for a terminal, one line of text, or JSON.

use super::power;
use crate::report_files::{number, word};
use crate::wrap;
use carbontracker::clock::UnixS;
use carbontracker::os;
use carbontracker::report::ranks;
use carbontracker::run_files::UNFINISHED;
use carbontracker::units::ErrorBand;
use carbontracker::units::{Amount, J_PER_KWH, duration, sum};
use console::{Style, measure_text_width, truncate_str};
use serde_json::{Map, Value, json};

/// Columns of a row's label.
const LABEL_COLUMNS: usize = 10;
/// Seconds without a change after which a run is silent. A journal gets a line every minute.
pub const SILENCE_S: f64 = 150.0;
/// Without a journal, the mean epochs after which a run is silent, at least.
const EPOCHS_OF_SILENCE: f64 = 3.0;

/// A run's report and its age.
pub struct WatchView<'a> {
    pub report: &'a Value,
    /// When the report's values were written, s since 1970.
    pub written: f64,
    /// The current time, s since 1970.
    pub now: f64,
    /// The run has ended.
    pub is_over: bool,
    /// The report was read from a journal.
    pub is_from_journal: bool,
}

impl WatchView<'_> {
    /// Lines for a terminal of `width` columns. No line is wider.
    pub fn lines(&self, width: usize, colours: bool) -> Vec<String> {
        let (bold, green) = (Style::new().bold().force_styling(colours), Style::new().green().force_styling(colours));
        let mut lines = vec![bold.apply_to(truncate_str(&self.head(), width, "…")).to_string()];
        lines.extend(self.share().map(|share| bar(share, width, &green)));
        for (label, parts) in self.rows() {
            lines.extend(if label == "note" {
                filled_words(label, &parts, width)
            } else {
                filled(label, &parts, width)
            });
        }
        lines
    }

    /// The view in one line, at the time the report was written.
    pub fn line(&self) -> String {
        let then = WatchView { now: self.written, ..*self };
        let share = self.share().map(|share| format!(" ({})", percent(share))).unwrap_or_default();
        let rows = then.rows().into_iter().filter(|(label, _)| *label != "left" || !self.is_silent());
        let rows: String = rows.map(|(label, parts)| format!("; {label} {}", joined(&parts))).collect();
        format!("{}{share}{rows}", self.head())
    }

    /// The view as JSON, at the time the report was written.
    pub fn json(&self, file: &str) -> Value {
        let left_s = WatchView { now: self.written, ..*self }.left_s();
        let of = |pointer: &str| self.report.pointer(pointer).cloned().unwrap_or_default();
        let power: Map<String, Value> =
            self.power().into_iter().map(|(kind, watts)| (kind.into(), json!(watts))).collect();
        let forecast = |name: &str| of(&format!("/forecast/{name}"));
        json!({
            "schema": 1,
            "file": file,
            "id": of("/run/id"),
            "name": of("/run/name"),
            "host": of("/run/host"),
            "hosts": of("/run/hosts"),
            "job": of("/run/job"),
            "rank": of("/run/rank"),
            "ranks": of("/run/ranks"),
            "ranks_found": of("/run/ranks_found"),
            "state": self.state_word(),
            "silent": self.is_silent(),
            "told_unix_s": self.written,
            "epochs_done": of("/run/epochs_done"),
            "epochs_planned": of("/run/epochs_planned"),
            "progress": of("/run/progress"),
            "share": self.share(),
            "power_w": power,
            "duration_s": of("/usage/duration_s"),
            "error": of("/usage/error"),
            "energy_j": of("/usage/energy_j"),
            "co2eq_g": of("/usage/co2eq_g"),
            "open": of("/run/open"),
            "budgets": of("/run/budgets"),
            "forecast": of("/forecast").is_object().then(|| json!({
                "level": forecast("level"),
                "duration_s": forecast("duration_s"),
                "energy_j": forecast("energy_j"),
                "co2eq_g": forecast("co2eq_g"),
            })),
            "left_s": left_s,
            "ends_unix_s": left_s.map(|left_s| self.written + left_s),
        })
    }

    /// True if the run is not over but its files have not changed for too long.
    pub fn is_silent(&self) -> bool {
        let epochs_s = number(self.report, "/usage/epochs/duration_s").filter(|_| !self.is_from_journal);
        let patience = EPOCHS_OF_SILENCE * epochs_s.unwrap_or(0.0) / self.epochs_done().max(1.0);
        !self.is_over && self.now - self.written > patience.max(SILENCE_S)
    }

    fn epochs_done(&self) -> f64 {
        number(self.report, "/run/epochs_done").unwrap_or(0.0)
    }

    fn planned(&self) -> Option<f64> {
        number(self.report, "/run/epochs_planned").filter(|planned| *planned > 0.0)
    }

    /// The share of the run's work that is done, 0 to 1; None: the run has planned epochs, or reports no progress.
    fn work_share(&self) -> Option<f64> {
        let [done, total] = ["/run/work/done", "/run/work/total"].map(|pointer| number(self.report, pointer));
        let share = done? / total?;
        Some(share.clamp(0.0, 1.0)).filter(|share| share.is_finite() && self.planned().is_none())
    }

    /// The share of the planned epochs that is done, 0 to 1, including the open epoch; or that of the run's work.
    fn share(&self) -> Option<f64> {
        if let Some(share) = self.work_share() {
            return Some(share);
        }
        let open = number(self.report, "/run/progress").or_else(|| self.open_share()).filter(|_| !self.is_over);
        if open.is_none() && !self.is_over && self.is_program() {
            return None;
        }
        let open = open.unwrap_or(0.0);
        Some(((self.epochs_done() + open) / self.planned()?).clamp(0.0, 1.0))
    }

    /// Whether the run is one program, which has no epochs.
    fn is_program(&self) -> bool {
        self.planned() == Some(1.0) && self.epochs_done() == 0.0
    }

    /// The share of the open epoch that is done, estimated from the mean epoch.
    fn open_share(&self) -> Option<f64> {
        const MAX_OPEN_SHARE: f64 = 0.99;
        let each_s = number(self.report, "/usage/epochs/duration_s")? / self.epochs_done();
        let share = number(self.report, "/run/open/duration_s")? / each_s;
        // Before the first epoch has ended, its length is unknown.
        Some(share).filter(|share| share.is_finite()).map(|share| share.min(MAX_OPEN_SHARE))
    }

    /// The total of the ended epochs plus the open epoch.
    fn used(&self, ended: &str, open: &str) -> Option<f64> {
        sum([ended, open].map(|pointer| number(self.report, pointer)))
    }

    /// The text in place of an unknown energy.
    fn unknown(&self) -> &'static str {
        match ranks::is_counted_elsewhere(self.report) {
            true => "energy counted by another rank of the job",
            false => "energy unknown",
        }
    }

    /// Emissions of the open epoch, at the run's mean intensity, g CO2e.
    fn open_g(&self) -> Option<f64> {
        let number = |pointer| number(self.report, pointer);
        Some(number("/run/open/energy_j")? / J_PER_KWH * number("/pue")? * number("/intensity/g_per_kwh")?)
    }

    /// Name, rank, host and state.
    fn head(&self) -> String {
        let name = word(self.report, "/run/name").or_else(|| word(self.report, "/run/id")).unwrap_or("run");
        let is_job = number(self.report, "/run/ranks_found").is_some();
        let rank = number(self.report, "/run/rank").zip(number(self.report, "/run/ranks").filter(|all| *all > 1.0));
        let rank = rank.map(|(rank, all)| format!(", rank {rank} of {all},")).unwrap_or_default();
        let place = ranks::place(self.report).map(|place| format!("{}{place}", if is_job { ", " } else { " on " }));
        format!("{name}{rank}{}: {}", place.unwrap_or_default(), self.state())
    }

    fn state(&self) -> String {
        let done = self.epochs_done();
        let of = self.planned().map(|planned| format!(" of {planned}")).unwrap_or_default();
        let epochs = if done == 1.0 && of.is_empty() { "epoch" } else { "epochs" };
        if self.is_silent() {
            let since = self.local(self.written).unwrap_or("long ago".into());
            return format!("stalled, no update since {since}, {done}{of} {epochs} done");
        }
        if let Some(share) = self.work_share() {
            return format!("{}, {} of the work done", if self.is_over { "ended" } else { "running" }, percent(share));
        }
        let open_s = number(self.report, "/run/open/duration_s");
        match word(self.report, "/run/state") {
            _ if self.is_program() && !self.is_over && open_s.is_some() => {
                format!("running for {}", duration(open_s.unwrap_or(0.0)))
            }
            _ if self.is_over && self.planned() == Some(1.0) => "done".into(),
            _ if self.is_over => format!("done, {done}{of} {epochs}"),
            Some("in_epoch") => format!("in epoch {}{of}", done + 1.0),
            Some("waiting") => "waiting for its first epoch".into(),
            Some("between") => format!("between epochs, {done}{of} done"),
            _ => format!("running, {done}{of} {epochs} done"),
        }
    }

    /// The state in JSON. The journal of a run that goes on has no end yet, which is no fault of the run.
    fn state_word(&self) -> Value {
        match self.report.pointer("/run/state") {
            _ if self.is_over => json!("done"),
            Some(state) if *state == "unfinished" && !self.is_silent() => json!("running"),
            state => state.cloned().unwrap_or_default(),
        }
    }

    /// The rows of values: label and parts.
    fn rows(&self) -> Vec<(&'static str, Vec<String>)> {
        let number = |pointer: &str| number(self.report, pointer);
        let power = self.power();
        let of_kinds = power.iter().map(|(kind, watts)| (*watts, self.error_of(kind)));
        let all = power.iter().map(|(_, watts)| watts).sum();
        let mut watts = vec![Amount::Power.with(all, ErrorBand::of_sum(of_kinds))];
        let by_kind =
            power.iter().map(|(kind, watts)| format!("{kind} {}", Amount::Power.alone(*watts, self.error_of(kind))));
        watts.extend(by_kind.filter(|_| power.len() > 1));
        let error = self.error();
        let joules = self.used("/usage/energy_j", "/run/open/energy_j");
        let used = [
            Some(joules.map_or(self.unknown().into(), |joules| Amount::Energy.with(joules, error))),
            sum([number("/usage/co2eq_g"), self.open_g()]).map(|g| Amount::Grams.of("CO2e", g, error)),
            self.used("/usage/duration_s", "/run/open/duration_s").map(|s| format!("in {}", duration(s))),
        ];
        let mut rows = Vec::new();
        if !self.is_over {
            rows.extend(self.left_s().filter(|_| !self.is_silent()).map(|left_s| ("left", self.end(left_s))));
            rows.extend((!power.is_empty()).then_some(("power", watts)));
        }
        rows.push(("used", used.into_iter().flatten().collect()));
        rows.extend(self.forecast().filter(|_| !self.is_over).map(|parts| ("forecast", parts)));
        rows.extend(self.budgets().map(|parts| ("budget", parts)));
        rows.extend(self.notes().map(|note| ("note", vec![note.to_owned()])));
        rows
    }

    /// The limits on the whole run, and whether one is passed.
    fn budgets(&self) -> Option<Vec<String>> {
        let units = [("kwh", "kWh"), ("g", "g CO2e"), ("h", "h")];
        let limit = |(name, unit): (&str, &str)| {
            Some(format!("{} {unit}", number(self.report, &format!("/run/budgets/{name}"))?))
        };
        let limits: Vec<String> = units.into_iter().filter_map(limit).collect();
        let is_passed = self.report.pointer("/run/budgets/passed") == Some(&Value::Bool(true));
        let verdict = if is_passed { "passed: the run uses more, or will by its forecast" } else { "not passed" };
        (!limits.is_empty()).then(|| limits.into_iter().chain([verdict.to_owned()]).collect())
    }

    /// The newest notes of the report. That a run in progress has left no final report is no news.
    fn notes(&self) -> impl Iterator<Item = &str> {
        const MOST: usize = 3;
        let notes = self.report.get("notes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let notes = notes.iter().filter_map(Value::as_str).filter(|note| self.is_over || *note != UNFINISHED);
        notes.collect::<Vec<_>>().into_iter().rev().take(MOST).rev()
    }

    /// A date in local time, with its offset.
    fn local(&self, unix_s: f64) -> Option<String> {
        os::local_time().shown(UnixS(unix_s))
    }

    /// The time left, and the expected end.
    fn end(&self, left_s: f64) -> Vec<String> {
        let ends = self.local(self.now + left_s).filter(|_| left_s > 0.0);
        std::iter::once(duration(left_s)).chain(ends.map(|at| format!("ends {at}"))).collect()
    }

    /// The forecast of the whole run: values, each followed by its interval.
    fn forecast(&self) -> Option<Vec<String>> {
        let ends = |name: &str| {
            let end = |end: &str| number(self.report, &format!("/forecast/{name}/{end}"));
            Some([end("value")?, end("low")?, end("high")?])
        };
        let error = self.error();
        let estimate = |name: &str, amount: Amount| {
            let [value, low, high] = ends(name)?;
            let about = if error.is_some() && amount != Amount::Time { "≈ " } else { "" };
            let value_in_words = format!("{about}{}", amount.end(value, low, high));
            Some([value_in_words, format!("({})", amount.ends(value, low, high))])
        };
        let time = estimate("duration_s", Amount::Time);
        let co2eq = estimate("co2eq_g", Amount::Grams).map(|[value, interval]| [format!("{value} CO2e"), interval]);
        let parts = [estimate("energy_j", Amount::Energy), co2eq, time];
        let parts: Vec<String> = parts.into_iter().flatten().flatten().collect();
        let level = number(self.report, "/forecast/level").map(|level| format!("{} intervals", percent(level)));
        (!parts.is_empty()).then(|| parts.into_iter().chain(level).collect())
    }

    /// Time until the forecast end, s.
    fn left_s(&self) -> Option<f64> {
        let number = |pointer| number(self.report, pointer);
        let open_s = number("/run/open/duration_s").unwrap_or(0.0);
        let whole = || Some(number("/forecast/duration_s/value")? - number("/usage/duration_s")? - open_s);
        let left_s = number("/forecast/remaining/duration_s/value").or_else(whole)?;
        Some((left_s - (self.now - self.written).max(0.0)).max(0.0))
    }

    /// Error band of the run's energy. None: it is measured.
    fn error(&self) -> Option<ErrorBand> {
        let of_ended = || ErrorBand::read(self.report.pointer("/usage/error"));
        // Before the first epoch ends, any of the estimates may make up the whole energy.
        let widest = || self.devices().filter_map(|one| ErrorBand::read(one.get("error"))).reduce(ErrorBand::with);
        if number(self.report, "/usage/energy_j").is_some_and(|joules| joules > 0.0) { of_ended() } else { widest() }
    }

    /// Error band of the energy of one kind of device. None: it is measured.
    fn error_of(&self, kind: &str) -> Option<ErrorBand> {
        let of_kind = self.devices().filter(|one| word(one, "/kind") == Some(kind));
        let parts = of_kind.map(|one| (number(one, "/energy_j").unwrap_or(0.0), ErrorBand::read(one.get("error"))));
        let parts: Vec<_> = parts.collect();
        let widest = || parts.iter().filter_map(|(_, error)| *error).reduce(ErrorBand::with);
        if parts.iter().any(|(joules, _)| *joules > 0.0) { ErrorBand::of_sum(parts) } else { widest() }
    }

    fn devices(&self) -> impl Iterator<Item = &Value> {
        self.report.get("components").and_then(Value::as_array).into_iter().flatten()
    }

    /// The latest mean power, W, by kind.
    fn power(&self) -> Vec<(&'static str, f64)> {
        power::latest(self.report)
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).floor())
}

/// A progress bar with the share in percent.
fn bar(share: f64, width: usize, style: &Style) -> String {
    let label = format!(" {:>5}", percent(share));
    let room = width.saturating_sub(label.len()).min(80);
    let full = (share * room as f64) as usize;
    let bar = style.apply_to("█".repeat(full)).to_string() + &"░".repeat(room - full);
    truncate_str(&(bar + &label), width, "").into_owned()
}

/// Joins parts with commas, but none before a bracket.
fn joined(parts: &[String]) -> String {
    parts.join(", ").replace(", (", " (")
}

/// Fills lines of `width` columns with the words of a note, indented below the label.
fn filled_words(label: &str, parts: &[String], width: usize) -> Vec<String> {
    let text = format!("{label:LABEL_COLUMNS$}{}", parts.join(", "));
    wrap::filled(&text, width, LABEL_COLUMNS).lines().map(|line| truncate_str(line, width, "…").into_owned()).collect()
}

/// Fills lines of `width` columns with parts, indented below the label.
fn filled(label: &str, parts: &[String], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = format!("{label:LABEL_COLUMNS$}");
    for (n, part) in parts.iter().enumerate() {
        let comma = if parts.get(n + 1).is_none_or(|next| next.starts_with('(')) { "" } else { "," };
        let is_first = line.len() == LABEL_COLUMNS;
        if !is_first && measure_text_width(&line) + 1 + measure_text_width(part) + comma.len() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(LABEL_COLUMNS)));
        } else if !is_first {
            line.push(' ');
        }
        line += &format!("{part}{comma}");
    }
    lines.push(line);
    lines.iter().map(|line| truncate_str(line, width, "…").into_owned()).collect()
}

#[cfg(test)]
mod tests;
