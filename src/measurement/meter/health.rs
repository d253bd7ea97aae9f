//! A channel's health: the number of its faults, and the events that are reported to the user.

use crate::measurement::reading::Fault;

/// The state of a channel's readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every reading was good.
    Ok,
    /// Readings failed and came back.
    Gap,
    /// The counter was set back or jumped.
    Reset,
    /// The device no longer answers.
    Lost,
    /// The device answers, but its counter stands still or its power stays 0.
    Stalled,
}

/// An event that is reported to the user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MeterEvent {
    /// Readings keep failing.
    Lost(Fault),
    /// Readings are good again after this many seconds.
    Back(f64),
    /// The counter was set back or jumped.
    Reset,
    /// The counter moves again after it stood still for this many seconds. The energy of that time is unknown.
    Moves(f64),
    /// The counter stands still, and the power that the device reports is integrated instead.
    ByPower,
    /// The counter's energy is this multiple of the power that the device reports.
    Disagrees(f64),
}

/// The faults of a channel so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultCounts {
    /// Number of failed readings.
    pub failed: u64,
    /// The last failure.
    pub fault: Option<Fault>,
    /// Number of wraps of the counter, as far as it is certain.
    pub wraps: u64,
    /// Time without readings in which the counter wrapped as often as fits the power before, s.
    pub guessed_s: f64,
    /// Number of times that the counter was set back or jumped.
    pub resets: u64,
    /// Energy filled in across resets, at the power before them, J.
    pub bridged_j: f64,
    /// Time before the first reading that was filled in, at the power after it, s.
    pub late_s: f64,
    /// Time in which the counter stood still and the reported power was integrated, s.
    pub by_power_s: f64,
    /// Counted energy divided by the integral of the reported power, if they differ too much.
    pub disagreement: Option<f64>,
}
