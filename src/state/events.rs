//! What readings bring to light, in words for a person.

use crate::measurement::channel::{Channel, Quantity};
use crate::measurement::meter::{Meter, MeterEvent};
use crate::measurement::reading::Fault;
use crate::measurement::source::Unavailable;

/// An event of a channel.
pub fn in_words(channel: &Channel, event: MeterEvent) -> String {
    let who = format!("{} {} ({})", channel.source, channel.device, channel.id);
    match event {
        MeterEvent::Lost(fault @ (Fault::Stalled | Fault::NoPower)) => format!(
            "{who} shows no sign of life: {fault}. Its energy since its last one is unknown, and not 0. Cure: {}",
            cure(channel)
        ),
        MeterEvent::Lost(fault) => format!(
            "{who} cannot be read any more: {fault}. Its energy is unknown from here on; the rest goes on, and it is tried again at every reading"
        ),
        MeterEvent::Back(seconds) => {
            let meanwhile = match channel.quantity {
                Quantity::Counter { .. } => "the energy it counted meanwhile is in",
                Quantity::Power { .. } => {
                    "what it used in a longer gap stays unknown, in a short one it is interpolated"
                }
            };
            format!("{who} can be read again after {seconds:.1} s; {meanwhile}")
        }
        MeterEvent::Reset => format!(
            "{who} was set back or jumped: the time around it is filled with the power before, and marked as not measured"
        ),
        MeterEvent::Moves(seconds) => {
            format!("{who} moves again after {seconds:.1} s; it has not counted what was used meanwhile")
        }
        MeterEvent::ByPower => format!(
            "{who} has a counter that stands still while the device reports power. That power is integrated instead"
        ),
        MeterEvent::Disagrees(ratio) => format!(
            "{who} {}. Compare it with another meter, and see whether the driver has a newer version",
            disagreement(ratio)
        ),
    }
}

/// A counter beside the power that the same device reports.
pub fn disagreement(ratio: f64) -> String {
    format!(
        "disagrees with itself: its counter counts {:.0} % of the power that it reports, and one of the two is wrong",
        100.0 * ratio
    )
}

/// A channel that another source stands in for.
pub fn replaced(channel: &Channel, meter: &Meter, by: &str) -> Unavailable {
    let fault = meter.faults.fault.unwrap_or(Fault::Stalled);
    Unavailable {
        source: channel.source,
        reason: format!("{} ({}): {fault}; {by} stands in for it", channel.device, channel.id),
        cure: Some(cure(channel).into()),
    }
}

/// What helps where a channel shows no sign of life.
pub fn cure(channel: &Channel) -> &'static str {
    match channel.source {
        "rapl" | "perf_rapl" => {
            "a virtual machine may show counters that its host does not move: measure on the host, or load the newest kernel and firmware"
        }
        "nvml" => "see whether nvidia-smi shows a power; a virtual GPU may have none: measure on the host",
        _ => "see whether the file holds another number after a second; a newer driver or firmware may count",
    }
}
