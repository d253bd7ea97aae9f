//! What must be true of the named phases: their sums, whatever happened, and their times.

use super::{Checked, Limits, number};
use crate::application::Truth;
use crate::phases::PhaseTruth;
use crate::scenario::Running;
use carbontracker::report::ranks::merged;
use serde_json::Value;

/// Relative error of a sum of floating-point numbers.
const ROUNDING: f64 = 1e-7;

/// Whether two sums are the same but for rounding.
fn are_equal(one: f64, other: f64) -> bool {
    (one - other).abs() <= ROUNDING * one.abs().max(other.abs()) + 1e-9
}

fn rows(section: &Value) -> &[Value] {
    section.get("rows").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn path(row: &Value) -> &str {
    row.get("path").and_then(Value::as_str).unwrap_or_default()
}

fn joules(row: &Value, pointer: &str) -> f64 {
    number(row, pointer).unwrap_or(0.0)
}

/// Whether a row lies within another, or is it.
fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) && !outer.is_empty()
        || inner == outer
}

/// The sums of a section. Its times are added up if it is of one process after another: ranks run at the same time.
fn sums(section: &Value, has_times: bool) -> Checked {
    let total_j = joules(section, "/energy_j");
    let names: &[&str] = if has_times { &["energy_j", "duration_s"] } else { &["energy_j"] };
    for name in names {
        let own = |row: &Value| joules(row, &format!("/own/{name}"));
        let (sum, total) = (rows(section).iter().map(own).sum::<f64>(), joules(section, &format!("/{name}")));
        if !are_equal(sum, total) {
            return Err(format!("phases: {sum} is the sum of {name}, {total} is the total"));
        }
        for row in rows(section) {
            let (whole, own) = (joules(row, &format!("/{name}")), own(row));
            let within = |other: &&Value| is_within(path(other), path(row));
            let parts: f64 = rows(section).iter().filter(within).map(|row| joules(row, &format!("/own/{name}"))).sum();
            let in_epochs = joules(row, &format!("/epochs/{name}"));
            let most = total * (1.0 + ROUNDING) + 1e-9;
            if own < 0.0 || whole > most || own > whole + ROUNDING * most || !are_equal(whole, parts) {
                return Err(format!("phase {:?}: {name} {whole}, own {own}, parts {parts} of {total}", path(row)));
            }
            if in_epochs < 0.0 || in_epochs > whole + ROUNDING * most {
                return Err(format!("phase {:?}: {name} {in_epochs} in epochs of {whole}", path(row)));
            }
        }
    }
    for row in rows(section) {
        for part in ["", "/own", "/epochs"] {
            let [value, low, high] =
                ["energy_j", "energy_low_j", "energy_high_j"].map(|end| number(row, &format!("{part}/{end}")));
            let slack = ROUNDING * total_j + 1e-9;
            let is_ordered = match (value, low, high) {
                (Some(value), Some(low), Some(high)) => 0.0 <= low && low <= value + slack && value <= high + slack,
                (value, low, high) => value.or(low).or(high).is_none(),
            };
            if !is_ordered {
                return Err(format!("phase {:?}{part}: {value:?} in {low:?} to {high:?}", path(row)));
            }
        }
    }
    Ok(())
}

/// Checks the phases of a report: its sums, and the times if it is of one process.
pub fn one(world: &Running, truth: &Truth, report: &Value) -> Checked {
    let section = &report["phases"];
    sums(section, true)?;
    let known = &truth.phases;
    if world.scenario.traits.resumes {
        return Ok(());
    }
    if known.first.is_none() != section.is_null() {
        return Err(format!("phases: {section} after the first at {:?}", known.first));
    }
    if !section.is_null() {
        times(known, section)?;
        most_energy(world, known, (joules(section, "/energy_j"), 1.0))?;
    }
    Ok(())
}

fn times(known: &PhaseTruth, section: &Value) -> Checked {
    let seconds = joules(section, "/duration_s");
    if (seconds - known.seconds()).abs() > 1e-6 {
        return Err(format!("{seconds} s in phases instead of {} s", known.seconds()));
    }
    if rows(section).iter().any(|row| path(row).split('/').any(|name| name == "other")) {
        return Ok(()); // there were more names than the tree has room for
    }
    for (name, &(ns, entries)) in known.own.iter().filter(|(_, time)| **time != (0, 0)) {
        let Some(row) = rows(section).iter().find(|row| path(row) == name) else {
            return Err(format!("phase {name:?}: {ns} ns and {entries} entries, and no row"));
        };
        let (found_s, times) = (joules(row, "/own/duration_s"), joules(row, "/entries"));
        if (found_s - ns as f64 * 1e-9).abs() > 1e-6 || times != entries as f64 {
            return Err(format!("phase {name:?}: {found_s} s, {times} times, instead of {ns} ns, {entries} times"));
        }
    }
    Ok(())
}

/// No energy is invented. `found` has the energy, and the number of processes that counted it.
fn most_energy(world: &Running, known: &PhaseTruth, (found_j, processes): (f64, f64)) -> Checked {
    let Some(first) = known.first else { return Ok(()) };
    let seconds = known.seconds();
    let most = world.scenario.devices().map(|device| {
        let limits = Limits::new(world, device, (first, known.last));
        let filled_in_s = if device.faults.is_empty() { world.scenario.opening_ns() as f64 * 1e-9 } else { seconds };
        let true_j = device.joules(known.last) - device.joules(first);
        let filled_in_j = filled_in_s.min(seconds) * limits.fill_in_watts;
        true_j + processes * (limits.error + limits.restart + filled_in_j)
    });
    let most_j: f64 = most.sum();
    if found_j > most_j {
        return Err(format!("phases: {found_j} J, but the devices used at most {most_j} J"));
    }
    Ok(())
}

/// The phases of all ranks are those of the job.
pub fn job(world: &Running, lives: &[(usize, Truth)]) -> Checked {
    let reports: Vec<&Value> = lives.iter().filter_map(|(_, truth)| Some(&truth.report.as_ref()?.1)).collect();
    let merged = merged(&reports);
    let section = &merged["phases"];
    let sum: f64 = reports.iter().map(|report| joules(report, "/phases/energy_j")).sum();
    let found = joules(section, "/energy_j");
    if !are_equal(sum, found) {
        return Err(format!("phases: the ranks have {sum} J, and the job {found} J"));
    }
    let firsts = lives.iter().filter_map(|(_, truth)| truth.phases.first);
    let last = lives.iter().map(|(_, truth)| truth.phases.last).max().unwrap_or(0);
    let known = PhaseTruth::of_span(firsts.min(), last);
    most_energy(world, &known, (found, (1 + lives.len()) as f64))?;
    sums(section, false)
}

/// A resumed run has the phases of its lives.
pub fn resumed(report: &Value, lives: &[(usize, Truth)]) -> Checked {
    let seconds = joules(&report["phases"], "/duration_s");
    let span = |truth: &Truth| Some((truth.marks?, truth.killed_at.unwrap_or(0)));
    let spans = lives.iter().filter_map(|(_, truth)| span(truth));
    let marked: f64 = spans.map(|((first, last), killed)| (last.max(killed) - first) as f64 * 1e-9).sum();
    let reported: f64 = lives.iter().map(|(_, truth)| truth.phases.seconds()).sum();
    let most = marked.max(reported);
    let least = lives.last().map_or(0.0, |(_, truth)| truth.phases.seconds());
    if seconds > most + 1e-6 || seconds < least - 1e-6 {
        return Err(format!("{seconds} s in phases of all lives instead of {least} to {most} s"));
    }
    Ok(())
}

/// The journal has the phases of the last report.
pub fn journal(report: &Value, journal: &Value) -> Checked {
    sums(&journal["phases"], true)?;
    let [reported, written] = [report, journal].map(|one| joules(&one["phases"], "/duration_s"));
    if written < reported - 1e-6 {
        return Err(format!("{reported} s in phases of the report, {written} s in the journal"));
    }
    Ok(())
}
