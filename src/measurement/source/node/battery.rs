//! A laptop's batteries. While they discharge, their power is that of the whole machine
//! (Documentation/ABI/testing/sysfs-class-power: µW, or µA and µV, negative in some drivers).

use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::config::MeasurementConfig;
use crate::measurement::reading::{Fault, Reading, Value};
use crate::measurement::source::sysfs::number_file;
use crate::measurement::source::sysfs::sensor::{absent, signed};
use crate::measurement::source::{Opened, Source};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os;
use std::path::{Path, PathBuf};

const NAME: SourceName = SourceName::Battery;
/// The shortest time between two readings, ns. The gauge of a battery is no faster.
const MIN_GAP_NS: u64 = 50_000_000;
/// The longest time between two readings, ns.
const MAX_GAP_NS: u64 = 100_000_000;
/// The most power of a machine's batteries, W: four times that of the largest laptops.
const MAX_BATTERY_W: f64 = 1000.0;
const ON_MAINS: Fault = Fault::Driver("the machine is on mains power, which its battery does not measure");
const ZERO: Fault = Fault::Driver("the battery's gauge reads a discharge of 0 W");
const CURE: &str = "check the content of its files, then create the tracker again";

/// All batteries of the machine, measured together.
struct Batteries {
    channel: [Channel; 1],
    folders: Vec<PathBuf>,
}

/// Opens the machine's batteries. They measure the machine only while they discharge.
pub fn open(options: &MeasurementConfig) -> Opened {
    let folder = options.sysroot.join("sys/class/power_supply");
    let mut folders: Vec<PathBuf> = os::text::entries(&folder).filter(|path| is_battery(path)).collect();
    folders.sort();
    if folders.is_empty() {
        return absent(NAME, "no battery here");
    }
    let names: Vec<_> = folders.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy())).collect();
    let id = names.join("+");
    match power(&folders) {
        Err(ON_MAINS) => return absent(NAME, format!("{id}: {ON_MAINS}")),
        Err(fault) => {
            let reason = format!("{} of {id}: {fault}", folder.display());
            return (None, vec![Unavailable { source: NAME, reason, cure: Some(CURE.into()) }]);
        }
        Ok(_) => (),
    }
    let quantity = Quantity::Power { max_watts: MAX_BATTERY_W };
    let channel = Channel {
        note: Some("the battery's discharge: the whole machine, its screen included".into()),
        ..Channel::new((DeviceKind::Node, NAME), "battery", id, MeasuringMethod::Power, quantity)
    };
    (Some(Box::new(Batteries { channel: [channel], folders })), Vec::new())
}

/// Whether a power supply is a battery that feeds the machine. The battery of a mouse has the scope "Device".
fn is_battery(folder: &Path) -> bool {
    let has = |file: &str, word: &str| number_file::text(&folder.join(file)).is_ok_and(|text| text == word);
    has("type", "Battery") && !has("scope", "Device")
}

/// The power of the discharging batteries, W. If one charges or none discharges, the machine is on mains power.
fn power(folders: &[PathBuf]) -> Result<f64, Fault> {
    let mut total = None;
    for folder in folders {
        match number_file::text(&folder.join("status"))?.as_str() {
            "Discharging" => {
                let microwatts = match signed(&folder.join("power_now")) {
                    Err(Fault::Gone) => {
                        let microamperes = signed(&folder.join("current_now"))?;
                        microamperes as f64 * signed(&folder.join("voltage_now"))? as f64 * 1e-6
                    }
                    number => number? as f64,
                };
                total = Some(total.unwrap_or(0.0) + microwatts.abs() * 1e-6);
            }
            "Charging" => return Err(ON_MAINS),
            _ => (), // full, or not in use while another one discharges
        }
    }
    match total {
        Some(0.0) => Err(ZERO),
        total => total.ok_or(ON_MAINS),
    }
}

impl Source for Batteries {
    fn channels(&self) -> &[Channel] {
        &self.channel
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        let before = clock();
        let value = power(&self.folders).map(Value::Watts);
        readings.push(Reading { channel: 0, at: number_file::middle(before, clock()), value });
    }

    fn min_gap_ns(&self) -> u64 {
        MIN_GAP_NS
    }

    fn max_gap_ns(&self) -> u64 {
        MAX_GAP_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::source::sysfs::test_tree::TestTree;

    fn supply(tree: &TestTree, name: &str, files: &[(&str, &str)]) {
        for (file, text) in files {
            tree.write(&format!("sys/class/power_supply/{name}/{file}"), &format!("{text}\n"));
        }
    }

    #[test]
    fn batteries_are_summed_and_mains_power_is_a_fault() {
        let tree = TestTree::new("battery");
        supply(&tree, "AC", &[("type", "Mains"), ("online", "0")]);
        supply(&tree, "hidpp_battery_0", &[("type", "Battery"), ("scope", "Device"), ("status", "Discharging")]);
        supply(&tree, "BAT0", &[("type", "Battery"), ("status", "Discharging"), ("power_now", "-12500000")]);
        let amperes = [("current_now", "-1000000"), ("voltage_now", "7500000")];
        supply(&tree, "BAT1", &[[("type", "Battery"), ("status", "Discharging")], amperes].concat());
        let (source, unavailable) = open(&tree.options("", &[]));
        let mut source = source.unwrap();
        assert_eq!((TestTree::channels(&*source), unavailable), (vec!["node battery BAT0+BAT1".into()], Vec::new()));
        assert_eq!(TestTree::values(&mut *source), [Ok(Value::Watts(20.0))]);
        supply(&tree, "BAT1", &[("status", "Not charging")]);
        assert_eq!(TestTree::values(&mut *source), [Ok(Value::Watts(12.5))]);
        for (status, power, fault) in [
            ("Charging", "12500000", ON_MAINS),
            ("Full", "0", ON_MAINS),
            ("Discharging", "0", ZERO),
            ("Discharging", "", Fault::Empty),
            ("Discharging", "much", Fault::Garbage),
        ] {
            supply(&tree, "BAT0", &[("status", status), ("power_now", power)]);
            assert_eq!(TestTree::values(&mut *source), [Err(fault)], "{status} {power}");
        }
        tree.remove("sys/class/power_supply/BAT0/status");
        assert_eq!(TestTree::values(&mut *source), [Err(Fault::Gone)]);
        assert_eq!((source.min_gap_ns(), source.max_gap_ns()), (50_000_000, 100_000_000));
    }

    #[test]
    fn battery_without_a_power_is_left_out_with_a_reason() {
        let tree = TestTree::new("battery-none");
        assert_eq!(open(&tree.options("", &[])).1[0].reason, "no battery here");
        supply(&tree, "BAT0", &[("type", "Battery"), ("status", "Charging"), ("power_now", "9")]);
        let (source, why) = open(&tree.options("", &[]));
        assert!(source.is_none() && why[0].reason.contains("on mains power") && why[0].cure.is_none());
        supply(&tree, "BAT0", &[("status", "Discharging"), ("power_now", "x")]);
        let (source, why) = open(&tree.options("", &[]));
        assert!(source.is_none() && why[0].reason.contains("BAT0: it is not a number") && why[0].cure.is_some());
    }
}
