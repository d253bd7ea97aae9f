//! The load of the processors' cores, and the part of it that counts for this process.

use super::stat::{Stat, Times};
use super::{cgroup, load, topology};
use crate::clock::MonoNs;
use crate::measurement::channel::WHOLE_MACHINE;
use crate::measurement::reading::Fault;
use crate::os::{self, CpuSet, HeldFile};
use std::path::{Path, PathBuf};

/// The load of the part of the machine that this process may use.
pub struct Utilisation {
    sysroot: PathBuf,
    path: PathBuf,
    stat: HeldFile,
    buffer: Vec<u8>,
    /// The numbers of the processors in /proc/stat.
    numbers: Vec<usize>,
    /// The core of each processor, in the order of `numbers`.
    cores: Vec<usize>,
    scope: Scope,
    /// Whether all processors count, whichever this process may use.
    is_whole: bool,
    /// Whether lxcfs numbers the processors anew for this container.
    is_lxcfs: bool,
    /// The snapshots that the load is computed from. The second replaces the first when it is a window old.
    since: Option<(Snapshot, Option<Snapshot>)>,
}

/// The times at one instant.
struct Snapshot {
    /// The instant, ns.
    at: MonoNs,
    stat: Stat,
    /// The processor time used by the control group, µs; 0 without a quota.
    used_us: f64,
}

/// The shortest time over which a load is computed, ns. The kernel counts in steps of 10 ms, so the load is exact to
/// some per cent.
const WINDOW_NS: u64 = 100_000_000;

/// The part of the machine that this process may use.
enum Scope {
    /// All of it.
    Machine,
    /// The process may run on these processors only.
    Affinity(CpuSet),
    /// The process may run on this number of processors only. /proc/stat numbers them differently.
    Count(usize),
    /// A control group limits the processor time of the process.
    Quota(cgroup::Quota),
}

impl Utilisation {
    /// Reads the processors and the part of them that this process may use. Fails if /proc/stat cannot be read.
    pub fn open(sysroot: &Path) -> Result<Utilisation, Fault> {
        let mut found = Utilisation::of_machine(sysroot)?;
        let affinity = found.affinity();
        let allowed = found.allowed(&affinity);
        found.scope = match cgroup::quota(&found.sysroot).filter(|quota| quota.processors < allowed) {
            Some(quota) => Scope::Quota(quota),
            None => affinity,
        };
        found.is_whole = false;
        Ok(found)
    }

    /// Reads the processors. All of them count, whichever this process may use.
    pub fn of_machine(sysroot: &Path) -> Result<Utilisation, Fault> {
        let path = sysroot.join("proc/stat");
        let stat = HeldFile::open(&path)?;
        let mut buffer = Vec::new();
        let numbers = Stat::read(stat.file().ok_or(Fault::Gone)?, &mut buffer)?.numbers;
        let is_lxcfs = is_lxcfs(sysroot);
        let cores = topology::cores(sysroot, &numbers, is_lxcfs);
        let sysroot = sysroot.to_owned();
        let scope = Scope::Machine;
        let (is_whole, since) = (true, None);
        Ok(Utilisation { sysroot, path, stat, buffer, numbers, cores, scope, is_whole, is_lxcfs, since })
    }

    /// The number of processors that the machine or the container shows.
    pub fn processors(&self) -> usize {
        self.numbers.len()
    }

    /// The number of cores of these processors.
    pub fn cores(&self) -> usize {
        self.cores.iter().max().map_or(0, |last| last + 1)
    }

    /// Whether lxcfs numbers the processors anew for this container.
    pub fn is_lxcfs(&self) -> bool {
        self.is_lxcfs
    }

    /// The share of the processors that this process may use, 0 to 1.
    pub fn share(&self) -> f64 {
        (self.allowed(&self.scope) / self.numbers.len().max(1) as f64).min(1.0)
    }

    /// The number of processors in a scope.
    fn allowed(&self, scope: &Scope) -> f64 {
        match scope {
            Scope::Machine => self.numbers.len() as f64,
            Scope::Affinity(set) => set.cpus().count() as f64,
            Scope::Count(count) => *count as f64,
            Scope::Quota(quota) => quota.processors,
        }
    }

    /// The processors that the process may run on now, if those are fewer than in /proc/stat.
    fn affinity(&self) -> Scope {
        let Some(own) = own_processors() else { return Scope::Machine };
        let count = own.cpus().count();
        if self.is_lxcfs || own.cpus().any(|cpu| !self.numbers.contains(&cpu)) {
            return if count < self.numbers.len() { Scope::Count(count) } else { Scope::Machine };
        }
        Scope::Affinity(own)
    }

    /// The processors that this process may use, as `0-3,7`. None if they are all, or if their numbers are unknown.
    pub fn processor_list(&self) -> Option<String> {
        let Scope::Affinity(set) = &self.scope else { return None };
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for cpu in set.cpus() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => ranges.push((cpu, cpu)),
            }
        }
        let range = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
        Some(ranges.into_iter().map(range).collect::<Vec<_>>().join(","))
    }

    /// A note on the part of the machine that the load is computed for.
    pub fn scope_note(&self) -> String {
        let by_lxcfs = if self.is_lxcfs { " that lxcfs shows this container" } else { "" };
        let of_all = format!("of {} processors{by_lxcfs}", self.numbers.len());
        let share = |count: f64, limit: &str| format!("the share of {count} {of_all} {limit}");
        match &self.scope {
            Scope::Machine if self.is_lxcfs => {
                format!("all programs together on the {} processors{by_lxcfs}", self.numbers.len())
            }
            Scope::Machine => WHOLE_MACHINE.into(),
            Scope::Affinity(_) | Scope::Count(_) => share(self.allowed(&self.scope), "this process may run on"),
            Scope::Quota(quota) => share(quota.processors, "its control group allows"),
        }
    }

    /// The recent load: the share of all cores' time that counts for this process, 0 to 1. `at` is now, ns.
    ///
    /// None in the first call and after a change of the processors. Fails if /proc/stat cannot be read.
    pub fn recent(&mut self, at: MonoNs) -> Result<Option<f64>, Fault> {
        self.follow_affinity();
        let now = self.snapshot(at)?;
        let Some((older, newer)) = self.since.take() else {
            self.since = Some((now, None));
            return Ok(None);
        };
        let busy = (at > older.at).then(|| self.busy(&older, &now));
        let newest = newer.as_ref().map_or(older.at, |newer| newer.at);
        self.since = Some(match newer {
            Some(newer) if at >= newest + WINDOW_NS => (newer, Some(now)),
            None if at >= newest + WINDOW_NS => (older, Some(now)),
            newer => (older, newer),
        });
        Ok(busy)
    }

    /// Reads the affinity again: a new thread may be pinned to other processors. All of them count for the process.
    fn follow_affinity(&mut self) {
        if self.is_whole || matches!(self.scope, Scope::Quota(_)) {
            return;
        }
        let now = self.affinity();
        let is_same = match (&now, &self.scope) {
            (Scope::Affinity(now), Scope::Affinity(earlier)) => now.cpus().eq(earlier.cpus()),
            (Scope::Count(now), Scope::Count(earlier)) => now == earlier,
            (Scope::Machine, Scope::Machine) => true,
            _ => false,
        };
        if !is_same {
            self.scope = now;
            self.since = None;
        }
    }

    fn snapshot(&mut self, at: MonoNs) -> Result<Snapshot, Fault> {
        if self.stat.file().is_none() {
            self.stat = HeldFile::open(&self.path)?;
        }
        let stat = Stat::read(self.stat.file().ok_or(Fault::Gone)?, &mut self.buffer)?;
        let is_live = |times: &Times| times.total > 0.0;
        if !is_live(&stat.machine) && !stat.processors.iter().any(is_live) {
            return Err(Fault::Garbage); // gVisor's zeros
        }
        if stat.numbers != self.numbers {
            self.cores = topology::cores(&self.sysroot, &stat.numbers, self.is_lxcfs);
            self.numbers = stat.numbers.clone();
            self.since = None;
        }
        let used_us = match &self.scope {
            Scope::Quota(quota) => quota.used_us()?.ok_or(Fault::Garbage)?,
            _ => 0.0,
        };
        Ok(Snapshot { at, stat, used_us })
    }

    /// The load between two snapshots that counts for this process, as a share of all cores.
    fn busy(&self, earlier: &Snapshot, now: &Snapshot) -> f64 {
        let threads = now.stat.busy_since(&earlier.stat);
        let mut cores = vec![(Vec::new(), 0.0); self.cores()];
        for ((busy, number), core) in threads.iter().zip(&self.numbers).zip(&self.cores) {
            if let Some((core, ours)) = cores.get_mut(*core) {
                core.push(*busy);
                *ours += if self.is_ours(*number) { *busy } else { 0.0 };
            }
        }
        // A core's load is divided in proportion to the busy time of its threads.
        let part = |(threads, ours): &(Vec<f64>, f64)| {
            let all: f64 = threads.iter().sum();
            if all > 0.0 { load::core_load(threads) * ours / all } else { 0.0 }
        };
        let ours = cores.iter().map(part).sum::<f64>() / cores.len().max(1) as f64;
        match &self.scope {
            Scope::Machine | Scope::Affinity(_) => ours,
            Scope::Count(_) => ours.min(self.share()),
            Scope::Quota(_) => {
                let used = (now.used_us - earlier.used_us).max(0.0) * 1e3 / now.at.ns_since(earlier.at).max(1) as f64;
                let all: f64 = threads.iter().sum();
                // If /proc/stat shows less time than the group used, it does not include the group.
                if all >= used && all > 0.0 { ours * used / all } else { (used / threads.len().max(1) as f64).min(1.0) }
            }
        }
    }

    fn is_ours(&self, number: usize) -> bool {
        match &self.scope {
            Scope::Affinity(set) => set.contains(number),
            _ => true,
        }
    }
}

/// The processors that this process may run on, if those are fewer than the machine's.
fn own_processors() -> Option<CpuSet> {
    CpuSet::of_this_process().filter(|set| set.cpus().count() < os::processors_online())
}

/// Whether lxcfs (LXC, Incus, Proxmox) replaces the kernel's /proc/stat with its own file.
fn is_lxcfs(sysroot: &Path) -> bool {
    let mounts = os::text::read(&sysroot.join("proc/self/mounts"), os::text::MAX_TABLE_BYTES).unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some("/proc/stat"))
}

#[cfg(test)]
#[path = "utilisation/tests.rs"]
mod tests;
