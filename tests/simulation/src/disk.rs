//! A disk that can be full, slow or failing. A write can be torn by a kill, and a power cut loses what was not synced.

use crate::kernel::Kernel;
use carbontracker::os::world::DiskCall;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The disk. Its files are real files in a folder of memory.
pub struct Disk {
    /// The folder of this world.
    pub folder: PathBuf,
    /// Bytes that still fit.
    pub room: Cell<u64>,
    /// Every operation fails.
    pub has_failed: Cell<bool>,
    /// The longest time of an operation, ns.
    pub latency_ns: Cell<u64>,
    /// The number of writes until the process that writes is killed in the middle. 0: none is.
    pub kill_at_write: Cell<u64>,
    /// The process that is killed at its next call.
    dying: Cell<Option<u32>>,
    /// How many bytes of each file, by its inode, are on the disk. Files only grow, or are replaced.
    synced: RefCell<BTreeMap<u64, u64>>,
}

impl Disk {
    /// An empty disk in a folder, which is made.
    pub fn new(folder: PathBuf) -> io::Result<Disk> {
        std::fs::create_dir_all(&folder)?;
        Ok(Disk {
            folder,
            room: Cell::new(u64::MAX),
            has_failed: Cell::new(false),
            latency_ns: Cell::new(0),
            kill_at_write: Cell::new(0),
            dying: Cell::new(None),
            synced: RefCell::default(),
        })
    }

    /// Ends the disk with its files. Closes what killed processes had open: nothing else does.
    pub fn end(&self) {
        for descriptor in self.descriptors() {
            // SAFETY: the file is this world's, and no process of the world is left that could use it.
            unsafe { libc::close(descriptor) };
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    /// The descriptors of open files of this disk.
    pub fn descriptors(&self) -> Vec<i32> {
        let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let own = open.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|file| file.starts_with(&self.folder)));
        own.filter_map(|fd| fd.file_name().to_str()?.parse().ok()).collect()
    }

    /// A folder in memory, beside the disk. A power cut clears it.
    pub fn memory_folder(&self) -> PathBuf {
        let folder = self.folder.join("memory");
        let _ = std::fs::create_dir(&folder);
        folder
    }

    /// The part of a write that is done, or the failure of an operation.
    pub fn call(&self, kernel: &Kernel, path: &Path, call: DiskCall) -> io::Result<usize> {
        if self.dying.get().is_some_and(|process| process == kernel.process()) {
            self.dying.set(None);
            kernel.kill(kernel.process());
        }
        if self.latency_ns.get() > 0 {
            let ns = kernel.rng.borrow_mut().u64(0..=self.latency_ns.get());
            kernel.sleep(ns);
        }
        if self.has_failed.get() {
            return Err(io::Error::from_raw_os_error(5)); // EIO
        }
        match call {
            DiskCall::Write(bytes) => self.write(kernel, bytes),
            DiskCall::Sync => {
                let file = std::fs::metadata(path)?;
                self.synced.borrow_mut().insert(file.ino(), file.len());
                Ok(0)
            }
            DiskCall::Open | DiskCall::Rename => Ok(0),
        }
    }

    /// Whether a journal has its first line.
    pub fn has_journal(&self) -> bool {
        self.journals().iter().any(|text| text.contains('\n'))
    }

    /// The text of each journal.
    pub fn journals(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let texts = entries
            .map(|entry| entry.path())
            .filter(|path| is_journal(path))
            .filter_map(|path| std::fs::read(path).ok());
        texts.map(|text| String::from_utf8_lossy(&text).into_owned()).collect()
    }

    fn write(&self, kernel: &Kernel, bytes: usize) -> io::Result<usize> {
        if self.kill_at_write.get() > 0 {
            self.kill_at_write.set(self.kill_at_write.get() - 1);
            if self.kill_at_write.get() == 0 {
                self.dying.set(Some(kernel.process()));
                return Ok(kernel.rng.borrow_mut().usize(0..bytes.max(1)));
            }
        }
        let room = self.room.get();
        if room == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let taken = (bytes as u64).min(room);
        if room != u64::MAX {
            self.room.set(room - taken);
        }
        Ok(taken as usize)
    }

    /// Cuts a journal short, as another program may do.
    pub fn cut_journal(&self, kernel: &Kernel) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_journal(path)) {
            let Ok(content) = std::fs::read(&path) else { continue };
            let mut rng = kernel.rng.borrow_mut();
            let kept = if rng.bool() { 0 } else { rng.usize(0..=content.len()) };
            let file = std::fs::OpenOptions::new().write(true).open(&path);
            let _ = file.and_then(|file| file.set_len(kept as u64));
        }
    }

    /// Loses what was not synced, as a power cut does: files end earlier, have zeros at the end, or are gone.
    pub fn cut_power(&self, kernel: &Kernel) -> io::Result<()> {
        let _ = std::fs::remove_dir_all(self.folder.join("memory"));
        let synced = self.synced.borrow();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if !path.is_file() {
                continue;
            }
            let content = std::fs::read(&path)?;
            let inode = std::fs::metadata(&path)?.ino();
            let safe = synced.get(&inode).map_or(0, |bytes| (*bytes as usize).min(content.len()));
            let mut rng = kernel.rng.borrow_mut();
            let kept = rng.usize(safe..=content.len());
            let mut left = content.get(..kept).unwrap_or_default().to_vec();
            if rng.u8(..4) == 0 {
                left.resize(rng.usize(kept..=content.len()), 0);
            }
            std::fs::write(&path, left)?;
        }
        Ok(())
    }
}

/// Whether a file is a journal, by its name.
pub fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "jsonl")
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
