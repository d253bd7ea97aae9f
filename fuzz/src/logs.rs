//! Logs of Python's Carbontracker, 1.x and 2.x.
//!
//! The input is a standard log. After a line `==> output` follows the output log of the same run.

use crate::import::{LogFile, faults, recording, runs, table};
use crate::{Target, sound};
use serde_json::Value;

/// The target.
pub const TARGET: Target = Target {
    name: "logs",
    check,
    fixtures: &[("carbontracker", ".log"), ("v0.1.0", ".log")],
    tokens: &[
        "\n==> output\n",
        "2026-01-02 03:04:05 - ",
        "carbontracker version 2.0.1",
        "Epoch 1:",
        "Duration: 0:00:01.25",
        "Average power usage (W) for cpu: ",
        "[1.0, 2.0]",
        "None",
        "Monitoring thread ended.",
        "Found devices: ",
        "Actual consumption for 1 epoch(s):\n\tTime:\t0:00:02\n\tEnergy:\t0.1 kWh\n\tCO2eq:\t1 g\n",
        "Predicted consumption for 10 epoch(s):\n",
        "The following components were found: CPU with device(s) cpu:0.",
        "PUE",
        "\u{feff}",
        "\r",
    ],
    runs: 150,
};

/// Checks one input.
pub fn check(data: &[u8]) {
    const MARK: &[u8] = b"\n==> output\n";
    let at = data.windows(MARK.len()).position(|window| window == MARK);
    let (standard, output) = at.map_or((data, None), |at| (&data[..at], Some(&data[at + MARK.len()..])));
    let log = |name: &str, is_output: bool, bytes: &[u8]| LogFile::read(name.into(), "run".into(), is_output, bytes);
    let mut logs = vec![log("run_carbontracker.log", false, standard)];
    logs.extend(output.map(|bytes| log("run_carbontracker_output.log", true, bytes)));
    for fault in faults(&logs) {
        sound::message(&fault, data);
        assert!(fault.starts_with("run_carbontracker") || fault.starts_with("run: "), "no file and line: {fault}");
    }
    let (runs, message) = runs(&logs);
    message.iter().for_each(|message| sound::message(message, data));
    for run in &runs {
        sound::report(&run.report);
        sound::amounts(&run.report);
        let notes = run.report.get("notes").and_then(Value::as_array).into_iter().flatten();
        notes.filter_map(Value::as_str).for_each(|note| sound::message(note, data));
    }
    let mut troubles = Vec::new();
    let rows = recording(&runs, &mut troubles);
    assert!(rows.starts_with("run,epoch,duration_s,energy_j\n"));
    assert!(table(&runs).lines().count() > runs.len());
}
