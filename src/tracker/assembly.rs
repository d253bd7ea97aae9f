//! Puts a tracker together, on a thread that has a table of descriptors of its own.

use super::Tracker;
use super::marker::{MarkRecord, Marker};
use super::sampler::Sampler;
use super::threads::Threads;
use crate::attribution::carried_over::CarriedOver;
use crate::carbon::select::{self, IntensityChoice};
use crate::carbon::what_if::Elsewhere;
use crate::coordination::device_lease::LeaseManager;
use crate::coordination::job::{self, Job};
use crate::error::Result;
use crate::measurement::source::{Discovery, Intake, Opening, Waker};
use crate::options::Options;
use crate::options::environment;
use crate::os::{self, ForkMark, OwnTable, exit};
use crate::report::ReportSettings;
use crate::run_files::attempt::Process;
use crate::run_files::run_identity::RunIdentity;
use crate::state::RunState;
use crate::state::alerts::Alerts;
use crate::state::shared::SharedState;
use rtrb::RingBuffer;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Marks that fit between two readings before epochs are taken together.
const RING: usize = 1 << 13;

/// Puts a tracker together: what the options ask for, what an earlier process left, the sources, the threads.
pub fn assemble(
    mut options: Options,
    nvml: Option<io::Result<Opening>>,
    waker: Waker,
    table: Arc<OwnTable>,
) -> Result<Tracker> {
    let discovery = Discovery::start(&options.measurement, waker.clone());
    let variable = |name: &str| os::variable(name)?.into_string().ok();
    let choice = options.choice_as_set(select::choose(&options.carbon, variable))?;
    let caveats: Vec<String> = choice.caveats().collect();
    let IntensityChoice { grid, marginal, feeds, facility } = choice;
    let elsewhere = Elsewhere::find(&options.carbon.what_if)?;
    let (producer, consumer) = RingBuffer::new(RING);
    let mut run_state = RunState::new(grid, options.carbon.pue).within(facility);
    run_state.carbon.marginal = marginal;
    let shared = Arc::new(SharedState::new(run_state));
    environment::unknown().into_iter().for_each(|message| shared.remark(message));
    caveats.into_iter().for_each(|caveat| shared.say(caveat));
    let host = os::hostname();
    let say = &mut |message| shared.say(options.text_as_set(message));
    let rank = job::rank(&os::variable);
    let job = Job::find(options.job.as_deref(), &os::variable, os::kin());
    let named = job.as_ref().filter(|job| job.is_named).map(|job| job.words.clone());
    let process = Process::new(host.clone(), named.clone(), rank, &os::variable);
    let start = RunIdentity::find(&options.files, options.epochs, process, say);
    options.epochs = start.planned;
    let before = start.past.epochs_done();
    let tally = start.plan.as_ref().and_then(|plan| plan.tally.clone());
    let advisor = advisor(&options, start.past, &shared);
    let claimant = LeaseManager::new(job, rank, &options.measurement.sysroot);
    let intake = Intake::new(discovery, nvml, options.measurement.clone(), waker.clone());
    let sampler = Sampler::new(intake, waker, consumer, advisor, claimant, &options, &shared);
    let setting = Arc::new(ReportSettings {
        id: start.id,
        name: start.name,
        host,
        job: named,
        rank,
        started: start.started,
        interval_s: options.interval.as_secs_f64(),
        planned: options.epochs,
        level: options.alerts.level,
        monitored: options.monitor_epochs,
        elsewhere,
        rates: options.carbon.rates,
    });
    let marker = Arc::new(Mutex::new(Marker {
        marks: producer,
        open: None,
        backlog: None,
        ended: before,
        monitor_epochs: options.monitor_epochs.unwrap_or(u64::MAX),
        state: sampler.state(),
        last_end: 0,
        record: tally.map(|tally| MarkRecord { tally, before, first_begin: None, inside: 0 }),
    }));
    let noted = start.plan.as_ref().and_then(|plan| plan.tally.clone());
    let threads = Threads::start(sampler, feeds, start.plan, Arc::clone(&marker), &setting, &shared, &table);
    let threads = Arc::new(threads.inspect_err(|_| noted.into_iter().for_each(|tally| tally.remove()))?);
    exit::register(&threads);
    Ok(Tracker {
        marker,
        shared,
        sampler: threads.sampler.thread().clone(),
        threads,
        setting,
        is_open: AtomicBool::new(false),
        fork_mark: ForkMark::here(),
        _table: table,
    })
}

/// The advisor, which has reviewed what earlier processes of the run have left.
fn advisor(options: &Options, past: CarriedOver, shared: &SharedState) -> Alerts {
    let mut advisor = Alerts::new(options.alerts, options.epochs);
    if !past.is_empty() {
        let (mut books, now) = (shared.state(), os::monotonic_ns());
        books.resume(past, now);
        let review = advisor.review(&books.run(now));
        review.messages.into_iter().for_each(|message| shared.say(message));
        shared.set_over_budget(review.over_budget);
        books.forecasting.forecast = review.forecast;
    }
    advisor
}
