//! How busy the processors are, or that part of them which is this process's.

use super::number_file;
use crate::host::{self, CpuSet, HeldFile};
use crate::reading::Fault;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What of the machine is ours, and how busy that is.
pub struct Utilisation {
    path: PathBuf,
    stat: HeldFile,
    buffer: Vec<u8>,
    /// How many processors the machine has.
    pub processors: usize,
    scope: Scope,
    /// Readings that utilisation is taken since: the older of two, once the newer is a window old.
    since: Option<(Instant, Instant)>,
}

/// The times so far, and when, ns.
type Instant = (u64, Times);

/// The kernel counts time in 10 ms: a tenth of a second and more tells load to a few per cent.
const WINDOW_NS: u64 = 100_000_000;

enum Scope {
    Machine,
    /// The process may only run on these processors.
    Affinity(CpuSet),
    /// A control group caps the process.
    Quota(Quota),
}

/// The cap that a control group sets.
struct Quota {
    /// So many processors' time.
    processors: f64,
    /// The file that counts the time used.
    usage: PathBuf,
}

impl Utilisation {
    /// Finds out how many processors there are and what of them is ours.
    pub fn open(sysroot: &Path) -> Result<Utilisation, Fault> {
        let path = sysroot.join("proc/stat");
        let stat = HeldFile::open(&path)?;
        let processors = processors(stat.file().ok_or(Fault::Gone)?)?;
        let own = own_processors();
        let allowed = own.as_ref().map_or(processors, |set| set.cpus().count());
        let scope = match quota(sysroot).filter(|quota| quota.processors < allowed as f64) {
            Some(quota) => Scope::Quota(quota),
            None => own.map_or(Scope::Machine, Scope::Affinity),
        };
        Ok(Utilisation { path, stat, buffer: Vec::new(), processors, scope, since: None })
    }

    /// Our share of the machine, 0 to 1.
    pub fn share(&self) -> f64 {
        let ours = match &self.scope {
            Scope::Machine => return 1.0,
            Scope::Affinity(set) => set.cpus().count() as f64,
            Scope::Quota(quota) => quota.processors,
        };
        (ours / self.processors as f64).min(1.0)
    }

    /// The processors that are ours, as `0-3,7`; None where that is not told by their numbers.
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
        let of_all = format!("of {} processors", self.processors);
        match &self.scope {
            Scope::Machine => "all programs on the machine together".into(),
            Scope::Affinity(set) => format!("the share of {} {of_all} this process may run on", set.cpus().count()),
            Scope::Quota(quota) => format!("the share of {} {of_all} its control group allows", quota.processors),
        }
    }

    /// The share of our time spent working of late, 0 to 1; `at` is now, ns. None at the first call, and where
    /// what is ours has just changed.
    pub fn of_late(&mut self, at: u64) -> Result<Option<f64>, Fault> {
        if let Scope::Affinity(set) = &mut self.scope {
            // Threads pinned elsewhere may have come since: the process is where any of them may run.
            let now = own_processors();
            if now.as_ref().is_none_or(|now| !now.cpus().eq(set.cpus())) {
                self.since = None;
            }
            match now {
                Some(now) => *set = now,
                None => self.scope = Scope::Machine,
            }
        }
        if self.stat.file().is_none() {
            self.stat = HeldFile::open(&self.path)?;
        }
        let stat = self.stat.file().ok_or(Fault::Gone)?;
        let now = match &self.scope {
            Scope::Machine => machine_times(stat)?,
            Scope::Affinity(set) => processor_times(stat, &mut self.buffer, set)?,
            Scope::Quota(quota) => {
                let busy = used_us(&host::text::read(&quota.usage, host::text::SMALL)?).ok_or(Fault::Garbage)?;
                Times { busy, total: at as f64 * 1e-3 * quota.processors }
            }
        };
        let (older, newer) = self.since.unwrap_or(((at, now), (at, now)));
        let utilisation = (at > older.0).then(|| now.utilisation_since(older.1));
        self.since = Some(if at >= newer.0 + WINDOW_NS { (newer, (at, now)) } else { (older, newer) });
        Ok(utilisation)
    }
}

/// Time spent working and time there was, in any one unit.
#[derive(Clone, Copy, Default)]
struct Times {
    busy: f64,
    total: f64,
}

impl Times {
    /// From the figures of one line: user nice system idle iowait irq softirq steal … Guest time is within
    /// user; stolen time was another machine's.
    fn of(line: &str) -> Option<Times> {
        let mut times = Times::default();
        let mut count = 0;
        for (column, ticks) in line.split_ascii_whitespace().take(7).enumerate() {
            let ticks = ticks.parse::<u64>().ok()? as f64;
            times.total += ticks;
            times.busy += if matches!(column, 3 | 4) { 0.0 } else { ticks };
            count += 1;
        }
        (count >= 4).then_some(times)
    }

    fn utilisation_since(self, before: Times) -> f64 {
        let total = self.total - before.total;
        if total > 0.0 { ((self.busy - before.busy) / total).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Where this process may run, if that is less than the machine.
fn own_processors() -> Option<CpuSet> {
    CpuSet::of_this_process().filter(|set| set.cpus().count() < host::processors_online())
}

fn is_processor(line: &str) -> bool {
    line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// /proc/stat as far as the processors' lines go, which come first; `buffer` is kept for the next time.
fn stat_text<'a>(stat: &File, buffer: &'a mut Vec<u8>) -> Result<&'a str, Fault> {
    const SMALLEST: usize = 2048;
    buffer.resize(buffer.len().max(SMALLEST), 0);
    let mut length = stat.read_at(buffer, 0)?;
    while length == buffer.len() && !buffer.windows(5).any(|text| text == b"\nintr") {
        if length as u64 >= host::text::LARGE {
            return Err(Fault::TooLarge);
        }
        buffer.resize(2 * length, 0);
        length = stat.read_at(buffer, 0)?;
    }
    std::str::from_utf8(buffer.get(..length).unwrap_or_default()).map_err(|_| Fault::Garbage)
}

fn processors(stat: &File) -> Result<usize, Fault> {
    match stat_text(stat, &mut Vec::new())?.lines().filter(|line| is_processor(line)).count() {
        0 => Err(Fault::Garbage),
        processors => Ok(processors),
    }
}

/// The whole machine's times: the first line alone.
fn machine_times(stat: &File) -> Result<Times, Fault> {
    let mut text = [0u8; 256];
    let length = stat.read_at(&mut text, 0)?;
    let text = std::str::from_utf8(text.get(..length).unwrap_or_default()).map_err(|_| Fault::Garbage)?;
    let (line, _) = text.split_once('\n').ok_or(Fault::Garbage)?;
    line.strip_prefix("cpu ").and_then(Times::of).filter(|times| times.total > 0.0).ok_or(Fault::Garbage)
}

/// The sum of these processors' times.
fn processor_times(stat: &File, buffer: &mut Vec<u8>, ours: &CpuSet) -> Result<Times, Fault> {
    let ours: Vec<usize> = ours.cpus().collect();
    let mut sum = Times::default();
    for line in stat_text(stat, buffer)?.lines().filter(|line| is_processor(line)) {
        let Some((cpu, times)) = line.strip_prefix("cpu").and_then(|line| line.split_once(' ')) else { continue };
        if cpu.parse().is_ok_and(|cpu| ours.contains(&cpu)) {
            let times = Times::of(times).ok_or(Fault::Garbage)?;
            sum.busy += times.busy;
            sum.total += times.total;
        }
    }
    if sum.total > 0.0 { Ok(sum) } else { Err(Fault::Garbage) }
}

/// The tightest cap on this process, of control groups of version 2 or 1.
fn quota(sysroot: &Path) -> Option<Quota> {
    let membership = host::text::read(&sysroot.join("proc/self/cgroup"), host::text::MEDIUM).ok()?;
    let groups = sysroot.join("sys/fs/cgroup");
    let second = |folder: &Path| {
        let cap = number_file::text(&folder.join("cpu.max")).ok()?;
        let (quota, period) = cap.split_once(' ')?;
        Quota::new(quota, period, folder.join("cpu.stat"))
    };
    let first = |folder: &Path| {
        let text = |file: &str| number_file::text(&folder.join(file)).ok();
        Quota::new(&text("cpu.cfs_quota_us")?, &text("cpu.cfs_period_us")?, folder.join("cpuacct.usage"))
    };
    let mut quotas = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            quotas.extend(Path::new(path).ancestors().filter_map(|group| second(&groups.join(group))));
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            let root = groups.join(controllers);
            quotas.extend(Path::new(path).ancestors().filter_map(|group| first(&root.join(group))));
        }
    }
    quotas.into_iter().min_by(|a, b| a.processors.total_cmp(&b.processors))
}

impl Quota {
    /// None where there is no cap, or none that can be followed.
    fn new(quota: &str, period: &str, usage: PathBuf) -> Option<Quota> {
        let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
        (quota > 0.0 && period > 0.0 && usage.exists()).then(|| Quota { processors: quota / period, usage })
    }
}

/// Time used, µs: `usage_usec` of version 2, or version 1's single number of nanoseconds.
fn used_us(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse::<f64>().ok());
    line.or_else(|| Some(text.trim().parse::<f64>().ok()? * 1e-3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_cap_of_either_version_counts() {
        let root = std::env::temp_dir().join(format!("ct-utilisation-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let found = || {
            quota(&root)
                .map(|quota| (quota.processors, used_us(&host::text::read(&quota.usage, host::text::SMALL).unwrap())))
        };
        write("proc/self/cgroup", "1:name=systemd:/\n0::/job/step\n");
        assert_eq!(found(), None);
        write("sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
        write("sys/fs/cgroup/job/step/cpu.stat", "usage_usec 7\n");
        assert_eq!(found(), None);
        write("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
        write("sys/fs/cgroup/job/cpu.stat", "usage_usec 4500\nuser_usec 1\n");
        assert_eq!(found(), Some((1.5, Some(4500.0))));
        write("proc/self/cgroup", "3:cpu,cpuacct:/job\n0::/\n");
        write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
        write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
        write("sys/fs/cgroup/cpu,cpuacct/job/cpuacct.usage", "4500000\n");
        assert_eq!(found(), None);
        write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n");
        assert_eq!(found(), Some((0.5, Some(4500.0))));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
