//! Measures any program: starts it, passes on its signals and output, and ends with its exit status.

mod epochs;
mod help;
mod kept;
mod node;
mod output_marks;
mod outputs;
mod process_tree;
mod program_name;
mod status;
pub mod summary;

use crate::console::{Done, complain, refuse};
use crate::option_args::OptionArgs;
use crate::wrap;
use carbontracker::coordination::job::Job;
use carbontracker::error::Status;
use carbontracker::options::{Options, environment};
use carbontracker::os;
use carbontracker::os::child::{self, HeldSignals};
use carbontracker::tracker::Tracker;
use epochs::Epochs;
use kept::Removal;
use output_marks::{Marks, PatternMarks, TextMarks};
use outputs::Outputs;
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;
use status::{Pace, StatusLine};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;
use summary::brief;

/// Interval between two checks for messages and for the end of the program.
const TICK: Duration = Duration::from_millis(500);
/// Longest wait for the energy of the last epochs.
const SETTLE_WAIT: Duration = Duration::from_secs(10);

/// Variables for the run's files, which the program does not inherit. Otherwise a run inside the program would resume
/// this one, or write into its files. The value `off` of the folder is inherited: then a run inside writes no files
/// either.
const LOG_DIR: &str = "CARBONTRACKER_LOG_DIR";
const FILE_VARIABLES: [&str; 3] = [LOG_DIR, "CARBONTRACKER_RESUME", "CARBONTRACKER_PROMETHEUS"];

/// Measure a program and everything it starts
#[derive(clap::Args)]
#[command(after_help = help::HELP)]
pub struct RunArgs {
    #[command(flatten)]
    options: OptionArgs,
    /// The run's label [default: the name of the program, or of its script]
    #[arg(long)]
    name: Option<String>,
    /// Begin an epoch at each line of the program's output that contains TEXT
    #[arg(long, value_name = "TEXT", value_parser = mark, group = "marks")]
    mark: Option<String>,
    /// Begin an epoch at each line of the program's output that REGEX matches
    #[arg(long, value_name = "REGEX", value_parser = pattern, group = "marks")]
    mark_regex: Option<Regex>,
    /// Begin an epoch at the first of these lines, and at each N-th after it
    #[arg(long, value_name = "N", default_value_t = 1, requires = "marks", value_parser = clap::value_parser!(u64).range(1..))]
    mark_every: u64,
    /// Number of epochs planned: forecast all of them
    #[arg(long, value_name = "N", requires = "marks", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// Format of the report
    #[arg(long, value_name = "FORMAT", default_value = "brief", value_parser = ["brief", "text", "line", "json", "csv", "prometheus", "html"])]
    report: String,
    /// Where to write the report; - is standard output [default: standard error]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// How often the status is shown while the program runs: auto, off, or a time such as 10s
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = status::pace)]
    status: Pace,
    /// Print neither messages, nor the status, nor, without --to, the report
    #[arg(short, long)]
    quiet: bool,
    /// Measure the node, not a program, until a signal ends this command
    #[arg(long, conflicts_with_all = ["marks", "epochs", "program"])]
    node: bool,
    /// The program and its arguments
    #[arg(required_unless_present = "node", trailing_var_arg = true, value_name = "CMD")]
    program: Vec<OsString>,
}

/// Checks the text of --mark.
fn mark(text: &str) -> Result<String, String> {
    let is_one_line = !text.is_empty() && !text.contains('\n');
    is_one_line.then(|| text.to_owned()).ok_or_else(|| "expected a text of one line".into())
}

/// Reads the pattern of --mark-regex. It compares bytes, so a letter that is not ASCII is itself only.
fn pattern(text: &str) -> Result<Regex, String> {
    const MAX_BYTES: usize = 1 << 20;
    RegexBuilder::new(text).unicode(false).size_limit(MAX_BYTES).build().map_err(|error| error.to_string())
}

impl RunArgs {
    /// A finder of the lines that are marks; None: there are none.
    fn marks(&self) -> Option<Marks> {
        let pattern = self.mark_regex.clone().map(|pattern| Marks::Pattern(PatternMarks::new(pattern)));
        pattern.or(self.mark.as_deref().map(|text| Marks::Text(Box::new(TextMarks::new(text)))))
    }

    /// Runs and measures the program, or measures the node. Returns the exit status.
    pub fn call(self) -> Done {
        // The tracker comes last, since it may leave files.
        let (options, to) = match self.options().and_then(|options| Ok((options, self.open()?))) {
            Ok(prepared) => prepared,
            Err(message) => return refuse(&message),
        };
        if self.node {
            return node::measure(&self, options, to);
        }
        let of_files: Vec<&str> = FILE_VARIABLES.into_iter().filter(|name| is_of_file(&options, name)).collect();
        let (tracker, kept) = match self.tracker(options) {
            Err(error) if error.status == Status::CT_EINVAL => return refuse(&error.message),
            Err(error) => {
                complain(&format!("the program is not measured: {error}"));
                (None, None)
            }
            Ok(begun) => begun,
        };
        let epochs = Epochs::new(tracker);
        self.print_messages(&epochs, &in_report(&epochs));
        let held = HeldSignals::new();
        epochs.begin();
        let mut child = match held.spawn(&mut self.command(&of_files)) {
            Ok(child) => child,
            Err(error) => return Ok(self.not_run(&error)),
        };
        let is_kept = kept.is_some();
        let removal = kept.and_then(Removal::start);
        let outputs = Outputs::new();
        let status = std::thread::scope(|scope| {
            let watching = self.watch(scope, &mut child, &epochs, &outputs);
            let mut pending = Vec::new();
            let status = self.wait(&held, &mut child, &epochs, &outputs, &mut pending);
            outputs.drain(&watching);
            epochs.end();
            if !self.quiet && self.to.is_none() && !outputs.between_lines(|| ()) {
                let _ = writeln!(io::stderr()); // the program's last line has no end
            }
            pending.iter().for_each(|message| complain(message));
            let has_succeeded = status.as_ref().is_ok_and(|status| status.success());
            epochs.tracker.iter().filter(|_| !has_succeeded).for_each(Tracker::fail);
            self.write_report(&epochs, to, has_succeeded);
            held.release(); // processes that outlive the program may keep the outputs open for ever
            status
        });
        let unwritten = epochs.tracker.and_then(Tracker::destroy);
        // A folder that the user did not name has one message, from the start of the run.
        unwritten.filter(|_| !is_kept).into_iter().for_each(|what| complain(&what));
        removal.into_iter().for_each(Removal::end);
        status.map(end_as).map_err(|error| format!("waiting for the program failed: {error}"))
    }

    fn program(&self) -> &Path {
        self.program.first().map_or(Path::new(""), Path::new)
    }

    /// The tracker, and the folder of the newest runs if its files go there. No tracker: the library is disabled.
    fn tracker(&self, mut options: Options) -> carbontracker::error::Result<(Option<Tracker>, Option<PathBuf>)> {
        if environment::is_disabled(os::variable) {
            return Ok((None, None));
        }
        let kept = kept::choose(&mut options.files).unwrap_or_else(|why| {
            if !self.quiet {
                complain(&why);
            }
            None
        });
        Ok((Some(Tracker::start(options)?), kept))
    }

    /// The library's options, with the name, epochs and job of this command.
    fn options(&self) -> Result<Options, String> {
        let parsed = Options::load(&self.options.with(&[]), os::variable).map_err(|error| error.message)?;
        if parsed.measurement.devices == "process" && !parsed.is_set_by_file("devices") {
            return Err(
                "devices=process: this command uses no GPUs, its program does. Give a list, or devices=visible for the \
                 GPUs of CUDA_VISIBLE_DEVICES and similar variables"
                    .into(),
            );
        }
        let program = if self.node { node::NAME.into() } else { program_name::name_of(&self.program, Path::is_file) };
        let name = self.name.as_deref().or(parsed.files.name.as_deref()).unwrap_or(&program);
        // Without marks the whole program is one epoch. A node has no planned end.
        let is_one = self.marks().is_none() && !self.node;
        let epochs = self.epochs.or(is_one.then_some(1)).map(|epochs| epochs.to_string());
        let job = named_job(parsed.job.as_deref());
        // From a configuration file, which is for libraries too.
        let devices = (parsed.measurement.devices == "process").then_some("visible");
        let own = [("name", Some(name)), ("epochs", epochs.as_deref()), ("job", job.as_deref()), ("devices", devices)];
        Options::load(&self.options.with(&own), os::variable).map_err(|error| error.message)
    }

    /// Opens the file for the report, so that an unwritable file is found before anything runs.
    fn open(&self) -> Result<Option<File>, String> {
        let Some(path) = self.to.as_ref().filter(|path| path.as_os_str() != "-") else { return Ok(None) };
        let file = File::options().write(true).create(true).truncate(false).open(path);
        file.map(Some).map_err(|error| format!("--to {}: {error}", path.display()))
    }

    /// The program. `of_files`: variables of options that a configuration file sets. Empty ones keep the program from
    /// taking the same options out of the file.
    fn command(&self, of_files: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(self.program.iter().skip(1));
        let is_off = |name: &str| name == LOG_DIR && std::env::var_os(name).is_some_and(|value| value == "off");
        for variable in FILE_VARIABLES.into_iter().filter(|name| !is_off(name)) {
            command.env_remove(variable);
        }
        command.envs(of_files.iter().map(|name| (name, "")));
        if self.marks().is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        command
    }

    /// Reports why the program was not run. Returns the status that shells and env(1) use.
    fn not_run(&self, error: &io::Error) -> ExitCode {
        complain(&format!("{}: {error}", self.program().display()));
        ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
    }

    /// With --mark, starts threads that pass on the program's outputs and look for marks.
    fn watch<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        child: &mut Child,
        epochs: &'s Epochs,
        outputs: &'s Outputs,
    ) -> Vec<ScopedJoinHandle<'s, ()>> {
        let Some((of_output, of_errors)) = self.marks().zip(self.marks()) else { return Vec::new() };
        let pass = |marks: &mut Marks, piece: &[u8]| (0..marks.take(piece)).for_each(|_| epochs.line(self.mark_every));
        outputs.pass_on(
            scope,
            child,
            [of_output, of_errors].map(|mut marks| move |piece: &[u8]| pass(&mut marks, piece)),
        )
    }

    /// Waits for the program. Passes on signals and prints the library's messages; `pending` are those for which no
    /// line has ended.
    fn wait(
        &self,
        held: &HeldSignals,
        child: &mut Child,
        epochs: &Epochs,
        outputs: &Outputs,
        pending: &mut Vec<String>,
    ) -> io::Result<ExitStatus> {
        let mut status = StatusLine::new(if self.quiet { Pace::Off } else { self.status });
        let line = || Some(epochs.tracker.as_ref()?.report("line").ok()?.trim_end().to_owned());
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if let Some(signal) = held.next(TICK).filter(|signal| !signal.is_of_child()) {
                if signal.is_stop() {
                    status.give_back();
                    held.stop();
                    continue;
                }
                let has_it = signal.sender.map_or(signal.is_interrupt(), process_tree::is_ours);
                if !has_it {
                    signal.pass_to(child);
                }
            }
            pending.extend(self.messages(epochs, &[]));
            outputs.between_lines(|| pending.drain(..).for_each(|message| complain(&message)));
            status.update(outputs, line);
        }
    }

    /// Takes the library's messages that are to be printed: none that the report holds too.
    fn messages(&self, epochs: &Epochs, in_report: &[String]) -> Vec<String> {
        let mut taken = Vec::new();
        let mut take = |message: &str| {
            if !self.quiet && !in_report.iter().any(|one| message.contains(one)) {
                taken.push(message.to_owned());
            }
            Ok(Status::CT_OK)
        };
        epochs.tracker.iter().for_each(|tracker| while tracker.take_message(&mut take).is_ok() {});
        taken
    }

    fn print_messages(&self, epochs: &Epochs, in_report: &[String]) {
        self.messages(epochs, in_report).iter().for_each(|message| complain(message));
    }

    /// Writes the report. A failure is reported, but does not change the exit status.
    fn write_report(&self, epochs: &Epochs, to: Option<File>, has_succeeded: bool) {
        let Some(tracker) = &epochs.tracker else { return };
        let format = if self.report == "brief" { "json" } else { &self.report };
        tracker.settle(SETTLE_WAIT);
        let report = tracker.report(format).unwrap_or_else(|error| format!("carbontracker: no report: {error}\n"));
        let report = match serde_json::from_str(&report) {
            Ok(report) if self.report == "brief" => brief(&report, has_succeeded),
            _ => report,
        };
        self.print_messages(epochs, &[]);
        if self.marks().is_some() && !self.quiet {
            epochs.doubts().iter().for_each(|doubt| complain(doubt));
        }
        let written = match (to, &self.to) {
            (Some(mut file), _) => empty(&file).and_then(|()| file.write_all(report.as_bytes())),
            (None, Some(_)) => io::stdout().write_all(report.as_bytes()),
            (None, None) if self.quiet => Ok(()),
            (None, None) if ["brief", "text"].contains(&self.report.as_str()) => {
                io::stderr().write_all(wrap::for_terminal(&report).as_bytes())
            }
            (None, None) => io::stderr().write_all(report.as_bytes()),
        };
        if let Err(error) = written {
            complain(&format!("the report could not be written: {error}"));
        }
    }
}

/// Whether a configuration file sets the option of a variable.
fn is_of_file(options: &Options, variable: &str) -> bool {
    // A run inside reads log_dir=off from the file itself.
    let is_off = variable == LOG_DIR && options.files.is_log_off;
    !is_off
        && carbontracker::options::keys()
            .any(|key| environment::variable_of(key) == variable && options.is_set_by_file(key))
}

/// Empties a file. A device or a pipe is left alone.
fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

/// The notes and reasons that the report holds from the start. They need no earlier run, whose disk may be slow.
fn in_report(epochs: &Epochs) -> Vec<String> {
    let list = |pointer: &str| -> Vec<Value> {
        let text = epochs.tracker.as_ref().and_then(|tracker| tracker.text(pointer).ok());
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    };
    let reasons = list("/unavailable").into_iter().filter_map(|one| one.get("reason").cloned());
    list("/notes").into_iter().chain(reasons).filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// The job whose `run` commands on one node count each device once, if a launcher named it. It differs from the job of
/// the programs inside and from that of nested `run` commands, which count by themselves. All processes of a job hash
/// this text, so its words must not change.
fn named_job(option: Option<&str>) -> Option<String> {
    let job = Job::find(option, &os::variable, os::kin()).filter(|job| job.is_named)?;
    Some(format!("{}, run {} deep", job.words, process_tree::depth()))
}

/// Ends with the program's exit status, or by the signal that ended it.
fn end_as(status: ExitStatus) -> ExitCode {
    const BY_SIGNAL: i32 = 128;
    status.signal().into_iter().for_each(child::die_by);
    let code = status.code().or(status.signal().map(|signal| BY_SIGNAL + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
