//! An application that closes, replaces and opens descriptors at random instants, ten thousand times, while trackers
//! read counters in files, perf events and simulated devices, and write journals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::application::{Lab, Printed, REFUSE, built, powercap};
use crate::install_tree::{command, have, outcome};

/// A tree whose power unit is the kernel's cpu-clock, which counts nanoseconds on any machine. At 1e-7 J a count it
/// draws 100 W.
fn perf_tree(lab: &Lab) {
    let unit = "perf/sys/bus/event_source/devices/power";
    for (file, text) in
        [("type", "1"), ("cpumask", "0"), ("events/energy-pkg", "event=0x00"), ("events/energy-pkg.scale", "1e-7")]
    {
        lab.file(&format!("{unit}/{file}"), text, 0o644);
    }
}

/// How an application uses descriptors, and where it runs.
#[derive(Default)]
struct Churn<'a> {
    /// The command that starts it.
    starter: &'a [&'a str],
    seed: u32,
    rounds: u32,
    /// The library's threads share the application's descriptor table.
    is_refused: bool,
    /// Another thread makes and destroys trackers meanwhile.
    is_making: bool,
}

/// Runs the application; an error describes what went wrong.
fn churn(name: &str, how: &Churn) -> Result<(), String> {
    let lab = Lab::new(name);
    lab.folder("w", 0o755);
    powercap(&lab, "rapl");
    perf_tree(&lab);
    lab.file("grid.csv", "time,g_per_kwh\n2020-01-01T00:00:00Z,100\n2099-01-01T00:00:00Z,100\n", 0o644);
    let words: Vec<String> =
        how.starter.iter().map(|word| (*word).to_owned()).chain([built("churn").display().to_string()]).collect();
    let mut application = command(&words[0]);
    application.args(&words[1..]).args([how.seed, how.rounds].map(|number| number.to_string())).current_dir(&lab.dir);
    application.args(how.is_making.then_some("make"));
    if how.is_refused {
        application.env(REFUSE, "1");
    }
    let output = outcome(&mut application);
    let printed = Printed(String::from_utf8_lossy(&output.stdout).into_owned());
    if !output.status.success() || printed.0.contains("harmed") {
        return Err(format!(
            "{application:?}: {}\n{}{}",
            output.status,
            printed.0,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    check_kept(&lab, &printed, !how.is_refused)
}

/// Journals and reports hold all epochs, and no energy was invented. If the application could not close a counter,
/// no energy was lost.
fn check_kept(lab: &Lab, printed: &Printed, is_exact: bool) -> Result<(), String> {
    let number =
        |line: &str, place: usize| line.split(' ').nth(place).and_then(|word| word.parse::<f64>().ok()).unwrap();
    let counted = number(printed.0.lines().find(|line| line.starts_with("counted ")).unwrap(), 1);
    let trackers: Vec<&str> = printed.0.lines().filter(|line| line.starts_with("tracker ")).collect();
    for (tracker, name) in trackers.into_iter().zip(["l-rapl", "l-perf", "l-sim"]) {
        let (epochs, joules, seconds) = (number(tracker, 2), number(tracker, 3), number(tracker, 4));
        let truth = match name {
            "l-rapl" => counted,
            "l-perf" => 100.0 * seconds,
            _ => 300.0 * seconds,
        };
        let logs = lab.logs(name);
        let written = logs.journals().iter().map(|journal| journal.epochs()).max();
        let reported = crate::application::json(&logs.file(".json"))["run"]["epochs_done"].as_u64();
        let ended = printed.ended();
        if (epochs as u64, written, reported) != (ended, Some(ended), Some(ended)) {
            return Err(format!("{name}: {written:?} written, {reported:?} reported\n{}", printed.0));
        }
        if name == "l-perf" && joules < 0.0 {
            eprintln!("skipped: no perf events here");
        } else if joules > 1.05 * truth + 0.1 || is_exact && joules < 0.9 * truth {
            return Err(format!("{name}: {joules} J instead of {truth} J\n{}", printed.0));
        }
    }
    let made = number(printed.0.lines().find(|line| line.starts_with("made ")).unwrap(), 1) as usize;
    let logs = lab.logs("l-made");
    let written: u64 = logs.journals().iter().map(|journal| journal.epochs()).sum();
    if (written as usize, logs.files(".json").len()) != (made, made) {
        return Err(format!("{written} of {made} epochs of the trackers that came and went\n{}", printed.0));
    }
    Ok(())
}

#[test]
fn ten_thousand_rounds_harm_nothing() {
    if have(&["cc", "pkg-config"]) {
        let how = Churn { seed: 1, rounds: 10_000, ..Churn::default() };
        churn("free", &how).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

/// On one processor a thread may be interrupted between any two of its calls.
#[test]
fn ten_thousand_rounds_on_one_processor_harm_nothing() {
    if have(&["cc", "pkg-config", "taskset"]) {
        let how = Churn { starter: &["taskset", "-c", "0"], seed: 2, rounds: 10_000, ..Churn::default() };
        churn("one-processor", &how).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

#[test]
fn descriptors_may_be_churned_while_trackers_are_made_and_destroyed() {
    if have(&["cc", "pkg-config"]) {
        let how = Churn { seed: 3, rounds: 6_000, is_making: true, ..Churn::default() };
        churn("made", &how).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

/// A thread may be interrupted between the check of a descriptor and its use, for longer than the application waits.
/// This is rare, so the test is repeated.
#[test]
fn thousand_rounds_harm_nothing_where_the_table_is_shared() {
    const TRIES: u32 = 3;
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let attempt = |seed| churn("refused", &Churn { seed, rounds: 1_000, is_refused: true, ..Churn::default() }).err();
    let faults: Vec<String> = (0..TRIES).map_while(attempt).collect();
    assert!(faults.len() < TRIES as usize, "{}", faults.join("\n"));
}
