//! Selects the grid from the options, and the feeds that update it while the run lasts.

use super::config::{CarbonConfig, IntensityOption};
use super::facility::{Facility, FacilityLocation};
use super::http::request::Secret;
use super::intensity::{GridIntensity, Hourly, Intensity, IntensityKind, csv_file, zones};
use super::location::{RunLocation, cloud};
use super::provider::{self, Provider, registry};
use crate::error::Result;
use crate::os;
use crate::sanitize;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The selection.
pub struct IntensityChoice {
    /// The grid as it is known at the start.
    pub grid: GridIntensity,
    /// Marginal emissions, if the options ask for them.
    pub marginal: Option<Hourly>,
    /// The feeds that update the grid while the run lasts.
    pub feeds: Vec<Feed>,
    /// PUE and WUE of the cloud region, if the options ask for them.
    pub facility: Facility,
}

/// An update of the grid while the run lasts.
pub enum Feed {
    /// A file. It is read again for this zone if its stamp is not this one any more.
    File(PathBuf, Option<csv_file::FileStamp>, Option<String>),
    /// A live provider.
    Provider(Box<dyn Provider>, ApiCredentials),
    /// A look-up of this machine's location, then the live provider of this name, if one was asked for.
    Location(Seek, Option<String>, ApiCredentials),
    /// A live provider of marginal figures.
    Marginal(Box<dyn Provider>, ApiCredentials),
}

/// Key and address of a live provider.
#[derive(Clone, Debug, Default)]
pub struct ApiCredentials {
    /// The user's key.
    pub key: Option<Secret>,
    /// Replacement of the provider's scheme and host.
    pub url: Option<String>,
}

impl ApiCredentials {
    /// The key in clear text, for a request.
    pub fn key(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.0.as_str())
    }
}

/// How the location of this machine is looked up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seek {
    /// By its public address.
    Address,
    /// By the cloud provider's metadata service.
    Cloud(cloud::CloudProvider),
}

/// The location of the run in the options.
enum Location<'a> {
    /// No location is given.
    NotGiven,
    /// A zone, or a cloud region found in the environment.
    Zone(Cow<'a, str>),
    /// The location is looked up while the run lasts.
    LookedUp(Seek),
    /// `location=cloud`, but this machine is in no known cloud.
    NoCloud,
}

impl Location<'_> {
    /// The location that the options name. `variable` looks up an environment variable.
    fn of(options: &CarbonConfig, variable: impl Fn(&str) -> Option<String>) -> Location<'_> {
        let Some(asked) = options.location.as_deref() else { return Location::NotGiven };
        if asked.eq_ignore_ascii_case("ip") {
            return Location::LookedUp(Seek::Address);
        }
        if !asked.eq_ignore_ascii_case("cloud") {
            return Location::Zone(asked.into());
        }
        let firmware = |name: &str| {
            let path = options.sysroot.join("sys/class/dmi/id").join(name);
            os::text::read(&path, os::text::MAX_SYS_BYTES).unwrap_or_default()
        };
        let provider = cloud::CloudProvider::by_firmware(
            &firmware("sys_vendor"),
            &firmware("product_name"),
            &firmware("chassis_asset_tag"),
        );
        match (cloud::by_environment(provider, variable), provider) {
            (Some(region), _) => Location::Zone(region.into()),
            (None, Some(provider)) => Location::LookedUp(Seek::Cloud(provider)),
            (None, None) => Location::NoCloud,
        }
    }

    fn zone(&self) -> Option<&str> {
        if let Location::Zone(zone) = self { Some(zone) } else { None }
    }

    fn look_up(&self) -> Option<Seek> {
        if let Location::LookedUp(seek) = self { Some(*seek) } else { None }
    }
}

/// Selects the grid and its feeds. Errors: an unknown zone; the message lists similar ones. `variable` looks up an
/// environment variable.
pub fn choose(options: &CarbonConfig, variable: impl Fn(&str) -> Option<String>) -> Result<IntensityChoice> {
    choose_with(cfg!(feature = "live"), options, variable)
}

/// As [`choose`], in a build with or without live services.
fn choose_with(
    has_live: bool,
    options: &CarbonConfig,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<IntensityChoice> {
    let location = Location::of(options, variable);
    let credentials = ApiCredentials { key: options.api_key.clone(), url: options.intensity_url.clone() };
    let mut choice = match &options.intensity {
        Some(IntensityOption::Constant(g_per_kwh)) => constant(*g_per_kwh, &location)?,
        Some(IntensityOption::File(path)) => from_file(path, &location)?,
        Some(IntensityOption::Provider(name)) => from_provider(name, &location, credentials)?,
        None => average(&location, credentials)?,
    };
    choice.add_marginal(options)?;
    if !has_live {
        choice.drop_live();
    }
    choice.facility = Facility::new(options.by_region, choice.at(&location));
    Ok(choice)
}

/// One figure that the user gave.
fn constant(g_per_kwh: f64, location: &Location) -> Result<IntensityChoice> {
    let zone = location.zone().map(zones::yearly).transpose()?.and_then(|table| table.zone);
    let source = "given by the user".into();
    let flat = Intensity {
        g_per_kwh,
        kind: IntensityKind::Constant,
        zone,
        year: None,
        basis: None,
        power_use: None,
        source,
        caveat: None,
    };
    Ok(IntensityChoice::of(flat, None, None))
}

/// The yearly average of a location, which a feed may still look up.
fn average(location: &Location, credentials: ApiCredentials) -> Result<IntensityChoice> {
    let feed = location.look_up().map(|seek| Feed::Location(seek, None, credentials));
    Ok(IntensityChoice::of(yearly(location)?, None, feed))
}

fn from_file(path: &Path, location: &Location) -> Result<IntensityChoice> {
    // Taken before the file is read, so that later writes are noticed.
    let seen = csv_file::stamp(path);
    let (mut hourly, is_known) = csv_file::open(path, location.zone())?;
    // The application may change its working directory while the run lasts.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut flat = match (yearly(location), location.zone()) {
        (Err(_), Some(asked)) if is_known => around(asked, &mut hourly.about)?,
        (flat, _) => flat?,
    };
    if matches!(location, Location::NotGiven) {
        // Without a location the zone that the file names is used.
        let its_own = hourly.about.zone.as_deref().and_then(|zone| zones::yearly(zone).ok());
        flat = its_own.unwrap_or(Intensity { caveat: None, ..flat });
    }
    let zone = location.zone().map(str::to_owned);
    Ok(IntensityChoice::of(flat, Some(hourly), Some(Feed::File(path, seen, zone))))
}

/// The yearly average around a zone that only the file knows: that of the zone the file names, else its country's, else
/// the world's.
fn around(asked: &str, of_file: &mut Intensity) -> Result<Intensity> {
    let country = |zone: &str| zones::yearly(zone.split_once(['-', '_'])?.0).ok();
    let known = |zone: &str| zones::yearly(zone).ok().or_else(|| country(zone));
    let flat = of_file.zone.as_deref().and_then(known).or_else(|| country(asked));
    let flat = flat.map_or_else(|| zones::yearly("WORLD"), Ok)?;
    let zone = flat.zone.as_deref().unwrap_or("WORLD");
    of_file.caveat = Some(sanitize::text(format!(
        "location={asked} is a zone of the file alone: hours without a figure use the yearly average of {zone}; check the zone if this is not intended"
    )));
    Ok(flat)
}

/// A live provider. If it needs a location and none is given, the run is measured without it.
fn from_provider(name: &str, location: &Location, credentials: ApiCredentials) -> Result<IntensityChoice> {
    registry::check_key(name, credentials.key())?;
    let run_location = match location {
        Location::Zone(zone) => RunLocation::Zone(zone),
        Location::NotGiven => RunLocation::NotGiven,
        Location::NoCloud => return average(location, credentials),
        Location::LookedUp(seek) => {
            let feed = Feed::Location(*seek, Some(name.to_owned()), credentials);
            return Ok(IntensityChoice::of(yearly(location)?, Some(provider::hourly_to_come(name)), Some(feed)));
        }
    };
    let provider = match (registry::choose(name, run_location, credentials.key()), run_location) {
        (Ok(provider), _) => provider,
        (Err(error), RunLocation::NotGiven) => {
            let flat = Intensity { caveat: None, ..yearly(location)? };
            let hourly = Hourly { failure: Some(error.message), ..provider::hourly_to_come(name) };
            return Ok(IntensityChoice::of(flat, Some(hourly), None));
        }
        (Err(error), _) => return Err(error),
    };
    let hourly = provider::hourly(provider.as_ref());
    let flat = zones::yearly(&provider.static_zone())?;
    let feed = hourly.failure.is_none().then(|| Feed::Provider(provider, credentials));
    Ok(IntensityChoice::of(flat, Some(hourly), feed))
}

impl IntensityChoice {
    fn of(flat: Intensity, hourly: Option<Hourly>, feed: Option<Feed>) -> IntensityChoice {
        IntensityChoice {
            grid: GridIntensity { flat, hourly },
            marginal: None,
            feeds: feed.into_iter().collect(),
            facility: Facility::default(),
        }
    }

    /// The location of the data centre. Only a cloud's metadata finds a region, and only if it is asked.
    fn at<'a>(&self, location: &'a Location<'_>) -> FacilityLocation<'a> {
        let is_requested = self.feeds.iter().any(|feed| matches!(feed, Feed::Location(Seek::Cloud(_), ..)));
        match location {
            Location::Zone(zone) => FacilityLocation::Named(zone),
            Location::LookedUp(Seek::Cloud(_)) if is_requested => FacilityLocation::LookedUp,
            Location::LookedUp(Seek::Cloud(_)) | Location::NoCloud => FacilityLocation::Named("cloud"),
            Location::LookedUp(Seek::Address) => FacilityLocation::Named("ip"),
            Location::NotGiven => FacilityLocation::NotGiven,
        }
    }

    /// `marginal=watttime:REGION`.
    fn add_marginal(&mut self, options: &CarbonConfig) -> Result<()> {
        let Some((name, region)) = &options.marginal else { return Ok(()) };
        let credentials = ApiCredentials { key: options.marginal_key.clone(), url: options.intensity_url.clone() };
        let provider = registry::choose(name, RunLocation::Zone(region), credentials.key())?;
        let hourly = provider::hourly(provider.as_ref());
        self.feeds.extend(hourly.failure.is_none().then(|| Feed::Marginal(provider, credentials)));
        self.marginal = Some(hourly);
        Ok(())
    }

    /// Messages that the user should see at the start.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        let failures = self.grid.hourly.iter().chain(&self.marginal).filter_map(|hourly| {
            let failure = hourly.failure.as_ref()?;
            let is_broken = hourly.about.kind == IntensityKind::File && hourly.curve.is_empty();
            let meanwhile = if is_broken { ". Meanwhile CO2e uses the yearly average" } else { "" };
            Some(format!("{failure}{meanwhile}"))
        });
        self.grid.caveats().chain(failures).chain(self.facility.lacks().iter().cloned())
    }

    /// Drops live providers and adds a message.
    fn drop_live(&mut self) {
        const WITHOUT: &str = "this library was built without live services: no figures are requested; build it with make LIVE=1, or use intensity=FILE";
        if self.feeds.iter().all(|feed| matches!(feed, Feed::File(..))) {
            return;
        }
        let is_location_sought = self.feeds.iter().any(|feed| matches!(feed, Feed::Location(..)));
        self.feeds.retain(|feed| matches!(feed, Feed::File(..)));
        let hourly = self
            .grid
            .hourly
            .iter_mut()
            .chain(&mut self.marginal)
            .filter(|hourly| hourly.about.kind == IntensityKind::Live);
        hourly.for_each(|hourly| hourly.failure = Some(WITHOUT.into()));
        if is_location_sought && self.grid.hourly.is_none() {
            self.grid.flat.caveat = Some(WITHOUT.into());
        }
    }
}

/// The yearly average of the location in the options, with a caveat if it is not known.
fn yearly(location: &Location) -> Result<Intensity> {
    let mut table = zones::yearly(location.zone().unwrap_or("WORLD"))?;
    table.caveat = match location {
        Location::NotGiven => Some(NOT_GIVEN.into()),
        Location::Zone(_) => table.caveat,
        Location::LookedUp(_) => Some(LOOKED_UP.into()),
        Location::NoCloud => Some(NO_CLOUD.into()),
    };
    Ok(table)
}

const NOT_GIVEN: &str =
    "no location given: CO2e uses the world's average; set location= (DK, US-CA, aws:eu-north-1, …) or intensity=";
const LOOKED_UP: &str = "the location of this machine is not found yet: until then CO2e uses the world's average; set location= to skip the look-up";
const NO_CLOUD: &str = "location=cloud: neither the firmware nor the environment names AWS, Google Cloud or Azure: CO2e uses the world's average; set location= to the region, as in aws:eu-north-1";

#[cfg(test)]
mod tests;
