//! What keeps the grid in the books up to date while a run lasts: a file read again, a live service asked. Each is a thread
//! of its own that nobody waits for; what it learns goes into the books, and what a person should know to the messages.

use crate::carbon::intensity::slot::IntensitySlot;
use crate::carbon::intensity::{Hourly, Intensity, csv_file};
use crate::carbon::select::Feed;
use crate::os::worker::{Stop, Worker, WorkerExit};
use crate::state::RunState;
use crate::state::shared::SharedState;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file is looked at again after this.
const LOOK: Duration = Duration::from_secs(10);

/// What is wrong once the thread that follows a file has panicked.
const FAULT: &str = "internal error: the intensity file is not followed any more. Please report this bug";

/// The threads of one run.
#[derive(Default)]
pub struct IntensityFeeds(Vec<Worker>);

/// Whose figures they are.
#[derive(Clone, Copy, PartialEq)]
#[cfg_attr(not(feature = "live"), allow(dead_code))]
enum Series {
    /// The run's price.
    Average,
    /// Beside it.
    Marginal,
}

impl Series {
    fn figures(self, books: &mut RunState) -> Option<&mut Hourly> {
        match self {
            Series::Average => books.grid.hourly.as_mut(),
            Series::Marginal => books.marginal.as_mut(),
        }
    }

    /// Takes slots in. The curve is worked out beside the books, which the sampler wants.
    fn take(self, shared: &SharedState, slots: Vec<IntensitySlot>) {
        let Some(mut curve) = self.figures(&mut shared.books()).map(|hourly| hourly.curve.clone()) else { return };
        curve.take(slots);
        if let Some(hourly) = self.figures(&mut shared.books()) {
            hourly.curve = curve;
        }
    }

    /// Notes whose the figures are, where none have come so far.
    fn name(self, shared: &SharedState, about: Intensity) {
        if let Some(hourly) = self.figures(&mut shared.books()).filter(|hourly| hourly.curve.is_empty()) {
            hourly.about = about;
        }
    }

    fn has_failed(self, shared: &SharedState) -> bool {
        self.figures(&mut shared.books()).is_some_and(|hourly| hourly.failure.is_some())
    }

    /// Notes why there are no newer figures, and says it; None: they come again.
    fn fail(self, shared: &SharedState, failure: Option<String>) {
        let mut books = shared.books();
        let mut by_what = "by the yearly average";
        match self.figures(&mut books) {
            Some(hourly) => {
                hourly.failure.clone_from(&failure);
                by_what = if hourly.curve.is_empty() { by_what } else { "by the figures known so far" };
            }
            // Where the place is sought and no service asked for.
            None => books.grid.flat.caveat.clone_from(&failure),
        }
        drop(books);
        shared.say(match (failure, self) {
            (Some(words), Series::Average) => {
                let stop = if words.ends_with('?') { "" } else { "." };
                format!("{words}{stop} Meanwhile CO2 is priced {by_what}")
            }
            (Some(words), Series::Marginal) => words,
            (None, Series::Average) => "figures of the grid come again".into(),
            (None, Series::Marginal) => "marginal figures come again".into(),
        });
    }
}

impl IntensityFeeds {
    /// Starts what is to be fed. Where a thread cannot be started, that is said and the run goes on.
    pub fn start(feeds: Vec<Feed>, shared: &Arc<SharedState>) -> IntensityFeeds {
        let mut started = IntensityFeeds::default();
        for feed in feeds {
            if let Err(error) = started.add(feed, shared) {
                shared.say(format!("no thread for the grid's figures ({error}): CO2 is priced by what is known now"));
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

    /// Tells all to end, and waits for nobody.
    pub fn stop(&self) {
        self.0.iter().for_each(Worker::stop);
    }

    /// Ends all within this time; what still waits for an answer is left to itself.
    pub fn end_within(&self, patience: Duration) {
        self.stop();
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        for worker in &self.0 {
            let _ = worker.end_within(left());
        }
    }
}

/// Reads a file of figures again whenever it has changed since it was `seen`.
fn follow(
    path: PathBuf,
    mut seen: Option<csv_file::FileStamp>,
    zone: Option<String>,
    shared: Arc<SharedState>,
) -> std::io::Result<Worker> {
    let told = Arc::clone(&shared);
    let failed = move || Series::Average.fail(&told, Some(FAULT.into()));
    let follow = move |stop: Stop| {
        let mut has_failed = Series::Average.has_failed(&shared);
        loop {
            stop.rest(LOOK);
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

    /// For the answer of whoever knows where this machine is.
    const LOOK_UP: Duration = Duration::from_secs(10);
    /// For that of a cloud's metadata, which is near or not there.
    const METADATA: Duration = Duration::from_secs(2);

    /// Starts the thread that asks.
    pub fn start(feed: Feed, shared: &Arc<SharedState>) -> std::io::Result<Worker> {
        let (whose, aim) = match feed {
            Feed::Service(service, account) => (Series::Average, PollTask::Grid(target(service, account))),
            Feed::Marginal(service, account) => (Series::Marginal, PollTask::Grid(target(service, account))),
            Feed::Place(seek, service, account) => {
                (Series::Average, PollTask::Place(look_up(seek, service, account, Arc::clone(shared))))
            }
            Feed::File(..) => return Err(std::io::ErrorKind::InvalidInput.into()),
        };
        let shared = Arc::clone(shared);
        // Here, on the host's thread, and not when a request is made: the host may change its environment.
        let proxies = Proxies::of(|name| os::variable(name)?.into_string().ok());
        poller::start(aim, PollConfig { proxies, ..PollConfig::default() }, move |news| match news {
            PollUpdate::Slots(slots) => whose.take(&shared, slots),
            PollUpdate::Failed(words) => whose.fail(&shared, Some(words)),
            PollUpdate::Back => whose.fail(&shared, None),
            PollUpdate::Lacks(words) => shared.say(words),
        })
    }

    fn target(service: Box<dyn Provider>, ApiCredentials { key, url }: ApiCredentials) -> Target {
        let base = url.unwrap_or_else(|| service.host().to_owned());
        Target { service, base, key: key.unwrap_or_default() }
    }

    fn look_up(seek: Seek, service: Option<String>, account: ApiCredentials, shared: Arc<SharedState>) -> Lookup {
        let name = match seek {
            Seek::Address => "ip",
            Seek::Cloud(_) => "cloud",
        };
        Lookup {
            name,
            base: account.url.clone().unwrap_or_else(|| ip::HOST.into()),
            find: match seek {
                Seek::Address => Box::new(by_address),
                Seek::Cloud(provider) => Box::new(move |ask| by_metadata(provider, ask)),
            },
            choose: Box::new(move |told| settle(seek, told, service.map(|name| (name, account)), &shared)),
        }
    }

    fn by_address(ask: &mut Ask<'_>) -> Result<String, String> {
        let body = ask(&ip::request(), LOOK_UP)
            .map_err(|failure| format!("location=ip: {failure}; or set location= to the zone"))?;
        let found = ip::take(&body).map_err(|why| format!("location=ip: {why}; set location= to the zone"))?;
        Ok(found.to_json())
    }

    fn by_metadata(provider: cloud::CloudProvider, ask: &mut Ask<'_>) -> Result<String, String> {
        let mut metadata = cloud::Metadata::new(provider);
        while let Some(request) = metadata.ask() {
            let body = ask(&request, METADATA).map_err(|failure| {
                format!("location=cloud: the cloud's metadata: {failure}; or set location= to the region")
            })?;
            let region = metadata.take(&request, &body).map_err(|why| format!("location=cloud: {why}"))?;
            if let Some(region) = region {
                return Ok(region);
            }
        }
        Err("location=cloud: the cloud's metadata does not say the region: set location= to it".into())
    }

    /// Enters the place into the books, and says what to ask of it. Where its service does not know it, the yearly average
    /// of it counts.
    fn settle(
        seek: Seek,
        told: &str,
        service: Option<(String, ApiCredentials)>,
        shared: &SharedState,
    ) -> Result<Option<Target>, String> {
        let found = (seek == Seek::Address).then(|| ip::take(told.as_bytes())).transpose()?;
        let place = found.as_ref().map_or(RunLocation::Zone(told), RunLocation::Found);
        let zone = found.as_ref().map_or(Some(told.to_owned()), |found| found.zone());
        let target = service.map(|(name, account)| {
            registry::choose(&name, place, account.key())
                .map(|service| target(service, account))
                .map_err(|error| error.message)
        });
        let zone = match &target {
            Some(Ok(target)) => Some(target.service.static_zone()),
            _ => zone,
        };
        let zone = zone.ok_or("location=ip: the place found is in no table: set location=")?;
        let table = zones::yearly(&zone).map_err(|error| error.message)?;
        let how = if seek == Seek::Address { "ip: by its public address" } else { "cloud: by its metadata" };
        shared.say(format!("location={how} this machine is in {zone}; location={zone} says so without asking"));
        shared.books().grid.flat = table;
        if let Seek::Cloud(_) = seek {
            let lacks = shared.books().found_in(told);
            lacks.into_iter().for_each(|words| shared.say(words));
        }
        let Some(target) = target.transpose()? else { return Ok(None) };
        let missing = target.service.missing();
        missing.into_iter().for_each(|missing| shared.say(missing.into()));
        shared.books().grid.hourly = Some(provider::hourly(target.service.as_ref()));
        Ok(Some(target).filter(|_| missing.is_none()))
    }
}
