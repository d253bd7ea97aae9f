//! Operations of the disk that a simulated world can refuse, cut short or delay.

use super::world::{self, DiskCall};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes all of the content to an open file. After a failure, a part of it may be in the file.
pub fn write_all(file: &mut impl Write, path: &Path, content: &[u8]) -> io::Result<()> {
    let Some(taken) = world::ask(|world| world.disk(path, DiskCall::Write(content.len()))) else {
        return file.write_all(content);
    };
    let (now, later) = content.split_at_checked(taken?).unwrap_or((content, &[]));
    file.write_all(now)?;
    if later.is_empty() {
        return Ok(());
    }
    world::ask(|world| world.disk(path, DiskCall::Write(later.len()))).transpose()?;
    Err(ErrorKind::StorageFull.into())
}

/// Writes the content of a file to the disk.
pub fn sync(file: &File, path: &Path) -> io::Result<()> {
    world::ask(|world| world.disk(path, DiskCall::Sync).map(drop)).unwrap_or_else(|| file.sync_data())
}

/// Gives a file its final name.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    world::ask(|world| world.disk(to, DiskCall::Rename)).transpose()?;
    std::fs::rename(from, to)
}

/// Before a file is created or opened for writing.
pub fn open(path: &Path) -> io::Result<()> {
    world::ask(|world| world.disk(path, DiskCall::Open)).transpose().map(drop)
}

/// Gives a new file the date of the world that this thread is in. Elsewhere the system gives it the date.
pub fn stamp(file: &File) -> io::Result<()> {
    if world::is_entered() { file.set_modified(super::date()) } else { Ok(()) }
}

/// The folder in memory that all processes of this machine see.
pub fn memory_folder() -> PathBuf {
    world::ask(|world| world.memory_folder()).unwrap_or_else(|| "/dev/shm".into())
}
