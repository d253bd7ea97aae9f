//! A background thread that nobody has to wait for: it owns all that it uses, and ends when it is told to, or is left to itself.

use crate::host;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The running thread. Dropped, it is told to end.
pub struct Worker {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
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

impl Worker {
    /// Starts a thread of this name, and nothing else.
    pub fn start(name: &str, body: impl FnOnce(Stop) + Send + 'static) -> io::Result<Worker> {
        let stop = Stop::default();
        let told = stop.clone();
        let thread = host::spawn_quiet(name, move || body(told))?;
        Ok(Worker { stop, thread: Some(thread), process: std::process::id() })
    }

    /// Tells it to end, and waits for nobody.
    pub fn stop(&self) {
        self.stop.0.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.as_ref().filter(|_| self.process == std::process::id()) {
            thread.thread().unpark();
        }
    }

    /// Tells it to end and waits for that, at most this long; what hangs is left to itself.
    pub fn end_within(mut self, patience: Duration) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            if self.process == std::process::id() {
                host::join_within(thread, patience);
            } else {
                std::mem::forget(thread);
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
        if self.process != std::process::id() {
            std::mem::forget(self.thread.take());
        }
    }
}
