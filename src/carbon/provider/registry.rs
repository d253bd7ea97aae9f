//! The live providers, by name.

use super::Provider;
use super::{carbonintensity_gb, electricitymaps, energidataservice, energycharts, watttime};
use crate::carbon::http::request::Secret;
use crate::carbon::location::RunLocation;
use crate::error::Error;

/// Makes the provider of this name for a location. With `location=ip` it is made after the look-up. Errors: an unknown
/// name, a location that it does not cover, or a malformed key.
pub fn choose(name: &str, location: RunLocation<'_>, api_key: Option<&str>) -> Result<Box<dyn Provider>, Error> {
    check_key(name, api_key)?;
    let key = api_key.map(|key| Secret(key.to_owned()));
    Ok(match name {
        electricitymaps::NAME => Box::new(electricitymaps::ElectricityMaps::new(location, key)?),
        carbonintensity_gb::NAME => Box::new(carbonintensity_gb::CarbonIntensityGb::new(location)?),
        energidataservice::NAME => Box::new(energidataservice::EnergiDataService::new(location)?),
        energycharts::NAME => Box::new(energycharts::EnergyCharts::new(location)?),
        watttime::NAME => Box::new(watttime::WattTime::new(location, key)?),
        _ => {
            return Err(Error::invalid(format!(
                "intensity='{name}': no such provider; choose one of {}",
                NAMES.join(", ")
            )));
        }
    })
}

/// The providers of average intensity.
pub const NAMES: [&str; 4] =
    [electricitymaps::NAME, carbonintensity_gb::NAME, energidataservice::NAME, energycharts::NAME];

/// The provider of marginal intensity.
pub const MARGINAL: &str = watttime::NAME;

/// Checks the form of a provider's key.
pub fn check_key(name: &str, key: Option<&str>) -> Result<(), Error> {
    // A key is sent in a header as it is. User and password are sent as base64, so they may be any text.
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
