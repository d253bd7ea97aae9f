//! What would have been forecast of recorded runs.

use super::recording::{self, Run};
use super::{Points, RECORDING};
use crate::console::{Done, print};
use carbontracker::attribution::ledger::InterEpoch;
use carbontracker::forecast::first_epoch::FirstEpoch;
use carbontracker::forecast::{Forecast, Metric, forecast};
use carbontracker::sanitize;
use std::path::PathBuf;

const PRINTED: &str = "\
Prints run,after_epochs,metric,predicted,lower,upper: the whole run's energy_j, J, and duration_s, s, as forecast after
so many epochs, with its interval.

";

/// Print what would have been forecast of recorded runs, as CSV
#[derive(clap::Args)]
#[command(after_help = [PRINTED, RECORDING].concat())]
pub struct Replay {
    /// The recording
    file: PathBuf,
    #[command(flatten)]
    points: Points,
}

impl Replay {
    /// Prints the table.
    pub fn call(self) -> Done {
        print(&table(&recording::read(&self.file)?, &self.points)?)
    }
}

/// A metric as a recording calls it.
pub fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Energy => "energy_j",
        Metric::Duration => "duration_s",
    }
}

/// What the library forecasts of a run after `seen` of its epochs, planned as long as it is.
pub fn after(run: &Run, seen: u64, level: f64) -> Option<Forecast> {
    let epochs = run.epochs.iter().take(seen as usize).copied();
    forecast(run.epochs.len() as u64, level, epochs, InterEpoch::default(), &FirstEpoch::default())
}

/// The forecasts as CSV, a row each.
fn table(runs: &[Run], points: &Points) -> Result<String, String> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let written = write(&mut rows, runs, points).map_err(|error| error.to_string());
    let bytes = written.and_then(|()| rows.into_inner().map_err(|error| error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn write(rows: &mut csv::Writer<Vec<u8>>, runs: &[Run], points: &Points) -> csv::Result<()> {
    rows.write_record(["run", "after_epochs", "metric", "predicted", "lower", "upper"])?;
    for run in runs {
        for &seen in points.at.iter().filter(|&&seen| seen < run.epochs.len() as u64) {
            let forecast = after(run, seen, points.level);
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
