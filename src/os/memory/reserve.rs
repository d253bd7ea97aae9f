//! The system's allocator with a reserve, which serves if the system has no memory left.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static RESERVE: Reserve = Reserve::new();
/// Whether [`Allocator`] is the allocator of this program. Otherwise the reserve is never used.
static IS_IN_USE: AtomicBool = AtomicBool::new(false);

/// The reserve's size, bytes. It takes no memory until it is used.
const SIZE: usize = 4 << 20;
/// The largest alignment of a block of the reserve, bytes.
const ALIGN: usize = 4096;
/// The size of a unit, bytes. A block is a whole number of units.
const UNIT: usize = 64;
const UNITS: usize = SIZE / UNIT;
const BITS: usize = u64::BITS as usize;
const WORDS: usize = UNITS / BITS;

/// The free bytes of the reserve; 0 in a program with another allocator.
pub fn free() -> usize {
    if IS_IN_USE.load(Ordering::Relaxed) { RESERVE.free() } else { 0 }
}

/// The system's allocator, with the reserve for when the system has no memory left. It is the `#[global_allocator]` of
/// the C library and of the command.
pub struct Allocator;

// SAFETY: each block is from the system or from the reserve, and its address shows which of them frees it. Both keep
// the contract of `GlobalAlloc`.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IS_IN_USE.load(Ordering::Relaxed) {
            IS_IN_USE.store(true, Ordering::Relaxed);
        }
        // SAFETY: the layout is the caller's.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() { RESERVE.take(layout) } else { block }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is the caller's.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            return block;
        }
        let block = RESERVE.take(layout);
        if !block.is_null() {
            // SAFETY: the block has `size` bytes.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if RESERVE.holds(block) {
            RESERVE.give_back(block, layout.size());
        } else {
            // SAFETY: a block that is not the reserve's is the system's.
            unsafe { System.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller ensures that the size fits the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let is_reserved = RESERVE.holds(block);
        if is_reserved && size <= layout.size() {
            RESERVE.resize(block, layout.size(), size);
            return block;
        }
        // SAFETY: the sizes are the caller's. A block that is not the reserve's is the system's, and stays valid on
        // failure.
        let moved = unsafe { if is_reserved { System.alloc(wanted) } else { System.realloc(block, layout, size) } };
        if !is_reserved && !moved.is_null() {
            return moved;
        }
        if moved.is_null() && is_reserved && RESERVE.resize(block, layout.size(), size) {
            return block;
        }
        let moved = if moved.is_null() { RESERVE.take(wanted) } else { moved };
        if !moved.is_null() {
            // SAFETY: both blocks have this length or more and do not overlap. The old block is freed once.
            unsafe {
                moved.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

/// Memory that is always available, in units. A bit for each unit marks whether it is in use.
struct Reserve {
    bytes: UnsafeCell<Bytes>,
    used: [AtomicU64; WORDS],
    is_locked: AtomicBool,
}

#[allow(dead_code)] // only reached by its address
#[repr(align(4096))]
struct Bytes([u8; SIZE]);

// SAFETY: each byte has one owner at a time, and the reserve itself reads and writes none.
unsafe impl Sync for Reserve {}

impl Reserve {
    const fn new() -> Reserve {
        Reserve {
            bytes: UnsafeCell::new(Bytes([0; SIZE])),
            used: [const { AtomicU64::new(0) }; WORDS],
            is_locked: AtomicBool::new(false),
        }
    }

    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Whether a block is in the reserve.
    fn holds(&self, block: *mut u8) -> bool {
        (block as usize).wrapping_sub(self.start() as usize) < SIZE
    }

    /// The number of free bytes.
    fn free(&self) -> usize {
        SIZE - UNIT * self.used.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum::<usize>()
    }

    /// Allocates a block; null if no block of that length is free.
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN {
            return null_mut();
        }
        let step = layout.align().div_ceil(UNIT);
        let first = self.locked(|| {
            let first = self.find(layout.size().div_ceil(UNIT), step)?;
            self.set(first..first + layout.size().div_ceil(UNIT), true);
            Some(first)
        });
        first.map_or(null_mut(), |first| self.start().wrapping_add(first * UNIT))
    }

    /// Makes a block longer or shorter in place; false if the units after it are in use.
    fn resize(&self, block: *mut u8, old_bytes: usize, after: usize) -> bool {
        let (old, new) = (self.units(block, old_bytes), self.units(block, after));
        self.locked(|| {
            let fits = new.end <= UNITS && self.first_used(old.end..new.end).is_none();
            if fits {
                self.set(old.end..new.end, true);
                self.set(new.end..old.end, false);
            }
            fits
        })
    }

    fn give_back(&self, block: *mut u8, size: usize) {
        let units = self.units(block, size);
        self.locked(|| self.set(units, false));
    }

    /// The units of a block of `size` bytes.
    fn units(&self, block: *mut u8, size: usize) -> Range<usize> {
        let first = (block as usize).wrapping_sub(self.start() as usize) / UNIT;
        first..first.saturating_add(size.div_ceil(UNIT))
    }

    /// The first of `count` free units in a row, at a multiple of `step`.
    fn find(&self, count: usize, step: usize) -> Option<usize> {
        let mut first = 0usize;
        loop {
            let end = first.checked_add(count).filter(|end| *end <= UNITS)?;
            let Some(used) = self.first_used(first..end) else { return Some(first) };
            first = (used + (self.word(used) >> (used % BITS)).trailing_ones() as usize).next_multiple_of(step);
        }
    }

    fn first_used(&self, units: Range<usize>) -> Option<usize> {
        let mut at = units.start;
        while at < units.end {
            let word = self.word(at) >> (at % BITS);
            if word != 0 {
                return Some(at + word.trailing_zeros() as usize).filter(|used| *used < units.end);
            }
            at = (at / BITS + 1) * BITS;
        }
        None
    }

    /// The word with the bit of a unit.
    fn word(&self, unit: usize) -> u64 {
        self.used.get(unit / BITS).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn set(&self, units: Range<usize>, is_used: bool) {
        for unit in units {
            let (Some(word), bit) = (self.used.get(unit / BITS), 1 << (unit % BITS)) else { return };
            let others = word.load(Ordering::Relaxed) & !bit;
            word.store(if is_used { others | bit } else { others }, Ordering::Relaxed);
        }
    }

    /// Does `work` on the bits while no other thread does. It takes a few microseconds.
    fn locked<T>(&self, work: impl FnOnce() -> T) -> T {
        while self.is_locked.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        let result = work();
        self.is_locked.store(false, Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    fn used(reserve: &Reserve) -> usize {
        (SIZE - reserve.free()) / UNIT
    }

    #[test]
    fn blocks_given_back_are_free_again_wherever_they_are() {
        static RESERVE: Reserve = Reserve::new();
        let offset = |block: *mut u8| block as usize - RESERVE.start() as usize;
        let (one, two, three) =
            (RESERVE.take(layout(10, 1)), RESERVE.take(layout(100, 256)), RESERVE.take(layout(65, 8)));
        assert_eq!((offset(one), offset(two), offset(three)), (0, 256, 64));
        assert!(
            RESERVE.holds(three) && !RESERVE.holds(null_mut()) && !RESERVE.holds(RESERVE.start().wrapping_add(SIZE))
        );
        assert!(RESERVE.resize(two, 100, 200) && RESERVE.resize(two, 200, 50) && !RESERVE.resize(one, 10, 65));
        assert!(!RESERVE.resize(two, 50, SIZE) && !RESERVE.resize(two, 50, usize::MAX));
        assert_eq!(used(&RESERVE), 1 + 1 + 2);
        RESERVE.give_back(three, 65);
        assert!(RESERVE.resize(one, 10, 256) && !RESERVE.resize(one, 256, 257));
        assert_eq!(offset(RESERVE.take(layout(1, 1))), 320);
        RESERVE.give_back(RESERVE.start().wrapping_add(320), 1);
        RESERVE.give_back(one, 256);
        RESERVE.give_back(two, 50);
        assert_eq!(used(&RESERVE), 0);
        assert!(RESERVE.take(layout(SIZE + 1, 1)).is_null() && RESERVE.take(layout(1, 2 * ALIGN)).is_null());
        let all = RESERVE.take(layout(SIZE, ALIGN));
        assert!(!all.is_null() && RESERVE.take(layout(1, 1)).is_null());
        RESERVE.give_back(all, SIZE);
        assert_eq!(used(&RESERVE), 0);
    }

    #[test]
    fn blocks_of_two_threads_never_overlap() {
        static RESERVE: Reserve = Reserve::new();
        let work = |mark: u8| {
            for size in (1..500).cycle().take(20_000) {
                let block = RESERVE.take(layout(size, 8));
                assert!(!block.is_null());
                // SAFETY: the block belongs to this thread and has `size` bytes.
                let bytes = unsafe {
                    block.write_bytes(mark, size);
                    std::slice::from_raw_parts(block, size)
                };
                assert!(bytes.iter().all(|byte| *byte == mark));
                RESERVE.give_back(block, size);
            }
        };
        std::thread::scope(|scope| (1..5).for_each(|mark| drop(scope.spawn(move || work(mark)))));
        assert_eq!(used(&RESERVE), 0);
    }
}
