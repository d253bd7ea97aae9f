//! The exec of a process, and what the events of a world are to its checks.

use super::{Event, S, Scenario, Traits};
use fastrand::Rng;

/// The event of a world in which a process runs another program. It matters most in long epochs, and early.
pub(super) fn exec(
    rng: &mut Rng,
    seed: u64,
    traits: &Traits,
    (longest_ns, span_ns): (u64, u64),
) -> Option<(u64, Event)> {
    let one_of = if longest_ns >= 60 * S { 2 } else { 16 };
    let is_chosen = Rng::with_seed(seed ^ 0xe8ec).u64(..one_of) == 0;
    (is_chosen && (traits.ranks > 1 || traits.resumes)).then(|| {
        let event = Event::Exec(rng.usize(..traits.ranks as usize), rng.bool());
        (rng.u64(0..(span_ns / 4).max(2)), event)
    })
}

/// Adds an event and puts all in order.
pub(super) fn finish(events: &mut Vec<(u64, Event)>, more: Option<(u64, Event)>) {
    events.extend(more);
    events.sort_by_key(|(at, _)| *at);
}

impl Scenario {
    /// Time for which processes are stopped, ns.
    pub fn stops_ns(&self) -> u64 {
        self.events.iter().map(|(_, event)| if let Event::Stop(_, ns) = event { *ns } else { 0 }).sum()
    }

    /// The longest time that a thread waits for a processor, ns.
    pub fn late_ns(&self) -> u64 {
        self.late_ns
    }

    /// Whether the date changes, or the machine sleeps.
    pub fn changes_date(&self) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::SetDate(_) | Event::Suspend(_) | Event::CutPower))
    }
}
