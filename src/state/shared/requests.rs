//! Requests of the application's threads that one pass of the sampling thread answers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbered requests, and how many of them are done.
#[derive(Default)]
pub struct Requests {
    requested: AtomicU64,
    done: AtomicU64,
}

impl Requests {
    /// Makes a request. Returns its number.
    pub fn ask(&self) -> u64 {
        self.requested.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Number of requests so far.
    pub fn requested(&self) -> u64 {
        self.requested.load(Ordering::SeqCst)
    }

    /// Whether one is not done yet.
    pub fn is_any_open(&self) -> bool {
        self.requested() > self.done()
    }

    /// Number of requests that are done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Marks the first `requests` as done. The caller must hold the state's lock; otherwise a waiting thread may miss
    /// it. Returns whether there are new ones among them.
    pub fn finish(&self, requests: u64) -> bool {
        self.done.swap(requests, Ordering::SeqCst) < requests
    }
}
