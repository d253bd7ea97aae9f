//! Faults of the machine under the library. A check that holds must fail with the fault that it guards against.

use real_std::cell::Cell;

/// A fault that a check must find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// An atomic change is a load, then a store.
    SplitChange,
    /// A wake-up of waiting threads has no effect.
    LostNotify,
    /// `unpark` has no effect.
    LostUnpark,
    /// A lock is never free for `try_lock`.
    DeniedTryLock,
    /// A store to a page of shared memory takes effect after the next store.
    LateStore,
    /// The ring reports one free slot more than it has.
    OptimisticRing,
}

real_std::thread_local! {
    static PRESENT: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Sets the fault of this thread's executions.
pub fn set(fault: Option<Fault>) {
    PRESENT.set(fault);
}

/// Whether the executions have this fault.
pub fn is(fault: Fault) -> bool {
    PRESENT.get() == Some(fault)
}
