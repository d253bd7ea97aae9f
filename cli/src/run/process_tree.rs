//! The ancestors of processes, read from /proc.

use carbontracker::os::ancestors;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// True if a process descends from this one.
pub fn is_ours(process: u32) -> bool {
    ancestors(process).any(|one| one == std::process::id())
}

/// The number of this process's ancestors that run the same program: the depth of nested `run` commands.
pub fn depth() -> usize {
    let program = |process: u32| {
        let program = fs::metadata(format!("/proc/{process}/exe")).ok()?;
        Some((program.dev(), program.ino()))
    };
    let this = program(std::process::id());
    ancestors(std::process::id()).filter(|&one| this.is_some() && program(one) == this).count()
}
