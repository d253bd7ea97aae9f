//! Runs that have not begun: the subcommands `estimate` and `when`, by the earlier runs of a name.

mod ahead;
mod amounts;
mod grid;
mod like;
pub mod when;

use crate::console::{Done, complain, print, refuse};
use ahead::{RunAhead, RunForecast};
use amounts::Amounts;
use carbontracker::forecast::Forecast;
use grid::GridAhead;
use like::LikeArgs;
use serde_json::{Value, json};

const HELP: &str = "\
The earlier runs are journals (*.jsonl) and reports (*.json) with this label: the option name, or --name of 'run', else
the name of the program or script. Without --in they are looked for in log_dir or this folder, and among the newest runs
of 'run'. Runs of another length count too: their warm-up and last epoch stay, and the epochs between are stretched. The
ranks of a job are one run: energies are added, and the longest time counts.

  carbontracker estimate --like make
  carbontracker estimate --like resnet --in logs
  carbontracker estimate --like resnet --in logs --epochs 90 --location SE -o price=0.2EUR
  carbontracker estimate --like resnet --in logs --runs 200     a sweep of 200 runs

The interval of a sum of runs is narrower than that of one run: runs scatter independently. What the earlier runs do not
show is shared by all runs, and does not get narrower. The energy of a job is unknown if that of one of its ranks is. See
docs/src/how-to/forecast-before-the-run.md.

Exit status: 0 done; 1 no run fits, or the runs are too different: the message has the fix; 2 wrong arguments or options.";

/// Estimate energy, CO2e, time and cost of a run before it begins, by earlier runs
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct EstimateArgs {
    #[command(flatten)]
    like: LikeArgs,
    /// Number of such runs still to come: estimate their sum too
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    runs: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl EstimateArgs {
    /// Prints the estimate.
    pub fn call(self) -> Done {
        let ahead = match self.like.find(&[])? {
            Ok(ahead) => ahead,
            Err(refused) => return refuse(&refused),
        };
        let RunForecast { whole: one, why_unknown } = ahead.forecast()?;
        why_unknown.iter().for_each(|why| complain(why));
        let grid = GridAhead::find(&ahead.options)?;
        let one_run = Amounts::of(&one, &grid, &ahead);
        let sum = (self.runs > 1).then(|| Amounts::of(&amounts::sum_of(one, self.runs), &grid, &ahead));
        let estimate =
            Shown { ahead: &ahead, grid: &grid, forecast: one, one: one_run, runs: self.runs, sum, why_unknown };
        print(&if self.json { format!("{}\n", estimate.json()) } else { estimate.text() })
    }
}

/// An estimate as it is printed.
struct Shown<'a> {
    ahead: &'a RunAhead,
    grid: &'a GridAhead,
    forecast: Forecast,
    one: Amounts,
    runs: u64,
    sum: Option<Amounts>,
    /// Why the energy is unknown.
    why_unknown: Option<String>,
}

impl Shown<'_> {
    fn text(&self) -> String {
        let mut text = format!(
            "{}, {}; {:.0} % intervals:\n{}",
            self.ahead.length(),
            self.ahead.basis(&self.forecast),
            self.forecast.level * 100.0,
            self.one.text(self.grid)
        );
        if let Some(sum) = &self.sum {
            text += &format!("{} such runs, one after the other:\n{}", self.runs, sum.text(self.grid));
        }
        text
    }

    fn json(&self) -> Value {
        let flat = self.grid.intensity.hourly.as_ref().map_or(&self.grid.intensity.flat, |hourly| &hourly.about);
        json!({
            "schema": 1,
            "name": self.ahead.name,
            "epochs": self.ahead.epochs,
            "level": self.forecast.level,
            "history": self.ahead.history_json(&self.forecast),
            "intensity": {"g_per_kwh": self.one.g_per_kwh, "kind": flat.kind.as_str(), "zone": flat.zone},
            "pue": self.grid.pue,
            "run": self.one.json(),
            "runs": self.runs,
            "sum": self.sum.as_ref().map(Amounts::json),
            "notes": self.why_unknown.iter().collect::<Vec<_>>(),
        })
    }
}
