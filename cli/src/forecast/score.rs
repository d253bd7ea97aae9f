//! How well recorded runs are forecast, by us and by other formulas.

use super::baselines::BASELINES;
use super::recording::{self, Run, Set};
use super::replay;
use super::{Points, RECORDING};
use crate::console::{Done, print};
use carbontracker::forecast::Metric;
use carbontracker::forecast::trend::{self, EpochCost};
use std::fmt::Write;
use std::path::PathBuf;

/// Score the forecasts of recorded runs: errors beside those of other formulas, and what the intervals hold
#[derive(clap::Args)]
#[command(after_help = RECORDING)]
pub struct Score {
    /// A folder of recordings, each a *.csv
    dir: PathBuf,
    #[command(flatten)]
    points: Points,
}

impl Score {
    /// Prints the table.
    pub fn call(self) -> Done {
        print(&table(&recording::read_all(&self.dir)?, &self.points))
    }
}

/// What one run's forecasts after so many epochs came to, against its outcome.
struct Outcome {
    /// Ours and the baselines', off the outcome, as shares of it.
    off: [f64; 1 + BASELINES.len()],
    /// The interval's ends, likewise.
    low: f64,
    high: f64,
}

impl Outcome {
    /// None where the run is too short, not wholly recorded, or took nothing.
    fn of(run: &Run, metric: Metric, seen: u64, level: f64) -> Option<Outcome> {
        let all: Vec<f64> = run.epochs.iter().map(|epoch| metric.of(epoch)).collect::<Option<_>>()?;
        let first = all.get(..seen as usize).filter(|first| first.len() < all.len())?;
        let ours = metric.forecast(&replay::after(run, seen, level)?)?;
        let total = Some(all.iter().sum::<f64>()).filter(|total| *total > 0.0)?;
        let off = |forecast: f64| forecast / total - 1.0;
        let mut all_off = [off(ours.value); 1 + BASELINES.len()];
        let baselines = all_off.iter_mut().skip(1).zip(BASELINES);
        baselines.for_each(|(place, (_, formula))| *place = off(formula(first, all.len() as f64)));
        Some(Outcome { off: all_off, low: off(ours.low), high: off(ours.high) })
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
            errors: std::array::from_fn(|n| mean(&|one| one.off.get(n).map_or(0.0, |off| off.abs()))),
            covered: mean(&|one| f64::from(u8::from(one.is_covered()))),
            width: mean(&|one| one.high - one.low),
        }
    }

    /// Sets weigh the same.
    fn mean(sets: &[Scores]) -> Scores {
        let mean = |of: &dyn Fn(&Scores) -> f64| sets.iter().map(of).sum::<f64>() / sets.len() as f64;
        Scores {
            errors: std::array::from_fn(|n| mean(&|set| set.errors.get(n).copied().unwrap_or_default())),
            covered: mean(&|set| set.covered),
            width: mean(&|set| set.width),
        }
    }
}

/// The width of the plainest interval that covers as much: so many per cent on either side of our forecast, for
/// all runs alike.
fn plain_width(sets: &[Vec<Outcome>], covered: f64) -> String {
    let weigh = |set: &Vec<Outcome>| {
        let count = 1.0 / set.len() as f64;
        set.iter()
            .map(move |one| EpochCost { count, each: one.off.first().map_or(0.0, |off| off.abs()) })
            .collect::<Vec<_>>()
    };
    let errors: Vec<EpochCost> = sets.iter().flat_map(weigh).collect();
    trend::quantile(&errors, covered).map_or(String::new(), |error| format!("{:.1}", 2.0 * error * 100.0))
}

/// The scores as a table; numbers in per cent.
fn table(sets: &[Set], points: &Points) -> String {
    let widest = sets.iter().map(|set| set.name.len()).max().unwrap_or(0).max("every set".len());
    let mut text = format!("{:widest$}  {:<10} {:>5} {:>5} {:>13}", "set", "metric", "k", "runs", "ours");
    BASELINES.iter().for_each(|(name, _)| text += &format!(" {name:>13}"));
    text += &format!(" {:>8} {:>8} {:>8}\n", "covered", "width", "plain");
    for metric in Metric::ALL {
        for &seen in &points.at {
            let outcomes = |set: &Set| -> Vec<Outcome> {
                set.runs.iter().filter_map(|run| Outcome::of(run, metric, seen, points.level)).collect()
            };
            let named = sets.iter().map(|set| (set.name.as_str(), outcomes(set)));
            let (names, outcomes): (Vec<&str>, Vec<Vec<Outcome>>) = named.filter(|(_, all)| !all.is_empty()).unzip();
            if outcomes.is_empty() {
                continue;
            }
            let scores: Vec<Scores> = outcomes.iter().map(|set| Scores::of(set)).collect();
            let mut row = |name: &str, runs: usize, scores: &Scores, plain: String| {
                let _ = write!(text, "{name:widest$}  {:<10} {seen:>5} {runs:>5}", replay::name(metric));
                scores.errors.iter().for_each(|error| text += &format!(" {:>13.2}", error * 100.0));
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
A set is a file. All in per cent of a run's own total, of runs that are recorded to their end. ours to median_2..k: the
mean absolute error of the forecast after k epochs (MAPE); last: the rest like the last epoch. covered: runs whose total
lay in our interval; width: the interval's; plain: the width of the plainest interval that covers as many, the same share
on either side for every run. In 'every set' sets weigh the same, in 'every run' runs.
";
