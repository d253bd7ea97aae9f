//! The folder in which the newest runs are kept. Its file system may not answer, and the program must not wait for it.

use carbontracker::coordination::job;
use carbontracker::os::{self, Promise};
use carbontracker::run_files::config::RunFilesConfig;
use carbontracker::run_files::state_folder::{self, KEPT_RUNS, OTHER_FOLDER};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the folder before the program starts, and for the removal of old runs after its end.
const FOLDER_WAIT: Duration = Duration::from_secs(1);

/// The name of the threads that wait for it.
const THREAD: &str = "ct-kept";

/// Chooses the folder for the files of a run and makes it ready. None: the user has chosen where the files go. The
/// error is a message for the user.
pub fn choose(files: &mut RunFilesConfig) -> Result<Option<PathBuf>, String> {
    if files.log_dir.is_some() || files.is_log_off || files.resume.is_some() {
        return Ok(None);
    }
    let (folder, shown) = (files.state_folder.clone(), files.state_folder.clone().unwrap_or_default());
    let ready = within(FOLDER_WAIT, move || state_folder::prepare(folder.as_deref()).map(Path::to_owned));
    let folder = ready
        .unwrap_or_else(|why| Err(format!("{}: {why}; the run keeps no journal. {OTHER_FOLDER}", shown.display())))?;
    (files.log_dir, files.is_brief) = (Some(folder.clone()), true);
    Ok(Some(folder))
}

/// The removal of old runs, on a thread of its own while the program runs.
pub struct Removal(Arc<Promise<()>>);

impl Removal {
    /// Starts to remove the oldest runs. Of a job, one process does it. None: it is another one, or there is no thread.
    pub fn start(folder: PathBuf) -> Option<Removal> {
        if job::rank(&os::variable).number.unwrap_or(0) != 0 {
            return None;
        }
        // This run is not among those that are counted.
        os::begin(THREAD, move || state_folder::remove_old(&folder, KEPT_RUNS - 1)).ok().map(Removal)
    }

    /// Waits for its end within a time limit. What is left then is removed by a later run.
    pub fn end(self) {
        let _ = self.0.wait(FOLDER_WAIT);
    }
}

/// The result of work on a file system. The error is the reason why there is none.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let result = os::begin(THREAD, work).map_err(|error| format!("no thread can start for it ({error})"))?;
    result.wait(limit).ok_or_else(|| format!("the file system has not answered for {} s", limit.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_that_never_answers_holds_nothing_up() {
        let answers = Arc::new(Promise::<()>::default());
        let of_disk = Arc::clone(&answers);
        assert!(within(Duration::ZERO, move || of_disk.take()).is_err_and(|why| why.contains("not answered")));
        answers.keep(());
        assert_eq!(within(Duration::from_secs(60), || 7), Ok(7));
    }

    #[test]
    fn folder_of_the_user_is_kept() {
        let mut files = RunFilesConfig { log_dir: Some("logs".into()), ..RunFilesConfig::default() };
        assert_eq!(choose(&mut files), Ok(None));
        assert!(!files.is_brief);
        let why = choose(&mut RunFilesConfig::default()).unwrap_err();
        assert!(why.contains("name no folder; the run keeps no journal"), "{why}");
    }
}
