//! The working directory while the options are read. The application may change it later.

use super::value::some_text;
use crate::error::{Error, Result, Status};
use std::path::PathBuf;

/// The folder that relative paths begin at.
#[derive(Clone, Debug)]
pub struct WorkingFolder {
    folder: Option<PathBuf>,
    /// Why the folder is unknown.
    why: String,
    /// Whether a relative path needs the folder, and it is unknown.
    is_missed: bool,
}

impl WorkingFolder {
    /// The process's working directory.
    pub fn current() -> WorkingFolder {
        match std::env::current_dir() {
            Ok(folder) => WorkingFolder { folder: Some(folder), why: String::new(), is_missed: false },
            Err(error) => WorkingFolder { folder: None, why: error.to_string(), is_missed: false },
        }
    }

    /// The folder; None: it is unknown.
    pub fn folder(&self) -> Option<PathBuf> {
        self.folder.clone()
    }

    /// Makes a path absolute. A slash at its end is kept, because it marks a folder. None: the path is empty.
    pub fn path(&mut self, value: &str) -> Option<PathBuf> {
        let path = PathBuf::from(some_text(value)?);
        self.is_missed |= path.is_relative() && self.folder.is_none();
        let whole = self.folder.as_ref().map_or(path.clone(), |folder| folder.join(&path));
        let whole = std::path::absolute(&whole).unwrap_or(whole);
        Some(if value.ends_with('/') { whole.join("") } else { whole })
    }

    /// Fails with CT_EIO if a relative path could not be made absolute.
    pub fn check(&self) -> Result<()> {
        if !self.is_missed {
            return Ok(());
        }
        let words = format!(
            "the working directory is unknown ({}); relative paths cannot be resolved; give paths that begin with /",
            self.why
        );
        Err(Error::new(Status::CT_EIO, words))
    }
}
