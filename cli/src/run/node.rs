//! `run --node`: measures the node of a job until a signal ends the command.

use super::epochs::Epochs;
use super::outputs::Outputs;
use super::status::{Pace, StatusLine};
use super::{RunArgs, TICK, in_report};
use crate::console::{Done, complain, refuse};
use carbontracker::error::Status;
use carbontracker::options::Options;
use carbontracker::os::child::HeldSignals;
use carbontracker::tracker::Tracker;
use std::fs::File;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The label of a run without a name.
pub const NAME: &str = "node";
/// The shortest piece of the time, which is an epoch.
const MIN_PIECE: Duration = Duration::from_secs(1);
/// A piece is at most the time so far divided by this. A kill loses a piece at most.
const PIECES: u32 = 100;

/// Measures the node. `to`: the open file of the report.
pub fn measure(args: &RunArgs, options: Options, to: Option<File>) -> Done {
    // The signals wait from here on, so that one that comes during the start ends the run in order.
    let held = HeldSignals::new();
    let (tracker, kept) = match args.tracker(options) {
        Ok(begun) => begun,
        Err(error) if error.status == Status::CT_EINVAL => return refuse(&error.message),
        Err(error) => return Err(format!("the node is not measured: {error}")),
    };
    let epochs = Epochs::new(tracker);
    args.print_messages(&epochs, &in_report(&epochs));
    epochs.begin();
    follow(args, &held, &epochs);
    epochs.end();
    args.write_report(&epochs, to, true);
    let unwritten = epochs.tracker.and_then(Tracker::destroy);
    unwritten.filter(|_| kept.is_none()).into_iter().for_each(|what| complain(&what));
    Ok(ExitCode::SUCCESS)
}

/// Divides the time into pieces, and prints messages and the status, until a signal comes that ends programs.
fn follow(args: &RunArgs, held: &HeldSignals, epochs: &Epochs) {
    let (mut status, outputs) = (StatusLine::new(if args.quiet { Pace::Off } else { args.status }), Outputs::new());
    let line = || Some(epochs.tracker.as_ref()?.report("line").ok()?.trim_end().to_owned());
    let began = Instant::now();
    let mut piece = began;
    loop {
        match held.next(TICK) {
            Some(signal) if signal.is_stop() => {
                status.give_back();
                held.stop();
            }
            Some(signal) if signal.is_end() => return status.give_back(),
            _ => (),
        }
        if piece.elapsed() >= MIN_PIECE.max(began.elapsed() / PIECES) {
            piece = Instant::now();
            epochs.tracker.iter().for_each(|tracker| drop(tracker.end().and_then(|_| tracker.begin())));
        }
        args.print_messages(epochs, &[]);
        status.update(&outputs, line);
    }
}
