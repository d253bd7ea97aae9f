//! The constants of the model with earlier runs, chosen without the recording that they are scored on.
//!
//! Each constant is tried at half, once and twice its value, all together. For each recording, the choice has the best
//! mean interval score (Gneiting, Raftery, JASA 102, 2007) on the other recordings. Each run has up to four earlier
//! runs of its configuration.

use carbontracker::attribution::ledger::{EpochSummary, InterEpoch};
use carbontracker::forecast::first_epoch::FirstEpoch;
use carbontracker::forecast::history::{EarlierRun, History, Tuning};
use carbontracker::forecast::{Metric, forecast};
use std::error::Error;
use std::path::Path;

const AFTER: [usize; 6] = [0, 1, 2, 3, 5, 10];
const EARLIER: usize = 4;
const LEVEL: f64 = 0.9;
const FACTORS: [f64; 3] = [0.5, 1.0, 2.0];

struct Run {
    configuration: String,
    name: String,
    epochs: Vec<EpochSummary>,
}

struct Set {
    name: String,
    runs: Vec<Run>,
}

/// Sums over the forecasts of one quantity after some epochs.
#[derive(Clone, Copy, Default)]
struct Cell {
    count: f64,
    error: f64,
    held: f64,
    width: f64,
    interval_score: f64,
}

/// The cells of a set: after each number of epochs, of each quantity.
type Cells = [[Cell; 2]; AFTER.len()];

/// Prints what the constants do to each recording of a folder.
pub fn print(folder: &Path) -> Result<(), Box<dyn Error>> {
    let sets = read(folder)?;
    let choices = choices();
    let scored: Vec<Vec<Cells>> =
        choices.iter().map(|choice| sets.iter().map(|set| score(set, *choice)).collect()).collect();
    println!("\nConstants chosen without the set: error, covered, width of time and energy together, percent\n");
    println!("{:24} {:>9} {}", "set", "constants", AFTER.map(|k| format!("{k:>22}")).concat());
    for (n, set) in sets.iter().enumerate() {
        if scored[0][n].iter().flatten().all(|cell| cell.count == 0.0) {
            continue;
        }
        let mean = |choice: &[Cells]| {
            let others =
                choice.iter().enumerate().filter(|(other, _)| *other != n).map(|(_, cells)| interval_score(cells));
            let (sum, count) = others.flatten().fold((0.0, 0.0), |(sum, count), score| (sum + score, count + 1.0));
            sum / count
        };
        let best = (0..choices.len()).min_by(|&a, &b| mean(&scored[a]).total_cmp(&mean(&scored[b]))).unwrap_or(0);
        let usual = choices.iter().position(|choice| *choice == Tuning::default()).unwrap_or(0);
        for (name, choice) in [("usual", usual), ("chosen", best)] {
            if let Some(row) = row(&scored[choice][n]) {
                println!("{:24} {name:>9} {row}", set.name);
            }
        }
        println!("{:24} {:>9} {:?}", "", "", choices[best]);
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Vec<Set>, Box<dyn Error>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
    paths.sort();
    let set = |path: &std::path::PathBuf| -> Result<Set, Box<dyn Error>> {
        let mut runs: Vec<Run> = Vec::new();
        for record in csv::Reader::from_path(path)?.records() {
            let record = record?;
            let name = &record[0];
            if runs.last().is_none_or(|run| run.name != name) {
                let cut = name.rfind('/').or_else(|| name.rfind('_')).unwrap_or(name.len());
                runs.push(Run { configuration: name[..cut].into(), name: name.into(), epochs: Vec::new() });
            }
            let (duration_s, energy_j) = (record[2].parse().ok(), record[3].parse().ok());
            let epoch = EpochSummary { count: 1, duration_s, energy_j, fully_measured: energy_j.is_some(), gap_s: 0.0 };
            runs.last_mut().into_iter().for_each(|run| run.epochs.push(epoch));
        }
        Ok(Set { name: path.file_stem().unwrap_or_default().to_string_lossy().into(), runs })
    };
    paths.iter().map(set).collect()
}

/// All combinations of the factors. Time and energy have the same one.
fn choices() -> Vec<Tuning> {
    let mut choices = vec![Tuning::default()];
    let multiply: [fn(&mut Tuning, f64); 6] = [
        |t, factor| {
            t.time_scatter *= factor;
            t.energy_scatter *= factor;
        },
        |t, factor| t.follows *= factor,
        |t, factor| t.noise *= factor,
        |t, factor| t.shape *= factor,
        |t, factor| t.first *= factor,
        |t, factor| t.other *= factor,
    ];
    for change in multiply {
        let changed = |choice: &Tuning| {
            FACTORS.map(|factor| {
                let mut choice = *choice;
                change(&mut choice, factor);
                choice
            })
        };
        choices = choices.iter().flat_map(changed).collect();
    }
    choices
}

fn score(set: &Set, tuning: Tuning) -> Cells {
    let mut cells = Cells::default();
    for (n, run) in set.runs.iter().enumerate() {
        let (before, after) = set.runs.split_at(n);
        let circle = after.iter().skip(1).chain(before).filter(|other| other.configuration == run.configuration);
        let earlier: Vec<EarlierRun> = circle
            .map(|other| EarlierRun { epochs: other.epochs.clone(), is_whole: true, ..EarlierRun::default() })
            .collect();
        if earlier.is_empty() {
            continue;
        }
        let history = History::with(tuning, &earlier[earlier.len().saturating_sub(EARLIER)..]);
        for (row, &seen) in cells.iter_mut().zip(&AFTER) {
            if seen < run.epochs.len() {
                row.iter_mut().zip(Metric::ALL).for_each(|(cell, metric)| cell.add(run, &history, metric, seen));
            }
        }
    }
    cells
}

impl Cell {
    fn add(&mut self, run: &Run, history: &History, metric: Metric, seen: usize) {
        let Some(total) = run.epochs.iter().map(|epoch| metric.of(epoch)).sum::<Option<f64>>() else { return };
        let epochs = run.epochs.iter().take(seen).copied();
        let planned = run.epochs.len() as u64;
        let made = forecast(planned, LEVEL, epochs, InterEpoch::default(), &FirstEpoch::default(), history);
        let Some(made) = made.and_then(|made| metric.forecast(&made)) else { return };
        let [value, low, high] = [made.value, made.low, made.high].map(|end| end / total - 1.0);
        self.count += 1.0;
        self.error += value.abs();
        self.held += f64::from(u8::from((low..=high).contains(&0.0)));
        self.width += high - low;
        self.interval_score += high - low + 2.0 / (1.0 - LEVEL) * (low.max(0.0) + (-high).max(0.0));
    }
}

/// The logarithms of the interval scores of the cells, so that all cells weigh the same.
fn interval_score(cells: &Cells) -> impl Iterator<Item = f64> {
    let known = cells.iter().flatten().filter(|cell| cell.count > 0.0);
    known.map(|cell| (cell.interval_score / cell.count).max(1e-6).ln())
}

fn row(cells: &Cells) -> Option<String> {
    let shown = |row: &[Cell; 2]| {
        let sum = |of: fn(&Cell) -> f64| row.iter().map(of).sum::<f64>();
        let count = sum(|cell| cell.count);
        let mean = |of| 100.0 * sum(of) / count;
        (count > 0.0).then(|| {
            format!("{:>8.2} {:>5.0} {:>7.1}", mean(|cell| cell.error), mean(|cell| cell.held), mean(|cell| cell.width))
        })
    };
    shown(cells.first()?)?;
    Some(cells.iter().map(|row| shown(row).unwrap_or_else(|| format!("{:>22}", "-"))).collect())
}
