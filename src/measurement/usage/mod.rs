//! What a job uses of its node: processor time, processors and memory.
//!
//! In: `/proc` or the job's control group. Out: [`Usage`] at one moment. Never: it divides no energy
//! (`attribution/share.rs` does), and it needs no permission beyond the user's own.

mod processes;

use super::config::MeasurementConfig;
use super::gpu_shares::GpuShares;
use super::reading::Fault;
use super::source::cpu::cgroup::{self, JobGroup};
use super::source::cpu::processor;
use super::source::cpu::stat::Stat;
use super::source::cpu::utilisation::Utilisation;
use crate::clock::MonoNs;
use crate::os::{self, CpuSet, HeldFile};
use processes::JobProcesses;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the job and its node have used up to one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The moment.
    pub at: MonoNs,
    /// Processor time of the job so far, s. Only differences have a meaning.
    pub job_s: f64,
    /// Processor time of all programs on the node so far, s. Only differences have a meaning.
    pub node_s: f64,
    /// The share of the node's processors that is allocated to the job, 0 to 1. None: it may use all of them.
    pub allocated: Option<f64>,
    /// The share of the used memory that is resident in the job, 0 to 1. None: unknown.
    pub memory: Option<f64>,
}

/// Shortest time between two readings, ns. Linux counts processor time in steps of 10 ms.
const MIN_GAP_NS: u64 = 100_000_000;
/// Shortest time between two readings at a mark or report, ns.
const MIN_REQUESTED_GAP_NS: u64 = 20_000_000;
/// The next reading comes after this multiple of a reading's own processor time at the earliest.
const REST: u64 = 300;
/// Longest such rest, ns.
const MAX_REST_NS: u64 = 2_000_000_000;
/// Time between two looks at the processors that the job may use, ns.
const ALLOCATION_GAP_NS: u64 = 10_000_000_000;

/// Reads the usage of the job and of its node.
pub struct UsageReader {
    sysroot: PathBuf,
    stat: HeldFile,
    stat_path: PathBuf,
    buffer: Vec<u8>,
    job: JobTime,
    gpus: GpuShares,
    allocated: Option<f64>,
    allocation_at: Option<MonoNs>,
    /// The last reading, and the processor time that it took, ns.
    last: Option<(MonoNs, u64)>,
}

/// Where the job's processor time is read.
enum JobTime {
    /// The control group that the batch system made for the job.
    Group(JobGroup),
    /// The processes of the job, one by one.
    Processes(JobProcesses),
}

impl UsageReader {
    /// Finds where to read. `variables` name the batch job in the environment of its processes; empty: there is none.
    /// Fails if the node's processor time cannot be read.
    pub fn open(config: &MeasurementConfig, variables: Vec<(String, String)>) -> Result<UsageReader, Fault> {
        // A folder for tests, or of a container's host, may show no /proc.
        let shown = config.sysroot.join("proc/stat");
        let sysroot = if shown.exists() { config.sysroot.clone() } else { PathBuf::from("/") };
        let stat_path = sysroot.join("proc/stat");
        let stat = HeldFile::open(&stat_path)?;
        let id = variables.first().map(|(_, id)| id.as_str());
        let mut job = match id.and_then(|id| cgroup::job_group(&sysroot, id)) {
            Some(group) => JobTime::Group(group),
            None => JobTime::Processes(JobProcesses::new(Path::new("/proc").to_owned(), variables)),
        };
        if let JobTime::Processes(processes) = &mut job {
            // A driver may answer before the first reading.
            processes.read(&[os::process_id()])?;
            share_gpus(processes, &config.gpu_shares);
        }
        let (buffer, gpus) = (Vec::new(), config.gpu_shares.clone());
        let (allocated, allocation_at, last) = (None, None, None);
        Ok(UsageReader { sysroot, stat, stat_path, buffer, job, gpus, allocated, allocation_at, last })
    }

    /// The name of the place where the job's processor time is read, for the report.
    pub fn basis(&self) -> &'static str {
        match self.job {
            JobTime::Group(_) => "cgroup",
            JobTime::Processes(_) => "processes",
        }
    }

    /// The job's share of each GPU whose driver has it by process; None: no process used the GPU.
    pub fn gpu_shares(&self) -> BTreeMap<String, Option<f64>> {
        self.gpus.known()
    }

    /// Whether it is time for a reading. `is_requested`: a mark or report waits for energy.
    pub fn is_due(&self, now: MonoNs, is_requested: bool) -> bool {
        let gap = if is_requested { MIN_REQUESTED_GAP_NS } else { MIN_GAP_NS };
        self.last.is_none_or(|(at, taken)| now >= at + gap.max((REST * taken).min(MAX_REST_NS)))
    }

    /// Reads the usage. `members`: the processes of the job that measure.
    pub fn read(&mut self, clock: &dyn Fn() -> MonoNs, members: &[u32]) -> Result<Usage, Fault> {
        let (at, begun) = (clock(), os::thread_time_ns());
        let usage = self.read_at(at, members);
        self.last = Some((at, os::thread_time_ns().saturating_sub(begun)));
        usage
    }

    fn read_at(&mut self, at: MonoNs, members: &[u32]) -> Result<Usage, Fault> {
        if self.stat.file().is_none() {
            self.stat = HeldFile::open(&self.stat_path)?;
        }
        let stat = Stat::read(self.stat.file().ok_or(Fault::Gone)?, &mut self.buffer)?;
        let ticks = os::ticks_per_second();
        let (job_s, resident) = match &mut self.job {
            JobTime::Group(group) => (group.used_s()?, group.memory_bytes()),
            JobTime::Processes(processes) => {
                let found = processes.read(members)?;
                share_gpus(processes, &self.gpus);
                (found.ticks as f64 / ticks, Some(found.resident_bytes))
            }
        };
        if self.allocation_at.is_none_or(|last| at >= last + ALLOCATION_GAP_NS) {
            self.allocation_at = Some(at);
            self.allocated = self.allocated(members, stat.numbers.len());
        }
        let memory = resident.zip(used_memory(&self.sysroot)).map(|(job, all)| (job / all).clamp(0.0, 1.0));
        Ok(Usage { at, job_s, node_s: stat.machine.busy / ticks, allocated: self.allocated, memory })
    }

    /// The share of the processors that the members may run on, if it is not all of them.
    fn allocated(&self, members: &[u32], processors: usize) -> Option<f64> {
        let sets: Vec<CpuSet> = members.iter().filter_map(|&process| CpuSet::of_process(process)).collect();
        let allowed = (0..processors).filter(|&cpu| sets.iter().any(|set| set.contains(cpu))).count();
        let by_affinity = if sets.is_empty() { processors } else { allowed } as f64;
        let by_quota = cgroup::quota(&self.sysroot).map_or(f64::INFINITY, |quota| quota.processors);
        let share = by_affinity.min(by_quota) / processors.max(1) as f64;
        (share > 0.0 && share < 1.0).then_some(share)
    }
}

/// Publishes the job's processes for drivers. Where process numbers are not the machine's, drivers know none of them.
fn share_gpus(processes: &JobProcesses, gpus: &GpuShares) {
    if os::is_first_pid_namespace() {
        gpus.set_members(processes.numbers());
    }
}

/// The power that the node's processors are thought to draw when idle, W: the share of their rated power that the
/// processor model has for it. None: nothing is known of them.
pub fn idle_watts(config: &MeasurementConfig) -> Option<f64> {
    let busy = Utilisation::of_machine(&config.sysroot).ok()?;
    let figure = processor::identify(&config.sysroot, &busy);
    Some(figure.watts * figure.draw.of(1.0, 0.0))
}

/// The memory in use on the node, bytes.
fn used_memory(sysroot: &Path) -> Option<f64> {
    let meminfo = os::text::read(&sysroot.join("proc/meminfo"), os::text::MAX_PROC_BYTES).ok()?;
    let kib = |name: &str| {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse::<f64>().ok()
    };
    let used = (kib("MemTotal:")? - kib("MemAvailable:")?) * 1024.0;
    (used > 0.0).then_some(used)
}
