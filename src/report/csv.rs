//! The epochs as CSV: a row for each epoch, or for neighbours that share one; blank = unknown. If any energy is
//! estimated, four more columns have the ends of its intervals.

use super::{EpochRow, Report};
use crate::attribution::epochs::PerKind;
use crate::forecast::uncertainty::ends;
use crate::measurement::channel::DeviceKind;
use crate::units::ErrorBand;

pub fn render(report: &Report) -> String {
    let is_estimated = report.uncertainty.is_any();
    let more = if is_estimated { ",energy_low_j,energy_high_j,co2eq_low_g,co2eq_high_g" } else { "" };
    let mut text = format!("index,count,duration_s,energy_j,co2eq_g,cpu_j,gpu_j,dram_j,node_j{more}\n");
    let bands = DeviceKind::ALL.map(|kind| report.error_of(kind));
    for EpochRow { index, epoch, co2eq_g, .. } in &report.epochs {
        let mut row = vec![index.to_string(), epoch.count.to_string(), (epoch.inside as f64 * 1e-9).to_string()];
        row.extend([epoch.energy.total(), *co2eq_g].map(cell));
        row.extend(DeviceKind::ALL.map(|kind| cell(epoch.energy.get(kind))));
        if is_estimated {
            let error = error(&epoch.energy, &bands);
            row.extend([epoch.energy.total(), *co2eq_g].into_iter().flat_map(|amount| bounds(amount, error)));
        }
        text += &row.join(",");
        text.push('\n');
    }
    text
}

/// The error interval of an epoch's energy, from those of the kinds of device in the run.
fn error(energy: &PerKind, bands: &[Option<ErrorBand>; DeviceKind::ALL.len()]) -> Option<ErrorBand> {
    let parts = DeviceKind::ALL.into_iter().zip(bands);
    ErrorBand::of_sum(parts.filter_map(|(kind, band)| Some((energy.get(kind)?, *band))))
}

/// The ends of an interval. If the amount is measured, both are the amount.
fn bounds(amount: Option<f64>, error: Option<ErrorBand>) -> [String; 2] {
    if error.is_some() { ends(amount, error) } else { [amount, amount] }.map(cell)
}

fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
