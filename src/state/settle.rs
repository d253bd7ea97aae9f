//! Which epochs have all their readings, and which channels need another reading for it.

use super::{Forecasting, Metered, RunState};
use crate::clock::MonoNs;
use crate::forecast::Forecast;
use crate::forecast::run_progress::UseAt;
use std::ops::Range;

impl RunState {
    /// Finds the epochs that are settled now. `now` is later than everything entered.
    pub fn settle(&mut self, now: MonoNs) {
        let known_until = if self.metering.waits_for_opening { MonoNs::ZERO } else { self.all_known_until() };
        // A settled epoch remains settled while a source that fills in a part of it is being opened.
        if !self.metering.waits_for_opening {
            self.attribution.settled = self.attribution.ledger.epochs_ended_by(known_until);
        }
        if self.attribution.ledger.is_in_first() {
            self.forecasting.first_epoch.settle(known_until, now, |at| self.attribution.ledger.open_j(at));
        }
        let ledger = &self.attribution.ledger;
        let used = |at: MonoNs| UseAt { duration_s: ledger.time_s(at), energy_j: ledger.energy_until(at) };
        self.forecasting.run_progress.settle(known_until, now, used);
    }

    /// Number of settled epochs, the share of the first epoch at its newest progress mark, that of the run at its
    /// newest progress, and until when its energy has arrived. The forecast is made again when they change.
    pub fn known_epochs(&self) -> (u64, f64, Option<f64>, Option<MonoNs>) {
        let Forecasting { first_epoch, run_progress, .. } = &self.forecasting;
        (self.attribution.settled, first_epoch.share(), run_progress.share(), run_progress.complete_until())
    }

    /// The forecast at `now`. It was made at a mark; in an open epoch or piece no total is below the use since then.
    pub fn forecast_at(&self, now: MonoNs) -> Option<Forecast> {
        let (forecast, ledger) = (self.forecasting.forecast?, &self.attribution.ledger);
        if !ledger.is_open() || self.lifecycle.finished {
            return Some(forecast);
        }
        let is_in_first = ledger.is_in_first() && !self.attribution.is_divided;
        let Some(begin) = ledger.first_begin().filter(|_| is_in_first) else {
            return Some(forecast.at_least(ledger.time_s(now), ledger.energy_until(now)));
        };
        let cancelled = ledger.between_first(0).energy_j;
        let energy_j = ledger.open_j(now).map(|joules| joules + cancelled.unwrap_or(0.0));
        Some(forecast.after_use(now.s_since(begin), energy_j))
    }

    /// Whether one of these channels should be read soon: the reading completes a mark's energy, or confirms a doubtful
    /// reading.
    pub fn wants_reading(&self, mut channels: Range<usize>) -> bool {
        let Forecasting { first_epoch, run_progress, .. } = &self.forecasting;
        let last_mark = self.attribution.ledger.last_mark().max(first_epoch.awaits()).max(run_progress.awaits());
        channels.any(|channel| {
            self.metering.channels.get(channel).is_some_and(|one| one.meter.wants_second_look())
                || self.known_until(channel).is_some_and(|known_until| Some(known_until) < last_mark)
        })
    }

    /// Whether the power of one of these channels is integrated in place of its counter.
    pub fn is_by_power(&self, mut channels: Range<usize>) -> bool {
        channels.any(|channel| self.metering.channels.get(channel).is_some_and(|one| one.meter.is_by_power()))
    }

    /// The instant up to which all energy is known. Lost devices are ignored; without devices it is [`MonoNs::NEVER`].
    pub fn all_known_until(&self) -> MonoNs {
        let all = 0..self.metering.channels.len();
        all.filter_map(|channel| self.known_until(channel)).min().unwrap_or(MonoNs::NEVER)
    }

    /// The newest instant up to which the energy of a channel is known; None: that of no channel is.
    pub fn any_known_until(&self) -> Option<MonoNs> {
        let all = 0..self.metering.channels.len();
        all.filter_map(|channel| self.attribution.ledger.credited_until(channel)).max()
    }

    /// The instant up to which a channel's energy is known; None: no reading is expected.
    fn known_until(&self, channel: usize) -> Option<MonoNs> {
        let counts = |metered: &&Metered| self.lease_state(metered).is_ours || self.owes(channel, metered);
        let meter = &self.metering.channels.get(channel).filter(counts)?.meter;
        let first_at = meter.first_at().filter(|_| !meter.is_missing())?;
        if meter.is_owing() {
            return Some(MonoNs::ZERO);
        }
        let undivided_until = self.attribution.share.as_ref().and_then(|share| share.undivided_until(channel));
        let credited_until = self.attribution.ledger.credited_until(channel).max(undivided_until);
        Some(credited_until.map_or(first_at, |until| until.max(first_at)))
    }
}
