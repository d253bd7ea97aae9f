//! Forecasts of recorded runs: the subcommands `replay` and `score`, and the arguments they share.

mod baselines;
mod earlier;
mod recording;
pub mod replay;
pub mod score;

/// Help text on the format of a recording.
pub const RECORDING: &str = "\
A recording is CSV with the columns run,epoch,duration_s,energy_j: a row for each epoch, epochs numbered from 1, several
runs in a file, blank = unknown. Other columns are ignored. Each run is taken as planned for the epochs it has. The CSV
of ct_report of one run is a recording too.

Exit status: 0 done, 1 the recording cannot be read (the message names file and line), 2 wrong arguments.";

/// When to forecast, and with what interval.
#[derive(clap::Args)]
pub struct PointArgs {
    /// Numbers of epochs after which to forecast; runs that are shorter are skipped. 0 needs earlier runs
    #[arg(long, value_name = "K,...", value_delimiter = ',', default_value = "1,2,3,5,10", value_parser = epochs)]
    pub at: Vec<u64>,
    /// Share of runs whose outcome should be in the interval, 0.5 to 0.999
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = level)]
    pub level: f64,
}

/// Parses a number of epochs.
fn epochs(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "expected whole numbers from 0, separated by commas".into())
}

/// Parses the level of the intervals.
fn level(text: &str) -> Result<f64, String> {
    let level = text.parse().ok().filter(|level| (0.5..=0.999).contains(level));
    level.ok_or_else(|| "expected a number from 0.5 to 0.999".into())
}
