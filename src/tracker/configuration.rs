//! Reads the configuration files when a tracker starts.

use super::TRACKER_BYTES;
use crate::options::ConfigFiles;
use crate::os::{self, OwnTable, memory, world};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for the configuration files.
const CONFIG_WAIT: Duration = Duration::from_secs(1);

/// Reads the configuration files on a thread of its own: no thread of the application sees their descriptors. Also
/// returns the table of that thread, which the tracker then finds.
pub fn read() -> (ConfigFiles, Option<Arc<OwnTable>>) {
    // Without memory for a tracker there is none for this thread. The start then fails with the reason.
    if memory::check(TRACKER_BYTES, "a tracker").is_err() {
        return (ConfigFiles::default(), None);
    }
    let paths = ConfigFiles::paths(os::variable, std::env::current_dir().ok());
    let table = OwnTable::shared().ok();
    if world::is_entered() {
        return (ConfigFiles::read(&paths), table);
    }
    // A file system may not answer, and a program that starts must not wait for it.
    let read = || os::begin("ct-config", move || ConfigFiles::read(&paths));
    let answer = table.as_ref().and_then(|table| table.run("ct-config", read).ok()??.ok());
    let files = answer.and_then(|answer| answer.wait(CONFIG_WAIT));
    (files.unwrap_or_else(ConfigFiles::unread), table)
}
