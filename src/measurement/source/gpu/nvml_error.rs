//! NVML's errors: which of them may pass, and their texts. `nvml-wrapper` has the errors of NVML 11, and passes on the
//! numbers of newer ones.

use crate::measurement::reading::Fault;
use crate::sanitize;
use nvml_wrapper::error::NvmlError;

/// `NVML_ERROR_NOT_READY`.
const NOT_READY: u32 = 27;
/// `NVML_ERROR_GPU_NOT_FOUND`.
const GPU_NOT_FOUND: u32 = 28;
/// `NVML_ERROR_INVALID_STATE`.
const INVALID_STATE: u32 = 29;

/// A failed call of the driver.
#[derive(Clone)]
pub struct NvmlFailure {
    /// The call and the error, for the user.
    pub reason: String,
    /// Whether a later call may succeed.
    pub may_pass: bool,
}

impl NvmlFailure {
    /// A driver's error. `asked` names the GPU, the library or the call.
    pub fn new(asked: &str, error: &NvmlError) -> NvmlFailure {
        NvmlFailure { reason: format!("{asked}: {}", error_text(error)), may_pass: may_pass(error) }
    }

    /// A failure that does not pass.
    pub fn permanent(reason: String) -> NvmlFailure {
        NvmlFailure { reason, may_pass: false }
    }
}

/// Whether a later call may succeed. It will not if something is missing, forbidden or not supported. A driver that is
/// not loaded is not called again either, because each call may start nvidia-modprobe.
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

/// An error as text.
pub fn error_text(error: &NvmlError) -> String {
    match error {
        NvmlError::UnexpectedVariant(NOT_READY) => "not ready: the driver does not use it yet".into(),
        NvmlError::UnexpectedVariant(GPU_NOT_FOUND) => "the driver does not find it".into(),
        NvmlError::UnexpectedVariant(INVALID_STATE) => "it cannot be read in its present state".into(),
        NvmlError::UnexpectedVariant(code) => format!("the driver returns error {code}"),
        NvmlError::Unknown => "the driver returns an unknown error".into(),
        error => sanitize::text(error.to_string()),
    }
}

/// The error of a reading as a fault.
pub fn fault(error: &NvmlError) -> Fault {
    match error {
        NvmlError::GpuLost | NvmlError::UnexpectedVariant(GPU_NOT_FOUND) => Fault::Lost,
        NvmlError::NoPermission => Fault::Denied,
        NvmlError::NotSupported => Fault::Driver("the driver no longer supports it"),
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded => Fault::Driver("the driver has been unloaded"),
        NvmlError::Timeout => Fault::Driver("the driver took too long"),
        NvmlError::ResetRequired => Fault::Driver("the GPU must be reset"),
        NvmlError::UnexpectedVariant(NOT_READY) => Fault::Driver("the GPU is not ready"),
        _ => Fault::Driver("the driver returns an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_a_text_and_some_may_pass() {
        for code in [1, 8, 10, 11, 15, 16, 17, 19, 20, 21, 23, 27, 28, 29, 77, 999] {
            let error = NvmlError::from(code);
            assert!(may_pass(&error), "{code}");
            let text = error_text(&error);
            assert!(!text.contains("enum variant") && !text.is_empty(), "{code}: {text}");
        }
        for code in [2, 3, 4, 6, 9, 12, 13, 14, 18] {
            assert!(!may_pass(&NvmlError::from(code)), "{code}");
        }
        assert!(error_text(&NvmlError::from(27)).starts_with("not ready"));
        assert_eq!(fault(&NvmlError::from(27)), Fault::Driver("the GPU is not ready"));
    }
}
