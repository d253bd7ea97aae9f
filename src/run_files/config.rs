//! What the options choose for the run's files.

use std::path::PathBuf;

/// The run's label, and the files that it writes or continues. All paths are absolute.
#[derive(Clone, Debug, Default)]
pub struct RunFilesConfig {
    /// The run's label.
    pub name: Option<String>,
    /// Folder for the run's files; None: no journal and no log.
    pub log_dir: Option<PathBuf>,
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
