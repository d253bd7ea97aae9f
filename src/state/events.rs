//! Messages for the events of a channel.

use crate::measurement::channel::{Channel, Quantity};
use crate::measurement::meter::{Meter, MeterEvent};
use crate::measurement::reading::Fault;
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;

/// The message for an event of a channel.
pub fn in_words(channel: &Channel, event: MeterEvent) -> String {
    let name = format!("{} {} ({})", channel.source, channel.device, channel.id);
    match event {
        MeterEvent::Lost(fault @ (Fault::Stalled | Fault::NoPower)) => format!(
            "{name} shows no sign of life: {fault}; its energy since the last one is unknown, and not 0. Fix: {}",
            cure(channel)
        ),
        MeterEvent::Lost(fault) => format!(
            "{name} cannot be read any more: {fault}; its energy is unknown from here on; other devices are not affected, and it is tried again at every reading"
        ),
        MeterEvent::Back(seconds) => {
            let meanwhile = match channel.quantity {
                Quantity::Counter { .. } => "the energy that it counted meanwhile is included",
                Quantity::Power { .. } => "energy of a long gap stays unknown, energy of a short one is interpolated",
            };
            format!("{name} can be read again after {seconds:.1} s; {meanwhile}")
        }
        MeterEvent::Reset => format!(
            "{name} was set back or jumped; the time around it is filled with the power before, and marked as not measured"
        ),
        MeterEvent::Moves(seconds) => {
            format!("{name} moves again after {seconds:.1} s; energy used meanwhile was not counted")
        }
        MeterEvent::ByPower => format!(
            "{name} has a counter that does not move while the device reports power; that power is integrated instead"
        ),
        MeterEvent::Disagrees(ratio) => {
            format!("{name} {}; compare it with another meter, and look for a newer driver", disagreement(ratio))
        }
    }
}

/// How a counter differs from the power that the same device reports. `ratio` is counter / power.
pub fn disagreement(ratio: f64) -> String {
    format!(
        "disagrees with itself: its counter counts {:.0} % of the power that it reports; one of the two is wrong",
        100.0 * ratio
    )
}

/// The entry under `unavailable` for a channel that the source `by` replaces.
pub fn replaced(channel: &Channel, meter: &Meter, by: SourceName) -> Unavailable {
    let fault = meter.faults.fault.unwrap_or(Fault::Stalled);
    Unavailable {
        source: channel.source,
        reason: format!("{} ({}): {fault}; {by} stands in for it", channel.device, channel.id),
        cure: Some(cure(channel).into()),
    }
}

/// The fix for a channel without a sign of life.
pub fn cure(channel: &Channel) -> &'static str {
    match channel.source {
        SourceName::Rapl | SourceName::PerfRapl => {
            "in a virtual machine the counters may not move: measure on the host, or install the newest kernel and firmware"
        }
        SourceName::Nvml => "check whether nvidia-smi shows a power; a virtual GPU may have none: measure on the host",
        _ => "check whether the number in the file changes within a second; if not, install a newer driver or firmware",
    }
}
