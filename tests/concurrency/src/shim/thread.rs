//! Threads of the scheduler, with the names of `std::thread` and of `os/`.

use super::process;
use crate::faults::{Fault, is};
use real_std::io;
use real_std::time::Duration;
pub use shuttle::thread::{JoinHandle, park_timeout, yield_now};

/// Starts a thread of this thread's process.
pub fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn_in(process::id(), body)
}

/// Starts a thread of the process `number`.
pub fn spawn_in<T: Send + 'static>(number: u32, body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    shuttle::thread::spawn(move || {
        process::enter(number);
        body()
    })
}

/// A handle by which a thread is woken.
#[derive(Clone)]
pub struct Thread(shuttle::thread::Thread);

impl Thread {
    pub fn unpark(&self) {
        if !is(Fault::LostUnpark) {
            self.0.unpark();
        }
    }
}

/// The right to wait for a thread's end.
pub struct Running(JoinHandle<()>);

impl Running {
    pub fn thread(&self) -> Thread {
        Thread(self.0.thread().clone())
    }
}

pub fn spawn_quiet(_: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Running> {
    Ok(Running(spawn(body)))
}

/// Waits for a thread without limit: no wait ends by its time limit here.
pub fn join_within(thread: Running, _: Duration) -> bool {
    thread.0.join().is_ok()
}
