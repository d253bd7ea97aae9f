//! An estimate for processors that let nobody read their energy: utilisation through a load curve,
//! scaled by the model's thermal design power.
//!
//! P = TDP × (0.05 + 0.80 × d(u)). The shape d is the median of 212 servers of 2017 and later in
//! SPECpower_ssj2008: power above idle, as a share of its greatest, against load. A package idles near
//! 5 % of its TDP, and an ordinary full load draws some 85 % of it. Against packages with RAPL the energy
//! of a sweep through all loads came out between a third too low and half too high.

use super::utilisation::Utilisation;
use super::{Opened, Source, Unavailable, tdp};
use crate::channel::{Channel, Kind, Method, Quantity};
use crate::host;
use crate::options::Options;
use crate::reading::{Reading, Value};

const NAME: &str = "cpu_model";
/// For a model the table does not know, and for a virtual machine's part of one it does, as CodeCarbon takes it, W.
const W_PER_PROCESSOR: f64 = 4.0;
const IDLE_SHARE: f64 = 0.05;
const DYNAMIC_SHARE: f64 = 0.80;
/// d(u) at u = 0, 0.1, … 1.
const SHAPE: [f64; 11] = [0.0, 0.173, 0.234, 0.298, 0.363, 0.426, 0.503, 0.599, 0.723, 0.863, 1.0];
struct CpuModel {
    channel: [Channel; 1],
    busy: Utilisation,
    tdp_w: f64,
    /// When it was read last, ns.
    last: Option<u64>,
    /// Power then, W.
    watts: f64,
    /// Energy so far, µJ.
    energy_uj: f64,
}

/// Finds out what the processor is and what of it is ours.
pub fn open(options: &Options) -> Opened {
    let busy = match Utilisation::open(&options.sysroot) {
        Ok(busy) => busy,
        Err(fault) => {
            let reason = format!("{}: {fault}", options.sysroot.join("proc/stat").display());
            let cure = "mount /proc, or say sysroot=".to_owned();
            return (None, vec![Unavailable { source: NAME, reason, cure: Some(cure) }]);
        }
    };
    let cpuinfo = host::text::read(&options.sysroot.join("proc/cpuinfo"), host::text::LARGE).unwrap_or_default();
    let model = field(&cpuinfo, "model name").next().unwrap_or("unknown processor").to_owned();
    let (tdp_w, basis) = tdp(&cpuinfo, &model, busy.processors);
    let note = format!("estimate from utilisation and {basis}; {}", busy.scope_in_words());
    let id = busy.processors_in_words().map_or("cpu-model".into(), |cpus| format!("cpu-model:{cpus}"));
    let quantity = Quantity::Counter { joules_per_unit: 1e-6, range: None, max_watts: 100_000.0 };
    let channel =
        Channel { note: Some(note), ..Channel::new((Kind::Cpu, NAME), model, id, Method::Estimate, quantity) };
    (Some(Box::new(CpuModel { channel: [channel], busy, tdp_w, last: None, watts: 0.0, energy_uj: 0.0 })), Vec::new())
}

impl Source for CpuModel {
    fn channels(&self) -> &[Channel] {
        &self.channel
    }

    fn read(&mut self, clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
        let at = clock();
        let value = self.busy.of_late(at).map(|utilisation| {
            if let Some(utilisation) = utilisation {
                self.watts = self.tdp_w * self.busy.share() * load_curve(utilisation);
            }
            let last = self.last.replace(at).unwrap_or(at);
            self.energy_uj += self.watts * at.saturating_sub(last) as f64 * 1e-3;
            Value::Count(self.energy_uj as u64)
        });
        readings.push(Reading { channel: 0, at, value });
    }
}

/// The machine's thermal design power, W, and in words what it rests on and how far off the estimate may be.
fn tdp(cpuinfo: &str, model: &str, processors: usize) -> (f64, String) {
    let assumed = W_PER_PROCESSOR * processors as f64;
    let is_virtual =
        field(cpuinfo, "flags").next().is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let mut packages: Vec<&str> = field(cpuinfo, "physical id").collect();
    packages.sort_unstable();
    packages.dedup();
    let packages = packages.len().max(1) as f64;
    match tdp::find(model) {
        Some((name, watts)) if !is_virtual || packages * watts <= assumed => {
            (packages * watts, format!("{packages} × {watts} W TDP of {name}; expect ±30 %, at worst ±50 %"))
        }
        found => {
            let why = if found.is_some() { "part of a larger machine" } else { "their model is not in the table" };
            let each = format!("{W_PER_PROCESSOR} W assumed for each of {processors} processors ({why})");
            (assumed, format!("{each}; expect half to twice the truth"))
        }
    }
}

/// The share of TDP drawn at this utilisation, 0 to 1.
fn load_curve(utilisation: f64) -> f64 {
    let tenths = utilisation.clamp(0.0, 1.0) * 10.0;
    let below = (tenths as usize).min(9);
    let (low, high) = (SHAPE.get(below).copied().unwrap_or(0.0), SHAPE.get(below + 1).copied().unwrap_or(1.0));
    IDLE_SHARE + DYNAMIC_SHARE * (low + (high - low) * (tenths - below as f64))
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
        source.read(&|| 10_000_000_000, &mut readings);
        std::fs::remove_dir_all(&root).unwrap();
        let counts: Vec<_> = readings.iter().map(|reading| reading.value.unwrap()).collect();
        let expected = 170.0 * load_curve(0.5) * 10.0 * 1e6;
        let [Value::Count(0), Value::Count(energy_uj)] = counts[..] else { panic!("{counts:?}") };
        let share = source.channels()[0].note.as_ref().unwrap().contains("share");
        assert!(share || (energy_uj as f64 - expected).abs() < 2.0, "{energy_uj} against {expected}");
    }
}
