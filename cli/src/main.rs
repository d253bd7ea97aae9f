//! The command line. Each subcommand has its own module: a struct of arguments, whose doc comments are its help, and a
//! function that runs it.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod aggregate;
mod compare;
mod completion;
mod console;
mod doctor;
mod estimate;
mod export;
mod forecast;
mod import;
mod last;
mod man;
mod named_runs;
mod option_args;
mod options_list;
mod python;
mod report;
mod report_files;
mod run;
mod table;
mod totals;
mod version;
mod watch;
mod wrap;
mod zones;

use crate::console::{WRONG_ARGUMENTS, complain, fail, print};
use carbontracker::os::memory::Allocator;
use carbontracker::sanitize;
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Keeps a reserve of memory for the moment when the system has none left, as the library does.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Measures and forecasts the energy and CO2e of programs: training loops, time loops, builds
#[derive(Parser)]
#[command(name = "carbontracker", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Run(run::RunArgs),
    Doctor(doctor::DoctorArgs),
    Estimate(estimate::EstimateArgs),
    When(estimate::when::WhenArgs),
    Replay(forecast::replay::ReplayArgs),
    Score(forecast::score::ScoreArgs),
    Last(last::LastArgs),
    Watch(watch::WatchArgs),
    Compare(compare::CompareArgs),
    Aggregate(aggregate::AggregateArgs),
    Totals(totals::TotalsArgs),
    Report(report::ReportArgs),
    Import(import::ImportArgs),
    Options(options_list::OptionsArgs),
    Zones(zones::ZonesArgs),
    Export(export::ExportArgs),
    Completion(completion::CompletionArgs),
    Man(man::ManArgs),
    Version(version::VersionArgs),
}

/// The groups in the list of subcommands. Each subcommand is in one group.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Measure", &["run", "doctor"]),
    ("Plan a run by earlier ones", &["estimate", "when"]),
    ("Read the files of runs", &["last", "watch", "report", "compare", "aggregate", "totals", "import", "export"]),
    ("Forecast recorded runs", &["replay", "score"]),
    ("Look up", &["options", "zones", "version"]),
    ("Set up the command", &["completion", "man"]),
];

const EXIT_STATUS: &str = "\
Examples:
  carbontracker run -- make -j8                             measure a build
  carbontracker doctor                                      show what can be measured here, and how to enable the rest
  carbontracker run --mark epoch --epochs 10 -- ./train     measure each epoch, with a forecast
  carbontracker help options                                list all keys of -o, with units and defaults

Exit status: 0 done; 1 it failed, and the message has the reason; 2 wrong arguments. 'carbontracker help SUBCOMMAND'
explains each subcommand and its exit status. The documents are in share/doc/carbontracker: README.md,
docs/src/reference/cli.md.";

fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return not_understood(&error),
    };
    let done = match Command::from_arg_matches(&matches).map(|command| command.task) {
        Ok(Task::Run(args)) => args.call(),
        Ok(Task::Doctor(args)) => args.call(),
        Ok(Task::Estimate(args)) => args.call(),
        Ok(Task::When(args)) => args.call(),
        Ok(Task::Replay(args)) => args.call(),
        Ok(Task::Score(args)) => args.call(),
        Ok(Task::Last(args)) => args.call(),
        Ok(Task::Watch(args)) => watch::follow(&args).map(|()| ExitCode::SUCCESS),
        Ok(Task::Compare(args)) => args.call(),
        Ok(Task::Aggregate(args)) => aggregate::text(&args).and_then(|text| print(&text)),
        Ok(Task::Totals(args)) => totals::text(&args).and_then(|text| print(&text)),
        Ok(Task::Report(args)) => report::run(&args).and_then(|text| print(&text)),
        Ok(Task::Import(args)) => import::run(&args),
        Ok(Task::Options(args)) => args.call(),
        Ok(Task::Zones(args)) => args.call(),
        Ok(Task::Export(args)) => args.call(),
        Ok(Task::Completion(args)) => args.call(),
        Ok(Task::Man(args)) => args.call(),
        Ok(Task::Version(args)) => args.call(),
        Err(error) => error.exit(),
    };
    done.unwrap_or_else(|message| {
        fail(&message);
        ExitCode::FAILURE
    })
}

/// Reports arguments that clap does not know. For the arguments of Python's Carbontracker it prints the line to use
/// here.
fn not_understood(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_unknown = [ErrorKind::InvalidSubcommand, ErrorKind::UnknownArgument].contains(&error.kind());
    // clap corrects a mistyped subcommand, unless a program has that name.
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

/// The line with `run`, for options and a program after `--` whose subcommand is missing.
fn without_run(words: &[&str]) -> Option<String> {
    let program = words.iter().position(|word| *word == "--")?;
    let has_both = words.first()?.starts_with('-') && program > 0 && words.len() > program + 1;
    let line: Vec<String> = words.iter().map(|word| python::quoted(word)).collect();
    has_both.then(|| format!("carbontracker run {}", line.join(" ")))
}

/// True if a word is the name of a subcommand.
fn is_own(word: &str) -> bool {
    word == "help" || Command::command().find_subcommand(word).is_some()
}

/// True if a word is a path or a program on PATH.
fn is_program(word: &str) -> bool {
    let path = carbontracker::os::variable("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    word.contains('/') || folders.any(|folder: PathBuf| folder.join(word).is_file())
}

/// The command for this terminal, with the grouped list of subcommands in its help.
fn command() -> clap::Command {
    command_of(wrap::columns())
}

/// The command, with help in lines of at most `most` columns.
fn command_of(most: usize) -> clap::Command {
    let wrapped = |sub: clap::Command| {
        let after = if sub.get_name() == "options" { Some(options_list::help()) } else { None };
        match after.or_else(|| Some(sub.get_after_help()?.to_string())) {
            Some(text) => sub.after_help(wrap::wrapped(&text, most)),
            None => sub,
        }
    };
    // Headings stay plain, like those of the list of subcommands.
    let styles = Styles::plain()
        .error(AnsiColor::Red.on_default().bold())
        .invalid(AnsiColor::Yellow.on_default())
        .valid(AnsiColor::Green.on_default());
    // By itself clap also colours for a pipe or a dumb terminal, where CI is set.
    let are_colours =
        [::console::Term::stdout(), ::console::Term::stderr()].iter().all(|t| t.features().colors_supported());
    let colour = if are_colours { clap::ColorChoice::Auto } else { clap::ColorChoice::Never };
    let command = Command::command().color(colour).styles(styles).term_width(most).mut_subcommands(wrapped);
    let command = command.after_help(wrap::wrapped(EXIT_STATUS, most));
    let list = list(&command, most);
    command
        .help_template(format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\n{list}Options:\n{{options}}{{after-help}}"))
}

/// The subcommands with one line each, by group.
fn list(command: &clap::Command, most: usize) -> String {
    const ABOUT_COLUMN: usize = 14;
    let line = |name: &&str| {
        let about = command.find_subcommand(name)?.get_about()?;
        Some(wrap::filled(&format!("  {name:<11} {about}"), most, ABOUT_COLUMN) + "\n")
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
