//! CUDA_VISIBLE_DEVICES as CUDA reads it.
//!
//! CUDA programming guide, "CUDA environment variables": unset is all GPUs, empty is none; indices or UUIDs, which may
//! be cut short as long as one GPU alone begins so; what follows an invalid index is not seen. How the driver reads
//! words is on record in PyTorch, which does the same (torch/cuda/__init__.py, _parse_visible_devices, with
//! test/test_cuda_nvml_based_avail.py): "1gpu2" is 1; a word without a number ends the list, as do an index that is not
//! there and a UUID that fits no GPU or two; a GPU named twice empties it; a list is of indices, of GPU- or of MIG-
//! identifiers, by its first word, and ends where the kind changes. So `all` is no GPU, and neither is 10000, by which
//! HTCondor keeps GPUs from a slot (HTCondor manual, ENVIRONMENT_VALUE_FOR_UnAssigned<name>).

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
            Some(_) => SelectionEntry::of_nvidia(word),
            None => usize::try_from(leading_number(word, 10)?.0).ok().map(SelectionEntry::index),
        }
    })
}
