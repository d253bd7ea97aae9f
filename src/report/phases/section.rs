//! The phases in the JSON report, and sections of several attempts or ranks as one.

use super::{LEVEL, PhaseReport, PhaseRow, PhaseUse};
use crate::report::{Report, pointers};
use serde_json::{Map, Value, json};

/// The pointer of the rows within the section.
const ROWS: &str = "/rows/";
/// The fields beside the rows.
const TOTALS: [&str; 3] = ["duration_s", "energy_j", "level"];

/// Whose sections become one.
#[derive(Clone, Copy, PartialEq)]
pub enum PartsOf {
    /// Attempts of one run, one after another.
    Run,
    /// Ranks of one job, at the same time.
    Job,
}

impl PhaseReport {
    /// The section of the JSON report.
    pub fn section(&self, report: &Report) -> Value {
        self.section_of(report, |_, _| true)
    }

    /// What a pointer within the section points to. A row may be named by its path in place of its index. Only the
    /// requested row is computed: the model of many phases takes time.
    pub fn at(&self, report: &Report, within: &str) -> Option<Value> {
        if let Some(total) = within.strip_prefix('/').filter(|name| TOTALS.contains(name)) {
            return self.total_field(report, total);
        }
        let is_row = |row: &&str| *row != pointers::LENGTH;
        let Some(row) = within.strip_prefix(ROWS).filter(is_row) else {
            let section = self.section(report);
            let all = section.pointer(within).cloned();
            return all
                .or_else(|| Some(json!(section.get("rows")?.as_array()?.len())).filter(|_| within == "/rows/length"));
        };
        let (token, rest) = row.split_at(row.find('/').unwrap_or(row.len()));
        let path = token.replace("~1", "/").replace("~0", "~");
        let index = pointers::index(token);
        // With earlier attempts, the place of a row is known only from all of them.
        let needs_all = !self.carried_over.is_null();
        let is_it =
            |place: usize, names: &[&str]| needs_all || index.map_or(names.join("/") == path, |index| index == place);
        let section = self.section_of(report, is_it);
        let rows = section.get("rows")?.as_array()?;
        let row = match index {
            Some(index) => rows.get(if needs_all { index } else { 0 })?,
            None => rows.iter().find(|row| !path.is_empty() && path_of(row) == Some(&path))?,
        };
        row.pointer(rest).cloned()
    }

    fn section_of(&self, report: &Report, is_chosen: impl Fn(usize, &[&str]) -> bool) -> Value {
        let own = (!self.times.is_empty()).then(|| self.own_section(report, is_chosen));
        match own {
            Some(own) if self.carried_over.is_null() => own,
            own => {
                let parts = [&self.carried_over].into_iter().chain(&own).filter(|part| !part.is_null());
                merged(&parts.collect::<Vec<_>>(), PartsOf::Run)
            }
        }
    }

    /// A field of the section without its rows, which take the most time.
    fn total_field(&self, report: &Report, name: &str) -> Option<Value> {
        let own = (!self.times.is_empty()).then(|| self.own_section(report, |_, _| false));
        let parts: Vec<&Value> = [&self.carried_over].into_iter().chain(&own).filter(|part| !part.is_null()).collect();
        Some(if name == "level" { json!(LEVEL) } else { json!(sum(&parts, name)) })
    }

    fn own_section(&self, report: &Report, is_chosen: impl Fn(usize, &[&str]) -> bool) -> Value {
        let total = self.total();
        let row = |row: PhaseRow| {
            let joules = row.whole.energy_j();
            let names = json!({
                "path": row.names.join("/"),
                "name": row.names.last(),
                "depth": row.names.len(),
                "entries": row.entries,
            });
            let more = json!({
                "coverage": row.whole.coverage,
                "mean_power_w": row.whole.watts(),
                "share": share(joules, total.energy_j()),
                "co2eq_g": joules.map(|joules| report.emissions.facility_kwh(joules) * report.intensity.g_per_kwh),
                "own": used(row.own),
                "epochs": used(row.in_epochs),
                "each_epoch_j": row.each_epoch_j,
            });
            let fields = [names, used(row.whole), more].into_iter().filter_map(|part| part.as_object().cloned());
            Value::Object(fields.flatten().collect())
        };
        let rows: Value = self.rows(is_chosen).into_iter().map(row).collect();
        json!({"duration_s": total.seconds, "energy_j": total.energy_j(), "level": LEVEL, "rows": rows})
    }
}

fn used(used: PhaseUse) -> Value {
    let [joules, low, high] = used.joules.map_or([None; 3], |joules| joules.map(Some));
    json!({"duration_s": used.seconds, "energy_j": joules, "energy_low_j": low, "energy_high_j": high})
}

fn share(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    part.zip(whole).filter(|(_, whole)| *whole > 0.0).map(|(part, whole)| part / whole)
}

fn path_of(row: &Value) -> Option<&str> {
    row.get("path").and_then(Value::as_str)
}

fn number(value: &Value, name: &str) -> Option<f64> {
    value.get(name).and_then(Value::as_f64).filter(|number| number.is_finite())
}

/// One section from several; null: there is none. Energies are added. Of ranks, the longest time and the most entries
/// count; of attempts, their sums.
pub fn merged(sections: &[&Value], of: PartsOf) -> Value {
    if let [one] = sections {
        return (*one).clone();
    }
    let all_rows = || sections.iter().filter_map(|section| section.get("rows")?.as_array()).flatten();
    let mut paths: Vec<&str> = Vec::new();
    all_rows().filter_map(path_of).for_each(|path| add_path(&mut paths, path));
    let energy_j = sum(sections, "energy_j");
    let row = |path: &&str| {
        let same: Vec<&Value> = all_rows().filter(|row| path_of(row) == Some(path)).collect();
        let mut row: Map<String, Value> = same.first().and_then(|row| row.as_object()).cloned().unwrap_or_default();
        row.extend(joined(&same, of));
        for part in ["own", "epochs"] {
            let parts: Vec<&Value> = same.iter().filter_map(|row| row.get(part)).collect();
            row.insert(part.into(), Value::Object(joined(&parts, of)));
        }
        let row_j = row.get("energy_j").and_then(Value::as_f64);
        // The power is that of the parts whose energy is known.
        let known: Vec<&Value> = same.iter().copied().filter(|row| number(row, "energy_j").is_some()).collect();
        let seconds = times(&known, "duration_s", of).filter(|seconds| *seconds > 0.0);
        let watts = row_j.zip(seconds).map(|(joules, seconds)| joules / seconds);
        let entries = times(&same, "entries", of).map(|entries| entries as u64);
        let more = [
            ("entries", json!(entries)),
            ("coverage", json!(coverage(&same))),
            ("mean_power_w", json!(watts)),
            ("share", json!(share(row_j, energy_j))),
            ("co2eq_g", json!(sum(&same, "co2eq_g"))),
            ("each_epoch_j", json!(each_epoch_j(&same, of))),
        ];
        row.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(row)
    };
    let rows: Vec<Value> = paths.iter().map(row).collect();
    let duration_s = times(sections, "duration_s", of);
    if rows.is_empty() {
        Value::Null
    } else {
        json!({"duration_s": duration_s, "energy_j": energy_j, "level": LEVEL, "rows": rows})
    }
}

/// Adds a path after those within the same phase. The time in no phase stays the last.
fn add_path<'a>(paths: &mut Vec<&'a str>, path: &'a str) {
    if paths.contains(&path) {
        return;
    }
    let parent = path.rsplit_once('/').map(|(parent, _)| parent);
    let is_within = |other: &&str| {
        parent.is_some_and(|parent| {
            other.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let last = paths.iter().rposition(is_within).map(|last| last + 1);
    let end = paths.iter().position(|path| path.is_empty()).unwrap_or(paths.len());
    paths.insert(last.unwrap_or(if path.is_empty() { paths.len() } else { end }), path);
}

fn sum(parts: &[&Value], name: &str) -> Option<f64> {
    parts.iter().filter_map(|part| number(part, name)).reduce(|a, b| a + b)
}

fn times(parts: &[&Value], name: &str, of: PartsOf) -> Option<f64> {
    let numbers = parts.iter().filter_map(|part| number(part, name));
    numbers.reduce(if of == PartsOf::Run { |a, b| a + b } else { f64::max })
}

/// Time and energy of several parts. Their errors are independent, so the squares of the half widths are added.
fn joined(parts: &[&Value], of: PartsOf) -> Map<String, Value> {
    let joules = sum(parts, "energy_j");
    let off = |name: &str| {
        let half = |part: &&Value| Some(number(part, name)? - number(part, "energy_j")?);
        parts.iter().filter_map(half).map(|half| half * half).sum::<f64>().sqrt()
    };
    let fields = [
        ("duration_s", times(parts, "duration_s", of)),
        ("energy_j", joules),
        ("energy_low_j", joules.map(|joules| (joules - off("energy_low_j")).max(0.0))),
        ("energy_high_j", joules.map(|joules| joules + off("energy_high_j"))),
    ];
    fields.map(|(name, value)| (name.to_owned(), json!(value))).into_iter().collect()
}

/// The share of the time that readings confirm, as the mean over the time of the parts.
fn coverage(rows: &[&Value]) -> Option<f64> {
    let part = |row: &&Value| Some((number(row, "coverage")?, number(row, "duration_s")?));
    let parts: Vec<(f64, f64)> = rows.iter().filter_map(part).collect();
    let seconds: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
    (seconds > 0.0).then(|| parts.iter().map(|(share, seconds)| share * seconds).sum::<f64>() / seconds)
}

/// Energy in an epoch on the mean. Ranks do the same epochs; attempts do different ones.
fn each_epoch_j(rows: &[&Value], of: PartsOf) -> Option<f64> {
    if of == PartsOf::Job {
        return sum(rows, "each_epoch_j");
    }
    let part = |row: &&Value| Some((number(row.get("epochs")?, "energy_j")?, number(row, "each_epoch_j")?));
    let parts: Vec<(f64, f64)> = rows.iter().filter_map(part).filter(|(_, each)| *each > 0.0).collect();
    let epochs: f64 = parts.iter().map(|(joules, each)| joules / each).sum();
    (epochs > 0.0).then(|| parts.iter().map(|(joules, _)| joules).sum::<f64>() / epochs)
}
