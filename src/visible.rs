//! Which GPUs are this job's: by `devices`, or by the variables of the vendors' runtimes, containers and
//! SLURM. Pure; a list that cannot be read is refused by name, never widened to every GPU.
//!
//! NVIDIA: CUDA programming guide, "CUDA environment variables", and the container toolkit's
//! NVIDIA_VISIBLE_DEVICES. AMD: ROCm, "GPU isolation techniques". Intel: Level Zero, ZE_AFFINITY_MASK.
//! SLURM: sbatch(1), SLURM_STEP_GPUS and SLURM_JOB_GPUS, which number the node's GPUs.

use crate::error::{Error, Result};

/// Whose GPUs, for whose runtime's variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// CUDA_VISIBLE_DEVICES, else NVIDIA_VISIBLE_DEVICES, else SLURM's.
    Nvidia,
    /// ROCR_VISIBLE_DEVICES, and of those HIP_VISIBLE_DEVICES; else SLURM's.
    Amd,
    /// ZE_AFFINITY_MASK, else SLURM's.
    Intel,
}

/// Which GPUs count, vendor by vendor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus {
    /// NVIDIA's.
    pub nvidia: Selection,
    /// AMD's.
    pub amd: Selection,
    /// Intel's.
    pub intel: Selection,
}

impl Gpus {
    /// The GPUs that `devices` and the environment choose; `called` is the name by which the user set `devices`.
    pub fn new(called: &str, devices: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Gpus> {
        let of = |vendor| Selection::new(vendor, (called, devices), environment);
        Ok(Gpus { nvidia: of(Vendor::Nvidia)?, amd: of(Vendor::Amd)?, intel: of(Vendor::Intel)? })
    }
}

/// Which GPUs of one vendor count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Each picks from what those before it left.
    lists: Vec<List>,
    /// Only those on which this process runs.
    pub process: bool,
    /// Indices may not be the driver's: CUDA puts the fastest GPU first unless told otherwise.
    pub fastest_first: bool,
}

/// A list of GPUs and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List {
    said_by: String,
    entries: Vec<Entry>,
    /// The runtime's own rule: what follows an entry that is not there is not seen either.
    ends_at_unknown: bool,
    /// Indices are the node's; in a container that shows fewer, all shown are meant.
    of_node: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Index(usize),
    /// The beginning of an identifier, and how it was written.
    Id {
        begins: String,
        written: String,
    },
}

/// A GPU picked, by its place among those offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Its place.
    pub place: usize,
    /// The identifiers it was asked for by: several where it is asked for in parts.
    pub ids: Vec<String>,
}

impl Selection {
    /// A vendor's GPUs that `devices` and the environment choose; `called` is the name by which the user set `devices`.
    pub fn new(
        vendor: Vendor,
        (called, devices): (&str, &str),
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Selection> {
        let mut selection = Selection { lists: Vec::new(), process: devices == "process", fastest_first: false };
        match devices {
            "all" | "process" => (),
            "visible" => selection.take_environment(vendor, environment)?,
            list => selection.lists.extend(List::parse(called, list, false)?),
        }
        Ok(selection)
    }

    fn take_environment(&mut self, vendor: Vendor, environment: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let own: &[&'static str] = match vendor {
            Vendor::Nvidia => &["CUDA_VISIBLE_DEVICES"],
            Vendor::Amd => &["ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"],
            Vendor::Intel => &["ZE_AFFINITY_MASK"],
        };
        let of_node: &[&'static str] = match vendor {
            Vendor::Nvidia => &["NVIDIA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"],
            _ => &["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"],
        };
        let given = |name: &&'static str| environment(name).map(|value| (*name, value));
        for (name, value) in own.iter().filter_map(given) {
            self.fastest_first = vendor == Vendor::Nvidia
                && environment("CUDA_DEVICE_ORDER").is_none_or(|order| order.trim() != "PCI_BUS_ID");
            self.lists.extend(List::parse(name, &value, true)?);
        }
        if own.iter().any(|name| environment(name).is_some()) {
            return Ok(());
        }
        // Set but empty, these say nothing, where CUDA_VISIBLE_DEVICES set and empty says: none. Nor do the words by
        // which a container's own runtime is told of devices it hands in itself: the driver shows just those.
        let is_said = |(_, value): &(&'static str, String)| {
            let value = value.trim();
            !(value.is_empty() || value == "void" || value.starts_with('/') || value.contains("nvidia.com/"))
        };
        if let Some((name, value)) = of_node.iter().filter_map(given).find(is_said) {
            let list = List::parse(name, &value, true)?;
            self.lists.extend(list.map(|list| List { of_node: true, ends_at_unknown: false, ..list }));
        }
        Ok(())
    }

    /// Who says that there is no GPU for this job, if somebody does.
    pub fn none_by(&self) -> Option<&str> {
        self.lists.iter().find(|list| list.entries.is_empty()).map(|list| list.said_by.as_str())
    }

    /// Whether GPUs are asked for by number.
    pub fn has_indices(&self) -> bool {
        self.lists.iter().flat_map(|list| &list.entries).any(|entry| matches!(entry, Entry::Index(_)))
    }

    /// Picks from GPUs with these identifiers, in the driver's order; and says what is not there.
    pub fn pick(&self, offered: &[Vec<String>]) -> (Vec<Picked>, Vec<String>) {
        let mut picked: Vec<Picked> = (0..offered.len()).map(|place| Picked { place, ids: Vec::new() }).collect();
        let mut missing = Vec::new();
        for list in &self.lists {
            picked = list.pick(picked, offered, &mut missing);
        }
        (picked, missing)
    }
}

impl List {
    /// None where the list is "all".
    fn parse(name: &str, value: &str, is_environment: bool) -> Result<Option<List>> {
        let said_by = format!("{name}={value}");
        let mut list = List { said_by, entries: Vec::new(), ends_at_unknown: is_environment, of_node: false };
        let lower = value.trim().to_ascii_lowercase();
        if lower == "all" {
            return Ok(None);
        }
        if is_environment && matches!(lower.as_str(), "" | "none" | "nodevfiles") {
            return Ok(Some(list));
        }
        let refuse = || {
            let allowed = "expected indices, UUIDs (GPU-…) or MIG ids (MIG-…) with commas between";
            Err(Error::invalid(format!("{name}='{value}': {allowed}")))
        };
        let mut tokens = value.split(',').map(str::trim).peekable();
        while let Some(token) = tokens.next() {
            if is_environment && (token.starts_with('-') || (token.is_empty() && tokens.peek().is_none())) {
                break; // by CUDA's rule a negative index ends the list
            }
            match parse(token) {
                Some(entries) => list.entries.extend(entries),
                None => return refuse(),
            }
        }
        Ok(Some(list))
    }

    fn pick(&self, from: Vec<Picked>, offered: &[Vec<String>], missing: &mut Vec<String>) -> Vec<Picked> {
        let beyond = |entry: &Entry| matches!(entry, Entry::Index(index) if *index >= from.len());
        if self.of_node && self.entries.len() == from.len() && self.entries.iter().any(beyond) {
            return from;
        }
        let mut picked: Vec<Picked> = Vec::new();
        for entry in &self.entries {
            let found = match entry {
                Entry::Index(index) => from.get(*index).map(|one| (one, None)),
                Entry::Id { begins, written } => {
                    let is_it = |one: &&Picked| offered.get(one.place).is_some_and(|ids| begins_any(ids, begins));
                    let mut matching = from.iter().filter(is_it);
                    // Two that begin alike: nobody knows which is meant.
                    matching.next().filter(|_| matching.next().is_none()).map(|one| (one, Some(written.clone())))
                }
            };
            let Some((one, id)) = found else {
                missing.push(format!("{} is not on this machine ({})", entry.shown(), self.said_by));
                if self.ends_at_unknown {
                    break;
                }
                continue;
            };
            match picked.iter_mut().find(|other| other.place == one.place) {
                Some(other) => other.ids.extend(id),
                None => picked.push(Picked { place: one.place, ids: one.ids.iter().cloned().chain(id).collect() }),
            }
        }
        picked.sort_by_key(|one| one.place);
        picked
    }
}

impl Entry {
    fn shown(&self) -> String {
        match self {
            Entry::Index(index) => format!("GPU {index}"),
            Entry::Id { written, .. } => written.clone(),
        }
    }
}

fn begins_any(ids: &[String], beginning: &str) -> bool {
    let beginning = beginning.to_ascii_lowercase();
    ids.iter().any(|id| id.to_ascii_lowercase().starts_with(&beginning))
}

/// One token: an index, "0-3" (SLURM), "0.1" (a tile of Level Zero: its card), "0:1" (a MIG instance: its GPU), or
/// an identifier.
fn parse(token: &str) -> Option<Vec<Entry>> {
    const MOST: usize = 1024;
    let id = |begins: &str| vec![Entry::Id { begins: begins.to_owned(), written: token.to_owned() }];
    if let Some(old) = token.strip_prefix("MIG-GPU-") {
        // Before driver 470: MIG-GPU-<UUID>/<GPU instance>/<compute instance>.
        let (uuid, instances) = old.split_once('/')?;
        return (!uuid.is_empty() && !instances.is_empty()).then(|| id(&format!("GPU-{uuid}")));
    }
    if token.starts_with("GPU-") || token.starts_with("MIG-") {
        let is_hexadecimal = |c: char| c.is_ascii_hexdigit() || c == '-';
        let rest = token.get(4..)?;
        return (!rest.is_empty() && rest.chars().all(is_hexadecimal)).then(|| id(token));
    }
    let index = |text: &str| text.parse::<usize>().ok().filter(|&index| index < MOST);
    if let Some((first, last)) = token.split_once('-') {
        let (first, last) = (index(first)?, index(last)?);
        return (first <= last).then(|| (first..=last).map(Entry::Index).collect());
    }
    let token = token.split_once(':').filter(|(_, instance)| index(instance).is_some()).map_or(token, |(gpu, _)| gpu);
    let card = token.split_once('.').map_or(token, |(card, tile)| if index(tile).is_some() { card } else { token });
    Some(vec![Entry::Index(index(card)?)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUIDS: [&str; 4] = ["GPU-8932f937-aa", "GPU-8932f937-bb", "GPU-12345678-cc", "GPU-abcdef01-dd"];

    fn selection(vendor: Vendor, devices: &str, environment: &[(&str, &str)]) -> Result<Selection> {
        let look_up = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
        Selection::new(vendor, ("devices", devices), &look_up)
    }

    fn picked(vendor: Vendor, devices: &str, environment: &[(&str, &str)]) -> (Vec<usize>, usize) {
        let mut offered: Vec<Vec<String>> = UUIDS.iter().map(|uuid| vec![(*uuid).to_owned()]).collect();
        offered[3].push("MIG-11112222-33".into());
        let (picked, missing) = selection(vendor, devices, environment).unwrap().pick(&offered);
        (picked.into_iter().map(|one| one.place).collect(), missing.len())
    }

    #[test]
    fn cuda_visible_devices_as_cuda_reads_it() {
        for (value, places, missing) in [
            ("0,2", vec![0, 2], 0),
            ("2,0", vec![0, 2], 0),
            ("1,1", vec![1], 0),
            ("0,", vec![0], 0),
            ("", vec![], 0),
            ("-1", vec![], 0),
            ("0,-1,1", vec![0], 0),
            ("NoDevFiles", vec![], 0),
            ("all", vec![0, 1, 2, 3], 0),
            ("GPU-12345678", vec![2], 0),
            ("gpu-1".to_uppercase().as_str(), vec![2], 0),
            ("GPU-8932f937", vec![], 1),
            ("GPU-8932f937-b,3", vec![1, 3], 0),
            ("1,9,2", vec![1], 1),
            ("MIG-11112222-33", vec![3], 0),
            ("MIG-GPU-12345678-cc/1/0", vec![2], 0),
        ] {
            assert_eq!(
                picked(Vendor::Nvidia, "visible", &[("CUDA_VISIBLE_DEVICES", value)]),
                (places, missing),
                "{value}"
            );
        }
        for value in ["abc", "0;1", "0,x", "GPU-", "GPU-xyz", "MIG-GPU-12", "0,,1", "1.5.2"] {
            let message = selection(Vendor::Nvidia, "visible", &[("CUDA_VISIBLE_DEVICES", value)]).unwrap_err().message;
            assert!(message.contains(&format!("CUDA_VISIBLE_DEVICES='{value}'")), "{message}");
        }
    }

    #[test]
    fn what_the_container_or_slurm_gives_where_cuda_is_silent() {
        let nvidia = |environment: &[(&str, &str)]| picked(Vendor::Nvidia, "visible", environment);
        assert_eq!(nvidia(&[]), (vec![0, 1, 2, 3], 0));
        assert_eq!(nvidia(&[("NVIDIA_VISIBLE_DEVICES", "1")]), (vec![1], 0));
        assert_eq!(nvidia(&[("NVIDIA_VISIBLE_DEVICES", "none")]), (vec![], 0));
        for by_the_runtime in ["void", "/var/run/nvidia-container-devices", "nvidia.com/gpu=0"] {
            assert_eq!(nvidia(&[("NVIDIA_VISIBLE_DEVICES", by_the_runtime)]), (vec![0, 1, 2, 3], 0));
        }
        assert_eq!(nvidia(&[("NVIDIA_VISIBLE_DEVICES", "1:0,1:2")]), (vec![1], 0), "MIG instances of GPU 1");
        assert_eq!(nvidia(&[("NVIDIA_VISIBLE_DEVICES", "")]), (vec![0, 1, 2, 3], 0));
        assert_eq!(
            nvidia(&[("NVIDIA_VISIBLE_DEVICES", "4,5,6,7")]),
            (vec![0, 1, 2, 3], 0),
            "a container shows these four"
        );
        assert_eq!(nvidia(&[("SLURM_JOB_GPUS", "0-3"), ("SLURM_STEP_GPUS", "2-3")]), (vec![2, 3], 0));
        assert_eq!(nvidia(&[("SLURM_JOB_GPUS", "1"), ("CUDA_VISIBLE_DEVICES", "0")]), (vec![0], 0));
        let order = |value| selection(Vendor::Nvidia, "visible", value).unwrap().fastest_first;
        assert!(order(&[("CUDA_VISIBLE_DEVICES", "0")]));
        assert!(!order(&[("CUDA_VISIBLE_DEVICES", "0"), ("CUDA_DEVICE_ORDER", "PCI_BUS_ID")]));
    }

    #[test]
    fn amd_and_intel_by_their_own_variables() {
        let amd = |environment: &[(&str, &str)]| picked(Vendor::Amd, "visible", environment);
        assert_eq!(amd(&[("ROCR_VISIBLE_DEVICES", "2,3"), ("HIP_VISIBLE_DEVICES", "1")]), (vec![3], 0));
        assert_eq!(amd(&[("HIP_VISIBLE_DEVICES", "1"), ("CUDA_VISIBLE_DEVICES", "x")]), (vec![1], 0));
        assert_eq!(amd(&[("ROCR_VISIBLE_DEVICES", "")]), (vec![], 0));
        let intel = |environment: &[(&str, &str)]| picked(Vendor::Intel, "visible", environment);
        assert_eq!(intel(&[("ZE_AFFINITY_MASK", "0.0,0.1,2")]), (vec![0, 2], 0));
    }

    #[test]
    fn the_option_wins_and_is_never_widened() {
        let all = [("CUDA_VISIBLE_DEVICES", "0")];
        assert_eq!(picked(Vendor::Nvidia, "all", &all), (vec![0, 1, 2, 3], 0));
        assert_eq!(picked(Vendor::Nvidia, "1,9,2", &all), (vec![1, 2], 1));
        assert_eq!(picked(Vendor::Nvidia, "GPU-ffff", &all), (vec![], 1));
        assert!(selection(Vendor::Nvidia, "process", &all).unwrap().process);
        for bad in ["some", "-1", "0,-1", "none"] {
            assert!(
                selection(Vendor::Nvidia, bad, &[]).unwrap_err().message.contains(&format!("devices='{bad}'")),
                "{bad}"
            );
        }
        let none = selection(Vendor::Nvidia, "visible", &[("CUDA_VISIBLE_DEVICES", "-1")]).unwrap();
        assert_eq!(none.none_by(), Some("CUDA_VISIBLE_DEVICES=-1"));
    }
}
