//! What the readings of a meter can show: the errors that no library could avoid.

use crate::device::{Device, Meter};
use crate::scenario::Running;

/// A counter that stands still for this time is stalled, s.
const STALL_S: f64 = 6.0;

/// The library knows the power that it fills in from readings of this time at least, s: `MIN_KNOWN_S` in the meter.
const MIN_KNOWN_S: f64 = 0.3;

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
pub struct Limits {
    /// The error at the run's begin and end, and of a power between its readings, J.
    pub error: f64,
    /// A counter with a range that restarts looks like one that wraps: its step is plausible up to `max_watts`, J.
    /// After a long silence the number of its wraps is a guess by the power before.
    pub restart: f64,
    /// Energy that a counter did not count in the gap in which it stalled or restarted, J. Both of the gap's readings
    /// are good, so the gap is measured.
    pub last_gap: f64,
    /// The most by which a power that is filled in exceeds the true one, W.
    pub fill_in_watts: f64,
}

impl Limits {
    /// The limits in the run from `first` to `last`, ns since boot.
    pub fn new(world: &Running, device: &Device, (first, last): (u64, u64)) -> Limits {
        let gap_s = world.scenario.longest_gap_s();
        let is_counter = device.joules_per_unit.is_some();
        // A counter shows the energy of its silence afterwards. A mark within divides that energy evenly by time.
        let silent_s = if is_counter { device.silent_ns() as f64 * 1e-9 } else { 0.0 };
        let gap_ns = ((gap_s + silent_s) * 1e9) as u64;
        // The power that is filled in before the first reading may be read after the run's end.
        let known_at = device.answers_from(first + world.scenario.opening_ns()) + (MIN_KNOWN_S * 1e9) as u64;
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
