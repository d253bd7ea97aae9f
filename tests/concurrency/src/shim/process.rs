//! Processes of one machine. Each has some of the scheduler's threads.

use real_std::cell::{Cell, RefCell};
use real_std::collections::BTreeSet;

shuttle::thread_local! {
    static NUMBER: Cell<u32> = Cell::new(1);
}

real_std::thread_local! {
    static DEAD: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
}

/// The number of the process of this thread.
pub fn id() -> u32 {
    NUMBER.with(Cell::get)
}

/// Makes this thread a thread of the process `number`.
pub fn enter(number: u32) {
    NUMBER.with(|of| of.set(number));
}

/// Notes that a process has ended.
pub fn end(number: u32) {
    DEAD.with_borrow_mut(|dead| dead.insert(number));
}

/// Whether a process has not ended.
pub fn is_alive(number: u32) -> bool {
    DEAD.with_borrow(|dead| !dead.contains(&number))
}

/// Forgets all processes before an execution.
pub fn reset() {
    DEAD.with_borrow_mut(BTreeSet::clear);
}
