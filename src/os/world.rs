//! The simulated machine of a test. Without the feature `simulation` nothing here exists, and all calls go to the
//! kernel.
//!
//! A test enters a [`World`] on its thread. From then on this folder asks the world for clocks, threads, waits,
//! processes, shared memory, locks, disks and web services. The library's code above `os` is the same in both.

use crate::clock::{ClockSample, MonoNs};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The number of a simulated thread.
pub type Task = u64;

/// What an operation on a file is about to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DiskCall {
    /// Creates or opens a file.
    Open,
    /// Writes this many bytes.
    Write(usize),
    /// Writes what was written before to the disk.
    Sync,
    /// Gives a file its final name.
    Rename,
}

/// The reply of a web service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebReply {
    /// The status of HTTP.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

/// A simulated machine. All its threads run one at a time on one thread of the system.
pub trait World {
    /// The clocks now.
    fn clocks(&self) -> ClockSample;
    /// A random number.
    fn random(&self) -> u64;

    /// Starts a thread of the current process.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce()>) -> io::Result<Task>;
    /// The current thread.
    fn current(&self) -> Task;
    /// Whether a thread has ended.
    fn is_finished(&self, task: Task) -> bool;
    /// Suspends the current thread until an [`unpark`](World::unpark) or this instant.
    fn park(&self, until: MonoNs);
    /// Ends the thread's current park, or its next one.
    fn unpark(&self, task: Task);
    /// Suspends the current thread until this instant.
    fn sleep(&self, until: MonoNs);
    /// Suspends the current thread until a [`notify`](World::notify) of the same address or this instant.
    fn wait(&self, address: usize, until: MonoNs);
    /// Wakes all threads that wait for this address.
    fn notify(&self, address: usize);

    /// The number of the current process.
    fn process(&self) -> u32;
    /// The start of a living process in clock ticks. None: it is dead.
    fn process_start(&self, process: u32) -> Option<u64>;
    /// The number of the program that the current process runs. An exec changes it.
    fn program(&self) -> u64;
    /// Whether a process has a thread of this library.
    fn has_own_thread(&self, process: u32) -> bool;
    /// An environment variable of the current process.
    fn variable(&self, name: &str) -> Option<OsString>;
    /// Adds to the number of threads that the exit of the current process waits for. Returns the new number.
    fn awaited(&self, change: i64) -> u64;

    /// The number of the shared memory segment of a key. With `creates`, it is made, and must not exist.
    fn segment(&self, key: i32, count: usize, creates: bool) -> io::Result<i32>;
    /// Attaches the segment of this number to the current process.
    fn attach(&self, segment: i32) -> io::Result<Arc<[AtomicU64]>>;
    /// The number of attachments of a segment. `change` is added first.
    fn attached(&self, segment: i32, change: i64) -> u64;
    /// Removes a segment's key.
    fn remove(&self, segment: i32);
    /// Locks a file, by device and inode, for the current process. Returns the other process that has it locked.
    fn lock(&self, file: (u64, u64)) -> io::Result<Option<u32>>;

    /// Before an operation on a file: how many bytes of a write the disk takes, or its failure. It may take time.
    fn disk(&self, path: &Path, call: DiskCall) -> io::Result<usize>;
    /// The folder in memory that all processes see.
    fn memory_folder(&self) -> PathBuf;
    /// The reply of a web service to a request for this address, within this time. No real connection is opened.
    fn fetch(&self, url: &str, within: Duration) -> io::Result<WebReply>;
}

#[cfg(feature = "simulation")]
mod entered {
    use super::World;
    use std::any::Any;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::sync::Mutex;

    thread_local! {
        static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
        /// The values of simulated programs, by program and by address of the static.
        static VALUES: RefCell<BTreeMap<(u64, usize), Box<dyn Any>>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// While this value lives, its thread is in the world.
    pub struct Entered(());

    /// Enters a world on this thread.
    pub fn enter(world: Rc<dyn World>) -> Entered {
        WORLD.with(|current| *current.borrow_mut() = Some(world));
        Entered(())
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            WORLD.with(|current| *current.borrow_mut() = None);
            VALUES.take();
        }
    }

    /// The answer of the world that this thread is in. None: it is in none.
    pub fn ask<R>(question: impl FnOnce(&dyn World) -> R) -> Option<R> {
        let world = WORLD.try_with(|current| current.borrow().clone()).ok().flatten()?;
        Some(question(&*world))
    }

    /// The current process's value of a static. None: this thread is in no world.
    pub fn value_of_process<S, T: Default + 'static>(of: &'static S) -> Option<&'static Mutex<T>> {
        let key = (ask(|world| world.program())?, std::ptr::from_ref(of) as usize);
        VALUES.with(|values| {
            let mut values = values.borrow_mut();
            let value = values.entry(key).or_insert_with(|| Box::new(Mutex::new(T::default())));
            let value: *const Mutex<T> = value.downcast_ref()?;
            // SAFETY: the value is in a box until this thread leaves the world. No thread of the world runs after that.
            Some(unsafe { &*value })
        })
    }
}

#[cfg(feature = "simulation")]
pub use entered::{Entered, ask, enter, value_of_process};

/// Whether this thread is in a world.
#[inline(always)]
pub fn is_entered() -> bool {
    ask(|_| ()).is_some()
}

/// The answer of the world that this thread is in: without the feature `simulation` there is none.
#[cfg(not(feature = "simulation"))]
#[inline(always)]
pub fn ask<R>(_question: impl FnOnce(&dyn World) -> R) -> Option<R> {
    None
}

/// The current process's value of a static: without the feature `simulation` there is no world.
#[cfg(not(feature = "simulation"))]
#[inline(always)]
pub fn value_of_process<S, T>(_of: &'static S) -> Option<&'static std::sync::Mutex<T>> {
    None
}
