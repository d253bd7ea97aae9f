//! A background thread that nobody has to wait for: it owns all that it uses, and ends when it is told to, or is left to itself.

use super::exit::Counted;
use crate::os;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// The running thread. Dropped, it is told to end.
pub struct Worker {
    stop: Stop,
    thread: Thread,
    /// None once it is being waited for.
    running: Mutex<Option<JoinHandle<()>>>,
    /// A forked child inherits this value, but not the thread.
    process: u32,
}

/// What tells it to end.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether it was told to.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Sleeps, on the worker's thread, unless it is told to end.
    pub fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}

/// Whether an exit waits for a thread.
#[derive(Clone, Copy, PartialEq)]
pub enum WorkerExit {
    /// It has something to finish.
    Awaited,
    /// It can be left where it is.
    Left,
}

impl Worker {
    /// Starts a thread of this name. If `body` panics, `failed` is called on that thread: nothing ends in silence.
    pub fn start(
        name: &str,
        at_exit: WorkerExit,
        body: impl FnOnce(Stop) + Send + 'static,
        failed: impl FnOnce() + Send + 'static,
    ) -> io::Result<Worker> {
        let stop = Stop::default();
        let told = stop.clone();
        let counted = (at_exit == WorkerExit::Awaited).then(Counted::start);
        let running = os::spawn_quiet(name, move || {
            let _counted = counted;
            if catch_unwind(AssertUnwindSafe(|| body(told))).is_err() {
                let _ = catch_unwind(AssertUnwindSafe(failed));
            }
        })?;
        let thread = running.thread().clone();
        Ok(Worker { stop, thread, running: Mutex::new(Some(running)), process: std::process::id() })
    }

    /// The thread, to be woken.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Tells it to end, and waits for nobody.
    pub fn stop(&self) {
        self.stop.0.store(true, Ordering::SeqCst);
        if self.process == std::process::id() {
            self.thread.unpark();
        }
    }

    /// Tells it to end and waits for that, at most this long; what hangs is left to itself. Whether it has ended.
    pub fn end_within(&self, patience: Duration) -> bool {
        self.stop();
        let running = self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        match running {
            Some(running) if self.process == std::process::id() => os::join_within(running, patience),
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
        if self.process != std::process::id() {
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
    fn a_panic_is_reported() {
        let (failed, is_failed) = mpsc::channel();
        let worker =
            Worker::start("ct-test", WorkerExit::Left, |_| panic!("as planned"), move || failed.send(()).unwrap());
        assert!(is_failed.recv_timeout(Duration::from_secs(10)).is_ok());
        worker.expect("a thread").end_within(Duration::from_secs(10));
    }
}
