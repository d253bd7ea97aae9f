//! Processes: their variables, stops, kills and ends.

use super::{Clocks, Kernel, Task, discard};
use std::ffi::OsString;

impl Kernel {
    /// Ends all processes at once and boots again. Shared memory and locks are gone.
    pub fn reboot(&self) {
        let processes: Vec<u32> = self.processes.borrow().keys().copied().collect();
        for process in processes.into_iter().filter(|process| *process != self.process()) {
            self.kill(process);
        }
        self.segments.borrow_mut().clear();
        self.locks.borrow_mut().clear();
        self.clocks.set(Clocks { boot_at: self.now(), slept: 0, ..self.clocks.get() });
    }

    /// Whether a process has a thread.
    pub fn has_threads(&self, process: u32) -> bool {
        self.threads.borrow().values().any(|thread| thread.process == process)
    }

    /// The start of a living process, in clock ticks.
    pub fn process_start(&self, process: u32) -> Option<u64> {
        self.processes.borrow().get(&process).map(|process| process.started)
    }

    /// A variable of the current process.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let processes = self.processes.borrow();
        let variables = &processes.get(&self.process())?.variables;
        variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.into())
    }

    /// Adds to the threads that the exit of the current process waits for.
    pub fn awaited(&self, change: i64) -> u64 {
        let mut processes = self.processes.borrow_mut();
        let Some(process) = processes.get_mut(&self.process()) else { return 0 };
        process.awaited += change;
        process.awaited.max(0) as u64
    }

    /// Keeps the threads of a process from running for a time, ns.
    pub fn stop(&self, process: u32, ns: u64) {
        if let Some(process) = self.processes.borrow_mut().get_mut(&process) {
            process.stopped_until = self.clocks.get().now + ns;
        }
    }

    /// Ends a process at once, in the middle of whatever its threads do. If it is the current one, this call does not
    /// return.
    pub fn kill(&self, process: u32) {
        let Some(killed) = self.processes.borrow_mut().remove(&process) else { return };
        self.release(process, killed.attached);
        self.end_threads(process);
    }

    /// Replaces the program of another process, as exec does. Its threads end as at a kill. Its number, start and
    /// variables stay.
    pub fn exec(&self, process: u32, main: impl FnOnce() + 'static) {
        let attached = {
            let mut processes = self.processes.borrow_mut();
            let Some(there) = processes.get_mut(&process) else { return };
            (there.program, there.awaited) = (self.next_task.get(), 0);
            std::mem::take(&mut there.attached)
        };
        self.release(process, attached);
        self.end_threads(process);
        self.spawn_in(process, "main", Box::new(main));
    }

    /// The program that the current process runs; 0 if the process has ended.
    pub fn program(&self) -> u64 {
        self.processes.borrow().get(&self.process()).map_or(0, |process| process.program)
    }

    /// Whether a process has a thread of the library.
    pub fn has_own_thread(&self, process: u32) -> bool {
        self.threads.borrow().values().any(|thread| thread.process == process && thread.name.starts_with("ct-"))
    }

    /// Releases the shared memory and locks of a process.
    fn release(&self, process: u32, attached: Vec<i32>) {
        attached.into_iter().for_each(|segment| self.detach(segment));
        self.locks.borrow_mut().retain(|_, holder| *holder != process);
    }

    /// Ends all threads of a process. If the current one is among them, this call does not return.
    fn end_threads(&self, process: u32) {
        let (task, current) = self.current.get();
        let mut own = None;
        for other in self.threads_of(process) {
            let Some(thread) = self.threads.borrow_mut().remove(&other) else { continue };
            if other == task {
                own = Some(thread.yielder);
            }
            thread.fiber.into_iter().for_each(discard);
        }
        if let Some(yielder) = own.filter(|_| current == process) {
            // SAFETY: the yielder is on the stack of the current fiber. The kernel discards the fiber and never resumes
            // it.
            unsafe { (*yielder).suspend(()) };
        }
    }

    fn threads_of(&self, process: u32) -> Vec<Task> {
        let threads = self.threads.borrow();
        threads.iter().filter(|(_, thread)| thread.process == process).map(|(task, _)| *task).collect()
    }

    /// Ends the current process, with its other threads.
    pub fn exit(&self, process: u32) {
        for other in self.threads_of(process).into_iter().filter(|task| *task != self.current()) {
            let thread = self.threads.borrow_mut().remove(&other);
            thread.and_then(|thread| thread.fiber).into_iter().for_each(discard);
        }
        let ended = self.processes.borrow_mut().remove(&process);
        self.release(process, ended.map_or(Vec::new(), |ended| ended.attached));
    }
}
