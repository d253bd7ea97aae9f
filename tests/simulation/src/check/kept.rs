//! What must be left after a process: its journal, and the energy that other ranks count.

use super::{Checked, number, opening_j, step_error, union};
use crate::application::{End, Truth};
use crate::device::{Device, Meter};
use crate::disk::is_journal;
use crate::scenario::Running;
use carbontracker::run_files;
use serde_json::Value;

/// The text of a report's field.
fn text<'a>(report: &'a Value, pointer: &str) -> Option<&'a str> {
    report.pointer(pointer).and_then(Value::as_str)
}

/// The energy of a device in a report or journal.
fn energy(report: &Value, device: &Device) -> Option<f64> {
    let components = report.pointer("/components")?.as_array()?;
    number(components.iter().find(|one| text(one, "/id") == Some(&device.name))?, "/energy_j")
}

/// The journals of a world, as reports.
fn read_all(world: &Running) -> Vec<Value> {
    let Ok(entries) = std::fs::read_dir(&world.disk.folder) else { return Vec::new() };
    let journals = entries.flatten().map(|entry| entry.path()).filter(|path| is_journal(path));
    journals.filter_map(|path| Some(run_files::read(&path).ok()?.report)).collect()
}

/// After the last kill, the other ranks count all energy of their epochs.
pub fn survivors(world: &Running, lives: &[(usize, Truth)]) -> Checked {
    let traits = &world.scenario.traits;
    let Some(killed_at) = lives.iter().filter_map(|(_, truth)| truth.killed_at).max() else { return Ok(()) };
    let left = || lives.iter().map(|(_, truth)| truth).filter(|truth| truth.killed_at.is_none());
    let is_whole = |truth: &Truth| truth.has_ended && truth.refused.is_none() && !truth.has_cancelled;
    let is_known = !traits.has_meter_faults && traits.refused.is_none() && !world.scenario.stops();
    if !is_known || !left().all(is_whole) {
        return Ok(());
    }
    let after = |(begin, end): &(u64, u64)| (killed_at.max(*begin), killed_at.max(*end));
    let inside = union(left().flat_map(|truth| truth.epochs.iter().map(after)).collect());
    for device in world.scenario.devices().filter(|device| device.power.len() == 1) {
        let true_j: f64 = inside.iter().map(|(begin, end)| device.joules(*end) - device.joules(*begin)).sum();
        let sum: f64 = left().filter_map(|truth| energy(&truth.report.as_ref()?.1, device)).sum();
        let opening: f64 = left().map(|truth| opening_j(world, truth, device)).sum();
        let error = 2.0 * step_error(device) * (1 + lives.len()) as f64;
        if sum < true_j - error - opening {
            return Err(format!("{}: after a kill, the other ranks count {sum} J of {true_j} J", device.name));
        }
    }
    Ok(())
}

/// Of two processes that ask for a run at once, one works on it.
pub fn rivals(lives: &[(usize, Truth)]) -> Checked {
    let spans = lives.iter().filter_map(|(_, truth)| {
        let (at, report) = truth.report.as_ref().filter(|_| truth.has_reported)?;
        Some((text(report, "/run/id")?, truth.first_begin?, *at, truth.process))
    });
    let spans: Vec<_> = spans.collect();
    for (index, (id, begin, end, process)) in spans.iter().enumerate() {
        let is_same = |(other, from, to, _): &&(&str, u64, u64, u32)| other == id && from < end && begin < to;
        if let Some((_, _, _, other)) = spans.iter().take(index).find(is_same) {
            return Err(format!("the processes {other} and {process} work on one run, {id}"));
        }
    }
    Ok(())
}

/// The journal of each process that ended in order has all its epochs and their energy. The journals of a job have no
/// energy twice.
pub fn journals(world: &Running, lives: &[(usize, Truth)]) -> Checked {
    let traits = &world.scenario.traits;
    if !world.has_files() || traits.resumes || traits.has_disk_faults || traits.has_power_cut {
        return Ok(());
    }
    let journals = read_all(world);
    if traits.ranks > 1 {
        super::no_energy_twice(world, lives, "the journals", |device| {
            journals.iter().filter_map(|journal| energy(journal, device)).sum()
        })?;
    }
    let hangs = world.scenario.devices().any(|device| device.faults.iter().any(|(_, fault)| *fault == Meter::Hangs));
    if hangs || world.scenario.has_slow_disk() {
        return Ok(()); // the end waits for neither
    }
    for (rank, truth) in lives.iter().filter(|(_, truth)| truth.has_ended && truth.refused.is_none()) {
        if world.scenario.end(*rank) == Some(End::Exits) && world.scenario.stops() {
            continue; // an exit waits for a second, and the process may be stopped for longer
        }
        let Some((_, report)) = &truth.report else { continue };
        journal(world, truth, report, &journals).map_err(|why| format!("rank {rank}: {why}"))?;
    }
    Ok(())
}

/// Compares the journal of one process with its last report.
fn journal(world: &Running, truth: &Truth, report: &Value, journals: &[Value]) -> Checked {
    let id = text(report, "/run/id");
    let Some(journal) = journals.iter().find(|journal| text(journal, "/run/id") == id) else {
        return Err(format!("no journal of the run {id:?} can be read"));
    };
    let (done, ended) = (number(journal, "/run/epochs_done"), truth.epochs.len());
    if done != Some(ended as f64) {
        return Err(format!("{ended} epochs ended, and the journal has {done:?}"));
    }
    if text(journal, "/run/state") == Some("unfinished") {
        return Err("the process ended, and its journal has no end".into());
    }
    super::phases::journal(report, journal)?;
    let traits = &world.scenario.traits;
    for device in world.scenario.devices().filter(|_| traits.ranks == 1 && !traits.has_meter_faults) {
        let (Some(reported), Some(written)) = (energy(report, device), energy(journal, device)) else { continue };
        let error = 1e-6 * reported + opening_j(world, truth, device);
        if (reported - written).abs() > error {
            return Err(format!("{}: {reported} J in the report, {written} J in the journal", device.name));
        }
    }
    Ok(())
}
