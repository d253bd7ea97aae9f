//! The live services there are, by name.

use super::{Provider, ProviderLocation};
use super::{carbonintensity_gb, electricitymaps, energidataservice, energycharts, watttime};
use crate::carbon::http::request::Secret;
use crate::error::Error;

/// The service of this name for this place. With `location=ip` it is chosen when the look-up has answered.
pub fn choose(name: &str, place: ProviderLocation<'_>, api_key: Option<&str>) -> Result<Box<dyn Provider>, Error> {
    check_key(name, api_key)?;
    let key = api_key.map(|key| Secret(key.to_owned()));
    Ok(match name {
        electricitymaps::NAME => Box::new(electricitymaps::ElectricityMaps::new(place, key)?),
        carbonintensity_gb::NAME => Box::new(carbonintensity_gb::CarbonIntensityGb::new(place)?),
        energidataservice::NAME => Box::new(energidataservice::EnergiDataService::new(place)?),
        energycharts::NAME => Box::new(energycharts::EnergyCharts::new(place)?),
        watttime::NAME => Box::new(watttime::WattTime::new(place, key)?),
        _ => {
            return Err(Error::invalid(format!("intensity='{name}': no such service; there are {}", NAMES.join(", "))));
        }
    })
}

/// The services of what the grid emits.
pub const NAMES: [&str; 4] =
    [electricitymaps::NAME, carbonintensity_gb::NAME, energidataservice::NAME, energycharts::NAME];

/// The service of what one kWh more would emit.
pub const MARGINAL: &str = watttime::NAME;

/// Refuses what is no key of this service.
pub fn check_key(name: &str, key: Option<&str>) -> Result<(), Error> {
    // A key goes into a header as it is; user and password are written as base64 there, and may be any text.
    let (option, what, is_sound): (_, _, fn(char) -> bool) = match name {
        MARGINAL => ("marginal_key", "USER:PASSWORD", |letter| !letter.is_control()),
        _ => ("api_key", "the service's key, without spaces or special letters", |letter| letter.is_ascii_graphic()),
    };
    match key {
        Some(key) if key.is_empty() || !key.chars().all(is_sound) => {
            Err(Error::invalid(format!("{option}='…': expected {what}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
