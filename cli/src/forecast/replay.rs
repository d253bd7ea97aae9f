//! Prints the forecasts of recorded runs after their first epochs.

use super::recording::{self, RecordedRun};
use super::{PointArgs, RECORDING, earlier};
use crate::console::{Done, print};
use carbontracker::attribution::ledger::InterEpoch;
use carbontracker::forecast::first_epoch::FirstEpoch;
use carbontracker::forecast::history::History;
use carbontracker::forecast::{Forecast, Metric, forecast};
use carbontracker::sanitize;
use std::path::PathBuf;

const PRINTED: &str = "\
Prints run,after_epochs,metric,predicted,lower,upper: the forecast energy_j, J, and duration_s, s, of the whole run
after each number of epochs, with its interval. With earlier runs (--history) it learns from them, and 0 epochs are
enough.

";

/// Print the forecasts of recorded runs, as CSV
#[derive(clap::Args)]
#[command(after_help = [PRINTED, RECORDING].concat())]
pub struct ReplayArgs {
    /// The recording
    file: PathBuf,
    /// A recording of earlier runs, oldest first. It may be given several times, oldest first. A run is not its own
    /// earlier run: one with the same name is left out
    #[arg(long, value_name = "EARLIER.csv")]
    history: Vec<PathBuf>,
    #[command(flatten)]
    points: PointArgs,
}

impl ReplayArgs {
    /// Prints the table.
    pub fn call(self) -> Done {
        let mut earlier = Vec::new();
        for file in &self.history {
            earlier.extend(recording::read(file)?);
        }
        print(&table(&recording::read(&self.file)?, &earlier, &self.points)?)
    }
}

/// A metric's column in a recording.
pub fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Energy => "energy_j",
        Metric::Duration => "duration_s",
    }
}

/// The library's forecast of a run after its first `seen` epochs. The run's own length is the plan.
pub fn after(run: &RecordedRun, history: &History, seen: u64, level: f64) -> Option<Forecast> {
    let epochs = run.epochs.iter().take(seen as usize).copied();
    forecast(run.epochs.len() as u64, level, epochs, InterEpoch::default(), &FirstEpoch::default(), history)
}

/// The forecasts as CSV, one row each.
fn table(runs: &[RecordedRun], earlier: &[RecordedRun], points: &PointArgs) -> Result<String, String> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let written = write(&mut rows, runs, earlier, points).map_err(|error| error.to_string());
    let bytes = written.and_then(|()| rows.into_inner().map_err(|error| error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn write(
    rows: &mut csv::Writer<Vec<u8>>,
    runs: &[RecordedRun],
    earlier: &[RecordedRun],
    points: &PointArgs,
) -> csv::Result<()> {
    rows.write_record(["run", "after_epochs", "metric", "predicted", "lower", "upper"])?;
    let all = earlier::history(earlier.iter());
    for run in runs {
        let others = || earlier.iter().filter(|other| other.name != run.name);
        let own = (others().count() < earlier.len()).then(|| earlier::history(others()));
        for &seen in points.at.iter().filter(|&&seen| seen < run.epochs.len() as u64) {
            let forecast = after(run, own.as_ref().unwrap_or(&all), seen, points.level);
            for metric in Metric::ALL {
                if let Some(e) = forecast.as_ref().and_then(|forecast| metric.forecast(forecast)) {
                    let (run, seen, metric) = (sanitize::cell(&run.name), seen.to_string(), name(metric));
                    let [value, low, high] = [e.value, e.low, e.high].map(|number| number.to_string());
                    rows.write_record([&run, &seen, metric, &value, &low, &high])?;
                }
            }
        }
    }
    Ok(())
}
