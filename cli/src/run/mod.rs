//! Measures any program: starts it, passes on its signals and output, and ends with its exit status.

mod output_marks;
mod process_tree;
mod summary;

use crate::console::{Done, complain, refuse};
use crate::option_args::OptionArgs;
use carbontracker::coordination::job::Job;
use carbontracker::error::Status;
use carbontracker::options::Options;
use carbontracker::os;
use carbontracker::os::child::{self, HeldSignals};
use carbontracker::tracker::Tracker;
use carbontracker::units::duration;
use output_marks::{Drain, Marks};
use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};
use summary::brief;

/// Interval between two checks for messages and for the end of the program.
const TICK: Duration = Duration::from_millis(500);
/// Longest wait until the program's last output is handed on. The reader of the outputs may be slow.
const LAST_OUTPUT_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for the energy of the last epochs.
const SETTLE_WAIT: Duration = Duration::from_secs(10);

/// Variables for the run's files, which the program does not inherit. Otherwise a run inside the program would resume
/// this one, or write into its files.
const FILE_VARIABLES: [&str; 3] = ["CARBONTRACKER_LOG_DIR", "CARBONTRACKER_RESUME", "CARBONTRACKER_PROMETHEUS"];

const HELP: &str = "\
The program keeps its input, output, exit status and signals. The report goes to standard error. Everything the program
starts is measured with it, until the program itself ends. The library measures devices, not processes: other programs
on them count too. An estimated processor counts only the cores that this command may use.

  carbontracker run -- make -j8
  carbontracker run -o 'location=DK pue=1.3' --report json --to energy.json -- ./train --epochs 10
  carbontracker run --mark 'begin of epoch' --epochs 10 -- stdbuf -oL ./train

With --mark, each line of standard output or standard error that contains TEXT is a mark. An epoch goes from mark to
mark, and from the last mark to the end. With --epochs N, the N-th epoch lasts to the end. The time before the first mark
is the start-up: it is no epoch, and its energy counts as energy between epochs. Choose a text that is printed when an
epoch begins. If it is printed when an epoch ends, such as its loss, the first epoch is part of the start-up: then give
N one less than the program has. Both outputs pass through pipes, byte by byte. Many programs buffer output to a pipe:
'stdbuf -oL' or PYTHONUNBUFFERED=1 helps. The command exits once every process has closed its end of the pipes.

A program that uses the library itself may run inside. Both count, and neither takes devices from the other. The files of
CARBONTRACKER_LOG_DIR, _RESUME and _PROMETHEUS are those of 'run'; the program does not inherit these variables.
'run -- env CARBONTRACKER_LOG_DIR=DIR CMD' makes it write its own files, which 'aggregate' would add to this run. Of
several 'run' in one job on one node (srun, mpirun), one counts the node. Signals that a process sends to this command
(HUP, INT, QUIT, TERM, USR1, USR2) are passed on. Ctrl-C reaches the program directly.

Exit status: that of the program; if a signal ended it, the same signal ends this command. 126 the program cannot be run;
127 it does not exist; 2 wrong arguments or options, and nothing was run.";

/// Measure a program and everything it starts
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct RunArgs {
    #[command(flatten)]
    options: OptionArgs,
    /// The run's label [default: the program's name]
    #[arg(long)]
    name: Option<String>,
    /// Begin an epoch at each line of the program's output that contains TEXT
    #[arg(long, value_name = "TEXT", value_parser = mark)]
    mark: Option<String>,
    /// Number of epochs planned: forecast all of them
    #[arg(long, value_name = "N", requires = "mark", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// Format of the report
    #[arg(long, value_name = "FORMAT", default_value = "brief", value_parser = ["brief", "text", "json", "csv", "prometheus", "html"])]
    report: String,
    /// Where to write the report; - is standard output [default: standard error]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Print neither messages nor, without --to, the report
    #[arg(short, long)]
    quiet: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    program: Vec<OsString>,
}

/// Checks the text of --mark.
fn mark(text: &str) -> Result<String, String> {
    let is_one_line = !text.is_empty() && !text.contains('\n');
    is_one_line.then(|| text.to_owned()).ok_or_else(|| "expected a text of one line".into())
}

impl RunArgs {
    /// Runs and measures the program. Returns its exit status.
    pub fn call(self) -> Done {
        // The tracker comes last, since it may leave files.
        let prepared = self.option_string().and_then(|options| Ok((self.open()?, Tracker::create(&options))));
        let (tracker, to) = match prepared {
            Ok((_, Err(error))) if error.status == Status::CT_EINVAL => return refuse(&error.message),
            Ok((to, Ok(tracker))) => (tracker, to),
            Ok((to, Err(error))) => {
                complain(&format!("the program is not measured: {error}"));
                (None, to)
            }
            Err(message) => return refuse(&message),
        };
        let epochs = Epochs { tracker, marks: Mutex::default(), surplus: AtomicU64::new(0) };
        self.print_messages(&epochs, &in_report(&epochs));
        let held = HeldSignals::new();
        epochs.begin();
        let mut child = match held.spawn(&mut self.command()) {
            Ok(child) => child,
            Err(error) => return Ok(self.not_run(&error)),
        };
        let drains = [Drain::default(), Drain::default()];
        let status = std::thread::scope(|scope| {
            let watching = self.watch(scope, &mut child, &epochs, &drains);
            let status = self.wait(&held, &mut child, &epochs);
            // Processes that the program started may keep its outputs open for ever, so their end is not awaited.
            drains.iter().for_each(|drain| drain.has_ended.store(true, Ordering::SeqCst));
            let is_read = |(one, drain): (&ScopedJoinHandle<'_, ()>, &Drain)| {
                one.is_finished() || drain.is_empty.load(Ordering::SeqCst)
            };
            let deadline = Instant::now() + LAST_OUTPUT_WAIT;
            while !watching.iter().zip(&drains).all(is_read) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
            epochs.end();
            let has_succeeded = status.as_ref().is_ok_and(|status| status.success());
            self.write_report(&epochs, to, has_succeeded);
            held.release(); // processes that outlive the program may keep the outputs open for ever
            status
        });
        epochs.tracker.and_then(Tracker::destroy).into_iter().for_each(|what| complain(&what));
        status.map(end_as).map_err(|error| format!("waiting for the program failed: {error}"))
    }

    fn program(&self) -> &Path {
        self.program.first().map_or(Path::new(""), Path::new)
    }

    /// The library's options, with the name, epochs and job of this command.
    fn option_string(&self) -> Result<String, String> {
        let parsed = Options::parse(&self.options.with(&[]), os::variable).map_err(|error| error.message)?;
        if parsed.measurement.devices == "process" {
            return Err(
                "devices=process: this command uses no GPUs, its program does. Give a list, or devices=visible for the \
                 GPUs of CUDA_VISIBLE_DEVICES and similar variables"
                    .into(),
            );
        }
        let program = self.program().file_name().unwrap_or(self.program().as_os_str()).to_string_lossy();
        let name = self.name.as_deref().or(parsed.files.name.as_deref()).unwrap_or(&program);
        // Without marks the whole program is one epoch.
        let epochs = self.epochs.or(self.mark.is_none().then_some(1)).map(|epochs| epochs.to_string());
        let job = job(parsed.job.as_deref());
        Ok(self.options.with(&[("name", Some(name)), ("epochs", epochs.as_deref()), ("job", job.as_deref())]))
    }

    /// Opens the file for the report, so that an unwritable file is found before anything runs.
    fn open(&self) -> Result<Option<File>, String> {
        let Some(path) = self.to.as_ref().filter(|path| path.as_os_str() != "-") else { return Ok(None) };
        let file = File::options().write(true).create(true).truncate(false).open(path);
        file.map(Some).map_err(|error| format!("--to {}: {error}", path.display()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.args(self.program.iter().skip(1));
        for variable in FILE_VARIABLES {
            command.env_remove(variable);
        }
        if self.mark.is_some() {
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
        [output_drain, errors_drain]: &'s [Drain; 2],
    ) -> Vec<ScopedJoinHandle<'s, ()>> {
        let Some(text) = &self.mark else { return Vec::new() };
        let pass = |marks: &mut Marks, piece: &[u8]| (0..marks.take(piece)).for_each(|_| epochs.mark());
        let (mut of_output, mut of_errors) = (Marks::new(text), Marks::new(text));
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        // If an output has no reader any more, the program sees it: its next write fails.
        let output = output.map(|from| {
            scope.spawn(move || {
                drop(output_marks::hand_on(from, &io::stdout().as_fd(), output_drain, |piece| {
                    pass(&mut of_output, piece)
                }))
            })
        });
        let errors = errors.map(|from| {
            scope.spawn(move || {
                drop(output_marks::hand_on(from, &io::stderr().as_fd(), errors_drain, |piece| {
                    pass(&mut of_errors, piece)
                }))
            })
        });
        output.into_iter().chain(errors).collect()
    }

    /// Waits for the program. Passes on signals and prints the library's messages.
    fn wait(&self, held: &HeldSignals, child: &mut Child, epochs: &Epochs) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if let Some(signal) = held.next(TICK).filter(|signal| !signal.is_of_child()) {
                let has_it = signal.sender.map_or(signal.is_interrupt(), process_tree::is_ours);
                if !has_it {
                    signal.pass_to(child);
                }
            }
            self.print_messages(epochs, &[]);
        }
    }

    /// Prints the library's messages, except those that the report holds too.
    fn print_messages(&self, epochs: &Epochs, in_report: &[String]) {
        let print = |message: &str| {
            if !self.quiet && !in_report.iter().any(|one| message.contains(one)) {
                complain(message);
            }
            Ok(Status::CT_OK)
        };
        epochs.tracker.iter().for_each(|tracker| while tracker.take_message(print).is_ok() {});
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
        if self.mark.is_some() && !self.quiet {
            epochs.doubts().iter().for_each(|doubt| complain(doubt));
        }
        let written = match (to, &self.to) {
            (Some(mut file), _) => empty(&file).and_then(|()| file.write_all(report.as_bytes())),
            (None, Some(_)) => io::stdout().write_all(report.as_bytes()),
            (None, None) if self.quiet => Ok(()),
            (None, None) => io::stderr().write_all(report.as_bytes()),
        };
        if let Err(error) = written {
            complain(&format!("the report could not be written: {error}"));
        }
    }
}

/// Empties a file. A device or a pipe is left alone.
fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

/// The notes and reasons that the report holds from the start.
fn in_report(epochs: &Epochs) -> Vec<String> {
    let report = epochs.tracker.as_ref().and_then(|tracker| tracker.report("json").ok());
    let report: Value = report.and_then(|report| serde_json::from_str(&report).ok()).unwrap_or_default();
    let list = |name: &str| report.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let reasons = list("unavailable").into_iter().filter_map(|one| one.get("reason").cloned());
    list("notes").into_iter().chain(reasons).filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// The marks of a program that runs.
struct Marked {
    /// How many more marks may end an epoch, so that there are not more epochs than planned.
    left: u64,
    /// Whether the first mark has ended the start-up.
    has_started: bool,
}

/// The epochs of a program, which its marks divide.
struct Epochs {
    tracker: Option<Tracker>,
    /// The marks so far; None: the program has not started or has ended. Two threads may mark at the same time.
    marks: Mutex<Option<Marked>>,
    /// The number of marks beyond those.
    surplus: AtomicU64,
}

impl Epochs {
    fn begin(&self) {
        let number = |pointer| self.tracker.as_ref().and_then(|tracker| tracker.value(pointer).ok()).unwrap_or(0.0);
        let planned = number("/run/epochs_planned");
        let done = number("/run/epochs_done"); // more than 0 if a run is resumed
        let left = if planned > 0.0 { (planned - done - 1.0) as u64 } else { u64::MAX };
        *self.marks() = Some(Marked { left, has_started: false });
        self.tracker.iter().for_each(|tracker| drop(tracker.begin()));
    }

    fn mark(&self) {
        let mut marks = self.marks();
        let Some(Marked { left, has_started }) = marks.as_mut() else { return };
        if !std::mem::replace(has_started, true) {
            // A cancelled epoch is no epoch, and its energy counts between epochs.
            self.tracker.iter().for_each(|tracker| drop(tracker.cancel().and_then(|_| tracker.begin())));
            return;
        }
        if *left == 0 {
            self.surplus.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *left -= 1;
        self.tracker.iter().for_each(|tracker| drop(tracker.end().and_then(|_| tracker.begin())));
    }

    fn end(&self) {
        *self.marks() = None;
        self.tracker.iter().for_each(|tracker| drop(tracker.end()));
    }

    /// Warnings if the marks do not seem to be at the ends of epochs.
    fn doubts(&self) -> Vec<String> {
        const SUSPICIOUS_RATIO: f64 = 10.0;
        let number = |pointer: &str| self.tracker.as_ref().and_then(|tracker| tracker.value(pointer).ok());
        let mut doubts = Vec::new();
        let done = number("/run/epochs_done").unwrap_or(0.0) as u64;
        let length = |before_end: u64| {
            done.checked_sub(before_end).and_then(|index| number(&format!("/epochs/{index}/duration_s")))
        };
        if let Some((last, before)) =
            length(1).zip(length(2)).filter(|(last, before)| last * SUSPICIOUS_RATIO < *before)
        {
            doubts.push(format!(
                "the last epoch took {}, the one before {}. The mark may be printed when an epoch ends; then the first \
                 epoch counts as start-up. Choose a text that is printed when an epoch begins, or give --epochs one less",
                duration(last),
                duration(before)
            ));
        }
        // A mark at the end of the last epoch ends no further epoch.
        let surplus = self.surplus.load(Ordering::Relaxed).saturating_sub(1);
        if surplus > 0 {
            doubts.push(format!(
                "{surplus} more marks than planned epochs: the last epoch includes them. Check --epochs and --mark"
            ));
        }
        doubts
    }

    fn marks(&self) -> MutexGuard<'_, Option<Marked>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The job whose `run` commands on one node count each device once, if a launcher named it. It differs from the job of
/// the programs inside and from that of nested `run` commands, which count by themselves. All processes of a job hash
/// this text, so its words must not change.
fn job(option: Option<&str>) -> Option<String> {
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
