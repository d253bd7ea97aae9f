//! Logs in the format of Carbontracker for Python.
//!
//! In: the run's report. Out: lines of the two log files. Never: it reads such a log; the command's import does.

pub mod format;
pub mod writer;
