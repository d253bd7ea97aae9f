//! Compares runs: energy, CO2e at one intensity, time, and energy an epoch, beside the noise of repeated runs.

mod notes;
mod page;
mod show;
mod sides;
mod spread;

use crate::console::{Done, print};
use crate::report::{page_name, write_page};
use sides::{CommonGrid, sides};
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare runs: energy, CO2e at one intensity, time, energy an epoch, and whether it is more than noise
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct CompareArgs {
    /// Reports (*.json), journals (*.jsonl), or folders of repeated runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Carbon intensity for all runs [default: that of the first run]
    #[arg(long, value_name = "G/KWH", value_parser = intensity)]
    intensity: Option<f64>,
    /// Print one JSON document
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print tables in Markdown
    #[arg(long)]
    markdown: bool,
    /// Write a page: a name that ends in .html or .pdf
    #[arg(long, value_name = "FILE", value_parser = page_name, conflicts_with_all = ["json", "markdown"])]
    to: Option<PathBuf>,
}

const HELP: &str = "\
Each folder is a side, and files of runs with one name are one side. A single folder is divided by name. Files that all
have one name are a side each. The other sides are compared with the first. The ranks of a job are one run.

× 1.40 means 1.4 times the first side, ÷ 1.40 the first side divided by 1.4. With two or more runs on both sides,
Welch's t-test decides whether the difference is larger than their noise: it is if noise alone would give such a
difference in fewer than 5 of 100 comparisons. With one run, the noise is unknown.

Examples:
  carbontracker compare before.json after.json
  carbontracker compare runs/fp32 runs/bf16 --markdown
  carbontracker compare runs/fp32 runs/bf16 --to compared.html
  carbontracker compare runs --intensity 100

Exit status: 0 done; 1 a run cannot be read, the page cannot be written, or there is one side only; 2 wrong arguments.";

impl CompareArgs {
    /// Prints the comparison.
    pub fn call(self) -> Done {
        let sides = sides(&self.runs)?;
        let grid = CommonGrid::of(self.intensity, &sides);
        if let Some(file) = &self.to {
            return write_page(file, page::page(&sides, grid)).map(|()| ExitCode::SUCCESS);
        }
        print(&if self.json {
            show::json(&sides, grid)
        } else if self.markdown {
            show::markdown(&sides, grid)
        } else {
            show::text(&sides, grid)
        })
    }
}

/// Checks a carbon intensity, g/kWh.
fn intensity(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| "expected a number of grams a kWh, from 0".into())
}
