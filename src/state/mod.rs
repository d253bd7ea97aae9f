//! The run in progress: what is measured, and where its energy went.
//!
//! In: epoch marks, readings, lease states and carbon intensity, from the tracker's threads. Out: the state that
//! reports are made from, messages for the user, and the verdict on budgets. Never: it reads no device, file or
//! network.

pub mod alerts;
mod budgets;
pub mod config;
mod enter;
mod events;
mod leases;
pub mod misuse;
mod settle;
pub mod shared;
mod stand_in;
mod uncertainty;
pub mod work_cell;

use crate::attribution::account::Energy;
use crate::attribution::carried_over::{CarriedComponent, CarriedOver};
use crate::attribution::ledger::{EnergySplit, Ledger};
use crate::attribution::phases::PhaseBook;
use crate::attribution::share::NodeShare;
use crate::carbon::emissions::{CarriedEmissions, EmissionFactors};
use crate::carbon::facility::Facility;
use crate::carbon::intensity::{GridIntensity, Hourly};
use crate::clock::{LocalTime, MonoNs, WallClock};
use crate::coordination::device_lease::OnNode;
use crate::coordination::standby_ledger::StandbyLedger;
use crate::forecast::Forecast;
use crate::forecast::first_epoch::FirstEpoch;
use crate::forecast::history::History;
use crate::forecast::run_progress::RunProgress;
use crate::measurement::channel::{Channel, DeviceKind};
use crate::measurement::meter::Meter;
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::units::ErrorBand;
use alerts::AlertInput;
use std::sync::Arc;

pub use events::{cure, disagreement};
pub use leases::CountedElsewhere;

/// The message for a panic of the sampling thread.
pub const FAULT: &str =
    "internal error: sampling stopped; energy so far is kept, and later energy is unknown; please report this bug";

/// The run in progress: the sampling thread writes it, reports read it.
pub struct RunState {
    /// Channels, their meters, and the sources that are missing.
    pub metering: Metering,
    /// Time and energy of the run.
    pub attribution: Attribution,
    /// The first epoch's progress and the forecast.
    pub forecasting: Forecasting,
    /// What converts energy into emissions.
    pub carbon: CarbonInputs,
    /// Whether the sampling thread has ended, and its faults.
    pub lifecycle: Lifecycle,
}

/// Channels, their meters, and the sources that are missing.
#[derive(Default)]
pub struct Metering {
    /// The channels. An index in this list is the channel's number.
    pub channels: Vec<Metered>,
    /// Standby readings of the devices that one process of the job counts. An index in this list is the lease's number.
    pub standby: Vec<StandbyLedger>,
    /// The job's state on this node; None: this process shares no device.
    pub on_node: Option<OnNode>,
    /// Sources that do not take part.
    pub unavailable: Vec<Unavailable>,
    /// Sources that are still being opened.
    pub opening: Vec<Unavailable>,
    /// Whether phases have the energy of devices that no process counts yet: in a job, those of the first rank do.
    pub is_first_rank: bool,
    /// Idle power of the node's processors; only with a share of the node.
    pub idle_power: IdlePower,
    /// Whether one of these will soon add energy of the time before it opened. No epoch is settled until then.
    pub waits_for_opening: bool,
}

/// Idle power of the node's processors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum IdlePower {
    /// It is unknown: no energy counts as idle.
    #[default]
    Unknown,
    /// By the processor model, W.
    Model(f64),
    /// The user's figure, W.
    Option(f64),
}

impl Metering {
    /// The idle power of a channel's device, W: the processors' is divided among their channels. A simulated processor
    /// and a whole node have that of the user only.
    pub fn idle_w(&self, channel: &Channel) -> f64 {
        let same = |one: &&Metered| one.channel.kind == channel.kind && one.replaced_by.is_none();
        let watts = match self.idle_power {
            IdlePower::Option(watts) => watts,
            IdlePower::Model(watts) if channel.kind == DeviceKind::Cpu && !channel.simulated => watts,
            _ => return 0.0,
        };
        watts / self.channels.iter().filter(same).count().max(1) as f64
    }
}

/// Time and energy of the run.
#[derive(Default)]
pub struct Attribution {
    /// Epochs, the time between them, and their energy.
    pub ledger: Ledger,
    /// Named phases, and their part of the energy.
    pub phases: PhaseBook,
    /// The division of the node's energy between the job and the others; None: all energy of the devices counts.
    pub share: Option<NodeShare>,
    /// What earlier attempts of the run left.
    pub carried_over: CarriedOver,
    /// Number of ended epochs, and pieces of the run's progress, whose readings have all arrived.
    pub settled: u64,
    /// Whether the application has marked an epoch.
    pub has_marks: bool,
    /// Whether the run's progress divides it into pieces, because the application marks no epochs.
    pub is_divided: bool,
}

impl Attribution {
    /// Number of settled epochs, without pieces of the run's progress that came before them.
    pub fn settled_epochs(&self) -> u64 {
        self.settled.saturating_sub(self.ledger.pieces())
    }
}

/// The first epoch's progress and the forecast.
#[derive(Default)]
pub struct Forecasting {
    /// Progress inside the first epoch.
    pub first_epoch: FirstEpoch,
    /// Progress of the whole run.
    pub run_progress: RunProgress,
    /// The number of the run's newest progress that was entered; 0: none was.
    pub work_number: u64,
    /// The forecast from settled epochs, from progress inside the first epoch or of the run, or from earlier runs.
    pub forecast: Option<Forecast>,
    /// Earlier runs; empty: none are known yet.
    pub history: Arc<History>,
    /// What these earlier runs are; None: there are none.
    pub earlier: Option<EarlierRuns>,
    /// The forecasts with earlier runs, one for each number of epochs that had ended. They take too long to make again.
    made: Vec<Forecast>,
}

/// Most forecasts that are kept, before each second one is dropped.
const MAX_MADE: usize = 512;

impl Forecasting {
    /// Stores the forecast of now.
    pub fn renew(&mut self, forecast: Option<Forecast>) {
        self.forecast = forecast;
        let Some(forecast) = forecast.filter(|forecast| self.earlier.is_some() && forecast.after_epochs > 0) else {
            return;
        };
        self.made.retain(|made| made.after_epochs < forecast.after_epochs);
        if self.made.len() >= MAX_MADE {
            let mut is_kept = false;
            self.made.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        self.made.push(forecast);
    }

    /// The forecasts with earlier runs that were made so far; None: there are no earlier runs.
    pub fn made(&self) -> Option<&[Forecast]> {
        self.earlier.as_ref().map(|_| self.made.as_slice())
    }
}

/// The earlier runs, as a report names them.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlierRuns {
    /// Their label; None: they have none.
    pub name: Option<String>,
    /// Begin of the newest one, RFC 3339; None: unknown.
    pub newest: Option<String>,
}

/// What converts energy into emissions.
pub struct CarbonInputs {
    /// Carbon intensity of the grid, as far as it is known now.
    pub grid: GridIntensity,
    /// Marginal intensity; None: the options do not choose it.
    pub marginal: Option<Hourly>,
    /// Facility energy / IT energy.
    pub pue: f64,
    /// Published rates of the cloud region, if the options choose them.
    pub facility: Facility,
    /// Converts instants of the monotonic clock into UTC.
    pub clock: WallClock,
    /// Converts dates into local time, for messages.
    pub local: LocalTime,
}

/// Whether the sampling thread has ended, and its faults.
#[derive(Default)]
pub struct Lifecycle {
    /// The sampling thread has ended; nothing changes any more.
    pub finished: bool,
    /// The run did not end by itself: its program failed, or exited without an end of its tracker.
    pub is_cut_off: bool,
    /// The sampling thread panicked; later energy is unknown.
    pub failed: bool,
    /// Other internal faults, as notes for the report.
    pub faults: Vec<&'static str>,
}

/// A channel, its meter, and its relation to other processes and channels.
pub struct Metered {
    /// The channel.
    pub channel: Channel,
    /// Its readings so far.
    pub meter: Meter,
    /// The number of its lease; None: no other process may count it.
    pub lease: Option<usize>,
    /// Energy that earlier attempts of the run measured on it.
    pub carried_over: EnergySplit,
    /// The source that counts in its place; its own readings do not count then.
    pub replaced_by: Option<SourceName>,
    /// The number of the channel that replaces it now, or did earlier.
    pub stand_in: Option<usize>,
    /// Groups of channels, by number, that have counted in its place, or that it has replaced.
    pub others: Vec<Vec<usize>>,
    /// Number of its events that a message has reported.
    pub events: u32,
    /// Error interval of `carried_over`; None: it was measured.
    pub carried_over_error: Option<ErrorBand>,
}

impl RunState {
    /// An empty run that this grid feeds, with its facility energy / IT energy.
    pub fn new(grid: GridIntensity, pue: f64) -> RunState {
        let (facility, clock, local) = (Facility::default(), WallClock::default(), LocalTime::default());
        RunState {
            metering: Metering::default(),
            attribution: Attribution::default(),
            forecasting: Forecasting::default(),
            carbon: CarbonInputs { grid, marginal: None, pue, facility, clock, local },
            lifecycle: Lifecycle::default(),
        }
    }

    /// The run in this facility: its PUE, if known, replaces the run's.
    pub fn within(mut self, facility: Facility) -> RunState {
        self.carbon.pue = facility.pue().map_or(self.carbon.pue, |(pue, _)| pue);
        self.carbon.facility = facility;
        self
    }

    /// Stores the cloud region that a look-up found. Returns messages on rates that the region does not have.
    pub fn found_in(&mut self, region: &str) -> Vec<String> {
        self.carbon.facility = self.carbon.facility.found(region);
        self.carbon.pue = self.carbon.facility.pue().map_or(self.carbon.pue, |(pue, _)| pue);
        self.carbon.facility.lacks().to_vec()
    }

    /// What converts this run's energy into emissions.
    pub fn factors(&self) -> EmissionFactors<'_> {
        let CarriedOver { energy_j, co2eq_g, .. } = self.attribution.carried_over;
        let known = energy_j.unwrap_or(0.0);
        let joules = known.min(self.carried_over_j());
        let share = if joules < known { joules / known } else { 1.0 };
        let carried_over = CarriedEmissions { joules, co2eq_g: co2eq_g.unwrap_or(0.0) * share };
        EmissionFactors { carried_over, ..EmissionFactors::new(&self.carbon.grid, &self.carbon.clock, self.carbon.pue) }
    }

    /// Energy of earlier attempts in the ledger, J. A damaged journal may have lost the energy of a component.
    fn carried_over_j(&self) -> f64 {
        let gone = self.attribution.ledger.carried_over().iter();
        let here = self.metering.channels.iter().map(|metered| &metered.carried_over);
        gone.chain(here).filter_map(|used| used.sum().joules).sum()
    }

    /// Continues a run at `now`.
    pub fn resume(&mut self, carried_over: CarriedOver, now: MonoNs) {
        self.attribution.ledger.resume(&carried_over, now);
        self.attribution.settled = self.attribution.ledger.epochs();
        self.attribution.carried_over = carried_over;
    }

    /// Components that earlier attempts measured and this one does not.
    pub fn carried_components(&self) -> impl Iterator<Item = CarriedComponent> {
        let used = self.attribution.ledger.carried_over();
        self.attribution
            .carried_over
            .components
            .iter()
            .zip(used)
            .filter(|(_, used)| used.sum() != Energy::default())
            .map(|(one, &used)| CarriedComponent { used, ..one.clone() })
    }

    /// Stores the earlier runs.
    pub fn know_history(&mut self, history: History, earlier: EarlierRuns) {
        self.forecasting.history = Arc::new(history);
        self.forecasting.earlier = Some(earlier);
    }

    /// The run at `now`, as the alerts judge it.
    pub fn alert_input(&self, now: MonoNs) -> AlertInput<'_> {
        AlertInput {
            ledger: &self.attribution.ledger,
            settled: self.attribution.settled_epochs(),
            first_epoch: &self.forecasting.first_epoch,
            history: &self.forecasting.history,
            run_progress: &self.forecasting.run_progress,
            is_divided: self.attribution.is_divided,
            factors: self.factors(),
            uncertainty: self.uncertainty(),
            local: &self.carbon.local,
            now,
        }
    }

    /// Adds a channel. `lease` is the number of its lease, if other processes may count it. `late_since` is the instant
    /// from which it should have been read.
    pub fn add(&mut self, channel: &Channel, lease: Option<usize>, late_since: Option<MonoNs>) {
        let Attribution { ledger, carried_over, share, .. } = &mut self.attribution;
        let number = self.metering.channels.len();
        ledger.add_channel(channel.kind);
        share.iter_mut().for_each(|share| share.others.add_channel(channel.kind));
        let is_same = |one: &CarriedComponent| {
            let earlier = &one.channel;
            (earlier.kind, &earlier.id, &earlier.device, earlier.source)
                == (channel.kind, &channel.id, &channel.device, channel.source)
        };
        let earlier = carried_over.components.iter().position(is_same);
        let carried_energy = earlier.map_or(EnergySplit::default(), |index| ledger.resume_channel(number, index));
        let carried_over_error = earlier.and_then(|index| carried_over.components.get(index)?.channel.error);
        self.metering.standby.iter_mut().for_each(|standby| standby.add_channel(channel.kind));
        if let Some(standby) = lease.and_then(|lease| self.metering.standby.get_mut(lease)) {
            standby.claim(number);
        }
        self.metering.channels.push(Metered {
            channel: channel.clone(),
            meter: Meter::of(channel, late_since),
            lease,
            carried_over: carried_energy,
            replaced_by: None,
            stand_in: None,
            others: Vec::new(),
            events: 0,
            carried_over_error,
        });
    }
}
