//! What the options choose for the run's files.

use std::path::PathBuf;

/// The run's label, and the files that it writes or continues. All paths are absolute.
#[derive(Clone, Debug, Default)]
pub struct RunFilesConfig {
    /// The run's label.
    pub name: Option<String>,
    /// Folder for the run's files; None: no journal and no log.
    pub log_dir: Option<PathBuf>,
    /// Whether the user wants no files (`log_dir=off`), where a program would write some by default.
    pub is_log_off: bool,
    /// Whether the folder gets only the journal and the report: it is one that the user did not name.
    pub is_brief: bool,
    /// The folder in which `carbontracker run` keeps its newest runs; None: the environment names no folder.
    pub state_folder: Option<PathBuf>,
    /// How the names of the files begin; None: with `name`, else with "run".
    pub log_prefix: Option<String>,
    /// Journal of the run to continue, or a folder of journals.
    pub resume: Option<PathBuf>,
    /// Text file for Prometheus, or a folder for it.
    pub prometheus: Option<PathBuf>,
    /// Where earlier runs are.
    pub history: HistoryOption,
}

/// The option `history`: the folder with the files of earlier runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum HistoryOption {
    /// The folder of the run's own files.
    #[default]
    OwnFolder,
    /// No earlier run is read.
    Off,
    /// This folder.
    Folder(PathBuf),
}
