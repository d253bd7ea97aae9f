//! Sources on their way into a run: those that discovery finds, and the GPUs that NVML opens in its own time.

use super::{Discovery, IN_TIME, Opened, Opening, Source, Sources, Unavailable};
use crate::host;
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the making of a tracker waits for discovery. A file that answers later does not hold up the application.
pub const DISCOVERY: Duration = Duration::from_millis(250);
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
    failed: Vec<Unavailable>,
    /// Threads that have done their work, and end.
    threads: Vec<JoinHandle<()>>,
}

/// What has come.
#[derive(Default)]
pub struct Arrived {
    /// Sources, and whether what they used before is filled in by their first readings.
    pub sources: Vec<(Box<dyn Source>, bool)>,
    /// What does not take part.
    pub unavailable: Vec<Unavailable>,
}

impl Intake {
    /// Of what has been started. NVML is None where no real GPU is asked for.
    pub fn new(discovery: io::Result<Discovery>, nvml: Option<io::Result<Opening>>) -> Intake {
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
            discovery,
            nvml,
            failed,
            threads: Vec::new(),
        }
    }

    /// Takes what is there by now. The `first` time it waits, a moment.
    pub fn take(&mut self, first: bool) -> Arrived {
        let mut arrived = Arrived { unavailable: std::mem::take(&mut self.failed), ..Arrived::default() };
        let wait = |time: Duration| if first { time } else { Duration::ZERO };
        if let Some(found) = self.discovery.as_ref().and_then(|discovery| discovery.wait(wait(DISCOVERY))) {
            self.threads.extend(self.discovery.take().map(|discovery| discovery.thread));
            let Sources { sources, unavailable, without_nvml } = found;
            arrived.sources.extend(sources.into_iter().map(|source| (source, !first)));
            arrived.unavailable.extend(unavailable);
            self.without_nvml = Some(without_nvml);
        }
        if let Some((source, unavailable)) = self.nvml.as_ref().and_then(|opening| opening.wait(wait(IN_TIME))) {
            arrived.unavailable.extend(unavailable);
            if let Some(Opening { fills_in, thread, .. }) = self.nvml.take() {
                match source {
                    // Its thread reads it from now on, and ends by itself once nobody asks any more.
                    Some(source) => arrived.sources.push((source, fills_in)),
                    None => {
                        self.threads.push(thread);
                        self.is_without_nvml = true;
                    }
                }
            }
        }
        if let Some((source, unavailable)) = self.without_nvml.take_if(|_| self.is_without_nvml) {
            arrived.sources.extend(source.map(|source| (source, true)));
            arrived.unavailable.extend(unavailable);
        }
        arrived
    }

    /// Whether there is something to take.
    pub fn has_news(&self) -> bool {
        self.discovery.as_ref().is_some_and(Discovery::is_over) || self.nvml.as_ref().is_some_and(Opening::is_open)
    }

    /// Whether everything has come.
    pub fn is_over(&self) -> bool {
        self.discovery.is_none() && self.nvml.is_none()
    }

    /// What has yet to come.
    pub fn awaited(&self) -> Vec<Unavailable> {
        let nvml = self.nvml.as_ref().map(|opening| opening.until_then.clone());
        self.discovery.as_ref().map(Discovery::until_then).into_iter().chain(nvml).collect()
    }

    /// Whether what comes will fill in what was used until then: no epoch is settled before.
    pub fn fills_in(&self) -> bool {
        self.discovery.is_some() || self.nvml.as_ref().is_some_and(|opening| opening.fills_in)
    }

    /// Waits for its threads, a moment: a program that exits now is not to find them at work.
    pub fn end(self) {
        let openings = self.nvml.map(|opening| opening.thread).into_iter();
        let threads = self.threads.into_iter().chain(openings).chain(self.discovery.map(|discovery| discovery.thread));
        let deadline = Instant::now() + THREADS_END;
        for thread in threads {
            let _ = host::join_within(thread, deadline.saturating_duration_since(Instant::now()));
        }
    }
}
