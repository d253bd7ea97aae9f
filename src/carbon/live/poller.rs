//! The polling thread of a live provider. Each failure is reported once, retried with a growing delay, and shared with
//! the other ranks of the node. The thread owns all that it uses, so that no caller waits for its end.

use super::backoff::{MAX_DELAY_S, MAX_RETRY_AFTER_S, RetryPolicy};
use super::node_cache::{CacheEntry, NodeCache};
use crate::carbon::http::client::{self, HttpLimits};
use crate::carbon::http::failure::HttpFailure;
use crate::carbon::http::proxy::Proxies;
use crate::carbon::http::request::{HttpRequest, Secret};
use crate::carbon::intensity::slot::IntensitySlot;
use crate::carbon::provider::Provider;
use crate::os::disk;
use crate::os::worker::{Stop, Worker, WorkerExit};
use crate::os::{self, Instant, unix_s};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

/// Delay before a request that the user's plan does not include is repeated, s.
const OPTIONAL_DELAY_S: f64 = 6.0 * 3600.0;
/// Lifetime of a location that was looked up, s.
const LOCATION_LIFETIME_S: f64 = 24.0 * 3600.0;
/// Longest random delay before the first request, s. It spreads the ranks of a job, which start at once.
const START_SPREAD_S: f64 = 1.0;
/// Largest random extension of any other delay, as a share.
const DELAY_SPREAD: f64 = 0.1;
/// Interval at which the cache is read while another rank sends the request, s.
const CACHE_LOOK_S: f64 = 0.25;
/// Largest number of requests in a round.
const MAX_ROUND_REQUESTS: usize = 16;
const FAULT: &str = "internal error: the live service is not polled any more in this run; please report this bug";

/// A provider to poll.
pub struct Target {
    /// Makes the requests and parses the answers.
    pub provider: Box<dyn Provider>,
    /// Scheme and host: the provider's own, or the user's replacement.
    pub base: String,
    /// The key in its requests. It separates the cached answers to different keys.
    pub key: Secret,
}

/// Sends one request of a location look-up, within this time.
pub type Ask<'a> = dyn FnMut(&HttpRequest, Duration) -> Result<Vec<u8>, HttpFailure> + 'a;

/// Looks up a location. Errors: the message for the user. It is called again after an error.
pub type Find = dyn FnMut(&mut Ask<'_>) -> Result<String, String> + Send;

/// Chooses the provider for a location. None: only the location was needed. Errors: the message for the user.
pub type Choose = dyn FnOnce(&str) -> Result<Option<Target>, String> + Send;

/// A look-up of this machine's location, and the provider for it.
pub struct Lookup {
    /// Name of the look-up in the cache, such as "ip".
    pub name: &'static str,
    /// Scheme and host of the requests that name no other.
    pub base: String,
    /// Looks up the location.
    pub find: Box<Find>,
    /// Chooses the provider for the location.
    pub choose: Box<Choose>,
}

/// What the thread polls.
pub enum PollTask {
    /// A known provider.
    Grid(Target),
    /// A look-up of the location, then the provider for it.
    Location(Lookup),
}

/// An update from the polling thread.
#[derive(Clone, Debug, PartialEq)]
pub enum PollUpdate {
    /// Figures, in any order. Some may have come before.
    Slots(Vec<IntensitySlot>),
    /// A failure: what happened and what to do. It is reported once until an answer comes.
    Failed(String),
    /// Answers come again.
    Back,
    /// The provider answers all but what the user's plan does not include. Reported once.
    Lacks(String),
}

/// Settings of the polling thread.
pub struct PollConfig {
    /// Folder of the shared cache. None: no cache.
    pub folder: Option<PathBuf>,
    /// Limits of each request.
    pub limits: HttpLimits,
    /// The proxies of this node.
    pub proxies: Proxies,
    /// Factor of all delays: 1, except in tests.
    pub scale: f64,
}

impl Default for PollConfig {
    fn default() -> Self {
        PollConfig {
            folder: Some(disk::memory_folder()),
            limits: HttpLimits::default(),
            proxies: Proxies::default(),
            scale: 1.0,
        }
    }
}

/// Starts the thread. It sends the first request itself. `deliver` is called on it. After a stop only the call in
/// progress finishes.
pub fn start(
    task: PollTask,
    config: PollConfig,
    deliver: impl FnMut(PollUpdate) + Send + 'static,
) -> io::Result<Worker> {
    let ask = move |stop| {
        let deliver = Box::new(deliver);
        let mut poller =
            Poller { stop, deliver, config, reported: Vec::new(), failures: 0, has_asked: false, outcome: None };
        if catch_unwind(AssertUnwindSafe(|| poller.run(task))).is_err() {
            poller.fail(FAULT.into());
        }
    };
    // The closure reports its own panic, so the worker needs no handler.
    Worker::start("ct-intensity", WorkerExit::Left, ask, || ())
}

/// State of the polling thread.
struct Poller {
    stop: Stop,
    deliver: Box<dyn FnMut(PollUpdate) + Send>,
    config: PollConfig,
    /// Failures reported since the last answer.
    reported: Vec<String>,
    /// Failures in a row.
    failures: u32,
    has_asked: bool,
    /// Outcome of the last look, reported after its figures. The inner value is the failure's message, or None after
    /// success.
    outcome: Option<Option<String>>,
}

impl Poller {
    fn run(&mut self, task: PollTask) {
        os::widen_affinity();
        let target = match task {
            PollTask::Grid(target) => Some(target),
            PollTask::Location(lookup) => self.look_up(lookup),
        };
        if let Some(target) = target {
            self.follow(target);
        }
    }

    /// Looks up the location, then chooses the provider for it.
    fn look_up(&mut self, lookup: Lookup) -> Option<Target> {
        let Lookup { name, base, mut find, choose } = lookup;
        let cache = self.cache(&["place", name, &base], "");
        while !self.is_stopping() {
            let (entry, delay_s) = self.look(cache.as_ref(), LOCATION_LIFETIME_S, &mut |poller| {
                let mut failure = None;
                let mut ask = |request: &HttpRequest, within: Duration| {
                    let limits = HttpLimits { whole: within, ..HttpLimits::default() };
                    let answer = client::ask(&base, request, &limits, &poller.config.proxies);
                    answer.inspect_err(|why| failure = Some(why.clone()))
                };
                match find(&mut ask) {
                    Ok(location) => (CacheEntry { location: Some(location), ..CacheEntry::default() }, None),
                    Err(words) => (CacheEntry::default(), Some(RetryPolicy { words, failure })),
                }
            });
            self.conclude();
            if let Some(location) = entry.and_then(|entry| entry.location) {
                return choose(&location).unwrap_or_else(|words| {
                    self.fail(words);
                    None
                });
            }
            self.rest(delay_s);
        }
        None
    }

    /// Polls a provider until the thread is stopped.
    fn follow(&mut self, target: Target) {
        let Target { mut provider, base, key } = target;
        let cache = self.cache(&["grid", provider.name(), &base, &provider.zone()], &key.0);
        let fresh_s = provider.refresh_s();
        let mut resting = Vec::new();
        let mut is_lack_reported = false;
        let mut delivered = None;
        while !self.is_stopping() {
            let (entry, delay_s) =
                self.look(cache.as_ref(), fresh_s, &mut |poller| poller.round(provider.as_mut(), &base, &mut resting));
            if !resting.is_empty() && !is_lack_reported {
                is_lack_reported = true;
                self.deliver(PollUpdate::Lacks(format!(
                    "{} refuses its forecast: the key's plan may not include it; future hours use the typical day; choose another plan or intensity= for a forecast",
                    provider.name()
                )));
            }
            // A new stamp may be earlier than the last, if the clock was set back.
            if let Some(CacheEntry { fetched: Some(fetched), slots, .. }) = entry {
                if delivered.replace(fetched) != Some(fetched) {
                    self.deliver(PollUpdate::Slots(slots));
                }
            }
            self.conclude();
            self.rest(delay_s);
        }
    }

    /// The result of a request: from the cache if it is at most `fresh_s` old, else from the provider. Also the delay
    /// before the next look, s.
    fn look(
        &mut self,
        cache: Option<&NodeCache>,
        fresh_s: f64,
        ask: &mut dyn FnMut(&Poller) -> (CacheEntry, Option<RetryPolicy>),
    ) -> (Option<CacheEntry>, f64) {
        let Some(cache) = cache else { return self.ask(None, fresh_s, None, ask) };
        let known = cache.read(unix_s().0);
        if let Some(delay_s) = self.valid_s(known.as_ref(), fresh_s) {
            return self.adopt(known, delay_s);
        }
        let Some(_lock) = cache.lock() else { return (known, CACHE_LOOK_S * (1.0 + random())) };
        // The last holder of the lock wrote its result before it released the lock.
        let known = cache.read(unix_s().0);
        match self.valid_s(known.as_ref(), fresh_s) {
            Some(delay_s) => self.adopt(known, delay_s),
            None => self.ask(Some(cache), fresh_s, known, ask),
        }
    }

    /// Time for which a cached result is still valid, s. None: it is not valid.
    fn valid_s(&self, known: Option<&CacheEntry>, fresh_s: f64) -> Option<f64> {
        let scale = self.config.scale;
        let stale = known?.fetched.map_or(0.0, |fetched| fetched + fresh_s * scale);
        let valid_s = (stale.max(known?.not_before) - unix_s().0) / scale;
        // A wrong stamp cannot extend the delay beyond the largest `Retry-After`.
        (valid_s > 0.0).then_some(valid_s.min(fresh_s.max(MAX_RETRY_AFTER_S)))
    }

    /// Uses another rank's result or failure.
    fn adopt(&mut self, known: Option<CacheEntry>, delay_s: f64) -> (Option<CacheEntry>, f64) {
        self.outcome = Some(known.as_ref().and_then(|entry| entry.failed.clone()));
        (known, delay_s * spread())
    }

    /// Sends the requests and shares the result. Without an answer the known figures are kept. Recent failures of other
    /// processes count as own ones.
    fn ask(
        &mut self,
        cache: Option<&NodeCache>,
        fresh_s: f64,
        known: Option<CacheEntry>,
        ask: &mut dyn FnMut(&Poller) -> (CacheEntry, Option<RetryPolicy>),
    ) -> (Option<CacheEntry>, f64) {
        if !self.has_asked {
            self.has_asked = true;
            self.rest(START_SPREAD_S * random());
        }
        if self.is_stopping() {
            return (None, 0.0);
        }
        let (answer, failure) = ask(self);
        if self.is_stopping() {
            return (None, 0.0); // the round was interrupted and its result is incomplete
        }
        let now_s = unix_s().0;
        let wait_s = MAX_DELAY_S * self.config.scale;
        let failures =
            known.as_ref().filter(|known| known.not_before + wait_s > now_s).map_or(0, |known| known.failures);
        let has_some = answer.location.is_some() || !answer.slots.is_empty();
        let mut entry =
            if has_some { CacheEntry { fetched: Some(unix_s().0), ..answer } } else { known.unwrap_or_default() };
        let least_s = if has_some { fresh_s } else { 0.0 };
        let delay_s = failure.as_ref().map_or(fresh_s, |failure| {
            self.failures = self.failures.max(failures).saturating_add(1);
            failure.delay_s(self.failures).max(least_s)
        }) * spread();
        entry.not_before = unix_s().0 + delay_s * self.config.scale;
        entry.failed = failure.as_ref().map(|failure| failure.words.clone());
        entry.failures = if failure.is_some() { self.failures } else { 0 };
        if let Some(cache) = cache.filter(|_| failure.as_ref().is_none_or(RetryPolicy::is_for_all)) {
            cache.write(&entry);
        }
        self.outcome = Some(failure.map(|failure| failure.words));
        (Some(entry), delay_s)
    }

    /// One round: all requests of the provider, up to the first failure.
    fn round(
        &self,
        provider: &mut dyn Provider,
        base: &str,
        resting: &mut Vec<(u8, Instant)>,
    ) -> (CacheEntry, Option<RetryPolicy>) {
        let mut slots = Vec::new();
        let mut policy = None;
        resting.retain(|(_, until)| Instant::now() < *until);
        for _ in 0..MAX_ROUND_REQUESTS {
            let Some(request) = provider.next(unix_s().0) else { break };
            // After a failure the provider only finishes its round, without requests.
            if policy.is_some() || self.is_stopping() || resting.iter().any(|(answer, _)| *answer == request.answer) {
                continue;
            }
            match client::ask(base, &request, &self.config.limits, &self.config.proxies) {
                Ok(body) => match provider.take(&request, &body) {
                    Ok(more) => slots.extend(more),
                    Err(words) => {
                        policy = Some(RetryPolicy { words: format!("{}: {words}", provider.name()), failure: None })
                    }
                },
                Err(HttpFailure::Status { code: 401 | 403 | 404, .. }) if request.is_optional => {
                    resting.push((request.answer, Instant::now() + scaled(OPTIONAL_DELAY_S, self.config.scale)));
                }
                Err(failure) => policy = Some(RetryPolicy::of(provider, failure)),
            }
        }
        // Without this failure no message would explain the yearly average.
        let nothing = || {
            let words = format!(
                "{}: it answers, but has no figures for {} at present; it is retried",
                provider.name(),
                provider.zone()
            );
            RetryPolicy { words, failure: None }
        };
        let policy = policy.or_else(|| slots.is_empty().then(nothing));
        (CacheEntry { slots, ..CacheEntry::default() }, policy)
    }

    /// The cache of a request. A request by a proxy has its own, because it may fail where another does not.
    fn cache(&self, request: &[&str], key: &str) -> Option<NodeCache> {
        let proxy = self.config.proxies.name();
        self.config.folder.as_ref().map(|folder| NodeCache::new(folder, &[request, &[proxy]].concat(), key))
    }

    fn is_stopping(&self) -> bool {
        self.stop.is_set()
    }

    fn deliver(&mut self, update: PollUpdate) {
        if !self.is_stopping() {
            (self.deliver)(update);
        }
    }

    /// Reports the outcome of the last look. Its figures are delivered before, because the message names the figures in
    /// use.
    fn conclude(&mut self) {
        match self.outcome.take() {
            Some(Some(words)) => self.fail(words),
            Some(None) => self.succeed(),
            None => (),
        }
    }

    fn fail(&mut self, words: String) {
        if !self.reported.contains(&words) {
            self.reported.push(words.clone());
            self.deliver(PollUpdate::Failed(words));
        }
    }

    fn succeed(&mut self) {
        self.failures = 0;
        if !std::mem::take(&mut self.reported).is_empty() {
            self.deliver(PollUpdate::Back);
        }
    }

    /// Sleeps until the time is over or the thread is stopped.
    fn rest(&self, seconds: f64) {
        self.stop.rest(scaled(seconds, self.config.scale));
    }
}

fn scaled(seconds: f64, scale: f64) -> Duration {
    Duration::try_from_secs_f64((seconds * scale).min(7.0 * 24.0 * 3600.0)).unwrap_or_default()
}

/// A random number, 0 to 1.
fn random() -> f64 {
    os::random_u64() as f64 / u64::MAX as f64
}

fn spread() -> f64 {
    1.0 + DELAY_SPREAD * random()
}
