//! Commit subjects: `area: imperative`, at most 72 characters.

use crate::finding::Finding;
use std::path::Path;
use std::process::Command;

/// The rule holds for what comes after this commit.
const SINCE: &str = "2f71036f2311050ff2cad07062296bea46bbb360";

const GOAL: &str = "commit subjects against the rule";
const FIX: &str = "Reword it: `area: imperative`, at most 72 characters; the body has the reason and the test.";

/// Checks the history. Without one, as in a source archive or a shallow clone, there is nothing to measure.
pub fn subjects(root: &Path) -> Finding {
    match history(root) {
        Some(log) => judged(&log),
        None => {
            let measured = "no history".into();
            Finding { goal: GOAL, measured, bound: "0".into(), fix: FIX, problems: vec![] }
        }
    }
}

fn history(root: &Path) -> Option<String> {
    root.join(".git").exists().then_some(())?;
    let range = format!("{SINCE}..HEAD");
    let arguments = ["log", "--no-merges", "--format=%h %s", &range];
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn judged(log: &str) -> Finding {
    let problems = log.lines().filter_map(|line| {
        let (commit, subject) = line.split_once(' ')?;
        fault(subject).map(|why| format!("{commit} {why}: {subject}"))
    });
    Finding::none_of(GOAL, problems.collect(), FIX)
}

/// What is wrong with a subject.
fn fault(subject: &str) -> Option<&'static str> {
    if subject.chars().count() > 72 {
        return Some("has more than 72 characters");
    }
    let Some((area, action)) = subject.split_once(": ") else { return Some("has no area before a colon") };
    let is_area = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-/., ".contains(c);
    if area.is_empty() || !area.chars().all(is_area) {
        return Some("has an area that is not a lower-case name");
    }
    let verb = action.split(' ').next().unwrap_or_default();
    if !verb.starts_with(|c: char| c.is_ascii_lowercase()) || subject.ends_with('.') {
        return Some("begins with a capital or ends with a full stop");
    }
    let is_other_form =
        ["ed", "ing"].iter().any(|ending| verb.ends_with(ending)) || verb.ends_with('s') && !verb.ends_with("ss");
    let is_verb = ["bring", "feed", "embed", "need", "speed", "shed", "bias", "focus", "string"].contains(&verb);
    (is_other_form && !is_verb).then_some("is not an imperative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_is_an_area_and_an_imperative() {
        let good = ["journal: lock before reading", "report/html, cli: pass zones", "os: embed the table"];
        assert!(good.iter().all(|subject| fault(subject).is_none()));
        let long = format!("journal: {}", "a".repeat(64));
        let bad = [
            "Lock before reading",
            "Journal: lock it",
            "journal: Lock it",
            "journal: locks it",
            "journal: locked it",
            "journal: locking",
            "journal: lock it.",
            &long,
        ];
        assert!(bad.iter().all(|subject| fault(subject).is_some()));
    }

    #[test]
    fn log_is_judged_line_by_line_and_a_folder_without_history_is_not() {
        assert_eq!(
            judged("abc journal: lock it\ndef It was so\n").problems,
            ["def has no area before a colon: It was so"]
        );
        let found = subjects(Path::new("/nonexistent"));
        assert!(found.problems.is_empty() && found.measured == "no history");
    }
}
