//! Marks and readings enter the run.

use super::{Attribution, Metered, Metering, RunState, events};
use crate::attribution::ledger::{Ledger, Mark};
use crate::attribution::phases::PhaseBook;
use crate::clock::MonoNs;
use crate::coordination::device_lease::LeaseState;
use crate::coordination::standby_ledger::StandbyLedger;
use crate::forecast::first_epoch::ProgressPoint;
use crate::forecast::run_progress::WorkMark;
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
        let Attribution { ledger, has_marks: had_marks, is_divided, .. } = &mut self.attribution;
        *had_marks |= has_marks;
        let open = ledger.open().filter(|_| *is_divided);
        if *had_marks && *is_divided {
            *is_divided = false;
            ledger.set_pieces_apart();
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
        let Metering { channels, standby, is_first_rank: is_first, .. } = &mut self.metering;
        let (is_first, Attribution { ledger, phases, .. }) = (*is_first, &mut self.attribution);
        let Some(metered) = channels.get_mut(reading.channel) else { return };
        let Metered { channel, meter, lease, replaced_by, events, .. } = metered;
        if replaced_by.is_some() {
            // Its readings do not count. They are followed, because it may show signs of life again.
            meter.push(reading.at, reading.value, |_| ());
            return;
        }
        let (mut standby, step_ns) = (lease.and_then(|lease| standby.get_mut(lease)), channel.step_ns());
        let credit = |interval: EnergyInterval| {
            credit_phases(
                phases,
                (reading.channel, step_ns),
                interval,
                standby.as_deref().map(|standby| (standby, is_first)),
            );
            match &mut standby {
                Some(standby) => standby.credit(reading.channel, interval, ledger),
                None => ledger.credit(reading.channel, interval),
            }
        };
        let event = meter.push(reading.at, reading.value, credit);
        if let Some(event) = event.filter(|_| *events <= MAX_EVENTS) {
            *events += 1;
            let more = if *events > MAX_EVENTS { "; further events of it are in the report only" } else { "" };
            report(events::in_words(channel, event) + more);
        }
        if meter.is_missing() {
            ledger.release(reading.channel);
            standby.into_iter().for_each(|standby| standby.release(reading.channel));
        }
    }

    /// Divides time by marks. Devices that were lost to another process are taken out at the moment of the loss.
    fn mark(&mut self, marks: impl Iterator<Item = Mark>, leases: &[LeaseState]) {
        let Attribution { ledger, phases, .. } = &mut self.attribution;
        let standby = &mut self.metering.standby;
        let lose = |standby: &mut [StandbyLedger], ledger: &mut Ledger, phases: &mut PhaseBook, at_latest: MonoNs| {
            for (standby, lease) in standby.iter_mut().zip(leases) {
                if let Some(at) = standby.lost_at(lease).filter(|at| *at < at_latest) {
                    standby.yield_from(at, ledger);
                    standby.channels.iter().for_each(|&channel| phases.yield_from(channel, at));
                }
            }
        };
        for mark in marks {
            lose(standby, ledger, phases, mark.at());
            ledger.mark(mark);
            standby.iter_mut().for_each(|standby| standby.mark(mark));
            if let Mark::End(end) | Mark::Batch { end, .. } = mark {
                let ours = standby.iter().filter(|standby| standby.lease.is_ours);
                ours.flat_map(|standby| &standby.channels).for_each(|&channel| phases.keep_until(channel, end));
            }
        }
        lose(standby, ledger, phases, MonoNs::NEVER);
    }

    /// Ends the readings: energy that a counter has withheld until its next reading is entered.
    pub fn finish(&mut self) {
        let Metering { channels, standby, is_first_rank: is_first, .. } = &mut self.metering;
        let (is_first, Attribution { ledger, phases, .. }) = (*is_first, &mut self.attribution);
        for (number, Metered { channel, meter, lease, .. }) in channels.iter_mut().enumerate() {
            let mut standby = lease.and_then(|lease| standby.get_mut(lease));
            meter.finish(|interval| {
                credit_phases(
                    phases,
                    (number, channel.step_ns()),
                    interval,
                    standby.as_deref().map(|standby| (standby, is_first)),
                );
                match &mut standby {
                    Some(standby) => standby.credit(number, interval, ledger),
                    None => ledger.credit(number, interval),
                }
            });
        }
        ledger.release_all();
        phases.settle();
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
