//! A reading: what a source hands over, the number or why there is none.

use crate::clock::MonoNs;
use crate::os::text::{NO_FILE, TOO_LARGE};
use std::fmt;

/// A reading of one channel: when, and what was read or why not.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Which of the source's channels.
    pub channel: usize,
    /// The instant it holds for.
    pub at: MonoNs,
    /// What was read.
    pub value: Result<Value, Fault>,
}

/// One raw number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A counter's count, in its units.
    Count(u64),
    /// A power, W.
    Watts(f64),
    /// The power that a device reports beside its counter, W: the counter is checked by it.
    Beside(f64),
}

/// Why a reading failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file or device is not there.
    Gone,
    /// We may not read it.
    Denied,
    /// The kernel's error number.
    Os(i32),
    /// It answered with nothing.
    Empty,
    /// It answered with something that is not a number.
    Garbage,
    /// It is a folder, a pipe or a device, and no file.
    NoFile,
    /// It is larger than such a file can be.
    TooLarge,
    /// It reports an energy or a power that no such device can use.
    Implausible,
    /// It has not answered for a second.
    Silent,
    /// Its counter stands still, though a device that runs draws some power.
    Stalled,
    /// It reports a power of 0, though a device that runs draws some.
    NoPower,
    /// The device has fallen off the bus, or its driver has been unloaded.
    Lost,
    /// The driver's own error, in words.
    Driver(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Gone => f.write_str("not found"),
            Fault::Denied => f.write_str("permission denied"),
            Fault::Os(code) => write!(f, "{}", std::io::Error::from_raw_os_error(*code)),
            Fault::Empty => f.write_str("it is empty"),
            Fault::Garbage => f.write_str("it is not a number"),
            Fault::NoFile => f.write_str(NO_FILE),
            Fault::TooLarge => f.write_str(TOO_LARGE),
            Fault::Silent => f.write_str("it has not answered for a second"),
            Fault::Stalled => f.write_str("its counter stands still"),
            Fault::NoPower => f.write_str("it reports 0 W, and what runs draws some power"),
            Fault::Lost => f.write_str("the device is lost: off the bus, or its driver unloaded"),
            Fault::Driver(words) => f.write_str(words),
            Fault::Implausible => f.write_str("it reports what no such device can draw"),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match (error.kind(), error.raw_os_error()) {
            (std::io::ErrorKind::NotFound, _) => Fault::Gone,
            (std::io::ErrorKind::PermissionDenied, _) => Fault::Denied,
            (_, Some(code)) => Fault::Os(code),
            (std::io::ErrorKind::InvalidInput, None) => Fault::NoFile,
            (std::io::ErrorKind::FileTooLarge, None) => Fault::TooLarge,
            (_, None) => Fault::Garbage,
        }
    }
}
