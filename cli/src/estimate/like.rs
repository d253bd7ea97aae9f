//! The earlier runs that a run to come is like, and its forecast before it begins.

use crate::console::complain;
use crate::option_args::OptionArgs;
use carbontracker::attribution::ledger::InterEpoch;
use carbontracker::carbon::intensity::zones;
use carbontracker::forecast::first_epoch::FirstEpoch;
use carbontracker::forecast::history::{EarlierRun, History};
use carbontracker::forecast::uncertainty::Uncertainty;
use carbontracker::forecast::{Estimate, Forecast, Metric, forecast};
use carbontracker::options::{Options, environment};
use carbontracker::os;
use carbontracker::run_files::config::HistoryOption;
use carbontracker::run_files::history::{self, HistoryRequest, PastRun, RankChoice, USEFUL_RUNS};
use carbontracker::sanitize;
use carbontracker::units::{ErrorBand, duration};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The earlier runs, and what is different this time.
#[derive(clap::Args)]
pub struct LikeArgs {
    /// Label of the earlier runs: their option name
    #[arg(long, value_name = "NAME")]
    like: String,
    /// Folder with their files [default: the option history, else log_dir, else this folder]
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

/// A run to come, and the earlier runs that it is like.
pub struct RunAhead {
    /// Label of the runs.
    pub name: String,
    /// Planned epochs.
    pub epochs: u64,
    /// The options of the run to come.
    pub options: Options,
    /// The earlier runs, for each number in the job, newest last.
    groups: Vec<Vec<PastRun>>,
}

impl LikeArgs {
    /// Finds the earlier runs. `more` are options of the subcommand. An inner error is one of the arguments.
    pub fn find(&self, more: &[(&str, Option<&str>)]) -> Result<Result<RunAhead, String>, String> {
        let own = [&[("location", self.location.as_deref())], more].concat();
        let given = OptionArgs::of(self.options.clone());
        let parsed = match Options::parse(&given.with(&own), os::variable) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error.message)),
        };
        let folder = self.folder(&parsed);
        let groups = self.groups(&folder)?;
        let newest = newest(&groups).ok_or_else(|| format!("{}: it has no runs", folder.display()))?;
        let is_placed = parsed.carbon.location.is_some() || parsed.carbon.intensity.is_some();
        let zone = newest.zone.as_deref().filter(|zone| !is_placed && zones::locate("location", zone).is_ok());
        let pue = newest.pue.map(|pue| pue.to_string()).filter(|_| !is_in_environment("pue"));
        // The last value of a key counts.
        let defaults = OptionArgs::of(Vec::new()).with(&[("location", zone), ("pue", pue.as_deref())]);
        let options = Options::parse(&[defaults, given.with(&own)].join(" "), os::variable);
        let options = options.map_err(|error| error.message)?;
        let planned = if newest.label.planned > 0 { newest.label.planned } else { newest.epochs_done };
        let epochs = self.epochs.unwrap_or(planned);
        Ok(Ok(RunAhead { name: self.name(), epochs, options, groups }))
    }

    /// The label, as the library stores it.
    fn name(&self) -> String {
        sanitize::text(self.like.as_str())
    }

    fn folder(&self, options: &Options) -> PathBuf {
        let of_option = match &options.files.history {
            HistoryOption::Folder(folder) => Some(folder.clone()),
            _ => options.files.log_dir.clone(),
        };
        self.folder.clone().or(of_option).unwrap_or_else(|| PathBuf::from("."))
    }

    /// The earlier runs for each number in the job that the newest run has.
    fn groups(&self, folder: &Path) -> Result<Vec<Vec<PastRun>>, String> {
        let request = HistoryRequest {
            folder: folder.to_owned(),
            named: Some(format!("--in {}", folder.display())),
            name: Some(self.name()),
            prefix: String::new(),
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
        let newest = found.runs.last().ok_or_else(none)?;
        let ranks = newest.label.rank.map(|_| newest.label.ranks.unwrap_or(u64::MAX));
        let is_of_it = |rank: Option<u64>| rank.is_some() == ranks.is_some() && rank < ranks.or(Some(1));
        let mut numbers: Vec<Option<u64>> =
            found.runs.iter().map(|run| run.label.rank).filter(|rank| is_of_it(*rank)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let of = |rank: &Option<u64>| found.runs.iter().filter(|run| run.label.rank == *rank).cloned().collect();
        Ok(numbers.iter().map(of).collect())
    }
}

/// Whether a variable of the environment sets an option.
fn is_in_environment(key: &str) -> bool {
    os::variable(&environment::variable_of(key)).is_some_and(|value| !value.is_empty())
}

/// The newest run of all.
fn newest(groups: &[Vec<PastRun>]) -> Option<&PastRun> {
    groups.iter().filter_map(|group| group.last()).max_by(|a, b| a.label.started.cmp(&b.label.started))
}

impl RunAhead {
    /// The forecast before the run begins: energies of the processes of the job are added, and the longest time counts.
    pub fn forecast(&self) -> Result<Forecast, String> {
        let mut whole: Option<Forecast> = None;
        for group in &self.groups {
            let one = self.of_process(group)?;
            whole = Some(whole.map_or(one, |whole| together(whole, one)));
        }
        whole.ok_or_else(|| "no earlier run fits; nothing is estimated; check --like and --in".into())
    }

    fn of_process(&self, runs: &[PastRun]) -> Result<Forecast, String> {
        let earlier: Vec<EarlierRun> = runs.iter().map(|past| past.run.clone()).collect();
        let (level, history) = (self.options.alerts.level, History::new(&earlier));
        let (none, between) = (std::iter::empty(), InterEpoch::default());
        forecast(self.epochs, level, none, between, &FirstEpoch::default(), &history)
            .ok_or_else(|| self.too_different(runs))
    }

    /// The message if there is no forecast, because the earlier runs are too different.
    fn too_different(&self, runs: &[PastRun]) -> String {
        let each = |past: &PastRun| {
            let seconds: Option<f64> = past.run.epochs.iter().map(|epoch| Metric::Duration.of(epoch)).sum();
            Some(seconds? / past.epochs_done as f64)
        };
        let (least, most) = runs
            .iter()
            .filter_map(each)
            .fold((f64::INFINITY, 0.0_f64), |(least, most), each| (least.min(each), most.max(each)));
        let (count, name) = (runs.len(), &self.name);
        if count == 1 {
            return format!(
                "the one earlier run of '{name}' is too irregular for an estimate; nothing is estimated; measure another run"
            );
        }
        let range = format!("their epochs take from {} to {}", duration(least), duration(most));
        format!(
            "the {count} earlier runs of '{name}' are too different for an estimate: {range}; nothing is estimated; give runs of another configuration another name="
        )
    }

    /// The number of earlier runs of a process, and the begin of the newest run.
    pub fn history(&self) -> (usize, Option<&str>) {
        let runs = self.groups.iter().map(Vec::len).max().unwrap_or(0);
        (runs, newest(&self.groups).map(|run| run.label.started.as_str()).filter(|started| !started.is_empty()))
    }

    /// The same as JSON, as the report has it.
    pub fn history_json(&self) -> Value {
        let (runs, newest) = self.history();
        json!({"runs": runs, "name": self.name, "newest": newest})
    }

    /// The earlier runs in words.
    pub fn basis(&self) -> String {
        let (runs, newest) = self.history();
        let newest = newest.map_or(String::new(), |newest| format!(", the newest of {newest}"));
        let s = if runs == 1 { "" } else { "s" };
        format!("by {runs} earlier run{s} of '{}'{newest}", self.name)
    }

    /// The error intervals of estimated energy. That of all processes is the widest.
    pub fn uncertainty(&self) -> Uncertainty {
        let newest = self.groups.iter().filter_map(|group| group.last());
        let band = newest.filter_map(|run| run.error).reduce(ErrorBand::with);
        Uncertainty { used: band, to_come: band }
    }

    /// All earlier runs.
    pub fn runs(&self) -> impl Iterator<Item = &PastRun> {
        self.groups.iter().flatten()
    }
}

/// The forecasts of two processes of a job, as one.
fn together(one: Forecast, other: Forecast) -> Forecast {
    let longest = |a: Estimate, b: Estimate| Estimate {
        used: 0.0,
        value: a.value.max(b.value),
        low: a.low.max(b.low),
        high: a.high.max(b.high),
    };
    let added = |a: Estimate, b: Estimate| Estimate {
        used: 0.0,
        value: a.value + b.value,
        low: a.low + b.low,
        high: a.high + b.high,
    };
    let both = |a: Option<Estimate>, b: Option<Estimate>, of: fn(Estimate, Estimate) -> Estimate| match (a, b) {
        (Some(a), Some(b)) => Some(of(a, b)),
        (a, b) => a.or(b),
    };
    Forecast {
        duration_s: both(one.duration_s, other.duration_s, longest),
        energy_j: both(one.energy_j, other.energy_j, added),
        ..one
    }
}
