//! Values in the lines of a journal.

use crate::attribution::account::Energy;
use crate::attribution::epochs::PerKind;
use crate::attribution::ledger::EnergySplit;
use crate::measurement::channel::DeviceKind;
use serde_json::Value;

/// Energy in epochs and between them, as the journal has it.
pub fn energies(used: &Value) -> EnergySplit {
    let energy = |index: usize| {
        let part = |n: usize| used.pointer(&format!("/{index}/{n}")).and_then(amount);
        let ns = |n: usize| part(n).unwrap_or(0.0) * 1e9;
        Energy { joules: part(0), credited_ns: ns(1), measured_ns: ns(2), by_time_j: [0.0; 2] }
    };
    EnergySplit { epochs: energy(0), between: energy(1) }
}

/// Energy by kind of device.
pub fn per_kind(of: &Value) -> PerKind {
    let mut energy = PerKind::default();
    for kind in DeviceKind::ALL {
        if let Some(joules) = of.get(kind.joules()).and_then(amount) {
            energy.add(kind, joules);
        }
    }
    energy
}

/// A finite number, 0 or more, such as an energy, a mass or a time.
pub fn amount(value: &Value) -> Option<f64> {
    value.as_f64().filter(|amount| (0.0..=f64::MAX).contains(amount))
}

/// Seconds as nanoseconds. None: more than 30 years, or no valid number.
pub fn ns(seconds: Option<&Value>) -> Option<u64> {
    const MAX_S: f64 = 1e9;
    amount(seconds?).filter(|seconds| *seconds < MAX_S).map(|seconds| (seconds * 1e9).round() as u64)
}
