//! Counts the memory that a world holds. A world runs on one thread of the system, so each thread has its own count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a count.
pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static HELD: Cell<i64> = const { Cell::new(0) };
    /// The most since the begin of a [`Watch`].
    static MOST: Cell<i64> = const { Cell::new(0) };
}

fn add(bytes: i64) {
    // A thread that ends has no count any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: all calls go to the system's allocator unchanged. The count allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as i64);
        // SAFETY: the caller keeps the contract of this method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as i64);
        // SAFETY: the caller keeps the contract of this method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(-(layout.size() as i64));
        // SAFETY: the caller keeps the contract of this method.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        add(bytes as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of this method.
        unsafe { System.realloc(block, layout, bytes) }
    }
}

/// Begins to look for the most memory that this thread holds, beyond what it holds now.
pub struct Watch {
    before: i64,
}

impl Watch {
    /// Begins now.
    pub fn begin() -> Watch {
        let before = HELD.get();
        MOST.set(before);
        Watch { before }
    }

    /// The most bytes held since the begin, beyond those held before.
    pub fn most(&self) -> u64 {
        (MOST.get() - self.before).max(0) as u64
    }
}
