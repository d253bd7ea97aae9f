//! What a check hands back, and the table of all of them.

/// The result of one check.
pub struct Finding {
    /// What is measured, in a few words.
    pub goal: &'static str,
    /// The value today.
    pub measured: String,
    /// The value that is allowed.
    pub bound: String,
    /// What to do about a problem.
    pub fix: &'static str,
    /// One line for each fault; none means that the goal is met.
    pub problems: Vec<String>,
}

impl Finding {
    /// A goal that counts its problems and allows none.
    pub fn none_of(goal: &'static str, problems: Vec<String>, fix: &'static str) -> Finding {
        Finding { goal, measured: problems.len().to_string(), bound: "0".into(), fix, problems }
    }

    /// A goal with a number that has an upper bound.
    pub fn at_most(goal: &'static str, measured: usize, bound: usize, fix: &'static str) -> Finding {
        let problem = format!("{measured} measured, {bound} allowed");
        let problems = if measured > bound { vec![problem] } else { vec![] };
        Finding { goal, measured: measured.to_string(), bound: format!("<= {bound}"), fix, problems }
    }

    /// A goal that cannot be measured because its subject is missing. A missing subject is a fault.
    pub fn missing(goal: &'static str, why: String, fix: &'static str) -> Finding {
        Finding { goal, measured: "missing".into(), bound: "present".into(), fix, problems: vec![why] }
    }
}

/// One line a goal: whether it is met, its value and its bound.
pub fn table(findings: &[Finding]) -> String {
    let goals = findings.iter().map(|finding| finding.goal.len()).max().unwrap_or_default();
    let values = findings.iter().map(|finding| finding.measured.len()).max().unwrap_or_default().max(8);
    let mut table = format!("       {:goals$}  {:>values$}  bound\n", "goal", "measured");
    for Finding { goal, measured, bound, problems, .. } in findings {
        let state = if problems.is_empty() { "met " } else { "LOST" };
        table += &format!("  {state} {goal:goals$}  {measured:>values$}  {bound}\n");
    }
    table
}

/// The faults of each lost goal, under the way to fix them.
pub fn faults(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { goal, fix, problems, .. } in findings.iter().filter(|finding| !finding.problems.is_empty()) {
        text += &format!("\n{goal}: lost. {fix}\n");
        for problem in problems {
            text += &format!("  {problem}\n");
        }
    }
    text
}

#[test]
fn bound_includes_its_value() {
    assert!(Finding::at_most("files", 8, 8, "").problems.is_empty());
    assert_eq!(Finding::at_most("files", 9, 8, "").problems, ["9 measured, 8 allowed"]);
}

#[test]
fn table_and_the_faults_name_the_goal_the_value_and_the_fix() {
    let findings = [Finding::at_most("files", 9, 8, "Move one."), Finding::none_of("circles", vec![], "Cut them.")];
    let (table, faults) = (table(&findings), faults(&findings));
    assert!(table.contains("LOST files") && table.contains("<= 8") && table.contains("met  circles"), "{table}");
    assert!(faults.contains("files: lost. Move one.\n  9 measured") && !faults.contains("circles"), "{faults}");
}
