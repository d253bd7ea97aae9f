//! What must be true of the time of calls and of memory.

use crate::application::Truth;
use crate::check::Checked;
use crate::device::Device;
use crate::scenario::Running;

const S: u64 = 1_000_000_000;

/// The most memory that a world holds for each life of a process, beside the journals that it reads, bytes.
const MAX_BYTES: u64 = 8 << 20;

/// The most memory of 256 phases for each device, and besides, bytes. It has the sums of pairs of phases, and their
/// copies in a report.
const PHASES_BYTES: [u64; 2] = [3 << 19, 4 << 20];

/// No call waits for a service, a meter or the disk for long.
pub fn calls(world: &Running, truth: &Truth) -> Checked {
    const CALLS: [(&str, u64); 3] = [("begin or end", S / 1000), ("a report", 3 * S), ("the tracker's end", 10 * S)];
    let slack = world.scenario.stops_ns() + 100 * world.scenario.late_ns();
    let late = CALLS.iter().zip(truth.longest_ns).find(|((_, most), took)| *took > most + slack);
    late.map_or(Ok(()), |((call, _), took)| Err(format!("{call} took {:.3} s", took as f64 * 1e-9)))
}

/// A tracker's memory is bounded, however long it runs.
pub fn memory(world: &Running, most_bytes: u64) -> Checked {
    let read_bytes: usize = world.disk.journals().iter().map(String::len).sum();
    let [for_each, besides] = PHASES_BYTES;
    let has_phases = world.lives.borrow().iter().any(|(_, noted)| noted.borrow().phases.first.is_some());
    let of_phases = if has_phases { besides + for_each * world.scenario.devices().count() as u64 } else { 0 };
    if most_bytes > MAX_BYTES + of_phases + 2 * read_bytes as u64 {
        return Err(format!("{most_bytes} bytes for each life of a process"));
    }
    Ok(())
}

/// Energy that a resumed run may count for another device of its kind, J. If a kill or a power cut keeps the last line
/// of a write from the journal, it has the energy of these epochs by kind only.
pub fn misplaced_j(world: &Running, device: &Device, lives: &[(usize, Truth)]) -> f64 {
    let killed = lives.iter().filter(|(_, truth)| !truth.has_ended);
    let epochs: Vec<(u64, u64)> = killed.flat_map(|(_, truth)| truth.epochs.iter().copied()).collect();
    let others = world.scenario.devices().filter(|other| other.kind == device.kind && other.name != device.name);
    let used =
        |other: &Device| epochs.iter().map(|(begin, end)| other.joules(*end) - other.joules(*begin)).sum::<f64>();
    others.map(used).sum()
}
