//! The thread that asks a live service, round after round, politely: each failure is said once, asked again ever later, and
//! shared with the other ranks of the node. It owns all that it uses, so that whoever started it need not wait for its end.

use super::backoff::{LONGEST_REST_S, LONGEST_RETRY_AFTER_S, RetryPolicy};
use super::node_cache::{CacheEntry, NodeCache};
use crate::carbon::http::client::{self, HttpFailure, HttpLimits};
use crate::carbon::http::proxy::Proxies;
use crate::carbon::http::request::{HttpRequest, Secret};
use crate::carbon::intensity::slot::IntensitySlot;
use crate::carbon::provider::Provider;
use crate::os::worker::{Stop, Worker, WorkerExit};
use crate::os::{self, unix_s};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the user's plan lacks is tried again after this, s.
const OPTIONAL_REST_S: f64 = 6.0 * 3600.0;
/// Where this machine is holds so long, s.
const PLACE_S: f64 = 24.0 * 3600.0;
/// The ranks of a job start at once and are not to ask at once: each waits up to so many s before the first request,
const START_SPREAD_S: f64 = 1.0;
/// and any other wait is longer by up to this share.
const SPREAD: f64 = 0.1;
/// While another rank asks, its answer is looked for after so many s.
const LOOK_S: f64 = 0.25;
/// No round has more requests than this.
const MOST_REQUESTS: usize = 16;
const FAULT: &str = "a fault of ours in asking the live service was contained: it is not asked any more in this run";

/// A service to be asked.
pub struct Target {
    /// What to ask, and what its answers say.
    pub service: Box<dyn Provider>,
    /// Scheme and host: the service's own, or what the user put in their place.
    pub base: String,
    /// The key in its requests; here to tell what was answered to others from what was answered to us.
    pub key: Secret,
}

/// Asks whoever knows where this machine is one thing, for so long at most: what is not there should not be waited for.
pub type Ask<'a> = dyn FnMut(&HttpRequest, Duration) -> Result<Vec<u8>, HttpFailure> + 'a;

/// Asks until it knows a place; Err: why it does not, in words. Called again later if so.
pub type Find = dyn FnMut(&mut Ask<'_>) -> Result<String, String> + Send;

/// The service to ask for a place; None: none, only the place was wanted. Err: what is wrong with it, in words.
pub type Choose = dyn FnOnce(&str) -> Result<Option<Target>, String> + Send;

/// How to find out where this machine is, and what to ask then.
pub struct Lookup {
    /// Tells this look-up from others, as in "ip".
    pub name: &'static str,
    /// Scheme and host of whoever is asked, unless a request names its own.
    pub base: String,
    /// Asks for the place.
    pub find: Box<Find>,
    /// Says what to ask then.
    pub choose: Box<Choose>,
}

/// What is to be found out.
pub enum PollTask {
    /// The grid, of a known service.
    Grid(Target),
    /// First, where this machine is.
    Place(Lookup),
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum PollUpdate {
    /// Where this machine is.
    Place(String),
    /// What a service says of the grid, in no order; some of it may have been said before.
    Slots(Vec<IntensitySlot>),
    /// Why it says nothing, and what a person can do. Said once until it answers again.
    Failed(String),
    /// It answers again.
    Back,
    /// It says all that it must, and not what the user's plan may lack. Said once.
    Lacks(String),
}

/// How to go about it.
pub struct PollConfig {
    /// Where answers are shared; None: nowhere.
    pub folder: Option<PathBuf>,
    /// Of each request to a service.
    pub limits: HttpLimits,
    /// How this node reaches what is not near.
    pub proxies: Proxies,
    /// All waits are multiplied with it: 1, but for tests.
    pub scale: f64,
}

impl Default for PollConfig {
    fn default() -> Self {
        PollConfig {
            folder: Some(crate::carbon::live::node_cache::FOLDER.into()),
            limits: HttpLimits::default(),
            proxies: Proxies::default(),
            scale: 1.0,
        }
    }
}

/// Starts the thread, and nothing else: the first request is its own. `deliver` is called on it; once it is told to end
/// nothing is delivered any more, but for what is under way.
pub fn start(
    aim: PollTask,
    manner: PollConfig,
    deliver: impl FnMut(PollUpdate) + Send + 'static,
) -> io::Result<Worker> {
    let ask = move |stop| {
        let deliver = Box::new(deliver);
        let mut line = Poller { stop, deliver, manner, told: Vec::new(), failures: 0, has_asked: false, outcome: None };
        if catch_unwind(AssertUnwindSafe(|| line.run(aim))).is_err() {
            line.fail(FAULT.into());
        }
    };
    // Its own last words need what it has.
    Worker::start("ct-intensity", WorkerExit::Left, ask, || ())
}

/// What the thread has: the line to whoever listens, and how asking goes.
struct Poller {
    stop: Stop,
    deliver: Box<dyn FnMut(PollUpdate) + Send>,
    manner: PollConfig,
    /// Failures said since the last answer.
    told: Vec<String>,
    /// Failures in a row.
    failures: u32,
    has_asked: bool,
    /// The outcome of the last look, reported after its figures: why it failed, or None where it did not.
    outcome: Option<Option<String>>,
}

impl Poller {
    fn run(&mut self, aim: PollTask) {
        os::widen_affinity();
        let target = match aim {
            PollTask::Grid(target) => Some(target),
            PollTask::Place(lookup) => self.look_up(lookup),
        };
        if let Some(target) = target {
            self.follow(target);
        }
    }

    /// Where this machine is, and the service to ask of it.
    fn look_up(&mut self, lookup: Lookup) -> Option<Target> {
        let Lookup { name, base, mut find, choose } = lookup;
        let cache = self.cache(&["place", name, &base], "");
        while !self.is_stopping() {
            let (entry, rest_s) = self.look(cache.as_ref(), PLACE_S, &mut |line| {
                let mut failure = None;
                let mut ask = |request: &HttpRequest, within: Duration| {
                    let limits = HttpLimits { whole: within, ..HttpLimits::default() };
                    let answer = client::ask(&base, request, &limits, &line.manner.proxies);
                    answer.inspect_err(|why| failure = Some(why.clone()))
                };
                match find(&mut ask) {
                    Ok(place) => (CacheEntry { place: Some(place), ..CacheEntry::default() }, None),
                    Err(words) => (CacheEntry::default(), Some(RetryPolicy { words, failure })),
                }
            });
            self.conclude();
            if let Some(place) = entry.and_then(|entry| entry.place) {
                self.tell(PollUpdate::Place(place.clone()));
                return choose(&place).unwrap_or_else(|words| {
                    self.fail(words);
                    None
                });
            }
            self.rest(rest_s);
        }
        None
    }

    /// Asks a service, round after round.
    fn follow(&mut self, target: Target) {
        let Target { mut service, base, key } = target;
        let cache = self.cache(&["grid", service.name(), &base, &service.zone()], &key.0);
        let fresh_s = service.refresh_s();
        let (mut resting, mut is_lacking_said) = (Vec::new(), false);
        let mut told = None;
        while !self.is_stopping() {
            let (entry, rest_s) =
                self.look(cache.as_ref(), fresh_s, &mut |line| line.round(service.as_mut(), &base, &mut resting));
            if !resting.is_empty() && !std::mem::replace(&mut is_lacking_said, true) {
                self.tell(PollUpdate::Lacks(format!(
                    "{} refuses its forecast, as it does where the key's plan holds none: what is still to come is priced by the typical day",
                    service.name()
                )));
            }
            // Another stamp, be it an earlier one, where the clock was set back.
            if let Some(CacheEntry { fetched: Some(fetched), slots, .. }) = entry
                && told.replace(fetched) != Some(fetched)
            {
                self.tell(PollUpdate::Slots(slots));
            }
            self.conclude();
            self.rest(rest_s);
        }
    }

    /// What there is to know of a question: what another rank or job got not longer than `fresh_s` ago, else what it answers
    /// now, if it may be asked. And for how long to leave it, s.
    fn look(
        &mut self,
        cache: Option<&NodeCache>,
        fresh_s: f64,
        ask: &mut dyn FnMut(&Poller) -> (CacheEntry, Option<RetryPolicy>),
    ) -> (Option<CacheEntry>, f64) {
        let Some(cache) = cache else { return self.ask(None, fresh_s, None, ask) };
        let known = cache.read(unix_s().0);
        if let Some(rest_s) = self.left_s(known.as_ref(), fresh_s) {
            return self.adopt(known, rest_s);
        }
        let Some(_turn) = cache.turn() else { return (known, LOOK_S * (1.0 + random())) };
        // Whoever had the turn has written before letting go of it.
        let known = cache.read(unix_s().0);
        match self.left_s(known.as_ref(), fresh_s) {
            Some(rest_s) => self.adopt(known, rest_s),
            None => self.ask(Some(cache), fresh_s, known, ask),
        }
    }

    /// For how long what others got will do, s; None: it does not.
    fn left_s(&self, known: Option<&CacheEntry>, fresh_s: f64) -> Option<f64> {
        let scale = self.manner.scale;
        let stale = known?.fetched.map_or(0.0, |fetched| fetched + fresh_s * scale);
        let left_s = (stale.max(known?.not_before) - unix_s().0) / scale;
        // A stamp could say anything: nobody waits for longer than a service may make us.
        (left_s > 0.0).then_some(left_s.min(fresh_s.max(LONGEST_RETRY_AFTER_S)))
    }

    /// Takes over what another rank got, or that it got nothing.
    fn adopt(&mut self, known: Option<CacheEntry>, rest_s: f64) -> (Option<CacheEntry>, f64) {
        self.outcome = Some(known.as_ref().and_then(|entry| entry.failed.clone()));
        (known, rest_s * spread())
    }

    /// Asks, and lets others know. What is known so far stays so where there is no answer, and what failed just now for others
    /// has failed for us.
    fn ask(
        &mut self,
        cache: Option<&NodeCache>,
        fresh_s: f64,
        known: Option<CacheEntry>,
        ask: &mut dyn FnMut(&Poller) -> (CacheEntry, Option<RetryPolicy>),
    ) -> (Option<CacheEntry>, f64) {
        if !std::mem::replace(&mut self.has_asked, true) {
            self.rest(START_SPREAD_S * random());
        }
        if self.is_stopping() {
            return (None, 0.0);
        }
        let (answer, trouble) = ask(self);
        if self.is_stopping() {
            return (None, 0.0); // the round was broken off: nobody is to take it for a whole one
        }
        let (wait_s, now_s) = (LONGEST_REST_S * self.manner.scale, unix_s().0);
        let failures =
            known.as_ref().filter(|known| known.not_before + wait_s > now_s).map_or(0, |known| known.failures);
        let has_some = answer.place.is_some() || !answer.slots.is_empty();
        let mut entry =
            if has_some { CacheEntry { fetched: Some(unix_s().0), ..answer } } else { known.unwrap_or_default() };
        let least_s = if has_some { fresh_s } else { 0.0 };
        let rest_s = trouble.as_ref().map_or(fresh_s, |trouble| {
            self.failures = self.failures.max(failures).saturating_add(1);
            trouble.rest_s(self.failures).max(least_s)
        }) * spread();
        entry.not_before = unix_s().0 + rest_s * self.manner.scale;
        entry.failed = trouble.as_ref().map(|trouble| trouble.words.clone());
        entry.failures = if trouble.is_some() { self.failures } else { 0 };
        if let Some(cache) = cache.filter(|_| trouble.as_ref().is_none_or(RetryPolicy::is_for_all)) {
            cache.write(&entry);
        }
        self.outcome = Some(trouble.map(|trouble| trouble.words));
        (Some(entry), rest_s)
    }

    /// One round: all that the service is to be asked, up to the first that fails.
    fn round(
        &self,
        service: &mut dyn Provider,
        base: &str,
        resting: &mut Vec<(u8, Instant)>,
    ) -> (CacheEntry, Option<RetryPolicy>) {
        let mut slots = Vec::new();
        let mut trouble = None;
        resting.retain(|(_, until)| Instant::now() < *until);
        for _ in 0..MOST_REQUESTS {
            let Some(request) = service.next(unix_s().0) else { break };
            // After a failure the service is only led to the end of its round.
            if trouble.is_some() || self.is_stopping() || resting.iter().any(|(answer, _)| *answer == request.answer) {
                continue;
            }
            match client::ask(base, &request, &self.manner.limits, &self.manner.proxies) {
                Ok(body) => match service.take(&request, &body) {
                    Ok(more) => slots.extend(more),
                    Err(words) => {
                        trouble = Some(RetryPolicy { words: format!("{}: {words}", service.name()), failure: None })
                    }
                },
                Err(HttpFailure::Status { code: 401 | 403 | 404, .. }) if request.is_optional => {
                    resting.push((request.answer, Instant::now() + scaled(OPTIONAL_REST_S, self.manner.scale)));
                }
                Err(failure) => trouble = Some(RetryPolicy::of(service, failure)),
            }
        }
        // Else nobody would ever say why the yearly average counts.
        let nothing = || {
            let words = format!("{}: it answers, but has no figures for {} at present", service.name(), service.zone());
            RetryPolicy { words, failure: None }
        };
        let trouble = trouble.or_else(|| slots.is_empty().then(nothing));
        (CacheEntry { slots, ..CacheEntry::default() }, trouble)
    }

    /// What fails without a proxy may not by one, so that is another question.
    fn cache(&self, question: &[&str], key: &str) -> Option<NodeCache> {
        let proxy = self.manner.proxies.name();
        self.manner.folder.as_ref().map(|folder| NodeCache::new(folder, &[question, &[proxy]].concat(), key))
    }

    fn is_stopping(&self) -> bool {
        self.stop.is_set()
    }

    fn tell(&mut self, news: PollUpdate) {
        if !self.is_stopping() {
            (self.deliver)(news);
        }
    }

    /// Reports the outcome of the last look. Its figures are with the listener by now: the message names what prices the run.
    fn conclude(&mut self) {
        match self.outcome.take() {
            Some(Some(words)) => self.fail(words),
            Some(None) => self.succeed(),
            None => (),
        }
    }

    fn fail(&mut self, words: String) {
        if !self.told.contains(&words) {
            self.told.push(words.clone());
            self.tell(PollUpdate::Failed(words));
        }
    }

    fn succeed(&mut self) {
        self.failures = 0;
        if !std::mem::take(&mut self.told).is_empty() {
            self.tell(PollUpdate::Back);
        }
    }

    /// Sleeps, unless told to end.
    fn rest(&self, seconds: f64) {
        self.stop.rest(scaled(seconds, self.manner.scale));
    }
}

fn scaled(seconds: f64, scale: f64) -> Duration {
    Duration::try_from_secs_f64((seconds * scale).min(7.0 * 24.0 * 3600.0)).unwrap_or_default()
}

/// From 0 to 1.
fn random() -> f64 {
    os::random_u64() as f64 / u64::MAX as f64
}

fn spread() -> f64 {
    1.0 + SPREAD * random()
}
