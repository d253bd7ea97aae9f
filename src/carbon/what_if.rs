//! The same run in other zones, at their yearly averages, and at other times, where the intensity of the future hours
//! is known. Pure.

use super::config::WhatIfOption;
use super::intensity::Intensity;
use super::intensity::curve::{Curve, Origin};
use super::intensity::zones::{self, TableLocation};
use crate::error::Result;
use std::sync::LazyLock;

mod alike;
pub mod profile;

/// The zones compared by default: the world, and large grids with many data centres, from low intensity (hydro,
/// nuclear) to high (coal).
const DEFAULT_ZONES: [&str; 10] = ["WORLD", "NO", "SE", "FR", "GB", "DE", "US", "CN", "PL", "IN"];
/// Distance between two possible starts, s.
const START_STEP_S: f64 = 900.0;
/// Longest delay of a start, s. No provider forecasts further.
const MAX_DELAY_S: f64 = 7.0 * 24.0 * 3600.0;
/// Longest run whose start is chosen, s. No forecast covers a longer one.
const MAX_RUN_S: f64 = 366.0 * 24.0 * 3600.0;

/// The zones that a run is compared in.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    locations: Vec<TableLocation>,
    with_own: bool,
}

/// The run as it is: the reference of the comparison.
#[derive(Clone, Copy)]
pub struct WhatIfRun<'a> {
    /// Which part of the run the energy belongs to.
    pub of: RunPart,
    /// Energy of the facility, kWh.
    pub facility_kwh: Option<f64>,
    /// Emissions of the run, g CO2e.
    pub co2eq_g: Option<f64>,
    /// Duration of the run, s.
    pub duration_s: Option<f64>,
    /// The intensity that its emissions were computed with.
    pub intensity: &'a Intensity,
}

/// The part of a run that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPart {
    /// The whole run, as forecast.
    Forecast,
    /// The energy used so far.
    Used,
}

/// The run in other zones and at another time.
pub struct WhatIf {
    /// Which part of the run is compared.
    pub of: RunPart,
    /// Energy of the facility, kWh.
    pub facility_kwh: Option<f64>,
    /// Emissions of the run as it is, g CO2e.
    pub co2eq_g: Option<f64>,
    /// Duration of the run, s.
    pub duration_s: Option<f64>,
    /// The run in other zones, the lowest intensity first.
    pub zones: Vec<WhatIfZone>,
    /// Emissions of the run in its own zone, by figures of the same kind as the others; savings are relative to it.
    /// None: the run's own figure is of that kind.
    pub own: Option<OwnYearly>,
    /// The best start. None: too few future hours have a figure.
    pub start: Option<WhatIfStart>,
    /// A note if the figures are not of one kind.
    pub note: Option<String>,
}

/// The run in its own zone, by figures of another kind than its own.
pub struct OwnYearly {
    /// The yearly average of that kind.
    pub yearly: Intensity,
    /// Emissions of the run at that average, g CO2e.
    pub co2eq_g: Option<f64>,
}

/// The run in another zone.
pub struct WhatIfZone {
    /// The zone.
    pub location: TableLocation,
    /// Emissions of the run in that zone, g CO2e.
    pub co2eq_g: Option<f64>,
    /// Savings, g CO2e. Negative savings mean higher emissions.
    pub saves_g: Option<f64>,
    /// Savings as a share of the run's emissions.
    pub saves_share: Option<f64>,
}

/// The best start of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WhatIfStart {
    /// The start, s since 1970 UTC.
    pub at: f64,
    /// The delay from now, s.
    pub delay_s: f64,
    /// Mean intensity over the run if it begins then, gCO2e/kWh.
    pub g_per_kwh: f64,
    /// Mean intensity over the run if it begins now, gCO2e/kWh.
    pub now_g_per_kwh: f64,
    /// The latest start that was considered, s since 1970 UTC.
    pub last: f64,
    /// The end of the known intensity, s since 1970 UTC.
    pub until: f64,
}

impl RunPart {
    /// The name in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunPart::Forecast => "forecast",
            RunPart::Used => "used",
        }
    }
}

impl Elsewhere {
    /// The zones in the option. None: the comparison is off. Errors: an unknown zone; the message lists similar ones.
    pub fn find(option: &WhatIfOption) -> Result<Option<Elsewhere>> {
        /// Each look-up searches text tables, so these are looked up once in a process.
        static USUAL: LazyLock<Result<Vec<TableLocation>>> = LazyLock::new(|| located(DEFAULT_ZONES));
        let locations = match option {
            WhatIfOption::Off => return Ok(None),
            WhatIfOption::Usual => USUAL.clone()?,
            WhatIfOption::Zones(asked) => located(asked.iter().map(String::as_str))?,
        };
        Ok(Some(Elsewhere { locations, with_own: *option == WhatIfOption::Usual }))
    }

    /// Number of zones.
    pub fn count(&self) -> usize {
        self.locations.len()
    }

    /// The run in these zones, by figures of one kind if all have such. Without zones in the option, the run's own zone
    /// is added. Its yearly average has the same basis as the others, even if the run itself uses figures by the hour.
    pub fn zones(&self, run: &WhatIfRun, own: Option<&str>) -> (Vec<WhatIfZone>, Option<OwnYearly>) {
        let mut locations = self.locations.clone();
        let own = own.and_then(|zone| zones::locate("location", zone).ok());
        own.iter().filter(|_| self.with_own).for_each(|own| add(&mut locations, own.clone()));
        let like = alike::make(&mut locations, run.intensity, own.as_ref());
        let own = like.map(|yearly| OwnYearly { co2eq_g: run.facility_kwh.map(|kwh| kwh * yearly.g_per_kwh), yearly });
        let here = own.as_ref().map_or(run.co2eq_g, |own| own.co2eq_g);
        locations.sort_by(|a, b| a.yearly.g_per_kwh.total_cmp(&b.yearly.g_per_kwh));
        (locations.into_iter().map(|location| WhatIfZone::of(location, run.facility_kwh, here)).collect(), own)
    }
}

/// The zones with these names, each once.
fn located<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<TableLocation>> {
    let mut locations = Vec::new();
    for name in names {
        add(&mut locations, zones::locate("what_if", name)?);
    }
    Ok(locations)
}

/// Adds a zone unless it is there already.
fn add(locations: &mut Vec<TableLocation>, location: TableLocation) {
    if locations.iter().all(|old| old.yearly.zone != location.yearly.zone) {
        locations.push(location);
    }
}

impl WhatIfZone {
    /// `here` are the emissions of the run in its own zone, g CO2e.
    fn of(location: TableLocation, facility_kwh: Option<f64>, here: Option<f64>) -> WhatIfZone {
        let co2eq_g = facility_kwh.map(|kwh| kwh * location.yearly.g_per_kwh);
        let saves_g = here.zip(co2eq_g).map(|(here, there)| here - there);
        WhatIfZone { location, co2eq_g, saves_g, saves_share: share(saves_g, here) }
    }
}

fn share(saves: Option<f64>, of: Option<f64>) -> Option<f64> {
    saves.zip(of).filter(|(_, of)| *of > 0.0).map(|(saves, of)| saves / of)
}

impl WhatIf {
    /// The run in other zones and, by this curve, at another start than `now`, s since 1970 UTC.
    pub fn new(elsewhere: &Elsewhere, run: WhatIfRun, own: Option<&str>, curve: Option<&Curve>, now: f64) -> WhatIf {
        let (zones, own) = elsewhere.zones(&run, own);
        WhatIf {
            of: run.of,
            facility_kwh: run.facility_kwh,
            co2eq_g: run.co2eq_g,
            duration_s: run.duration_s,
            note: kinds_note(run.intensity, own.as_ref(), &zones),
            start: curve.zip(run.duration_s).and_then(|(curve, duration_s)| best_start(curve, now, duration_s)),
            zones,
            own,
        }
    }

    /// True if the compared figures are of several kinds.
    pub fn is_rough(&self) -> bool {
        self.note.is_some() && self.own.is_none()
    }
}

/// A note if the figures of the run and of the zones differ in kind, or if a kind is not known.
fn kinds_note(intensity: &Intensity, own: Option<&OwnYearly>, zones: &[WhatIfZone]) -> Option<String> {
    const SHOWN: usize = 4;
    let mut groups: Vec<(_, Vec<&str>)> = Vec::new();
    for there in zones {
        let kind = alike::kind(&there.location.yearly);
        let zone = there.location.yearly.zone.as_deref().unwrap_or_default();
        match groups.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, zones)) => zones.push(zone),
            None => groups.push((kind, vec![zone])),
        }
    }
    let run = alike::kind(intensity);
    if let (Some(own), [(kind, _)]) = (own, &groups[..]) {
        return Some(format!(
            "what if: zones are compared by {} figures; the run's own zone has {} g/kWh by these, while the run uses {} \
             g/kWh ({})",
            alike::named(*kind),
            own.yearly.g_per_kwh,
            intensity.g_per_kwh,
            alike::named(run)
        ));
    }
    if groups.is_empty() || groups.iter().all(|(kind, _)| alike::is_like(run, *kind)) {
        return None;
    }
    let theirs = groups.iter().map(|(kind, zones)| {
        let more = if zones.len() > SHOWN { ", …" } else { "" };
        let zones: Vec<&str> = zones.iter().take(SHOWN).copied().collect();
        format!("{} of {}{more}", alike::named(*kind), zones.join(", "))
    });
    Some(format!(
        "what if: the run's own figure is {}, the others are {}; savings between them are rough; choose zones of one kind in what_if=",
        alike::named(run),
        theirs.collect::<Vec<_>>().join(", ")
    ))
}

/// A sum over an interval.
#[derive(Clone, Copy, Default)]
struct Span {
    /// Sum of each second times its intensity, s g/kWh.
    weighted: f64,
    /// Time without a figure nearby, s.
    guessed_s: f64,
}

impl Span {
    fn of(curve: &Curve, from: f64, to: f64) -> Span {
        curve.pieces(from, to).fold(Span::default(), |sum, piece| {
            let seconds = piece.to - piece.from;
            let guessed_s = if piece.origin == Origin::Typical { seconds } else { 0.0 };
            Span { weighted: sum.weighted + piece.g_per_kwh * seconds, guessed_s: sum.guessed_s + guessed_s }
        })
    }

    fn moved(self, off: Span, on: Span) -> Span {
        Span {
            weighted: self.weighted - off.weighted + on.weighted,
            guessed_s: self.guessed_s - off.guessed_s + on.guessed_s,
        }
    }
}

/// The best start among now and each later quarter of an hour, for a run of this duration whose power is constant. All
/// of the run must be in known time; typical days do not count. Of equally good starts the first is chosen.
///
/// A window of the run's length moves from start to start. Each step removes the time it leaves and adds the time it
/// enters, so that a step costs two quarters of an hour and not the run's length.
pub fn best_start(curve: &Curve, now: f64, duration_s: f64) -> Option<WhatIfStart> {
    /// Unknown time that rounding may leave, s.
    const ROUNDING_S: f64 = 1.0;
    /// Smallest difference of two means that counts, as a share.
    const MIN_SHARE: f64 = 1e-9;
    let until = curve.known_to()?;
    let last = (until - duration_s).min(now + MAX_DELAY_S);
    let is_run = duration_s > 0.0 && duration_s <= MAX_RUN_S;
    if !is_run || !now.is_finite() || last < now {
        return None;
    }
    let mut window = Span::of(curve, now, now + duration_s);
    if window.guessed_s > ROUNDING_S {
        return None;
    }
    let mut at = now;
    let mut best = (now, window.weighted);
    let next = (now / START_STEP_S).floor() + 1.0;
    for start in (0..).map(|n| (next + f64::from(n)) * START_STEP_S).take_while(|start| *start <= last) {
        let entered = Span::of(curve, at + duration_s, start + duration_s);
        window = window.moved(Span::of(curve, at, start), entered);
        at = start;
        if window.guessed_s <= ROUNDING_S && window.weighted < best.1 - MIN_SHARE * best.1.abs() {
            best = (start, window.weighted);
        }
    }
    let (at, _) = best;
    let mean = |at: f64| curve.mean(at, at + duration_s);
    Some(WhatIfStart { at, delay_s: at - now, g_per_kwh: mean(at)?, now_g_per_kwh: mean(now)?, last, until })
}

impl WhatIfStart {
    /// Savings as a share of the emissions of a start now.
    pub fn saves_share(&self) -> Option<f64> {
        share(Some(self.now_g_per_kwh - self.g_per_kwh), Some(self.now_g_per_kwh))
    }
}

#[cfg(test)]
mod tests;
