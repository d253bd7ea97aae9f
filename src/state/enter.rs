//! Marks and readings enter the run.

use super::{Attribution, Metered, Metering, RunState, events};
use crate::attribution::ledger::Mark;
use crate::attribution::phases::PhaseBook;
use crate::clock::MonoNs;
use crate::coordination::device_lease::LeaseState;
use crate::coordination::standby_ledger::StandbyLedger;
use crate::forecast::first_epoch::ProgressPoint;
use crate::forecast::run_progress::WorkMark;
use crate::measurement::channel::Channel;
use crate::measurement::meter::EnergyInterval;
use crate::measurement::reading::Reading;

/// Number of messages on the events of one channel.
const MAX_EVENTS: u32 = 8;

impl RunState {
    /// Enters marks, the open epoch's progress, then the energy of readings. `leases` has the new state of each lease:
    /// a device that another process has taken over is that process's own from then on. `report` gets messages.
    pub fn enter(
        &mut self,
        marks: impl Iterator<Item = Mark>,
        progress: Option<ProgressPoint>,
        readings: &[Reading],
        leases: &[LeaseState],
        mut report: impl FnMut(String),
    ) {
        self.mark(marks, leases);
        let ledger = &self.attribution.ledger;
        self.forecasting.first_epoch.follow(ledger.first_epoch());
        if let Some(point) = progress.filter(|_| ledger.is_in_first()) {
            self.forecasting.first_epoch.note(point);
        }
        for reading in readings {
            self.read(reading, &mut report);
        }
        self.attribution.phases.settle();
    }

    /// Enters the run's progress, before the marks of the same moment. If the application marks no epochs, a piece of
    /// the run ends here. `has_marks`: the application has marked an epoch since the last call. Returns whether a piece
    /// ends or begins.
    pub fn enter_work(&mut self, work: Option<WorkMark>, has_marks: bool, leases: &[LeaseState]) -> bool {
        let Attribution { ledger, has_marks: had_marks, is_divided, share, .. } = &mut self.attribution;
        *had_marks |= has_marks;
        let open = ledger.open().filter(|_| *is_divided);
        if *had_marks && *is_divided {
            *is_divided = false;
            ledger.set_pieces_apart();
            share.iter_mut().for_each(|share| share.others.set_pieces_apart());
            self.metering.standby.iter_mut().for_each(StandbyLedger::set_pieces_apart);
            self.mark(open.map(Mark::Cancel).into_iter(), leases);
        }
        let Some(work) = work.filter(|work| self.forecasting.run_progress.note(*work)) else { return false };
        if self.attribution.has_marks {
            return false;
        }
        self.attribution.is_divided = true;
        let end = open.map(|begin| Mark::End(work.at.max(begin)));
        let begin = (open.is_none() || work.done < work.total).then_some(Mark::Begin(work.at));
        self.mark(end.into_iter().chain(begin), leases);
        true
    }

    /// Enters one reading: its energy goes to the run, or to standby if another process counts the device.
    fn read(&mut self, reading: &Reading, report: &mut impl FnMut(String)) {
        let Some(idle_w) = self.metering.channels.get(reading.channel).map(|one| self.metering.idle_w(&one.channel))
        else {
            return;
        };
        let Metering { channels, standby, is_first_rank, .. } = &mut self.metering;
        let Some(metered) = channels.get_mut(reading.channel) else { return };
        let Metered { channel, meter, lease, replaced_by, events, .. } = metered;
        if replaced_by.is_some() {
            // Its readings do not count. They are followed, because it may show signs of life again.
            meter.push(reading.at, reading.value, |_| ());
            return;
        }
        let standby = lease.and_then(|lease| standby.get_mut(lease));
        let (attribution, is_first) = (&mut self.attribution, *is_first_rank);
        let mut account = Destination { attribution, standby, is_first, number: reading.channel, channel, idle_w };
        let event = meter.push(reading.at, reading.value, |interval| account.credit(interval));
        if meter.is_missing() {
            account.release();
        }
        if let Some(event) = event.filter(|_| *events <= MAX_EVENTS) {
            *events += 1;
            let more = if *events > MAX_EVENTS { "; further events of it are in the report only" } else { "" };
            report(events::in_words(channel, event) + more);
        }
    }

    /// Divides time by marks. Devices that were lost to another process are taken out at the moment of the loss.
    fn mark(&mut self, marks: impl Iterator<Item = Mark>, leases: &[LeaseState]) {
        let (attribution, standby) = (&mut self.attribution, &mut self.metering.standby);
        for mark in marks {
            attribution.lose(standby, leases, mark.at());
            let Attribution { ledger, phases, share, .. } = &mut *attribution;
            ledger.mark(mark);
            share.iter_mut().for_each(|share| share.others.mark(mark));
            standby.iter_mut().for_each(|standby| standby.mark(mark));
            if let Mark::End(end) | Mark::Batch { end, .. } = mark {
                let ours = standby.iter().filter(|standby| standby.lease.is_ours);
                ours.flat_map(|standby| &standby.channels).for_each(|&channel| phases.keep_until(channel, end));
            }
        }
        attribution.lose(standby, leases, MonoNs::NEVER);
    }

    /// Ends the readings: energy that a counter has withheld until its next reading is entered.
    pub fn finish(&mut self) {
        let idle: Vec<f64> = self.metering.channels.iter().map(|one| self.metering.idle_w(&one.channel)).collect();
        let Metering { channels, standby, is_first_rank, .. } = &mut self.metering;
        for ((number, Metered { channel, meter, lease, .. }), idle_w) in channels.iter_mut().enumerate().zip(idle) {
            let standby = lease.and_then(|lease| standby.get_mut(lease));
            let (attribution, is_first) = (&mut self.attribution, *is_first_rank);
            let mut account = Destination { attribution, standby, is_first, number, channel, idle_w };
            meter.finish(|interval| account.credit(interval));
        }
        let Attribution { ledger, phases, share, .. } = &mut self.attribution;
        ledger.release_all();
        share.iter_mut().for_each(|share| share.others.release_all());
        phases.settle();
    }
}

impl Attribution {
    /// Takes the energy of devices out that were lost to another process before an instant.
    fn lose(&mut self, standby: &mut [StandbyLedger], leases: &[LeaseState], at_latest: MonoNs) {
        for (standby, lease) in standby.iter_mut().zip(leases) {
            let Some(at) = standby.lost_at(lease).filter(|at| *at < at_latest) else { continue };
            standby.yield_from(at, &mut self.ledger);
            for &channel in &standby.channels {
                self.phases.yield_from(channel, at);
                self.share.iter_mut().for_each(|share| share.yield_from(channel, at));
            }
        }
    }
}

/// Where the energy of one channel goes.
struct Destination<'a> {
    attribution: &'a mut Attribution,
    /// The channel's standby readings; None: no other process may count it.
    standby: Option<&'a mut StandbyLedger>,
    /// This process is the first rank of its job.
    is_first: bool,
    number: usize,
    channel: &'a Channel,
    /// Idle power of the device, W.
    idle_w: f64,
}

impl Destination<'_> {
    /// Credits an interval: the job's part of it, if the node is shared, to phases and to the run or standby.
    fn credit(&mut self, interval: EnergyInterval) {
        let Some(interval) = self.share(interval) else { return };
        let Attribution { ledger, phases, .. } = &mut *self.attribution;
        let standby = self.standby.as_deref().map(|standby| (standby, self.is_first));
        credit_phases(phases, (self.number, self.channel.step_ns()), interval, standby);
        match &mut self.standby {
            Some(standby) => standby.credit(self.number, interval, ledger),
            None => ledger.credit(self.number, interval),
        }
    }

    /// The job's part of an interval; the others get the rest. None: it is unknown.
    fn share(&mut self, interval: EnergyInterval) -> Option<EnergyInterval> {
        let Some(share) = &mut self.attribution.share else { return Some(interval) };
        let in_turns = |interval| match &self.standby {
            Some(standby) => standby.in_turns(interval).collect(),
            None => vec![interval],
        };
        let Some((job, others)) = share.divide(self.channel, self.idle_w, interval) else {
            in_turns(interval).into_iter().for_each(|part| share.leave_undivided(self.number, part));
            return None;
        };
        in_turns(others).into_iter().for_each(|part| share.others.credit(self.number, part));
        Some(job)
    }

    /// Assigns energy that waits for a further reading, because none comes.
    fn release(&mut self) {
        let Attribution { ledger, share, .. } = &mut *self.attribution;
        ledger.release(self.number);
        share.iter_mut().for_each(|share| share.others.release(self.number));
        self.standby.iter_mut().for_each(|standby| standby.release(self.number));
    }
}

/// Credits phases with the part of an energy interval that this process counts. Outside epochs it may be that no
/// process counts a device; then the first rank's phases get its energy.
fn credit_phases(
    phases: &mut PhaseBook,
    channel: (usize, u64),
    interval: EnergyInterval,
    standby: Option<(&StandbyLedger, bool)>,
) {
    match standby {
        None => phases.credit(channel, interval),
        Some((standby, true)) if !standby.lease.is_ours && !standby.lease.is_elsewhere() => {
            phases.credit_free(channel, interval);
        }
        Some((standby, _)) => standby.in_turns(interval).for_each(|interval| phases.credit(channel, interval)),
    }
}
