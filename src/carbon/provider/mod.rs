//! Live providers of carbon intensity.
//!
//! In: a location, and a provider's answers. Out: requests, and figures by the hour. Never: no I/O; `live/poller.rs`
//! sends the requests.

pub mod carbonintensity_gb;
pub mod electricitymaps;
pub mod energidataservice;
pub mod energycharts;
pub mod registry;
pub mod watttime;

use super::http::request::{HttpRequest, field};
use super::intensity::curve::Curve;
use super::intensity::slot::{IntensityQuality, IntensitySlot, MAX_G_PER_KWH};
use super::intensity::{EmissionsBasis, Hourly, Intensity, IntensityKind, PowerUse};
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

/// A live provider for one zone.
pub trait Provider: Send {
    /// The name in the options.
    fn name(&self) -> &'static str;
    /// Scheme and host, "https://…".
    fn host(&self) -> &'static str;
    /// The zone of the figures, as the report names it.
    fn zone(&self) -> String;
    /// The zone or cloud region of the yearly table that is used until live figures come.
    fn static_zone(&self) -> String;
    /// Which emissions the figures count.
    fn basis(&self) -> EmissionsBasis;
    /// Which power the figures average over. None: not stated.
    fn power_use(&self) -> Option<PowerUse> {
        None
    }
    /// The data source and its licence, for attribution.
    fn source(&self) -> &'static str;
    /// Time between two rounds, s.
    fn refresh_s(&self) -> f64;
    /// A message about a value that the user must still give. The rounds are then empty.
    fn missing(&self) -> Option<&'static str> {
        None
    }
    /// The next request of this round. It may depend on earlier answers of the round. None: the round is over, and the
    /// next call begins a new one. `now` is in s since 1970 UTC.
    fn next(&mut self, now: f64) -> Option<HttpRequest>;
    /// Parses an answer with status 200. Errors: the cause, without the answer's text.
    fn take(&mut self, request: &HttpRequest, body: &[u8]) -> Result<Vec<IntensitySlot>, String>;
    /// The fix for an answer with this status. None: the general fix applies.
    fn fix(&self, status: u16) -> Option<String>;
}

/// The figures of a provider, none of which has come yet.
pub fn hourly(provider: &dyn Provider) -> Hourly {
    let mut hourly = hourly_to_come(provider.source());
    hourly.about.zone = Some(provider.zone());
    hourly.about.basis = Some(provider.basis());
    hourly.about.power_use = provider.power_use();
    hourly.failure = provider.missing().map(str::to_owned);
    hourly
}

/// The figures of a provider that is chosen once the location is known. `name` is the provider's.
pub fn hourly_to_come(name: &str) -> Hourly {
    let about = Intensity {
        g_per_kwh: f64::NAN,
        kind: IntensityKind::Live,
        zone: None,
        year: None,
        basis: None,
        power_use: None,
        source: name.to_owned(),
        caveat: None,
    };
    Hourly { about, curve: Curve::default(), failure: None }
}

/// The fix for a refusal by a provider that needs no key.
pub(super) fn refused_by_others(name: &str) -> Option<String> {
    Some(format!(
        "{name} needs no key, so a proxy or a filter of this site may refuse the request; check intensity_url="
    ))
}

/// The country of a zone: DK of DK-DK1.
pub(super) fn country(zone: &str) -> &str {
    zone.split('-').next().unwrap_or_default()
}

/// Latest valid time, the year 2200, s since 1970.
const LATEST_S: f64 = 7_258_118_400.0;
/// Longest valid slot, s.
const MAX_SLOT_S: f64 = 86_400.0;

/// A field with a time in UTC, RFC 3339. The result is in s since 1970.
pub(super) fn time(value: &Value, name: &str) -> Result<f64, String> {
    let text = field(value, name)?.as_str();
    text.and_then(instant).ok_or_else(|| format!("'{name}' is not a time in UTC in the answer"))
}

/// An intensity in the provider's own unit. None: null, which is unknown.
pub(super) fn figure(value: &Value) -> Result<Option<f64>, String> {
    match value {
        Value::Null => Ok(None),
        _ => Ok(Some(value.as_f64().ok_or("an intensity in the answer is not a number")?)),
    }
}

/// A slot. Errors: its times or its intensity are out of range.
pub(super) fn slot(from: f64, to: f64, g_per_kwh: f64, quality: IntensityQuality) -> Result<IntensitySlot, String> {
    if !(0.0..=LATEST_S).contains(&from) || !(0.0..=LATEST_S).contains(&to) {
        return Err("a time in the answer is not between 1970 and 2200".into());
    }
    if to <= from || to - from > MAX_SLOT_S {
        return Err("a figure in the answer is for no time, or for more than a day".into());
    }
    if !(0.0..=MAX_G_PER_KWH).contains(&g_per_kwh) {
        return Err("an intensity in the answer is not between 0 and 10000 g/kWh".into());
    }
    Ok(IntensitySlot { from, to, g_per_kwh, quality })
}

/// The slots, earliest first.
pub(super) fn in_order(mut slots: Vec<IntensitySlot>) -> Vec<IntensitySlot> {
    slots.sort_by(|a, b| a.from.total_cmp(&b.from));
    slots
}

/// The shortest time between two neighbouring instants, s.
pub(super) fn spacing(instants: &[f64]) -> Option<f64> {
    let mut sorted = instants.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .windows(2)
        .filter_map(|pair| Some(pair.last()? - pair.first()?))
        .filter(|step| *step > 0.0)
        .min_by(f64::total_cmp)
}

/// Parses a time in UTC, RFC 3339; seconds and zone may be missing. The result is in s since 1970.
pub(super) fn instant(text: &str) -> Option<f64> {
    let whole = match (text.len(), text.strip_suffix('Z')) {
        (17, Some(minutes)) => format!("{minutes}:00Z"), // 2026-03-02T13:00Z
        _ => text.to_owned(),
    };
    let since = humantime::parse_rfc3339_weak(&whole).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs_f64())
}

/// An instant in UTC, without seconds: 2026-03-02T13:00.
pub(super) fn minute(now: f64) -> String {
    let now = UNIX_EPOCH + Duration::from_secs(now.clamp(0.0, LATEST_S) as u64);
    humantime::format_rfc3339_seconds(now).to_string().chars().take(16).collect()
}

/// Percent-encodes a text for a query or a path (RFC 3986, 2.1).
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
