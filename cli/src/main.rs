//! The command line: a file a subcommand. Each is a struct of arguments, whose doc comments are its help, and `call`.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod aggregate;
mod completion;
mod console;
mod doctor;
mod forecast;
mod import;
mod man;
mod option_args;
mod python;
mod report;
mod report_files;
mod run;
mod watch;

use crate::console::{WRONG_ARGUMENTS, complain, print};
use carbontracker::os::memory::Allocator;
use carbontracker::sanitize;
use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Keeps a reserve for the moments when the system has no memory left, as the library does.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Measures, forecasts and prices the energy of programs: training loops, time loops, builds
#[derive(Parser)]
#[command(name = "carbontracker", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Run(run::Run),
    Doctor(doctor::Doctor),
    Replay(forecast::replay::Replay),
    Score(forecast::score::Score),
    Watch(watch::Watch),
    Aggregate(aggregate::Aggregate),
    Report(report::Report),
    Import(import::Import),
    Completion(completion::Completion),
    Man(man::Man),
}

/// What belongs together in the list of subcommands; each is in one of these.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Measure", &["run", "doctor"]),
    ("Read what runs have left", &["watch", "report", "aggregate", "import"]),
    ("Forecast recorded runs", &["replay", "score"]),
    ("Set up the command itself", &["completion", "man"]),
];

const EXIT_STATUS: &str = "\
Examples:
  carbontracker run -- make -j8                       what a build takes
  carbontracker doctor                                what can be measured here, and what would help
  carbontracker run --mark epoch --epochs 10 -- ./train     epoch by epoch, with a forecast

Exit status: 0 done; 1 could not, and the message says why; 2 wrong arguments. 'carbontracker help SUBCOMMAND' says
more, and where that has others. The page of the library is README.md, laid in share/doc/carbontracker.";

fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return not_understood(&error),
    };
    let done = match Command::from_arg_matches(&matches).map(|command| command.task) {
        Ok(Task::Run(run)) => run.call(),
        Ok(Task::Doctor(doctor)) => doctor.call(),
        Ok(Task::Replay(replay)) => replay.call(),
        Ok(Task::Score(score)) => score.call(),
        Ok(Task::Watch(watch)) => watch::follow(&watch).map(|()| ExitCode::SUCCESS),
        Ok(Task::Aggregate(aggregate)) => aggregate::text(&aggregate).and_then(|text| print(&text)),
        Ok(Task::Report(report)) => report::run(&report).and_then(|text| print(&text)),
        Ok(Task::Import(import)) => import::run(&import),
        Ok(Task::Completion(completion)) => completion.call(),
        Ok(Task::Man(man)) => man.call(),
        Err(error) => error.exit(),
    };
    done.unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

/// Explains arguments that are not understood. Those of Python's Carbontracker get the line to use here.
fn not_understood(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_unknown = [ErrorKind::InvalidSubcommand, ErrorKind::UnknownArgument].contains(&error.kind());
    // A mistyped subcommand is clap's to correct, unless there is a program of that name.
    let is_slip = error.get(ContextKind::SuggestedSubcommand).is_some() || words.len() == 1;
    let first = words.first().copied().unwrap_or_default();
    let is_theirs = is_unknown && !is_own(first) && (!is_slip || is_program(first));
    let theirs = python::line(&words, Path::exists).filter(|_| is_theirs);
    let (why, line) = match (theirs, without_run(&words).filter(|_| is_unknown)) {
        (Some(line), _) => {
            ("these are arguments of Python's Carbontracker, whose command has the same name. Here, use:", line)
        }
        (None, Some(line)) => ("the subcommand is missing. To measure a program, use:", line),
        (None, None) => error.exit(),
    };
    complain(why);
    let _ = writeln!(io::stderr(), "  {}", sanitize::text(line));
    ExitCode::from(WRONG_ARGUMENTS)
}

/// Options and a program behind "--", as `run` takes them.
fn without_run(words: &[&str]) -> Option<String> {
    let program = words.iter().position(|word| *word == "--")?;
    let is_given = words.first()?.starts_with('-') && program > 0 && words.len() > program + 1;
    let line: Vec<String> = words.iter().map(|word| python::quoted(word)).collect();
    is_given.then(|| format!("carbontracker run {}", line.join(" ")))
}

/// Whether a word names a subcommand.
fn is_own(word: &str) -> bool {
    word == "help" || Command::command().find_subcommand(word).is_some()
}

fn is_program(word: &str) -> bool {
    let path = carbontracker::os::variable("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    word.contains('/') || folders.any(|folder: PathBuf| folder.join(word).is_file())
}

/// The command as its users see it.
fn command() -> clap::Command {
    let command = Command::command();
    let list = list(&command);
    command
        .help_template(format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\n{list}Options:\n{{options}}{{after-help}}"))
}

/// The subcommands with what they do, group by group.
fn list(command: &clap::Command) -> String {
    let line = |name: &&str| {
        let about = command.find_subcommand(name)?.get_about()?;
        Some(format!("  {name:<11} {about}\n"))
    };
    let group = |(heading, names): (&str, &[&str])| {
        let lines: String = names.iter().filter_map(line).collect();
        format!("{heading}:\n{lines}\n")
    };
    GROUPS.into_iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_is_in_one_group() {
        let command = Command::command();
        command.clone().debug_assert();
        let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }
}
