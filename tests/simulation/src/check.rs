//! What must be true of every world, whatever happened in it.

mod kept;
mod limits;
mod phases;

use crate::application::Truth;
use crate::check_more::{calls, misplaced_j};
use crate::device::{Device, Meter};
use crate::disk::is_journal;
use crate::grid_check;
use crate::scenario::Running;
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::run_files;
use limits::Limits;
use serde_json::Value;

/// The share by which energy may be wrong that is filled in.
const FILL_IN_ERROR: f64 = 0.3;

pub use limits::step_error;

/// The result of a check. The error says what is wrong.
pub type Checked = Result<(), String>;

/// Checks a world that has ended.
pub fn all(world: &Running) -> Checked {
    let lives: Vec<(usize, Truth)> =
        world.lives.borrow().iter().map(|(rank, noted)| (*rank, noted.borrow().clone())).collect();
    for (rank, truth) in &lives {
        one(world, truth).map_err(|why| format!("rank {rank}, process {}: {why}", truth.process))?;
    }
    if world.scenario.traits.ranks > 1 {
        job(world, &lives)?;
        kept::survivors(world, &lives)?;
        phases::job(world, &lives)?;
    }
    match &world.scenario.traits {
        traits if traits.has_rival => kept::rivals(&lives)?,
        traits if traits.resumes => resumed(world, &lives)?,
        _ => (),
    }
    files(world)?;
    kept::journals(world, &lives)
}

fn number(report: &Value, pointer: &str) -> Option<f64> {
    report.pointer(pointer).and_then(Value::as_f64)
}

/// Checks one process by itself.
fn one(world: &Running, truth: &Truth) -> Checked {
    if let Some(fault) = truth.messages.iter().find(|message| message.contains("internal error")) {
        return Err(fault.clone());
    }
    calls(world, truth)?;
    grid_check::one(world, truth)?;
    let Some((_, report)) = &truth.report else { return Ok(()) };
    let traits = &world.scenario.traits;
    finite(report)?;
    if truth.has_ended && !traits.resumes {
        let done = number(report, "/run/epochs_done");
        if done != Some(truth.epochs.len() as f64) {
            return Err(format!("{done:?} epochs instead of {}", truth.epochs.len()));
        }
    }
    forecast(report)?;
    if !traits.resumes && truth.has_ended {
        times(truth, report)?;
        energies(world, truth, report)?;
    }
    phases::one(world, truth, report)
}

/// No number is out of all bounds.
fn finite(value: &Value) -> Checked {
    match value {
        Value::Number(number) if number.as_f64().is_none_or(|number| !number.is_finite() || number.abs() > 1e19) => {
            Err(format!("the number {number}"))
        }
        Value::Array(values) => values.iter().try_for_each(finite),
        Value::Object(fields) => fields.values().try_for_each(finite),
        _ => Ok(()),
    }
}

fn forecast(report: &Value) -> Checked {
    for what in ["energy_j", "duration_s", "co2eq_g"] {
        let at = |name: &str| number(report, &format!("/forecast/{what}/{name}"));
        let Some((value, (low, high))) = at("value").zip(at("low").zip(at("high"))) else { continue };
        let used = number(report, &format!("/usage/{what}")).unwrap_or(0.0);
        let slack = 1e-9 * used.abs();
        if !(low <= value + slack && value <= high + slack) {
            return Err(format!("forecast of {what}: {low} <= {value} <= {high}"));
        }
        if value + slack < used {
            return Err(format!("forecast of {what}: {value} is less than the {used} used"));
        }
    }
    Ok(())
}

fn times(truth: &Truth, report: &Value) -> Checked {
    let inside: u64 = truth.epochs.iter().map(|(begin, end)| end - begin).sum();
    let in_epochs = number(report, "/usage/epochs/duration_s").unwrap_or(0.0);
    if (in_epochs - inside as f64 * 1e-9).abs() > 1e-6 {
        return Err(format!("{in_epochs} s in epochs instead of {} ns", inside));
    }
    let parts = in_epochs + number(report, "/usage/between/duration_s").unwrap_or(0.0);
    let whole = number(report, "/usage/duration_s").unwrap_or(0.0);
    if (parts - whole).abs() > 1e-6 {
        return Err(format!("{parts} s in and between epochs, but {whole} s in all"));
    }
    Ok(())
}

/// The energy in and between epochs is all of it.
fn parts(report: &Value) -> Checked {
    let whole = number(report, "/usage/energy_j");
    let parts: Option<f64> =
        number(report, "/usage/epochs/energy_j").zip(number(report, "/usage/between/energy_j")).map(|(a, b)| a + b);
    if let Some((whole, parts)) = whole.zip(parts)
        && (whole - parts).abs() > 1e-6 * whole.max(1.0)
    {
        return Err(format!("{parts} J in and between epochs, but {whole} J in all"));
    }
    Ok(())
}

fn energies(world: &Running, truth: &Truth, report: &Value) -> Checked {
    parts(report)?;
    let (Some(first), Some((_, last))) = (truth.first_begin, truth.epochs.last().copied()) else { return Ok(()) };
    let components = report.pointer("/components").and_then(Value::as_array).cloned().unwrap_or_default();
    for device in world.scenario.devices() {
        let is_it = |one: &&Value| one.pointer("/id").and_then(Value::as_str) == Some(&device.name);
        let Some(component) = components.iter().find(is_it) else { continue };
        let Some(joules) = number(component, "/energy_j") else { continue };
        let true_j = device.joules(last) - device.joules(first);
        let coverage = number(component, "/coverage").unwrap_or(0.0);
        let limits = Limits::new(world, device, (first, last));
        let unknown_s = (1.0 - coverage) * (last - first) as f64 * 1e-9;
        if joules > true_j + limits.error + limits.restart + unknown_s * limits.fill_in_watts {
            return Err(format!("{}: {joules} J instead of {true_j} J: energy was invented", device.name));
        }
        let is_exact = device.power.len() == 1 && !truth.has_cancelled && world.scenario.traits.ranks == 1;
        if is_exact && joules < true_j * coverage - limits.error - limits.last_gap {
            return Err(format!("{}: {joules} J of {true_j} J, but the coverage is {coverage}", device.name));
        }
    }
    Ok(())
}

/// The energy of a device in a report.
pub fn counted(truth: &Truth, device: &Device) -> Option<f64> {
    let (_, report) = truth.report.as_ref()?;
    let components = report.pointer("/components")?.as_array()?;
    let is_it = |one: &&Value| one.pointer("/id").and_then(Value::as_str) == Some(&device.name);
    number(components.iter().find(is_it)?, "/energy_j")
}

/// The energy of a device until a process's meters are open. The library fills it in, if the process reads them at all.
pub fn opening_j(world: &Running, truth: &Truth, device: &Device) -> f64 {
    let begin = truth.first_begin.unwrap_or(0);
    device.joules(begin + world.scenario.opening_ns()) - device.joules(begin)
}

/// The ranks of a job count each device once.
fn job(world: &Running, lives: &[(usize, Truth)]) -> Checked {
    let ended = || lives.iter().map(|(_, truth)| truth).filter(|truth| truth.has_ended);
    no_energy_twice(world, lives, "the ranks", |device| ended().filter_map(|truth| counted(truth, device)).sum())?;
    // Without shared memory only the first rank counts. A killed process takes joules with it. What a rank cancels, no
    // rank counts. A device that hangs keeps the driver from reading the others.
    let all_end = lives.iter().all(|(_, truth)| truth.has_ended && truth.refused.is_none() && !truth.has_cancelled);
    if !all_end || world.scenario.traits.has_meter_faults || world.scenario.traits.refused.is_some() {
        return Ok(());
    }
    let all_inside = union(lives.iter().flat_map(|(_, truth)| truth.epochs.iter().copied()).collect());
    for device in world.scenario.devices().filter(|device| device.power.len() == 1) {
        let sum: f64 = ended().filter_map(|truth| counted(truth, device)).sum();
        let opening: f64 = ended().map(|truth| opening_j(world, truth, device)).sum();
        let error = 2.0 * step_error(device) * (1 + lives.len()) as f64;
        let inside: f64 = all_inside.iter().map(|(begin, end)| device.joules(*end) - device.joules(*begin)).sum();
        if sum < inside - error - opening - unclaimed_j(device, lives) {
            return Err(format!("{}: the ranks count {sum} J, but their epochs have {inside} J", device.name));
        }
    }
    Ok(())
}

/// The energy of a device since the last epoch of a rank that has still to end, until the last report of another rank.
/// The first one may count the device. It leaves that energy to the other ranks at its end, too late for that report.
fn unclaimed_j(device: &Device, lives: &[(usize, Truth)]) -> f64 {
    let span = |truth: &Truth| Some((truth.epochs.last()?.1, truth.report.as_ref()?.0 + truth.longest_ns[2]));
    let spans: Vec<(u64, u64)> = lives.iter().filter_map(|(_, truth)| span(truth)).collect();
    let reports = lives.iter().filter_map(|(_, truth)| Some(truth.report.as_ref()?.0));
    let since = |at: u64| spans.iter().filter(|(end, gone)| *end < at && at <= *gone).map(|(end, _)| *end).min();
    reports.filter_map(|at| Some(device.joules(at) - device.joules(since(at)?))).sum()
}

/// The sum over a job counts no energy of a device twice. `of` has the sum.
fn no_energy_twice(world: &Running, lives: &[(usize, Truth)], what: &str, of: impl Fn(&Device) -> f64) -> Checked {
    let begins = lives.iter().filter_map(|(_, truth)| truth.first_begin);
    let ends = lives.iter().filter_map(|(_, truth)| Some(truth.epochs.last()?.1));
    let (Some(first), Some(last)) = (begins.min(), ends.max()) else { return Ok(()) };
    for device in world.scenario.devices() {
        let sum = of(device);
        let opening: f64 = lives.iter().map(|(_, truth)| opening_j(world, truth, device)).sum();
        let true_j = device.joules(last) - device.joules(first);
        let error = 2.0 * step_error(device) * (1 + lives.len()) as f64;
        // Each rank fills in the time until its meters are open, at the power after it. After a fault the time is
        // filled in at the power before it.
        let filled_in_s = match device.faults.is_empty() {
            true => world.scenario.opening_ns() as f64 * 1e-9 * lives.len() as f64,
            false => (last - first) as f64 * 1e-9,
        };
        let is_steady = device.power.len() == 1 && device.faults.is_empty();
        let limits = Some(Limits::new(world, device, (first, last))).filter(|_| !is_steady);
        let unsteady_j = limits.map_or(0.0, |limits| limits.error + limits.fill_in_watts * filled_in_s);
        if sum > true_j + error + FILL_IN_ERROR * opening + unsteady_j {
            return Err(format!("{}: {what} count {sum} J of {true_j} J", device.name));
        }
    }
    Ok(())
}

/// Intervals joined where they overlap.
pub fn union(mut intervals: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    intervals.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in intervals {
        match joined.last_mut() {
            Some(last) if begin <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((begin, end)),
        }
    }
    joined
}

/// A resumed run has all ended epochs of its lives.
fn resumed(world: &Running, lives: &[(usize, Truth)]) -> Checked {
    let Some((_, last)) = lives.last() else { return Ok(()) };
    let Some((_, report)) = last.report.as_ref().filter(|_| last.has_ended) else { return Ok(()) };
    let traits = &world.scenario.traits;
    phases::resumed(report, lives)?;
    let is_safe = !traits.has_disk_faults && !traits.has_power_cut && traits.refused.is_none();
    let lives = if is_safe { of_last_run(report, lives) } else { lives };
    let done = number(report, "/run/epochs_done").unwrap_or(0.0) as usize;
    let ended_in = |lives: &[(usize, Truth)]| lives.iter().map(|(_, truth)| truth.epochs.len()).sum::<usize>();
    // A kill after the journal's end leaves a run that has ended, so the next life begins a new one. A kill just before
    // that leaves one to resume.
    let ends = (1..lives.len()).rev().filter(|at| lives.get(at - 1).is_some_and(|(_, truth)| truth.has_reported));
    let lives = ends.filter_map(|at| lives.get(at..)).find(|lives| ended_in(lives) == done).unwrap_or(lives);
    let ended = ended_in(lives);
    if done > ended {
        return Err(format!("{done} epochs, but only {ended} ended"));
    }
    parts(report)?;
    if is_safe && done != ended {
        return Err(format!("{done} epochs, but {ended} ended in {} lives", lives.len()));
    }
    let mut sums = [(0.0, 0.0); DeviceKind::ALL.len()];
    for device in world.scenario.devices() {
        let components = report.pointer("/components").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_it = |one: &&Value| one.pointer("/id").and_then(Value::as_str) == Some(&device.name);
        let Some(component) = components.iter().find(is_it) else { continue };
        let joules = number(component, "/energy_j").unwrap_or(0.0);
        let most_j = most_in_lives(world, device, lives, number(component, "/coverage").unwrap_or(0.0));
        if joules > most_j + misplaced_j(world, device, lives) {
            return Err(format!("{}: {joules} J in all lives instead of at most {most_j} J", device.name));
        }
        let (sum_j, most_sum_j) = &mut sums[device.kind as usize];
        (*sum_j, *most_sum_j) = (*sum_j + joules, *most_sum_j + most_j);
    }
    match sums.iter().find(|(sum_j, most_j)| sum_j > most_j) {
        Some((sum_j, most_j)) => Err(format!("a kind of device: {sum_j} J in all lives instead of at most {most_j} J")),
        None => Ok(()),
    }
}

/// The most energy, J, that the report of a resumed run may have for a device.
fn most_in_lives(world: &Running, device: &Device, lives: &[(usize, Truth)], coverage: f64) -> f64 {
    let span = |truth: &Truth| Some((truth.first_begin?, truth.epochs.last()?.1));
    let spans: Vec<(u64, u64)> = lives.iter().filter_map(|(_, truth)| span(truth)).collect();
    let between = |(begin, end): (u64, u64)| device.joules(end.max(begin)) - device.joules(begin);
    let true_j: f64 = spans.iter().copied().map(between).sum();
    // A counter that stood still at a kill shows the energy between two lives in the later one.
    let stalls = device.faults.iter().any(|(_, fault)| *fault == Meter::Stalls);
    let whole = spans.first().zip(spans.last()).map(|(first, last)| between((first.0, last.1)));
    let most_j = whole.filter(|_| stalls).unwrap_or(true_j);
    let limits = |span: (u64, u64)| Limits::new(world, device, span);
    let of_lives: f64 = spans.iter().copied().map(limits).map(|one| one.error + one.restart + one.last_gap).sum();
    let error = 2.0 * step_error(device) * (1 + lives.len()) as f64 + of_lives;
    most_j + error + FILL_IN_ERROR * (1.0 - coverage) * true_j
}

/// The lives of the last run. A new run begins if all planned epochs are done, or if no journal has its first line yet:
/// the disk was slow, or the kill came in the middle of that line.
fn of_last_run<'a>(report: &Value, lives: &'a [(usize, Truth)]) -> &'a [(usize, Truth)] {
    let planned = number(report, "/run/epochs_planned").map_or(0, |planned| planned as usize);
    let (mut first, mut done) = (0, 0);
    for (index, (_, truth)) in lives.iter().enumerate() {
        if planned > 0 && done >= planned || !truth.finds_journal {
            (first, done) = (index, 0);
        }
        done += truth.epochs.len();
    }
    lives.get(first..).unwrap_or_default()
}

/// Every journal can be read.
fn files(world: &Running) -> Checked {
    if !world.has_files() {
        return Ok(());
    }
    let may_be_empty = world.has_deaths() || world.scenario.has_slow_disk();
    let entries = std::fs::read_dir(&world.disk.folder).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let path = entry.path();
        // A kill or an exec may come in the middle of the first line. So may an exit, if the disk is slow.
        let is_opened = std::fs::read(&path).is_ok_and(|text| text.contains(&b'\n'));
        if is_journal(&path) && (is_opened || !may_be_empty) {
            match run_files::read(&path) {
                Ok(read) => finite(&read.report)?,
                // The process ended before it could write the journal again.
                Err(_) if world.scenario.traits.has_cuts && world.scenario.has_slow_disk() => (),
                Err(_) if world.scenario.traits.has_power_cut || world.scenario.traits.has_disk_faults => (),
                Err(why) => return Err(why),
            }
        }
    }
    Ok(())
}
