//! Named phases: the application's marks.

use super::Tracker;
use crate::error::{Error, Result, Status};
use crate::os;
use crate::state::misuse::Misuse;
use std::time::Duration;

/// Most bytes of a phase's name.
pub const MAX_NAME_BYTES: usize = 128;
/// Time that a report waits for the reading that closes the last phase.
const PHASE_READING_WAIT: Duration = Duration::from_millis(300);

impl Tracker {
    /// Begins a phase within the open ones.
    pub fn phase_begin(&self, name: &str) -> Result<Status> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(Error::invalid(format!(
                "ct_phase_begin: the name has {} bytes; nothing changed; pass 1 to {MAX_NAME_BYTES}",
                name.len()
            )));
        }
        let begun = self.marker().phases.begin(name, os::monotonic_ns());
        self.phase_marked(begun, || {
            self.parts.shared.count_misuse(Misuse::PhaseDepth, None);
            "ct_phase_begin: too many phases are open; nothing changed; end one first"
        })
    }

    /// Ends the innermost phase.
    pub fn phase_end(&self) -> Result<Status> {
        let ended = self.marker().phases.end(os::monotonic_ns());
        self.phase_marked(ended, || {
            self.parts.shared.count_misuse(Misuse::PhaseEnd, None);
            "ct_phase_end: no phase is open; nothing changed; call ct_phase_begin first"
        })
    }

    /// A long phase gets a reading at its begin and its end. Short ones get none: the sampling thread reads at
    /// irregular times and divides the energy by a model.
    fn phase_marked(&self, marked: Option<bool>, refused: impl FnOnce() -> &'static str) -> Result<Status> {
        let is_long = marked.ok_or_else(|| Error::new(Status::CT_ESTATE, refused()))?;
        if is_long {
            self.parts.shared.readings.ask();
            self.wake();
        }
        Ok(Status::CT_OK)
    }

    /// Hands the phases up to the last mark to the sampling thread, and waits for their reading.
    pub(super) fn settle_phases(&self) {
        let mut marker = self.marker();
        if !marker.phases.is_used() {
            return;
        }
        marker.phases.flush();
        drop(marker);
        self.parts.shared.await_reading(&self.sampler, PHASE_READING_WAIT);
    }
}
