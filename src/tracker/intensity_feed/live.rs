//! The feed of a live provider, and the look-up of the location that it needs.

use crate::carbon::http::proxy::Proxies;
use crate::carbon::intensity::zones;
use crate::carbon::live::poller::{self, Ask, Lookup, PollConfig, PollTask, PollUpdate, Target};
use crate::carbon::location::{RunLocation, cloud, ip};
use crate::carbon::provider::{self, Provider, registry};
use crate::carbon::select::{ApiCredentials, Feed, Seek};
use crate::os;
use crate::os::worker::Worker;
use crate::state::shared::SharedState;
use crate::tracker::intensity_feed::Series;
use std::sync::Arc;
use std::time::Duration;

/// Time limit for the service that locates an address.
const ADDRESS_WAIT: Duration = Duration::from_secs(10);
/// Time limit for a cloud's metadata service, which is near or absent.
const METADATA_WAIT: Duration = Duration::from_secs(2);

/// Starts the thread that polls a provider.
pub fn start(feed: Feed, shared: &Arc<SharedState>) -> std::io::Result<Worker> {
    let (series, task) = match feed {
        Feed::Provider(provider, credentials) => (Series::Average, PollTask::Grid(target(provider, credentials))),
        Feed::Marginal(provider, credentials) => (Series::Marginal, PollTask::Grid(target(provider, credentials))),
        Feed::Location(seek, provider, credentials) => {
            (Series::Average, PollTask::Location(look_up(seek, provider, credentials, Arc::clone(shared))))
        }
        Feed::File(..) => return Err(std::io::ErrorKind::InvalidInput.into()),
    };
    let shared = Arc::clone(shared);
    // They are read here and not at a request, because the application may change its environment.
    let proxies = Proxies::of(|name| os::variable(name)?.into_string().ok());
    poller::start(task, PollConfig { proxies, ..PollConfig::default() }, move |news| match news {
        PollUpdate::Slots(slots) => series.take(&shared, slots),
        PollUpdate::Failed(words) => series.fail(&shared, Some(words)),
        PollUpdate::Back => series.fail(&shared, None),
        PollUpdate::Lacks(words) => shared.queue_message(words),
    })
}

fn target(provider: Box<dyn Provider>, ApiCredentials { key, url }: ApiCredentials) -> Target {
    let base = url.unwrap_or_else(|| provider.host().to_owned());
    Target { provider, base, key: key.unwrap_or_default() }
}

fn look_up(seek: Seek, provider: Option<String>, credentials: ApiCredentials, shared: Arc<SharedState>) -> Lookup {
    let name = match seek {
        Seek::Address => "ip",
        Seek::Cloud(_) => "cloud",
    };
    Lookup {
        name,
        base: credentials.url.clone().unwrap_or_else(|| ip::HOST.into()),
        find: match seek {
            Seek::Address => Box::new(by_address),
            Seek::Cloud(provider) => Box::new(move |ask| by_metadata(provider, ask)),
        },
        choose: Box::new(move |answer| settle(seek, answer, provider.map(|name| (name, credentials)), &shared)),
    }
}

fn by_address(ask: &mut Ask<'_>) -> Result<String, String> {
    let body = ask(&ip::request(), ADDRESS_WAIT)
        .map_err(|failure| format!("location=ip: {failure}; or set location= to the zone"))?;
    let found = ip::take(&body).map_err(|why| format!("location=ip: {why}; set location= to the zone"))?;
    Ok(found.to_json())
}

fn by_metadata(provider: cloud::CloudProvider, ask: &mut Ask<'_>) -> Result<String, String> {
    let mut metadata = cloud::Metadata::new(provider);
    while let Some(request) = metadata.ask() {
        let body = ask(&request, METADATA_WAIT).map_err(|failure| {
            format!("location=cloud: the cloud's metadata: {failure}; or set location= to the region")
        })?;
        let region = metadata.take(&request, &body).map_err(|why| format!("location=cloud: {why}"))?;
        if let Some(region) = region {
            return Ok(region);
        }
    }
    Err("location=cloud: the cloud's metadata has no region; set location= to the region".into())
}

/// Stores the place that a look-up found, and returns the provider to poll for it. If the provider does not know the
/// place, the place's yearly average is used.
fn settle(
    seek: Seek,
    answer: &str,
    provider: Option<(String, ApiCredentials)>,
    shared: &SharedState,
) -> Result<Option<Target>, String> {
    let found = (seek == Seek::Address).then(|| ip::take(answer.as_bytes())).transpose()?;
    let location = found.as_ref().map_or(RunLocation::Zone(answer), RunLocation::Found);
    let zone = found.as_ref().map_or(Some(answer.to_owned()), |found| found.zone());
    let target = provider.map(|(name, credentials)| {
        registry::choose(&name, location, credentials.key())
            .map(|provider| target(provider, credentials))
            .map_err(|error| error.message)
    });
    let zone = match &target {
        Some(Ok(target)) => Some(target.provider.static_zone()),
        _ => zone,
    };
    let zone = zone.ok_or("location=ip: the place found is in no table; set location=")?;
    let table = zones::yearly(&zone).map_err(|error| error.message)?;
    let how = if seek == Seek::Address { "ip: by its public address" } else { "cloud: by its metadata" };
    shared.queue_message(format!(
        "location={how} this machine is in {zone}; this took a request; location={zone} takes none"
    ));
    shared.state().carbon.grid.flat = table;
    if let Seek::Cloud(_) = seek {
        let lacks = shared.state().found_in(answer);
        lacks.into_iter().for_each(|words| shared.queue_message(words));
    }
    let Some(target) = target.transpose()? else { return Ok(None) };
    let missing = target.provider.missing();
    missing.into_iter().for_each(|missing| shared.queue_message(missing.into()));
    shared.state().carbon.grid.hourly = Some(provider::hourly(target.provider.as_ref()));
    Ok(Some(target).filter(|_| missing.is_none()))
}
