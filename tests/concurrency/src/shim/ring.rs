//! `rtrb` with a possible switch before each access.

use super::atomic::step;
use crate::faults::{Fault, is};
use real_rtrb::PushError;

/// The two ends of a new ring.
pub fn new_ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let (producer, consumer) = real_rtrb::RingBuffer::new(capacity);
    (Producer(producer), Consumer(consumer))
}

/// The writing end.
pub struct Producer<T>(real_rtrb::Producer<T>);

impl<T> Producer<T> {
    pub fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        step();
        self.0.push(value)
    }

    pub fn slots(&self) -> usize {
        step();
        self.0.slots() + usize::from(is(Fault::OptimisticRing))
    }
}

/// The reading end.
pub struct Consumer<T>(real_rtrb::Consumer<T>);

impl<T> Consumer<T> {
    /// Takes all that is in the ring.
    pub fn take(&mut self) -> Vec<T> {
        step();
        let slots = self.0.slots();
        self.0.read_chunk(slots).into_iter().flatten().collect()
    }
}
