//! A reading of a source: a number, or the fault that prevented it.

use crate::clock::MonoNs;
use crate::os::text::{NO_FILE, TOO_LARGE};
use std::fmt;

/// A reading of one channel at one instant.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The number of the channel in its source.
    pub channel: usize,
    /// The instant for which the value is valid.
    pub at: MonoNs,
    /// The value, or the fault.
    pub value: Result<Value, Fault>,
}

/// The number that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count, in units of the counter.
    Count(u64),
    /// A power, W.
    Watts(f64),
    /// The power that a device reports in addition to its counter, W. It checks the counter.
    CheckWatts(f64),
}

/// The fault of a failed reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file or device does not exist.
    Gone,
    /// This user may not read it.
    Denied,
    /// Another error of the kernel, by its number.
    Os(i32),
    /// The answer was empty.
    Empty,
    /// The answer was not a number.
    Garbage,
    /// The path is a folder, a pipe or a device, not a file.
    NoFile,
    /// The file is larger than such a file can be.
    TooLarge,
    /// The device reports an energy or a power that no such device can use.
    Implausible,
    /// The device has not answered for a second.
    Silent,
    /// The counter stands still, though a running device draws some power.
    Stalled,
    /// The device reports a power of 0, though a running device draws some.
    NoPower,
    /// The device has fallen off the bus, or its driver has been unloaded.
    Lost,
    /// An error of the driver, in words.
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
            Fault::NoPower => f.write_str("it reports 0 W, but a running device draws some power"),
            Fault::Lost => f.write_str("the device is lost: it fell off the bus, or its driver was unloaded"),
            Fault::Driver(words) => f.write_str(words),
            Fault::Implausible => f.write_str("it reports more than such a device can draw"),
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
