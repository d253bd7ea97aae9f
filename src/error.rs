//! Errors: a status for the application, a message for the user.

use crate::{os, sanitize};
use std::fmt;
use std::sync::Mutex;

/// The result of a C function. The numbers are part of the C API: append only.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, missing_docs)]
pub enum Status {
    /// The call succeeded.
    CT_OK = 0,
    /// The tracker is NULL, or CARBONTRACKER_DISABLE=1 is set: nothing was done.
    CT_DISABLED = 1,
    /// The epoch has ended, and the forecast, or the use so far, passes a budget.
    CT_OVER_BUDGET = 2,
    /// An argument or option is invalid.
    CT_EINVAL = -1,
    /// Wrong order of calls: an epoch is already open, or none is.
    CT_ESTATE = -2,
    /// The buffer is too small; `needed` is the required size.
    CT_ERANGE = -3,
    /// There is no such value, it is unknown, or no message is queued.
    CT_ENOENT = -4,
    /// The operating system refused a thread or memory.
    CT_EIO = -5,
    /// The tracker belongs to the parent process; this process was forked from it.
    CT_EFORK = -6,
    /// An internal error was caught; the tracker stays usable.
    CT_EPANIC = -7,
}

impl Status {
    /// The meaning of a status, as a fixed text.
    pub fn describe(code: i32) -> &'static std::ffi::CStr {
        match code {
            0 => c"done",
            1 => c"disabled: the tracker is NULL or CARBONTRACKER_DISABLE=1 is set",
            2 => c"over budget: the forecast, or the use so far, passes a budget",
            -1 => c"invalid argument or option",
            -2 => c"wrong order of calls: an epoch is already open, or none is",
            -3 => c"the buffer is too small",
            -4 => c"no such value, or it is unknown, or no message is queued",
            -5 => c"the operating system refused a thread or memory",
            -6 => c"the tracker belongs to the parent process: create one after fork",
            -7 => c"internal error; it was caught, and the tracker stays usable",
            _ => c"unknown status",
        }
    }
}

/// The fix if a thread cannot be started.
pub const THREAD_FIX: &str = "raise the limit on threads or memory (ulimit -u, ulimit -v)";

/// A failure: a status for the application, and a message for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The status returned to the caller.
    pub status: Status,
    /// What happened; what it means; what to do.
    pub message: String,
}

/// A result whose failure is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure with this status and message. Control characters in the message become spaces.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Error { status, message: sanitize::text(message) }
    }

    /// A failure with CT_EINVAL: a bad argument or option.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(Status::CT_EINVAL, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The newest failure of several threads.
pub struct Failures(Mutex<String>);

impl Failures {
    /// No failure yet.
    #[allow(clippy::new_without_default)] // a static needs this one
    pub const fn new() -> Failures {
        Failures(Mutex::new(String::new()))
    }

    /// Keeps the message of a failure. It is lost if another thread holds the lock, as after a fork.
    pub fn keep(&self, message: String) {
        if let Some(mut newest) = os::lock_within(&self.0, os::LOCK_WAIT) {
            *newest = message;
        }
    }

    /// The message of the newest failure; None: nothing has failed.
    pub fn newest(&self) -> Option<String> {
        let newest = os::lock_within(&self.0, os::LOCK_WAIT)?;
        (!newest.is_empty()).then(|| newest.clone())
    }
}
