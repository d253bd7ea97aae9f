//! Makes a tracker in four steps: resolve, restore, open, spawn.
//!
//! It runs on the thread `ct-start`, which has its own descriptor table. The caller of `ct_create` waits for it.

use super::earlier_runs;
use super::failures::Failures;
use super::marker::{MarkRecord, Marker};
use super::sampler::{Sampler, SamplerParts};
use super::threads::{RunParts, Threads};
use super::{RunStart, Tracker};
use crate::attribution::carried_over::CarriedOver;
use crate::attribution::phases::PhaseStack;
use crate::attribution::share::NodeShare;
use crate::carbon::select::{self, Feed, IntensityChoice};
use crate::carbon::what_if::Elsewhere;
use crate::coordination::device_lease::LeaseManager;
use crate::coordination::job::{self, Job, Rank};
use crate::error::Result;
use crate::measurement::config::Scope;
use crate::measurement::discover::Discovery;
use crate::measurement::intake::Intake;
use crate::measurement::source::Waker;
use crate::measurement::usage::{self, UsageReader};
use crate::options::Options;
use crate::options::environment;
use crate::os::{self, ForkMark, OwnTable, exit};
use crate::report::ReportSettings;
use crate::run_files::attempt::Process;
use crate::run_files::history::HistoryRequest;
use crate::run_files::run_identity::RunIdentity;
use crate::state::alerts::Alerts;
use crate::state::shared::SharedState;
use crate::state::{IdlePower, RunState};
use rtrb::RingBuffer;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Capacity of the rings of epochs and of phases, marks. Marks that find it full are merged.
const RING_MARKS: usize = 1 << 13;

/// Makes a tracker from checked options.
pub fn assemble(options: Options, start: RunStart, table: Arc<OwnTable>) -> Result<Tracker> {
    // Discovery has a thread of its own. It looks for devices while this thread does the first two steps.
    let RunStart { nvml, waker, machine } = start;
    let discovery = Discovery::start(&options.measurement, machine.clone(), waker.clone());
    let (plan, feeds, state) = RunPlan::resolve(options)?;
    let shared = Arc::new(state);
    let (run, alerts) = plan.restore(&shared);
    let intake = Intake::new(discovery, nvml, (plan.options.measurement.clone(), machine), waker.clone());
    let (sampler, marker) = plan.open(intake, waker, &run, alerts, &shared);
    let history = plan.history(&run, &shared);
    let settings = Arc::new(plan.settings(&run));
    spawn(RunParts { marker, shared, settings, table }, sampler, feeds, history, run)
}

/// What options and environment choose for this attempt.
struct RunPlan {
    options: Options,
    elsewhere: Option<Elsewhere>,
    host: String,
    job: Option<Job>,
    rank: Rank,
}

impl RunPlan {
    /// Step 1: options and environment become a plan, the feeds of carbon intensity, and the empty state with its first
    /// messages. It starts nothing and writes nothing.
    fn resolve(options: Options) -> Result<(RunPlan, Vec<Feed>, SharedState)> {
        let variable = |name: &str| os::variable(name)?.into_string().ok();
        let choice = options.choice_as_set(select::choose(&options.carbon, variable))?;
        let elsewhere = Elsewhere::find(&options.carbon.what_if)?;
        let caveats: Vec<String> = choice.caveats().collect();
        let IntensityChoice { grid, marginal, feeds, facility } = choice;
        let mut state = RunState::new(grid, options.carbon.pue).within(facility);
        state.carbon.marginal = marginal;
        state.carbon.local = os::local_time();
        let shared = SharedState::new(state);
        let unused = options.config.messages.iter().cloned().chain(environment::unknown());
        unused.for_each(|message| shared.queue_note(message));
        caveats.into_iter().for_each(|caveat| shared.queue_message(caveat));
        let rank = job::rank(&os::variable);
        // Siblings count apart where each counts its own share: their sum is right without a lease.
        let counts_share = options.measurement.scope == Scope::Job;
        let job =
            Job::find(options.job.as_deref(), &os::variable, os::kin()).filter(|job| job.is_named || !counts_share);
        Ok((
            RunPlan { options, elsewhere, host: job::node(&os::variable).unwrap_or_else(os::hostname), job, rank },
            feeds,
            shared,
        ))
    }

    /// Step 2: finds the run that this attempt continues, or a new one, and puts carried-over energy into the state.
    fn restore(&self, shared: &SharedState) -> (RunIdentity, Alerts) {
        let process = Process::new(self.host.clone(), self.job_name(), self.rank, &os::variable);
        let report = &mut |message| shared.queue_message(self.options.text_as_set(message));
        let mut run = RunIdentity::find(&self.options.files, self.options.epochs, process, report);
        let mut alerts = Alerts::new(self.options.alerts, run.planned);
        let carried_over = std::mem::take(&mut run.carried_over);
        if !carried_over.is_empty() {
            resume(carried_over, &mut alerts, shared);
        }
        (run, alerts)
    }

    /// Step 3: opens the sources and the device leases, and takes each counter's first reading. It waits for discovery
    /// for a moment.
    fn open(
        &self,
        intake: Intake,
        waker: Waker,
        run: &RunIdentity,
        alerts: Alerts,
        shared: &SharedState,
    ) -> (Sampler, Arc<Mutex<Marker>>) {
        let (producer, consumer) = RingBuffer::new(RING_MARKS);
        let (phase_producer, phase_consumer) = RingBuffer::new(RING_MARKS);
        let parts = SamplerParts {
            intake,
            waker,
            marks: consumer,
            phase_marks: phase_consumer,
            alerts,
            leases: LeaseManager::new(self.job.clone(), self.rank, &self.options.measurement.sysroot),
            interval: self.options.interval,
            monitor_epochs: self.options.monitor_epochs,
            usage: self.share(shared),
        };
        shared.state().metering.is_first_rank = self.rank.number.unwrap_or(0) == 0;
        let sampler = Sampler::new(parts, shared);
        let epochs_before = shared.state().attribution.carried_over.epochs_done();
        let counter = run.plan.as_ref().and_then(|files| files.crash_counter.clone());
        let marker = Marker {
            marks: producer,
            phases: PhaseStack::new(Arc::clone(&shared.state().attribution.phases.tree), phase_producer),
            open: None,
            backlog: None,
            ended: epochs_before,
            monitor_epochs: self.options.monitor_epochs.unwrap_or(u64::MAX),
            state: sampler.epoch_state(),
            last_end: None,
            record: counter.map(|counter| MarkRecord { counter, epochs_before, first_begin: None, inside: 0 }),
        };
        (sampler, Arc::new(Mutex::new(marker)))
    }

    /// With `scope=job`: divides the node's energy from now on, and reads what the job uses of the node.
    fn share(&self, shared: &SharedState) -> Option<UsageReader> {
        let config = Some(&self.options.measurement).filter(|config| config.scope == Scope::Job)?;
        let reader = UsageReader::open(config, job::batch_variables(&os::variable));
        let basis = reader.as_ref().ok().map(UsageReader::basis);
        let mut state = shared.state();
        state.attribution.share = Some(NodeShare::new(config.idle, basis));
        state.metering.idle_power = match config.idle_w {
            Some(watts) => IdlePower::Option(watts),
            None => usage::idle_watts(config).map_or(IdlePower::Unknown, IdlePower::Model),
        };
        drop(state);
        if let Err(fault) = &reader {
            let words = "the job's share is unknown, so energies are; set scope=device, or mount /proc";
            shared.queue_message(format!("scope=job: the processor time of the node cannot be read: {fault}; {words}"));
        }
        reader.ok()
    }

    /// The name of the job, if a launcher or the user gave it.
    fn job_name(&self) -> Option<String> {
        self.job.as_ref().filter(|job| job.is_named).map(|job| job.words.clone())
    }

    /// The earlier runs to look for; None: none are wanted. A run without planned epochs may report its progress.
    fn history(&self, run: &RunIdentity, shared: &SharedState) -> Option<HistoryRequest> {
        let as_set = |text: String| self.options.text_as_set(text);
        earlier_runs::request(&self.options.files, run, self.rank, as_set, |message| shared.queue_message(message))
    }

    /// The part of a report that does not change.
    fn settings(self, run: &RunIdentity) -> ReportSettings {
        ReportSettings {
            id: run.id.clone(),
            name: run.name.clone(),
            job: self.job_name(),
            host: self.host,
            rank: self.rank,
            started: run.started.clone(),
            interval_s: self.options.interval.as_secs_f64(),
            planned: run.planned,
            level: self.options.alerts.level,
            budgets: self.options.alerts.budgets,
            prints: self.options.alerts.prints,
            monitored: self.options.monitor_epochs,
            elsewhere: self.elsewhere,
            rates: self.options.carbon.rates,
        }
    }
}

/// Puts the energy of earlier attempts into the state, and reviews it: it may pass a budget already.
fn resume(carried_over: CarriedOver, alerts: &mut Alerts, shared: &SharedState) {
    let (mut state, now) = (shared.state(), os::monotonic_ns());
    state.resume(carried_over, now);
    let review = alerts.review(&state.alert_input(now));
    review.messages.into_iter().for_each(|message| shared.queue_message(message));
    shared.set_over_budget(review.over_budget);
    shared.set_reviewed(state.attribution.settled_epochs());
    state.forecasting.forecast = review.forecast;
}

/// Step 4: starts the threads.
fn spawn(
    parts: RunParts,
    sampler: Sampler,
    feeds: Vec<Feed>,
    history: Option<HistoryRequest>,
    run: RunIdentity,
) -> Result<Tracker> {
    let counter = run.plan.as_ref().and_then(|files| files.crash_counter.clone());
    let threads = Threads::start(sampler, feeds, history, run.plan, parts.clone());
    let threads = Arc::new(threads.inspect_err(|_| counter.into_iter().for_each(|counter| counter.remove()))?);
    exit::register(&threads);
    Ok(Tracker {
        sampler: threads.sampler.thread().clone(),
        threads,
        is_open: AtomicBool::new(false),
        fork_mark: ForkMark::here(),
        parts,
        created: os::monotonic_ns(),
        failures: Failures::new(),
    })
}
