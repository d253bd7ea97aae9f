//! Intensities of cloud regions, compared with the rows that these come from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use carbontracker::carbon::intensity::zones::{RegionFacility, locate};
use carbontracker::carbon::intensity::{EmissionsBasis, PowerUse};
use std::collections::HashMap;
use std::path::Path;

/// A row may lag a year behind.
const NEAR: f64 = 0.1;

/// The rows of a table without quotes, by the names of their columns.
fn table(path: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| head.iter().map(ToString::to_string).zip(line.split(',').map(str::to_owned)).collect()).collect()
}

/// The largest difference of any region's figure from its row, and how many were compared.
fn compare(rows: &Path, grids: Option<&Path>) -> (f64, usize) {
    let grids: HashMap<String, f64> = grids
        .map(table)
        .into_iter()
        .flatten()
        .map(|row| (row["zone"].clone(), row["g_per_kwh"].parse().unwrap()))
        .collect();
    let (mut worst, mut compared) = (0.0, 0);
    for row in table(rows) {
        let region = format!("{}:{}", row["provider"], row["region"]);
        let found = locate("location", &region).unwrap();
        assert_eq!(found.yearly.zone.as_deref(), Some(region.as_str()));
        let Some(expected) = row["g_per_kwh"].parse().ok().or(grids.get(&row["zone"]).copied()) else { continue };
        let off: f64 = found.yearly.g_per_kwh / expected - 1.0;
        assert!(off.abs() <= NEAR, "{region}: {} for {expected}", found.yearly.g_per_kwh);
        assert_eq!(found.yearly.power_use, Some(PowerUse::Consumption), "{region}");
        let halls = RegionFacility::of(&region).unwrap();
        let figure = |value: &str, year: &str| row[value].parse::<f64>().ok().zip(row[year].parse::<u32>().ok());
        assert_eq!(halls.pue, figure("pue", "pue_year"), "{region}");
        assert_eq!(halls.wue, figure("wue_l_per_kwh", "wue_year"), "{region}");
        (worst, compared) = (off.abs().max(worst), compared + 1);
    }
    (worst, compared)
}

#[test]
fn no_region_is_more_than_10_percent_off_its_row() {
    let ours = Path::new(crate::ROOT).join("tests/fixtures/cloud_regions_2024.csv");
    let (worst, compared) = compare(&ours, None);
    println!("{compared} regions, at worst {:.1} % off", worst * 100.0);
    assert!(compared > 95);
}

#[test]
fn no_region_is_more_than_10_percent_off_the_full_data() {
    let Some(data) = std::env::var_os("CT_DATA") else {
        println!("skipped: no recordings");
        return;
    };
    let data = Path::new(&data);
    let (worst, compared) = compare(&data.join("cloud_regions_2024.csv"), Some(&data.join("grid_zones_2025.csv")));
    println!("{compared} regions, at worst {:.1} % off", worst * 100.0);
}

/// A zone of Electricity Maps has the figure of its row, by the same name. A country has that of its consumption.
#[test]
fn every_zone_of_the_data_at_hand_is_known_by_its_name() {
    let Some(data) = std::env::var_os("CT_DATA") else {
        println!("skipped: no recordings");
        return;
    };
    for row in table(&Path::new(&data).join("grid_zones_2025.csv")) {
        let found = locate("location", &row["zone"]).unwrap();
        let figure = found.by(Some(EmissionsBasis::Lifecycle), Some(PowerUse::Consumption)).unwrap();
        assert_eq!((figure.g_per_kwh, figure.year), (row["g_per_kwh"].parse().unwrap(), Some(2025)), "{}", row["zone"]);
        assert!(row["zone"].len() == 2 || found.yearly == figure, "{}", row["zone"]);
    }
}
