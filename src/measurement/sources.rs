//! The sources that a search finds.

use super::source::{Opened, Source};
use super::unavailable::Unavailable;

/// The sources of a run.
#[derive(Default)]
pub struct Sources {
    /// The sources to read.
    pub sources: Vec<Box<dyn Source>>,
    /// The sources that do not take part.
    pub unavailable: Vec<Unavailable>,
    /// The sources that measure GPUs if NVML has none.
    pub without_nvml: Opened,
    /// Whether NVML's GPUs may include the processor. The processor's sources then wait for NVML's answer.
    pub is_superchip: bool,
}
