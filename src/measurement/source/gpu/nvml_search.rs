//! The search for this job's NVIDIA GPUs. A GPU that answers is opened at once. A driver or GPU whose error may pass is
//! asked again, with growing pauses. So are GPUs on which this process does not run yet.

use super::nvml_device::NvmlGpus;
use super::nvml_error::NvmlFailure;
use super::nvml_library;
use super::nvml_open::{NvmlOffer, instances, possible};
use super::nvml_request::NvmlRequest;
use crate::measurement::gpu_selection::Picked;
use crate::measurement::source::background::OpenAttempt;
use crate::measurement::source::{Opened, Opening, Source, Waker};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os::{self, Instant, OwnTable, exit};
use nvml_wrapper::Device;
use std::collections::HashSet;
use std::sync::Weak;
use std::time::Duration;

const NO_DRIVER_CURE: &str =
    "check that nvidia-smi works for this user; after a driver update, load the new module or reboot";
const NOT_YET_CURE: &str = "wait: it is asked again and counted from its first answer. If it never answers, see \
    nvidia-smi -q and dmesg (Xid); in confidential computing run nvidia-smi conf-compute -srs 1";
const UNKNOWN_CURE: &str = "compare with the GPUs that nvidia-smi -L lists";
/// GPUs that a driver can report.
const MAX_GPUS: u32 = 64;
/// Processes on a GPU that a driver can report.
const MAX_PROCESSES: u32 = 1024;
/// Pause before the first retry. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause in the first minute.
const MAX_PAUSE_AT_FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Pause between two searches for the first GPU that runs this process.
const PROCESS_PAUSE: Duration = Duration::from_millis(250);

/// The state of the search.
pub struct NvmlSearch {
    request: NvmlRequest,
    /// The driver's GPUs, in its order. Empty until the driver has counted them.
    offered: Vec<NvmlOffer>,
    /// Whether GPUs that the selection names and that do not exist have been reported.
    has_reported_unknown: bool,
    /// Whether a GPU has been opened.
    has_opened: bool,
    /// The last error of the driver as a whole.
    failed: Option<String>,
    /// The entry of the report until the search ends.
    pending: Option<Unavailable>,
    /// Whether the search continues after this look.
    goes_on: bool,
    /// The pause before the next look.
    pause: Duration,
    began: Instant,
    family: Family,
}

impl NvmlSearch {
    /// A search that has not begun. `table` is where files of `/proc` are opened.
    pub fn new(request: NvmlRequest, table: Weak<OwnTable>) -> NvmlSearch {
        NvmlSearch {
            request,
            offered: Vec::new(),
            has_reported_unknown: false,
            has_opened: false,
            failed: None,
            pending: None,
            goes_on: false,
            pause: FIRST_PAUSE,
            began: Instant::now(),
            family: Family { table, others: HashSet::new() },
        }
    }

    /// Opens the GPUs that answer now, and decides whether the search continues.
    pub fn look(&mut self) -> Opened {
        self.goes_on = false;
        self.pending = None;
        let failure = match self.ask_driver() {
            Ok(()) => return self.open_picked(),
            Err(failure) => failure,
        };
        if !failure.may_pass {
            return (None, vec![missing(failure.reason, NO_DRIVER_CURE)]);
        }
        self.goes_on = true;
        self.pending = Some(missing(failure.reason.clone(), NOT_YET_CURE));
        self.failed = Some(failure.reason);
        (None, Vec::new())
    }

    /// Continues an unfinished search on a thread of its own.
    pub fn continue_behind(mut self, attempt: &OpenAttempt, waker: Waker) {
        if !self.goes_on {
            return;
        }
        let pending = (SourceName::Nvml, self.pending.clone());
        let next_waker = waker.clone();
        // A late GPU is counted from its first answer. Its energy before that is unknown.
        let next = Opening::start(pending, false, "ct-nvml", waker, move |attempt: &OpenAttempt| {
            let opened = self.look_again(attempt);
            self.continue_behind(attempt, next_waker);
            opened
        });
        if let Ok(next) = next {
            attempt.continue_with(next);
        }
    }

    /// Looks again, with pauses, until a GPU or an error is found or the search is over.
    fn look_again(&mut self, attempt: &OpenAttempt) -> Opened {
        loop {
            os::park_timeout(self.pause);
            self.pause = self.next_pause();
            if attempt.is_closed() {
                self.goes_on = false;
                return (None, Vec::new());
            }
            let opened = self.look();
            if opened.0.is_some() || !opened.1.is_empty() || !self.goes_on {
                return opened;
            }
            attempt.set_pending(self.pending.clone());
        }
    }

    /// The pause after the next look.
    fn next_pause(&self) -> Duration {
        match (self.request.waits_for_process(), self.has_opened) {
            (true, false) => PROCESS_PAUSE,
            (true, true) => (2 * self.pause).min(MAX_PAUSE_AT_FIRST),
            (false, _) => (2 * self.pause).min((self.began.elapsed() / 60).clamp(MAX_PAUSE_AT_FIRST, MAX_PAUSE)),
        }
    }

    /// Asks for the GPUs, in the driver's order, which is that of the PCI bus. A GPU that does not answer keeps its
    /// number.
    fn ask_driver(&mut self) -> Result<(), NvmlFailure> {
        let nvml = nvml_library::load(self.request.library.as_deref())?;
        let offered = &mut self.offered;
        let call = || {
            if offered.is_empty() {
                let count = nvml.device_count().map_err(|error| NvmlFailure::new("counting the GPUs", &error))?;
                let count = possible(count, MAX_GPUS, "GPUs").map_err(NvmlFailure::permanent)?;
                offered.extend((0..count).map(NvmlOffer::new));
            }
            offered.iter_mut().filter(|gpu| gpu.may_answer()).try_for_each(|gpu| gpu.ask_names(nvml))
        };
        exit::driver_call(call).unwrap_or(Ok(()))
    }

    /// Opens the GPUs of the selection that answer.
    fn open_picked(&mut self) -> Opened {
        let ids: Vec<Vec<String>> = self.offered.iter().map(|gpu| gpu.ids.clone()).collect();
        let (picked, unknown) = self.request.selection.pick(&ids);
        let mut round = Round::default();
        if self.offered.is_empty() {
            let reason = "the driver shows no GPU".into();
            round.unavailable.push(Unavailable { source: SourceName::Nvml, reason, cure: None });
        }
        // A GPU that does not answer yet may be one that the selection names.
        let may_be_named = !unknown.is_empty() && self.offered.iter().any(NvmlOffer::may_answer);
        if !may_be_named && !self.has_reported_unknown {
            self.has_reported_unknown = true;
            round.unavailable.extend(unknown.into_iter().map(|what| missing(what, UNKNOWN_CURE)));
        }
        for index in 0..self.offered.len() {
            match picked.iter().find(|one| one.index == index) {
                Some(one) => match self.open(one, &mut round) {
                    Ok(()) => (),
                    Err(why) => return (None, vec![missing(why, NO_DRIVER_CURE)]),
                },
                None if may_be_named => round.waits.extend(self.offered.get(index).and_then(NvmlOffer::failure)),
                None => (),
            }
        }
        self.has_opened |= !round.source.is_empty();
        self.goes_on = round.lacks_process || !round.waits.is_empty();
        let waits = (!round.waits.is_empty()).then(|| missing(round.waits.join("; "), NOT_YET_CURE));
        let lacks_process = round.lacks_process && !self.has_opened;
        self.pending = waits.or_else(|| lacks_process.then(|| self.request.pending()));
        let source = (!round.source.is_empty()).then(|| Box::new(round.source) as Box<dyn Source>);
        (source, round.unavailable)
    }

    /// Opens one GPU, unless it is open, does not answer yet, or does not run this process yet. Fails if the driver's
    /// numbers cannot be trusted.
    fn open(&mut self, one: &Picked, round: &mut Round) -> Result<(), String> {
        let is_ambiguous = self.is_ambiguous();
        let Some(gpu) = self.offered.get_mut(one.index) else { return Ok(()) };
        if let Some(device) = gpu.device().filter(|_| self.request.waits_for_process()) {
            if !self.family.is_on(device)? {
                round.lacks_process = true;
                return Ok(());
            }
        }
        match gpu.open(one, is_ambiguous, self.failed.as_deref()) {
            Ok(Some((channel, gpu))) => {
                let gpu = gpu.share(&channel.id, self.request.shares.as_ref());
                round.source.add(channel, gpu);
            }
            Ok(None) => (),
            Err(failure) if failure.may_pass => round.waits.push(failure.reason),
            Err(failure) => round.unavailable.push(missing(failure.reason, NO_DRIVER_CURE)),
        }
        Ok(())
    }

    /// Whether GPUs are chosen by number, and CUDA may number them differently.
    fn is_ambiguous(&self) -> bool {
        let selection = &self.request.selection;
        let names_differ = self.offered.iter().zip(self.offered.iter().skip(1)).any(|(a, b)| a.name != b.name);
        names_differ && selection.fastest_first && selection.has_indices()
    }
}

/// The result of one look at all GPUs.
#[derive(Default)]
struct Round {
    source: NvmlGpus,
    unavailable: Vec<Unavailable>,
    /// The reasons of the GPUs that do not answer yet.
    waits: Vec<String>,
    /// Whether a GPU of the selection does not run this process or its descendants.
    lacks_process: bool,
}

/// This process and its descendants.
struct Family {
    /// The descriptor table in which `/proc` is read.
    table: Weak<OwnTable>,
    /// Processes on the GPUs that are not descendants of this one.
    others: HashSet<u32>,
}

impl Family {
    /// Whether one of them runs on a GPU. The processes of a GPU with MIG are reported by its instances.
    fn is_on(&mut self, gpu: &Device<'static>) -> Result<bool, String> {
        let call = || -> Result<Vec<u32>, String> {
            let mut found = processes(gpu)?;
            for instance in instances(gpu)? {
                found.extend(processes(&instance)?);
            }
            Ok(found)
        };
        let found = exit::driver_call(call).unwrap_or(Ok(Vec::new()))?;
        let us = os::process_id();
        if found.contains(&us) {
            return Ok(true);
        }
        let unknown: Vec<u32> = found.into_iter().filter(|one| !self.others.contains(one)).collect();
        let Some(table) = self.table.upgrade().filter(|_| !unknown.is_empty()) else { return Ok(false) };
        let asked = unknown.clone();
        let look = move || asked.into_iter().any(|one| os::ancestors(one).any(|ancestor| ancestor == us));
        let is_ours = matches!(table.run("ct-processes", look), Ok(Some(true)));
        if !is_ours {
            self.others.extend(unknown);
        }
        Ok(is_ours)
    }
}

/// The processes on a GPU or on a MIG instance.
fn processes(device: &Device) -> Result<Vec<u32>, String> {
    let count = device.running_compute_processes_count().unwrap_or(0);
    if possible(count, MAX_PROCESSES, "processes on a GPU")? == 0 {
        return Ok(Vec::new());
    }
    Ok(device.running_compute_processes().unwrap_or_default().into_iter().map(|one| one.pid).collect())
}

fn missing(reason: String, cure: &str) -> Unavailable {
    Unavailable { source: SourceName::Nvml, reason, cure: Some(cure.to_owned()) }
}
