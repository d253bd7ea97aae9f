//! Which GPUs are this job's: by the option `devices`, or by the variables of the vendors' runtimes, of containers and
//! of schedulers. Each variable is read by the rules of its own program. No selection is ever widened.
//!
//! The variables belong to other programs, so no value of theirs is an error here. A value that cannot be read makes
//! the GPUs of its vendor unavailable, with the reason. `devices` is an option of this library: a bad value is refused.
//!
//! The rules are in `nvidia.rs`, `amd.rs`, `level_zero.rs` and `sycl.rs`, and in `node.rs` for containers and SLURM.

mod amd;
mod level_zero;
mod list;
mod masks;
mod node;
mod nvidia;
mod sycl;
mod words;

use crate::error::Result;
use list::List;
pub use list::Picked;
use masks::Masks;
pub use masks::PickedCard;
pub use words::assignment;
use words::is_given;

/// The variables that choose GPUs, and those that change how another variable is read.
pub const VARIABLES: [&str; 13] = [
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK",
    "ZE_FLAT_DEVICE_HIERARCHY",
    "ZE_ENABLE_PCI_ID_DEVICE_ORDER",
    "ONEAPI_DEVICE_SELECTOR",
    "SYCL_DEVICE_FILTER",
    "SLURM_STEP_GPUS",
    "SLURM_JOB_GPUS",
];
/// SLURM's variables, in order of priority. They number the GPUs of the node (sbatch(1)).
const SLURM_VARIABLES: [&str; 2] = ["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"];

/// Looks up an environment variable.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The vendor of a GPU, and with it the runtime whose variables count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// CUDA_VISIBLE_DEVICES, else NVIDIA_VISIBLE_DEVICES, else SLURM's.
    Nvidia,
    /// ROCR_VISIBLE_DEVICES, then HIP_VISIBLE_DEVICES or else CUDA_VISIBLE_DEVICES picks from those; else
    /// GPU_DEVICE_ORDINAL, else SLURM's.
    Amd,
    /// ZE_AFFINITY_MASK, else SLURM's. ONEAPI_DEVICE_SELECTOR, else SYCL_DEVICE_FILTER, picks from those.
    Intel,
}

/// Which GPUs of each vendor count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus {
    /// NVIDIA's GPUs.
    pub nvidia: Selection,
    /// AMD's GPUs.
    pub amd: Selection,
    /// Intel's GPUs.
    pub intel: Selection,
}

impl Gpus {
    /// Reads `devices` and, if that is `visible`, the environment. `called` is the name under which the user set
    /// `devices`, for messages. Fails if `devices` cannot be read.
    pub fn new(called: &str, devices: &str, environment: Environment) -> Result<Gpus> {
        let of = |vendor| Selection::new(vendor, (called, devices), environment);
        Ok(Gpus { nvidia: of(Vendor::Nvidia)?, amd: of(Vendor::Amd)?, intel: of(Vendor::Intel)? })
    }
}

/// Why no GPU of a vendor counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The reason, for the user.
    pub reason: String,
    /// The fix, for the user. None: this is no mistake.
    pub cure: Option<String>,
}

/// Which GPUs of one vendor count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Lists of GPUs. Each picks from what the lists before it left.
    lists: Vec<List>,
    /// Masks that pick tiles from what the lists left.
    masks: Option<Masks>,
    absence: Option<Absence>,
    /// Whether only GPUs count on which this process runs.
    pub process: bool,
    /// Whether CUDA numbers the fastest GPU first, so that its numbers may not be the driver's.
    pub fastest_first: bool,
}

impl Selection {
    /// Reads the selection of one vendor's GPUs. `called` is the name under which the user set `devices`. Fails if
    /// `devices` cannot be read.
    pub fn new(vendor: Vendor, (called, devices): (&str, &str), environment: Environment) -> Result<Selection> {
        let mut selection = Selection { process: devices == "process", ..Selection::default() };
        match devices {
            "all" | "process" => (),
            "visible" => selection.take_environment(vendor, environment),
            list => selection.lists.push(list::of_option(called, list)?),
        }
        Ok(selection)
    }

    fn take_environment(&mut self, vendor: Vendor, environment: Environment) {
        match vendor {
            Vendor::Nvidia => self.take_cuda(environment),
            Vendor::Amd => self.take_rocm(environment),
            Vendor::Intel => self.take_level_zero(environment),
        }
        let stated = self.lists.iter().find_map(List::absence);
        self.absence = self.absence.take().or(stated);
    }

    fn take_cuda(&mut self, environment: Environment) {
        if let Some(value) = environment("CUDA_VISIBLE_DEVICES") {
            self.fastest_first = environment("CUDA_DEVICE_ORDER").is_none_or(|order| order.trim() != "PCI_BUS_ID");
            self.lists.push(nvidia::cuda("CUDA_VISIBLE_DEVICES", &value));
        } else if let Some(value) = environment("NVIDIA_VISIBLE_DEVICES").filter(|value| node::chooses(value)) {
            self.take(node::list("NVIDIA_VISIBLE_DEVICES", &value));
        } else {
            self.take_slurm(environment);
        }
    }

    fn take_rocm(&mut self, environment: Environment) {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| Some((*name, environment(name).filter(|value| is_given(value))?)))
        };
        let rocr = environment("ROCR_VISIBLE_DEVICES");
        self.lists.extend(rocr.map(|value| amd::rocr("ROCR_VISIBLE_DEVICES", &value)));
        // HIP treats an empty value as unset.
        let hip = first(&["HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"]);
        self.lists.extend(hip.map(|(name, value)| amd::hip(name, &value)));
        if self.lists.is_empty() {
            let ordinal = first(&["GPU_DEVICE_ORDINAL"]);
            self.lists.extend(ordinal.map(|(name, value)| amd::hip(name, &value)));
        }
        if self.lists.is_empty() {
            self.take_slurm(environment);
        }
    }

    fn take_level_zero(&mut self, environment: Environment) {
        let mask = environment("ZE_AFFINITY_MASK").filter(|value| is_given(value) && value.trim() != "default");
        if mask.is_none() {
            self.take_slurm(environment);
        }
        let flat = level_zero::is_flat(environment);
        let by_bus = level_zero::is_ordered_by_bus(environment);
        let affinity = mask.as_deref().map(level_zero::affinity_mask).transpose();
        match affinity.and_then(|affinity| Ok((affinity, sycl::mask(environment)?))) {
            Ok((None, None)) => self.masks = None,
            Ok((affinity, sycl)) => {
                self.masks = Some(Masks { flat, by_bus, masks: affinity.into_iter().chain(sycl).collect() });
            }
            Err(absence) => self.absence = Some(absence),
        }
    }

    fn take_slurm(&mut self, environment: Environment) {
        let given = |name: &&'static str| Some((*name, environment(name).filter(|value| node::chooses(value))?));
        if let Some((name, value)) = SLURM_VARIABLES.iter().find_map(given) {
            self.take(node::list(name, &value));
        }
    }

    fn take(&mut self, list: std::result::Result<Option<List>, Absence>) {
        match list {
            Ok(list) => self.lists.extend(list),
            Err(absence) => self.absence = Some(absence),
        }
    }

    /// Why this job has no GPU, if the selection alone shows it.
    pub fn none(&self) -> Option<&Absence> {
        self.absence.as_ref()
    }

    /// Whether GPUs are selected by number.
    pub fn has_indices(&self) -> bool {
        self.lists.iter().any(List::has_indices)
    }

    /// Whether integrated graphics keep their place on the bus, and do not follow all cards.
    pub fn orders_by_bus(&self) -> bool {
        self.masks.as_ref().is_some_and(|masks| masks.by_bus)
    }

    /// Whether devices are selected by masks.
    pub fn has_masks(&self) -> bool {
        self.masks.is_some()
    }

    /// Whether some GPUs of the machine may not count.
    pub fn is_narrowed(&self) -> bool {
        self.process || self.absence.is_some() || self.masks.is_some() || !self.lists.is_empty()
    }

    /// Picks from GPUs with these identifiers, in the driver's order. Also returns messages about GPUs that do not
    /// exist.
    pub fn pick(&self, offered: &[Vec<String>]) -> (Vec<Picked>, Vec<String>) {
        let mut missing = Vec::new();
        if self.absence.is_some() {
            return (Vec::new(), missing);
        }
        let mut picked: Vec<Picked> = (0..offered.len()).map(Picked::whole).collect();
        let mut previous: Option<&List> = None;
        for list in &self.lists {
            picked = list.pick(picked, offered, previous, &mut missing);
            previous = Some(list);
        }
        picked.sort_by_key(|one| one.index);
        (picked, missing)
    }

    /// Picks from cards, each with its identifiers and its number of tiles, in the runtime's order. Also returns
    /// messages about GPUs that do not exist.
    pub fn pick_tiles(&self, offered: &[(Vec<String>, usize)]) -> (Vec<PickedCard>, Vec<String>) {
        let ids: Vec<Vec<String>> = offered.iter().map(|(ids, _)| ids.clone()).collect();
        let (picked, mut missing) = self.pick(&ids);
        let whole = |one: &Picked| PickedCard {
            index: one.index,
            tiles: (0..offered.get(one.index).map_or(1, |(_, tiles)| (*tiles).max(1))).collect(),
        };
        let cards = picked.iter().map(whole).collect();
        match &self.masks {
            Some(masks) => (masks.pick(cards, &mut missing), missing),
            None => (cards, missing),
        }
    }
}

#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;
