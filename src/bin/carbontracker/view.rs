//! A run at a moment, for who watches it: as lines for a terminal of some width, as one line, as JSON.

use crate::power;
use crate::runs::{number, word};
use carbontracker::report::ranks;
use carbontracker::units::{J_PER_KWH, digits, duration, energy, grams, instant, sum};
use console::{Style, measure_text_width, truncate_str};
use serde_json::{Map, Value, json};

/// Where what a line says begins.
const LABEL: usize = 10;
/// A run is silent after so many seconds without a word in its journal, which has one a minute;
pub const SILENCE_S: f64 = 150.0;
/// where a report is all there is, after so many of its epochs' mean length, too.
const EPOCHS_OF_SILENCE: f64 = 3.0;

/// What is known of a run, and when.
pub struct View<'a> {
    /// Its report.
    pub report: &'a Value,
    /// When that was told, s since 1970.
    pub told: f64,
    /// The present, likewise.
    pub now: f64,
    /// Nothing more is to come.
    pub is_over: bool,
    /// It is from a journal.
    pub is_from_journal: bool,
}

impl View<'_> {
    /// For a terminal so many columns wide; nothing is wider.
    pub fn lines(&self, width: usize, colours: bool) -> Vec<String> {
        let (bold, green) = (Style::new().bold().force_styling(colours), Style::new().green().force_styling(colours));
        let mut lines = vec![bold.apply_to(truncate_str(&self.head(), width, "…")).to_string()];
        lines.extend(self.share().map(|share| bar(share, width, &green)));
        for (label, parts) in self.rows() {
            lines.extend(filled(label, &parts, width));
        }
        lines
    }

    /// All in one line, as it was when it was told.
    pub fn line(&self) -> String {
        let told = View { now: self.told, ..*self };
        let share = self.share().map(|share| format!(" ({})", percent(share))).unwrap_or_default();
        let rows = told.rows().into_iter().filter(|(label, _)| *label != "left" || !self.is_silent());
        let rows: String = rows.map(|(label, parts)| format!("; {label} {}", joined(&parts))).collect();
        format!("{}{share}{rows}", self.head())
    }

    /// The same, for programs.
    pub fn json(&self, file: &str) -> Value {
        let told = View { now: self.told, ..*self };
        let left_s = told.left_s();
        let of = |pointer: &str| self.report.pointer(pointer).cloned().unwrap_or_default();
        let power: Map<String, Value> =
            self.power().into_iter().map(|(kind, watts)| (kind.into(), json!(watts))).collect();
        let forecast = |name: &str| of(&format!("/forecast/{name}"));
        json!({
            "file": file,
            "id": of("/run/id"),
            "name": of("/run/name"),
            "host": of("/run/host"),
            "hosts": of("/run/hosts"),
            "job": of("/run/job"),
            "rank": of("/run/rank"),
            "ranks": of("/run/ranks"),
            "ranks_found": of("/run/ranks_found"),
            "state": if self.is_over { json!("done") } else { of("/run/state") },
            "silent": self.is_silent(),
            "told_unix_s": self.told,
            "epochs_done": of("/run/epochs_done"),
            "epochs_planned": of("/run/epochs_planned"),
            "progress": of("/run/progress"),
            "share": self.share(),
            "power_w": power,
            "duration_s": of("/usage/duration_s"),
            "energy_j": of("/usage/energy_j"),
            "co2eq_g": of("/usage/co2eq_g"),
            "open": of("/run/open"),
            "forecast": of("/forecast").is_object().then(|| json!({
                "level": forecast("level"),
                "duration_s": forecast("duration_s"),
                "energy_j": forecast("energy_j"),
                "co2eq_g": forecast("co2eq_g"),
            })),
            "left_s": left_s,
            "ends_unix_s": left_s.map(|left_s| self.told + left_s),
        })
    }

    /// Whether a run that goes on should have been heard of by now.
    pub fn is_silent(&self) -> bool {
        let epochs_s = number(self.report, "/usage/epochs/duration_s").filter(|_| !self.is_from_journal);
        let patience = EPOCHS_OF_SILENCE * epochs_s.unwrap_or(0.0) / self.epochs_done().max(1.0);
        !self.is_over && self.now - self.told > patience.max(SILENCE_S)
    }

    fn epochs_done(&self) -> f64 {
        number(self.report, "/run/epochs_done").unwrap_or(0.0)
    }

    fn planned(&self) -> Option<f64> {
        number(self.report, "/run/epochs_planned").filter(|planned| *planned > 0.0)
    }

    /// The share of the planned epochs that is done, with what is done of the open one.
    fn share(&self) -> Option<f64> {
        let open = number(self.report, "/run/progress").or_else(|| self.open_share()).filter(|_| !self.is_over);
        let open = open.unwrap_or(0.0);
        Some(((self.epochs_done() + open) / self.planned()?).clamp(0.0, 1.0))
    }

    /// How far the open epoch is, by how long those before it took.
    fn open_share(&self) -> Option<f64> {
        const NEARLY: f64 = 0.99;
        let each_s = number(self.report, "/usage/epochs/duration_s")? / self.epochs_done();
        let share = number(self.report, "/run/open/duration_s")? / each_s;
        Some(share.min(NEARLY)).filter(|share| share.is_finite())
    }

    /// Used so far, with what the open epoch has used, which no total has yet.
    fn used(&self, ended: &str, open: &str) -> Option<f64> {
        sum([ended, open].map(|pointer| number(self.report, pointer)))
    }

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
            let since = instant(self.told).unwrap_or("long ago".into());
            return format!("no sign of life since {since}, {done}{of} {epochs} done");
        }
        match word(self.report, "/run/state") {
            _ if self.is_over => format!("done, {done}{of} {epochs}"),
            Some("in_epoch") => format!("in epoch {}{of}", done + 1.0),
            Some("waiting") => "waiting for its first epoch".into(),
            Some("between") => format!("between epochs, {done}{of} done"),
            _ => format!("running, {done}{of} {epochs} done"),
        }
    }

    /// What is known, by what it is of.
    fn rows(&self) -> Vec<(&'static str, Vec<String>)> {
        let number = |pointer: &str| number(self.report, pointer);
        let power = self.power();
        let all = power.iter().map(|(_, watts)| watts).sum();
        let mut watts = vec![format!("{} W", digits(all))];
        watts.extend(
            power.iter().map(|(kind, watts)| format!("{kind} {} W", digits(*watts))).filter(|_| power.len() > 1),
        );
        let used = [
            Some(self.used("/usage/energy_j", "/run/open/energy_j").map_or(self.unknown().into(), energy)),
            sum([number("/usage/co2eq_g"), self.open_g()]).map(|g| format!("{} CO2e", grams(g))),
            self.used("/usage/duration_s", "/run/open/duration_s").map(|s| format!("in {}", duration(s))),
        ];
        let mut rows = Vec::new();
        if !self.is_over {
            rows.extend(self.left_s().filter(|_| !self.is_silent()).map(|left_s| ("left", self.end(left_s))));
            rows.extend((!power.is_empty()).then_some(("power", watts)));
        }
        rows.push(("used", used.into_iter().flatten().collect()));
        rows.extend(self.forecast().filter(|_| !self.is_over).map(|parts| ("forecast", parts)));
        rows
    }

    fn end(&self, left_s: f64) -> Vec<String> {
        let ends = instant(self.now + left_s).filter(|_| left_s > 0.0);
        std::iter::once(duration(left_s)).chain(ends.map(|at| format!("ends {at}"))).collect()
    }

    /// Of the whole run: values, each with its interval after it.
    fn forecast(&self) -> Option<Vec<String>> {
        let estimate = |name: &str, show: &dyn Fn(f64) -> String| {
            let end = |end: &str| number(self.report, &format!("/forecast/{name}/{end}")).map(show);
            Some([end("value")?, format!("({} to {})", end("low")?, end("high")?)])
        };
        let co2eq = estimate("co2eq_g", &grams).map(|[value, interval]| [format!("{value} CO2e"), interval]);
        let parts = [estimate("energy_j", &energy), co2eq, estimate("duration_s", &duration)];
        let parts: Vec<String> = parts.into_iter().flatten().flatten().collect();
        let level = number(self.report, "/forecast/level").map(|level| format!("{} intervals", percent(level)));
        (!parts.is_empty()).then(|| parts.into_iter().chain(level).collect())
    }

    /// Until the forecast end, s.
    fn left_s(&self) -> Option<f64> {
        let number = |pointer| number(self.report, pointer);
        let open_s = number("/run/open/duration_s").unwrap_or(0.0);
        let whole = || Some(number("/forecast/duration_s/value")? - number("/usage/duration_s")? - open_s);
        let left_s = number("/forecast/remaining/duration_s/value").or_else(whole)?;
        Some((left_s - (self.now - self.told).max(0.0)).max(0.0))
    }

    /// The latest mean power, W, by kind.
    fn power(&self) -> Vec<(&'static str, f64)> {
        power::latest(self.report)
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).floor())
}

fn bar(share: f64, width: usize, style: &Style) -> String {
    let said = format!(" {:>5}", percent(share));
    let room = width.saturating_sub(said.len()).min(80);
    let full = (share * room as f64) as usize;
    let bar = style.apply_to("█".repeat(full)).to_string() + &"░".repeat(room - full);
    truncate_str(&(bar + &said), width, "").into_owned()
}

/// Commas between, but before a bracket.
fn joined(parts: &[String]) -> String {
    parts.join(", ").replace(", (", " (")
}

/// As many parts a line as fit, below one another.
fn filled(label: &str, parts: &[String], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = format!("{label:LABEL$}");
    for (n, part) in parts.iter().enumerate() {
        let comma = if parts.get(n + 1).is_none_or(|next| next.starts_with('(')) { "" } else { "," };
        let is_first = line.len() == LABEL;
        if !is_first && measure_text_width(&line) + 1 + measure_text_width(part) + comma.len() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(LABEL)));
        } else if !is_first {
            line.push(' ');
        }
        line += &format!("{part}{comma}");
    }
    lines.push(line);
    lines.iter().map(|line| truncate_str(line, width, "…").into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: f64 = 1_772_456_400.0; // 2026-03-02T13:00:00Z

    fn report() -> Value {
        json!({
            "run": {"id": "ab", "name": "digits", "host": "node1", "state": "in_epoch", "epochs_planned": 20, "epochs_done": 6, "progress": 0.5},
            "usage": {"duration_s": 3600.0, "energy_j": 3.6e6, "co2eq_g": 114.0, "epochs": {"duration_s": 3600.0}},
            "forecast": {"level": 0.9, "duration_s": {"value": 12000.0, "low": 11000.0, "high": 13000.0},
                "energy_j": {"value": 1.2e7, "low": 1.1e7, "high": 1.3e7}, "co2eq_g": {"value": 380.0, "low": 350.0, "high": 420.0},
                "remaining": {"duration_s": {"value": 8400.0, "low": 7400.0, "high": 9400.0}}},
            "power": {"from": [0.0, 1.0], "to": [1.0, 2.0], "cpu_w": [1.0, 52.0], "gpu_w": [2.0, 200.0], "dram_w": null, "node_w": null},
            "epochs": [{"duration_s": 600.0, "cpu_j": 6000.0, "gpu_j": null}],
        })
    }

    fn view(report: &Value, after: f64) -> View<'_> {
        View { report, told: TOLD, now: TOLD + after, is_over: false, is_from_journal: false }
    }

    #[test]
    fn all_is_there_and_fits() {
        let report = report();
        let wide = view(&report, 10.0).lines(110, false);
        assert_eq!(wide, [
            "digits on node1: in epoch 7 of 20".to_owned(),
            format!("{}{}  32 %", "█".repeat(26), "░".repeat(54)),
            "left      2h 19m 50s, ends 2026-03-02T15:20:00Z".into(),
            "power     252 W, cpu 52.0 W, gpu 200 W".into(),
            "used      1.00 kWh, 114 g CO2e, in 1h".into(),
            "forecast  3.33 kWh (3.06 kWh to 3.61 kWh), 380 g CO2e (350 g to 420 g), 3h 20m (3h 3m 20s to 3h 36m 40s),".into(),
            "          90 % intervals".into(),
        ]);
        for width in [1, 10, 20, 40, 41, 79, 200] {
            let lines = view(&report, 10.0).lines(width, true);
            assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{width}: {lines:#?}");
        }
        let narrow = view(&report, 10.0).lines(39, false);
        assert_eq!(
            narrow.get(6..9).unwrap().join("\n"),
            "\
forecast  3.33 kWh
          (3.06 kWh to 3.61 kWh),
          380 g CO2e (350 g to 420 g),"
        );
        assert!(!narrow.iter().any(|line| line.contains('…')), "{narrow:#?}");
    }

    /// As a journal tells of it: no total has the open epoch yet.
    #[test]
    fn the_open_epoch_is_used_and_gone() {
        let mut report = report();
        report["run"]["open"] = json!({"duration_s": 300.0, "energy_j": 3.6e5});
        report["run"]["progress"] = Value::Null;
        report["forecast"]["remaining"] = Value::Null;
        report["pue"] = json!(1.0);
        report["intensity"] = json!({"g_per_kwh": 114.0});
        let shown = view(&report, 0.0).lines(110, false);
        let has = |text: &str| shown.iter().any(|line| line.contains(text));
        assert!(has("left      2h 15m, ends") && has("used      1.10 kWh, 125 g CO2e, in 1h 5m"), "{shown:#?}");
        assert_eq!(view(&report, 0.0).json("a")["share"], 6.5 / 20.0);
        report["run"]["epochs_done"] = json!(0);
        report["usage"] = json!({"energy_j": null, "duration_s": 0.0, "epochs": {"duration_s": 0.0}});
        let first = view(&report, 0.0).lines(110, false);
        assert!(first.iter().any(|line| line.contains("used      0.100 kWh, 11.4 g CO2e, in 5m")), "{first:#?}");
    }

    #[test]
    fn unknown_is_said_or_left_out() {
        let report = json!({"run": {"id": "ab", "state": "waiting", "epochs_planned": 0, "epochs_done": 0}, "usage": {"energy_j": null}});
        assert_eq!(
            view(&report, 0.0).lines(80, false),
            ["ab: waiting for its first epoch", "used      energy unknown"]
        );
        assert_eq!(view(&json!({}), 0.0).lines(80, false).len(), 2);
        let rude = json!({"run": {"name": "a", "epochs_planned": 1e300, "epochs_done": -1}});
        assert!(view(&rude, 0.0).lines(80, false).iter().all(|line| !line.contains(char::is_control)));
    }

    #[test]
    fn the_last_epochs_power_stands_in() {
        let mut report = report();
        report["power"] = Value::Null;
        assert_eq!(view(&report, 0.0).power(), [("cpu", 10.0)]);
    }

    #[test]
    fn the_forecast_of_a_short_run_is_not_rounded_to_seconds() {
        let mut report = report();
        report["forecast"]["duration_s"] = json!({"value": 1.82, "low": 1.09, "high": 2.22});
        let lines = view(&report, 0.0).lines(200, false).join("\n");
        assert!(lines.contains("1.82 s (1.09 s to 2.22 s)"), "{lines}");
    }

    #[test]
    fn silence_is_told_after_three_epochs() {
        let mut report = report();
        report["run"]["state"] = json!("unfinished");
        assert!(view(&report, 1799.0).head().ends_with("running, 6 of 20 epochs done"));
        let silent = view(&report, 1801.0).lines(120, false).join("\n");
        assert!(
            silent.contains("no sign of life since 2026-03-02T13:00:00Z, 6 of 20") && !silent.contains("ends"),
            "{silent}"
        );
        let journal = View { is_from_journal: true, ..view(&report, 151.0) };
        assert!(journal.is_silent() && !view(&report, 151.0).is_silent());
        let over = View { is_over: true, ..view(&report, 1801.0) };
        assert_eq!(over.line(), "digits on node1: done, 6 of 20 epochs (30 %); used 1.00 kWh, 114 g CO2e, in 1h");
    }

    #[test]
    fn a_line_does_not_change_with_the_clock() {
        let report = report();
        assert_eq!(view(&report, 0.0).line(), view(&report, 30.0).line());
        assert_eq!(view(&report, 30.0).json("a")["left_s"], 8400.0);
    }
}
