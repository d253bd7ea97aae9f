//! Resuming a run: the time of earlier attempts is placed before the time of this process.

use super::{EnergySplit, Ledger};
use crate::attribution::carried_over::CarriedOver;
use crate::clock::MonoNs;

impl Ledger {
    /// Resumes a run where its journal ends. Its time so far is placed before `now`, and later before this process's
    /// first begin. The time between attempts is not part of the run.
    pub fn resume(&mut self, carried_over: &CarriedOver, now: MonoNs) {
        carried_over.epochs.iter().for_each(|epoch| self.history.push(*epoch));
        self.epochs_before = carried_over.epochs.iter().map(|epoch| epoch.count).sum();
        self.epochs = self.epochs_before;
        self.inside = carried_over.inside_ns;
        (self.origin, self.last_end) = (Some(MonoNs::ZERO), Some(MonoNs(carried_over.duration_ns)));
        self.carried_over = carried_over.components.iter().map(|component| component.used).collect();
        self.place_before(now);
    }

    /// Moves the time of earlier attempts so that it ends at this instant.
    pub(super) fn place_before(&mut self, at: MonoNs) {
        let Some((origin, end)) = self.origin.zip(self.last_end) else { return };
        let moved = |instant: MonoNs| at - end.ns_since(instant);
        for epoch in self.history.newest_first_mut() {
            (epoch.begin, epoch.end) = (moved(epoch.begin), moved(epoch.end));
        }
        (self.origin, self.last_end) = (Some(moved(origin)), Some(at));
    }

    /// Gives a channel the energy that earlier attempts measured on its device, their component of this number.
    pub fn resume_channel(&mut self, channel: usize, component: usize) -> EnergySplit {
        let used = self.carried_over.get_mut(component).map(std::mem::take).unwrap_or_default();
        if let Some(account) = self.accounts.get_mut(channel) {
            account.epochs.add(used.epochs);
            account.carried.add(used.epochs);
            account.between.add(used.between);
        }
        used
    }

    /// Energy that earlier attempts measured, by component; zero if a channel has it now.
    pub fn carried_over(&self) -> &[EnergySplit] {
        &self.carried_over
    }
}
