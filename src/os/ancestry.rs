//! The ancestors of a process, from /proc.

use super::text;
use std::path::Path;

/// The most ancestors that are followed. /proc may change while it is read and then show a circle.
const MAX_ANCESTORS: usize = 1000;

/// The ancestors of a process by number, its parent first.
pub fn ancestors(process: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(parent(process), |&one| parent(one)).take(MAX_ANCESTORS)
}

/// The parent's number. None if the process has ended or is the first one of its namespace.
fn parent(process: u32) -> Option<u32> {
    let stat = text::read(Path::new(&format!("/proc/{process}/stat")), text::MAX_SYS_BYTES).ok()?;
    // The name is in parentheses and may contain any character. State and parent follow it.
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    (parent > 0).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_of_a_child_are_this_process_and_its_own() {
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        assert_eq!(ancestors(child.id()).next(), Some(std::process::id()));
        assert_eq!(ancestors(child.id()).nth(1), ancestors(std::process::id()).next());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(ancestors(child.id()).next(), None, "it has ended");
    }
}
