//! The terminal: messages to standard error, results to standard output.

use ::console::{Style, Term};
use carbontracker::sanitize;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit status for wrong arguments.
pub const WRONG_ARGUMENTS: u8 = 2;

/// The result of a subcommand: its exit status, or the reason for its failure.
pub type Done = Result<ExitCode, String>;

/// Writes an error message to standard error, without control characters. It does not panic if nothing reads standard
/// error any more, unlike `eprintln!`.
pub fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "carbontracker: {}", sanitize::text(message));
}

/// Writes the message about a failure, which ends the command. On a terminal it begins in red.
pub fn fail(message: &str) {
    if !Term::stderr().features().colors_supported() {
        return complain(message);
    }
    let name = Style::new().red().bold().force_styling(true).apply_to("carbontracker:");
    let _ = writeln!(io::stderr(), "{name} {}", sanitize::text(message));
}

/// Reports wrong arguments. Returns their exit status.
pub fn refuse(message: &str) -> Done {
    fail(message);
    Ok(ExitCode::from(WRONG_ARGUMENTS))
}

/// Prints to standard output. A reader that stops early is no error.
pub fn print(text: &str) -> Done {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(ExitCode::SUCCESS),
    }
}
