//! The patches that put old faults back (tests/simulation/faults): each begins with a sentence and still applies.

use crate::finding::Finding;
use std::path::{Path, PathBuf};
use std::process::Command;

const GOAL: &str = "patches of old faults that do not apply";
const FIX: &str = "Write the patch again for the code of today. Then run `make faults`.";

/// Checks the patches. Outside a git checkout only their first lines are checked.
pub fn patches(root: &Path) -> Finding {
    let Ok(entries) = std::fs::read_dir(root.join("tests/simulation/faults")) else {
        return Finding::missing(GOAL, "tests/simulation/faults is missing".into(), FIX);
    };
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    Finding::none_of(GOAL, paths.iter().filter_map(|path| fault(root, path)).collect(), FIX)
}

/// What is wrong with a patch.
fn fault(root: &Path, patch: &Path) -> Option<String> {
    let text = std::fs::read_to_string(patch).unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    if !first.ends_with('.') || first.starts_with("---") {
        return Some(format!("{}: its first line is no sentence", patch.display()));
    }
    if !root.join(".git").exists() {
        return None;
    }
    let output = Command::new("git").arg("-C").arg(root).args(["apply", "--check"]).arg(patch).output().ok()?;
    let why = String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| format!("{}: {}", patch.display(), why.trim_end()))
}
