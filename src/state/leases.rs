//! Devices that one process of the job counts: which channels count here, and messages on a change of owner.

use super::{Metered, RunState};
use crate::clock::MonoNs;
use crate::coordination::device_lease::LeaseState;
use crate::coordination::standby_ledger::StandbyLedger;
use crate::measurement::unavailable::Unavailable;

/// A device that this process does not count, because another process of its job does.
pub struct CountedElsewhere {
    /// The entry in the report's list of what is not measured.
    pub unavailable: Unavailable,
    /// The process that counts the device; None: its number is unknown here.
    pub process: Option<u32>,
}

impl RunState {
    /// Adds a lease, if it is new. `device` and `words` name its devices for other processes and for the user.
    pub fn add_lease(&mut self, lease: usize, device: String, words: String) {
        if lease == self.metering.standby.len() {
            self.metering.standby.push(StandbyLedger::new(device, words, &self.attribution.ledger));
        }
    }

    /// Applies the lease's new state. The first time that another process takes the devices over, or this one takes
    /// them back, `report` gets a message.
    pub fn apply_lease(&mut self, lease: usize, new: LeaseState, report: impl FnOnce(String)) {
        let Some(standby) = self.metering.standby.get_mut(lease) else { return };
        let previous = standby.lease;
        standby.apply_lease(new, &mut self.attribution.ledger);
        let is_taken = previous.holder.is_none() && !previous.is_ours && new.is_elsewhere();
        if let Some(since) = standby.since.filter(|_| is_taken) {
            // Until now no process counted the device, and the first rank's phases had its energy.
            standby.channels.iter().for_each(|&channel| self.attribution.phases.yield_from(channel, since));
        }
        for (channel, interval) in standby.read_before_turn(previous) {
            let step_ns = self.metering.channels.get(channel).map_or(0, |metered| metered.channel.step_ns());
            self.attribution.phases.credit((channel, step_ns), interval);
        }
        let [is_loss_reported, is_return_reported] = &mut standby.is_announced;
        let is_known = |holder: &u32| *holder > 0;
        let (holder, earlier) = (new.holder.filter(is_known), previous.holder.filter(is_known));
        if holder.is_some() && !*is_loss_reported {
            *is_loss_reported = true;
            report(format!(
                "{} counts {}, and not this one; job=off counts it here too",
                process(holder),
                standby.what
            ));
        } else if earlier.is_some() && new.is_ours && !*is_return_reported {
            *is_return_reported = true;
            let (what, earlier) = (&standby.what, process(earlier));
            report(format!("this process counts {what} from now on, and what {earlier} has left"));
        }
    }

    /// Whether a channel counts here, or no process counts it yet. Also true if energy of an earlier lease is not read
    /// yet.
    pub fn is_ours(&self, channel: usize) -> bool {
        let metered = self.metering.channels.get(channel);
        metered.is_some_and(|metered| !self.lease_state(metered).is_elsewhere() || self.owes(channel, metered))
    }

    /// Whether the channel still has energy to deliver from a lease that this process had.
    pub(super) fn owes(&self, channel: usize, metered: &Metered) -> bool {
        let standby = metered.lease.and_then(|lease| self.metering.standby.get(lease));
        standby.is_some_and(|standby| standby.awaits_readings(channel, &self.attribution.ledger))
    }

    /// The channels that a report contains, with their numbers.
    pub fn ours(&self) -> impl Iterator<Item = (usize, &Metered)> {
        let has_counted = |channel: usize| self.attribution.ledger.channel(channel).joules.is_some();
        let takes_part = |metered: &Metered| !self.lease_state(metered).is_elsewhere() && metered.replaced_by.is_none();
        let channels = self.metering.channels.iter().enumerate();
        channels.filter(move |(channel, metered)| takes_part(metered) || has_counted(*channel))
    }

    /// The state of a channel's lease. A channel without a lease is this process's own.
    pub(super) fn lease_state(&self, metered: &Metered) -> LeaseState {
        let ours = LeaseState { is_ours: true, ..LeaseState::default() };
        metered.lease.and_then(|lease| self.metering.standby.get(lease)).map_or(ours, |standby| standby.lease)
    }

    /// The devices that other processes of the job count. The MPI header of version 0.1.0 is compiled into programs and
    /// searches the text report for "of this job, and not here"; the command of that version searches the reason for
    /// ": counted by ". These words stay as they are while such programs run.
    pub fn elsewhere(&self) -> impl Iterator<Item = CountedElsewhere> {
        let elsewhere = self.metering.standby.iter().filter(|standby| standby.lease.is_elsewhere());
        elsewhere.filter_map(|standby| {
            let channels = || {
                let numbers = standby.channels.iter();
                numbers.filter_map(|&channel| Some(&self.metering.channels.get(channel)?.channel))
            };
            let ids: Vec<&str> = channels().map(|channel| channel.id.as_str()).collect();
            let ids = ids.join(", ");
            let reason = match standby.lease.is_apart {
                true => format!("{ids}: not counted here, as the ranks of this node cannot agree who counts it"),
                false => format!("{ids}: counted by {}, and not here", process(standby.lease.holder)),
            };
            let cure = match standby.lease.is_apart {
                true => "see the notes; job=off counts it here too",
                false => "none is needed; job=off counts it here too",
            };
            let cure = Some(cure.into());
            let unavailable = Unavailable { source: channels().next()?.source, reason, cure };
            Some(CountedElsewhere { unavailable, process: standby.lease.process() })
        })
    }

    /// For each lease, the instant from which all its devices have been read; None: not all have been read.
    pub fn read_since(&self) -> Vec<Option<MonoNs>> {
        let first_at = |&channel: &usize| self.metering.channels.get(channel).and_then(|one| one.meter.first_at());
        let all = |standby: &StandbyLedger| standby.channels.iter().map(first_at).collect::<Option<Vec<MonoNs>>>();
        self.metering.standby.iter().map(|standby| all(standby)?.into_iter().max()).collect()
    }
}

/// A process of the job; 0 and None: its number is unknown.
fn process(number: Option<u32>) -> String {
    match number {
        None | Some(0) => "another process of this job".into(),
        Some(number) => format!("process {number} of this job"),
    }
}
