//! A run without threads: its state, its clock, and the reports of it.

use carbontracker::attribution::carried_over::CarriedOver;
use carbontracker::attribution::ledger::Mark;
use carbontracker::carbon::select;
use carbontracker::carbon::what_if::Elsewhere;
use carbontracker::clock::{ClockSample, MonoNs, UnixS};
use carbontracker::coordination::job::Rank;
use carbontracker::measurement::reading::Reading;
use carbontracker::measurement::source::Source;
use carbontracker::options::Options;
use carbontracker::report::{Detail, Now, OpenEpoch, Report, ReportSettings};
use carbontracker::state::RunState;
use carbontracker::state::alerts::Alerts;
use std::cell::Cell;
use std::sync::Arc;

/// The run's first instant. The time before it holds the past of a resumed run.
const START: MonoNs = MonoNs(1 << 60);
/// The date of that instant, s since 1970.
const START_UNIX_S: f64 = 1.7960e9;

/// A run in a world where time passes only in [`Run::pass`].
pub struct Run {
    settings: Arc<ReportSettings>,
    /// The state of the run.
    pub state: RunState,
    alerts: Alerts,
    now: Cell<MonoNs>,
    is_open: bool,
    sources: Vec<(usize, Box<dyn Source>)>,
    /// The messages so far.
    pub messages: Vec<String>,
}

impl Run {
    /// A run with these options that continues `past`, or a new one. `id` identifies it.
    pub fn new(options: &str, id: &str, past: CarriedOver) -> Run {
        let options = Options::parse(options, |_| None).unwrap_or_else(|error| panic!("{}", error.message));
        let choice = select::choose(&options.carbon, |_| None).unwrap_or_else(|error| panic!("{}", error.message));
        let elsewhere = Elsewhere::find(&options.carbon.what_if).unwrap_or_else(|error| panic!("{}", error.message));
        let mut state = RunState::new(choice.grid, options.carbon.pue).within(choice.facility);
        state.carbon.clock.note(ClockSample { monotonic: START, boot_ns: START.0, unix: UnixS(START_UNIX_S) });
        if !past.is_empty() {
            state.resume(past, START);
        }
        let settings = ReportSettings {
            id: id.to_owned(),
            name: options.files.name,
            host: "node".into(),
            job: None,
            rank: Rank::default(),
            started: "2026-11-30T00:00:00Z".into(),
            interval_s: options.interval.as_secs_f64(),
            planned: options.epochs,
            level: options.alerts.level,
            budgets: carbontracker::state::config::Budgets::default(),
            prints: false,
            monitored: options.monitor_epochs,
            elsewhere,
            rates: options.carbon.rates,
        };
        Run {
            alerts: Alerts::new(options.alerts, options.epochs),
            settings: Arc::new(settings),
            state,
            now: Cell::new(START),
            is_open: false,
            sources: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// The date of now, s since 1970.
    pub fn unix_s(&self) -> UnixS {
        self.state.carbon.clock.unix_s(self.now.get())
    }

    /// Adds a source with its channels.
    pub fn add(&mut self, source: Box<dyn Source>) {
        let first = self.state.metering.channels.len();
        source.channels().iter().for_each(|channel| self.state.add(channel, None, None));
        self.sources.push((first, source));
    }

    /// Lets time pass, s, and reads all sources. Each read takes a microsecond.
    pub fn pass(&mut self, seconds: f64) {
        self.now.set(self.now.get() + (seconds * 1e9) as u64);
        let clock = || {
            self.now.set(self.now.get() + 1000);
            self.now.get()
        };
        let mut readings: Vec<Reading> = Vec::new();
        for (first, source) in &mut self.sources {
            let start = readings.len();
            source.read(&clock, &mut readings);
            for reading in &mut readings[start..] {
                assert!(reading.channel < source.channels().len(), "a reading of a channel that is not there");
                reading.channel += *first;
            }
        }
        self.state.enter(std::iter::empty(), None, &readings, &[], |message| self.messages.push(message));
    }

    /// Begins an epoch, or ends the open one. Then it judges the run.
    pub fn mark(&mut self) {
        let now = self.now.get();
        let mark = if self.is_open { Mark::End(now) } else { Mark::Begin(now) };
        self.is_open = !self.is_open;
        self.state.enter(std::iter::once(mark), None, &[], &[], |message| self.messages.push(message));
        let review = self.alerts.review(&self.state.alert_input(now));
        self.messages.extend(review.messages);
        self.state.forecasting.forecast = review.forecast;
    }

    /// The report of now.
    pub fn report(&self, detail: Detail) -> Report {
        let open = self.is_open.then_some(OpenEpoch { share: None });
        Report::new(&self.settings, &self.state, Now { at: self.now.get(), whole: true, open }, detail)
    }
}
