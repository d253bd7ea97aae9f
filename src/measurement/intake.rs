//! The sources that are still to join a run: those of discovery, NVML's GPUs, and the stand-ins of stalled sources.

use super::channel::DeviceKind;
use super::config::MeasurementConfig;
use super::discover::Discovery;
use super::machine::Machine;
use super::source::gpu::superchip::Processor;
use super::source::{OPEN_WAIT, Opened, Opening, Source, Waker};
use super::source_name::SourceName;
use super::sources::Sources;
use super::unavailable::Unavailable;
use crate::error::THREAD_FIX;
use crate::os::{self, Instant, JoinHandle};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long the start of a tracker waits for discovery. A slower file does not hold up the application.
const DISCOVERY_WAIT: Duration = Duration::from_millis(250);
/// How long epochs stay unsettled while a stand-in for a stalled source is searched.
const STAND_IN_WAIT: Duration = Duration::from_secs(5);
/// How long the end of the sampling thread waits for the threads of the sources.
const THREADS_WAIT: Duration = Duration::from_millis(100);

/// The sources that are still to join a run.
pub struct Intake {
    discovery: Option<Discovery>,
    nvml: Option<Opening>,
    /// NVML is in use and has no GPU.
    is_without_nvml: bool,
    /// The sources that measure GPUs in that case. None: discovery is not over.
    without_nvml: Option<Opened>,
    /// NVML has answered or is not in use. GPUs that are not ready may come later.
    nvml_has_answered: bool,
    /// NVML has opened a GPU.
    has_nvml: bool,
    /// The sources of a superchip's processor, which wait for NVML's answer.
    processor: Processor,
    /// Searches whose thread could not be started. The next call of [`Intake::take`] returns them.
    failed: Vec<Unavailable>,
    /// The options of stand-ins.
    options: MeasurementConfig,
    /// A simulated machine in place of the real one.
    machine: Option<Arc<dyn Machine>>,
    waker: Waker,
    /// Sources without a sign of life, and what they measure.
    stalled_sources: Vec<(DeviceKind, SourceName)>,
    /// Searches for their stand-ins.
    stand_ins: Vec<StandInSearch>,
    /// Threads that are about to end.
    threads: Vec<JoinHandle>,
}

/// A search for a source that replaces channels.
struct StandInSearch {
    discovery: Discovery,
    /// The numbers of the channels.
    stalled: Vec<usize>,
    /// When the search began.
    since: Instant,
}

/// Sources that replace channels, and the numbers of those channels.
pub type StandIn = (Vec<Box<dyn Source>>, Vec<usize>);

/// What joins the run.
#[derive(Default)]
pub struct Arrived {
    /// Sources. True: their first readings also fill in the energy before them.
    pub sources: Vec<(Box<dyn Source>, bool)>,
    /// Sources that replace channels. The first source replaces them, the others go with it.
    pub stand_ins: Vec<StandIn>,
    /// Sources that do not take part.
    pub unavailable: Vec<Unavailable>,
    /// Messages for the user.
    pub messages: Vec<String>,
}

impl Intake {
    /// Takes the searches that have been started, or could not be. `nvml` is None if the options want no real GPU.
    pub fn new(
        discovery: io::Result<Discovery>,
        nvml: Option<io::Result<Opening>>,
        (options, machine): (MeasurementConfig, Option<Arc<dyn Machine>>),
        waker: Waker,
    ) -> Intake {
        let mut failed = Vec::new();
        let mut fail = |source: SourceName, error: io::Error| {
            let reason = format!("its thread cannot be started: {error}");
            let cure = Some(THREAD_FIX.into());
            failed.push(Unavailable { source, reason, cure });
        };
        let is_asked_for = nvml.is_some();
        let nvml = nvml.and_then(|opening| opening.map_err(|error| fail(SourceName::Nvml, error)).ok());
        let discovery = discovery.map_err(|error| fail(SourceName::Search, error)).ok();
        Intake {
            is_without_nvml: is_asked_for && nvml.is_none(),
            without_nvml: discovery.is_none().then(Opened::default),
            nvml_has_answered: nvml.is_none(),
            has_nvml: false,
            processor: Processor::default(),
            discovery,
            nvml,
            failed,
            options,
            machine,
            waker,
            stalled_sources: Vec::new(),
            stand_ins: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// Starts the search for a source of `kind` that replaces the channels `stalled` of `source`, once per kind and
    /// source. With `lacks_memory` memory is estimated beside an estimated processor.
    pub fn seek(&mut self, kind: DeviceKind, source: SourceName, stalled: Vec<usize>, lacks_memory: bool) {
        if self.stalled_sources.contains(&(kind, source)) {
            return;
        }
        if kind == DeviceKind::Cpu {
            // Memory may now be estimated beside the processor.
            self.stalled_sources.retain(|(kind, _)| *kind != DeviceKind::Dram);
        }
        self.stalled_sources.push((kind, source));
        if let Ok(discovery) = Discovery::of_next(
            &self.options,
            self.machine.clone(),
            self.waker.clone(),
            kind,
            self.stalled_sources.clone(),
            lacks_memory,
        ) {
            self.stand_ins.push(StandInSearch { discovery, stalled, since: Instant::now() });
        }
    }

    /// Whether a search for a stand-in is in progress and has not taken too long.
    pub fn is_seeking(&self) -> bool {
        self.stand_ins.iter().any(|one| one.since.elapsed() < STAND_IN_WAIT)
    }

    /// Takes the stand-ins that have been found.
    fn take_stand_ins(&mut self, arrived: &mut Arrived) {
        for search in std::mem::take(&mut self.stand_ins) {
            match search.discovery.wait(Duration::ZERO) {
                Some(Sources { sources, unavailable, .. }) => {
                    if !sources.is_empty() {
                        arrived.stand_ins.push((sources, search.stalled));
                    }
                    arrived.unavailable.extend(unavailable);
                    self.threads.push(search.discovery.thread);
                }
                None => self.stand_ins.push(search),
            }
        }
    }

    /// Takes the sources that are ready. The `first` call waits up to 250 ms for discovery and 3 ms for NVML.
    pub fn take(&mut self, first: bool) -> Arrived {
        let mut arrived = Arrived { unavailable: std::mem::take(&mut self.failed), ..Arrived::default() };
        let wait = |time: Duration| if first { time } else { Duration::ZERO };
        if let Some(found) = self.discovery.as_ref().and_then(|discovery| discovery.wait(wait(DISCOVERY_WAIT))) {
            self.threads.extend(self.discovery.take().map(|discovery| discovery.thread));
            let Sources { mut sources, unavailable, without_nvml, is_superchip } = found;
            if is_superchip {
                sources = self.processor.hold(sources);
            }
            arrived.sources.extend(sources.into_iter().map(|source| (source, !first)));
            arrived.unavailable.extend(unavailable);
            self.without_nvml = Some(without_nvml);
        }
        if let Some(opened) = self.nvml.as_ref().and_then(|opening| opening.wait(wait(OPEN_WAIT))) {
            self.take_nvml(opened, &mut arrived);
        }
        self.replace_nvml(&mut arrived);
        if let Some((source, unavailable)) = self.without_nvml.take_if(|_| self.is_without_nvml) {
            arrived.sources.extend(source.map(|source| (source, true)));
            arrived.unavailable.extend(unavailable);
        }
        if self.processor.waits() && (self.nvml_has_answered || self.processor.is_overdue()) {
            match self.processor.release() {
                Ok(sources) => arrived.sources.extend(sources.into_iter().map(|source| (source, true))),
                Err(entry) => arrived.unavailable.push(entry),
            }
        }
        self.take_stand_ins(&mut arrived);
        arrived
    }

    /// Takes the GPUs that NVML has opened. Continues to wait for those that have not answered.
    fn take_nvml(&mut self, (source, unavailable): Opened, arrived: &mut Arrived) {
        self.nvml_has_answered = true;
        arrived.unavailable.extend(unavailable);
        let Some(opening) = self.nvml.take() else { return };
        self.nvml = opening.take_next();
        let pending = self.nvml.as_ref().and_then(Opening::pending);
        arrived.messages.extend(pending.and_then(|pending| pending.message()));
        let Some(source) = source else {
            self.threads.push(opening.thread);
            self.is_without_nvml = self.nvml.is_none();
            return;
        };
        self.has_nvml = true;
        // The thread now reads the source, and ends once the sampling thread drops it.
        let has_counted = source.has_module() && self.processor.cover();
        arrived.sources.push((source, opening.fills_in && !has_counted));
    }

    /// Gives up a driver that fails if another source measures its GPUs.
    fn replace_nvml(&mut self, arrived: &mut Arrived) {
        let is_replaced = matches!(self.without_nvml, Some((Some(_), _)));
        if !self.nvml_has_answered || self.has_nvml || !is_replaced {
            return;
        }
        if let Some(opening) = self.nvml.take() {
            arrived.unavailable.extend(opening.pending());
            self.threads.push(opening.close());
            self.is_without_nvml = true;
        }
    }

    /// Whether [`Intake::take`] has something to return.
    pub fn has_news(&self) -> bool {
        self.stand_ins.iter().any(|one| one.discovery.is_over())
            || self.discovery.as_ref().is_some_and(Discovery::is_over)
            || self.nvml.as_ref().is_some_and(Opening::is_open)
            || self.processor.is_overdue()
    }

    /// Whether no source is still to join.
    pub fn is_over(&self) -> bool {
        self.discovery.is_none() && self.nvml.is_none() && self.stand_ins.is_empty() && !self.processor.waits()
    }

    /// The sources that are still to join, for the report.
    pub fn awaited(&self) -> Vec<Unavailable> {
        let nvml = self.nvml.as_ref().and_then(Opening::pending);
        let discovery = self.discovery.as_ref().map(Discovery::pending);
        [discovery, nvml, self.processor.pending()].into_iter().flatten().collect()
    }

    /// Whether a source that is still to join will fill in earlier energy. Until then no epoch can be settled.
    pub fn fills_in(&self) -> bool {
        self.discovery.is_some() || self.processor.waits() || self.nvml.as_ref().is_some_and(|opening| opening.fills_in)
    }

    /// Waits up to 100 ms for the threads, so that they do not run while the program exits.
    pub fn end(self) {
        let openings = self.nvml.map(Opening::close).into_iter();
        let discoveries = self.discovery.into_iter().chain(self.stand_ins.into_iter().map(|one| one.discovery));
        let threads = self.threads.into_iter().chain(openings).chain(discoveries.map(|discovery| discovery.thread));
        let deadline = Instant::now() + THREADS_WAIT;
        for thread in threads {
            let _ = os::join_within(thread, deadline.saturating_duration_since(Instant::now()));
        }
    }
}
