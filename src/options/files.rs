//! Options of the run's files.

use super::key::OptionKey;
use super::value::{put_some, some_text};

pub const KEYS: &[OptionKey] = &[
    OptionKey { name: "log_dir", allowed: "a folder", set: |o, v| put_some(&mut o.files.log_dir, o.folder.path(v)) },
    OptionKey {
        name: "log_prefix",
        allowed: "how file names begin",
        set: |o, v| put_some(&mut o.files.log_prefix, some_text(v)),
    },
    OptionKey {
        name: "resume",
        allowed: "a journal (NAME.jsonl), or a folder of them",
        set: |o, v| put_some(&mut o.files.resume, o.folder.path(v)),
    },
    OptionKey {
        name: "prometheus",
        allowed: "a file (NAME.prom), or a folder for it",
        set: |o, v| put_some(&mut o.files.prometheus, o.folder.path(v)),
    },
];
