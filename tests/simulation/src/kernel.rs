//! The kernel of a simulated machine: threads, processes, time, shared memory and locks of files.
//!
//! All threads are coroutines on one thread of the system. One runs until it waits. Then the kernel chooses the next,
//! at random by the seed. If no thread can run, time advances to the next deadline.

mod processes;
mod shared_memory;

use carbontracker::clock::{ClockSample, MonoNs, UnixS};
use carbontracker::os::world::Task;
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use fastrand::Rng;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The library's clock has its zero 36 years before the machine's boot.
const BOOT: u64 = 1 << 60;
/// A world begins this long after the boot, ns.
pub const BEGIN: u64 = 100_000_000_000;
/// Bytes of a thread's stack. A stand-in of NVML takes half of 256 KiB, and code without optimisation the rest.
const STACK_BYTES: usize = 384 << 10;
/// Time that passes whenever a thread gets the processor, ns.
const SWITCH_NS: u64 = 300;

/// A number of processes, threads and events that runs without end is a fault. This many switches end a world.
const MAX_SWITCHES: u64 = 20_000_000;

type Yields = Yielder<(), ()>;
type Fiber = Coroutine<(), (), (), DefaultStack>;

thread_local! {
    /// Stacks that no simulated thread uses. The next world takes them too.
    static FREE_STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
    /// Number of stacks that were made for the worlds of this thread of the system.
    static STACKS: Cell<usize> = const { Cell::new(0) };
}

/// A simulated thread.
struct Thread {
    process: u32,
    name: String,
    fiber: Option<Fiber>,
    /// What suspends the thread, while it runs.
    yielder: *const Yields,
    waits: Waits,
    /// It was unparked before it parked.
    has_token: bool,
    /// Distinguishes its waits, so that a late deadline wakes nothing.
    turn: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Waits {
    /// It can run.
    Nothing,
    /// A sleep, which only its deadline ends.
    Time,
    /// A park.
    Unpark,
    /// A condition variable.
    Notify(usize),
}

/// A simulated process.
struct Process {
    /// Its program. An exec changes it.
    program: u64,
    variables: Vec<(String, String)>,
    started: u64,
    /// Number of threads that its exit waits for.
    awaited: i64,
    /// Its threads do not run before this instant (SIGSTOP).
    stopped_until: u64,
    /// Attached segments.
    attached: Vec<i32>,
}

/// A segment of shared memory.
struct Segment {
    key: Option<i32>,
    memory: Arc<[AtomicU64]>,
    attached: u64,
}

/// The three clocks, and how they differ.
#[derive(Clone, Copy)]
pub struct Clocks {
    /// Time since the world's beginning, ns.
    pub now: u64,
    /// The last boot, where CLOCK_MONOTONIC begins.
    pub boot_at: u64,
    /// Time that the machine has slept, ns.
    pub slept: u64,
    /// The date at the world's beginning, s since 1970.
    pub begin_unix_s: f64,
}

/// The kernel's tables.
pub struct Kernel {
    pub clocks: Cell<Clocks>,
    pub rng: RefCell<Rng>,
    threads: RefCell<BTreeMap<Task, Thread>>,
    ready: RefCell<Vec<Task>>,
    deadlines: RefCell<BinaryHeap<Reverse<(u64, Task, u64)>>>,
    processes: RefCell<BTreeMap<u32, Process>>,
    segments: RefCell<BTreeMap<i32, Segment>>,
    locks: RefCell<HashMap<(u64, u64), u32>>,
    current: Cell<(Task, u32)>,
    next_task: Cell<Task>,
    next_process: Cell<u32>,
    next_segment: Cell<i32>,
    switches: Cell<u64>,
    /// The longest time that a thread which can run waits for a processor, ns. 0: it does not wait.
    pub late_ns: Cell<u64>,
    /// Segments are refused with this error of the system.
    pub refused: Cell<Option<i32>>,
    /// The first panic of a thread.
    failure: RefCell<Option<String>>,
}

impl Kernel {
    /// A machine that has just booted.
    pub fn new(seed: u64) -> Kernel {
        let rng = Rng::with_seed(seed);
        let clocks = Clocks { now: BEGIN, boot_at: 0, slept: 0, begin_unix_s: 1_767_225_600.0 };
        Kernel {
            clocks: Cell::new(clocks),
            rng: RefCell::new(rng),
            threads: RefCell::default(),
            ready: RefCell::default(),
            deadlines: RefCell::default(),
            processes: RefCell::default(),
            segments: RefCell::default(),
            locks: RefCell::default(),
            current: Cell::new((0, 0)),
            next_task: Cell::new(1),
            next_process: Cell::new(100),
            next_segment: Cell::new(1),
            switches: Cell::new(0),
            late_ns: Cell::new(0),
            refused: Cell::new(None),
            failure: RefCell::default(),
        }
    }

    /// Nanoseconds since boot.
    pub fn now(&self) -> u64 {
        self.clocks.get().now
    }

    /// The library's three clocks.
    pub fn sample(&self) -> ClockSample {
        let Clocks { now, boot_at, slept, begin_unix_s } = self.clocks.get();
        ClockSample {
            monotonic: MonoNs(BOOT + now - boot_at),
            boot_ns: BOOT + now - boot_at + slept,
            unix: UnixS(begin_unix_s + (now + slept) as f64 * 1e-9),
        }
    }

    /// The world's time of an instant on the library's clock.
    pub fn world_ns(&self, at: MonoNs) -> u64 {
        at.0.saturating_sub(BOOT).saturating_add(self.clocks.get().boot_at)
    }

    /// Sets the date forward or back, s.
    pub fn set_date(&self, by_s: f64) {
        let clocks = self.clocks.get();
        self.clocks.set(Clocks { begin_unix_s: clocks.begin_unix_s + by_s, ..clocks });
    }

    /// Lets the machine sleep for a time, ns. CLOCK_MONOTONIC stands still.
    pub fn suspend_machine(&self, ns: u64) {
        let clocks = self.clocks.get();
        self.clocks.set(Clocks { slept: clocks.slept + ns, ..clocks });
    }

    /// Starts a process, whose first thread runs `main`.
    pub fn start(&self, variables: Vec<(String, String)>, main: impl FnOnce() + 'static) -> u32 {
        let process = self.next_process.replace(self.next_process.get() + 1);
        let started = self.now() / 10_000_000 + u64::from(process);
        let program = self.next_task.get();
        let new = Process { program, variables, started, awaited: 0, stopped_until: 0, attached: Vec::new() };
        self.processes.borrow_mut().insert(process, new);
        self.spawn_in(process, "main", Box::new(main));
        process
    }

    /// Starts a thread of the current process.
    pub fn spawn(&self, name: &str, body: Box<dyn FnOnce()>) -> Task {
        self.spawn_in(self.process(), name, body)
    }

    fn spawn_in(&self, process: u32, name: &str, body: Box<dyn FnOnce()>) -> Task {
        let task = self.next_task.replace(self.next_task.get() + 1);
        let stack = FREE_STACKS.with_borrow_mut(Vec::pop).unwrap_or_else(new_stack);
        let kernel = std::ptr::from_ref(self);
        let fiber = Fiber::with_stack(stack, move |yielder, ()| {
            // SAFETY: the kernel runs this fiber, so it exists. It drops all fibers before itself.
            let kernel = unsafe { &*kernel };
            if let Some(thread) = kernel.threads.borrow_mut().get_mut(&task) {
                thread.yielder = yielder;
            }
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            if let Err(panic) = ended {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
                kernel.fail(words.unwrap_or_else(|| "a panic without words".into()));
            }
        });
        let thread = Thread {
            process,
            name: name.to_owned(),
            fiber: Some(fiber),
            yielder: std::ptr::null(),
            waits: Waits::Nothing,
            has_token: false,
            turn: 0,
        };
        self.threads.borrow_mut().insert(task, thread);
        self.ready.borrow_mut().push(task);
        task
    }

    /// Notes a failure of this world. The first one counts.
    pub fn fail(&self, words: String) {
        self.failure.borrow_mut().get_or_insert(words);
    }

    /// The failure of this world.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Runs until no thread is left, or this instant, or a failure.
    pub fn run(&self, until: u64) {
        while self.failure.borrow().is_none() {
            if self.switches.get() > MAX_SWITCHES {
                self.fail(format!("a thread never rests: {}", self.busy()));
                return;
            }
            let Some(task) = self.choose(until) else { return };
            self.switch_to(task);
        }
    }

    /// The number of times that a thread got the processor.
    pub fn switches(&self) -> u64 {
        self.switches.get()
    }

    /// The names of the threads that can run.
    fn busy(&self) -> String {
        let threads = self.threads.borrow();
        let names: Vec<&str> =
            self.ready.borrow().iter().filter_map(|task| Some(threads.get(task)?.name.as_str())).collect();
        names.join(", ")
    }

    /// The next thread. None: no thread will run before `until`.
    fn choose(&self, until: u64) -> Option<Task> {
        loop {
            let task = {
                let mut ready = self.ready.borrow_mut();
                match ready.len() {
                    0 => None,
                    1 => ready.pop(),
                    count => Some(ready.swap_remove(self.rng.borrow_mut().usize(..count))),
                }
            };
            match task {
                Some(task) if self.is_runnable(task) && !self.is_starved(task) => return Some(task),
                Some(_) => (),
                None => self.advance(until)?,
            }
        }
    }

    /// Whether a thread lives and its process is not stopped.
    fn is_runnable(&self, task: Task) -> bool {
        let mut threads = self.threads.borrow_mut();
        let Some(thread) = threads.get_mut(&task) else { return false };
        let stopped_until = self.processes.borrow().get(&thread.process).map_or(0, |process| process.stopped_until);
        if stopped_until > self.now() {
            self.postpone(task, thread, stopped_until);
            return false;
        }
        true
    }

    /// Lets a thread wait for a processor, now and then.
    fn is_starved(&self, task: Task) -> bool {
        let mut rng = self.rng.borrow_mut();
        let is_starved = self.late_ns.get() > 0 && rng.u8(..4) == 0;
        if is_starved && let Some(thread) = self.threads.borrow_mut().get_mut(&task) {
            self.postpone(task, thread, self.now() + rng.u64(..self.late_ns.get()));
        }
        is_starved
    }

    fn postpone(&self, task: Task, thread: &mut Thread, until: u64) {
        thread.turn += 1;
        thread.waits = Waits::Time;
        self.deadlines.borrow_mut().push(Reverse((until, task, thread.turn)));
    }

    /// Advances time to the next deadline. None: there is none before `until`.
    fn advance(&self, until: u64) -> Option<()> {
        let mut deadlines = self.deadlines.borrow_mut();
        while let Some(&Reverse((at, task, turn))) = deadlines.peek() {
            if at > until {
                break;
            }
            deadlines.pop();
            let mut threads = self.threads.borrow_mut();
            let Some(thread) = threads.get_mut(&task).filter(|thread| thread.turn == turn) else { continue };
            thread.turn += 1;
            thread.waits = Waits::Nothing;
            self.ready.borrow_mut().push(task);
            self.set_now(at.max(self.now()));
            return Some(());
        }
        if !deadlines.is_empty() {
            self.set_now(until.max(self.now()));
        }
        None
    }

    fn set_now(&self, now: u64) {
        self.clocks.set(Clocks { now, ..self.clocks.get() });
    }

    fn switch_to(&self, task: Task) {
        let (process, mut fiber) = {
            let mut threads = self.threads.borrow_mut();
            let Some(thread) = threads.get_mut(&task) else { return };
            let Some(fiber) = thread.fiber.take() else { return };
            (thread.process, fiber)
        };
        self.switches.set(self.switches.get() + 1);
        self.set_now(self.now() + SWITCH_NS);
        self.current.set((task, process));
        let ended = matches!(fiber.resume(()), CoroutineResult::Return(()));
        self.current.set((0, 0));
        if ended {
            self.threads.borrow_mut().remove(&task);
            keep_stack(fiber);
            return;
        }
        let mut threads = self.threads.borrow_mut();
        match threads.get_mut(&task) {
            Some(thread) => thread.fiber = Some(fiber),
            None => discard(fiber), // it has killed its own process
        }
    }

    /// Suspends the current thread. Does nothing outside a thread.
    fn suspend(&self, waits: Waits, until: Option<u64>) {
        let (task, _) = self.current.get();
        let yielder = {
            let mut threads = self.threads.borrow_mut();
            let Some(thread) = threads.get_mut(&task) else { return };
            thread.waits = waits;
            thread.turn += 1;
            if let Some(until) = until {
                self.deadlines.borrow_mut().push(Reverse((until, task, thread.turn)));
            }
            thread.yielder
        };
        // SAFETY: the yielder is on the stack of the current fiber, which is this call's stack.
        unsafe { (*yielder).suspend(()) };
    }

    /// Suspends the current thread until the clock shows `until`, ns since boot.
    pub fn sleep_until(&self, until: u64) {
        self.suspend(Waits::Time, Some(until));
    }

    /// Suspends the current thread for a time, ns.
    pub fn sleep(&self, ns: u64) {
        self.sleep_until(self.now().saturating_add(ns));
    }

    /// Suspends the current thread until it is unparked.
    pub fn park(&self, until: u64) {
        let (task, _) = self.current.get();
        let had_token =
            self.threads.borrow_mut().get_mut(&task).is_some_and(|thread| std::mem::take(&mut thread.has_token));
        if !had_token {
            self.suspend(Waits::Unpark, Some(until));
            self.threads.borrow_mut().get_mut(&task).into_iter().for_each(|thread| thread.has_token = false);
        }
    }

    /// Unparks a thread.
    pub fn unpark(&self, task: Task) {
        let mut threads = self.threads.borrow_mut();
        let Some(thread) = threads.get_mut(&task) else { return };
        thread.has_token = true;
        if thread.waits == Waits::Unpark {
            self.make_ready(task, thread);
        }
    }

    /// Suspends the current thread until a condition variable is notified.
    pub fn wait(&self, address: usize, until: u64) {
        self.suspend(Waits::Notify(address), Some(until));
    }

    /// Notifies a condition variable.
    pub fn notify(&self, address: usize) {
        for (task, thread) in self.threads.borrow_mut().iter_mut() {
            if thread.waits == Waits::Notify(address) {
                self.make_ready(*task, thread);
            }
        }
        self.ready.borrow_mut().sort_unstable(); // a map's order is not the seed's
    }

    fn make_ready(&self, task: Task, thread: &mut Thread) {
        thread.waits = Waits::Nothing;
        thread.turn += 1;
        self.ready.borrow_mut().push(task);
    }

    /// The current thread.
    pub fn current(&self) -> Task {
        self.current.get().0
    }

    /// The current process; 0 outside all.
    pub fn process(&self) -> u32 {
        self.current.get().1
    }

    /// Whether a thread has ended.
    pub fn is_finished(&self, task: Task) -> bool {
        !self.threads.borrow().contains_key(&task)
    }

    /// Ends the machine with its threads. It must be called: what a killed thread owns is never dropped, and that may
    /// be a reference to this kernel.
    pub fn end(&self) {
        let threads = self.threads.take();
        threads.into_values().filter_map(|thread| thread.fiber).for_each(discard);
        drop((self.deadlines.take(), self.processes.take(), self.segments.take()));
    }
}

/// Ends a fiber without running its destructors, as a kill does.
fn discard(mut fiber: Fiber) {
    if !fiber.done() {
        // SAFETY: nothing refers to the fiber's stack any more: its process is dead. What it owns leaks, as intended: a
        // killed process runs no destructor.
        unsafe { fiber.force_reset() };
    }
    keep_stack(fiber);
}

/// Keeps the stack of an ended fiber for the next one.
fn keep_stack(fiber: Fiber) {
    FREE_STACKS.with_borrow_mut(|stacks| stacks.push(fiber.into_stack()));
}

fn new_stack() -> DefaultStack {
    STACKS.set(STACKS.get() + 1);
    DefaultStack::new(STACK_BYTES).expect("memory for a stack")
}

/// Number of stacks that were made for the worlds of this thread of the system.
pub fn stacks() -> usize {
    STACKS.get()
}
