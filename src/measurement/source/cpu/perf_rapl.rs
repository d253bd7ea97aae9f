//! RAPL energy counters through the kernel's `power` performance monitoring unit, for use without access to the
//! powercap files (linux/arch/x86/events/rapl.c). Each package has one event, on the processor that the unit's
//! `cpumask` names.

use super::rapl::{MAX_DRAM_W, MAX_PACKAGE_W};
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::config::MeasurementConfig;
use crate::measurement::reading::{Fault, Reading, Value};
use crate::measurement::source::sysfs::number_file;
use crate::measurement::source::{Opened, Source};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os::{self, HeldFile};
use std::io::Read;
use std::path::Path;

const NAME: SourceName = SourceName::PerfRapl;
const CURE: &str = "allow system-wide counting: sudo sysctl kernel.perf_event_paranoid=0 (permanently: a line in \
/etc/sysctl.d/), or give the program the capability: sudo setcap cap_perfmon+ep PROGRAM";

/// The errors of the seccomp profiles of Docker, containerd and podman in a container without the capability.
const FORBIDDEN: [i32; 2] = [libc::EPERM, libc::ENOSYS];
const FORBIDDEN_CURE: &str = "in a container, the seccomp profile forbids the call: start the container with --cap-add PERFMON (Kubernetes: \
securityContext.capabilities.add: [PERFMON]), with an older podman also --cap-add SYS_ADMIN; or set kernel.perf_event_paranoid=0 on the \
host and start the container with --security-opt seccomp=unconfined";

struct PerfRapl {
    channels: Vec<Channel>,
    counters: Vec<PerfCounter>,
}

/// A counting event, with the values to open it again.
struct PerfCounter {
    pmu_type: u32,
    config: u64,
    cpu: i32,
    held: HeldFile,
}

impl PerfCounter {
    fn open(pmu_type: u32, config: u64, cpu: i32) -> std::io::Result<PerfCounter> {
        let held = HeldFile::hold_event(os::perf_event(pmu_type, config, cpu)?)?;
        Ok(PerfCounter { pmu_type, config, cpu, held })
    }

    /// The count. If the application closed the event, it is opened again and counts from 0, as after a reset.
    fn read(&mut self) -> Result<u64, Fault> {
        if self.held.file().is_none() {
            *self = PerfCounter::open(self.pmu_type, self.config, self.cpu)?;
        }
        let mut count = [0u8; 8];
        self.held.file().ok_or(Fault::Gone)?.read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }
}

/// An event as the unit's `events/` folder describes it.
struct PerfEvent {
    config: u64,
    joules_per_unit: f64,
}

/// Opens the energy events of these kinds for every package.
pub fn open(options: &MeasurementConfig, kinds: &[DeviceKind]) -> Opened {
    let unit = options.sysroot.join("sys/bus/event_source/devices/power");
    match PerfUnit::find(&unit) {
        Err(reason) => {
            let cure = "sudo modprobe rapl; a virtual machine has no such unit: measure on the host".to_owned();
            (None, vec![Unavailable { source: NAME, reason, cure: Some(cure) }])
        }
        Ok(unit) => unit.open(kinds),
    }
}

/// The performance monitoring unit.
struct PerfUnit {
    pmu_type: u32,
    /// One processor of each package.
    cpus: Vec<i32>,
    events: Vec<(DeviceKind, &'static str, PerfEvent)>,
}

impl PerfUnit {
    fn find(folder: &Path) -> Result<PerfUnit, String> {
        let read = |file: &str| {
            number_file::text(&folder.join(file))
                .map_err(|error| format!("{}: {}", folder.join(file).display(), Fault::from(error)))
        };
        let not_understood =
            |file: &str, text: &str| format!("{}: '{text}' is not understood", folder.join(file).display());
        let pmu_type = read("type")?;
        let cpumask = read("cpumask")?;
        let mut unit = PerfUnit {
            pmu_type: pmu_type.parse().map_err(|_| not_understood("type", &pmu_type))?,
            cpus: cpu_list(&cpumask).ok_or_else(|| not_understood("cpumask", &cpumask))?,
            events: Vec::new(),
        };
        for (kind, device, name) in
            [(DeviceKind::Cpu, "package", "energy-pkg"), (DeviceKind::Dram, "memory", "energy-ram")]
        {
            let Ok(text) = read(&format!("events/{name}")) else { continue };
            let config = event_config(&text).ok_or_else(|| not_understood(name, &text))?;
            let scale = read(&format!("events/{name}.scale"))?;
            let joules_per_unit = scale
                .parse()
                .ok()
                .filter(|&scale: &f64| scale > 0.0 && scale < 1.0)
                .ok_or_else(|| not_understood("scale", &scale))?;
            unit.events.push((kind, device, PerfEvent { config, joules_per_unit }));
        }
        if unit.events.is_empty() {
            return Err(format!("{}: no energy-pkg event", folder.display()));
        }
        Ok(unit)
    }

    fn open(self, kinds: &[DeviceKind]) -> Opened {
        let mut source = PerfRapl { channels: Vec::new(), counters: Vec::new() };
        for (kind, device, event) in self.events.iter().filter(|(kind, ..)| kinds.contains(kind)) {
            let max_watts = if *kind == DeviceKind::Dram { MAX_DRAM_W } else { MAX_PACKAGE_W };
            for (package, &cpu) in self.cpus.iter().enumerate() {
                match PerfCounter::open(self.pmu_type, event.config, cpu) {
                    Ok(counter) => source.counters.push(counter),
                    Err(error) => {
                        let reason = format!("perf_event_open of the power unit on processor {cpu}: {error}");
                        let is_forbidden = error.raw_os_error().is_some_and(|code| FORBIDDEN.contains(&code));
                        let cure = if is_forbidden { FORBIDDEN_CURE } else { CURE };
                        return (None, vec![Unavailable { source: NAME, reason, cure: Some(cure.into()) }]);
                    }
                }
                let (name, id) = (format!("{device}-{package}"), format!("power/cpu{cpu}/{device}"));
                let joules_per_unit = event.joules_per_unit;
                let quantity = Quantity::Counter { joules_per_unit, range: None, max_watts };
                source.channels.push(Channel::new((*kind, NAME), name, id, MeasuringMethod::Counter, quantity));
            }
        }
        let source = (!source.counters.is_empty()).then(|| Box::new(source) as Box<dyn Source>);
        (source, Vec::new())
    }
}

impl Source for PerfRapl {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        let mut before = clock();
        for (channel, counter) in self.counters.iter_mut().enumerate() {
            let value = counter.read().map(Value::Count);
            let after = clock();
            readings.push(Reading { channel, at: number_file::middle(before, after), value });
            before = after;
        }
    }
}

/// The config of perf_event_attr from "event=0x02" or "event=0x02,umask=0x01": event in bits 0 to 7, umask in bits 8 to
/// 15.
fn event_config(text: &str) -> Option<u64> {
    let mut config = 0;
    for part in text.split(',') {
        let (name, value) = part.split_once('=')?;
        let value =
            u64::from_str_radix(value.trim().trim_start_matches("0x"), 16).ok().filter(|&value| value <= 0xff)?;
        config |= match name.trim() {
            "event" => value,
            "umask" => value << 8,
            _ => return None,
        };
    }
    Some(config)
}

/// The numbers of a list: [0, 28, 29] for "0,28-29". None if there are more than 256, which is more than a machine has
/// packages.
fn cpu_list(text: &str) -> Option<Vec<i32>> {
    const MAX_PACKAGES: usize = 256;
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (i32, i32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        cpus.extend((first..=last).take(MAX_PACKAGES + 1));
        if cpus.len() > MAX_PACKAGES {
            return None;
        }
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations_of_the_kernel_are_read() {
        assert_eq!(event_config("event=0x02"), Some(2));
        assert_eq!(event_config("event=0x02,umask=0x01"), Some(0x102));
        assert_eq!(event_config("frequency=1"), None);
        assert_eq!(cpu_list("0,28-29"), Some(vec![0, 28, 29]));
        for strange in ["", "0-2147483647", &"1,".repeat(2000)] {
            assert_eq!(cpu_list(strange), None);
        }
    }

    /// The software unit's cpu-clock counts 1e9 a second on any machine. The test's tree declares it as the power unit
    /// with 1e-7 J per count, so it is a package that draws 100 W.
    #[test]
    fn perf_event_of_the_kernel_is_counted() {
        let root = std::env::temp_dir().join(format!("ct-perf-{}", std::process::id()));
        let unit = root.join("sys/bus/event_source/devices/power");
        std::fs::create_dir_all(unit.join("events")).unwrap();
        for (file, text) in
            [("type", "1"), ("cpumask", "0"), ("events/energy-pkg", "event=0x00"), ("events/energy-pkg.scale", "1e-7")]
        {
            std::fs::write(unit.join(file), text).unwrap();
        }
        let options =
            crate::options::Options::parse(&format!("sysroot={}", root.display()), |_| None).unwrap().measurement;
        let (source, unavailable) = open(&options, &[DeviceKind::Cpu]);
        std::fs::remove_dir_all(&root).unwrap();
        let Some(mut source) = source else {
            // Without the right to count system-wide, the user reads this advice.
            assert!(unavailable[0].cure.as_ref().unwrap().contains("perf_event_paranoid"));
            println!("skipped: {}", unavailable[0].reason);
            return;
        };
        let mut joules = 0.0;
        let mut meter = crate::measurement::meter::Meter::new(source.channels()[0].quantity);
        let mut readings = Vec::new();
        for _ in 0..2 {
            source.read(&os::monotonic_ns, &mut readings);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        for reading in &readings {
            meter.push(reading.at, reading.value, |interval| joules += interval.joules);
        }
        let seconds = readings[1].at.s_since(readings[0].at);
        assert!((joules / seconds - 100.0).abs() < 5.0, "{joules} J in {seconds} s");
    }
}
