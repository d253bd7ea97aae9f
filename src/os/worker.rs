//! A background thread that owns all it uses. It ends on request, and a caller does not have to wait for that.

use super::exit::Counted;
use crate::os::{self, Instant, JoinHandle, Thread};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running background thread. Dropping this value asks it to end.
pub struct Worker {
    stop: Stop,
    thread: Thread,
    /// The thread; None once a caller waits for its end.
    running: Mutex<Option<JoinHandle>>,
    /// The process of the thread. A forked child inherits this value but not the thread.
    process: u32,
}

/// A request to end, shared with the thread.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether the thread is asked to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Sleeps on the worker's thread for `time`, or until the thread is asked to end.
    pub fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            os::park_timeout(left);
        }
    }
}

/// Whether the process's exit waits for a thread.
#[derive(Clone, Copy, PartialEq)]
pub enum WorkerExit {
    /// The exit waits, because the thread has work to finish.
    Awaited,
    /// The exit does not wait.
    Left,
}

impl Worker {
    /// Starts a thread. If `body` panics, `failed` is called on that thread, so that the failure is reported.
    pub fn start(
        name: &str,
        at_exit: WorkerExit,
        body: impl FnOnce(Stop) + Send + 'static,
        failed: impl FnOnce() + Send + 'static,
    ) -> io::Result<Worker> {
        let stop = Stop::default();
        let request = stop.clone();
        let counted = (at_exit == WorkerExit::Awaited).then(Counted::start);
        let running = os::spawn_quiet(name, move || {
            let _counted = counted;
            if catch_unwind(AssertUnwindSafe(|| body(request))).is_err() {
                let _ = catch_unwind(AssertUnwindSafe(failed));
            }
        })?;
        let thread = running.thread();
        Ok(Worker { stop, thread, running: Mutex::new(Some(running)), process: os::process_id() })
    }

    /// The thread's handle, by which it is woken.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Asks the thread to end and returns at once.
    pub fn stop(&self) {
        self.stop.0.store(true, Ordering::SeqCst);
        if self.process == os::process_id() {
            self.thread.unpark();
        }
    }

    /// Asks the thread to end and waits for that at most `patience`. Returns whether it has ended; otherwise it is
    /// detached.
    pub fn end_within(&self, patience: Duration) -> bool {
        self.stop();
        let running = self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        match running {
            Some(running) if self.process == os::process_id() => os::join_within(running, patience),
            running => {
                std::mem::forget(running);
                true
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
        if self.process != os::process_id() {
            let running = self.running.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            std::mem::forget(running);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn worker_reports_its_panic() {
        let (failed, is_failed) = mpsc::channel();
        let worker =
            Worker::start("ct-test", WorkerExit::Left, |_| panic!("as planned"), move || failed.send(()).unwrap());
        assert!(is_failed.recv_timeout(Duration::from_secs(60)).is_ok());
        worker.expect("a thread").end_within(Duration::from_secs(60));
    }
}
