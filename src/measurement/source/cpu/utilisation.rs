//! How busy the processors' cores are, and what of that is this process's.

use super::stat::{Stat, Times};
use super::{cgroup, load, topology};
use crate::clock::MonoNs;
use crate::measurement::reading::Fault;
use crate::os::{self, CpuSet, HeldFile};
use std::path::{Path, PathBuf};

/// What of the machine is ours, and how busy that is.
pub struct Utilisation {
    sysroot: PathBuf,
    path: PathBuf,
    stat: HeldFile,
    buffer: Vec<u8>,
    /// The processors in /proc/stat, by number, and the core of each.
    numbers: Vec<usize>,
    cores: Vec<usize>,
    scope: Scope,
    /// lxcfs shows this container processors of its own numbering.
    is_lxcfs: bool,
    /// Readings that utilisation is taken since: the older of two, once the newer is a window old.
    since: Option<(Snapshot, Option<Snapshot>)>,
}

/// The times so far.
struct Snapshot {
    /// When, ns.
    at: MonoNs,
    stat: Stat,
    /// Processor time that our control group has used, µs.
    used_us: f64,
}

/// The kernel counts time in 10 ms: a tenth of a second and more gives the load to a few per cent.
const WINDOW_NS: u64 = 100_000_000;

enum Scope {
    Machine,
    /// The process may only run on these processors.
    Affinity(CpuSet),
    /// The process may only run on so many processors, which /proc/stat numbers otherwise.
    Count(usize),
    /// A control group caps the process.
    Quota(cgroup::Quota),
}

impl Utilisation {
    /// Finds out how many processors there are and what of them is ours.
    pub fn open(sysroot: &Path) -> Result<Utilisation, Fault> {
        let path = sysroot.join("proc/stat");
        let stat = HeldFile::open(&path)?;
        let mut buffer = Vec::new();
        let numbers = Stat::read(stat.file().ok_or(Fault::Gone)?, &mut buffer)?.numbers;
        let is_lxcfs = is_lxcfs(sysroot);
        let cores = topology::cores(sysroot, &numbers, is_lxcfs);
        let sysroot = sysroot.to_owned();
        let (scope, since) = (Scope::Machine, None);
        let mut found = Utilisation { sysroot, path, stat, buffer, numbers, cores, scope, is_lxcfs, since };
        let affinity = found.affinity();
        let allowed = found.allowed(&affinity);
        found.scope = match cgroup::quota(&found.sysroot).filter(|quota| quota.processors < allowed) {
            Some(quota) => Scope::Quota(quota),
            None => affinity,
        };
        Ok(found)
    }

    /// How many processors the machine, or the container, shows.
    pub fn processors(&self) -> usize {
        self.numbers.len()
    }

    /// How many cores those are.
    pub fn cores(&self) -> usize {
        self.cores.iter().max().map_or(0, |last| last + 1)
    }

    /// Whether lxcfs shows this container processors of its own numbering.
    pub fn is_lxcfs(&self) -> bool {
        self.is_lxcfs
    }

    /// Our share of the processors, 0 to 1.
    pub fn share(&self) -> f64 {
        (self.allowed(&self.scope) / self.numbers.len().max(1) as f64).min(1.0)
    }

    fn allowed(&self, scope: &Scope) -> f64 {
        match scope {
            Scope::Machine => self.numbers.len() as f64,
            Scope::Affinity(set) => set.cpus().count() as f64,
            Scope::Count(count) => *count as f64,
            Scope::Quota(quota) => quota.processors,
        }
    }

    /// Where the process may run now, if that is less than what /proc/stat shows.
    fn affinity(&self) -> Scope {
        let Some(own) = own_processors() else { return Scope::Machine };
        let count = own.cpus().count();
        if self.is_lxcfs || own.cpus().any(|cpu| !self.numbers.contains(&cpu)) {
            return if count < self.numbers.len() { Scope::Count(count) } else { Scope::Machine };
        }
        Scope::Affinity(own)
    }

    /// The processors that are ours, as `0-3,7`; None where their numbers are not known.
    pub fn processors_in_words(&self) -> Option<String> {
        let Scope::Affinity(set) = &self.scope else { return None };
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for cpu in set.cpus() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => ranges.push((cpu, cpu)),
            }
        }
        let words = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
        Some(ranges.into_iter().map(words).collect::<Vec<_>>().join(","))
    }

    /// Whose use it is, for a note in the report.
    pub fn scope_in_words(&self) -> String {
        let by_lxcfs = if self.is_lxcfs { " that lxcfs shows this container" } else { "" };
        let of_all = format!("of {} processors{by_lxcfs}", self.numbers.len());
        let share = |count: f64, who: &str| format!("the share of {count} {of_all} {who}");
        match &self.scope {
            Scope::Machine if self.is_lxcfs => {
                format!("all programs together on the {} processors{by_lxcfs}", self.numbers.len())
            }
            Scope::Machine => "all programs on the machine together".into(),
            Scope::Affinity(_) | Scope::Count(_) => share(self.allowed(&self.scope), "this process may run on"),
            Scope::Quota(quota) => share(quota.processors, "its control group allows"),
        }
    }

    /// How many of all cores' time was spent working for us of late, 0 to 1; `at` is now, ns. None at the first
    /// call, and where what is ours has just changed.
    pub fn of_late(&mut self, at: MonoNs) -> Result<Option<f64>, Fault> {
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

    /// Threads pinned elsewhere may have come since: the process is where any of them may run.
    fn follow_affinity(&mut self) {
        if matches!(self.scope, Scope::Quota(_)) {
            return;
        }
        let now = self.affinity();
        let is_same = match (&now, &self.scope) {
            (Scope::Affinity(now), Scope::Affinity(before)) => now.cpus().eq(before.cpus()),
            (Scope::Count(now), Scope::Count(before)) => now == before,
            (Scope::Machine, Scope::Machine) => true,
            _ => false,
        };
        if !is_same {
            (self.scope, self.since) = (now, None);
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
            (self.numbers, self.since) = (stat.numbers.clone(), None);
        }
        let used_us = match &self.scope {
            Scope::Quota(quota) => quota.used_us()?.ok_or(Fault::Garbage)?,
            _ => 0.0,
        };
        Ok(Snapshot { at, stat, used_us })
    }

    /// Our part of the busy cores between two snapshots, as a share of all cores.
    fn busy(&self, before: &Snapshot, now: &Snapshot) -> f64 {
        let threads = now.stat.busy_since(&before.stat);
        let mut cores = vec![(Vec::new(), 0.0); self.cores()];
        for ((busy, number), core) in threads.iter().zip(&self.numbers).zip(&self.cores) {
            if let Some((core, ours)) = cores.get_mut(*core) {
                core.push(*busy);
                *ours += if self.is_ours(*number) { *busy } else { 0.0 };
            }
        }
        // What of a core's load is ours goes by the time that its threads worked for us.
        let part = |(threads, ours): &(Vec<f64>, f64)| {
            let all: f64 = threads.iter().sum();
            if all > 0.0 { load::core_load(threads) * ours / all } else { 0.0 }
        };
        let ours = cores.iter().map(part).sum::<f64>() / cores.len().max(1) as f64;
        match &self.scope {
            Scope::Machine | Scope::Affinity(_) => ours,
            Scope::Count(_) => ours.min(self.share()),
            Scope::Quota(_) => {
                let used = (now.used_us - before.used_us).max(0.0) * 1e3 / now.at.ns_since(before.at).max(1) as f64;
                let all: f64 = threads.iter().sum();
                // A /proc/stat that shows less than we used does not count us.
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

/// Where this process may run, if that is less than the machine.
fn own_processors() -> Option<CpuSet> {
    CpuSet::of_this_process().filter(|set| set.cpus().count() < os::processors_online())
}

/// Whether lxcfs (LXC, Incus, Proxmox) has put files of its own in the place of the kernel's.
fn is_lxcfs(sysroot: &Path) -> bool {
    let mounts = os::text::read(&sysroot.join("proc/self/mounts"), os::text::LARGE).unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some("/proc/stat"))
}

#[cfg(test)]
#[path = "utilisation/tests.rs"]
mod tests;
