//! CUDA_VISIBLE_DEVICES as CUDA reads it.
//!
//! CUDA programming guide, "CUDA environment variables": unset means all GPUs, empty means none. The value has indices,
//! or UUIDs that may be shortened if only one GPU begins so. Words after an invalid index are ignored.
//!
//! PyTorch documents how the driver reads words (torch/cuda/__init__.py, _parse_visible_devices, with
//! test/test_cuda_nvml_based_avail.py):
//!
//! - "1gpu2" is 1. A word without a number ends the list.
//! - An index without a GPU ends the list, and so does a UUID that fits no GPU or two.
//! - A GPU that is named twice makes the list empty.
//! - The first word sets the kind: indices, GPU- or MIG- identifiers. A word of another kind ends the list.
//!
//! So `all` means no GPU, and so does 10000, by which HTCondor keeps GPUs from a slot (HTCondor manual,
//! ENVIRONMENT_VALUE_FOR_UnAssigned<name>).

use super::list::{List, SelectionEntry, SelectionRule};
use super::words::leading_number;

/// The GPUs that CUDA shows.
pub fn cuda(name: &str, value: &str) -> List {
    let kind = |word: &str| ["GPU-", "MIG-"].into_iter().find(|kind| word.starts_with(kind));
    let first = kind(value.trim_start());
    List::read((name, value), SelectionRule::Cuda, |word| {
        let word = word.trim();
        if kind(word) != first {
            return None;
        }
        match first {
            // Each GPU begins so, hence it names the only one.
            Some(prefix) if word == prefix => Some(SelectionEntry::id_of(word, word)),
            Some(_) => SelectionEntry::of_nvidia(word),
            None => usize::try_from(leading_number(word, 10)?.0).ok().map(SelectionEntry::index),
        }
    })
}
