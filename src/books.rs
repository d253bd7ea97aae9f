//! A run's books: what is measured, how its readings fare, and where its energy went. Pure: the sampler
//! brings marks and readings, reports read.

use crate::channel::{Channel, Quantity};
use crate::counter::{Event, Meter};
use crate::forecast::Forecast;
use crate::ledger::{Ledger, Mark};
use crate::progress::{Point, Progress};
use crate::reading::Reading;
use crate::source::Unavailable;
use std::ops::Range;

/// What to say where the sampler panicked.
pub const FAULT: &str = "the sampler met an internal fault and ended: what was measured stays, energy from there on is unknown; please report it";

/// What the sampler writes and reports read.
#[derive(Default)]
pub struct Books {
    /// What is measured; a channel's place is its number.
    pub metered: Vec<Metered>,
    /// The run's time and energy.
    pub ledger: Ledger,
    /// How many of the ended epochs have all their energy, as far as the devices answer.
    pub settled: u64,
    /// Sources that do not take part.
    pub unavailable: Vec<Unavailable>,
    /// Sources that have yet to open.
    pub opening: Vec<Unavailable>,
    /// One of those is soon to tell what it used so far: no epoch is settled before.
    pub waits_for_opening: bool,
    /// How the first epoch gets on.
    pub progress: Progress,
    /// The forecast from the settled epochs, or inside the first from its progress.
    pub forecast: Option<Forecast>,
    /// The sampler has ended; nothing will change any more.
    pub finished: bool,
    /// It ended by a fault of its own: energy from there on is unknown.
    pub failed: bool,
}

/// A channel and what was read of it.
pub struct Metered {
    /// What is measured.
    pub channel: Channel,
    /// Its readings so far.
    pub meter: Meter,
}

impl Books {
    /// Opens an account for a channel, read from the start.
    pub fn add(&mut self, channel: &Channel) {
        self.add_metered(channel, Meter::new(channel.quantity));
    }

    /// Opens an account for a channel that should have been read since this instant, ns.
    pub fn add_late(&mut self, channel: &Channel, since: u64) {
        self.add_metered(channel, Meter::late(channel.quantity, since));
    }

    fn add_metered(&mut self, channel: &Channel, meter: Meter) {
        self.ledger.add_channel(channel.kind);
        self.metered.push(Metered { channel: channel.clone(), meter });
    }

    /// Enters marks, how far the open epoch is, then the energy that readings bring, of which there are none later than
    /// `now`, ns; what a person should know of them goes to `say`.
    pub fn enter(
        &mut self,
        marks: impl Iterator<Item = Mark>,
        progress: Option<Point>,
        readings: &[Reading],
        now: u64,
        mut say: impl FnMut(String),
    ) {
        let Books { metered, ledger, .. } = self;
        marks.for_each(|mark| ledger.mark(mark));
        self.progress.follow(ledger.first_epoch());
        if let Some(point) = progress.filter(|_| ledger.is_in_first()) {
            self.progress.note(point);
        }
        for reading in readings {
            let Some(Metered { channel, meter }) = metered.get_mut(reading.channel) else { continue };
            let event = meter.push(reading.at, reading.value, |credit| ledger.credit(reading.channel, credit));
            if let Some(event) = event {
                say(in_words(channel, event));
            }
            if meter.is_missing() {
                ledger.release(reading.channel);
            }
        }
        let all = 0..self.metered.len();
        let known_to = all.filter_map(|channel| self.known_to(channel)).min().unwrap_or(u64::MAX);
        let known_to = if self.waits_for_opening { 0 } else { known_to };
        self.settled = self.ledger.epochs_ended_by(known_to);
        if self.ledger.is_in_first() {
            self.progress.settle(known_to, now, |at| self.ledger.open_j(at));
        }
    }

    /// The forecast at `now`, ns: inside the first epoch it is made at a mark, and what was used since is no less.
    pub fn forecast_at(&self, now: u64) -> Option<Forecast> {
        let Some(begin) = self.ledger.first_begin().filter(|_| self.ledger.is_in_first()) else { return self.forecast };
        let before = self.ledger.between_first(0).energy_j;
        let energy_j = self.ledger.open_j(now).map(|joules| joules + before.unwrap_or(0.0));
        Some(self.forecast?.after_use(now.saturating_sub(begin) as f64 * 1e-9, energy_j))
    }

    /// Whether a soon reading of any of these channels would tell something: a mark's energy, or what a
    /// doubtful reading was.
    pub fn wants_reading(&self, mut channels: Range<usize>) -> bool {
        let last_mark = self.ledger.last_mark().max(self.progress.awaits());
        channels.any(|channel| {
            self.metered.get(channel).is_some_and(|metered| metered.meter.wants_second_look())
                || self.known_to(channel).is_some_and(|known_to| Some(known_to) < last_mark)
        })
    }

    /// Up to when a channel's energy is known; None where waiting for it is waiting for nothing.
    fn known_to(&self, channel: usize) -> Option<u64> {
        let meter = &self.metered.get(channel)?.meter;
        let first_at = meter.first_at().filter(|_| !meter.is_missing())?;
        Some(if meter.is_owing() { 0 } else { self.ledger.credited_to(channel).max(first_at) })
    }
}

fn in_words(channel: &Channel, event: Event) -> String {
    let who = format!("{} {} ({})", channel.source, channel.device, channel.id);
    match event {
        Event::Lost(fault) => {
            format!(
                "{who} cannot be read any more: {fault}. Its energy is unknown from here on; the rest goes on, and it is tried again at every reading"
            )
        }
        Event::Back(seconds) => {
            let meanwhile = match channel.quantity {
                Quantity::Counter { .. } => "the energy it counted meanwhile is in",
                Quantity::Power => "what it used in a longer gap stays unknown, in a short one it is interpolated",
            };
            format!("{who} can be read again after {seconds:.1} s; {meanwhile}")
        }
        Event::Reset => format!(
            "{who} was set back or jumped: the time around it is filled with the power before, and marked as not measured"
        ),
    }
}
