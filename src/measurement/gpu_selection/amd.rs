//! The variables of AMD's runtimes (ROCm, "GPU isolation techniques").
//!
//! ROCR_VISIBLE_DEVICES (rocr-runtime, amd_filter_device.cpp): empty means no GPU. A word is a number as strtol reads
//! it, or the beginning of a UUID. Another word, a GPU that does not exist, or one named before ends the list. The GPUs
//! then have the order of the list.
//!
//! HIP_VISIBLE_DEVICES (clr, rocclr/device/rocm/rocdevice.cpp, Device::init) picks from the GPUs that ROCr leaves. If
//! it is unset or empty, CUDA_VISIBLE_DEVICES "has the same effect as HIP_VISIBLE_DEVICES on the AMD platform". A word
//! is a plain number, or part of a UUID. The first word without a GPU ends the list. If both variables are empty, all
//! GPUs are shown (ROCm/hip issue 3001). So the UUID of an NVIDIA GPU hides every AMD GPU from HIP.
//!
//! GPU_DEVICE_ORDINAL is OpenCL's, with HIP's rules. Schedulers set it beside the others, so it counts only if they are
//! unset.

use super::list::{List, SelectionEntry, SelectionRule};
use super::words::{decimal, leading_number};

/// The GPUs that ROCr shows.
pub fn rocr(name: &str, value: &str) -> List {
    const LENGTHS: std::ops::RangeInclusive<usize> = 5..=20;
    List::read((name, value), SelectionRule::Rocr, |word| {
        let word = word.trim();
        if word.starts_with(['G', 'g']) {
            return LENGTHS.contains(&word.len()).then(|| SelectionEntry::id_of(word, word));
        }
        let (number, rest) = leading_number(word, 0)?;
        usize::try_from(number).ok().filter(|_| rest.is_empty()).map(SelectionEntry::index)
    })
}

/// The GPUs that HIP and OpenCL show.
pub fn hip(name: &str, value: &str) -> List {
    List::read((name, value), SelectionRule::Hip, |word| {
        if word.contains("GPU-") {
            return Some(SelectionEntry::id_of(word, word));
        }
        let index = decimal(word).filter(|index| index.to_string() == word);
        index.map(SelectionEntry::index)
    })
}
