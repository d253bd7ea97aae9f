//! The version of the command.

use crate::console::{Done, print};

/// Print the version, as --version does
#[derive(clap::Args)]
#[command(after_help = "Exit status: 0 done, 2 wrong arguments.")]
pub struct VersionArgs {}

impl VersionArgs {
    /// Prints the version.
    pub fn call(self) -> Done {
        print(concat!("carbontracker ", env!("CARGO_PKG_VERSION"), "\n"))
    }
}
