//! Which processes stem from which, as /proc tells.

use carbontracker::host::text;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The processes that a process stems from, its parent first.
fn ancestors(process: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(parent(process), |&one| parent(one))
}

/// None where it is gone, and of the first process of all.
fn parent(process: u32) -> Option<u32> {
    let stat = text::read(Path::new(&format!("/proc/{process}/stat")), text::SMALL).ok()?;
    // The fields after the name, which is in parentheses and may hold anything: state, parent, …
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    (parent > 0).then_some(parent)
}

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
