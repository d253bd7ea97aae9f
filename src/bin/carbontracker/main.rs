//! The command line: what to do with recordings of runs.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod baselines;
mod recording;
mod replay;
mod score;

use clap::{Args, Parser, Subcommand};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Forecasts the energy and time of training and time loops from recordings of their epochs.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Print what would have been forecast of recorded runs, as CSV
    #[command(after_help = [REPLAYED, RECORDING].concat())]
    Replay {
        /// The recording
        file: PathBuf,
        #[command(flatten)]
        points: Points,
    },
    /// Score the forecasts of recorded runs: errors beside those of other formulas, and what the intervals hold
    #[command(after_help = RECORDING)]
    Score {
        /// A folder of recordings, each a *.csv
        dir: PathBuf,
        #[command(flatten)]
        points: Points,
    },
}

const REPLAYED: &str = "\
Prints run,after_epochs,metric,predicted,lower,upper: the whole run's energy_j, J, and duration_s, s, as forecast after
so many epochs, with its interval.

";

const RECORDING: &str = "\
A recording is CSV with the columns run,epoch,duration_s,energy_j (others are left alone): a row an epoch, the
epochs of a run numbered on from 1, several runs a file; blank = unknown. A run was planned as long as it is. The
CSV of ct_report, of one run, will do too.

Exit status: 0 done, 1 the recording cannot be read (the message names file and line), 2 wrong arguments.";

/// Where to forecast from.
#[derive(Args)]
struct Points {
    /// Forecast after so many epochs, of every run that is longer
    #[arg(long, value_name = "K,...", value_delimiter = ',', default_value = "1,2,3,5,10", value_parser = epochs)]
    at: Vec<u64>,
    /// Share of runs whose outcome is to lie in the interval, 0.5 to 0.999
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = level)]
    level: f64,
}

fn epochs(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|epochs| *epochs > 0).ok_or_else(|| "expected whole numbers from 1, commas between".into())
}

fn level(text: &str) -> Result<f64, String> {
    let level = text.parse().ok().filter(|level| (0.5..=0.999).contains(level));
    level.ok_or_else(|| "expected a number from 0.5 to 0.999".into())
}

fn main() -> ExitCode {
    let done = match Command::parse().task {
        Task::Replay { file, points } => recording::read(&file).and_then(|runs| replay::table(&runs, &points)),
        Task::Score { dir, points } => recording::read_all(&dir).map(|sets| score::table(&sets, &points)),
    };
    match done {
        Ok(text) => print(&text),
        Err(message) => {
            eprintln!("carbontracker: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever reads may stop reading.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("carbontracker: standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
