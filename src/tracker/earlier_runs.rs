//! Reads the earlier runs of the same name on a thread of its own, and hands them to the forecast.
//!
//! No thread waits for it at the start or at the end, because a shared disk may be slow.

use crate::coordination::job::Rank;
use crate::error::THREAD_FIX;
use crate::forecast::history::{EarlierRun, History};
use crate::os::worker::{Stop, Worker, WorkerExit};
use crate::os::{OwnTable, Thread};
use crate::run_files::config::{HistoryOption, RunFilesConfig};
use crate::run_files::history::{self, HistoryRequest, PastRun, RankChoice, USEFUL_RUNS};
use crate::run_files::paths::{JOURNAL, RunPaths, name_part};
use crate::run_files::run_identity::{self, RunIdentity};
use crate::state::EarlierRuns;
use crate::state::shared::SharedState;
use std::path::Path;
use std::sync::Arc;

/// The most processes of a job that read the folder of their files by default.
const MAX_PROCESSES: u64 = 64;

/// The message after a panic of the thread.
const FAULT: &str =
    "internal error: earlier runs are not read; the forecast begins without them; please report this bug";

/// The earlier runs that a run looks for; None: none are wanted, or there is no folder. `as_set` names an option as the
/// user set it. Messages for the user go to `notify`.
///
/// Runs without a label are alike only if they share the folder. A process of a job of several does not read the folder
/// of `carbontracker run`, and one of a large job reads no folder by default: thousands would list a shared folder of
/// thousands of files at once.
pub fn request(
    options: &RunFilesConfig,
    run: &RunIdentity,
    rank: Rank,
    as_set: impl Fn(String) -> String,
    notify: impl FnOnce(String),
) -> Option<HistoryRequest> {
    let paths = run.plan.as_ref().and_then(|plan| plan.paths.as_ref());
    let own = paths.map(RunPaths::folder);
    let is_own = |folder: &Path| own.is_some_and(|own| run_identity::is_same(own, folder));
    let (folders, named) = match &options.history {
        HistoryOption::Off => return None,
        HistoryOption::OwnFolder if processes(rank) > MAX_PROCESSES => return None,
        HistoryOption::OwnFolder => {
            let is_alone = run.name.is_some() && processes(rank) <= 1;
            let kept = options.state_folder.as_deref().filter(|kept| is_alone && !is_own(kept));
            (own.into_iter().chain(kept).map(Path::to_owned).collect(), None)
        }
        HistoryOption::Folder(folder) => {
            let named = as_set(format!("history={}", folder.display()));
            if run.name.is_none() && !is_own(folder) {
                notify(format!(
                    "{named}: this run has no name; the forecast begins without earlier runs; set name= to that of the runs there"
                ));
                return None;
            }
            (vec![folder.clone()], Some(named))
        }
    };
    (!folders.is_empty()).then(|| HistoryRequest {
        folders,
        named,
        prefix: name_part(run_identity::prefix(options, &run.name)),
        name: run.name.clone(),
        rank: RankChoice::Of(rank.number),
        id: run.id.clone(),
        journal: paths.map(|paths| paths.file(JOURNAL)),
        processes: rank.of.unwrap_or(1),
        most: USEFUL_RUNS,
        with_power: false,
    })
}

/// The number of processes of the job, as far as the rank shows it.
fn processes(rank: Rank) -> u64 {
    rank.of.or(rank.number.map(|number| number.saturating_add(1))).unwrap_or(1)
}

/// Starts the thread. If it cannot start, a message reports it and the run continues.
pub fn start(
    request: HistoryRequest,
    shared: &Arc<SharedState>,
    table: Arc<OwnTable>,
    sampler: Thread,
) -> Option<Worker> {
    let (of_thread, of_failure) = (Arc::clone(shared), Arc::clone(shared));
    shared.expect_history();
    let read = move |stop: Stop| {
        let found = history::read(&request, &|| stop.is_set());
        if request.named.is_some() && found.runs.is_empty() && found.messages.is_empty() && !stop.is_set() {
            let none = request.none_found();
            of_thread
                .queue_message(format!("{none}; the forecast begins without earlier runs; check name= and the folder"));
        }
        found.messages.into_iter().for_each(|message| of_thread.queue_message(message));
        of_thread.take_history(prepared(&request, &found.runs));
        sampler.unpark();
        drop(table);
    };
    let failed = move || {
        of_failure.queue_message(FAULT.into());
        of_failure.take_history(None);
    };
    let worker = Worker::start("ct-history", WorkerExit::Left, read, failed);
    let worker = worker.inspect_err(|error| {
        shared.take_history(None);
        shared.queue_message(format!(
            "the thread that reads earlier runs cannot start ({error}); the forecast begins without them; {THREAD_FIX}"
        ));
    });
    worker.ok()
}

/// The runs as the forecast takes them; None: there are none.
fn prepared(request: &HistoryRequest, runs: &[PastRun]) -> Option<(History, EarlierRuns)> {
    let newest = runs.last()?;
    let earlier: Vec<EarlierRun> = runs.iter().map(|past| past.run.clone()).collect();
    let history = History::new(&earlier);
    let started = Some(newest.label.started.clone()).filter(|started| !started.is_empty());
    let named = EarlierRuns { name: request.name.clone(), newest: started };
    (!history.is_empty()).then_some((history, named))
}
