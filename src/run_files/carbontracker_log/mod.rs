//! Logs in the form of Carbontracker for Python.
//!
//! In: the run's report. Out: lines of its two log files. Never: it reads no such log; the command's import does.

pub mod format;
pub mod writer;
