//! A table of file descriptors for the library's threads alone.
//!
//! The threads of a process share one table, so an application that closes or reuses descriptors reaches ours too. A thread
//! may leave that table (unshare(2), CLONE_FILES); the threads it starts share its new one. What the application closes,
//! duplicates or inherits to a child is then never ours, and a record lock of ours does not end when it closes the same file.
//!
//! Where the kernel or a sandbox refuses this, our threads stay in the shared table, and [`super::HeldFile`] alone guards it.

use super::{CpuSet, Promise, join_within, spawn_quiet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// A job for the thread that owns the table.
type TableJob = Box<dyn FnOnce() + Send>;

/// The table. It lives as long as a value of this type, or a thread that uses it.
pub struct OwnTable {
    /// None once it ends.
    jobs: Mutex<Option<Sender<TableJob>>>,
    root: Option<JoinHandle<()>>,
    /// A forked child inherits this value, but not the thread.
    process: u32,
}

/// How long the caller waits for a thread to begin its work.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a thread that has done its work is waited for: a fork right after is not to find it half gone.
const LAST_STEPS: Duration = Duration::from_millis(100);

static SHARED: Mutex<Weak<OwnTable>> = Mutex::new(Weak::new());

impl OwnTable {
    /// The table of this process; made if no tracker holds one.
    pub fn shared() -> io::Result<Arc<OwnTable>> {
        let process = std::process::id();
        // A lock that another thread held at a fork stays locked in the child: such a child has a table a tracker.
        let mut shared = super::lock_within(&SHARED, super::BRIEF);
        let there = shared.as_ref().and_then(|shared| shared.upgrade()).filter(|table| table.process == process);
        if let Some(table) = there {
            return Ok(table);
        }
        let (jobs, received) = mpsc::channel::<TableJob>();
        let root = spawn_quiet("ct-root", move || {
            let _ = leave_shared_table();
            received.into_iter().for_each(|job| job());
        })?;
        let table = Arc::new(OwnTable { jobs: Mutex::new(Some(jobs)), root: Some(root), process });
        shared.iter_mut().for_each(|shared| **shared = Arc::downgrade(&table));
        Ok(table)
    }

    /// Runs `body` on a new thread that uses this table, and waits for its result. The threads that `body` starts use the
    /// table too. None: `body` panicked.
    pub fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let errand = Arc::new(Errand::new(body));
        let caller = CpuSet::of_this_thread();
        let (starts, does) = (Arc::clone(&errand), Arc::clone(&errand));
        let thread = move || {
            // A thread inherits its processors from the one that starts it, which is not the caller.
            caller.into_iter().for_each(|set| set.apply_to_this_thread());
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
        // Threads do not come to life while the caller holds the loader's lock, as in a library's constructor, or while leaving
        // the table waits for a file system of the application's. The work is done here then, in the application's table.
        match errand.begun.wait(PATIENCE) {
            Some(begun) => begun?,
            None => errand.run(),
        }
        let result = errand.result.take();
        if let Some(thread) = errand.thread.wait(LAST_STEPS) {
            let _ = join_within(thread, LAST_STEPS);
        }
        Ok(result)
    }
}

/// Work for another thread, which its giver may take back.
struct Errand<F, T> {
    work: Mutex<Option<F>>,
    /// Kept once the work is taken, or cannot be.
    begun: Promise<io::Result<()>>,
    /// None: the work panicked.
    result: Promise<Option<T>>,
    thread: Promise<JoinHandle<()>>,
}

impl<F: FnOnce() -> T, T> Errand<F, T> {
    fn new(work: F) -> Errand<F, T> {
        let work = Mutex::new(Some(work));
        Errand { work, begun: Promise::default(), result: Promise::default(), thread: Promise::default() }
    }

    /// Does the work, unless it is taken already.
    fn run(&self) {
        let work = self.work.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(work) = work {
            self.begun.keep(Ok(()));
            self.result.keep(catch_unwind(AssertUnwindSafe(work)).ok());
        }
    }
}

impl OwnTable {
    /// Ends the thread that starts others, though trackers are left: the application has no thread any more.
    pub fn close_shared() {
        let shared = super::lock_within(&SHARED, super::BRIEF);
        shared.and_then(|shared| shared.upgrade()).into_iter().for_each(|table| *table.jobs() = None);
    }

    fn jobs(&self) -> MutexGuard<'_, Option<Sender<TableJob>>> {
        self.jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for OwnTable {
    fn drop(&mut self) {
        *self.jobs() = None;
        match self.root.take() {
            Some(root) if self.process == std::process::id() => {
                let _ = join_within(root, LAST_STEPS);
            }
            root => std::mem::forget(root),
        }
    }
}

/// Gives the calling thread an empty table of descriptors. The application's descriptors are not even referred to by it: a
/// pipe that the application closes is closed.
fn leave_shared_table() -> io::Result<()> {
    const CLOSE_RANGE_UNSHARE: libc::c_uint = 2;
    // SAFETY: takes numbers only. It closes what is in the new table of this thread, not what the application has.
    let left =
        unsafe { libc::syscall(libc::SYS_close_range, 0 as libc::c_uint, libc::c_uint::MAX, CLOSE_RANGE_UNSHARE) };
    if left != 0 {
        leave_by_unshare()?;
    }
    // Nothing of ours is ever a standard stream.
    for _ in 0..3 {
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        std::mem::forget(null);
    }
    Ok(())
}

/// As Linux before 5.9 allows it: the new table is a copy, whose descriptors are closed.
fn leave_by_unshare() -> io::Result<()> {
    /// Numbers tried where /proc does not list them.
    const UNLISTED: i32 = 1024;
    // SAFETY: takes a number only, and changes nothing but this thread's table.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let listed: Option<Vec<i32>> =
        std::fs::read_dir("/proc/thread-self/fd").ok().map(|entries| entries.flatten().filter_map(number).collect());
    for descriptor in listed.unwrap_or_else(|| (0..UNLISTED).collect()) {
        // SAFETY: a copy in this thread's own table, which nothing uses.
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
    fn a_new_table_holds_nothing_of_the_applications() {
        let file = File::open("/dev/null").expect("there");
        assert_eq!(in_table(leave_shared_table), 4, "three standard streams, and the listing");
        assert_eq!(in_table(leave_by_unshare), 1, "the listing");
        assert!(file.metadata().is_ok(), "the application's own is still open");
    }

    #[test]
    fn threads_of_one_process_share_the_table_and_the_application_does_not() {
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
