//! What must be true of each world with a live service of carbon intensity.

use crate::application::Truth;
use crate::check::Checked;
use crate::grid::{Grid, LEAST, MOST};
use crate::scenario::Running;
use carbontracker::carbon::intensity::zones;
use serde_json::Value;

const S: u64 = 1_000_000_000;
const J_PER_KWH: f64 = 3.6e6;

/// A thread delivers a reply at most this long after it, ns: the rest of the round, each request 10 s at most.
const DELIVERY_NS: u64 = 40 * S;
/// A reply has the figures of this many hours before and after it.
const HOURS_KNOWN: f64 = 22.0;
/// Rounding of sums, as a share.
const ROUNDING: f64 = 1e-9;

/// Checks one process.
pub fn one(world: &Running, truth: &Truth) -> Checked {
    let (Some(grid), Some((at, report))) = (&world.web.grid, &truth.report) else { return Ok(()) };
    let got = world.web.got(truth.program);
    // What came this long before the report is in it.
    let is_in = |since: Option<u64>| since.is_some_and(|since| since + DELIVERY_NS + world.scenario.stops_ns() < *at);
    let name = grid.service.name();
    if is_in(got.failed) && !truth.messages.iter().any(|message| message.contains(name)) {
        return Err(format!("no message although {name} failed at {:?} ns", got.failed));
    }
    let flat = zones::yearly(grid.service.zone()).map_err(|error| error.message)?.g_per_kwh;
    within(report, LEAST.min(flat), MOST.max(flat), grid)?;
    let is_live = report.pointer("/intensity/kind").and_then(Value::as_str) == Some("live");
    if is_live && world.web.first().is_none_or(|first| first > *at) {
        return Err("the intensity is live, but no figure came".into());
    }
    let has_energy = number(report, "/usage/energy_j").is_some_and(|joules| joules > 0.0);
    if !is_in(got.whole) || !has_energy || world.scenario.changes_date() || world.scenario.traits.resumes {
        return Ok(());
    }
    let (Some(whole), Some(begin), Some((_, end))) = (got.whole, truth.first_begin, truth.epochs.last()) else {
        return Ok(());
    };
    let hours = |ns: u64| (ns as f64 - whole as f64) * 1e-9 / 3600.0;
    if !is_live {
        return Err(format!("figures of now came at {whole} ns, but the intensity is not live"));
    }
    if hours(begin) < -HOURS_KNOWN || hours(*end) > HOURS_KNOWN {
        return Ok(());
    }
    if number(report, "/intensity/coverage").is_none_or(|covered| covered < 1.0 - ROUNDING) {
        return Err(format!("the hours of the run have figures, but they cover {}", report["intensity"]["coverage"]));
    }
    let unix_s = |ns: u64| world.kernel.clocks.get().begin_unix_s + ns as f64 * 1e-9;
    // A mark's instant is a microsecond off at most.
    let (first, last) = (unix_s(begin) - 1e-3, unix_s(*end) + 1e-3);
    let steps = ((last - first) / 1800.0).ceil() as usize;
    let figures = (0..=steps).map(|step| grid.truth((first + step as f64 * 1800.0).min(last)));
    let (least, most) = figures.fold((f64::MAX, 0.0_f64), |(least, most), g| (least.min(g), most.max(g)));
    within(report, least, most, grid)
}

fn number(report: &Value, pointer: &str) -> Option<f64> {
    report.pointer(pointer).and_then(Value::as_f64)
}

/// The emissions are the facility's energy at an intensity between these, g/kWh.
fn within(report: &Value, least: f64, most: f64, grid: &Grid) -> Checked {
    let (least, most) = (least * (1.0 - ROUNDING), most * (1.0 + ROUNDING));
    let g_per_kwh = number(report, "/intensity/g_per_kwh");
    if !g_per_kwh.is_some_and(|g_per_kwh| (least..=most).contains(&g_per_kwh)) {
        return Err(format!("{g_per_kwh:?} g/kWh are not between {least} and {most}"));
    }
    for share in ["coverage", "metered_share"] {
        if number(report, &format!("/intensity/{share}")).is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(format!("{share} of intensity: {}", report["intensity"][share]));
        }
    }
    let Some(joules) = number(report, "/usage/energy_j") else { return Ok(()) };
    let kwh = joules / J_PER_KWH * grid.pue;
    let grams = number(report, "/usage/co2eq_g");
    if !grams.is_some_and(|grams| grams >= kwh * least - 1e-12 && grams <= kwh * most + 1e-12) {
        return Err(format!("{grams:?} g of {kwh} kWh are not between {least} and {most} g/kWh"));
    }
    Ok(())
}
