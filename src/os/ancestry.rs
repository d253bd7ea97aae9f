//! Which processes stem from which, by /proc.

use super::text;
use std::path::Path;

/// No process has more ancestors: a table of processes that changes while it is read could show a circle.
const MOST: usize = 1000;

/// The processes that a process stems from, its parent first.
pub fn ancestors(process: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(parent(process), |&one| parent(one)).take(MOST)
}

/// None where it is gone, and of the first process of all.
fn parent(process: u32) -> Option<u32> {
    let stat = text::read(Path::new(&format!("/proc/{process}/stat")), text::SMALL).ok()?;
    // The fields after the name, which is in parentheses and may hold anything: state, parent, …
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    (parent > 0).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stems_from_us_and_we_from_our_parent() {
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        assert_eq!(ancestors(child.id()).next(), Some(std::process::id()));
        assert_eq!(ancestors(child.id()).nth(1), ancestors(std::process::id()).next());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(ancestors(child.id()).next(), None, "it is gone");
    }
}
