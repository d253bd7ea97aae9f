//! The chips that meter a processor, memory or the whole machine: one entry for each driver, one row for each label.
//! A new chip is a new entry. Each entry names the document of its labels and units.
//!
//! For each kind of component only the first entry that answers counts, because two drivers may read the same meter.
//!
//! Left out on purpose: `scmi_sensors` (the firmware chooses the labels), `zenpower` (its README calls its formula
//! uncertain), `occ` and PMBus power supplies (`pin`: they run on a service processor, or supply several machines).

use super::monitor::{Monitor, MonitorFiles};
use crate::measurement::channel::DeviceKind;

/// The meters of a driver.
pub struct Chip {
    /// The names that a monitor of this driver may have.
    pub names: &'static [&'static str],
    /// The first part of a meter's device name. The label is the second part.
    pub maker: &'static str,
    /// The files with its numbers and labels.
    pub files: MonitorFiles,
    /// The largest power that is accepted, W. None: the bound of the kind of component.
    pub max_watts: Option<f64>,
    /// Whether the entry applies to a monitor with one of the names.
    pub applies: fn(&Monitor) -> bool,
    /// Whether several of its meters show the same energy.
    pub repeats: Repeats,
    /// The labels that count. The first row that fits a label applies.
    pub rows: &'static [ChipRow],
}

/// Whether several meters of a chip show the same energy.
#[derive(Clone, Copy, PartialEq)]
pub enum Repeats {
    /// Each meter shows its own energy.
    No,
    /// All meters show the same whole, so the first that answers counts.
    Whole,
    /// Each NUMA node has a meter, and all nodes of a package show the whole package.
    Package,
}

/// The meaning of a label.
pub struct ChipRow {
    /// The labels that the row applies to.
    pub label: Label,
    /// The kind of component that the meter measures.
    pub kind: DeviceKind,
    /// A note for the reader of the report; may be empty.
    pub note: &'static str,
    /// The label of the meter that contains this one. If it exists, this one is left out. `#` is the number in the
    /// label.
    pub part_of: Option<&'static str>,
    /// Whether the power may be 0 for seconds.
    pub may_rest: bool,
    /// Whether its energy contains the memory's.
    pub has_memory: bool,
}

/// A set of labels, in lower case.
pub enum Label {
    /// Any label, also an empty one.
    Any,
    /// These labels, where `#` is a number.
    Is(&'static [&'static str]),
    /// All labels that contain these words.
    Words(&'static [&'static str]),
}

impl Label {
    /// The number in a label that fits, or "" if it contains none. None if the label, in lower case, does not fit.
    pub fn fit(&self, label: &str) -> Option<String> {
        match self {
            Label::Any => Some(String::new()),
            Label::Is(patterns) => patterns.iter().find_map(|pattern| number(pattern, label)),
            Label::Words(words) => {
                let has = |word: &&str| label.split(['_', '-', ' ']).any(|part| part == *word);
                (words.iter().all(has) && !has(&"fan")).then(String::new)
            }
        }
    }
}

/// The digits of the label in place of `#`, or "" if the pattern has no `#`. None if the label does not fit.
fn number(pattern: &str, label: &str) -> Option<String> {
    let Some((head, tail)) = pattern.split_once('#') else { return (pattern == label).then(String::new) };
    let digits = label.strip_prefix(head)?.strip_suffix(tail)?.trim();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.to_owned())
}

const PACKAGE: &str = "the whole package";
const MACHINE: &str = "the whole machine";

const fn row(label: Label, kind: DeviceKind, note: &'static str) -> ChipRow {
    ChipRow { label, kind, note, part_of: None, may_rest: false, has_memory: false }
}

/// A rail of a board, which may be switched off.
const fn rail(words: &'static [&'static str], kind: DeviceKind, note: &'static str) -> ChipRow {
    ChipRow { may_rest: true, ..row(Label::Words(words), kind, note) }
}

/// The defaults of an entry.
const CHIP: Chip = Chip {
    names: &[],
    maker: "",
    files: MonitorFiles::Labelled,
    max_watts: None,
    applies: |_| true,
    repeats: Repeats::No,
    rows: &[],
};

/// All chips in order of preference.
pub const CHIPS: [Chip; 12] = [
    // Documentation/hwmon/acpi_power_meter.rst and ACPI 6.5, 10.4: a meter of all devices that `measures` links to;
    // \_SB is LNXSYBUS. Several meters of the whole machine repeat each other.
    Chip {
        names: &["power_meter"],
        maker: "ACPI power meter",
        files: MonitorFiles::Single(&["power1_average", "power1_input"], "power1_oem_info"),
        applies: is_of_the_machine,
        repeats: Repeats::Whole,
        rows: &[row(Label::Any, DeviceKind::Node, MACHINE)],
        ..CHIP
    },
    // The ACPI driver on NVIDIA's Grace, with the label in `power1_oem_info`. NVIDIA Grace Performance Tuning Guide,
    // "Power Telemetry": the module ⊃ the Grace socket ⊃ the rails of its cores and of its system I/O.
    Chip {
        names: &["power_meter"],
        maker: "NVIDIA",
        files: MonitorFiles::Single(&["power1_average"], "power1_oem_info"),
        rows: &[
            ChipRow {
                has_memory: true,
                ..row(
                    Label::Is(&["grace power socket #"]),
                    DeviceKind::Cpu,
                    "the whole socket: cores, system I/O and memory",
                )
            },
            ChipRow {
                part_of: Some("grace power socket #"),
                ..row(
                    Label::Is(&["cpu power socket #"]),
                    DeviceKind::Cpu,
                    "the cores' rail alone: this machine does not meter the socket",
                )
            },
            row(
                Label::Is(&["module power socket #"]),
                DeviceKind::Node,
                "the whole module: processor, GPU and their memory",
            ),
        ],
        ..CHIP
    },
    // Documentation/hwmon/corsair-psu.rst: power1, "power total", contains the three rails.
    Chip {
        names: &["corsairpsu"],
        maker: "Corsair power supply",
        rows: &[row(Label::Is(&["power total"]), DeviceKind::Node, "the power supply's total: the whole machine")],
        ..CHIP
    },
    // Documentation/hwmon/macsmc-hwmon.rst and hwmon-common.dtsi: PSTR contains the 3.8 V rail; the AC input, PDTR,
    // also charges the battery. The driver's largest value is 2147 W.
    Chip {
        names: &["macsmc_hwmon"],
        maker: "Apple",
        max_watts: Some(2000.0),
        rows: &[row(Label::Is(&["total system power"]), DeviceKind::Node, MACHINE)],
        ..CHIP
    },
    // Documentation/hwmon/ibmpowernv.rst; the labels are skiboot's, hw/occ-sensor.c: System ⊃ Chip # ⊃ its Vdd (cores)
    // and Vdn (nest), with memory apart. GPUs have no row, because one meter shows all cards of a socket.
    Chip {
        names: &["ibmpowernv"],
        maker: "POWER",
        rows: &[
            row(Label::Is(&["chip #"]), DeviceKind::Cpu, PACKAGE),
            ChipRow {
                part_of: Some("chip #"),
                ..row(
                    Label::Is(&["chip # vdd"]),
                    DeviceKind::Cpu,
                    "the cores' rail: this machine does not meter the chip",
                )
            },
            ChipRow {
                part_of: Some("chip #"),
                ..row(
                    Label::Is(&["chip # vdn"]),
                    DeviceKind::Cpu,
                    "the nest's rail: this machine does not meter the chip",
                )
            },
            row(Label::Is(&["chip # memory"]), DeviceKind::Dram, ""),
            row(Label::Is(&["system"]), DeviceKind::Node, MACHINE),
        ],
        ..CHIP
    },
    // Documentation/hwmon/xgene-hwmon.rst (X-Gene, eMAG, Altra): two parts of a socket, which add up.
    Chip {
        names: &["apm_xgene"],
        maker: "Ampere",
        rows: &[
            row(Label::Is(&["cpu power"]), DeviceKind::Cpu, "the cores; the rest of the socket is the I/O power"),
            row(
                Label::Is(&["io power"]),
                DeviceKind::Cpu,
                "the socket without its cores: mesh, memory controllers, I/O",
            ),
        ],
        ..CHIP
    },
    // Documentation/hwmon/amd_energy.rst: Esocket# ⊃ Ecore###. The driver has one Esocket for each NUMA node, and each
    // reads its package's counter. zenergy is that driver with files that any user may read.
    Chip {
        names: &["amd_energy", "zenergy"],
        maker: "AMD",
        repeats: Repeats::Package,
        rows: &[row(Label::Is(&["esocket#"]), DeviceKind::Cpu, PACKAGE)],
        ..CHIP
    },
    // Documentation/arch/x86/amd_hsmp.rst: the socket's power, one monitor for each socket.
    Chip {
        names: &["amd_hsmp_hwmon"],
        maker: "AMD socket",
        files: MonitorFiles::Single(&["power1_input"], "power1_label"),
        rows: &[row(Label::Any, DeviceKind::Cpu, PACKAGE)],
        ..CHIP
    },
    // Documentation/hwmon/fam15h_power.rst: CurrPwrWatts, of the entire package. power1_average is that of the cores
    // alone.
    Chip {
        names: &["fam15h_power"],
        maker: "AMD package",
        files: MonitorFiles::Single(&["power1_input"], "power1_label"),
        rows: &[row(Label::Any, DeviceKind::Cpu, PACKAGE)],
        ..CHIP
    },
    // Documentation/hwmon/ina238.rst and ina2xx.rst: one rail each. Jetson Thor's carrier board has one at its input.
    Chip {
        names: &[
            "ina238", "ina237", "ina228", "ina780", "sq52206", "ina226", "ina219", "ina220", "ina230", "ina231",
            "ina260",
        ],
        maker: "board",
        files: MonitorFiles::Rails(1),
        max_watts: Some(MAX_BOARD_W),
        rows: &[row(INPUT, DeviceKind::Node, "the whole board, at its input")],
        ..CHIP
    },
    // Documentation/hwmon/ina3221.rst and NVIDIA Jetson Linux Developer Guide, "Power Monitors": three rails each.
    // VDD_IN (POM_5V_IN on the Nano) is the module, and VDD_MUX on the TX is the board around it. AGX Xavier, AGX Orin
    // and Thor meter parts only: VIN_SYS_5V0 is the part of the 5 V peripherals.
    Chip { files: MonitorFiles::Rails(3), names: &["ina3221"], ..JETSON },
    // Jetson's rails up to JetPack 4, in mW.
    Chip { files: MonitorFiles::Iio, names: &["ina3221x"], ..JETSON },
];

/// The most power of a board with one module, W.
const MAX_BOARD_W: f64 = 1000.0;

/// The rail at the input of a board or module.
const INPUT: Label = Label::Is(&["vin", "vdd_in", "5v_in", "pom_5v_in"]);

/// Jetson's rails by the parts that they supply. The rest of the chip (VDD_SOC, CV) is no kind of component.
const JETSON: Chip = Chip {
    maker: "Jetson",
    max_watts: Some(MAX_BOARD_W),
    rows: &[
        row(INPUT, DeviceKind::Node, "the whole module"),
        rail(&["cpu", "gpu"], DeviceKind::Cpu, "one rail feeds processor and GPU: both are counted here"),
        rail(&["cpu", "soc"], DeviceKind::Cpu, "the rail also feeds the rest of the chip"),
        rail(&["cpu", "cv"], DeviceKind::Cpu, "the rail also feeds the vision accelerators"),
        rail(&["cpu"], DeviceKind::Cpu, ""),
        rail(&["gpu", "soc"], DeviceKind::Gpu, "the rail also feeds the rest of the chip"),
        rail(&["gpu"], DeviceKind::Gpu, ""),
        rail(&["ddr"], DeviceKind::Dram, ""),
        ChipRow { may_rest: true, ..row(Label::Is(&["vdd_mux"]), DeviceKind::Node, "the board beside the module") },
    ],
    ..CHIP
};

/// Whether an ACPI meter shows the whole machine, and not a part of a socket, a battery or single devices.
fn is_of_the_machine(monitor: &Monitor) -> bool {
    let label = monitor.text("power1_oem_info").unwrap_or_default().to_ascii_lowercase();
    let devices = monitor.entries("measures");
    let is_whole = |name: &String| name.starts_with("LNXSYBUS") || name.starts_with("LNXSYSTM");
    !label.contains(" power socket ")
        && monitor.text("power1_is_battery").as_deref() != Some("1")
        && (devices.is_empty() || devices.iter().any(is_whole))
}
