//! Injects a fault into each of the library's calls into libc, in over a thousand runs. The application is not harmed,
//! and every ended epoch is kept or its loss is reported.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::application::{Lab, built, succeeds};
use crate::install_tree::{checkout, command, have, outcome, run};
use std::path::PathBuf;
use std::process::Command;

/// Runs at a time: more than processors, because runs wait most of their time.
const WORKERS: &str = "8";

/// Builds the shim that makes calls fail.
fn shim(lab: &Lab) -> PathBuf {
    let shim = lab.dir.join("inject.so");
    let mut cc = command("cc");
    cc.args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"])
        .arg(checkout("tests/applications/programs/inject.c"));
    run(cc.args(["-ldl", "-pthread", "-o"]).arg(&shim));
    shim
}

/// A command with separate shared memory, if this process may create namespaces.
fn alone(program: PathBuf) -> Command {
    let mount = "mount -t tmpfs tmpfs /dev/shm && exec \"$@\"";
    let unshare = ["--mount", "--ipc", "sh", "-c", mount, "sh"];
    if !succeeds(command("unshare").args(unshare).arg("true")) {
        return command(program);
    }
    let mut alone = command("unshare");
    alone.args(unshare).arg(program);
    alone
}

#[test]
fn thousand_faults_of_libc_harm_no_application_and_lose_no_epoch_silently() {
    if !have(&["cc", "pkg-config", "unshare"]) {
        return;
    }
    let lab = Lab::new("injected");
    // The simulated power is known at once. With a counter that does not move, the report would wait 1 s.
    lab.file("tree/sys/class/hwmon/hwmon0/name", "power_meter\n", 0o644);
    lab.file("tree/sys/class/hwmon/hwmon0/power1_average", "50000000\n", 0o644);
    let mut driver = alone(built("injected"));
    let output = outcome(driver.arg(WORKERS).current_dir(&lab.dir).env("LD_PRELOAD", shim(&lab)));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let (faults, summary): (Vec<&str>, Vec<&str>) = printed.lines().partition(|line| line.starts_with("FAULT"));
    assert!(output.status.success(), "{output:?}");
    let summary = summary.join("\n");
    println!("{summary}");
    let runs = summary.split("in all ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(runs.is_some_and(|runs| runs > 1000), "{summary}");
    assert!(faults.is_empty(), "{} of them at fault\n{}\n{summary}", faults.len(), faults.join("\n"));
}
