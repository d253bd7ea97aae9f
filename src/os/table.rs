//! A table of file descriptors for the library's threads alone.
//!
//! The threads of a process share one table, so an application that closes or reuses descriptors can hit the library's
//! too. A thread may leave that table (unshare(2), CLONE_FILES), and the threads that it starts share its new one. The
//! application then cannot close, duplicate or pass on a descriptor of the library. The library's record locks stay
//! when it closes the same file.
//!
//! If the kernel or a sandbox refuses this, the library's threads stay in the shared table, guarded by
//! [`super::HeldFile`] alone.

use super::thread::BEGIN_WAIT;
use super::{CpuSet, JoinHandle, Promise, join_within, process_id, spawn_quiet, world};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

/// A job for the thread that owns the table.
type TableJob = Box<dyn FnOnce() + Send>;

/// A table of descriptors apart from the application's. It exists as long as this value or a thread that uses it.
pub struct OwnTable {
    /// The channel to the thread that owns the table; None once that thread is to end.
    jobs: Mutex<Option<Sender<TableJob>>>,
    root: Option<JoinHandle>,
    /// Whether the threads have left the application's table.
    is_apart: Arc<AtomicBool>,
    /// The process of the thread. A forked child inherits this value but not the thread.
    process: u32,
}

/// The longest wait for a thread that has done its work. A fork right after should not find it half ended.
const END_WAIT: Duration = Duration::from_millis(100);

static SHARED: Mutex<Weak<OwnTable>> = Mutex::new(Weak::new());

impl OwnTable {
    /// The table of this process, which is created if no tracker holds one.
    pub fn shared() -> io::Result<Arc<OwnTable>> {
        let process = process_id();
        if world::is_entered() {
            let is_apart = Arc::new(AtomicBool::new(true));
            return Ok(Arc::new(OwnTable { jobs: Mutex::new(None), root: None, is_apart, process }));
        }
        // A lock that another thread held at a fork stays locked in the child. Each tracker has its own table there.
        let mut shared = super::lock_within(&SHARED, super::LOCK_WAIT);
        let there = shared.as_ref().and_then(|shared| shared.upgrade()).filter(|table| table.process == process);
        if let Some(table) = there {
            return Ok(table);
        }
        let (jobs, received) = mpsc::channel::<TableJob>();
        let is_apart = Arc::new(AtomicBool::new(false));
        let has_left = Arc::clone(&is_apart);
        let root = spawn_quiet("ct-root", move || {
            has_left.store(leave_shared_table().is_ok(), Ordering::Release);
            received.into_iter().for_each(|job| job());
        })?;
        let table = Arc::new(OwnTable { jobs: Mutex::new(Some(jobs)), root: Some(root), is_apart, process });
        if let Some(shared) = &mut shared {
            **shared = Arc::downgrade(&table);
        }
        Ok(table)
    }

    /// Whether no thread of the application can see a descriptor of the library. It is known for certain on a thread
    /// that [`OwnTable::run`] started.
    pub fn is_apart(&self) -> bool {
        self.is_apart.load(Ordering::Acquire)
    }

    /// Runs `body` on a new thread that uses this table, and waits for its result; None if `body` panicked. Threads
    /// that `body` starts use the table too. Fails if no thread can be started.
    pub fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        if world::is_entered() {
            return Ok(catch_unwind(AssertUnwindSafe(body)).ok());
        }
        let errand = Arc::new(Errand::new(body));
        let caller = CpuSet::of_this_thread();
        let starts = Arc::clone(&errand);
        let does = Arc::clone(&errand);
        let thread = move || {
            // A thread inherits its processors from the thread that starts it, which is not the caller.
            if let Some(set) = caller {
                set.apply_to_this_thread();
            }
            does.run();
        };
        let job: TableJob = Box::new(move || match spawn_quiet(name, thread) {
            Ok(thread) => starts.thread.keep(thread),
            Err(error) => starts.begun.keep(Err(error)),
        });
        let is_sent = self.jobs().as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !is_sent {
            return Err(io::Error::other("the thread that starts the others has ended"));
        }
        // No thread can start while the caller has the loader's lock, as in the constructor of a library. Leaving the
        // table may also wait for a file system of the application. The caller then does the work, in the application's
        // table.
        match errand.begun.wait(BEGIN_WAIT) {
            Some(begun) => begun?,
            None => errand.run(),
        }
        let result = errand.result.take();
        if let Some(thread) = errand.thread.wait(END_WAIT) {
            let _ = join_within(thread, END_WAIT);
        }
        Ok(result)
    }
}

/// Work for another thread, which the caller may do itself instead.
struct Errand<F, T> {
    work: Mutex<Option<F>>,
    /// Kept when a thread has begun the work, or with an error when none can.
    begun: Promise<io::Result<()>>,
    /// The result; None if the work panicked.
    result: Promise<Option<T>>,
    thread: Promise<JoinHandle>,
}

impl<F: FnOnce() -> T, T> Errand<F, T> {
    fn new(work: F) -> Errand<F, T> {
        let work = Mutex::new(Some(work));
        Errand { work, begun: Promise::default(), result: Promise::default(), thread: Promise::default() }
    }

    /// Does the work, unless another thread has begun it.
    fn run(&self) {
        let work = self.work.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(work) = work {
            self.begun.keep(Ok(()));
            self.result.keep(catch_unwind(AssertUnwindSafe(work)).ok());
        }
    }
}

impl OwnTable {
    /// Ends the thread that starts the others even if trackers exist. It is for an application without any thread left.
    pub fn close_shared() {
        let shared = super::lock_within(&SHARED, super::LOCK_WAIT);
        if let Some(table) = shared.and_then(|shared| shared.upgrade()) {
            *table.jobs() = None;
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Option<Sender<TableJob>>> {
        self.jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for OwnTable {
    fn drop(&mut self) {
        *self.jobs() = None;
        match self.root.take() {
            Some(root) if self.process == process_id() => {
                let _ = join_within(root, END_WAIT);
            }
            root => std::mem::forget(root),
        }
    }
}

/// Gives the calling thread an empty table of descriptors. It contains no copy of the application's, so that a pipe
/// closes when the application closes it.
fn leave_shared_table() -> io::Result<()> {
    const CLOSE_RANGE_UNSHARE: libc::c_uint = 2;
    // SAFETY: the call takes numbers only. It closes descriptors of the new table, not of the application's.
    let left =
        unsafe { libc::syscall(libc::SYS_close_range, 0 as libc::c_uint, libc::c_uint::MAX, CLOSE_RANGE_UNSHARE) };
    if left != 0 {
        leave_by_unshare()?;
    }
    // The first three numbers stay in use, so that no file of the library is a standard stream.
    for _ in 0..3 {
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        std::mem::forget(null);
    }
    Ok(())
}

/// Leaves the shared table on Linux before 5.9: the new table is a copy, and each of its descriptors is closed.
fn leave_by_unshare() -> io::Result<()> {
    /// The numbers that are closed if /proc does not list those in use.
    const UNLISTED: i32 = 1024;
    // SAFETY: the call takes a number only and changes nothing but this thread's table.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let listed: Option<Vec<i32>> =
        std::fs::read_dir("/proc/thread-self/fd").ok().map(|entries| entries.flatten().filter_map(number).collect());
    for descriptor in listed.unwrap_or_else(|| (0..UNLISTED).collect()) {
        // SAFETY: the descriptor is a copy in this thread's own table, and nothing uses it.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    fn in_table(leave: fn() -> io::Result<()>) -> usize {
        std::thread::spawn(move || {
            leave().expect("allowed here");
            std::fs::read_dir("/proc/thread-self/fd").expect("listed").count()
        })
        .join()
        .expect("no panic")
    }

    #[test]
    fn new_table_holds_no_file_of_the_application() {
        let file = File::open("/dev/null").expect("there");
        assert_eq!(in_table(leave_shared_table), 4, "three standard streams, and the listing");
        assert_eq!(in_table(leave_by_unshare), 1, "the listing");
        assert!(file.metadata().is_ok(), "the application's own is still open");
    }

    #[test]
    fn table_is_shared_by_the_library_s_threads_and_not_by_the_application() {
        let table = OwnTable::shared().expect("a thread");
        let again = OwnTable::shared().expect("a thread");
        let (file, number) = table
            .run("ct-test", || {
                let file = File::open("/proc/self/status").expect("there");
                let number = file.as_raw_fd();
                (file, number)
            })
            .expect("a thread")
            .expect("no panic");
        let name = move || std::fs::read_link(format!("/proc/thread-self/fd/{number}")).ok();
        let seen = again.run("ct-test", name).expect("a thread").flatten().expect("in the same table");
        assert!(seen.ends_with("status"), "{seen:?}");
        assert!(name().is_none_or(|here| !here.ends_with("status")), "the application does not see it");
        std::mem::forget(file);
        assert!(table.run("ct-test", || panic!("as planned")).expect("a thread").is_none_or(|()| false));
    }
}
