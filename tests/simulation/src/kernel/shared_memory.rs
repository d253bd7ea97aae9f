//! Shared memory and locks of files, which processes share.

use super::{Kernel, Segment};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

impl Kernel {
    /// The segment of a key.
    pub fn segment(&self, key: i32, count: usize, creates: bool) -> std::io::Result<i32> {
        let mut segments = self.segments.borrow_mut();
        match self.refused.get() {
            Some(libc::ENOSPC) if !creates => (), // what exists takes no room
            Some(error) => return Err(std::io::Error::from_raw_os_error(error)),
            None => (),
        }
        let there = segments.iter().find(|(_, segment)| segment.key == Some(key));
        match there {
            Some(_) if creates => Err(std::io::ErrorKind::AlreadyExists.into()),
            Some((_, segment)) if segment.memory.len() < count => Err(std::io::ErrorKind::InvalidInput.into()),
            Some((id, _)) => Ok(*id),
            None if !creates => Err(std::io::ErrorKind::NotFound.into()),
            None => {
                let id = self.next_segment.replace(self.next_segment.get() + 1);
                let memory = (0..count).map(|_| AtomicU64::new(0)).collect();
                segments.insert(id, Segment { key: Some(key), memory, attached: 0 });
                Ok(id)
            }
        }
    }

    /// Attaches a segment to the current process.
    pub fn attach(&self, id: i32) -> std::io::Result<Arc<[AtomicU64]>> {
        let mut segments = self.segments.borrow_mut();
        let segment = segments.get_mut(&id).ok_or(std::io::ErrorKind::NotFound)?;
        segment.attached += 1;
        if let Some(process) = self.processes.borrow_mut().get_mut(&self.process()) {
            process.attached.push(id);
        }
        Ok(Arc::clone(&segment.memory))
    }

    /// Changes and returns the number of attachments of a segment.
    pub fn attached(&self, id: i32, change: i64) -> u64 {
        if change < 0 {
            if let Some(process) = self.processes.borrow_mut().get_mut(&self.process()) {
                let at = process.attached.iter().position(|attached| *attached == id);
                at.map(|at| process.attached.swap_remove(at));
            }
            self.detach(id);
        }
        self.segments.borrow().get(&id).map_or(0, |segment| segment.attached)
    }

    pub(super) fn detach(&self, id: i32) {
        let mut segments = self.segments.borrow_mut();
        let Some(segment) = segments.get_mut(&id) else { return };
        segment.attached = segment.attached.saturating_sub(1);
        if segment.attached == 0 && segment.key.is_none() {
            segments.remove(&id);
        }
    }

    /// Removes a segment's key, and the segment once no process has it attached.
    pub fn remove(&self, id: i32) {
        let mut segments = self.segments.borrow_mut();
        let Some(segment) = segments.get_mut(&id) else { return };
        segment.key = None;
        if segment.attached == 0 {
            segments.remove(&id);
        }
    }

    /// Number of segments.
    pub fn segments(&self) -> usize {
        self.segments.borrow().len()
    }

    /// Releases all locks of files, as a close of another descriptor of the file does.
    pub fn lose_locks(&self) {
        self.locks.borrow_mut().clear();
    }

    /// Locks a file for the current process. Returns another holder.
    pub fn lock(&self, file: (u64, u64)) -> Option<u32> {
        let process = self.process();
        let holder = *self.locks.borrow_mut().entry(file).or_insert(process);
        (holder != process).then_some(holder)
    }
}
