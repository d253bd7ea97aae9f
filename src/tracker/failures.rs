//! The newest failed call, for all threads: languages whose tasks change threads cannot ask their own thread.

use crate::os;
use std::sync::Mutex;

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
