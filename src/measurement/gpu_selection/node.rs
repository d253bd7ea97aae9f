//! Lists by which containers and schedulers hand out a node's GPUs.
//!
//! NVIDIA_VISIBLE_DEVICES (NVIDIA container toolkit, "GPU enumeration"): all, none, indices, UUIDs, or "0:1", a MIG
//! instance of a GPU. Unset, empty or void, a path (devices by volume mounts) or names of the Container Device Interface
//! (nvidia.com/gpu=0) do not name GPUs: the driver shows what was handed in. SLURM_STEP_GPUS, SLURM_JOB_GPUS: sbatch(1).

use super::Absence;
use super::list::{List, SelectionEntry, SelectionRule};
use super::words::{MOST_WORDS, is_given, unreadable, words};

/// Whether a value chooses among the GPUs.
pub fn chooses(value: &str) -> bool {
    let value = value.trim();
    let is_device = |word: &str| word.split_once('=').is_some_and(|(kind, _)| kind.contains('/'));
    is_given(value) && value != "void" && !value.starts_with('/') && !words(value).all(|word| is_device(word.trim()))
}

/// The GPUs that are handed out; None: all.
pub fn list(name: &str, value: &str) -> Result<Option<List>, Absence> {
    match value.trim().to_ascii_lowercase().as_str() {
        "all" => return Ok(None),
        "none" | "nodevfiles" => return Ok(Some(List::new((name, value), Vec::new(), SelectionRule::Node))),
        _ => (),
    }
    // A number below 0 is no GPU, as for CUDA.
    let written: Vec<&str> =
        words(value.trim().trim_end_matches(',')).map(str::trim).take_while(|word| !word.starts_with('-')).collect();
    let entries: Option<Vec<SelectionEntry>> = written.iter().map(|word| SelectionEntry::of_node(word)).collect();
    let is_long = value.split(',').nth(MOST_WORDS).is_some();
    match entries.filter(|_| !is_long) {
        Some(entries) => Ok(Some(List::new((name, value), entries, SelectionRule::Node))),
        None => {
            let cure = "write indices, ranges such as 0-3, or UUIDs with commas between, or unset the variable";
            Err(unreadable(name, value, "neither indices nor UUIDs", cure))
        }
    }
}
