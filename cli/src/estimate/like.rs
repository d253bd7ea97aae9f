//! Finds the earlier runs that a run to come is like.

use super::ahead::RunAhead;
use crate::console::complain;
use crate::option_args::OptionArgs;
use carbontracker::carbon::intensity::zones;
use carbontracker::options::{Options, environment};
use carbontracker::os;
use carbontracker::run_files::config::HistoryOption;
use carbontracker::run_files::history::{self, HistoryRequest, PastRun, RankChoice, USEFUL_RUNS};
use carbontracker::run_files::paths::name_part;
use carbontracker::run_files::run_identity::is_same;
use carbontracker::sanitize;
use std::path::PathBuf;

/// The earlier runs, and what is different this time.
#[derive(clap::Args)]
pub struct LikeArgs {
    /// Label of the earlier runs: their option name
    #[arg(long, value_name = "NAME")]
    like: String,
    /// Folder with their files [default: the option history, else log_dir or this folder, and the newest runs of 'run']
    #[arg(long = "in", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Number of epochs planned [default: as many as the newest run planned]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// Zone of the grid: the option location [default: the zone of the newest run]
    #[arg(long, value_name = "ZONE")]
    location: Option<String>,
    /// Options of the library, such as 'pue=1.3 price=0.32EUR'; CARBONTRACKER_* variables count too
    #[arg(short, long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
}

impl LikeArgs {
    /// Finds the earlier runs. `more` are options of the subcommand. An inner error is one of the arguments.
    pub fn find(&self, more: &[(&str, Option<&str>)]) -> Result<Result<RunAhead, String>, String> {
        let own = [&[("location", self.location.as_deref())], more].concat();
        let given = OptionArgs::of(self.options.clone());
        let parsed = match Options::load(&given.with(&own), os::variable) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error.message)),
        };
        parsed.config.messages.iter().chain(&environment::unknown()).for_each(|message| complain(message));
        let runs = self.runs(&parsed)?;
        let newest = runs.last().ok_or("no earlier run fits; nothing is estimated; check --like and --in")?;
        let is_placed = parsed.carbon.location.is_some() || parsed.carbon.intensity.is_some();
        let zone = newest.zone.as_deref().filter(|zone| !is_placed && zones::locate("location", zone).is_ok());
        let pue = newest
            .pue
            .map(|pue| pue.to_string())
            .filter(|_| !is_in_environment("pue") && !parsed.is_set_by_file("pue"));
        // The last value of a key counts.
        let defaults = OptionArgs::of(Vec::new()).with(&[("location", zone), ("pue", pue.as_deref())]);
        let options = Options::load(&[defaults, given.with(&own)].join(" "), os::variable);
        let options = options.map_err(|error| error.message)?;
        let planned = if newest.label.planned > 0 { newest.label.planned } else { newest.epochs_done };
        let epochs = match newest.run.work {
            None => Some(self.epochs.unwrap_or(planned)),
            Some(_) => {
                self.epochs
                    .iter()
                    .for_each(|_| complain("--epochs does not count: the newest run has progress, not epochs"));
                None
            }
        };
        Ok(Ok(RunAhead { name: self.name(), epochs, options, runs }))
    }

    /// The label, as the library stores it.
    fn name(&self) -> String {
        sanitize::text(self.like.as_str())
    }

    /// The folders with the earlier runs, and how the user named them; None: they are the default ones.
    fn folders(&self, options: &Options) -> (Vec<PathBuf>, Option<String>) {
        match (&self.folder, &options.files.history) {
            (Some(folder), _) => (vec![folder.clone()], Some(format!("--in {}", folder.display()))),
            (None, HistoryOption::Folder(folder)) => {
                (vec![folder.clone()], Some(options.text_as_set(format!("history={}", folder.display()))))
            }
            (None, _) => {
                let own = options.files.log_dir.clone().unwrap_or_else(|| PathBuf::from("."));
                let kept = options.files.state_folder.clone().filter(|kept| !is_same(kept, &own));
                (kept.into_iter().chain([own]).collect(), None)
            }
        }
    }

    /// The earlier runs, newest last.
    fn runs(&self, options: &Options) -> Result<Vec<PastRun>, String> {
        let (folders, named) = self.folders(options);
        let request = HistoryRequest {
            folders,
            named,
            name: Some(self.name()),
            prefix: name_part(&self.name()),
            rank: RankChoice::All,
            id: String::new(),
            journal: None,
            processes: 1,
            most: USEFUL_RUNS,
            with_power: true,
        };
        let found = history::read(&request, &|| false);
        found.messages.iter().for_each(|message| complain(message));
        let none = || format!("{}; nothing is estimated; check --like and --in", request.none_found());
        if found.runs.is_empty() { Err(none()) } else { Ok(found.runs) }
    }
}

/// Whether a variable of the environment sets an option.
fn is_in_environment(key: &str) -> bool {
    os::variable(&environment::variable_of(key)).is_some_and(|value| !value.is_empty())
}
