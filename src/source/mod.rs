//! Where energy is read: the sources' common shape, and which of them take part.

mod background;
mod cpu_model;
mod number_file;
mod nvml;
mod perf_rapl;
mod rapl;
mod simulated;
mod tdp;
mod utilisation;

pub use background::{Opened, Opening, Waker};

use crate::channel::{Channel, Kind};
use crate::options::Options;
use crate::reading::{Reading, Value};

/// Readings closer together than this, ns, are one: a counter moves in steps of a millisecond or more,
/// and a host may mark millions of epochs a second.
pub const MIN_GAP_NS: u64 = 10_000_000;

/// Something that can be read. Reading happens on one thread at a time, under no lock.
pub trait Source: Send {
    /// What it measures; the order numbers [`Reading::channel`].
    fn channels(&self) -> &[Channel];

    /// Reads every channel into `readings`, each stamped by `clock`; a channel with nothing new yet is left out.
    fn read(&mut self, clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>);

    /// As `read`, where the energy at this very instant is asked for: an epoch has begun or ended.
    fn read_at_mark(&mut self, clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
        self.read(clock, readings);
    }

    /// Readings closer together than this, ns, tell nothing new.
    fn min_gap_ns(&self) -> u64 {
        MIN_GAP_NS
    }

    /// Whether readings asked for earlier have come.
    fn has_news(&self) -> bool {
        false
    }

    /// Takes those.
    fn collect(&mut self, _readings: &mut Vec<Reading>) {}

    /// Readings further apart than this, ns, miss something: what has only a power is read ten times a second.
    fn max_gap_ns(&self) -> u64 {
        u64::MAX
    }
}

/// A source that does not take part: why, and what would help.
#[derive(Clone, Debug, PartialEq)]
pub struct Unavailable {
    /// The source's name.
    pub source: &'static str,
    /// Why it does not take part.
    pub reason: String,
    /// What to do about it; None where nothing is wrong.
    pub cure: Option<String>,
}

impl Unavailable {
    /// What to tell the user at once: what would help. None where nothing is wrong.
    pub fn in_words(&self) -> Option<String> {
        Some(format!("{} is not measured: {}. Cure: {}", self.source, self.reason, self.cure.as_ref()?))
    }
}

/// What takes part in a run, and what does not.
#[derive(Default)]
pub struct Sources {
    /// The sources to read.
    pub sources: Vec<Box<dyn Source>>,
    /// Those that open in their own time.
    pub openings: Vec<Opening>,
    /// Wakes the sampler for them.
    pub waker: Waker,
    /// The others.
    pub unavailable: Vec<Unavailable>,
}

impl Sources {
    /// Looks at the machine. Each kind of component is measured by one source only, the best there is:
    /// counters before power before estimates, and a whole node only where no part is metered or where
    /// it alone was asked for.
    pub fn discover(options: &Options) -> Sources {
        let wants = |kind| options.components.contains(&kind);
        let mut found = Sources::default();
        for (kind, device) in [(Kind::Cpu, &options.sim_cpu), (Kind::Gpu, &options.sim_gpu)] {
            if let Some(device) = device.as_ref().filter(|_| wants(kind)) {
                found.sources.push(Box::new(simulated::Simulated::new(kind, device)));
            }
        }
        let simulates_cpu = options.sim_cpu.is_some() && wants(Kind::Cpu);
        if simulates_cpu && (wants(Kind::Dram) || wants(Kind::Node)) {
            let reason = "sim_cpu stands in for the processor: real memory and node counters would not go with it";
            found.unavailable.push(Unavailable { source: "rapl", reason: reason.into(), cure: None });
        }
        if !simulates_cpu && (wants(Kind::Cpu) || wants(Kind::Dram) || wants(Kind::Node)) {
            found.add(rapl::open(options));
            let missing: Vec<Kind> =
                [Kind::Cpu, Kind::Dram].into_iter().filter(|&kind| wants(kind) && !found.measures(kind)).collect();
            let has_packages = wants(Kind::Cpu) && found.measures(Kind::Cpu);
            if !missing.is_empty() && !has_packages && !found.measures(Kind::Node) {
                found.add(perf_rapl::open(options, &missing));
            }
        }
        if !simulates_cpu && wants(Kind::Cpu) && !found.measures(Kind::Cpu) && !found.measures(Kind::Node) {
            found.add(cpu_model::open(options));
        }
        if wants(Kind::Gpu) && options.sim_gpu.is_none() {
            let request = nvml::Request::new(options);
            let opened = move |is_closed: &dyn Fn() -> bool| nvml::open(&request, is_closed);
            found.add_opening(Opening::start("nvml", "ct-nvml", found.waker.clone(), opened));
        }
        found
    }

    /// Whether a channel of this kind takes part.
    pub fn measures(&self, kind: Kind) -> bool {
        self.sources.iter().flat_map(|source| source.channels()).any(|channel| channel.kind == kind)
    }

    fn add_opening(&mut self, opening: std::io::Result<Opening>) {
        match opening {
            Ok(opening) => self.openings.push(opening),
            Err(error) => self.unavailable.push(Unavailable {
                source: "nvml",
                reason: format!("its thread could not be started: {error}"),
                cure: Some("raise the limit on threads or memory (ulimit -u, -v)".into()),
            }),
        }
    }

    fn add(&mut self, (source, unavailable): (Option<Box<dyn Source>>, Vec<Unavailable>)) {
        self.sources.extend(source);
        self.unavailable.extend(unavailable);
    }
}

/// Reads counter files one after the other, each stamped at the middle of its own reading.
fn read_counters(files: &mut [number_file::NumberFile], clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
    for (channel, file) in files.iter_mut().enumerate() {
        let (at, number) = file.stamped(clock);
        readings.push(Reading { channel, at, value: number.map(Value::Count) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package that cannot be read and memory that can, with the perf unit (here the software clock)
    /// offering both: the package comes from perf, memory from powercap alone.
    #[test]
    fn no_kind_is_read_by_two_sources() {
        let root = std::env::temp_dir().join(format!("ct-sources-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for (zone, name, energy) in [("intel-rapl:0", "package-0", ""), ("intel-rapl:0:0", "dram", "5\n")] {
            write(&format!("sys/class/powercap/{zone}/name"), name);
            write(&format!("sys/class/powercap/{zone}/energy_uj"), energy);
        }
        for (file, text) in [("type", "1"), ("cpumask", "0")] {
            write(&format!("sys/bus/event_source/devices/power/{file}"), text);
        }
        for event in ["energy-pkg", "energy-ram"] {
            write(&format!("sys/bus/event_source/devices/power/events/{event}"), "event=0x00");
            write(&format!("sys/bus/event_source/devices/power/events/{event}.scale"), "1e-7");
        }
        for components in ["all", "dram", "cpu,dram", "node,dram"] {
            let text = format!("sysroot={} components={components}", root.display());
            let found = Sources::discover(&Options::parse(&text, |_| None).unwrap());
            let memory = found.sources.iter().flat_map(|source| source.channels()).filter(|c| c.kind == Kind::Dram);
            assert_eq!(memory.map(|channel| channel.source).collect::<Vec<_>>(), ["rapl"], "{components}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }
}
