//! The application's side: the open phases, and the time since the last mark.
//!
//! It runs on the application's thread, takes no lock and allocates only at a phase's first begin. Times are summed up
//! in slices: a slice ends after a millisecond, or where a longer phase begins or ends. If the ring is full, the slice
//! grows until there is room: then no time is lost, but only where in the slice it was.

use super::tree::{IN_EPOCH, MAX_PHASES, OUTSIDE, PhaseTree};
use crate::clock::MonoNs;
use rtrb::Producer;
use std::sync::Arc;

/// Shortest slice, ns: about a step of a processor's energy counter.
const SLICE_NS: u64 = 1_000_000;
/// A phase of this length gets readings of its own, ns.
pub const LONG_NS: u64 = 20_000_000;
/// Most phases that are open at a time.
pub const MAX_DEPTH: usize = 64;

/// A mark for the sampling thread. A slice is a part for each phase in it, and its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PhaseMark {
    /// The first slice begins.
    Start(MonoNs),
    /// Time in a phase in this slice, and how often it began.
    Part {
        /// Its number in the tree.
        phase: u16,
        /// How often it began.
        entries: u32,
        /// Time in it and in none of the phases within it, ns.
        ns: u64,
    },
    /// The slice ends.
    End(MonoNs),
}

/// The open phases, and the times that are not in the ring yet.
pub struct PhaseStack {
    tree: Arc<PhaseTree>,
    marks: Producer<PhaseMark>,
    /// The open phases, outermost first.
    open: Vec<usize>,
    is_in_epoch: bool,
    /// The last mark and the start of the slice; None: no phase has begun.
    since: Option<Since>,
    /// Times and entries of this slice, by phase.
    times: Box<[(u64, u32); MAX_PHASES]>,
    /// The phases with an entry in `times`.
    touched: Vec<u16>,
    /// The phase that begins next if the program goes in circles.
    likely: usize,
}

#[derive(Clone, Copy)]
struct Since {
    mark: MonoNs,
    slice: MonoNs,
}

impl PhaseStack {
    /// A stack without phases.
    pub fn new(tree: Arc<PhaseTree>, marks: Producer<PhaseMark>) -> PhaseStack {
        PhaseStack {
            tree,
            marks,
            open: Vec::with_capacity(MAX_DEPTH),
            is_in_epoch: false,
            since: None,
            times: Box::new([(0, 0); MAX_PHASES]),
            touched: Vec::with_capacity(MAX_PHASES),
            likely: OUTSIDE,
        }
    }

    /// Begins a phase within the open ones. Returns whether the time before it was long; None: too many are open.
    pub fn begin(&mut self, name: &str, now: MonoNs) -> Option<bool> {
        if self.open.len() >= MAX_DEPTH {
            return None;
        }
        let is_long = self.elapse(now);
        let phase = self.tree.find(self.current(), name, self.likely);
        self.open.push(phase);
        self.likely = phase + 1;
        self.touch(phase, 0, 1);
        Some(is_long)
    }

    /// Ends the innermost phase. Returns whether the time before was long; None: no phase is open.
    pub fn end(&mut self, now: MonoNs) -> Option<bool> {
        if self.open.is_empty() {
            return None;
        }
        let is_long = self.elapse(now);
        self.likely = self.open.pop().unwrap_or(OUTSIDE) + 1;
        Some(is_long)
    }

    /// Follows the begin or end of an epoch. The open phases go on, inside or outside it.
    pub fn set_in_epoch(&mut self, is_in_epoch: bool, now: MonoNs) {
        if self.since.is_some() {
            self.elapse(now);
        }
        self.is_in_epoch = is_in_epoch;
        let mut parent = self.root();
        for phase in &mut self.open {
            let name = self.tree.get(*phase).map_or("", |phase| &phase.name);
            parent = self.tree.find(parent, name, OUTSIDE);
            *phase = parent;
        }
    }

    /// Puts what is known up to the last mark into the ring. Returns whether all of it is there.
    pub fn flush(&mut self) -> bool {
        self.since.is_none_or(|since| self.push_slice(since.mark))
    }

    /// Whether a phase has begun.
    pub fn is_used(&self) -> bool {
        self.since.is_some()
    }

    /// Adds the time since the last mark to the innermost phase. Returns whether it was long.
    pub fn elapse(&mut self, now: MonoNs) -> bool {
        let Some(since) = self.since else {
            if self.marks.push(PhaseMark::Start(now)).is_ok() {
                self.since = Some(Since { mark: now, slice: now });
            }
            return true;
        };
        let ns = now.ns_since(since.mark);
        if ns >= SLICE_NS {
            self.push_slice(since.mark);
        }
        self.touch(self.current(), ns, 0);
        let slice = self.since.map_or(now, |since| since.slice);
        self.since = Some(Since { mark: now.max(since.mark), slice });
        if now.ns_since(slice) >= SLICE_NS {
            self.push_slice(now);
        }
        ns >= LONG_NS
    }

    fn root(&self) -> usize {
        if self.is_in_epoch { IN_EPOCH } else { OUTSIDE }
    }

    fn current(&self) -> usize {
        self.open.last().copied().unwrap_or(self.root())
    }

    fn touch(&mut self, phase: usize, ns: u64, entries: u32) {
        let Some((time, begins)) = self.times.get_mut(phase) else { return };
        if (*time, *begins) == (0, 0) {
            self.touched.push(phase as u16);
        }
        *time += ns;
        *begins = begins.saturating_add(entries);
        if (*time, *begins) == (0, 0) {
            self.touched.pop();
        }
    }

    /// Puts the slice that ends at `to` into the ring, if there is room. Returns whether it did.
    fn push_slice(&mut self, to: MonoNs) -> bool {
        let Some(since) = self.since.filter(|_| self.marks.slots() > self.touched.len()) else { return false };
        if self.touched.is_empty() && to <= since.slice {
            return true;
        }
        for &phase in &self.touched {
            let Some(time) = self.times.get_mut(usize::from(phase)) else { continue };
            let (ns, entries) = std::mem::take(time);
            // There is room: `slots` was looked at above.
            let _ = self.marks.push(PhaseMark::Part { phase, entries, ns });
        }
        self.touched.clear();
        let _ = self.marks.push(PhaseMark::End(to));
        self.since = Some(Since { slice: to, ..since });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::phases::PhaseBook;
    use rtrb::{Consumer, RingBuffer};

    const MS: u64 = 1_000_000;

    fn stack(capacity: usize) -> (PhaseStack, Consumer<PhaseMark>, Arc<PhaseTree>) {
        let tree = Arc::new(PhaseTree::default());
        let (producer, consumer) = RingBuffer::new(capacity);
        (PhaseStack::new(Arc::clone(&tree), producer), consumer, tree)
    }

    fn read(consumer: &mut Consumer<PhaseMark>, book: &mut PhaseBook) {
        while let Ok(mark) = consumer.pop() {
            book.mark(mark);
        }
    }

    /// Time and entries of a phase, by its path.
    fn time(book: &PhaseBook, tree: &PhaseTree, path: &str, is_in_epoch: bool) -> (u64, u64) {
        let is_it = |phase: &usize| {
            tree.path(*phase) == (path.split('/').filter(|name| !name.is_empty()).collect(), is_in_epoch)
        };
        let phase = (0..tree.count()).find(is_it).expect("a phase of this path");
        let time = book.time(phase);
        (time.ns, time.entries)
    }

    #[test]
    fn time_belongs_to_the_innermost_phase() {
        let (mut stack, mut marks, tree) = stack(1 << 10);
        let mut book = PhaseBook::default();
        stack.set_in_epoch(true, MonoNs(0));
        stack.begin("step", MonoNs(MS));
        stack.begin("solve", MonoNs(3 * MS));
        stack.end(MonoNs(8 * MS));
        stack.end(MonoNs(9 * MS));
        stack.begin("step", MonoNs(10 * MS));
        stack.set_in_epoch(false, MonoNs(12 * MS));
        stack.end(MonoNs(13 * MS));
        assert_eq!(stack.end(MonoNs(13 * MS)), None);
        assert!(stack.flush());
        read(&mut marks, &mut book);
        assert_eq!(time(&book, &tree, "step", true), (5 * MS, 2));
        assert_eq!(time(&book, &tree, "step/solve", true), (5 * MS, 1));
        assert_eq!(time(&book, &tree, "step", false), (MS, 0));
        assert_eq!(time(&book, &tree, "", true), (MS, 0));
    }

    #[test]
    fn full_ring_loses_no_time() {
        let (mut stack, mut marks, tree) = stack(8);
        let mut book = PhaseBook::default();
        for n in 0..100_u64 {
            stack.begin("even", MonoNs(20 * n * MS));
            stack.end(MonoNs((20 * n + 15) * MS));
            if n % 10 == 9 {
                read(&mut marks, &mut book);
            }
        }
        assert!(!stack.flush() || marks.slots() > 0);
        read(&mut marks, &mut book);
        assert!(stack.flush());
        read(&mut marks, &mut book);
        assert_eq!(time(&book, &tree, "even", false), (1_500 * MS, 100));
        assert_eq!(time(&book, &tree, "", false), (99 * 5 * MS, 0));
    }

    #[test]
    fn deepest_phase_is_refused_and_changes_nothing() {
        let (mut stack, _marks, _) = stack(1 << 10);
        for n in 0..MAX_DEPTH {
            assert!(stack.begin("in", MonoNs(n as u64)).is_some());
        }
        assert_eq!(stack.begin("in", MonoNs(1_000)), None);
        for _ in 0..MAX_DEPTH {
            assert!(stack.end(MonoNs(2_000)).is_some());
        }
        assert_eq!(stack.end(MonoNs(3_000)), None);
    }
}
