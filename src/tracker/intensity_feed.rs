//! Background updates of carbon intensity: a file that is read again, a live service that is polled.
//!
//! Each feed has a thread of its own. It writes new figures into the run's state and queues messages. No thread waits for
//! it at the end, because it may wait for a network.

use crate::carbon::intensity::slot::IntensitySlot;
use crate::carbon::intensity::{Hourly, Intensity, csv_file};
use crate::carbon::select::Feed;
use crate::os::Instant;
use crate::os::worker::{Stop, Worker, WorkerExit};
use crate::state::RunState;
use crate::state::shared::SharedState;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks at an intensity file.
const FILE_INTERVAL: Duration = Duration::from_secs(10);

/// The failure of a feed whose thread has panicked.
const FAULT: &str = "internal error: the intensity file is not followed any more; please report this bug";

/// The feeds of one run.
#[derive(Default)]
pub struct IntensityFeeds(Vec<Worker>);

/// The series that a feed updates.
#[derive(Clone, Copy, PartialEq)]
#[cfg_attr(not(feature = "live"), allow(dead_code))]
enum Series {
    /// Average intensity, which converts the run's energy.
    Average,
    /// Marginal intensity, which is reported beside it.
    Marginal,
}

impl Series {
    /// The hourly figures; None: the run has no such series.
    fn figures(self, state: &mut RunState) -> Option<&mut Hourly> {
        match self {
            Series::Average => state.carbon.grid.hourly.as_mut(),
            Series::Marginal => state.carbon.marginal.as_mut(),
        }
    }

    /// Adds slots. The curve is computed without the lock, because the sampling thread needs the state.
    fn take(self, shared: &SharedState, slots: Vec<IntensitySlot>) {
        let Some(mut curve) = self.figures(&mut shared.state()).map(|hourly| hourly.curve.clone()) else { return };
        curve.take(slots);
        if let Some(hourly) = self.figures(&mut shared.state()) {
            hourly.curve = curve;
        }
    }

    /// Stores the source of the figures, if there are no figures yet.
    fn name(self, shared: &SharedState, about: Intensity) {
        if let Some(hourly) = self.figures(&mut shared.state()).filter(|hourly| hourly.curve.is_empty()) {
            hourly.about = about;
        }
    }

    fn has_failed(self, shared: &SharedState) -> bool {
        self.figures(&mut shared.state()).is_some_and(|hourly| hourly.failure.is_some())
    }

    /// Stores why there are no newer figures, and queues a message. None: figures come again.
    fn fail(self, shared: &SharedState, failure: Option<String>) {
        let mut state = shared.state();
        let is_empty = match self.figures(&mut state) {
            Some(hourly) => {
                hourly.failure.clone_from(&failure);
                hourly.curve.is_empty()
            }
            // The location is looked up, and the options name no service.
            None => {
                state.carbon.grid.flat.caveat.clone_from(&failure);
                true
            }
        };
        drop(state);
        let used = if is_empty { "the yearly average" } else { "the figures known so far" };
        shared.queue_message(match (failure, self) {
            (Some(words), Series::Average) => {
                let stop = if words.ends_with('?') { "" } else { ";" };
                format!("{words}{stop} meanwhile CO2e uses {used}")
            }
            (Some(words), Series::Marginal) => words,
            (None, Series::Average) => "figures of carbon intensity come again".into(),
            (None, Series::Marginal) => "marginal figures come again".into(),
        });
    }
}

impl IntensityFeeds {
    /// Starts a thread for each feed. If one cannot start, a message reports it and the run continues.
    pub fn start(feeds: Vec<Feed>, shared: &Arc<SharedState>) -> IntensityFeeds {
        let mut started = IntensityFeeds::default();
        for feed in feeds {
            if let Err(error) = started.add(feed, shared) {
                shared.queue_message(format!("the thread for carbon intensity cannot start ({error}); CO2e uses the figures known now; raise the limit on threads or memory (ulimit -u, ulimit -v)"));
            }
        }
        started
    }

    fn add(&mut self, feed: Feed, shared: &Arc<SharedState>) -> std::io::Result<()> {
        match feed {
            Feed::File(path, seen, zone) => self.0.push(follow(path, seen, zone, Arc::clone(shared))?),
            #[cfg(feature = "live")]
            other => self.0.push(live::start(other, shared)?),
            #[cfg(not(feature = "live"))]
            _ => (),
        }
        Ok(())
    }

    /// Asks all threads to end, without waiting.
    pub fn stop(&self) {
        self.0.iter().for_each(Worker::stop);
    }

    /// Ends all threads within this time. A thread that still waits for an answer is left behind.
    pub fn end_within(&self, patience: Duration) {
        self.stop();
        let deadline = Instant::now() + patience;
        let left = || deadline.left();
        for worker in &self.0 {
            let _ = worker.end_within(left());
        }
    }
}

/// Starts the thread that reads an intensity file again whenever it has changed. `seen` is the file's stamp at the last
/// reading.
fn follow(
    path: PathBuf,
    mut seen: Option<csv_file::FileStamp>,
    zone: Option<String>,
    shared: Arc<SharedState>,
) -> std::io::Result<Worker> {
    let of_failure = Arc::clone(&shared);
    let failed = move || Series::Average.fail(&of_failure, Some(FAULT.into()));
    let follow = move |stop: Stop| {
        let mut has_failed = Series::Average.has_failed(&shared);
        loop {
            stop.rest(FILE_INTERVAL);
            if stop.is_set() {
                return;
            }
            let stamp = csv_file::stamp(&path);
            if std::mem::replace(&mut seen, stamp) == stamp {
                continue;
            }
            let failure = match csv_file::reread(&path, zone.as_deref()) {
                Ok(news) => {
                    Series::Average.name(&shared, news.about);
                    Series::Average.take(&shared, news.slots);
                    news.stale
                }
                Err(why) => Some(why),
            };
            if failure.is_some() || has_failed {
                has_failed = failure.is_some();
                Series::Average.fail(&shared, failure);
            }
        }
    };
    Worker::start("ct-intensity", WorkerExit::Left, follow, failed)
}

#[cfg(feature = "live")]
mod live {
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
    const ADDRESS_TIMEOUT: Duration = Duration::from_secs(10);
    /// Time limit for a cloud's metadata service, which is near or absent.
    const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

    /// Starts the thread that polls a service.
    pub fn start(feed: Feed, shared: &Arc<SharedState>) -> std::io::Result<Worker> {
        let (series, task) = match feed {
            Feed::Service(service, credentials) => (Series::Average, PollTask::Grid(target(service, credentials))),
            Feed::Marginal(service, credentials) => (Series::Marginal, PollTask::Grid(target(service, credentials))),
            Feed::Place(seek, service, credentials) => {
                (Series::Average, PollTask::Place(look_up(seek, service, credentials, Arc::clone(shared))))
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

    fn target(service: Box<dyn Provider>, ApiCredentials { key, url }: ApiCredentials) -> Target {
        let base = url.unwrap_or_else(|| service.host().to_owned());
        Target { service, base, key: key.unwrap_or_default() }
    }

    fn look_up(seek: Seek, service: Option<String>, credentials: ApiCredentials, shared: Arc<SharedState>) -> Lookup {
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
            choose: Box::new(move |answer| settle(seek, answer, service.map(|name| (name, credentials)), &shared)),
        }
    }

    fn by_address(ask: &mut Ask<'_>) -> Result<String, String> {
        let body = ask(&ip::request(), ADDRESS_TIMEOUT)
            .map_err(|failure| format!("location=ip: {failure}; or set location= to the zone"))?;
        let found = ip::take(&body).map_err(|why| format!("location=ip: {why}; set location= to the zone"))?;
        Ok(found.to_json())
    }

    fn by_metadata(provider: cloud::CloudProvider, ask: &mut Ask<'_>) -> Result<String, String> {
        let mut metadata = cloud::Metadata::new(provider);
        while let Some(request) = metadata.ask() {
            let body = ask(&request, METADATA_TIMEOUT).map_err(|failure| {
                format!("location=cloud: the cloud's metadata: {failure}; or set location= to the region")
            })?;
            let region = metadata.take(&request, &body).map_err(|why| format!("location=cloud: {why}"))?;
            if let Some(region) = region {
                return Ok(region);
            }
        }
        Err("location=cloud: the cloud's metadata has no region; set location= to the region".into())
    }

    /// Stores the place that a look-up found, and returns the service to poll for it. If the service does not know the place,
    /// the place's yearly average is used.
    fn settle(
        seek: Seek,
        answer: &str,
        service: Option<(String, ApiCredentials)>,
        shared: &SharedState,
    ) -> Result<Option<Target>, String> {
        let found = (seek == Seek::Address).then(|| ip::take(answer.as_bytes())).transpose()?;
        let place = found.as_ref().map_or(RunLocation::Zone(answer), RunLocation::Found);
        let zone = found.as_ref().map_or(Some(answer.to_owned()), |found| found.zone());
        let target = service.map(|(name, credentials)| {
            registry::choose(&name, place, credentials.key())
                .map(|service| target(service, credentials))
                .map_err(|error| error.message)
        });
        let zone = match &target {
            Some(Ok(target)) => Some(target.service.static_zone()),
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
        let missing = target.service.missing();
        missing.into_iter().for_each(|missing| shared.queue_message(missing.into()));
        shared.state().carbon.grid.hourly = Some(provider::hourly(target.service.as_ref()));
        Ok(Some(target).filter(|_| missing.is_none()))
    }
}
