//! Values that a process has once. In a simulated world, each simulated process has its own.

use super::{lock_within, world};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// A static value of the process, behind a lock that is never held for long.
pub struct PerProcess<T>(Mutex<T>);

impl<T: Default + Send + 'static> PerProcess<T> {
    /// A static value.
    pub const fn new(value: T) -> PerProcess<T> {
        PerProcess(Mutex::new(value))
    }

    /// Locks the value of this process. None if it is still locked after `patience`, as in a child that was forked
    /// while another thread held it.
    pub fn lock_within(&'static self, patience: Duration) -> Option<MutexGuard<'static, T>> {
        lock_within(world::value_of_process(self).unwrap_or(&self.0), patience)
    }
}
