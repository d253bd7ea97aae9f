//! Live services of carbon intensity: what to ask them, and what their answers say. No I/O: `fetcher.rs` asks.

pub mod carbonintensity_gb;
pub mod electricitymaps;
pub mod energidataservice;
pub mod energycharts;
pub mod registry;
pub mod watttime;

use super::http::request::{HttpRequest, field};
use super::intensity::slot::{DIRTIEST, FigureQuality, IntensitySlot};
use super::intensity::zones;
use super::location::ip::GeoLocation;
use crate::error::Error;
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

/// A live service for one zone.
pub trait Provider: Send {
    /// As the option names it.
    fn name(&self) -> &'static str;
    /// Scheme and host, "https://…".
    fn host(&self) -> &'static str;
    /// The zone asked about, as the report names it.
    fn zone(&self) -> String;
    /// The zone or cloud region of the yearly table that holds until live figures come.
    fn static_zone(&self) -> String;
    /// "lifecycle" or "direct", or "marginal": what one kWh more would emit, never to be mixed with the others.
    fn basis(&self) -> &'static str;
    /// "consumption" where its figures follow the power that is traded, "production" where not; None: it does not say.
    fn scope(&self) -> Option<&'static str> {
        None
    }
    /// Whom to name as the source, and under which licence.
    fn source(&self) -> &'static str;
    /// Time between two rounds, s.
    fn refresh_s(&self) -> f64;
    /// What the user has not given and it cannot do without, and how to give it. Its rounds are then empty.
    fn missing(&self) -> Option<&'static str> {
        None
    }
    /// The next request of this round, given what was answered so far in it; None: the round is over. The first call
    /// after None begins a new round. `now` is in seconds since 1970 UTC.
    fn next(&mut self, now: f64) -> Option<HttpRequest>;
    /// What the answer of status 200 to a request says; Err: what is wrong with it, in words, without its text.
    fn take(&mut self, request: &HttpRequest, body: &[u8]) -> Result<Vec<IntensitySlot>, String>;
    /// What a person can do where the answer was this status; None: nothing special.
    fn cure(&self, status: u16) -> Option<String>;
}

/// Where the run is, as far as the options and a look-up tell.
#[derive(Clone, Copy, Debug)]
pub enum ProviderLocation<'a> {
    /// The user does not say.
    Unsaid,
    /// The user's `location`, or a cloud region found.
    Zone(&'a str),
    /// What `location=ip` found.
    Found(&'a GeoLocation),
}

impl ProviderLocation<'_> {
    /// The service does not know it: `takes` says what it knows.
    pub(super) fn refused(&self, takes: &str) -> Error {
        Error::invalid(match self {
            ProviderLocation::Unsaid => format!("no location given: {takes}"),
            ProviderLocation::Zone(zone) => format!("location='{zone}': {takes}"),
            ProviderLocation::Found(found) => format!("location=ip finds this machine in {}: {takes}", found.country),
        })
    }

    /// Its zone in the yearly table: the zone itself, the one a cloud region lies in, or the one found.
    pub(super) fn table_zone(&self) -> Option<String> {
        match self {
            ProviderLocation::Unsaid => None,
            ProviderLocation::Zone(zone) => zones::find(zone).ok().map(|found| found.spot.zone().to_owned()),
            ProviderLocation::Found(found) => found.zone(),
        }
    }
}

/// What a refusal by a service that asks no key of anybody means.
pub(super) fn refused_by_others(name: &str) -> Option<String> {
    Some(format!(
        "{name} needs no key, so something in between refuses, a proxy or a filter of this site; see intensity_url="
    ))
}

/// The country of a zone: DK of DK-DK1.
pub(super) fn country(zone: &str) -> &str {
    zone.split('-').next().unwrap_or_default()
}

/// Later than any instant a service can mean: 2200, s since 1970.
const LATEST: f64 = 7_258_118_400.0;
/// No service's step is longer, s.
const LONGEST: f64 = 86_400.0;

/// A field that is an RFC 3339 stamp in UTC.
pub(super) fn time(value: &Value, name: &str) -> Result<f64, String> {
    let text = field(value, name)?.as_str();
    text.and_then(instant).ok_or_else(|| format!("'{name}' is no time in UTC in the answer"))
}

/// An intensity, in the service's own unit; null is unknown.
pub(super) fn figure(value: &Value) -> Result<Option<f64>, String> {
    match value {
        Value::Null => Ok(None),
        _ => Ok(Some(value.as_f64().ok_or("an intensity in the answer is no number")?)),
    }
}

/// A slot, if it makes sense.
pub(super) fn slot(from: f64, to: f64, g_per_kwh: f64, standing: FigureQuality) -> Result<IntensitySlot, String> {
    if !(0.0..=LATEST).contains(&from) || !(0.0..=LATEST).contains(&to) {
        return Err("a time in the answer is not between 1970 and 2200".into());
    }
    if to <= from || to - from > LONGEST {
        return Err("a figure in the answer holds for no time, or for more than a day".into());
    }
    if !(0.0..=DIRTIEST).contains(&g_per_kwh) {
        return Err("an intensity in the answer is not between 0 and 10000 g/kWh".into());
    }
    Ok(IntensitySlot { from, to, g_per_kwh, standing })
}

/// The slots, earliest first.
pub(super) fn in_order(mut slots: Vec<IntensitySlot>) -> Vec<IntensitySlot> {
    slots.sort_by(|a, b| a.from.total_cmp(&b.from));
    slots
}

/// The shortest time between two neighbours, s.
pub(super) fn spacing(instants: &[f64]) -> Option<f64> {
    let mut sorted = instants.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .windows(2)
        .filter_map(|pair| Some(pair.last()? - pair.first()?))
        .filter(|step| *step > 0.0)
        .min_by(f64::total_cmp)
}

/// Seconds since 1970 of an RFC 3339 stamp in UTC; seconds and zone may be left out.
pub(super) fn instant(text: &str) -> Option<f64> {
    let whole = match (text.len(), text.strip_suffix('Z')) {
        (17, Some(minutes)) => format!("{minutes}:00Z"), // 2026-03-02T13:00Z
        _ => text.to_owned(),
    };
    let since = humantime::parse_rfc3339_weak(&whole).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs_f64())
}

/// An instant to the minute, in UTC: 2026-03-02T13:00.
pub(super) fn minute(now: f64) -> String {
    let now = UNIX_EPOCH + Duration::from_secs(now.clamp(0.0, LATEST) as u64);
    humantime::format_rfc3339_seconds(now).to_string().chars().take(16).collect()
}

/// A text as part of a query or a path: whatever is not plain is percent-encoded (RFC 3986, 2.1).
pub(super) fn encoded(text: &str) -> String {
    let mut coded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => coded.push(char::from(byte)),
            _ => coded.push_str(&format!("%{byte:02X}")),
        }
    }
    coded
}
