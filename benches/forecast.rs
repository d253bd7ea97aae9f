//! The errors of our and Carbontracker's forecasts after each of the first epochs of recorded runs. Prints the scores,
//! without and with earlier runs, and draws docs/src/explanation/forecast.svg: `make figure`.
//!
//! CT_DATA is the folder of the recordings ($CT_DATA/epochs/*.csv). Without it, nothing is scored.

#[path = "forecast/constants.rs"]
mod constants;

use plotters::prelude::*;
use std::error::Error;
use std::path::Path;
use std::process::Command;

const LAST: u32 = 10;
const OURS: RGBColor = RGBColor(0, 114, 178);
const THEIRS: RGBColor = RGBColor(213, 94, 0);
const EARLIER: RGBColor = RGBColor(0, 158, 115);
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/explanation/forecast.svg");

/// Epochs seen, and mean absolute error, percent.
type Curve = Vec<(u32, f64)>;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(data) = std::env::var_os("CT_DATA") else {
        println!("skipped: no recordings (CT_DATA is not set)");
        return Ok(());
    };
    let at = (1..=LAST).map(|k| k.to_string()).collect::<Vec<_>>().join(",");
    let folder = Path::new(&data).join("epochs");
    let table = scores(&folder, &["--at", &at])?;
    let with_one = scores(&folder, &["--history", "same", "--earlier", "1", "--at", &at])?;
    for earlier in ["1", "2", "4"] {
        for relation in ["same", "other", "foreign"] {
            scores(&folder, &["--history", relation, "--earlier", earlier, "--at", "0,1,2,3,5,10"])?;
        }
    }
    draw(&table, &with_one)?;
    constants::print(&folder)
}

/// The table of scores, which is also printed.
fn scores(folder: &Path, more: &[&str]) -> Result<String, Box<dyn Error>> {
    println!("\nscore {}", more.join(" "));
    let scored = Command::new(env!("CARGO_BIN_EXE_carbontracker")).arg("score").arg(folder).args(more).output()?;
    let table = String::from_utf8(scored.stdout)?;
    print!("{table}{}", String::from_utf8_lossy(&scored.stderr));
    if scored.status.success() { Ok(table) } else { Err("not scored".into()) }
}

/// A column of the rows in which all sets have the same weight.
fn curve(table: &str, metric: &str, column: usize) -> Curve {
    let rows = table.lines().filter_map(|line| line.strip_prefix("every set"));
    let cells = rows.map(|row| row.split_whitespace().collect::<Vec<_>>());
    cells.filter(|row| row[0] == metric).map(|row| (row[1].parse().unwrap(), row[column].parse().unwrap())).collect()
}

fn draw(table: &str, with_one: &str) -> Result<(), Box<dyn Error>> {
    let picture = SVGBackend::new(PICTURE, (860, 340)).into_drawing_area();
    picture.fill(&WHITE)?;
    let panels = picture.split_evenly((1, 2));
    for (panel, (title, metric)) in panels.iter().zip([("Energy", "energy_j"), ("Time", "duration_s")]) {
        let mut chart = ChartBuilder::on(panel)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(38)
            .y_label_area_size(48)
            .build_cartesian_2d((1..LAST).into_segmented(), 0.0..20.0f64)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc("epochs seen")
            .y_desc("mean error of the total, %")
            .y_labels(5)
            .y_label_formatter(&|error| format!("{error:.0}"))
            .x_label_formatter(&|k| match k {
                SegmentValue::CenterOf(k) => k.to_string(),
                _ => String::new(),
            })
            .draw()?;
        for (name, colour, table, column) in [
            ("Carbontracker", THEIRS, table, 4),
            ("this library", OURS, table, 3),
            ("with one earlier run", EARLIER, with_one, 3),
        ] {
            let points: Vec<_> = curve(table, metric, column);
            let points: Vec<_> = points.into_iter().map(|(k, error)| (SegmentValue::CenterOf(k), error)).collect();
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(3)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
            chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .label_font(("sans-serif", 14))
            .draw()?;
    }
    picture.present()?;
    println!("drew {PICTURE}");
    Ok(())
}
