//! Lists by which containers and schedulers assign a node's GPUs.
//!
//! NVIDIA_VISIBLE_DEVICES (NVIDIA container toolkit, "GPU enumeration"): all, none, indices, UUIDs, or "0:1", a MIG
//! instance of a GPU. These values do not name GPUs: empty, void, a path (devices by volume mounts), and names of the
//! Container Device Interface (nvidia.com/gpu=0). The driver then shows the GPUs of the container. SLURM_STEP_GPUS,
//! SLURM_JOB_GPUS: sbatch(1).

use super::Absence;
use super::list::{List, SelectionEntry, SelectionRule};
use super::words::{MAX_WORDS, is_given, unreadable, words};

/// Whether a value chooses GPUs.
pub fn chooses(value: &str) -> bool {
    let value = value.trim();
    let is_device = |word: &str| word.split_once('=').is_some_and(|(kind, _)| kind.contains('/'));
    is_given(value) && value != "void" && !value.starts_with('/') && !words(value).all(|word| is_device(word.trim()))
}

/// The GPUs that are assigned. None: all. Fails if the value cannot be read.
pub fn list(name: &str, value: &str) -> Result<Option<List>, Absence> {
    match value.trim().to_ascii_lowercase().as_str() {
        "all" => return Ok(None),
        "none" | "nodevfiles" => return Ok(Some(List::new((name, value), Vec::new(), SelectionRule::Node))),
        _ => (),
    }
    // As for CUDA, a number below 0 ends the list.
    let written: Vec<&str> =
        words(value.trim().trim_end_matches(',')).map(str::trim).take_while(|word| !word.starts_with('-')).collect();
    let entries: Option<Vec<SelectionEntry>> = written.iter().map(|word| SelectionEntry::of_node(word)).collect();
    let is_long = value.split(',').nth(MAX_WORDS).is_some();
    match entries.filter(|_| !is_long) {
        Some(entries) => Ok(Some(List::new((name, value), entries, SelectionRule::Node))),
        None => {
            let cure = "write indices, ranges such as 0-3, or UUIDs, with commas between them, or unset the variable";
            Err(unreadable(name, value, "neither indices nor UUIDs", cure))
        }
    }
}
