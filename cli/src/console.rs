//! The terminal: messages to standard error, results to standard output.

use carbontracker::sanitize;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit status for wrong arguments.
pub const WRONG_ARGUMENTS: u8 = 2;

/// The result of a subcommand: its exit status, or why it failed.
pub type Done = Result<ExitCode, String>;

/// Writes an error message to standard error, harmless to a terminal whatever it quotes. The reader may be gone, where
/// eprintln! would panic.
pub fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "carbontracker: {}", sanitize::text(message));
}

/// Reports wrong arguments.
pub fn refuse(message: &str) -> Done {
    complain(message);
    Ok(ExitCode::from(WRONG_ARGUMENTS))
}

/// Prints to standard output, whose reader may stop reading.
pub fn print(text: &str) -> Done {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(ExitCode::SUCCESS),
    }
}
