//! Which processes stem from which, as /proc tells.

use carbontracker::os::ancestors;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Whether this process stems from us.
pub fn is_ours(process: u32) -> bool {
    ancestors(process).any(|one| one == std::process::id())
}

/// In how many processes of this program we are run, one in the other.
pub fn depth() -> usize {
    let program = |process: u32| {
        let program = fs::metadata(format!("/proc/{process}/exe")).ok()?;
        Some((program.dev(), program.ino()))
    };
    let this = program(std::process::id());
    ancestors(std::process::id()).filter(|&one| this.is_some() && program(one) == this).count()
}
