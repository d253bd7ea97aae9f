//! The report of each source that reads files, for each fault of a meter. `--nocapture` prints the table.

use crate::fake_machine::{Machine, Moving, Outcome};
use crate::virtually_once;
use std::fmt::Write as _;

const WATTS: f64 = 100.0;
const EPOCHS: u32 = 12;
/// The begin of a fault, s.
const FROM: f64 = 1.0;
/// The end of a fault, s.
const TO: f64 = 1.5;

/// A fault of a meter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Healthy,
    StuckAtStart,
    StuckMidway,
    Absurd,
    NotReady,
    GoneAndBack,
}

const FAULTS: [Fault; 6] =
    [Fault::Healthy, Fault::StuckAtStart, Fault::StuckMidway, Fault::Absurd, Fault::NotReady, Fault::GoneAndBack];

/// The form of energy or power in a source's file.
#[derive(Clone, Copy, PartialEq)]
enum Shows {
    MicroJoules,
    MicroWatts,
    /// "100 J 1655219349093098 us", 10 times a second.
    Cray,
}

/// A source: its name, the kind it measures, its constant files, and the file that changes with its form.
struct Meter {
    name: &'static str,
    kind: &'static str,
    files: &'static [(&'static str, &'static str)],
    path: &'static str,
    shows: Shows,
}

const METERS: [Meter; 8] = [
    Meter {
        name: "rapl",
        kind: "cpu",
        files: &[
            ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
            ("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n"),
        ],
        path: "sys/class/powercap/intel-rapl:0/energy_uj",
        shows: Shows::MicroJoules,
    },
    Meter {
        name: "amdgpu counter",
        kind: "gpu",
        files: &[
            ("sys/class/drm/card0/device/vendor", "0x1002\n"),
            ("sys/class/drm/card0/device/hwmon/hwmon1/name", "amdgpu\n"),
        ],
        path: "sys/class/drm/card0/device/hwmon/hwmon1/energy1_input",
        shows: Shows::MicroJoules,
    },
    Meter {
        name: "amdgpu power, limit 0",
        kind: "gpu",
        files: &[
            ("sys/class/drm/card0/device/vendor", "0x1002\n"),
            ("sys/class/drm/card0/device/hwmon/hwmon1/name", "amdgpu\n"),
            ("sys/class/drm/card0/device/hwmon/hwmon1/power1_cap_max", "0\n"),
        ],
        path: "sys/class/drm/card0/device/hwmon/hwmon1/power1_average",
        shows: Shows::MicroWatts,
    },
    Meter {
        name: "intel_gpu",
        kind: "gpu",
        files: &[
            ("sys/class/drm/card0/device/vendor", "0x8086\n"),
            ("sys/class/drm/card0/device/hwmon/hwmon1/name", "i915\n"),
        ],
        path: "sys/class/drm/card0/device/hwmon/hwmon1/energy1_input",
        shows: Shows::MicroJoules,
    },
    Meter {
        name: "hwmon power",
        kind: "node",
        files: &[("sys/class/hwmon/hwmon0/name", "power_meter\n")],
        path: "sys/class/hwmon/hwmon0/power1_average",
        shows: Shows::MicroWatts,
    },
    Meter {
        name: "hwmon counter",
        kind: "cpu",
        files: &[
            ("sys/class/hwmon/hwmon0/name", "amd_energy\n"),
            ("sys/class/hwmon/hwmon0/energy1_label", "Esocket0\n"),
        ],
        path: "sys/class/hwmon/hwmon0/energy1_input",
        shows: Shows::MicroJoules,
    },
    Meter {
        name: "pm_counters",
        kind: "cpu",
        files: &[
            ("sys/cray/pm_counters/freshness", "1\n"),
            ("sys/cray/pm_counters/energy", "5 J 1655219349000000 us\n"),
        ],
        path: "sys/cray/pm_counters/cpu_energy",
        shows: Shows::Cray,
    },
    Meter {
        name: "battery",
        kind: "node",
        files: &[
            ("sys/class/power_supply/BAT0/type", "Battery\n"),
            ("sys/class/power_supply/BAT0/status", "Discharging\n"),
        ],
        path: "sys/class/power_supply/BAT0/power_now",
        shows: Shows::MicroWatts,
    },
];

impl Shows {
    /// The text of the file `at` a time, s. None: the file does not exist then.
    fn text(self, fault: Fault, at: f64) -> Option<String> {
        let is_on = (FROM..TO).contains(&at);
        let shown_at = match fault {
            Fault::StuckAtStart => 0.0,
            Fault::StuckMidway => at.min(FROM),
            _ => at,
        };
        match (fault, self) {
            (Fault::NotReady, _) if at < FROM => return Some("\n".into()),
            (Fault::GoneAndBack, _) if is_on => return None,
            (Fault::StuckAtStart, Shows::MicroWatts) => return Some("0\n".into()),
            (Fault::StuckMidway, Shows::MicroWatts) if at > FROM => return Some("0\n".into()),
            (Fault::Absurd, Shows::MicroWatts) if is_on => return Some("4294967295000\n".into()),
            _ => (),
        }
        let jump = if fault == Fault::Absurd && is_on { 1e9 } else { 0.0 };
        let joules = 5000.0 + WATTS * shown_at + jump;
        Some(match self {
            Shows::MicroJoules => format!("{}\n", (joules * 1e6) as u64),
            Shows::MicroWatts => format!("{}\n", (WATTS * 1e6) as u64),
            Shows::Cray => {
                let tenth = (shown_at * 10.0).floor() / 10.0;
                let joules = 5000.0 + WATTS * tenth + jump;
                format!("{} J {} us\n", joules as u64, 1_655_219_349_000_000 + (tenth * 1e6) as u64)
            }
        })
    }
}

impl Meter {
    fn run(&self, fault: Fault) -> Outcome {
        let name = format!("{}-{fault:?}", self.name.replace([' ', ','], "-"));
        let shows = self.shows;
        let moving: Moving = (self.path.to_owned(), Box::new(move |at| shows.text(fault, at)));
        let machine = Machine::new(&name, self.files).moving(vec![moving]);
        machine.run(EPOCHS, &format!("components={}", self.kind))
    }
}

/// The text of a cell of the table. Panics if the report is wrong.
fn judge(meter: &Meter, fault: Fault, run: &Outcome) -> String {
    let truth = WATTS * run.report["usage"]["duration_s"].as_f64().unwrap();
    let coverage = run.report["usage"]["coverage"].as_f64().unwrap_or(0.0);
    let cell = format!("{} / {fault:?}: {:#}", meter.name, run.report);
    let mut words = Vec::new();
    for one in run.report["components"].as_array().unwrap() {
        let (energy, status) = (one["energy_j"].as_f64(), one["status"].as_str().unwrap());
        let shown = energy.map_or("unknown".into(), |energy| format!("{energy:.0} J"));
        words.push(format!("{} {shown} {status}", one["source"].as_str().unwrap()));
        assert!(energy != Some(0.0), "0 because it is unknown: {cell}");
        if one["method"] != "estimate" {
            assert!(energy.is_none_or(|energy| energy < truth + 1.0), "more than was used: {cell}");
        }
        if status == "ok" && one["method"] != "estimate" {
            assert!(fault != Fault::StuckAtStart && fault != Fault::StuckMidway, "{cell}");
        }
    }
    let measured = run.energy_j(0).filter(|_| run.report["components"][0]["method"] != "estimate");
    // A tenth of a second passes until a Cray shows its energy.
    let near = |joules: f64| measured.is_some_and(|energy| (energy - joules).abs() < 1.6);
    match fault {
        Fault::Healthy => assert!(near(truth) && coverage > 0.99, "{cell}"),
        Fault::StuckAtStart => assert!(measured.is_none(), "{cell}"),
        Fault::StuckMidway => assert!(measured.is_some_and(|energy| (95.0..101.0).contains(&energy)), "{cell}"),
        Fault::Absurd | Fault::GoneAndBack => assert!(near(truth), "{cell}"),
        Fault::NotReady => assert!(measured.is_none() || near(truth - FROM * WATTS), "{cell}"),
    }
    if words.is_empty() {
        words.push("unknown, with the reason".into());
        assert!(run.report["unavailable"].as_array().is_some_and(|all| !all.is_empty()), "{cell}");
    }
    format!("{}, {:.0} % covered", words.join(" + "), 100.0 * coverage)
}

#[test]
fn faults_of_a_meter_never_give_a_number_without_a_status() {
    virtually_once(|_| {
        let mut table = String::new();
        for meter in &METERS {
            for fault in FAULTS {
                let cell = judge(meter, fault, &meter.run(fault));
                writeln!(table, "| {} | {fault:?} | {cell} |", meter.name).unwrap();
            }
        }
        println!("{table}");
    });
}
