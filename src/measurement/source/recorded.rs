//! Compares the estimate with recordings and with the formulae of CodeCarbon and Carbontracker at the same points. The
//! recordings are RAPL at each load, and bare-metal servers by turbostat. CT_DATA is their folder.

use super::cpu::load::{Draw, core_load};
use super::cpu::{processor, tdp};
use crate::units::ErrorBand;
use std::collections::HashMap;

/// A recorded power, W, of a processor at a load of 0 to 1.
struct Point {
    cpu: String,
    /// "all": every thread is busy for the share `load` of the time. "some": the share `load` of the threads is busy
    /// all the time, the first of each core first.
    kind: &'static str,
    load: f64,
    measured: f64,
    /// The TDP of a package, W.
    tdp_w: f64,
    packages: f64,
    /// Hardware threads of a core.
    threads: usize,
}

/// The rows of a recording, each as values by heading. None without recordings.
fn rows(file: &str) -> Option<Vec<HashMap<String, String>>> {
    let Some(folder) = std::env::var_os("CT_DATA") else {
        println!("skipped: no recordings");
        return None;
    };
    let text = std::fs::read_to_string(std::path::Path::new(&folder).join("power").join(file)).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let heading: Vec<&str> = lines.next()?.split(',').collect();
    let row =
        |line: &str| heading.iter().map(|name| name.to_string()).zip(line.split(',').map(str::to_owned)).collect();
    Some(lines.map(row).collect())
}

fn number(row: &HashMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

/// Recordings of RAPL at all loads, without a CPU that is listed twice, loads below 5 % and powers below 1 W.
fn rapl_points() -> Option<Vec<Point>> {
    let point = |row: HashMap<String, String>| {
        let model = tdp::find(&row["cpu_name"]).unwrap();
        let packages = if row["machine"].starts_with("E5-2620") { 2.0 } else { 1.0 };
        let (load, measured) = (number(&row, "cpu_load") / 100.0, number(&row, "rapl_power"));
        let kind = if row["load_type"] == "all_cores" { "all" } else { "some" };
        let keeps = row["machine"] != "E5-1240" && load >= 0.05 && measured > 1.0;
        let (cpu, tdp_w) = (model.name.to_owned(), model.tdp_w);
        keeps.then_some(Point { cpu, kind, load, measured, tdp_w, packages, threads: 2 })
    };
    Some(rows("cpu_load_vs_rapl.csv")?.into_iter().filter_map(point).collect())
}

/// Recordings of AWS's servers at 0 to 100 % load.
fn metal_points() -> Option<Vec<Point>> {
    let points = |row: HashMap<String, String>| {
        let vcpus = number(&row, "vcpus");
        let model = tdp::find(&format!("Intel {}", row["cpu"]));
        // The kernel has no name for Graviton2: cpu_parts.csv has 64 cores of 2.34 W.
        let (tdp_w, of_package, threads) =
            model.map_or((64.0 * 2.34, 64.0, 1), |m| (m.tdp_w, f64::from(m.threads.unwrap()), 2));
        let packages = vcpus / of_package;
        let loads = [("pkg_w_idle", 0.0), ("pkg_w_10", 0.1), ("pkg_w_50", 0.5), ("pkg_w_100", 1.0)];
        loads.map(|(column, load)| {
            let (cpu, measured) = (row["cpu"].clone(), number(&row, column));
            Point { cpu, kind: "all", load, measured, tdp_w, packages, threads }
        })
    };
    Some(rows("cpu_metal_turbostat.csv")?.into_iter().flat_map(points).collect())
}

impl Point {
    fn watts(&self) -> f64 {
        self.tdp_w * self.packages
    }

    /// The busy cores as a share of all.
    fn busy(&self) -> f64 {
        let share = self.load;
        match (self.kind, self.threads) {
            ("some", 2) if share <= 0.5 => 2.0 * share * core_load(&[1.0, 0.0]),
            ("some", 2) => core_load(&[1.0, 0.0]) * (2.0 - 2.0 * share) + (2.0 * share - 1.0),
            (_, threads) => core_load(&vec![share; threads]),
        }
    }

    fn ours(&self) -> f64 {
        self.watts() * Draw::of_package(self.tdp_w).of(1.0, self.busy())
    }

    /// The power by the model of 0.1.0, W.
    fn before(&self) -> f64 {
        const SHAPE: [f64; 11] = [0.0, 0.173, 0.234, 0.298, 0.363, 0.426, 0.503, 0.599, 0.723, 0.863, 1.0];
        let tenths = self.load.clamp(0.0, 1.0) * 10.0;
        let below = (tenths as usize).min(9);
        let shape = SHAPE[below] + (SHAPE[below + 1] - SHAPE[below]) * (tenths - below as f64);
        self.watts() * (0.05 + 0.80 * shape)
    }

    /// The power by CodeCarbon 3.3.2, `_get_power_from_cpu_load`, W.
    fn codecarbon(&self) -> f64 {
        self.watts() * (0.1 + 0.9 * self.load.powi(3))
    }

    /// The power by Carbontracker 2.4.7, TDP × 0.5, W.
    fn carbontracker(&self) -> f64 {
        self.watts() * 0.5
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    (values[last / 2] + values[last.div_ceil(2)]) / 2.0
}

fn error(points: &[&Point], estimate: fn(&Point) -> f64) -> f64 {
    median(points.iter().map(|point| (estimate(point) / point.measured - 1.0).abs()).collect())
}

fn held(points: &[&Point], band: ErrorBand) -> f64 {
    let is_in = |point: &&&Point| (band.low..=band.high).contains(&(point.measured / point.ours()));
    points.iter().filter(is_in).count() as f64 / points.len() as f64
}

fn of_cpu<'a>(points: &[&'a Point], is_it: impl Fn(&str) -> bool) -> Vec<&'a Point> {
    points.iter().copied().filter(|point| is_it(&point.cpu)).collect()
}

fn cpus(points: &[&Point]) -> Vec<String> {
    let mut names: Vec<String> = points.iter().map(|point| point.cpu.clone()).collect();
    names.dedup();
    names
}

/// The error band from these CPUs alone. It reaches from the lowest 5 % quantile of truth / estimate of any of them to
/// the highest 95 % quantile, because a CPU without recordings may be as far off as any of them.
fn band_of(points: &[&Point]) -> ErrorBand {
    let mut band = ErrorBand { low: f64::INFINITY, high: 0.0 };
    for cpu in cpus(points) {
        let own = of_cpu(points, |name| name == cpu);
        let mut ratios: Vec<f64> = own.iter().map(|point| point.measured / point.ours()).collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| ratios[(share * (ratios.len() - 1) as f64).round() as usize];
        band = ErrorBand { low: band.low.min(at(0.05)), high: band.high.max(at(0.95)) };
    }
    band
}

#[test]
fn stated_band_contains_the_recorded_powers() {
    let (Some(rapl), Some(metal)) = (rapl_points(), metal_points()) else { return };
    let loaded: Vec<&Point> = metal.iter().filter(|point| point.load >= 0.05).collect();
    let sets = [("RAPL", rapl.iter().collect::<Vec<_>>()), ("metal", loaded)];
    let all: Vec<&Point> = sets.iter().flat_map(|(_, points)| points.iter().copied()).collect();
    println!(
        "{:<34}{:>5}{:>6}{:>9}{:>8}{:>9}{:>13}{:>15}",
        "off, %", "", "load", "W", "ours", "0.1.0", "CodeCarbon", "Carbontracker"
    );
    for point in &all {
        let off = |watts: f64| (watts / point.measured - 1.0) * 100.0;
        println!(
            "{:<34}{:>5}{:>6.0}{:>9.1}{:>8.0}{:>9.0}{:>13.0}{:>15.0}",
            point.cpu,
            point.kind,
            100.0 * point.load,
            point.measured,
            off(point.ours()),
            off(point.before()),
            off(point.codecarbon()),
            off(point.carbontracker())
        );
    }
    for (set, points) in &sets {
        let band = processor::KNOWN_MODEL_BAND;
        let (mut out, mut of_others) = (0.0, 0.0);
        for cpu in cpus(points) {
            let own = of_cpu(points, |name| name == cpu);
            let others = band_of(&of_cpu(&all, |name| name != cpu));
            println!(
                "{set} {cpu}: median off {:.0} % (0.1.0 {:.0}, CodeCarbon {:.0}, Carbontracker {:.0}); stated interval holds {:.0} %; that of the other CPUs, {:.2} to {:.2}, {:.0} %",
                100.0 * error(&own, Point::ours),
                100.0 * error(&own, Point::before),
                100.0 * error(&own, Point::codecarbon),
                100.0 * error(&own, Point::carbontracker),
                100.0 * held(&own, band),
                others.low,
                others.high,
                100.0 * held(&own, others)
            );
            out += held(&own, others) * own.len() as f64;
            of_others += own.len() as f64;
        }
        let (ours, before) = (error(points, Point::ours), error(points, Point::before));
        println!(
            "{set}: {} points, median off {:.1} % (0.1.0 {:.1}, CodeCarbon {:.1}, Carbontracker {:.1}), interval holds {:.1} %, left out {:.1} %",
            points.len(),
            100.0 * ours,
            100.0 * before,
            100.0 * error(points, Point::codecarbon),
            100.0 * error(points, Point::carbontracker),
            100.0 * held(points, band),
            100.0 * out / of_others
        );
        assert!(ours <= before, "{set}: {ours} against {before}");
        assert!(held(points, band) >= 0.85, "{set}");
        assert!(out / of_others >= 0.85, "{set}: {out} of {of_others} by an interval that its own CPU had no part in");
    }
}

/// Takes each point of a bare-metal server as a virtual machine with some of its threads. It is estimated by the share
/// of the known model, and by the family.
#[test]
fn share_of_a_server_is_within_a_factor_of_two() {
    let Some(metal) = metal_points() else { return };
    let family = |cpu: &str| match cpu {
        "Xeon Platinum 8252C" | "Xeon Platinum 8275CL" => Some(4.4),
        "Xeon Platinum 8124M" | "Xeon Platinum 8175M" => Some(4.5),
        _ => None,
    };
    let points: Vec<&Point> = metal.iter().collect();
    let twice = ErrorBand { low: 0.5, high: 2.0 };
    let (by_share, interval) = (held(&points, twice), held(&points, processor::PART_BAND));
    println!(
        "{} points as virtual machines, known model: within a factor of two {:.0} %, in the interval {:.0} %",
        points.len(),
        100.0 * by_share,
        100.0 * interval
    );
    assert!(by_share >= 0.75 && interval >= 0.85);
    let ratios = metal.iter().filter_map(|point| {
        let vcpus = if point.cpu.ends_with("8252C") {
            48.0
        } else if point.cpu.ends_with("8124M") {
            72.0
        } else {
            96.0
        };
        Some(point.measured / (family(&point.cpu)? * vcpus * Draw::of_package(200.0).of(1.0, point.busy())))
    });
    let ratios: Vec<f64> = ratios.collect();
    let within = |band: ErrorBand| {
        ratios.iter().filter(|ratio| (band.low..=band.high).contains(ratio)).count() as f64 / ratios.len() as f64
    };
    println!(
        "by family alone: within a factor of two {:.0} %, in the interval {:.0} %: {ratios:.2?}",
        100.0 * within(twice),
        100.0 * within(processor::FAMILY_BAND)
    );
}

/// Memory at every load, by its size. The instances have 32, 128, 192, 768, 192 and 192 GiB.
#[test]
fn band_of_memory_contains_the_recorded_powers() {
    let Some(rows) = rows("cpu_metal_turbostat.csv") else { return };
    let gib = HashMap::from([
        ("mac1.metal", 32.0),
        ("c6g.metal", 128.0),
        ("c5n.metal", 192.0),
        ("i3en.metal", 768.0),
        ("m5zn.metal", 192.0),
        ("c5.metal", 192.0),
    ]);
    let columns = ["ram_w_idle", "ram_w_10", "ram_w_50", "ram_w_100"];
    let ratios: Vec<f64> = rows
        .iter()
        .flat_map(|row| {
            let estimate =
                crate::measurement::source::cpu::memory_model::W_PER_GB * gib[row["instance"].as_str()] * 1.073_741_824;
            columns.map(|column| number(row, column) / estimate)
        })
        .collect();
    let band = crate::measurement::source::cpu::memory_model::BAND;
    let held =
        ratios.iter().filter(|ratio| (band.low..=band.high).contains(ratio)).count() as f64 / ratios.len() as f64;
    println!(
        "memory: {:.0} % of {} points in the interval; truth over estimate {ratios:.2?}",
        100.0 * held,
        ratios.len()
    );
    assert!(held >= 0.85);
}
