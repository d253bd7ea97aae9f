//! A result that another thread provides.

use super::Condvar;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// A result that another thread provides; empty until then. (The receiver of a channel would leave thread-local data on
/// the application's thread.)
pub struct Promise<T> {
    result: Mutex<Option<T>>,
    is_kept: Condvar,
}

impl<T> Default for Promise<T> {
    fn default() -> Self {
        Promise { result: Mutex::new(None), is_kept: Condvar::new() }
    }
}

impl<T> Promise<T> {
    /// Provides the result and wakes all waiting threads.
    pub fn keep(&self, result: T) {
        *self.result() = Some(result);
        self.is_kept.notify_all();
    }

    /// Whether the result is there and not taken yet.
    pub fn is_kept(&self) -> bool {
        self.result().is_some()
    }

    /// Takes the result; None if it is not there within `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<T> {
        self.is_kept.wait_timeout_while(&self.result, self.result(), timeout, |result| result.is_none()).take()
    }

    /// Waits for the result without limit and takes it.
    pub fn take(&self) -> T {
        loop {
            if let Some(result) = self.wait(Duration::from_secs(3600)) {
                return result;
            }
        }
    }

    fn result(&self) -> MutexGuard<'_, Option<T>> {
        self.result.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
