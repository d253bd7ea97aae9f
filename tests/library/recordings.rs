//! Energies from recorded powers of real sensors: by the library (trapezoid) and by Carbontracker 2.4.7 (mean of the
//! samples times the duration). They are compared with an external power meter or with the energy of all samples.
//!
//! CT_DATA is the folder of the recordings ($CT_DATA/power/*.csv). Without it, nothing is tested.

use carbontracker::clock::MonoNs;
use carbontracker::measurement::channel::Quantity;
use carbontracker::measurement::meter::{EnergyInterval, Meter};
use carbontracker::measurement::reading::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A recorded power: the instant, ns, and the power, W.
type Sample = (u64, f64);

const SECOND: u64 = 1_000_000_000;
const EXPERIMENTS: [&str; 5] =
    ["5050_3090", "5050_A100", "transient_response_3090", "transient_response_A100", "transient_response_K40m"];

#[test]
fn energy_of_a_sensor_is_compared_with_a_meter() {
    let Some(power) = recordings() else { return };
    let mut table = format!(
        "\nOff the meter, %: all samples, and one a second at every phase (least to most)\n\
         {:<24}{:<22}{:>7}{:>10}{:>10}{:>10}{:>9}{:>18}{:>18}\n",
        "experiment", "sensor", "s", "meter J", "sensor J", "ours", "mean*s", "ours at 1 s", "mean*s at 1 s"
    );
    for name in EXPERIMENTS {
        let file = |what: &str| power.join(format!("{name}_{what}.csv"));
        let meter = trace(&file("pmd_1ms"), ("t_ms", 1e-3), "power_w");
        let load = trace(&file("load"), ("t_ms", 1e-3), "t_ms");
        for column in ["power_draw_w", "power_draw_instant_w"] {
            let sensor = trace(&file("nvsmi"), ("t_ms", 1e-3), column);
            if !sensor.is_empty() {
                compare(&mut table, (name, column), &meter, &sensor, &load);
            }
        }
    }
    print!("{table}");
}

/// Adds a line with the energy from the sensor's powers and the meter's energy, over the time that both cover.
fn compare(table: &mut String, (name, column): (&str, &str), meter: &[Sample], sensor: &[Sample], load: &[Sample]) {
    let sensor = within(sensor, meter[0].0, meter[meter.len() - 1].0);
    let (from, to) = (sensor[0].0, sensor[sensor.len() - 1].0);
    assert!(from <= load[0].0 && load[load.len() - 1].0 <= to, "{name}: not all of the load");
    let truth = trapezoid(within(meter, from, to));
    let ours = joules(&credits(sensor));
    assert!((ours / trapezoid(sensor) - 1.0).abs() < 1e-9, "{name} {column}: {ours} J");

    let seconds = (to - from) as f64 * 1e-9;
    let off = |joules: f64| (joules / truth - 1.0) * 100.0;
    let (mut ours_at_1s, mut mean_at_1s) = (Vec::new(), Vec::new());
    for phase in (0..SECOND).step_by(10_000_000) {
        let picks = each_second(sensor, phase);
        ours_at_1s.push(off(joules(&credits(&picked(sensor, &with_ends(&picks, 0, sensor.len() - 1))))));
        mean_at_1s.push(off(mean(&picked(sensor, &picks)) * seconds));
    }
    let (ours_at_1s, mean_at_1s) = (span(&ours_at_1s), span(&mean_at_1s));
    writeln!(
        table,
        "{name:<24}{column:<22}{seconds:>7.3}{truth:>10.1}{ours:>10.1}\
         {:>+10.2}{:>+9.2}{ours_at_1s:>18}{mean_at_1s:>18}",
        off(ours),
        off(mean(sensor) * seconds),
    )
    .unwrap();
}

#[test]
fn energy_of_eight_devices_is_close_at_one_reading_a_second() {
    /// The uncertainty of the rms. The windows overlap, and the load repeats.
    const NOISE: f64 = 0.05;
    let Some(power) = recordings() else { return };
    let file = power.join("h100x8_ckpt1.csv");
    let gpus: Vec<_> = (0..8).map(|n| trace(&file, ("t_s", 1.0), &format!("gpu{n}_w"))).collect();
    let runs: Vec<_> = (0..SECOND).step_by(100_000_000).map(|phase| Run::new(&gpus, phase)).collect();
    let mut table = format!(
        "\nh100x8_ckpt1, read once a second at every phase: off the sum of all samples, %\n\
         {:<18}{:>18}{:>18}{:>22}{:>22}{:>18}\n{:<36}{both:>18}{both:>22}{both:>22}{:>18}\n",
        "window",
        "windows x phases",
        "mean*s",
        "ours, same readings",
        "ours, and at its ends",
        "devices averaged",
        "",
        "mean",
        both = "rms   worst"
    );
    for length in [10, 30, 120] {
        let windows = windows(&gpus[0], length * SECOND);
        let mut errors: [Vec<f64>; 4] = Default::default();
        for &window in &windows {
            let truth = sum(&gpus, |gpu| trapezoid(&gpu[window.0..=window.1]));
            let all = sum(&gpus, |gpu| joules(&credits(&gpu[window.0..=window.1])));
            assert!((all / truth - 1.0).abs() < 1e-9, "{all} J, not {truth} J");
            for joules in runs.iter().map(|run| run.energies(&gpus, window)) {
                errors.iter_mut().zip(joules).for_each(|(all, joules)| all.push((joules / truth - 1.0) * 100.0));
            }
        }
        let [theirs, ours_same, ours, averaged] = &errors;
        let (windows, phases) = (windows.len(), runs.len());
        let average = averaged.iter().sum::<f64>() / averaged.len() as f64;
        let [a, b, c] = [theirs, ours_same, ours].map(|errors| format!("{:.3}{:>+8.2}", rms(errors), worst(errors)));
        writeln!(
            table,
            "{:<18}{:>18}{a:>18}{b:>22}{c:>22}{average:>+18.2}",
            format!("{length} s"),
            format!("{windows} x {phases}")
        )
        .unwrap();
        assert!(rms(ours) <= rms(theirs) * (1.0 + NOISE), "{length} s: {} %, not {} %", rms(ours), rms(theirs));
    }
    print!("{table}");
}

/// The readings of one sampler over the whole recording.
struct Run {
    /// The positions of the samples that it read.
    picks: Vec<usize>,
    /// The library's energies from these readings, device by device.
    credits: Vec<Vec<EnergyInterval>>,
}

impl Run {
    fn new(gpus: &[Vec<Sample>], phase: u64) -> Run {
        let picks = each_second(&gpus[0], phase);
        let credits = gpus.iter().map(|gpu| credits(&picked(gpu, &picks))).collect();
        Run { picks, credits }
    }

    /// Energies in a window from one sample to another, J: by Carbontracker's formula, summed over devices; by the
    /// library from these readings alone; by the library with readings at the window's ends; and Carbontracker's total.
    fn energies(&self, gpus: &[Vec<Sample>], (first, last): (usize, usize)) -> [f64; 4] {
        let (from, to) = (gpus[0][first].0, gpus[0][last].0);
        let seconds = (to - from) as f64 * 1e-9;
        let index = |n: usize| self.picks.partition_point(|&pick| pick < n);
        let inside = &self.picks[index(first)..index(last)];
        let ends = with_ends(inside, first, last);
        let theirs = sum(gpus, |gpu| mean(&picked(gpu, inside)) * seconds);
        let ours_same = sum(&self.credits, |credits| joules(&clipped(credits, from, to)));
        let ours = sum(gpus, |gpu| joules(&credits(&picked(gpu, &ends))));
        let of_all_devices: Vec<_> = gpus.iter().flat_map(|gpu| picked(gpu, inside)).collect();
        [theirs, ours_same, ours, mean(&of_all_devices) * seconds]
    }
}

/// The first and the last sample of windows of this length, ns, one every second. A sampler has readings before and
/// after each.
fn windows(trace: &[Sample], length: u64) -> Vec<(usize, usize)> {
    let index = |at: u64| trace.partition_point(|sample| sample.0 < at);
    let end = trace[trace.len() - 1].0 - 3 * SECOND;
    let starts = (trace[0].0..end).step_by(SECOND as usize).skip(2);
    starts.take_while(|start| start + length <= end).map(|start| (index(start), index(start + length))).collect()
}

/// The library's energies from these readings.
fn credits(trace: &[Sample]) -> Vec<EnergyInterval> {
    let (mut meter, mut credits) = (Meter::new(Quantity::Power { max_watts: 1e5 }), Vec::new());
    for &(at, watts) in trace {
        assert_eq!(meter.push(MonoNs(at), Ok(Value::Watts(watts)), |credit| credits.push(credit)), None);
    }
    credits
}

/// The parts of energies between two instants, divided as in the ledger.
fn clipped(credits: &[EnergyInterval], from: u64, to: u64) -> Vec<EnergyInterval> {
    let index = |at: u64| credits.partition_point(|credit| credit.from.0 < at);
    let credits = &credits[index(from).saturating_sub(1)..index(to)];
    credits.iter().filter_map(|credit| credit.split(MonoNs(from)).1?.split(MonoNs(to)).0).collect()
}

fn sum<T>(devices: &[T], energy: impl Fn(&T) -> f64) -> f64 {
    devices.iter().map(energy).sum()
}

fn joules(credits: &[EnergyInterval]) -> f64 {
    credits.iter().map(|credit| credit.joules).sum()
}

/// The trapezoid's energy, computed differently: each sample counts half way to its neighbours, J.
fn trapezoid(trace: &[Sample]) -> f64 {
    let last = trace.len() - 1;
    let held = |n: usize| (trace[(n + 1).min(last)].0 - trace[n.saturating_sub(1)].0) as f64 * 0.5e-9;
    trace.iter().enumerate().map(|(n, &(_, watts))| watts * held(n)).sum()
}

fn mean(trace: &[Sample]) -> f64 {
    trace.iter().map(|sample| sample.1).sum::<f64>() / trace.len() as f64
}

fn rms(errors: &[f64]) -> f64 {
    (errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64).sqrt()
}

fn worst(errors: &[f64]) -> f64 {
    errors.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap()
}

fn span(errors: &[f64]) -> String {
    let (least, most) = (errors.iter().copied().reduce(f64::min), errors.iter().copied().reduce(f64::max));
    format!("{:+.2} to {:+.2}", least.unwrap(), most.unwrap())
}

/// The samples of a sampler that reads once a second: the first sample at or after each instant. The last sample is
/// left out.
fn each_second(trace: &[Sample], phase: u64) -> Vec<usize> {
    let looks = (trace[0].0 + phase..trace[trace.len() - 1].0).step_by(SECOND as usize);
    let mut picks: Vec<_> = looks.map(|at| trace.partition_point(|sample| sample.0 < at)).collect();
    picks.retain(|&n| n + 1 < trace.len());
    picks.dedup();
    picks
}

fn with_ends(picks: &[usize], first: usize, last: usize) -> Vec<usize> {
    let mut picks = [&[first], picks, &[last]].concat();
    picks.dedup();
    picks
}

fn picked(trace: &[Sample], picks: &[usize]) -> Vec<Sample> {
    picks.iter().map(|&n| trace[n]).collect()
}

fn within(trace: &[Sample], from: u64, to: u64) -> &[Sample] {
    &trace[trace.partition_point(|sample| sample.0 < from)..trace.partition_point(|sample| sample.0 <= to)]
}

/// Two columns of a table as powers over time. The time is in units of `unit`, s. Empty cells are left out.
fn trace(path: &Path, (time, unit): (&str, f64), watts: &str) -> Vec<Sample> {
    const BEFORE_ZERO_S: f64 = 100.0;
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let column = |name: &str| header.iter().position(|field| *field == name).unwrap();
    let (time, watts) = (column(time), column(watts));
    let number = |field: &str| field.parse::<f64>().unwrap();
    let stamp = |field: &str| ((number(field) * unit + BEFORE_ZERO_S) * 1e9).round() as u64;
    rows.filter(|row| !row[watts].is_empty()).map(|row| (stamp(row[time]), number(row[watts]))).collect()
}

/// The folder of the recordings, if there is one.
fn recordings() -> Option<PathBuf> {
    let folder = env::var_os("CT_DATA").map(|data| Path::new(&data).join("power")).filter(|folder| folder.is_dir());
    if folder.is_none() {
        // shown even if the test's output is captured
        let _ = writeln!(std::io::stderr(), "skipped: no recordings (CT_DATA)");
    }
    folder
}
