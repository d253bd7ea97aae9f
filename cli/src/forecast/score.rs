//! Scores the forecasts of recorded runs, of the library and of the baselines.

use super::baselines::BASELINES;
use super::earlier::{self, Relation};
use super::recording::{self, RecordedRun, Recording};
use super::replay;
use super::{PointArgs, RECORDING};
use crate::console::{Done, print};
use carbontracker::forecast::Metric;
use carbontracker::forecast::history::History;
use carbontracker::forecast::trend::{self, EpochCost};
use std::fmt::Write;
use std::path::PathBuf;

/// Score the forecasts of recorded runs, beside those of other formulas
#[derive(clap::Args)]
#[command(after_help = RECORDING)]
pub struct ScoreArgs {
    /// A folder of recordings, each a *.csv
    dir: PathBuf,
    /// Earlier runs of each run: of the same configuration, of other configurations of the same recording, or of other
    /// recordings. Runs without any are skipped
    #[arg(long, value_name = "RUNS")]
    history: Option<Relation>,
    /// Most earlier runs
    #[arg(long, value_name = "N", default_value_t = 4, requires = "history")]
    earlier: usize,
    #[command(flatten)]
    points: PointArgs,
}

impl ScoreArgs {
    /// Prints the table.
    pub fn call(self) -> Done {
        let sets = recording::read_all(&self.dir)?;
        print(&table(&self.with_histories(&sets), &self.points))
    }

    /// The recordings, with the earlier runs of each run.
    fn with_histories<'a>(&self, sets: &'a [Recording]) -> Vec<Scored<'a>> {
        let earlier = |set: usize, run: usize| {
            let Some(relation) = self.history else { return Some(History::default()) };
            let related = earlier::related(sets, set, run, relation, self.earlier);
            (!related.is_empty()).then(|| earlier::history(related.into_iter()))
        };
        let scored = |(n, set): (usize, &'a Recording)| {
            let runs = set.runs.iter().enumerate();
            let runs = runs.filter_map(|(run, recorded)| Some((recorded, earlier(n, run)?)));
            Scored { name: &set.name, runs: runs.collect() }
        };
        sets.iter().enumerate().map(scored).collect()
    }
}

/// A recording, and the earlier runs of each of its runs.
struct Scored<'a> {
    name: &'a str,
    runs: Vec<(&'a RecordedRun, History)>,
}

/// The errors of one run's forecasts after some of its epochs, as shares of its outcome.
struct Outcome {
    /// Error of the library's forecast, then of the baselines'.
    errors: [f64; 1 + BASELINES.len()],
    /// Errors of the interval's ends.
    low: f64,
    high: f64,
}

impl Outcome {
    /// None if the run is too short, not completely recorded, or used nothing.
    fn of((run, history): &(&RecordedRun, History), metric: Metric, seen: u64, level: f64) -> Option<Outcome> {
        let all: Vec<f64> = run.epochs.iter().map(|epoch| metric.of(epoch)).collect::<Option<_>>()?;
        let first = all.get(..seen as usize).filter(|first| first.len() < all.len())?;
        let ours = metric.forecast(&replay::after(run, history, seen, level)?)?;
        let total = Some(all.iter().sum::<f64>()).filter(|total| *total > 0.0)?;
        let error = |forecast: f64| forecast / total - 1.0;
        let mut errors = [error(ours.value); 1 + BASELINES.len()];
        for (place, (_, formula)) in errors.iter_mut().skip(1).zip(BASELINES) {
            *place = if first.is_empty() { f64::NAN } else { error(formula(first, all.len() as f64)) };
        }
        Some(Outcome { errors, low: error(ours.low), high: error(ours.high) })
    }

    fn is_covered(&self) -> bool {
        (self.low..=self.high).contains(&0.0)
    }
}

/// Means over outcomes.
#[derive(Clone, Copy)]
struct Scores {
    errors: [f64; 1 + BASELINES.len()],
    covered: f64,
    width: f64,
}

impl Scores {
    fn of(outcomes: &[Outcome]) -> Scores {
        let mean = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
        Scores {
            errors: std::array::from_fn(|n| mean(&|one| one.errors.get(n).map_or(0.0, |error| error.abs()))),
            covered: mean(&|one| f64::from(u8::from(one.is_covered()))),
            width: mean(&|one| one.high - one.low),
        }
    }

    /// The mean over recordings. All have the same weight.
    fn mean(sets: &[Scores]) -> Scores {
        let mean = |of: &dyn Fn(&Scores) -> f64| sets.iter().map(of).sum::<f64>() / sets.len() as f64;
        Scores {
            errors: std::array::from_fn(|n| mean(&|set| set.errors.get(n).copied().unwrap_or_default())),
            covered: mean(&|set| set.covered),
            width: mean(&|set| set.width),
        }
    }
}

/// The width, percent, of the plain interval that covers the same share of outcomes: a fixed percentage on either side
/// of the forecast, equal for all runs.
fn plain_width(sets: &[Vec<Outcome>], covered: f64) -> String {
    let weigh = |set: &Vec<Outcome>| {
        let count = 1.0 / set.len() as f64;
        set.iter()
            .map(move |one| EpochCost { count, each: one.errors.first().map_or(0.0, |error| error.abs()) })
            .collect::<Vec<_>>()
    };
    let errors: Vec<EpochCost> = sets.iter().flat_map(weigh).collect();
    trend::quantile(&errors, covered).map_or(String::new(), |error| format!("{:.1}", 2.0 * error * 100.0))
}

/// An error in percent. Before the first epoch, other formulas have none.
fn percent(error: f64) -> String {
    if error.is_nan() { "-".into() } else { format!("{:.2}", error * 100.0) }
}

/// The scores as a table. Numbers are percent.
fn table(sets: &[Scored], points: &PointArgs) -> String {
    let widest = sets.iter().map(|set| set.name.len()).max().unwrap_or(0).max("every set".len());
    let mut text = format!("{:widest$}  {:<10} {:>5} {:>5} {:>13}", "set", "metric", "k", "runs", "ours");
    BASELINES.iter().for_each(|(name, _)| text += &format!(" {name:>13}"));
    text += &format!(" {:>8} {:>8} {:>8}\n", "covered", "width", "plain");
    for metric in Metric::ALL {
        for &seen in &points.at {
            let outcomes = |set: &Scored| -> Vec<Outcome> {
                set.runs.iter().filter_map(|run| Outcome::of(run, metric, seen, points.level)).collect()
            };
            let named = sets.iter().map(|set| (set.name, outcomes(set)));
            let (names, outcomes): (Vec<&str>, Vec<Vec<Outcome>>) = named.filter(|(_, all)| !all.is_empty()).unzip();
            if outcomes.is_empty() {
                continue;
            }
            let scores: Vec<Scores> = outcomes.iter().map(|set| Scores::of(set)).collect();
            let mut row = |name: &str, runs: usize, scores: &Scores, plain: String| {
                let _ = write!(text, "{name:widest$}  {:<10} {seen:>5} {runs:>5}", replay::name(metric));
                scores.errors.iter().for_each(|error| text += &format!(" {:>13}", percent(*error)));
                let _ = writeln!(text, " {:>8.1} {:>8.1} {plain:>8}", scores.covered * 100.0, scores.width * 100.0);
            };
            for ((name, set), scores) in names.iter().zip(&outcomes).zip(&scores) {
                row(name, set.len(), scores, String::new());
            }
            let every_set = Scores::mean(&scores);
            row(
                "every set",
                outcomes.iter().map(Vec::len).sum(),
                &every_set,
                plain_width(&outcomes, every_set.covered),
            );
            let runs = [outcomes.into_iter().flatten().collect::<Vec<_>>()];
            let [all] = &runs;
            let every_run = Scores::of(all);
            row("every run", all.len(), &every_run, plain_width(&runs, every_run.covered));
        }
    }
    text + FOOT
}

const FOOT: &str = "
A set is a file. All numbers are percent of a run's total; only completely recorded runs count. ours to median_2..k: the
mean absolute error of the forecast after k epochs (MAPE). last: each further epoch is taken as the last one. covered:
runs whose total is in our interval; width: width of that interval; plain: width of an interval with the same coverage
and a fixed percentage on either side. With --history same, a configuration is a name up to its last / or _, and the
earlier runs are those before the run, in a circle. In 'every set' all sets have the same weight, in 'every run' all runs.
";
