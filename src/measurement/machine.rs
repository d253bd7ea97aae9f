//! The devices of a machine, provided by a test in place of the real ones.

use super::channel::DeviceKind;
use super::source::Opened;
use super::source_name::SourceName;
use super::sources::Sources;

/// The devices of a simulated machine. Searches run on the threads that search a real machine.
pub trait Machine: Send + Sync {
    /// All sources, as [`Sources::discover`] finds them.
    fn discover(&self) -> Sources;
    /// The next source of a kind after those that are stalled, as a replacement.
    fn next(&self, kind: DeviceKind, stalled: &[(DeviceKind, SourceName)]) -> Sources;
    /// Whether the machine has GPUs with a driver.
    fn has_driver(&self) -> bool;
    /// Opens the GPUs through their driver. It may take long.
    fn open_driver(&self) -> Opened;
}
