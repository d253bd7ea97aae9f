//! Where the machine is: a zone, from a cloud region or from the network address.
//!
//! In: a provider's answer or a region's name. Out: a zone. Never: it asks the network only through a provider.

pub mod cloud;
pub mod ip;

use super::intensity::zones;
use crate::error::Error;
use ip::GeoLocation;

/// The location of the run, from the options or from a look-up.
#[derive(Clone, Copy, Debug)]
pub enum RunLocation<'a> {
    /// The options give none.
    NotGiven,
    /// The value of `location`, or the cloud region found.
    Zone(&'a str),
    /// The result of `location=ip`.
    Found(&'a GeoLocation),
}

impl RunLocation<'_> {
    /// The error for a location that a provider does not cover. `takes` names the locations that it covers.
    pub fn refused(&self, takes: &str) -> Error {
        Error::invalid(match self {
            RunLocation::NotGiven => format!("no location given: {takes}"),
            RunLocation::Zone(zone) => format!("location='{zone}': {takes}"),
            RunLocation::Found(found) => format!("location=ip finds this machine in {}: {takes}", found.country),
        })
    }

    /// The zone in the yearly table: the zone itself, the zone of a cloud region, or the zone found.
    pub fn table_zone(&self) -> Option<String> {
        match self {
            RunLocation::NotGiven => None,
            RunLocation::Zone(zone) => zones::find(zone).ok().map(|found| found.spot.zone().to_owned()),
            RunLocation::Found(found) => found.zone(),
        }
    }
}
