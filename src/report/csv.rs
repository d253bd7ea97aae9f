//! The epochs as CSV: a row an epoch, or a row for several where they were merged; blank = unknown.

use super::{Report, Row};
use crate::channel::Kind;

pub fn render(report: &Report) -> String {
    let mut text = String::from("index,count,duration_s,energy_j,co2eq_g,cpu_j,gpu_j,dram_j,node_j\n");
    for Row { index, epoch, co2eq_g, .. } in &report.epochs {
        let mut row = vec![index.to_string(), epoch.count.to_string(), (epoch.inside as f64 * 1e-9).to_string()];
        row.extend([epoch.energy.total(), *co2eq_g].map(cell));
        row.extend(Kind::ALL.map(|kind| cell(epoch.energy.get(kind))));
        text += &row.join(",");
        text.push('\n');
    }
    text
}

fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
