//! Feeds any input to the parsers and the C functions, and checks what must hold for each.
//!
//! Each target is a module with one function, `check`. `cargo fuzz` calls it with inputs that libFuzzer finds. The test
//! program in `tests/fuzz` calls it with the seeds in `fuzz/corpus` and with mutations of them.

// Text from outside becomes a number, a report or a refusal in words.
pub mod csv;
pub mod journal;
pub mod logs;
pub mod options;
pub mod pointer;
pub mod service;
pub mod sysfs;

// Calls of the C functions in any order.
pub mod calls;

pub mod mutate;
pub mod replay;
mod run;
mod sound;

/// The C functions, compiled from their own files: the crate `capi` makes no library that Rust can link.
#[path = "../../capi/src/lib.rs"]
#[allow(missing_docs)]
pub mod capi;

/// The terminal, which [`import`] needs.
#[path = "../../cli/src/console.rs"]
pub mod console;

/// The import of Carbontracker's logs, compiled from the command's own files: the command is no library.
#[path = "../../cli/src/import/mod.rs"]
#[allow(missing_docs)]
pub mod import;

/// One kind of input.
pub struct Target {
    /// The name of the target, and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Checks one input. It panics if something does not hold.
    pub check: fn(&[u8]),
    /// Files in `tests/fixtures` that are seeds too: a folder, and the ending of the names.
    pub fixtures: &'static [(&'static str, &'static str)],
    /// Texts that the mutator inserts.
    pub tokens: &'static [&'static str],
    /// Mutated inputs in a usual test.
    pub runs: u64,
}

/// All targets.
pub const TARGETS: [Target; 8] = [
    options::TARGET,
    pointer::TARGET,
    journal::TARGET,
    csv::TARGET,
    logs::TARGET,
    service::TARGET,
    sysfs::TARGET,
    calls::TARGET,
];
