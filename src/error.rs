//! What can go wrong, as values: a status for the program, words for the person.

use crate::sanitize;
use std::fmt;

/// The outcome of a call across the C boundary. Numbers are the contract: append only.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, missing_docs)]
pub enum Status {
    /// Done.
    CT_OK = 0,
    /// Nothing to do: the tracker is NULL, or CARBONTRACKER_DISABLE=1.
    CT_DISABLED = 1,
    /// The epoch ended as asked, and the run's forecast, or what it has used, passes a budget.
    CT_OVER_BUDGET = 2,
    /// An argument or option is invalid.
    CT_EINVAL = -1,
    /// Not now: a second begin, or an end without a begin.
    CT_ESTATE = -2,
    /// The buffer is too small; `needed` says how much it takes.
    CT_ERANGE = -3,
    /// There is no such number, or it is unknown; or no message is queued.
    CT_ENOENT = -4,
    /// The operating system refused a thread or memory.
    CT_EIO = -5,
    /// The tracker was made by the process this one was forked from.
    CT_EFORK = -6,
    /// An internal error was caught; the tracker stays usable.
    CT_EPANIC = -7,
}

impl Status {
    /// The status as one fixed sentence.
    pub fn describe(code: i32) -> &'static std::ffi::CStr {
        match code {
            0 => c"done",
            1 => c"disabled: the tracker is NULL or CARBONTRACKER_DISABLE=1 is set",
            2 => c"over budget: the run's forecast, or what it has used, passes a budget",
            -1 => c"invalid argument or option",
            -2 => c"wrong order of calls: a second begin, or an end without a begin",
            -3 => c"the buffer is too small",
            -4 => c"no such value, or it is not known, or no message is queued",
            -5 => c"the operating system refused",
            -6 => c"the tracker belongs to the parent process: create one after fork",
            -7 => c"internal fault, contained",
            _ => c"unknown status",
        }
    }
}

/// A failure: what the program is told and what the person reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The status returned to the caller.
    pub status: Status,
    /// What happened and what to do about it.
    pub message: String,
}

/// A result whose failure is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure with this status and these words, which may quote what was read.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Error { status, message: sanitize::text(message) }
    }

    /// A bad argument or option.
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
