//! NVML's errors: which may pass, and what they mean in words. `nvml-wrapper` knows those of NVML 11; it hands over the
//! numbers of later ones.

use crate::measurement::reading::Fault;
use crate::sanitize;
use nvml_wrapper::error::NvmlError;

const NOT_READY: u32 = 27;
const GPU_NOT_FOUND: u32 = 28;
const INVALID_STATE: u32 = 29;

/// Whether the same question may get an answer later. What is not there, not allowed or not supported stays so; a driver that
/// is not loaded is not asked again either, since each such question may start nvidia-modprobe.
pub fn may_pass(error: &NvmlError) -> bool {
    use NvmlError::*;
    !matches!(
        error,
        InvalidArg
            | NotSupported
            | NoPermission
            | NotFound
            | DriverNotLoaded
            | LibraryNotFound
            | FunctionNotFound
            | LibRmVersionMismatch
            | CorruptedInfoROM
            | LibloadingError(_)
            | FailedToLoadSymbol(_)
    )
}

/// An error in words.
pub fn in_words(error: &NvmlError) -> String {
    match error {
        NvmlError::UnexpectedVariant(NOT_READY) => "not ready: the driver does not use it yet".into(),
        NvmlError::UnexpectedVariant(GPU_NOT_FOUND) => "the driver does not find it".into(),
        NvmlError::UnexpectedVariant(INVALID_STATE) => "in a state in which it cannot be read".into(),
        NvmlError::UnexpectedVariant(code) => format!("the driver answers with error {code}"),
        NvmlError::Unknown => "the driver answers with an unknown error".into(),
        error => sanitize::text(error.to_string()),
    }
}

/// An error of a reading.
pub fn fault(error: &NvmlError) -> Fault {
    match error {
        NvmlError::GpuLost | NvmlError::UnexpectedVariant(GPU_NOT_FOUND) => Fault::Lost,
        NvmlError::NoPermission => Fault::Denied,
        NvmlError::NotSupported => Fault::Driver("the driver does not support it any more"),
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded => Fault::Driver("the driver has been unloaded"),
        NvmlError::Timeout => Fault::Driver("the driver took too long"),
        NvmlError::ResetRequired => Fault::Driver("the GPU must be reset"),
        NvmlError::UnexpectedVariant(NOT_READY) => Fault::Driver("the GPU is not ready"),
        _ => Fault::Driver("the driver answers with an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_asked_again_and_named() {
        for code in [1, 8, 10, 11, 15, 16, 17, 19, 20, 21, 23, 27, 28, 29, 77, 999] {
            let error = NvmlError::from(code);
            assert!(may_pass(&error), "{code}");
            let words = in_words(&error);
            assert!(!words.contains("enum variant") && !words.is_empty(), "{code}: {words}");
        }
        for code in [2, 3, 4, 6, 9, 12, 13, 14, 18] {
            assert!(!may_pass(&NvmlError::from(code)), "{code}");
        }
        assert!(in_words(&NvmlError::from(27)).starts_with("not ready"));
        assert_eq!(fault(&NvmlError::from(27)), Fault::Driver("the GPU is not ready"));
    }
}
