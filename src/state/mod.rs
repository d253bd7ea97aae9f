//! A run's books: what is measured, how its readings fare, and where its energy went. Pure: the sampler
//! brings marks and readings, reports read.

pub mod alerts;
mod events;
pub mod misuse;
pub mod shared;
mod stand_in;
mod uncertainty;

use crate::attribution::account::Energy;
use crate::attribution::carried_over::{CarriedComponent, CarriedOver};
use crate::attribution::ledger::{Energies, Ledger, Mark};
use crate::carbon::emissions::{Before, EmissionFactors};
use crate::carbon::facility::Facility;
use crate::carbon::intensity::{GridIntensity, Hourly};
use crate::clock::{MonoNs, WallClock};
use crate::coordination::device_lease::{LeaseState, OnNode};
use crate::coordination::standby_ledger::StandbyLedger;
use crate::forecast::Forecast;
use crate::forecast::first_epoch::{FirstEpoch, ProgressPoint};
use crate::measurement::channel::{Channel, ErrorBand};
use crate::measurement::meter::{EnergyInterval, Meter};
use crate::measurement::reading::Reading;
use crate::measurement::source::Unavailable;
use alerts::AlertInput;
use std::ops::Range;

pub use events::{cure, disagreement};

/// So many events of a channel a person hears of.
const MOST_EVENTS: u32 = 8;

/// What to say where the sampler panicked.
pub const FAULT: &str = "the sampler met an internal fault and ended: what was measured stays, energy from there on is unknown; please report it";

/// What the sampler writes and reports read.
pub struct RunState {
    /// The grid that feeds the run, as far as it is known by now.
    pub grid: GridIntensity,
    /// What one kWh more would emit, if that was asked for.
    pub marginal: Option<Hourly>,
    /// Facility energy over IT energy.
    pub pue: f64,
    /// The rates of the halls that it runs in, where those of a cloud region are asked for.
    pub facility: Facility,
    /// Which hour an instant was.
    pub calendar: WallClock,
    /// What is measured; a channel's place is its number.
    pub metered: Vec<Metered>,
    /// The run's time and energy.
    pub ledger: Ledger,
    /// What earlier processes of the run have left.
    pub past: CarriedOver,
    /// The claims on devices that one process of the job counts; a claim's place is its number.
    pub trusts: Vec<StandbyLedger>,
    /// What is known of the job on this node; None: this process shares no device.
    pub on_node: Option<OnNode>,
    /// How many of the ended epochs have all their energy, as far as the devices answer.
    pub settled: u64,
    /// Sources that do not take part.
    pub unavailable: Vec<Unavailable>,
    /// Sources that have yet to open.
    pub opening: Vec<Unavailable>,
    /// One of those is soon to tell what it used so far: no epoch is settled before.
    pub waits_for_opening: bool,
    /// How the first epoch gets on.
    pub progress: FirstEpoch,
    /// The forecast from the settled epochs, or inside the first from its progress.
    pub forecast: Option<Forecast>,
    /// The sampler has ended; nothing will change any more.
    pub finished: bool,
    /// It ended by a fault of its own: energy from there on is unknown.
    pub failed: bool,
    /// What else has failed within the library, in words for the report.
    pub faults: Vec<&'static str>,
}

/// A channel and what was read of it.
pub struct Metered {
    /// What is measured.
    pub channel: Channel,
    /// Its readings so far.
    pub meter: Meter,
    /// The claim it is counted by, if other processes might count it too.
    pub claim: Option<usize>,
    /// What earlier processes of the run measured on it.
    pub before: Energies,
    /// The source that counts in its place: its own readings do not.
    pub replaced_by: Option<&'static str>,
    /// The channel that stands in for it, or did, by its number.
    pub stand_in: Option<usize>,
    /// Groups of channels that have counted in its place, or that it stands in for, by their numbers.
    pub others: Vec<Vec<usize>>,
    /// How many events of it a person has heard of.
    pub events: u32,
    /// How far off that may be; None: it was measured.
    pub error_before: Option<ErrorBand>,
}

/// A device that this process does not count, because another process of its job does.
pub struct CountedElsewhere {
    /// The entry in the report's list of what is not measured.
    pub unavailable: Unavailable,
    /// The process that counts the device; None: its number is unknown here.
    pub process: Option<u32>,
}

impl RunState {
    /// Empty ones, of a run fed by this grid.
    pub fn new(grid: GridIntensity, pue: f64) -> RunState {
        RunState {
            grid,
            marginal: None,
            pue,
            facility: Facility::default(),
            calendar: WallClock::default(),
            metered: Vec::new(),
            ledger: Ledger::default(),
            past: CarriedOver::default(),
            trusts: Vec::new(),
            on_node: None,
            settled: 0,
            unavailable: Vec::new(),
            opening: Vec::new(),
            waits_for_opening: false,
            progress: FirstEpoch::default(),
            forecast: None,
            finished: false,
            failed: false,
            faults: Vec::new(),
        }
    }

    /// Of a run in these halls.
    pub fn within(self, facility: Facility) -> RunState {
        RunState { pue: facility.pue().map_or(self.pue, |(pue, _)| pue), facility, ..self }
    }

    /// Enters the cloud region once it is found out. What is not known of its halls, in words.
    pub fn found_in(&mut self, region: &str) -> Vec<String> {
        self.facility = self.facility.found(region);
        self.pue = self.facility.pue().map_or(self.pue, |(pue, _)| pue);
        self.facility.lacks().to_vec()
    }

    /// What turns this run's energy into emissions.
    pub fn pricing(&self) -> EmissionFactors<'_> {
        let CarriedOver { energy_j, co2eq_g, .. } = self.past;
        let before = Before { joules: energy_j.unwrap_or(0.0), co2eq_g: co2eq_g.unwrap_or(0.0) };
        EmissionFactors { before, ..self.grid.pricing(&self.calendar, self.pue) }
    }

    /// Takes a run up at `now`, ns.
    pub fn resume(&mut self, past: CarriedOver, now: MonoNs) {
        self.ledger.resume(&past, now);
        self.settled = self.ledger.epochs();
        self.past = past;
    }

    /// What earlier processes measured that this one does not.
    pub fn before(&self) -> impl Iterator<Item = CarriedComponent> {
        let used = self.ledger.before();
        self.past
            .components
            .iter()
            .zip(used)
            .filter(|(_, used)| used.sum() != Energy::default())
            .map(|(one, &used)| CarriedComponent { used, ..one.clone() })
    }

    /// The run at `now`, ns, for who is to judge it.
    pub fn run(&self, now: MonoNs) -> AlertInput<'_> {
        let RunState { ledger, progress, settled, .. } = self;
        let uncertainty = self.uncertainty();
        AlertInput { ledger, settled: *settled, progress, pricing: self.pricing(), uncertainty, now }
    }

    /// Takes up a claim, if it is new.
    pub fn claim(&mut self, claim: Option<usize>, device: String, what: String) {
        if claim == Some(self.trusts.len()) {
            self.trusts.push(StandbyLedger::new(device, what, &self.ledger));
        }
    }

    /// Opens an account for a channel, under a claim if other processes might count it too. `late_since`, ns, if it
    /// should have been read from then on.
    pub fn add(&mut self, channel: &Channel, claim: Option<usize>, late_since: Option<MonoNs>) {
        let number = self.metered.len();
        self.ledger.add_channel(channel.kind);
        let is_same = |one: &CarriedComponent| {
            let there = &one.channel;
            (there.kind, &there.id, &there.device, there.source)
                == (channel.kind, &channel.id, &channel.device, channel.source)
        };
        let place = self.past.components.iter().position(is_same);
        let before = place.map_or(Energies::default(), |place| self.ledger.resume_channel(number, place));
        let error_before = place.and_then(|place| self.past.components.get(place)?.channel.error);
        self.trusts.iter_mut().for_each(|trust| trust.add_channel(channel.kind));
        if let Some(trust) = claim.and_then(|claim| self.trusts.get_mut(claim)) {
            trust.claim(number);
        }
        let meter = Meter::of(channel, late_since);
        let (channel, others) = (channel.clone(), Vec::new());
        self.metered.push(Metered {
            channel,
            meter,
            claim,
            before,
            error_before,
            replaced_by: None,
            stand_in: None,
            others,
            events: 0,
        });
    }

    /// No reading follows: what counters that only paused used meanwhile is entered.
    pub fn finish(&mut self) {
        let RunState { metered, ledger, trusts, .. } = self;
        for (number, Metered { meter, claim, .. }) in metered.iter_mut().enumerate() {
            let mut trust = claim.and_then(|claim| trusts.get_mut(claim));
            meter.finish(|credit| match &mut trust {
                Some(trust) => trust.credit(number, credit, ledger),
                None => ledger.credit(number, credit),
            });
        }
        ledger.release_all();
    }

    /// Whether a channel counts here, or nobody counts it yet; or it did, and that is to be read.
    pub fn is_ours(&self, channel: usize) -> bool {
        let metered = self.metered.get(channel);
        metered.is_some_and(|metered| !self.standing(metered).is_elsewhere() || self.owes(channel, metered))
    }

    fn owes(&self, channel: usize, metered: &Metered) -> bool {
        let trust = metered.claim.and_then(|claim| self.trusts.get(claim));
        trust.is_some_and(|trust| trust.owes(channel, &self.ledger))
    }

    /// The channels that a report of this run is about, with their numbers.
    pub fn ours(&self) -> impl Iterator<Item = (usize, &Metered)> {
        let has_counted = |channel: usize| self.ledger.channel(channel).joules.is_some();
        let takes_part = |metered: &Metered| !self.standing(metered).is_elsewhere() && metered.replaced_by.is_none();
        self.metered.iter().enumerate().filter(move |(channel, metered)| takes_part(metered) || has_counted(*channel))
    }

    fn standing(&self, metered: &Metered) -> LeaseState {
        let ours = LeaseState { is_ours: true, ..LeaseState::default() };
        metered.claim.and_then(|claim| self.trusts.get(claim)).map_or(ours, |trust| trust.standing)
    }

    /// The devices that other processes of the job count. The MPI header of version 0.1.0 is compiled into programs and
    /// searches the text report for "of this job, and not here"; the command of that version searches the reason for
    /// ": counted by ". These words stay as they are while such programs run.
    pub fn elsewhere(&self) -> impl Iterator<Item = CountedElsewhere> {
        self.trusts.iter().filter(|trust| trust.standing.is_elsewhere()).filter_map(|trust| {
            let channels = || trust.channels.iter().filter_map(|&channel| Some(&self.metered.get(channel)?.channel));
            let ids: Vec<&str> = channels().map(|channel| channel.id.as_str()).collect();
            let ids = ids.join(", ");
            let reason = match trust.standing.is_apart {
                true => format!("{ids}: not counted here, as the ranks of this node cannot agree who counts it"),
                false => format!("{ids}: counted by {}, and not here", process(trust.standing.holder)),
            };
            let cure = match trust.standing.is_apart {
                true => "see the notes; job=off counts it here too",
                false => "none is needed; job=off counts it here too",
            };
            let cure = Some(cure.into());
            let unavailable = Unavailable { source: channels().next()?.source, reason, cure };
            Some(CountedElsewhere { unavailable, process: trust.standing.process() })
        })
    }

    /// Since when, ns, all devices of each claim have been read; None: they have not been yet.
    pub fn read_since(&self) -> Vec<Option<MonoNs>> {
        let first_at = |&channel: &usize| self.metered.get(channel).and_then(|metered| metered.meter.first_at());
        let all = |trust: &StandbyLedger| trust.channels.iter().map(first_at).collect::<Option<Vec<MonoNs>>>();
        self.trusts.iter().map(|trust| all(trust)?.into_iter().max()).collect()
    }

    /// Enters marks, how far the open epoch is, then the energy that readings bring; what a person should know of them
    /// goes to `say`. Devices that another process took over, by these standings, are its own from that moment on.
    pub fn enter(
        &mut self,
        marks: impl Iterator<Item = Mark>,
        progress: Option<ProgressPoint>,
        readings: &[Reading],
        standings: &[LeaseState],
        mut say: impl FnMut(String),
    ) {
        self.mark(marks, standings);
        let RunState { metered, ledger, trusts, .. } = self;
        self.progress.follow(ledger.first_epoch());
        if let Some(point) = progress.filter(|_| ledger.is_in_first()) {
            self.progress.note(point);
        }
        for reading in readings {
            let Some(metered) = metered.get_mut(reading.channel) else { continue };
            let Metered { channel, meter, claim, replaced_by, events, .. } = metered;
            if replaced_by.is_some() {
                // Its readings are followed: it may show signs of life again.
                meter.push(reading.at, reading.value, |_| ());
                continue;
            }
            let mut trust = claim.and_then(|claim| trusts.get_mut(claim));
            let place = |credit: EnergyInterval| match &mut trust {
                Some(trust) => trust.credit(reading.channel, credit, ledger),
                None => ledger.credit(reading.channel, credit),
            };
            let event = meter.push(reading.at, reading.value, place);
            if let Some(event) = event.filter(|_| *events <= MOST_EVENTS) {
                *events += 1;
                let more = if *events > MOST_EVENTS { ". Further events of it are in the report only" } else { "" };
                say(events::in_words(channel, event) + more);
            }
            if meter.is_missing() {
                ledger.release(reading.channel);
                trust.into_iter().for_each(|trust| trust.release(reading.channel));
            }
        }
    }

    /// Divides time by marks, and where devices were lost takes them out between the marks before and after.
    fn mark(&mut self, marks: impl Iterator<Item = Mark>, standings: &[LeaseState]) {
        let RunState { ledger, trusts, .. } = self;
        let lose = |trusts: &mut [StandbyLedger], ledger: &mut Ledger, before: MonoNs| {
            for (trust, standing) in trusts.iter_mut().zip(standings) {
                if let Some(at) = trust.lost_at(standing).filter(|at| *at < before) {
                    trust.lose(at, ledger);
                }
            }
        };
        for mark in marks {
            lose(trusts, ledger, mark.at());
            ledger.mark(mark);
            trusts.iter_mut().for_each(|trust| trust.mark(mark));
        }
        lose(trusts, ledger, MonoNs::NEVER);
    }

    /// Takes note of who counts the devices of a claim now; says the first time that this is another process, and that it
    /// was until now.
    pub fn stand(&mut self, claim: usize, standing: LeaseState, say: impl FnOnce(String)) {
        let RunState { ledger, trusts, .. } = self;
        let Some(trust) = trusts.get_mut(claim) else { return };
        let before = trust.standing;
        trust.settle(standing, ledger);
        let [is_elsewhere, is_back] = &mut trust.was_said;
        let is_known = |holder: &u32| *holder > 0;
        if let who @ Some(_) = standing.holder.filter(is_known)
            && !std::mem::replace(is_elsewhere, true)
        {
            say(format!("{} counts {}, and not this one; job=off counts it here too", process(who), trust.what));
        } else if let who @ Some(_) = before.holder.filter(is_known)
            && standing.is_ours
            && !std::mem::replace(is_back, true)
        {
            say(format!("this process counts {} from now on, and what {} has left", trust.what, process(who)));
        }
    }

    /// Finds out which epochs are settled by what was entered; `now`, ns, is later than all of it.
    pub fn settle(&mut self, now: MonoNs) {
        let known_until = if self.waits_for_opening { MonoNs::ZERO } else { self.all_known_until() };
        // What was settled stays so while something is waited for that fills in a part of it.
        if !self.waits_for_opening {
            self.settled = self.ledger.epochs_ended_by(known_until);
        }
        if self.ledger.is_in_first() {
            self.progress.settle(known_until, now, |at| self.ledger.open_j(at));
        }
    }

    /// The forecast at `now`, ns: inside the first epoch it is made at a mark, and what was used since is no less.
    pub fn forecast_at(&self, now: MonoNs) -> Option<Forecast> {
        let Some(begin) = self.ledger.first_begin().filter(|_| self.ledger.is_in_first()) else { return self.forecast };
        let before = self.ledger.between_first(0).energy_j;
        let energy_j = self.ledger.open_j(now).map(|joules| joules + before.unwrap_or(0.0));
        Some(self.forecast?.after_use(now.s_since(begin), energy_j))
    }

    /// Whether a soon reading of any of these channels would tell something: a mark's energy, or what a
    /// doubtful reading was.
    pub fn wants_reading(&self, mut channels: Range<usize>) -> bool {
        let last_mark = self.ledger.last_mark().max(self.progress.awaits());
        channels.any(|channel| {
            self.metered.get(channel).is_some_and(|one| one.meter.wants_second_look())
                || self.known_until(channel).is_some_and(|known_until| Some(known_until) < last_mark)
        })
    }

    /// Whether the power beside one of these channels' counters is integrated.
    pub fn is_by_power(&self, mut channels: Range<usize>) -> bool {
        channels.any(|channel| self.metered.get(channel).is_some_and(|one| one.meter.is_by_power()))
    }

    /// Up to when all energy is known, as far as the devices answer; past all time where there are none.
    pub fn all_known_until(&self) -> MonoNs {
        let all = 0..self.metered.len();
        all.filter_map(|channel| self.known_until(channel)).min().unwrap_or(MonoNs::NEVER)
    }

    /// Up to when a channel's energy is known; None where waiting for it is waiting for nothing.
    fn known_until(&self, channel: usize) -> Option<MonoNs> {
        let counts = |metered: &&Metered| self.standing(metered).is_ours || self.owes(channel, metered);
        let meter = &self.metered.get(channel).filter(counts)?.meter;
        let first_at = meter.first_at().filter(|_| !meter.is_missing())?;
        Some(if meter.is_owing() {
            MonoNs::ZERO
        } else {
            self.ledger.credited_until(channel).map_or(first_at, |until| until.max(first_at))
        })
    }
}

/// A process of the job, as far as it is known.
fn process(number: Option<u32>) -> String {
    match number {
        None | Some(0) => "another process of this job".into(),
        Some(number) => format!("process {number} of this job"),
    }
}
