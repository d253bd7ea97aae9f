//! The same run in other places, at their yearly averages, and at other times, where the intensity of the hours to come
//! is known. Pure.

use super::config::WhatIfOption;
use super::intensity::Intensity;
use super::intensity::curve::{Curve, Origin};
use super::intensity::zones::{self, ZonePlace};
use crate::error::Result;

mod alike;

/// What a reader is shown unless it asks for others: the world, and large grids with many data centres from the cleanest
/// (hydro, nuclear) to the dirtiest (coal).
const USUAL: [&str; 10] = ["WORLD", "NO", "SE", "FR", "GB", "DE", "US", "CN", "PL", "IN"];
/// A run may begin at any quarter of an hour.
const QUARTER_S: f64 = 900.0;
/// Nobody waits longer than a week, s, and no service says more.
const LONGEST_WAIT_S: f64 = 7.0 * 24.0 * 3600.0;
/// A run longer than this, s, fits no forecast.
const LONGEST_RUN_S: f64 = 366.0 * 24.0 * 3600.0;

/// Where else a run is thought to be.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    places: Vec<ZonePlace>,
    with_own: bool,
}

/// A run as it is, which others are measured against.
#[derive(Clone, Copy)]
pub struct WhatIfRun<'a> {
    /// Which energy that is.
    pub of: Of,
    /// Energy of the facility, kWh.
    pub facility_kwh: Option<f64>,
    /// Its emissions, g CO2e.
    pub co2eq_g: Option<f64>,
    /// How long it takes, s.
    pub duration_s: Option<f64>,
    /// What it is priced by.
    pub priced: &'a Intensity,
}

/// Whether it is a run as it will be or as far as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// All of it, as it is forecast.
    Forecast,
    /// What was used.
    Used,
}

/// The same run otherwise.
pub struct WhatIf {
    /// Which run that is.
    pub of: Of,
    /// Energy of the facility, kWh.
    pub facility_kwh: Option<f64>,
    /// What it emits as it is, g CO2e.
    pub co2eq_g: Option<f64>,
    /// How long it takes, s.
    pub duration_s: Option<f64>,
    /// In other places, the cleanest first.
    pub zones: Vec<There>,
    /// What it would emit where it is by figures of their kind, which savings are against; None: it is priced by that kind.
    pub own: Option<Own>,
    /// At the best time; None where too little is known of the hours to come.
    pub start: Option<WhatIfStart>,
    /// What to mind where their figures are not of one kind.
    pub note: Option<String>,
}

/// The run where it is, by figures of another kind than it is priced by.
pub struct Own {
    /// The yearly average.
    pub yearly: Intensity,
    /// What the run emits by it, g CO2e.
    pub co2eq_g: Option<f64>,
}

/// The run in another place.
pub struct There {
    /// Where.
    pub place: ZonePlace,
    /// What it would emit there, g CO2e.
    pub co2eq_g: Option<f64>,
    /// What that saves, g CO2e; below 0 it costs more.
    pub saves_g: Option<f64>,
    /// The same as a share of what it emits as it is.
    pub saves_share: Option<f64>,
}

/// When to begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WhatIfStart {
    /// Then, s since 1970 UTC,
    pub at: f64,
    /// so many seconds from now.
    pub delay_s: f64,
    /// Mean intensity over the run from then on, gCO2e/kWh,
    pub g_per_kwh: f64,
    /// and from now on.
    pub now_g_per_kwh: f64,
    /// The last start there was to choose, s since 1970 UTC.
    pub last: f64,
    /// Up to when the intensity is known, s since 1970 UTC.
    pub until: f64,
}

impl Of {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Of::Forecast => "forecast",
            Of::Used => "used",
        }
    }
}

impl Elsewhere {
    /// The places that the option asks for; None where it is off. An unknown one is refused, with those near it.
    pub fn find(option: &WhatIfOption) -> Result<Option<Elsewhere>> {
        let asked: Vec<&str> = match option {
            WhatIfOption::Off => return Ok(None),
            WhatIfOption::Usual => USUAL.to_vec(),
            WhatIfOption::Zones(asked) => asked.iter().map(String::as_str).collect(),
        };
        let mut places: Vec<ZonePlace> = Vec::with_capacity(asked.len());
        for zone in asked {
            add(&mut places, zones::place("what_if", zone)?);
        }
        Ok(Some(Elsewhere { places, with_own: *option == WhatIfOption::Usual }))
    }

    /// How many places that are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The run in these places, by figures of one kind where there are such. Unless the places were chosen, the yearly average
    /// of its own zone is among them: on the same basis as theirs, when the run itself is priced by the hour.
    pub fn zones(&self, run: &WhatIfRun, own: Option<&str>) -> (Vec<There>, Option<Own>) {
        let mut places = self.places.clone();
        let own = own.and_then(|zone| zones::place("location", zone).ok());
        own.iter().filter(|_| self.with_own).for_each(|own| add(&mut places, own.clone()));
        let like = alike::make(&mut places, run.priced, own.as_ref());
        let own = like.map(|yearly| Own { co2eq_g: run.facility_kwh.map(|kwh| kwh * yearly.g_per_kwh), yearly });
        let here = own.as_ref().map_or(run.co2eq_g, |own| own.co2eq_g);
        places.sort_by(|a, b| a.yearly.g_per_kwh.total_cmp(&b.yearly.g_per_kwh));
        (places.into_iter().map(|place| There::of(place, run.facility_kwh, here)).collect(), own)
    }
}

/// Adds a place that is not there.
fn add(places: &mut Vec<ZonePlace>, place: ZonePlace) {
    if places.iter().all(|old| old.yearly.zone != place.yearly.zone) {
        places.push(place);
    }
}

impl There {
    /// `here` is what the run emits where it is, g CO2e.
    fn of(place: ZonePlace, facility_kwh: Option<f64>, here: Option<f64>) -> There {
        let co2eq_g = facility_kwh.map(|kwh| kwh * place.yearly.g_per_kwh);
        let saves_g = here.zip(co2eq_g).map(|(here, there)| here - there);
        There { place, co2eq_g, saves_g, saves_share: share(saves_g, here) }
    }
}

fn share(saves: Option<f64>, of: Option<f64>) -> Option<f64> {
    saves.zip(of).filter(|(_, of)| *of > 0.0).map(|(saves, of)| saves / of)
}

impl WhatIf {
    /// The run in other places and, by this curve, at other times than `now`, s since 1970.
    pub fn new(elsewhere: &Elsewhere, run: WhatIfRun, own: Option<&str>, curve: Option<&Curve>, now: f64) -> WhatIf {
        let (zones, own) = elsewhere.zones(&run, own);
        WhatIf {
            of: run.of,
            facility_kwh: run.facility_kwh,
            co2eq_g: run.co2eq_g,
            duration_s: run.duration_s,
            note: bases(run.priced, own.as_ref(), &zones),
            start: curve.zip(run.duration_s).and_then(|(curve, duration_s)| best_start(curve, now, duration_s)),
            zones,
            own,
        }
    }

    /// Whether the figures compared are of several kinds.
    pub fn is_rough(&self) -> bool {
        self.note.is_some() && self.own.is_none()
    }
}

/// What to mind where a run and its likes elsewhere are not priced by figures of one kind, or nobody knows.
fn bases(priced: &Intensity, own: Option<&Own>, zones: &[There]) -> Option<String> {
    const SHOWN: usize = 4;
    let mut groups: Vec<(_, Vec<&str>)> = Vec::new();
    for there in zones {
        let kind = alike::kind(&there.place.yearly);
        let zone = there.place.yearly.zone.as_deref().unwrap_or_default();
        match groups.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, zones)) => zones.push(zone),
            None => groups.push((kind, vec![zone])),
        }
    }
    let run = alike::kind(priced);
    if let (Some(own), [(kind, _)]) = (own, &groups[..]) {
        return Some(format!(
            "what if: places are compared by {} figures; by these the run's own place has {} g/kWh, while the run is priced at {} \
             g/kWh ({})",
            alike::named(*kind),
            own.yearly.g_per_kwh,
            priced.g_per_kwh,
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
        "what if: the run's own figure is {}, the others are {}: across these savings are rough",
        alike::named(run),
        theirs.collect::<Vec<_>>().join(", ")
    ))
}

/// A sum over some time.
#[derive(Clone, Copy, Default)]
struct Span {
    /// Each second times its g/kWh.
    weighted: f64,
    /// Seconds of which nothing near is known, s.
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

/// The best of now and each quarter of an hour from now on, for a run so long whose energy is even in time. All of it
/// must lie in time that is known; typical days are none. Of equally good ones the first.
///
/// A window over the run is moved from start to start: what it leaves is taken off, what it enters added, so that each
/// costs two quarters of an hour and not the run's length.
pub fn best_start(curve: &Curve, now: f64, duration_s: f64) -> Option<WhatIfStart> {
    /// Rounding may leave so many seconds.
    const NO_TIME_S: f64 = 1.0;
    /// Differences below this share are rounding.
    const NOTHING: f64 = 1e-9;
    let until = curve.known_to()?;
    let last = (until - duration_s).min(now + LONGEST_WAIT_S);
    let is_run = duration_s > 0.0 && duration_s <= LONGEST_RUN_S;
    if !is_run || !now.is_finite() || last < now {
        return None;
    }
    let mut window = Span::of(curve, now, now + duration_s);
    if window.guessed_s > NO_TIME_S {
        return None;
    }
    let (mut at, mut best) = (now, (now, window.weighted));
    let next = (now / QUARTER_S).floor() + 1.0;
    for start in (0..).map(|n| (next + f64::from(n)) * QUARTER_S).take_while(|start| *start <= last) {
        let entered = Span::of(curve, at + duration_s, start + duration_s);
        window = window.moved(Span::of(curve, at, start), entered);
        at = start;
        if window.guessed_s <= NO_TIME_S && window.weighted < best.1 - NOTHING * best.1.abs() {
            best = (start, window.weighted);
        }
    }
    let (at, _) = best;
    let mean = |at: f64| curve.mean(at, at + duration_s);
    Some(WhatIfStart { at, delay_s: at - now, g_per_kwh: mean(at)?, now_g_per_kwh: mean(now)?, last, until })
}

impl WhatIfStart {
    /// What the run saves by it, as a share of what it would emit from now on.
    pub fn saves_share(&self) -> Option<f64> {
        share(Some(self.now_g_per_kwh - self.g_per_kwh), Some(self.now_g_per_kwh))
    }
}

#[cfg(test)]
mod tests;
