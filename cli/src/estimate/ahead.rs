//! A run to come, by the earlier runs that it is like: its forecast before it begins.

use carbontracker::attribution::ledger::InterEpoch;
use carbontracker::forecast::first_epoch::FirstEpoch;
use carbontracker::forecast::history::{EarlierRun, History};
use carbontracker::forecast::uncertainty::Uncertainty;
use carbontracker::forecast::{Forecast, Metric, forecast};
use carbontracker::options::Options;
use carbontracker::run_files::history::PastRun;
use carbontracker::units::{ErrorBand, duration};
use serde_json::{Value, json};

/// A run to come, and the earlier runs that it is like.
pub struct RunAhead {
    /// Label of the runs.
    pub name: String,
    /// Planned epochs; None: the newest run was measured by its progress.
    pub epochs: Option<u64>,
    /// The options of the run to come.
    pub options: Options,
    /// The earlier runs, newest last. The ranks of a job are one run.
    pub runs: Vec<PastRun>,
}

/// The forecast of a run.
pub struct RunForecast {
    /// The whole run. The energies of the ranks of a job are added, and the longest time counts.
    pub whole: Forecast,
    /// Why energy is unknown, and what to do.
    pub why_unknown: Option<String>,
}

impl RunAhead {
    /// The forecast before the run begins.
    pub fn forecast(&self) -> Result<RunForecast, String> {
        let (level, none, between) = (self.options.alerts.level, std::iter::empty(), InterEpoch::default());
        let earlier = History::new(&self.runs.iter().map(|past| past.run.clone()).collect::<Vec<EarlierRun>>());
        let (epochs, earlier) =
            self.epochs.map_or_else(|| (1, earlier.of_work(None)), |epochs| (epochs, earlier.clone()));
        let whole = forecast(epochs, level, none, between, &FirstEpoch::default(), &earlier);
        let whole = whole.ok_or_else(|| self.too_different())?;
        let why_unknown = self.why_unknown(whole.energy_j.is_none());
        Ok(RunForecast { whole, why_unknown })
    }

    /// The message if the energy of the newest run, or of all runs, is unknown.
    fn why_unknown(&self, is_unknown: bool) -> Option<String> {
        let newest = self.runs.last()?;
        let found = newest.ranks_found;
        if let Some(all) = newest.label.ranks.filter(|all| found < *all) {
            return Some(format!(
                "{found} of {all} ranks found of the newest run; its energy is unknown and does not count; put the files of all ranks into one folder; each rank must call the library"
            ));
        }
        let doctor = "'carbontracker doctor' shows what is measured";
        match newest.unknown_rank {
            Some(rank) => Some(format!(
                "the energy of rank {rank} is unknown in the newest run; the energy of this run does not count; {doctor}"
            )),
            None if is_unknown => Some(format!(
                "the energy is unknown: the earlier runs do not have it, or are too different in it; nothing is estimated for it; {doctor}"
            )),
            None => None,
        }
    }

    /// The message if there is no forecast, because the earlier runs are too different.
    fn too_different(&self) -> String {
        let each = |past: &PastRun| {
            let seconds: Option<f64> = past.run.epochs.iter().map(|epoch| Metric::Duration.of(epoch)).sum();
            Some(seconds? / past.epochs_done as f64)
        };
        let (least, most) = self
            .runs
            .iter()
            .filter_map(each)
            .fold((f64::INFINITY, 0.0_f64), |(least, most), each| (least.min(each), most.max(each)));
        let (count, name) = (self.runs.len(), &self.name);
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

    /// The length of the run in words.
    pub fn length(&self) -> String {
        match self.epochs {
            None => "the whole run".into(),
            Some(1) => "1 epoch".into(),
            Some(epochs) => format!("{epochs} epochs"),
        }
    }

    /// The begin of the newest run.
    fn newest(&self) -> Option<&str> {
        self.runs.last().map(|run| run.label.started.as_str()).filter(|started| !started.is_empty())
    }

    /// The earlier runs that a forecast rests on, as JSON, as the report has it.
    pub fn history_json(&self, forecast: &Forecast) -> Value {
        json!({"runs": forecast.support.runs, "name": self.name, "newest": self.newest()})
    }

    /// The same in words.
    pub fn basis(&self, forecast: &Forecast) -> String {
        let runs = forecast.support.runs;
        let newest = self.newest().map_or(String::new(), |newest| format!(", the newest of {newest}"));
        let s = if runs == 1 { "" } else { "s" };
        format!("by {runs} earlier run{s} of '{}'{newest}", self.name)
    }

    /// The error intervals of estimated energy. That of all earlier runs is the widest.
    pub fn uncertainty(&self) -> Uncertainty {
        let band = self.runs.iter().filter_map(|run| run.error).reduce(ErrorBand::with);
        Uncertainty { used: band, to_come: band }
    }
}
