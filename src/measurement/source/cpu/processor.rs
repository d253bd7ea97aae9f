//! Identifies the processor: its name, its rated power, and the error band of an estimate from that.

use super::load::Draw;
use super::parts::{self, CpuId};
use super::tdp::{self, Model};
use super::utilisation::Utilisation;
use crate::measurement::source::sysfs::number_file;
use crate::os;
use crate::units::ErrorBand;
use std::path::Path;

/// The rated power of all processors that are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerFigure {
    /// The name of the processor for messages and reports.
    pub device: String,
    /// The rated power, W: the TDP or a substitute.
    pub watts: f64,
    /// The shares of the rated power that it draws when idle and when busy.
    pub draw: Draw,
    /// The error band of an estimate from the rated power.
    pub band: ErrorBand,
    /// The basis of the rated power, for a note in the report.
    pub basis: String,
    /// Whether the rated power contains memory.
    pub has_memory: bool,
}

// The bands of known models are from recordings: RAPL on 4 machines, turbostat on 6 bare-metal servers of AWS. The
// other bands are wider, because the load of other programs, the model or the kind of processor is unknown.
/// The error band for a whole machine of a known model.
pub const KNOWN_MODEL_BAND: ErrorBand = ErrorBand { low: 0.4, high: 1.8 };
/// The error band for a part of a machine of a known model.
pub const PART_BAND: ErrorBand = ErrorBand { low: 0.4, high: 2.0 };
/// The error band for an unknown model of a known family.
pub const FAMILY_BAND: ErrorBand = ErrorBand { low: 0.35, high: 2.5 };
/// The error band for an unknown processor.
const UNKNOWN_BAND: ErrorBand = ErrorBand::UNSTATED;
/// The error band for Arm's and POWER's processors.
const ARM_BAND: ErrorBand = ErrorBand { low: 0.4, high: 2.2 };
/// The error band for a small board.
const BOARD_BAND: ErrorBand = ErrorBand { low: 0.5, high: 1.8 };
/// The power of a hardware thread of an unknown processor, W: between a laptop's and a server's.
const W_PER_THREAD: f64 = 3.0;
/// The TDP of a server's package of an unknown model, W.
const SERVER_TDP_W: f64 = 200.0;
/// IBM's POWER: name, power per core in W, usual hardware threads per core. A package has 190 to 300 W and 10 to 22
/// cores.
const POWER_MODELS: [(&str, f64, f64); 3] = [("POWER8", 19.0, 8.0), ("POWER9", 11.5, 4.0), ("POWER1", 20.0, 8.0)];

/// The kernel's description of the machine.
struct MachineInfo {
    cpuinfo: String,
    /// The board's model in the device tree.
    board: Option<String>,
    /// The maker and the product in the firmware.
    machine: String,
    processors: usize,
    cores: usize,
    /// Whether some of the machine's processors are switched off.
    has_offline: bool,
}

/// Identifies the processor and its rated power.
pub fn identify(sysroot: &Path, busy: &Utilisation) -> PowerFigure {
    let text = |file: &str| number_file::text(&sysroot.join(file)).ok();
    let tree = ["proc/device-tree/model", "sys/firmware/devicetree/base/model"];
    let firmware = ["sys_vendor", "product_name"].map(|file| format!("sys/class/dmi/id/{file}"));
    let info = MachineInfo {
        cpuinfo: os::text::read(&sysroot.join("proc/cpuinfo"), os::text::MAX_TABLE_BYTES).unwrap_or_default(),
        board: tree.into_iter().find_map(text).map(|model| model.trim_end_matches(['\0', ' ']).to_owned()),
        machine: firmware.iter().filter_map(|file| text(file)).collect::<Vec<_>>().join(" "),
        processors: busy.processors(),
        cores: busy.cores(),
        has_offline: !busy.is_lxcfs() && present(sysroot).is_some_and(|present| present > busy.processors()),
    };
    info.figure()
}

impl MachineInfo {
    /// The rated power by the first of these ways that applies.
    fn figure(&self) -> PowerFigure {
        let named = self.first("model name").and_then(tdp::find).map(|model| self.of_model(model));
        named
            .or_else(|| self.of_board())
            .or_else(|| self.of_arm())
            .or_else(|| self.of_power())
            .or_else(|| self.of_family())
            .unwrap_or_else(|| self.of_unknown())
    }

    /// The rated power of a model in the table: its TDP times the share of its threads that are shown.
    fn of_model(&self, model: Model) -> PowerFigure {
        let Model { name, tdp_w, .. } = model;
        let packages = distinct(self.all("physical id")).max(1) as f64;
        let shown = self.processors as f64;
        let siblings = self.all("siblings").filter_map(|count| count.parse::<f64>().ok()).fold(0.0, f64::max);
        // A package draws its power for the threads that are on, however many are off.
        let is_whole = self.has_offline && !self.is_virtual();
        let of_package = if siblings > 0.0 && !is_whole { siblings } else { shown / packages };
        // On a whole machine, the kernel shows at least as many processors of a package as the model has cores.
        let is_small = model.cores.is_some_and(|cores| of_package < f64::from(cores));
        let is_part = self.is_virtual() || (is_small && !is_whole);
        let threads = if is_part { model.most_threads().map(f64::from) } else { Some(of_package) };
        let device = self.first("model name").unwrap_or(name).to_owned();
        let draw = if is_unlocked(model) { Draw::UNLOCKED } else { Draw::of_package(tdp_w) };
        let has_memory = false;
        let Some(threads) = threads else {
            // The number of threads that share the package is unknown. The power is at most the package's.
            let found = self.of_family().unwrap_or_else(|| self.of_unknown());
            return PowerFigure { watts: found.watts.min(tdp_w * packages), draw, ..found };
        };
        let watts = tdp_w * shown / threads;
        let whole = (shown / threads).fract() == 0.0 && !is_part;
        if whole {
            let basis = format!("{} × {tdp_w} W TDP of {name}", shown / threads);
            return PowerFigure { device, watts, draw, band: KNOWN_MODEL_BAND, basis, has_memory };
        }
        let basis = if shown > threads {
            format!("{shown} threads of packages of {threads} threads and {tdp_w} W TDP ({name})")
        } else {
            format!("{shown} of the {threads} threads that share the {tdp_w} W TDP of {name}")
        };
        PowerFigure { device, watts, draw, band: PART_BAND, basis, has_memory }
    }

    /// The rated power of a small board in the table.
    fn of_board(&self) -> Option<PowerFigure> {
        let model = self.board.as_deref().or_else(|| self.first("Model"))?;
        let watts = parts::board(model)?;
        let device = model.split(" Rev ").next().unwrap_or(model).to_owned();
        let basis = format!("{watts} W of the chip and its memory with all cores busy on a {device}");
        Some(PowerFigure { device, watts, draw: Draw::BOARD, band: BOARD_BAND, basis, has_memory: true })
    }

    /// The rated power of an Arm processor, which may have cores of several kinds.
    fn of_arm(&self) -> Option<PowerFigure> {
        let implementers: Vec<&str> = self.all("CPU implementer").collect();
        let numbers: Vec<&str> = self.all("CPU part").collect();
        let kinds = implementers.iter().zip(&numbers);
        let parts: Vec<parts::CpuPart> =
            kinds.filter_map(|(of, number)| parts::part(of, number, &self.machine, self.processors)).collect();
        let main = *parts.iter().max_by(|a, b| a.watts.total_cmp(&b.watts))?;
        let each = parts.iter().map(|part| part.watts).sum::<f64>() / parts.len() as f64;
        let watts = each * self.processors as f64;
        let draw = if main.is_small { Draw::BOARD } else { Draw::of_package(watts.max(SERVER_TDP_W)) };
        let band = if main.is_small { PART_BAND } else { ARM_BAND };
        let basis = format!("{} W a core assumed for {} cores of {}", rounded(each), self.processors, main.name);
        let board = self.board.as_deref().unwrap_or(&self.machine);
        let cores = format!("{}, {} cores", main.name, self.processors);
        let device = if board.is_empty() { cores } else { format!("{cores} ({board})") };
        Some(PowerFigure { device, watts, draw, band, basis, has_memory: main.has_memory })
    }

    /// The rated power of IBM's POWER, from a line such as "cpu : POWER9, altivec supported".
    fn of_power(&self) -> Option<PowerFigure> {
        let name = self.first("cpu")?.split([',', ' ']).next()?;
        let (_, each, threads) = POWER_MODELS.into_iter().find(|(begin, ..)| name.starts_with(begin))?;
        let are_cores_known = self.cores < self.processors;
        let cores = if are_cores_known { self.cores as f64 } else { (self.processors as f64 / threads).max(1.0) };
        let basis = format!("{each} W a core assumed for {} cores of {name}", rounded(cores));
        let device = self.first("machine").map_or(name.to_owned(), |machine| format!("{name} ({machine})"));
        let draw = Draw::of_package(SERVER_TDP_W);
        Some(PowerFigure { device, watts: each * cores, draw, band: ARM_BAND, basis, has_memory: false })
    }

    /// The rated power by family, if the name does not contain the model, as in many virtual machines.
    fn of_family(&self) -> Option<PowerFigure> {
        let name = self.first("model name").unwrap_or_default();
        let number = |key: &'static str| self.first(key)?.parse().ok();
        let id = || {
            let (family, model) = (number("cpu family")?, number("model")?);
            Some(CpuId { vendor: self.first("vendor_id")?, family, model, stepping: number("stepping").unwrap_or(0) })
        };
        let (family, each) = parts::family(id(), name)?;
        let device = if name.is_empty() { family.to_owned() } else { name.to_owned() };
        let basis = format!("{each} W assumed for each of {} processors of {family}", self.processors);
        Some(PowerFigure {
            device,
            watts: each * self.processors as f64,
            draw: Draw::of_package(SERVER_TDP_W),
            band: FAMILY_BAND,
            basis,
            has_memory: false,
        })
    }

    fn of_unknown(&self) -> PowerFigure {
        let names = ["model name", "Model Name", "cpu", "uarch", "Hardware", "cpu model"];
        let name = names.into_iter().find_map(|key| self.first(key)).or(self.board.as_deref());
        let each = format!("{W_PER_THREAD} W assumed for each of {} processors", self.processors);
        PowerFigure {
            device: name.filter(|name| !name.is_empty()).unwrap_or("unknown processor").to_owned(),
            watts: W_PER_THREAD * self.processors as f64,
            draw: Draw::of_package(SERVER_TDP_W),
            band: UNKNOWN_BAND,
            basis: format!("{each} (their model is not in the table)"),
            has_memory: false,
        }
    }

    fn is_virtual(&self) -> bool {
        self.first("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"))
    }

    fn first(&self, key: &'static str) -> Option<&str> {
        self.all(key).next()
    }

    /// The values of `key : value` lines in /proc/cpuinfo.
    fn all(&self, key: &'static str) -> impl Iterator<Item = &str> {
        self.cpuinfo.lines().filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim())
        })
    }
}

/// The number of processors of the machine, with those that are switched off; None if it is unknown.
fn present(sysroot: &Path) -> Option<usize> {
    let list = number_file::text(&sysroot.join("sys/devices/system/cpu/present")).ok()?;
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)
    };
    list.trim().split(',').try_fold(0usize, |sum, range| sum.checked_add(count(range)?))
}

/// Whether a model is an unlocked desktop processor: Intel's of 2021 and later (12th generation, Core Ultra 200) with K
/// in the number.
fn is_unlocked(model: Model) -> bool {
    let number = model.name.rsplit([' ', '-']).next().unwrap_or_default();
    let suffix = number.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_new = ["intel core i5-1", "intel core i7-1", "intel core i9-1", "intel core ultra"];
    matches!(suffix, "k" | "kf" | "ks") && model.tdp_w >= 125.0 && is_new.iter().any(|new| model.name.starts_with(new))
}

fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> usize {
    let mut values: Vec<&str> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
#[path = "processor/tests.rs"]
mod tests;
