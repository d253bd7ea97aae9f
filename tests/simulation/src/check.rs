//! What must be true of every world, whatever happened in it.

mod kept;

use crate::application::Truth;
use crate::check_more::{calls, misplaced_j};
use crate::device::{Device, Meter};
use crate::disk::is_journal;
use crate::grid_check;
use crate::scenario::Running;
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::run_files;
use serde_json::Value;

/// The share by which energy may be wrong that is filled in.
const FILL_IN_ERROR: f64 = 0.3;

/// A counter that stands still for this time is stalled, s.
const STALL_S: f64 = 6.0;

/// The library knows the power that it fills in from readings of this time at least, s: `MIN_KNOWN_S` in the meter.
const MIN_KNOWN_S: f64 = 0.3;

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

/// The error of a meter's number at one instant, J.
pub fn step_error(device: &Device) -> f64 {
    let most = device.power.iter().map(|(_, watts)| *watts).fold(0.0, f64::max);
    // Between two readings the power counts as constant. The readings next to a mark are this far from it.
    let gap_s = if device.power.len() > 1 { 1.5 } else { 0.0 };
    let step_s = if device.joules_per_unit.is_some() { device.step_ns as f64 * 1e-9 } else { 0.0 };
    // A short stall looks like a slow meter: its energy comes later.
    let stall_s = if device.faults.iter().any(|(_, fault)| *fault == Meter::Stalls) { STALL_S } else { 0.0 };
    most * (step_s + 1e-5 + gap_s + stall_s) + 2.0 * device.joules_per_unit.unwrap_or(0.0)
}

/// The limits of what a meter's readings can show, for one device in one run.
struct Limits {
    /// The error at the run's begin and end, and of a power between its readings, J.
    error: f64,
    /// A counter with a range that restarts looks like one that wraps: its step is plausible up to `max_watts`, J.
    /// After a long silence the number of its wraps is a guess by the power before.
    restart: f64,
    /// Energy that a counter did not count in the gap in which it stalled or restarted, J. Both of the gap's readings
    /// are good, so the gap is measured.
    last_gap: f64,
    /// The most by which a power that is filled in exceeds the true one, W.
    fill_in_watts: f64,
}

impl Limits {
    fn new(world: &Running, device: &Device, (first, last): (u64, u64)) -> Limits {
        let gap_s = world.scenario.longest_gap_s();
        let is_counter = device.joules_per_unit.is_some();
        // A counter shows the energy of its silence afterwards. A mark within divides that energy evenly by time.
        let silent_s = if is_counter { device.silent_ns() as f64 * 1e-9 } else { 0.0 };
        let gap_ns = ((gap_s + silent_s) * 1e9) as u64;
        // The power that is filled in before the first reading may be read after the run's end.
        let known_at = first + world.scenario.opening_ns() + (MIN_KNOWN_S * 1e9) as u64;
        let (from, to) = (first.saturating_sub(gap_ns), last.max(known_at) + 2 * gap_ns);
        let changes: Vec<(u64, f64)> = device.power.iter().copied().filter(|(at, _)| (from..to).contains(at)).collect();
        let powers = || changes.iter().map(|(_, watts)| *watts).chain([device.watts(from)]);
        let (least, most) = (powers().fold(f64::MAX, f64::min), powers().fold(0.0, f64::max));
        let step_s = device.step_ns as f64 * 1e-9;
        // A change by d W at t in a gap of g s is wrong by d (t - g / 2) in the trapezoid, and by d g / 4 at most where
        // a mark divides the gap. A counter counts each change, so only a mark's gap and the next one matter.
        let matters = |at: u64| !is_counter || at.abs_diff(first) < 2 * gap_ns || at.abs_diff(last) < 2 * gap_ns;
        let before = |at: u64| device.watts(at.saturating_sub(1));
        let changed: f64 =
            changes.iter().filter(|(at, _)| matters(*at)).map(|(at, watts)| (watts - before(*at)).abs()).sum();
        let has = |kinds: &[Meter]| device.faults.iter().any(|(at, fault)| *at < to && kinds.contains(fault));
        // Of the interval around a mark, each reading may be a step old, and the power after the mark a step off.
        let at_mark_s = if is_counter { 2.0 * step_s } else { 0.0 } + 1e-5;
        // A short stall looks like a slow meter: its energy comes later.
        let stall_s = if has(&[Meter::Stalls]) { STALL_S } else { 0.0 };
        let at_marks = 2.0 * (most * (at_mark_s + stall_s) + 2.0 * device.joules_per_unit.unwrap_or(0.0));
        let stops_within = has(&[Meter::Stalls, Meter::Restarts]);
        let wraps = device.range.is_some() && has(&[Meter::Restarts]);
        let round_j = device.range.zip(device.joules_per_unit).map(|(range, unit)| range as f64 * unit);
        let guessed = round_j.filter(|round_j| device.max_watts * (silent_s + gap_s) >= *round_j);
        let guessed_j = guessed.map_or(0.0, |round_j| round_j + (most - least) * (silent_s + gap_s));
        // The power before a restart may be known from two steps only.
        let known_to = match has(&[Meter::Restarts]) {
            _ if !is_counter => 0.0,
            true => 1.0,
            false => step_s / MIN_KNOWN_S,
        };
        Limits {
            error: at_marks + changed * (gap_s + silent_s + step_s),
            restart: if wraps { device.max_watts * gap_s } else { 0.0 } + guessed_j,
            last_gap: if is_counter && stops_within { most * gap_s } else { 0.0 },
            fill_in_watts: most * (1.0 + known_to) - least,
        }
    }
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
    Ok(())
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
        if sum < inside - error - opening {
            return Err(format!("{}: the ranks count {sum} J, but their epochs have {inside} J", device.name));
        }
    }
    Ok(())
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
