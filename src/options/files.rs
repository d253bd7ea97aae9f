//! Options of the run's files.

use super::key::{OptionKey, key};
use super::value::{put, put_some, some_text};
use crate::run_files::config::HistoryOption;

pub const KEYS: &[OptionKey] = &[
    key(
        "log_dir",
        "off, or a folder for the run's files",
        "none; carbontracker run keeps its newest runs",
        "folder of the run's files, made if missing",
        |o, v| {
            o.files.is_log_off = v == "off";
            let folder = if o.files.is_log_off { Some(None) } else { o.folder.path(v).map(Some) };
            put(&mut o.files.log_dir, folder)
        },
    ),
    key("log_prefix", "how file names begin", "name, else run", "how the names of the files begin", |o, v| {
        put_some(&mut o.files.log_prefix, some_text(v))
    }),
    key("resume", "a journal (NAME.jsonl), or a folder of them", "none", "a run to continue", |o, v| {
        put_some(&mut o.files.resume, o.folder.path(v))
    }),
    key("prometheus", "a file (NAME.prom), or a folder for it", "in log_dir", "text file for node_exporter", |o, v| {
        put_some(&mut o.files.prometheus, o.folder.path(v))
    }),
    key(
        "history",
        "off, or a folder with the files of earlier runs",
        "the folder of the run's files, and that of carbontracker run",
        "earlier runs of the same name, for the forecast",
        |o, v| {
            let folder =
                if v == "off" { Some(HistoryOption::Off) } else { o.folder.path(v).map(HistoryOption::Folder) };
            put(&mut o.files.history, folder)
        },
    ),
];
