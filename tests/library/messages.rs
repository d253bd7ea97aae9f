//! Messages on standard error, for those who ask for them.

use carbontracker::tracker::Tracker;
use std::process::Command;
use std::time::Duration;

/// The variable with the options of the program.
const OPTIONS: &str = "CT_MESSAGES_PROGRAM";

/// The program, if this process is one: two epochs of four.
#[test]
fn messages_program() {
    let Ok(options) = std::env::var(OPTIONS) else { return };
    let tracker = Tracker::create(&options).unwrap().unwrap();
    for _ in 0..2 {
        tracker.begin().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        tracker.end().unwrap();
    }
    let queued = tracker.take_message(|_| Ok(carbontracker::error::Status::CT_OK)).is_ok();
    tracker.destroy();
    println!("\nqueued: {queued}");
}

#[test]
fn messages_are_printed_only_if_that_is_asked_for() {
    let run = |options: &str| {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "messages::messages_program", "--nocapture", "--test-threads=1"]);
        let output = program.env(OPTIONS, options).output().unwrap();
        let [printed, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (printed.contains("queued: true"), errors.contains("carbontracker: forecast after 2 of 4 epochs"))
    };
    assert_eq!(run("epochs=4 sim_cpu=x:100 job=off"), (true, false));
    assert_eq!(run("epochs=4 sim_cpu=x:100 job=off log=stderr"), (false, true));
}
