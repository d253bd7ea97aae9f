//! What must be true of the time of calls, of memory, and of the ranks that outlive others.

use crate::application::Truth;
use crate::check::{Checked, counted, opening_j, step_error, union};
use crate::device::Device;
use crate::scenario::Running;

const S: u64 = 1_000_000_000;

/// After this time the ranks that live count the devices of a process whose program ended, ns: no poll for 5 s, and the
/// next poll.
const TAKEOVER_NS: u64 = 12 * S;

/// The most memory that a world holds for each life of a process, bytes.
const MAX_BYTES: u64 = 8 << 20;

/// No call waits for a service, a meter or the disk for long.
pub fn calls(world: &Running, truth: &Truth) -> Checked {
    const CALLS: [(&str, u64); 3] = [("begin or end", S / 1000), ("a report", 3 * S), ("the tracker's end", 10 * S)];
    let slack = world.scenario.stops_ns() + 100 * world.scenario.late_ns();
    let late = CALLS.iter().zip(truth.longest_ns).find(|((_, most), took)| *took > most + slack);
    late.map_or(Ok(()), |((call, _), took)| Err(format!("{call} took {:.3} s", took as f64 * 1e-9)))
}

/// A tracker's memory is bounded, however long it runs.
pub fn memory(most_bytes: u64) -> Checked {
    if most_bytes > MAX_BYTES { Err(format!("{most_bytes} bytes for each life of a process")) } else { Ok(()) }
}

/// Soon after the last death of a program, the ranks that live count each device in their epochs.
pub fn survivors(world: &Running, lives: &[(usize, Truth)]) -> Checked {
    let Some(death) = world.deaths.borrow().iter().max().copied() else { return Ok(()) };
    let ended = || lives.iter().map(|(_, truth)| truth).filter(|truth| truth.has_ended);
    let is_disturbed = world.scenario.stops_ns() + world.scenario.late_ns() > 0;
    let is_odd = |(_, truth): &(usize, Truth)| truth.refused.is_some() || truth.has_cancelled;
    if is_disturbed || world.scenario.traits.has_meter_faults || lives.iter().any(is_odd) {
        return Ok(());
    }
    let epochs = union(ended().flat_map(|truth| truth.epochs.iter().copied()).collect());
    let after =
        epochs.into_iter().map(|(begin, end)| (begin.max(death + TAKEOVER_NS), end)).filter(|one| one.0 < one.1);
    let after: Vec<(u64, u64)> = after.collect();
    for device in world.scenario.devices().filter(|device| device.power.len() == 1) {
        let sum: f64 = ended().filter_map(|truth| counted(truth, device)).sum();
        let opening: f64 = ended().map(|truth| opening_j(world, truth, device)).sum();
        let inside: f64 = after.iter().map(|(begin, end)| device.joules(*end) - device.joules(*begin)).sum();
        let error = 2.0 * step_error(device) * (1 + lives.len()) as f64;
        if sum < inside - error - opening {
            return Err(format!(
                "{}: the ranks count {sum} J, but after the last death they have {inside} J",
                device.name
            ));
        }
    }
    Ok(())
}

/// Energy that a resumed run may count for another device of its kind, J. After a kill between an epoch's line and the
/// numbers that follow it, the journal has the energy of these epochs by kind only.
pub fn misplaced_j(world: &Running, device: &Device, lives: &[(usize, Truth)]) -> f64 {
    const EPOCHS: usize = 3;
    let killed = lives.iter().filter(|(_, truth)| !truth.has_ended);
    let epochs: Vec<(u64, u64)> =
        killed.flat_map(|(_, truth)| truth.epochs.iter().rev().take(EPOCHS).copied()).collect();
    let others = world.scenario.devices().filter(|other| other.kind == device.kind && other.name != device.name);
    let used =
        |other: &Device| epochs.iter().map(|(begin, end)| other.joules(*end) - other.joules(*begin)).sum::<f64>();
    others.map(used).sum()
}
