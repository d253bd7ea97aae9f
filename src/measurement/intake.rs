//! Sources on their way into a run: those that discovery finds, and the GPUs that NVML opens in its own time.

use super::channel::DeviceKind;
use super::config::MeasurementConfig;
use super::source::gpu::superchip::Processor;
use super::source::{Discovery, IN_TIME, Opened, Opening, Source, Sources, Unavailable, Waker};
use crate::os;
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the making of a tracker waits for discovery. A file that answers later does not hold up the application.
pub const DISCOVERY: Duration = Duration::from_millis(250);
/// So long an epoch is not settled as what stands in for a meter is looked for.
const SEEKING: Duration = Duration::from_secs(5);
/// How long an ending sampler waits for the threads of sources.
const THREADS_END: Duration = Duration::from_millis(100);

/// What is on its way.
pub struct Intake {
    discovery: Option<Discovery>,
    nvml: Option<Opening>,
    /// NVML is not used, or has no GPU.
    is_without_nvml: bool,
    /// What stands in for it then; None until discovery is over.
    without_nvml: Option<Opened>,
    /// NVML has answered; GPUs that are not ready may come later.
    has_answered: bool,
    /// It has opened a GPU.
    has_nvml: bool,
    /// What waits for that answer on a superchip.
    processor: Processor,
    failed: Vec<Unavailable>,
    /// What the next sources are looked for by.
    options: MeasurementConfig,
    waker: Waker,
    /// Sources that show no sign of life, by the kind of what they measure.
    dead: Vec<(DeviceKind, &'static str)>,
    /// What is looked for to stand in for them, the numbers of their channels, and since when.
    sought: Vec<(Discovery, Vec<usize>, Instant)>,
    /// Threads that have done their work, and end.
    threads: Vec<JoinHandle<()>>,
}

/// Sources that stand in, and the numbers of the channels that they do it for.
pub type StandIn = (Vec<Box<dyn Source>>, Vec<usize>);

/// What has come.
#[derive(Default)]
pub struct Arrived {
    /// Sources, and whether what they used before is filled in by their first readings.
    pub sources: Vec<(Box<dyn Source>, bool)>,
    /// Sources that stand in for channels of these numbers, and what goes with them.
    pub stand_ins: Vec<StandIn>,
    /// What does not take part.
    pub unavailable: Vec<Unavailable>,
    /// What a person should know of what is on its way.
    pub messages: Vec<String>,
}

impl Intake {
    /// Of what has been started. NVML is None where no real GPU is asked for.
    pub fn new(
        discovery: io::Result<Discovery>,
        nvml: Option<io::Result<Opening>>,
        options: MeasurementConfig,
        waker: Waker,
    ) -> Intake {
        let mut failed = Vec::new();
        let mut fail = |source: &'static str, error: io::Error| {
            let reason = format!("its thread could not be started: {error}");
            let cure = Some("raise the limit on threads or memory (ulimit -u, ulimit -v)".into());
            failed.push(Unavailable { source, reason, cure });
        };
        let is_asked_for = nvml.is_some();
        let nvml = nvml.and_then(|opening| opening.map_err(|error| fail("nvml", error)).ok());
        let discovery = discovery.map_err(|error| fail("sources", error)).ok();
        Intake {
            is_without_nvml: is_asked_for && nvml.is_none(),
            without_nvml: discovery.is_none().then(Opened::default),
            has_answered: nvml.is_none(),
            has_nvml: false,
            processor: Processor::default(),
            discovery,
            nvml,
            failed,
            options,
            waker,
            dead: Vec::new(),
            sought: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// Looks for the next source of a kind, to stand in for channels of one that shows no sign of life; where the run
    /// `lacks_memory`, that goes with an estimated processor.
    pub fn seek(&mut self, kind: DeviceKind, source: &'static str, stalled: Vec<usize>, lacks_memory: bool) {
        if self.dead.contains(&(kind, source)) {
            return;
        }
        if kind == DeviceKind::Cpu {
            // Memory that nothing stood in for may be estimated beside the processor.
            self.dead.retain(|(dead, _)| *dead != DeviceKind::Dram);
        }
        self.dead.push((kind, source));
        if let Ok(discovery) =
            Discovery::of_next(&self.options, self.waker.clone(), kind, self.dead.clone(), lacks_memory)
        {
            self.sought.push((discovery, stalled, Instant::now()));
        }
    }

    /// Whether one is being looked for, as long as that may take.
    pub fn is_seeking(&self) -> bool {
        self.sought.iter().any(|(_, _, since)| since.elapsed() < SEEKING)
    }

    /// The stand-ins that have been found.
    fn take_sought(&mut self, arrived: &mut Arrived) {
        for (discovery, stalled, since) in std::mem::take(&mut self.sought) {
            match discovery.wait(Duration::ZERO) {
                Some(Sources { sources, unavailable, .. }) => {
                    if !sources.is_empty() {
                        arrived.stand_ins.push((sources, stalled));
                    }
                    arrived.unavailable.extend(unavailable);
                    self.threads.push(discovery.thread);
                }
                None => self.sought.push((discovery, stalled, since)),
            }
        }
    }

    /// Takes what is there by now. The `first` time it waits, a moment.
    pub fn take(&mut self, first: bool) -> Arrived {
        let mut arrived = Arrived { unavailable: std::mem::take(&mut self.failed), ..Arrived::default() };
        let wait = |time: Duration| if first { time } else { Duration::ZERO };
        if let Some(found) = self.discovery.as_ref().and_then(|discovery| discovery.wait(wait(DISCOVERY))) {
            self.threads.extend(self.discovery.take().map(|discovery| discovery.thread));
            let Sources { mut sources, unavailable, without_nvml, is_superchip } = found;
            if is_superchip {
                sources = self.processor.hold(sources);
            }
            arrived.sources.extend(sources.into_iter().map(|source| (source, !first)));
            arrived.unavailable.extend(unavailable);
            self.without_nvml = Some(without_nvml);
        }
        if let Some(opened) = self.nvml.as_ref().and_then(|opening| opening.wait(wait(IN_TIME))) {
            self.take_nvml(opened, &mut arrived);
        }
        self.replace_nvml(&mut arrived);
        if let Some((source, unavailable)) = self.without_nvml.take_if(|_| self.is_without_nvml) {
            arrived.sources.extend(source.map(|source| (source, true)));
            arrived.unavailable.extend(unavailable);
        }
        if self.processor.waits() && (self.has_answered || self.processor.is_overdue()) {
            match self.processor.release() {
                Ok(sources) => arrived.sources.extend(sources.into_iter().map(|source| (source, true))),
                Err(aside) => arrived.unavailable.push(aside),
            }
        }
        self.take_sought(&mut arrived);
        arrived
    }

    /// Takes what NVML has opened, and waits on for the GPUs that do not answer yet.
    fn take_nvml(&mut self, (source, unavailable): Opened, arrived: &mut Arrived) {
        self.has_answered = true;
        arrived.unavailable.extend(unavailable);
        let Some(opening) = self.nvml.take() else { return };
        self.nvml = opening.next();
        let later = self.nvml.as_ref().and_then(Opening::until_then);
        arrived.messages.extend(later.and_then(|later| later.in_words()));
        let Some(source) = source else {
            self.threads.push(opening.thread);
            self.is_without_nvml = self.nvml.is_none();
            return;
        };
        self.has_nvml = true;
        // Its thread reads it from now on, and ends by itself once nobody asks any more.
        let has_counted = source.has_module() && self.processor.is_covered();
        arrived.sources.push((source, opening.fills_in && !has_counted));
    }

    /// Waits no longer for a driver that fails where another source measures its GPUs.
    fn replace_nvml(&mut self, arrived: &mut Arrived) {
        let is_replaced = matches!(self.without_nvml, Some((Some(_), _)));
        if self.has_answered
            && !self.has_nvml
            && is_replaced
            && let Some(opening) = self.nvml.take()
        {
            arrived.unavailable.extend(opening.until_then());
            self.threads.push(opening.close());
            self.is_without_nvml = true;
        }
    }

    /// Whether there is something to take.
    pub fn has_news(&self) -> bool {
        let is_found = self.sought.iter().any(|(discovery, ..)| discovery.is_over());
        is_found
            || self.discovery.as_ref().is_some_and(Discovery::is_over)
            || self.nvml.as_ref().is_some_and(Opening::is_open)
            || self.processor.is_overdue()
    }

    /// Whether everything has come.
    pub fn is_over(&self) -> bool {
        self.discovery.is_none() && self.nvml.is_none() && self.sought.is_empty() && !self.processor.waits()
    }

    /// What has yet to come.
    pub fn awaited(&self) -> Vec<Unavailable> {
        let nvml = self.nvml.as_ref().and_then(Opening::until_then);
        let discovery = self.discovery.as_ref().map(Discovery::until_then);
        [discovery, nvml, self.processor.until_then()].into_iter().flatten().collect()
    }

    /// Whether what comes will fill in what was used until then: no epoch is settled before.
    pub fn fills_in(&self) -> bool {
        self.discovery.is_some() || self.processor.waits() || self.nvml.as_ref().is_some_and(|opening| opening.fills_in)
    }

    /// Waits for its threads, a moment: a program that exits now is not to find them at work.
    pub fn end(self) {
        let openings = self.nvml.map(Opening::close).into_iter();
        let discoveries = self.discovery.into_iter().chain(self.sought.into_iter().map(|(discovery, ..)| discovery));
        let threads = self.threads.into_iter().chain(openings).chain(discoveries.map(|discovery| discovery.thread));
        let deadline = Instant::now() + THREADS_END;
        for thread in threads {
            let _ = os::join_within(thread, deadline.saturating_duration_since(Instant::now()));
        }
    }
}
