//! The newest run, where subcommands look without an argument: in `CARBONTRACKER_LOG_DIR`, else where `run` keeps runs.

use crate::console::{Done, print};
use crate::report_files::{self, Unread};
use crate::run::summary::brief;
use crate::watch::run_files::WatchedFiles;
use carbontracker::report::ranks;
use carbontracker::run_files::paths::started_in;
use serde_json::Value;
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Show the report of the newest run again
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct LastArgs {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
The newest run is the one that began last, also if it still runs or was killed. Of two that began in the same second, it
is the one that was written to later. The ranks of a job are one run. It is looked for in the folder of
CARBONTRACKER_LOG_DIR; without this variable, in the folder where 'run' keeps its newest 100 runs. 'carbontracker watch'
and 'carbontracker report' without an argument take the newest run too.

A program that calls the library itself keeps its run only if CARBONTRACKER_LOG_DIR or its option log_dir= names a folder.

Exit status: 0 done; 1 there is no run; 2 wrong arguments.";

impl LastArgs {
    /// Prints the report.
    pub fn call(self) -> Done {
        let run = newest(&report_files::default_folder()?)?;
        // If the program ended early by itself, a note of the report has what that saved.
        print(&if self.json { format!("{}\n", run.report) } else { brief(&run.report, false) })
    }
}

/// A run, and its files.
pub struct NewestRun {
    /// Its report. That of a job is merged from those of its ranks.
    pub report: Value,
    /// Its files, one for each rank.
    pub files: Vec<PathBuf>,
}

/// The run of a folder that began last.
pub fn newest(folder: &Path) -> Result<NewestRun, String> {
    let none =
        |why: &str| format!("{}: {why}; nothing is shown; 'carbontracker run -- CMD' leaves a run", folder.display());
    if !folder.is_dir() {
        return Err(none("there is no such folder"));
    }
    let mut files = report_files::of_folder(folder)?;
    files.sort_by_cached_key(|file| Reverse(age(file)));
    let (mut known, mut broken) = (WatchedFiles::default(), None);
    for file in files {
        match known.load(&file) {
            Ok(_) => {
                let files = known.job_of(folder, &file)?;
                let reports: Vec<&Value> = files.iter().filter_map(|file| Some(&known.get(file)?.report)).collect();
                let report = if let [one] = reports.as_slice() { (*one).clone() } else { ranks::merged(&reports) };
                return Ok(NewestRun { report, files });
            }
            // The folder may hold other runs.
            Err(Unread::Broken(why)) => drop(broken.get_or_insert(why)),
            Err(Unread::Foreign) => (),
        }
    }
    Err(broken.unwrap_or_else(|| none("no run is in it")))
}

/// What orders runs by their age: when a run began, by its file's name, or else when the file was changed. Names have
/// whole seconds. Of two runs of one second, the one that was written to later is newer.
fn age(file: &Path) -> (SystemTime, SystemTime, PathBuf) {
    let by_name = file.file_stem().and_then(|stem| started_in(&stem.to_string_lossy()));
    let changed = file.metadata().and_then(|there| there.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    (by_name.unwrap_or(changed), changed, file.to_owned())
}
