//! The search for this job's NVIDIA GPUs. What answers is opened at once. A driver or GPU that fails with an error that may pass
//! is asked again, ever less often, and so are GPUs on which no process of this program runs yet.

use super::nvml::{self, NAME, NvmlFailure, NvmlRequest};
use super::nvml_device::NvmlGpus;
use super::nvml_open::{NvmlOffer, instances, possible};
use crate::measurement::gpu_selection::Picked;
use crate::measurement::source::background::OpenAttempt;
use crate::measurement::source::{Opened, Opening, Source, Unavailable, Waker};
use crate::os::{self, OwnTable, exit};
use nvml_wrapper::Device;
use std::collections::HashSet;
use std::sync::Weak;
use std::time::{Duration, Instant};

const NO_DRIVER_CURE: &str =
    "see that nvidia-smi works for this user; after a driver update load the new module or reboot";
const NOT_YET_CURE: &str = "it is asked again and counted from its first answer. If it stays so: see nvidia-smi -q and dmesg \
(Xid); in confidential computing set it ready: nvidia-smi conf-compute -srs 1";
const UNKNOWN_CURE: &str = "nvidia-smi -L lists the GPUs that there are";
/// The most GPUs and processes on a GPU that a driver can report.
const MOST_GPUS: u32 = 64;
const MOST_PROCESSES: u32 = 1024;
/// How soon to ask again, how seldom in the first minute, and how seldom in the end.
const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);
/// How often to look for the first GPU that runs this process.
const PROCESS_LOOK: Duration = Duration::from_millis(250);

/// The search so far.
pub struct NvmlSearch {
    request: NvmlRequest,
    /// The driver's GPUs by their places; empty until it has counted them.
    offered: Vec<NvmlOffer>,
    /// What the selection names and is not there has been reported.
    has_named: bool,
    has_opened: bool,
    /// Why the driver as a whole failed last.
    failed: Option<String>,
    /// What the report shows while the search goes on.
    until_then: Option<Unavailable>,
    goes_on: bool,
    pause: Duration,
    began: Instant,
    family: Family,
}

impl NvmlSearch {
    /// Of what is asked for; `table` is where files are opened.
    pub fn new(request: NvmlRequest, table: Weak<OwnTable>) -> NvmlSearch {
        NvmlSearch {
            request,
            offered: Vec::new(),
            has_named: false,
            has_opened: false,
            failed: None,
            until_then: None,
            goes_on: false,
            pause: SOONEST,
            began: Instant::now(),
            family: Family { table, strangers: HashSet::new() },
        }
    }

    /// Opens the GPUs that answer now, and finds out whether others are worth another look.
    pub fn look(&mut self) -> Opened {
        (self.goes_on, self.until_then) = (false, None);
        let failure = match self.offer() {
            Ok(()) => return self.open_picked(),
            Err(failure) => failure,
        };
        if !failure.may_pass {
            return (None, vec![missing(failure.reason, NO_DRIVER_CURE)]);
        }
        self.goes_on = true;
        self.until_then = Some(missing(failure.reason.clone(), NOT_YET_CURE));
        self.failed = Some(failure.reason);
        (None, Vec::new())
    }

    /// Leaves the rest of the search, if there is one, to a thread of its own.
    pub fn go_on_behind(mut self, attempt: &OpenAttempt, waker: Waker) {
        if !self.goes_on {
            return;
        }
        let shown = (NAME, self.until_then.clone());
        let then = waker.clone();
        // What answers late is counted from then on. Nobody knows what it used while it could not be asked.
        let next = Opening::start(shown, false, "ct-nvml", waker, move |attempt: &OpenAttempt| {
            let opened = self.look_on(attempt);
            self.go_on_behind(attempt, then);
            opened
        });
        next.into_iter().for_each(|next| attempt.goes_on_by(next));
    }

    /// Looks again until something answers or the search is over.
    fn look_on(&mut self, attempt: &OpenAttempt) -> Opened {
        loop {
            std::thread::park_timeout(self.pause);
            self.pause = self.next_pause();
            if attempt.is_closed() {
                self.goes_on = false;
                return (None, Vec::new());
            }
            let opened = self.look();
            if opened.0.is_some() || !opened.1.is_empty() || !self.goes_on {
                return opened;
            }
            attempt.until_then(self.until_then.clone());
        }
    }

    /// How long to wait before the look after the next.
    fn next_pause(&self) -> Duration {
        match (self.request.waits_for_process(), self.has_opened) {
            (true, false) => PROCESS_LOOK,
            (true, true) => (2 * self.pause).min(LATEST),
            (false, _) => (2 * self.pause).min((self.began.elapsed() / 60).clamp(LATEST, SELDOM)),
        }
    }

    /// Asks for all GPUs in the driver's order, which is the PCI bus's. One that does not answer keeps its number.
    fn offer(&mut self) -> Result<(), NvmlFailure> {
        let nvml = nvml::load(self.request.library.as_deref())?;
        let offered = &mut self.offered;
        let call = || {
            if offered.is_empty() {
                let count = nvml.device_count().map_err(|error| NvmlFailure::new("counting the GPUs", &error))?;
                let count = possible(count, MOST_GPUS, "GPUs").map_err(NvmlFailure::for_good)?;
                offered.extend((0..count).map(NvmlOffer::new));
            }
            offered.iter_mut().filter(|gpu| gpu.may_answer()).try_for_each(|gpu| gpu.look(nvml))
        };
        exit::driver_call(call).unwrap_or(Ok(()))
    }

    /// Opens those of the selection that answer.
    fn open_picked(&mut self) -> Opened {
        let ids: Vec<Vec<String>> = self.offered.iter().map(|gpu| gpu.ids.clone()).collect();
        let (picked, unknown) = self.request.selection.pick(&ids);
        let mut round = Round::default();
        if self.offered.is_empty() {
            round.unavailable.push(Unavailable { source: NAME, reason: "the driver shows no GPU".into(), cure: None });
        }
        // One that does not answer yet may be the one that is named.
        let may_be_named = !unknown.is_empty() && self.offered.iter().any(NvmlOffer::may_answer);
        if !may_be_named && !std::mem::replace(&mut self.has_named, true) {
            round.unavailable.extend(unknown.into_iter().map(|what| missing(what, UNKNOWN_CURE)));
        }
        for place in 0..self.offered.len() {
            match picked.iter().find(|one| one.place == place) {
                Some(one) => match self.open(one, &mut round) {
                    Ok(()) => (),
                    Err(why) => return (None, vec![missing(why, NO_DRIVER_CURE)]),
                },
                None if may_be_named => round.waits.extend(self.offered.get(place).and_then(NvmlOffer::failure)),
                None => (),
            }
        }
        self.has_opened |= !round.source.is_empty();
        self.goes_on = round.lacks_process || !round.waits.is_empty();
        let waits = (!round.waits.is_empty()).then(|| missing(round.waits.join("; "), NOT_YET_CURE));
        let lacks_process = round.lacks_process && !self.has_opened;
        self.until_then = waits.or_else(|| lacks_process.then(|| self.request.until_then()));
        let source = (!round.source.is_empty()).then(|| Box::new(round.source) as Box<dyn Source>);
        (source, round.unavailable)
    }

    /// Opens one GPU, unless that is done, it does not answer yet, or none of our processes runs on it yet. Fails where the
    /// driver's numbers cannot be trusted.
    fn open(&mut self, one: &Picked, round: &mut Round) -> Result<(), String> {
        let is_ambiguous = self.is_ambiguous();
        let Some(gpu) = self.offered.get_mut(one.place) else { return Ok(()) };
        if self.request.waits_for_process()
            && let Some(device) = gpu.device()
            && !self.family.is_on(device)?
        {
            round.lacks_process = true;
            return Ok(());
        }
        match gpu.open(one, is_ambiguous, self.failed.as_deref()) {
            Ok(opened) => opened.into_iter().for_each(|(channel, gpu)| round.source.add(channel, gpu)),
            Err(failure) if failure.may_pass => round.waits.push(failure.reason),
            Err(failure) => round.unavailable.push(missing(failure.reason, NO_DRIVER_CURE)),
        }
        Ok(())
    }

    /// Whether GPUs are chosen by number, and CUDA may number them otherwise.
    fn is_ambiguous(&self) -> bool {
        let selection = &self.request.selection;
        let names_differ = self.offered.iter().zip(self.offered.iter().skip(1)).any(|(a, b)| a.name != b.name);
        names_differ && selection.fastest_first && selection.has_indices()
    }
}

/// What one look at all GPUs brought.
#[derive(Default)]
struct Round {
    source: NvmlGpus,
    unavailable: Vec<Unavailable>,
    /// GPUs that do not answer yet, with the reason.
    waits: Vec<String>,
    /// A GPU of the selection runs none of our processes.
    lacks_process: bool,
}

/// This process and all that stem from it.
struct Family {
    /// Where /proc is read.
    table: Weak<OwnTable>,
    /// Processes on the GPUs that are none of ours.
    strangers: HashSet<u32>,
}

impl Family {
    /// Whether one of them runs on a GPU. Of one divided by MIG only its instances report what runs on them.
    fn is_on(&mut self, gpu: &Device<'static>) -> Result<bool, String> {
        let call = || -> Result<Vec<u32>, String> {
            let mut found = processes(gpu)?;
            for instance in instances(gpu)? {
                found.extend(processes(&instance)?);
            }
            Ok(found)
        };
        let found = exit::driver_call(call).unwrap_or(Ok(Vec::new()))?;
        let us = std::process::id();
        if found.contains(&us) {
            return Ok(true);
        }
        let unknown: Vec<u32> = found.into_iter().filter(|one| !self.strangers.contains(one)).collect();
        let Some(table) = self.table.upgrade().filter(|_| !unknown.is_empty()) else { return Ok(false) };
        let asked = unknown.clone();
        let look = move || asked.into_iter().any(|one| os::ancestors(one).any(|ancestor| ancestor == us));
        let is_ours = matches!(table.run("ct-processes", look), Ok(Some(true)));
        if !is_ours {
            self.strangers.extend(unknown);
        }
        Ok(is_ours)
    }
}

/// The processes on a whole GPU or on a MIG instance.
fn processes(device: &Device) -> Result<Vec<u32>, String> {
    let count = device.running_compute_processes_count().unwrap_or(0);
    if possible(count, MOST_PROCESSES, "processes on a GPU")? == 0 {
        return Ok(Vec::new());
    }
    Ok(device.running_compute_processes().unwrap_or_default().into_iter().map(|one| one.pid).collect())
}

fn missing(reason: String, cure: &str) -> Unavailable {
    Unavailable { source: NAME, reason, cure: Some(cure.to_owned()) }
}
