//! Background updates of carbon intensity: a file that is read again. `live.rs` polls a live provider.
//!
//! Each feed has a thread of its own. It writes new figures into the run's state and queues messages. No thread waits
//! for it at the end, because it may wait for a network.

use crate::carbon::intensity::slot::IntensitySlot;
use crate::carbon::intensity::{Hourly, Intensity, csv_file};
use crate::carbon::select::Feed;
use crate::error::THREAD_FIX;
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
                shared.queue_message(format!("the thread for carbon intensity cannot start ({error}); CO2e uses the figures known now; {THREAD_FIX}"));
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
mod live;
