//! Forecasts of recorded runs, and the arguments that `replay` and `score` share.

mod baselines;
mod recording;
pub mod replay;
pub mod score;

/// What a recording is, for the help.
pub const RECORDING: &str = "\
A recording is CSV with the columns run,epoch,duration_s,energy_j (others are left alone): a row an epoch, the
epochs of a run numbered on from 1, several runs a file; blank = unknown. A run was planned as long as it is. The
CSV of ct_report, of one run, will do too.

Exit status: 0 done, 1 the recording cannot be read (the message names file and line), 2 wrong arguments.";

/// Where to forecast from.
#[derive(clap::Args)]
pub struct Points {
    /// Forecast after so many epochs, of every run that is longer
    #[arg(long, value_name = "K,...", value_delimiter = ',', default_value = "1,2,3,5,10", value_parser = epochs)]
    pub at: Vec<u64>,
    /// Share of runs whose outcome is to lie in the interval, 0.5 to 0.999
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = level)]
    pub level: f64,
}

fn epochs(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|epochs| *epochs > 0).ok_or_else(|| "expected whole numbers from 1, commas between".into())
}

fn level(text: &str) -> Result<f64, String> {
    let level = text.parse().ok().filter(|level| (0.5..=0.999).contains(level));
    level.ok_or_else(|| "expected a number from 0.5 to 0.999".into())
}
