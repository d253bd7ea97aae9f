//! Shared memory of the machine. It outlives the processes.

use super::atomic::{AtomicU64, Ordering, step};
use crate::faults::{Fault, is};
use real_std::cell::{Cell, RefCell};
use real_std::collections::{BTreeMap, BTreeSet};
use real_std::io;
use real_std::sync::Arc;

real_std::thread_local! {
    static MEMORY: RefCell<BTreeMap<i32, Arc<Vec<AtomicU64>>>> = const { RefCell::new(BTreeMap::new()) };
    static STORES_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    static LATE: Cell<Option<(usize, u64)>> = const { Cell::new(None) };
}

/// Removes all memory before an execution.
pub fn reset() {
    MEMORY.with_borrow_mut(BTreeMap::clear);
    STORES_LEFT.set(u64::MAX);
    LATE.set(None);
}

/// Kills the only writer after this number of stores: later stores have no effect.
pub fn kill_after(stores: u64) {
    STORES_LEFT.set(stores);
}

/// All numbers but 0 that are in memory, without a switch.
pub fn numbers() -> BTreeSet<u64> {
    MEMORY.with_borrow(|memory| {
        let numbers = memory.values().flat_map(|numbers| numbers.iter()).map(AtomicU64::get);
        numbers.filter(|number| *number > 0).collect()
    })
}

/// An attached segment.
pub struct Segment {
    numbers: Arc<Vec<AtomicU64>>,
    key: i32,
}

impl Segment {
    pub fn create(key: i32, count: usize) -> io::Result<Segment> {
        step();
        MEMORY.with_borrow_mut(|memory| {
            if memory.contains_key(&key) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let numbers = Arc::new((0..count).map(AtomicU64::shared).collect());
            memory.insert(key, Arc::clone(&numbers));
            Ok(Segment { numbers, key })
        })
    }

    pub fn open(key: i32, count: usize) -> io::Result<Segment> {
        step();
        let found = MEMORY.with_borrow(|memory| memory.get(&key).cloned());
        let numbers = found.filter(|numbers| numbers.len() == count).ok_or(io::ErrorKind::NotFound)?;
        Ok(Segment { numbers, key })
    }

    pub fn share(key: i32, count: usize) -> io::Result<Segment> {
        Segment::open(key, count)
    }

    pub fn numbers(&self) -> &[AtomicU64] {
        &self.numbers
    }

    pub fn store(&self, index: usize, number: u64) {
        let late = LATE.take();
        if is(Fault::LateStore) && late.is_none() {
            LATE.set(Some((index, number)));
            return;
        }
        for (index, number) in real_std::iter::once((index, number)).chain(late) {
            let left = STORES_LEFT.get();
            STORES_LEFT.set(left.saturating_sub(1));
            if left > 0 {
                self.numbers[index].store(number, Ordering::SeqCst);
            }
        }
    }

    pub fn load(&self, index: usize) -> u64 {
        self.numbers.get(index).map_or(0, |number| number.load(Ordering::SeqCst))
    }

    pub fn is_at(&self, key: i32) -> bool {
        step();
        MEMORY.with_borrow(|memory| memory.get(&key).is_some_and(|numbers| Arc::ptr_eq(numbers, &self.numbers)))
    }

    pub fn remove(&self) {
        step();
        MEMORY.with_borrow_mut(|memory| {
            if memory.get(&self.key).is_some_and(|numbers| Arc::ptr_eq(numbers, &self.numbers)) {
                memory.remove(&self.key);
            }
        });
    }

    pub fn attached(&self) -> u64 {
        step();
        MEMORY.with_borrow(|memory| Arc::strong_count(&self.numbers) as u64 - u64::from(memory.contains_key(&self.key)))
    }
}

/// No memory is old enough to be removed.
pub fn abandoned(_: usize, _: u64) -> Vec<Segment> {
    Vec::new()
}
