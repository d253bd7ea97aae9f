//! Options of carbon: location, intensity, facility and other impacts.

use super::key::{OptionKey, key};
use super::value::{number, put, put_some, some_text};
use super::working_folder::WorkingFolder;
use crate::carbon::config::{IntensityOption, WhatIfOption};
use crate::carbon::http::request::Secret;
use crate::carbon::impacts::Price;
use crate::carbon::intensity::slot::MAX_G_PER_KWH;
use crate::carbon::provider::registry;

pub const KEYS: &[OptionKey] = &[
    key(
        "location",
        "a zone such as DK, Denmark, US-CA, NO-NO1, aws:eu-north-1 or WORLD; or ip or cloud, to look it up",
        "none",
        "the grid that feeds the run; none: the world's average, with a note. 'carbontracker zones' lists zones",
        |o, v| put_some(&mut o.carbon.location, zone(v)),
    ),
    key(
        "intensity",
        "g CO2e/kWh from 0 to 10000, a CSV file (its name ends in .csv or contains a /), or electricitymaps, \
                  carbonintensity_gb, energidataservice, energycharts",
        "of location",
        "the carbon intensity of electricity",
        |o, v| put_some(&mut o.carbon.intensity, intensity(v, &mut o.folder)),
    ),
    key(
        "api_key",
        "the live service's key",
        "none",
        "key of the live service, best as a variable; never shown, logged or reported",
        |o, v| put_some(&mut o.carbon.api_key, secret(v)),
    ),
    key(
        "intensity_url",
        "https://HOST[:PORT][/PATH] of a mirror of the live services, or http:// of this machine; without name \
                  and password",
        "the service's",
        "a mirror of all live services",
        |o, v| put_some(&mut o.carbon.intensity_url, url(v)),
    ),
    key(
        "marginal",
        "watttime:REGION, such as watttime:CAISO_NORTH",
        "none",
        "what one kWh more would emit; beside the CO2e, never in it",
        |o, v| put_some(&mut o.carbon.marginal, marginal(v)),
    ),
    key(
        "marginal_key",
        "USER:PASSWORD of that service",
        "none",
        "account of that service; never shown, logged or reported",
        |o, v| put_some(&mut o.carbon.marginal_key, secret(v)),
    ),
    key(
        "pue",
        "facility energy / IT energy from 1 to 10, or region for the figure that the cloud region's provider \
                  publishes",
        "1.0",
        "what the facility adds to the energy of the devices",
        |o, v| {
            let pue = or_region(v, &mut o.carbon.by_region.pue, |v| number(v, 1.0, 10.0));
            put(&mut o.carbon.pue, pue.map(|pue| pue.unwrap_or(1.0)))
        },
    ),
    key(
        "what_if",
        "off, or zones as in location, with commas between",
        "10 zones and the run's own",
        "zones to compare the run with",
        |o, v| put(&mut o.carbon.what_if, what_if(v)),
    ),
    key(
        "price",
        "the price of a kWh from 0 to 1000000, such as 0.32EUR",
        "off",
        "price of facility energy, with a currency",
        |o, v| put_some(&mut o.carbon.rates.price, Price::parse(v)),
    ),
    key(
        "wue",
        "litres per kWh on site, from 0 to 1000, or region for the figure that the cloud region's provider \
                  publishes",
        "off",
        "water used on site, for each kWh of the devices",
        |o, v| {
            let wue = or_region(v, &mut o.carbon.by_region.wue, |v| number(v, 0.0, 1000.0));
            put(&mut o.carbon.rates.wue, wue)
        },
    ),
    key(
        "wue_grid",
        "litres per kWh at the power plants, from 0 to 1000",
        "off",
        "water at the power plants, for each kWh of the facility",
        |o, v| put_some(&mut o.carbon.rates.wue_grid, number(v, 0.0, 1000.0)),
    ),
    key("embodied_kg", "kg of CO2e from 0 to 1000000000", "off", "making of all devices that the run uses", |o, v| {
        put_some(&mut o.carbon.rates.embodied_kg, number(v, 0.0, 1e9))
    }),
    key("life_years", "years from 0.1 to 50", "3", "time over which embodied_kg is spread", |o, v| {
        put(&mut o.carbon.rates.life_years, number(v, 0.1, 50.0))
    }),
];

/// A number, or `region`, which is noted and has no number yet.
fn or_region(value: &str, is_requested: &mut bool, number: impl Fn(&str) -> Option<f64>) -> Option<Option<f64>> {
    *is_requested = value == "region";
    if *is_requested { Some(None) } else { number(value).map(Some) }
}

fn intensity(value: &str, folder: &mut WorkingFolder) -> Option<IntensityOption> {
    match value.parse::<f64>() {
        Ok(_) => number(value, 0.0, MAX_G_PER_KWH).map(IntensityOption::Constant),
        Err(_) if registry::NAMES.contains(&value) => Some(IntensityOption::Provider(value.to_owned())),
        Err(_) if value.contains('/') || is_table(value) => folder.path(value).map(IntensityOption::File),
        Err(_) => None,
    }
}

/// Whether a file name ends as a table's does.
fn is_table(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ["csv", "tsv", "txt", "json"].contains(&ending.as_str()))
}

/// A zone's name. One with `=` is the next pair, because the value before it is missing; it may be a key.
fn zone(value: &str) -> Option<String> {
    some_text(value).filter(|value| !value.contains('='))
}

fn secret(value: &str) -> Option<Secret> {
    some_text(value).map(Secret)
}

fn url(value: &str) -> Option<String> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| value.strip_prefix(scheme))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    some_text(value).filter(|_| !host.is_empty() && !host.contains('@'))
}

fn marginal(value: &str) -> Option<(String, String)> {
    let (name, region) = value.split_once(':')?;
    (name == registry::MARGINAL && !region.is_empty()).then(|| (name.to_owned(), region.to_owned()))
}

fn what_if(value: &str) -> Option<WhatIfOption> {
    if value == "off" {
        return Some(WhatIfOption::Off);
    }
    value.split(',').map(|name| zone(name.trim())).collect::<Option<_>>().map(WhatIfOption::Zones)
}
