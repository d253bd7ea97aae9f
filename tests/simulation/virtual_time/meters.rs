//! Whole runs with meters that stop, show absurd values or contradict themselves. An unknown energy is never 0, another
//! source replaces the meter if there is one, and the report has the reason.

use crate::fake_machine::{Machine, number};
use crate::virtually;
use std::fs;

const PACKAGE: [(&str, &str); 3] = [
    ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
    ("sys/class/powercap/intel-rapl:0/energy_uj", "123456789\n"),
    ("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n"),
];
const ENERGY: &str = "sys/class/powercap/intel-rapl:0/energy_uj";

#[test]
fn estimate_replaces_a_package_that_never_counts() {
    virtually(|_| {
        for first in ["123456789\n", "0\n"] {
            let machine = Machine::new("frozen", &PACKAGE);
            machine.write(ENERGY, first);
            let run = machine.run(8, "components=cpu");
            assert_eq!(run.components(), ["cpu cpu_model estimate ok"], "{:#}", run.report);
            assert!(run.energy_j(0).unwrap() > 0.1, "{:#}", run.report);
            assert!(run.report["usage"]["coverage"].as_f64().unwrap() > 0.3, "{:#}", run.report);
            assert!(run.reasons().contains("its counter stands still; cpu_model stands in"), "{}", run.reasons());
            assert!(
                run.messages.contains("shows no sign of life") && run.messages.contains("stands in for rapl package-0")
            );
            let total: f64 = (0..8).map(|n| run.report["epochs"][n]["energy_j"].as_f64().unwrap()).sum();
            assert!(
                (total - run.energy_j(0).unwrap()).abs() < 0.1 * total,
                "the first epochs are filled in: {:#}",
                run.report
            );
        }
    });
}

/// The run ends before the counter is taken to have stopped.
#[test]
fn short_run_with_a_counter_that_never_moves_is_unknown() {
    virtually(|_| {
        let run = Machine::new("short", &PACKAGE).run(2, "components=cpu");
        assert_eq!((run.components(), run.energy_j(0)), (vec!["cpu rapl counter stalled".to_owned()], None));
        assert!(
            run.note(0).contains("its counter has not moved yet") && run.note(0).contains("Fix: "),
            "{}",
            run.note(0)
        );
        assert_eq!(run.report["usage"]["coverage"].as_f64(), Some(0.0));
    });
}

#[test]
fn package_that_stops_counting_keeps_its_energy() {
    virtually(|_| {
        let machine = Machine::new("midway", &PACKAGE)
            .moving(vec![number(ENERGY, |at| 5_000_000_000 + (100e6 * at.min(1.2)) as u64)]);
        let run = machine.run(12, "components=cpu");
        assert_eq!(run.components(), ["cpu rapl counter stalled", "cpu cpu_model estimate ok"]);
        let counted = run.energy_j(0).unwrap();
        assert!((counted - 120.0).abs() < 1.0, "{counted}");
        assert!(run.note(0).contains("cpu_model stands in for it"), "{}", run.note(0));
        assert!(run.energy_j(1).unwrap() > 0.1);
        assert!((0..12).all(|n| run.report["epochs"][n]["coverage"].as_f64().unwrap() > 0.9), "{:#}", run.report);
        assert!(run.report["usage"]["coverage"].as_f64().unwrap() > 0.3, "{:#}", run.report);
        assert!((0..12).all(|n| run.report["epochs"][n]["energy_j"].as_f64().unwrap() > 0.1), "{:#}", run.report);
    });
}

/// Memory is estimated too, because it has no meter.
#[test]
fn package_that_counts_again_replaces_its_estimate() {
    virtually(|_| {
        let at = |at: f64| 5_000_000_000 + (100e6 * if at < 5.0 { at.min(1.0) } else { at - 4.0 }) as u64;
        let machine = Machine::new("back", &PACKAGE).moving(vec![number(ENERGY, at)]);
        machine.write("proc/meminfo", "MemTotal:       100000000 kB\n");
        let run = machine.run(16, "components=cpu,dram");
        let components = run.components();
        assert_eq!(components[..2], ["cpu rapl counter gap", "cpu cpu_model estimate ok"], "{:#}", run.report);
        assert!(components.contains(&"dram memory_model estimate ok".to_owned()), "{components:?}");
        let counted = run.energy_j(0).unwrap();
        assert!((389.0..400.5).contains(&counted), "1 s and 3 s at 100 W, less a reading: {counted}");
        assert!(run.messages.contains("shows signs of life again and counts from now on"), "{}", run.messages);
        assert!(run.report["usage"]["coverage"].as_f64().unwrap() > 0.3, "{:#}", run.report);
    });
}

#[test]
fn memory_counter_that_stops_is_unknown_beside_a_package_that_counts() {
    virtually(|_| {
        let dram = "sys/class/powercap/intel-rapl:0:0";
        let machine = Machine::new("dram", &PACKAGE).moving(vec![number(ENERGY, |at| (50e6 * at) as u64)]);
        machine.write(&format!("{dram}/name"), "dram\n");
        machine.write(&format!("{dram}/energy_uj"), "77\n");
        let run = machine.run(8, "components=cpu,dram");
        let components = run.components();
        assert_eq!(components[0], "cpu rapl counter ok");
        assert!(!components.contains(&"dram rapl counter ok".to_owned()), "{components:?}");
        assert!(
            run.messages.contains("rapl package-0 dram (intel-rapl:0:0) shows no sign of life"),
            "{}",
            run.messages
        );
    });
}

#[test]
fn memory_is_estimated_beside_an_estimated_processor() {
    virtually(|_| {
        let dram = "sys/class/powercap/intel-rapl:0:0";
        let machine = Machine::new("both", &PACKAGE);
        machine.write(&format!("{dram}/name"), "dram\n");
        machine.write(&format!("{dram}/energy_uj"), "77\n");
        machine.write("proc/meminfo", "MemTotal:       100000000 kB\n");
        let run = machine.run(8, "components=cpu,dram");
        assert_eq!(
            run.components(),
            ["cpu cpu_model estimate ok", "dram memory_model estimate ok"],
            "{:#}",
            run.report
        );
        assert!(run.report["usage"]["coverage"].as_f64().unwrap() > 0.3, "{:#}", run.report);
    });
}

#[test]
fn estimate_remains_beside_a_platform_that_does_not_count() {
    virtually(|_| {
        let zone = "sys/class/powercap/intel-rapl:1";
        let machine = Machine::new("psys", &[]);
        machine.write(&format!("{zone}/name"), "psys\n");
        machine.write(&format!("{zone}/energy_uj"), "77\n");
        let run = machine.run(8, "components=cpu,dram,node");
        assert!(run.components().contains(&"cpu cpu_model estimate ok".to_owned()), "{:#}", run.report);
        assert!(run.reasons().contains("its counter stands still; cpu_model stands in"), "{}", run.reasons());
    });
}

const CARD: &str = "sys/class/drm/card0/device";

fn card(name: &str, power: &str) -> Machine {
    let machine = Machine::new(name, &[]);
    machine.write(&format!("{CARD}/vendor"), "0x1002\n");
    machine.write(&format!("{CARD}/hwmon/hwmon1/name"), "amdgpu\n");
    machine.write(&format!("{CARD}/hwmon/hwmon1/power1_average"), power);
    machine.write(&format!("{CARD}/hwmon/hwmon1/energy1_input"), "1004000\n");
    machine
}
const CARD_ENERGY: &str = "sys/class/drm/card0/device/hwmon/hwmon1/energy1_input";
const CARD_POWER: &str = "sys/class/drm/card0/device/hwmon/hwmon1/power1_average";

#[test]
fn power_of_a_card_replaces_its_counter() {
    virtually(|_| {
        let run = card("card", "300000000\n").run(4, "components=gpu");
        assert_eq!(run.components(), ["gpu amdgpu power ok"], "{:#}", run.report);
        let used = 300.0 * run.report["usage"]["duration_s"].as_f64().unwrap();
        assert!((run.energy_j(0).unwrap() / used - 1.0).abs() < 1e-3, "{:#}", run.report);
        assert!(run.note(0).contains("its counter did not move for"), "{}", run.note(0));
        assert!(run.messages.contains("that power is integrated instead"), "{}", run.messages);
        let machine = card("card-midway", "300000000\n")
            .moving(vec![number(CARD_ENERGY, |at| 5_000_000 + (300e6 * at.min(1.0)) as u64)]);
        let run = machine.run(4, "components=gpu");
        let used = 300.0 * run.report["usage"]["duration_s"].as_f64().unwrap();
        // The counter stops between two readings 0.1 s apart. Only it knows the energy until the second.
        let lost = used - run.energy_j(0).unwrap();
        assert!((0.0..30.1).contains(&lost), "{lost} J of {:#}", run.report);
    });
}

#[test]
fn counter_that_contradicts_its_power_is_reported() {
    virtually(|_| {
        let machine =
            card("odds", "300000000\n").moving(vec![number(CARD_ENERGY, |at| 5_000_000 + (171e6 * at) as u64)]);
        let run = machine.run(28, "components=gpu");
        assert!(run.note(0).contains("its counter counts 57 % of the power"), "{}", run.note(0));
        assert!(run.messages.contains("disagrees with itself"), "{}", run.messages);
    });
}

#[test]
fn power_that_is_absurd_or_0_adds_no_energy() {
    virtually(|_| {
        let machine = card("absurd", "300000000\n").moving(vec![number(CARD_POWER, |at| match at {
            at if at < 0.9 => 300_000_000,
            at if at < 1.6 => 4_294_967_295_000,
            at if at < 2.3 => 0,
            _ => 300_000_000,
        })]);
        fs::remove_file(machine.root.join(CARD_ENERGY)).unwrap();
        let run = machine.run(6, "components=gpu");
        let used = 300.0 * run.report["usage"]["duration_s"].as_f64().unwrap();
        assert!(run.energy_j(0).unwrap() <= used * 1.02, "{:#}", run.report);
        assert!(run.report["usage"]["coverage"].as_f64().unwrap() < 0.8, "{:#}", run.report);
    });
}
