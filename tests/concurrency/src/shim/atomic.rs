//! Atomics with a possible switch before each access. All accesses have one order.

use crate::faults::{Fault, is};
use real_std::cell::RefCell;
use real_std::collections::BTreeSet;
pub use real_std::sync::atomic::Ordering;
use real_std::sync::atomic::Ordering::SeqCst;

real_std::thread_local! {
    /// The indices of the numbers in shared memory that a schedule of this seed has changed.
    static USED: RefCell<BTreeSet<usize>> = const { RefCell::new(BTreeSet::new()) };
}

/// Lets the scheduler switch to another thread.
pub fn step() {
    shuttle::sync::atomic::AtomicBool::new(false).load(SeqCst);
}

/// All accesses have one order already.
pub fn fence(_: Ordering) {
    step();
}

macro_rules! atomic {
    ($name:ident, $number:ty) => {
        /// The second field is the index of a number in shared memory.
        #[derive(Debug, Default)]
        pub struct $name(real_std::sync::atomic::$name, Option<usize>);

        impl $name {
            pub const fn new(number: $number) -> $name {
                $name(real_std::sync::atomic::$name::new(number), None)
            }

            pub fn load(&self, _: Ordering) -> $number {
                // A record has many numbers that are never used. A switch before each would only take time.
                if self.1.is_none_or(|index| USED.with_borrow(|used| used.contains(&index))) {
                    step();
                }
                self.0.load(SeqCst)
            }

            pub fn store(&self, number: $number, _: Ordering) {
                step();
                self.set(number);
            }

            pub fn swap(&self, number: $number, order: Ordering) -> $number {
                self.fetch_update(order, order, |_| Some(number)).unwrap_or_default()
            }

            pub fn compare_exchange(
                &self,
                old: $number,
                new: $number,
                order: Ordering,
                _: Ordering,
            ) -> Result<$number, $number> {
                self.fetch_update(order, order, |now| (now == old).then_some(new))
            }

            pub fn fetch_update(
                &self,
                _: Ordering,
                _: Ordering,
                mut new: impl FnMut($number) -> Option<$number>,
            ) -> Result<$number, $number> {
                step();
                let before = self.0.load(SeqCst);
                let Some(after) = new(before) else { return Err(before) };
                if is(Fault::SplitChange) {
                    step();
                }
                self.set(after);
                Ok(before)
            }

            fn set(&self, number: $number) {
                USED.with_borrow_mut(|used| used.extend(self.1));
                self.0.store(number, SeqCst);
            }
        }
    };
}

macro_rules! arithmetic {
    ($name:ident, $number:ty) => {
        impl $name {
            pub fn fetch_add(&self, more: $number, order: Ordering) -> $number {
                self.fetch_update(order, order, |now| Some(now.wrapping_add(more))).unwrap_or_default()
            }

            pub fn fetch_sub(&self, less: $number, order: Ordering) -> $number {
                self.fetch_update(order, order, |now| Some(now.wrapping_sub(less))).unwrap_or_default()
            }

            pub fn fetch_max(&self, least: $number, order: Ordering) -> $number {
                self.fetch_update(order, order, |now| Some(now.max(least))).unwrap_or_default()
            }

            pub fn fetch_or(&self, bits: $number, order: Ordering) -> $number {
                self.fetch_update(order, order, |now| Some(now | bits)).unwrap_or_default()
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);
arithmetic!(AtomicU64, u64);
arithmetic!(AtomicUsize, usize);

impl AtomicU64 {
    /// A number of shared memory.
    pub const fn shared(index: usize) -> AtomicU64 {
        AtomicU64(real_std::sync::atomic::AtomicU64::new(0), Some(index))
    }

    /// The number, without a switch.
    pub fn get(&self) -> u64 {
        self.0.load(SeqCst)
    }
}
