//! The world that the library's folder `os` asks: the kernel's tables and the disk.

use crate::disk::Disk;
use crate::grid::Web;
use crate::kernel::Kernel;
use carbontracker::clock::{ClockSample, MonoNs};
use carbontracker::os::world::{DiskCall, Task, WebReply, World};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A simulated machine, as the library sees it.
pub struct Simulated {
    pub kernel: Rc<Kernel>,
    pub disk: Rc<Disk>,
    pub web: Rc<Web>,
}

impl World for Simulated {
    fn clocks(&self) -> ClockSample {
        self.kernel.sample()
    }

    fn random(&self) -> u64 {
        self.kernel.rng.borrow_mut().u64(..)
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce()>) -> io::Result<Task> {
        Ok(self.kernel.spawn(name, body))
    }

    fn current(&self) -> Task {
        self.kernel.current()
    }

    fn is_finished(&self, task: Task) -> bool {
        self.kernel.is_finished(task)
    }

    fn park(&self, until: MonoNs) {
        self.kernel.park(self.kernel.world_ns(until));
    }

    fn unpark(&self, task: Task) {
        self.kernel.unpark(task);
    }

    fn sleep(&self, until: MonoNs) {
        self.kernel.sleep_until(self.kernel.world_ns(until));
    }

    fn wait(&self, address: usize, until: MonoNs) {
        self.kernel.wait(address, self.kernel.world_ns(until));
    }

    fn notify(&self, address: usize) {
        self.kernel.notify(address);
    }

    fn process(&self) -> u32 {
        self.kernel.process()
    }

    fn process_start(&self, process: u32) -> Option<u64> {
        self.kernel.process_start(process)
    }

    fn program(&self) -> u64 {
        self.kernel.program()
    }

    fn has_own_thread(&self, process: u32) -> bool {
        self.kernel.has_own_thread(process)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.kernel.variable(name)
    }

    fn awaited(&self, change: i64) -> u64 {
        self.kernel.awaited(change)
    }

    fn segment(&self, key: i32, count: usize, creates: bool) -> io::Result<i32> {
        self.kernel.segment(key, count, creates)
    }

    fn attach(&self, segment: i32) -> io::Result<Arc<[AtomicU64]>> {
        self.kernel.attach(segment)
    }

    fn attached(&self, segment: i32, change: i64) -> u64 {
        self.kernel.attached(segment, change)
    }

    fn remove(&self, segment: i32) {
        self.kernel.remove(segment);
    }

    fn lock(&self, file: (u64, u64)) -> io::Result<Option<u32>> {
        Ok(self.kernel.lock(file))
    }

    fn disk(&self, path: &Path, call: DiskCall) -> io::Result<usize> {
        self.disk.call(&self.kernel, path, call)
    }

    fn memory_folder(&self) -> PathBuf {
        self.disk.memory_folder()
    }

    fn fetch(&self, url: &str, within: Duration) -> io::Result<WebReply> {
        self.web.fetch(&self.kernel, url, within)
    }
}
