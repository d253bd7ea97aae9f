//! Writes runs in the formats of other tools. Each format has a file: a pure function from reports to its text.

mod boamps;
mod codecarbon;
mod collector;
mod emissions_csv;
pub mod exported_run;
mod huggingface;
mod latex;
mod markdown;
mod otlp;
mod send;
mod tensorboard;

use crate::console::{Done, complain, print, refuse};
use crate::named_runs;
use carbontracker::os::{self, local_time};
use carbontracker::run_files::atomic_replace::put;
use collector::Collector;
use exported_run::ExportedRuns;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write runs in a format of another tool: CodeCarbon, Hugging Face, Markdown, LaTeX and more
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct ExportArgs {
    /// Reports (*.json), journals (*.jsonl), or folders of them [default: the newest run]
    #[arg(value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The format
    #[arg(long, value_name = "FORMAT")]
    to: ExportFormat,
    /// File to write; without it standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// otlp: post the metrics to this address of a collector, such as http://localhost:4318/v1/metrics; without URL to
    /// that of OTEL_EXPORTER_OTLP_ENDPOINT
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    send: Option<String>,
    /// otlp: a header of the request, such as 'Authorization: Bearer TOKEN'; other users may see it in the list of
    /// processes, unlike OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// huggingface: what the run was, such as pre-training or fine-tuning
    #[arg(long, value_name = "TYPE")]
    training_type: Option<String>,
    /// boamps: JSON file with the fields that no measurement knows, such as task
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
}

const HELP: &str = "\
The ranks of a job are one run. What is unknown stays empty or absent.

With -o, codecarbon appends rows to FILE under a lock, and refuses a file with other columns. A run that is in FILE
already is left out. Other formats replace FILE. tensorboard needs -o; if FILE is a folder, it chooses the name.
boamps and tensorboard take one run.

Examples:
  carbontracker export --to codecarbon runs -o emissions.csv
  carbontracker export --to huggingface >> co2.yaml
  carbontracker export --to markdown >> \"$GITHUB_STEP_SUMMARY\"
  carbontracker export --to otlp --send http://localhost:4318/v1/metrics
  carbontracker export --to otlp --send=https://otlp.example.org/v1/metrics --header 'X-Scope-OrgID: 7'

Exit status: 0 done; 1 a run cannot be read, or the file cannot be written or sent; 2 wrong arguments.";

/// The formats.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ExportFormat {
    /// Rows of CodeCarbon's emissions.csv
    Codecarbon,
    /// The block co2_eq_emissions of a model card
    Huggingface,
    /// A table for the summary of a CI job or a comment
    Markdown,
    /// Sentences for a paper, with siunitx
    Latex,
    /// A report of BoAmps, as JSON
    Boamps,
    /// An event file of TensorBoard: a curve for each quantity
    Tensorboard,
    /// Metrics of OpenTelemetry, as the JSON of OTLP/HTTP
    Otlp,
}

impl ExportArgs {
    /// Exports the runs.
    pub fn call(self) -> Done {
        if let Some(why) = self.unfitting() {
            return refuse(&why);
        }
        let runs = ExportedRuns::of(named_runs::folded(&self.runs)?)?;
        match (self.to, &self.output) {
            (ExportFormat::Codecarbon, Some(path)) => {
                emissions_csv::append(path, &codecarbon::rows(&runs, &local_time()))?;
                Ok(ExitCode::SUCCESS)
            }
            (ExportFormat::Tensorboard, Some(path)) => {
                let run = runs.single("tensorboard")?;
                let path = if path.is_dir() { path.join(tensorboard::file_name(run)) } else { path.clone() };
                put(&path, tensorboard::events(run)?).map(|()| ExitCode::SUCCESS)
            }
            (_, output) => {
                let text = self.text(&runs)?;
                match (output, &self.send) {
                    (Some(path), _) => put(path, text).map(|()| ExitCode::SUCCESS),
                    (None, Some(_)) => Ok(ExitCode::SUCCESS),
                    (None, None) => print(&text),
                }
            }
        }
    }

    /// The text of a format. Metrics are also sent, if an address is given.
    fn text(&self, runs: &ExportedRuns) -> Result<String, String> {
        match self.to {
            ExportFormat::Codecarbon => emissions_csv::text(&codecarbon::rows(runs, &local_time())),
            ExportFormat::Huggingface => huggingface::yaml(runs, self.training_type.as_deref()),
            ExportFormat::Markdown => Ok(markdown::summary(runs)),
            ExportFormat::Latex => latex::sentences(runs),
            ExportFormat::Boamps => self.boamps(runs),
            ExportFormat::Otlp => {
                let request = otlp::request(runs);
                if let Some(url) = &self.send {
                    send::send(&Collector::of(url, &self.header, os::variable)?, &request)?;
                }
                Ok(format!("{request:#}\n"))
            }
            ExportFormat::Tensorboard => Err("an event file is no text; name a file or folder with -o".into()),
        }
    }

    fn boamps(&self, runs: &ExportedRuns) -> Result<String, String> {
        let context = self.context.as_deref().map(context).transpose()?;
        let report = boamps::report(runs.single("boamps")?, context);
        let missing = boamps::missing(&report);
        if !missing.is_empty() {
            complain(&format!(
                "the report lacks {}, which BoAmps requires and the run does not know; it is written without; give the \
                 fields in a JSON file with --context",
                missing.join(", ")
            ));
        }
        Ok(format!("{report:#}\n"))
    }

    /// Why the arguments do not fit the format.
    fn unfitting(&self) -> Option<String> {
        let given = [
            (!self.header.is_empty(), "--header", ExportFormat::Otlp, "otlp"),
            (self.send.is_some(), "--send", ExportFormat::Otlp, "otlp"),
            (self.training_type.is_some(), "--training-type", ExportFormat::Huggingface, "huggingface"),
            (self.context.is_some(), "--context", ExportFormat::Boamps, "boamps"),
        ];
        let wrong = given.into_iter().find(|(is_given, _, format, _)| *is_given && *format != self.to);
        let needs_file = self.to == ExportFormat::Tensorboard && self.output.is_none();
        let file =
            needs_file.then(|| "an event file is no text; nothing is exported; name a file or folder with -o".into());
        let lacks_send = !self.header.is_empty() && self.send.is_none();
        let unsent = lacks_send.then(|| "--header is for --send only; nothing is exported".into());
        wrong
            .map(|(_, option, _, format)| format!("{option} is for --to {format} only; nothing is exported"))
            .or(unsent)
            .or(file)
    }
}

/// Reads the fields that the user gives.
fn context(path: &Path) -> Result<Value, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let value: Value = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if !value.is_object() {
        return Err(format!(
            "{}: it is no JSON object; nothing is exported; write it as {{\"task\": …}}",
            path.display()
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
