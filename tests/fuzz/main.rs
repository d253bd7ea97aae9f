//! Each target of `fuzz/` with its seeds and with mutations of them, by number.
//!
//! `CT_FUZZ_RUNS=N` sets the number of mutated inputs of each target, `CT_FUZZ_FROM=N` the first of them. A failure
//! names the number and the command that repeats it. `--nocapture` shows how many inputs were checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use carbontracker_fuzz::{Target, calls, replay};
use std::path::Path;

/// The value of a variable with a number.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a whole number")))
}

fn run(target: &Target) {
    let (from, runs) = (number("CT_FUZZ_FROM").unwrap_or(0), number("CT_FUZZ_RUNS").unwrap_or(target.runs));
    match replay::run(target, from, runs, Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(done) => println!(
            "{}: {} seeds, {} inputs in {:.1?}; the slowest, number {}, took {:.1?}",
            target.name, done.seeds, done.inputs, done.took, done.slowest.0, done.slowest.1
        ),
        Err(why) => {
            // The library replaces the hook that would print the text of a panic.
            eprintln!("{}: {why}", target.name);
            panic!("{}: {why}", target.name);
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(&carbontracker_fuzz::$name::TARGET);
        }
    )*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets!(options pointer journal csv logs service sysfs);

#[test]
fn calls() {
    let before = calls::count();
    run(&calls::TARGET);
    println!("calls: {} calls of C functions", calls::count() - before);
}

#[test]
fn each_target_has_a_test_and_a_program() {
    let names: Vec<&str> = carbontracker_fuzz::TARGETS.iter().map(|target| target.name).collect();
    let tested: Vec<&str> = TESTED.iter().copied().chain(["calls"]).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    assert!(names.iter().all(|name| tested.contains(name) && folder.join(format!("{name}.rs")).is_file()), "{names:?}");
}
