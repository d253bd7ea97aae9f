//! GPUs of NVIDIA (NVML), AMD (amdgpu) and Intel (i915, xe).
//!
//! In: driver calls, files below `/sys/class/drm`, the GPU selection. Out: readings. Never: it does not choose GPUs.

pub mod amdgpu;
pub mod drm_card;
pub mod intel_gpu;
pub mod kfd;
pub mod nvml;
pub mod nvml_device;
pub mod nvml_error;
pub mod nvml_library;
pub mod nvml_open;
pub mod nvml_request;
pub mod nvml_search;
pub mod superchip;
