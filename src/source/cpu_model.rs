//! An estimate for processors that let nobody read their energy: utilisation through a load curve,
//! scaled by the model's thermal design power.
//!
//! P = TDP × (0.05 + 0.80 × d(u)). The shape d is the median of 212 servers of 2017 and later in
//! SPECpower_ssj2008: power above idle, as a share of its greatest, against load. A package idles near
//! 5 % of its TDP, and an ordinary full load draws some 85 % of it. Against packages with RAPL the energy
//! of a sweep through all loads came out between a third too low and half too high.

use super::{Source, Unavailable, number_file, tdp};
use crate::channel::{Channel, Kind, Method, Quantity};
use crate::host::{self, CpuSet};
use crate::options::Options;
use crate::reading::{Fault, Reading, Value};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const NAME: &str = "cpu_model";
/// For a model the table does not know, as CodeCarbon takes it, W.
const W_PER_PROCESSOR: f64 = 4.0;
const IDLE_SHARE: f64 = 0.05;
const DYNAMIC_SHARE: f64 = 0.80;
/// d(u) at u = 0, 0.1, … 1.
const SHAPE: [f64; 11] = [0.0, 0.173, 0.234, 0.298, 0.363, 0.426, 0.503, 0.599, 0.723, 0.863, 1.0];
/// The kernel counts time in 10 ms: a tenth of a second tells load to a few per cent.
const WINDOW_NS: u64 = 100_000_000;

struct CpuModel {
    channel: [Channel; 1],
    busy: Busy,
    tdp_w: f64,
    last: Option<(u64, Times)>,
    /// Energy so far, µJ.
    energy_uj: f64,
}

/// Finds out what the processor is and what of it is ours.
pub fn open(options: &Options) -> (Option<Box<dyn Source>>, Vec<Unavailable>) {
    let path = options.sysroot.join("proc/stat");
    let cpuinfo = std::fs::read_to_string(options.sysroot.join("proc/cpuinfo")).unwrap_or_default();
    let found = File::open(&path).map_err(Fault::from).and_then(|stat| Ok((processors(&stat)?, stat)));
    let (processors, stat) = match found {
        Ok(found) => found,
        Err(fault) => {
            let reason = format!("{}: {fault}", path.display());
            let cure = "mount /proc, or say sysroot=".to_owned();
            return (None, vec![Unavailable { source: NAME, reason, cure: Some(cure) }]);
        }
    };
    let model = field(&cpuinfo, "model name").next().unwrap_or("unknown processor").to_owned();
    let mut packages: Vec<&str> = field(&cpuinfo, "physical id").collect();
    packages.sort_unstable();
    packages.dedup();
    let (tdp_w, basis, error) = match tdp::find(&model) {
        Some((name, watts)) => {
            let packages = packages.len().max(1) as f64;
            (watts * packages, format!("{packages} × {watts} W TDP of {name}"), "±30 %, at worst ±50 %")
        }
        None => (
            W_PER_PROCESSOR * processors as f64,
            format!("{W_PER_PROCESSOR} W assumed for each of {processors} processors, whose model is not in the table"),
            "half to twice the truth",
        ),
    };
    let busy = Busy::new(stat, &options.sysroot, processors);
    let note = format!("estimate from utilisation and {basis}{}; expect {error}", busy.share_in_words());
    let channel = Channel {
        kind: Kind::Cpu,
        device: model,
        id: "cpu-model".into(),
        source: NAME,
        method: Method::Estimate,
        quantity: Quantity::Counter { joules_per_unit: 1e-6, range: None, max_watts: 100_000.0 },
        simulated: false,
        note: Some(note),
    };
    (Some(Box::new(CpuModel { channel: [channel], busy, tdp_w, last: None, energy_uj: 0.0 })), Vec::new())
}

impl Source for CpuModel {
    fn channels(&self) -> &[Channel] {
        &self.channel
    }

    fn min_gap_ns(&self) -> u64 {
        WINDOW_NS
    }

    fn read(&mut self, clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
        let at = clock();
        if self.last.is_some_and(|(since, _)| at < since + WINDOW_NS) {
            return;
        }
        let value = self.busy.times(at).map(|now| {
            if let Some((since, before)) = self.last {
                let utilisation = now.utilisation_since(before);
                let watts = self.tdp_w * self.busy.share() * load_curve(utilisation);
                self.energy_uj += watts * (at - since) as f64 * 1e-3;
            }
            self.last = Some((at, now));
            Value::Count(self.energy_uj as u64)
        });
        readings.push(Reading { channel: 0, at, value });
    }
}

/// The share of TDP drawn at this utilisation, 0 to 1.
fn load_curve(utilisation: f64) -> f64 {
    let tenths = utilisation.clamp(0.0, 1.0) * 10.0;
    let below = (tenths as usize).min(9);
    let (low, high) = (SHAPE.get(below).copied().unwrap_or(0.0), SHAPE.get(below + 1).copied().unwrap_or(1.0));
    IDLE_SHARE + DYNAMIC_SHARE * (low + (high - low) * (tenths - below as f64))
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

/// What of the machine is ours, and how busy that is.
struct Busy {
    stat: File,
    buffer: Vec<u8>,
    processors: usize,
    scope: Scope,
}

enum Scope {
    Machine,
    /// The process may only run on these processors.
    Affinity(CpuSet),
    /// A control group caps the process at this many processors' time.
    Quota {
        stat: PathBuf,
        processors: f64,
    },
}

impl Busy {
    fn new(stat: File, sysroot: &Path, processors: usize) -> Busy {
        let quota = quota(sysroot).filter(|(_, cap)| *cap < processors as f64);
        let scope = match quota {
            Some((folder, processors)) => Scope::Quota { stat: folder.join("cpu.stat"), processors },
            None => own_processors().map_or(Scope::Machine, Scope::Affinity),
        };
        Busy { stat, buffer: Vec::new(), processors, scope }
    }

    fn share(&self) -> f64 {
        let ours = match &self.scope {
            Scope::Machine => return 1.0,
            Scope::Affinity(set) => set.cpus().count() as f64,
            Scope::Quota { processors, .. } => *processors,
        };
        (ours / self.processors as f64).min(1.0)
    }

    fn share_in_words(&self) -> String {
        match &self.scope {
            Scope::Machine => ", all programs on the machine together".into(),
            Scope::Affinity(set) => format!(
                ", the share of {} of {} processors this process may run on",
                set.cpus().count(),
                self.processors
            ),
            Scope::Quota { processors, .. } => {
                format!(", the share of {processors} of {} processors its control group allows", self.processors)
            }
        }
    }

    fn times(&mut self, at: u64) -> Result<Times, Fault> {
        match &mut self.scope {
            Scope::Machine => machine_times(&self.stat),
            Scope::Affinity(set) => {
                // Threads pinned elsewhere may have come since: the process is where any of them may run.
                match own_processors() {
                    Some(now) => *set = now,
                    None => {
                        self.scope = Scope::Machine;
                        return machine_times(&self.stat);
                    }
                }
                processor_times(&self.stat, &mut self.buffer, set)
            }
            Scope::Quota { stat, processors } => {
                let text = std::fs::read_to_string(stat)?;
                let used = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse::<f64>().ok());
                Ok(Times { busy: used.ok_or(Fault::Garbage)?, total: at as f64 * 1e-3 * *processors })
            }
        }
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

/// The tightest cgroup v2 cap on this process: its folder and how many processors' time it allows.
fn quota(sysroot: &Path) -> Option<(PathBuf, f64)> {
    let membership = std::fs::read_to_string(sysroot.join("proc/self/cgroup")).ok()?;
    let group = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = sysroot.join("sys/fs/cgroup");
    let folders = Path::new(group).ancestors().map(|folder| root.join(folder));
    folders
        .filter_map(|folder| {
            let cap = number_file::text(&folder.join("cpu.max")).ok()?;
            let (quota, period) = cap.split_once(' ')?;
            let processors = quota.parse::<f64>().ok()? / period.parse::<f64>().ok().filter(|&period| period > 0.0)?;
            Some((folder, processors))
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The values of a `name : value` line in /proc/cpuinfo.
fn field<'a>(cpuinfo: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    cpuinfo.lines().filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_curve_rises_from_idle_to_full() {
        let points: Vec<f64> = (0..=100).map(|percent| load_curve(f64::from(percent) / 100.0)).collect();
        assert!(points.is_sorted());
        assert_eq!((points[0], points[100]), (0.05, 0.8500000000000001));
        assert_eq!(load_curve(7.0), load_curve(1.0));
    }

    /// A machine of 2 × E5-2620 v3 (170 W), half of whose time is spent working.
    #[test]
    fn energy_follows_utilisation() {
        let root = std::env::temp_dir().join(format!("ct-cpu-model-{}", std::process::id()));
        std::fs::create_dir_all(root.join("proc")).unwrap();
        let stat = |busy: u64, idle: u64| {
            let line = format!("{busy} 0 0 {idle} 0 0 0 0 0 0");
            std::fs::write(root.join("proc/stat"), format!("cpu  {line}\ncpu0 {line}\ncpu1 1 1 1 1\nintr 5\n"))
                .unwrap();
        };
        let cpu = "model name\t: Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz\nphysical id\t: ";
        std::fs::write(root.join("proc/cpuinfo"), format!("{cpu}0\n\n{cpu}1\n")).unwrap();
        stat(1000, 1000);
        let (source, _) = open(&Options::parse(&format!("sysroot={}", root.display()), |_| None).unwrap());
        let mut source = source.unwrap();
        let mut readings = Vec::new();
        source.read(&|| 0, &mut readings);
        stat(1500, 1500);
        source.read(&|| 50_000_000, &mut readings);
        source.read(&|| 10_000_000_000, &mut readings);
        std::fs::remove_dir_all(&root).unwrap();
        let counts: Vec<_> = readings.iter().map(|reading| reading.value.unwrap()).collect();
        let expected = 170.0 * load_curve(0.5) * 10.0 * 1e6;
        let [Value::Count(0), Value::Count(energy_uj)] = counts[..] else { panic!("{counts:?}") };
        let share = source.channels()[0].note.as_ref().unwrap().contains("share");
        assert!(share || (energy_uj as f64 - expected).abs() < 2.0, "{energy_uj} against {expected}");
    }
}
