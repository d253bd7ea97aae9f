//! Measures any program: starts it, stays out of its way, and ends as it does.

mod output_marks;
mod process_tree;
mod summary;

use crate::console::{Done, complain, refuse};
use crate::option_args::Given;
use carbontracker::coordination::job::Job;
use carbontracker::error::Status;
use carbontracker::options::Options;
use carbontracker::os;
use carbontracker::os::child::{self, HeldSignals};
use carbontracker::tracker::Tracker;
use carbontracker::units::duration;
use output_marks::Marks;
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

/// How often to look for messages, and for the program.
const TICK: Duration = Duration::from_millis(500);
/// How long marks are looked for in what the program wrote last: others that it started may hold its outputs for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The run's files are this command's: those of a run within it would be taken up in its place, or be added to it.
const FILES: [&str; 3] = ["CARBONTRACKER_LOG_DIR", "CARBONTRACKER_RESUME", "CARBONTRACKER_PROMETHEUS"];

const HELP: &str = "\
The program runs as if by itself: its input, output, exit status and signals stay its own. The report goes to standard
error. What it starts is measured with it, until the program itself ends: the library measures devices, not processes, and
so counts what else runs on them too, but for an estimated processor only those that this command may run on.

  carbontracker run -- make -j8
  carbontracker run -o 'location=DK pue=1.3' --report json --to energy.json -- ./train --epochs 10
  carbontracker run --mark 'val_loss' --epochs 10 -- stdbuf -oL ./train

With --mark each line of its standard output or standard error that contains TEXT divides its time: an epoch goes from the
start to the first mark, from mark to mark, and from the last mark to the end. Of --epochs N the N-th goes on to the end.
So choose a text that stands at an epoch's end, such as its loss: one at its begin makes an epoch of what came before the first.
Both outputs then pass through pipes, byte by byte. Many programs keep back what they write to a pipe: 'stdbuf -oL'
or PYTHONUNBUFFERED=1 helps. As in any pipeline, the command then stays until all who hold these pipes have let go.

A program that measures itself by this library may do so within: both count, and neither takes devices from the other. The
files that CARBONTRACKER_LOG_DIR, _RESUME and _PROMETHEUS ask for are those of this command's run, and the program does not
inherit these; 'run -- env CARBONTRACKER_LOG_DIR=DIR CMD' has it write its own, which 'aggregate' would add to this one's. Of
several 'run' in one job on one node (srun, mpirun) one counts the node. A signal that a process sends to this command
(HUP, INT, QUIT, TERM, USR1, USR2) is passed on; Ctrl-C reaches the program by itself.

Exit status: that of the program; where a signal ended it, the same signal ends this command. 126 the program could not be
run, 127 there is none of that name. 2 wrong arguments or options: then nothing was run.";

/// Measure a program, and all that it starts
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Run {
    #[command(flatten)]
    given: Given,
    /// The run's label [default: the program's name]
    #[arg(long)]
    name: Option<String>,
    /// End an epoch at each line of the program's output that contains TEXT, which is to be printed once an epoch is done
    #[arg(long, value_name = "TEXT", value_parser = mark)]
    mark: Option<String>,
    /// So many epochs are planned: after the first, forecast all of them
    #[arg(long, value_name = "N", requires = "mark", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// What to report in the end
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

fn mark(text: &str) -> Result<String, String> {
    let is_one_line = !text.is_empty() && !text.contains('\n');
    is_one_line.then(|| text.to_owned()).ok_or_else(|| "expected some text of one line".into())
}

impl Run {
    /// Runs it; the program's exit status.
    pub fn call(self) -> Done {
        // A tracker, which may leave files, comes last.
        let prepared = self.options().and_then(|options| Ok((self.open()?, Tracker::create(&options))));
        let (tracker, to) = match prepared {
            Ok((_, Err(error))) if error.status == Status::CT_EINVAL => return refuse(&error.message),
            Ok((to, Ok(tracker))) => (tracker, to),
            Ok((to, Err(error))) => {
                complain(&format!("not measured: {error}"));
                (None, to)
            }
            Err(message) => return refuse(&message),
        };
        let epochs = Epochs { tracker, marks: Mutex::default(), surplus: AtomicU64::new(0) };
        self.say(&epochs, &in_report(&epochs));
        let held = HeldSignals::new();
        epochs.begin();
        let mut child = match held.spawn(&mut self.command()) {
            Ok(child) => child,
            Err(error) => return Ok(self.not_run(&error)),
        };
        let status = std::thread::scope(|scope| {
            let watching = self.watch(scope, &mut child, &epochs);
            let status = self.wait(&held, &mut child, &epochs);
            let deadline = Instant::now() + LAST_WORDS;
            while !watching.iter().all(ScopedJoinHandle::is_finished) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
            epochs.end();
            self.tell(&epochs, to);
            held.release(); // those who stay behind may hold the outputs for ever
            status
        });
        epochs.tracker.and_then(Tracker::destroy).into_iter().for_each(|what| complain(&what));
        status.map(end_as).map_err(|error| format!("waiting for the program: {error}"))
    }

    fn program(&self) -> &Path {
        self.program.first().map_or(Path::new(""), Path::new)
    }

    /// The library's options, as far as this command has a say in them.
    fn options(&self) -> Result<String, String> {
        let parsed = Options::parse(&self.given.with(&[]), os::variable).map_err(|error| error.message)?;
        if parsed.measurement.devices == "process" {
            return Err(
                "devices=process: the GPUs of the program's processes are not this command's; give a list, or \
                devices=visible for those that CUDA_VISIBLE_DEVICES and its like name"
                    .into(),
            );
        }
        let program = self.program().file_name().unwrap_or(self.program().as_os_str()).to_string_lossy();
        let name = self.name.as_deref().or(parsed.files.name.as_deref()).unwrap_or(&program);
        // Without marks all of it is one epoch.
        let epochs = self.epochs.or(self.mark.is_none().then_some(1)).map(|epochs| epochs.to_string());
        let job = job(parsed.job.as_deref());
        Ok(self.given.with(&[("name", Some(name)), ("epochs", epochs.as_deref()), ("job", job.as_deref())]))
    }

    /// The file that the report is to go to, seen to be writable before anything runs.
    fn open(&self) -> Result<Option<File>, String> {
        let Some(path) = self.to.as_ref().filter(|path| path.as_os_str() != "-") else { return Ok(None) };
        let file = File::options().write(true).create(true).truncate(false).open(path);
        file.map(Some).map_err(|error| format!("--to {}: {error}", path.display()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.args(self.program.iter().skip(1));
        for variable in FILES {
            command.env_remove(variable);
        }
        if self.mark.is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        command
    }

    /// Why it was not run, in the status that shells and env(1) give that.
    fn not_run(&self, error: &io::Error) -> ExitCode {
        complain(&format!("{}: {error}", self.program().display()));
        ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
    }

    /// With --mark, hands the program's outputs on by threads of their own.
    fn watch<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        child: &mut Child,
        epochs: &'s Epochs,
    ) -> Vec<ScopedJoinHandle<'s, ()>> {
        let Some(text) = &self.mark else { return Vec::new() };
        let pass = |marks: &mut Marks, piece: &[u8]| (0..marks.take(piece)).for_each(|_| epochs.mark());
        let (mut of_output, mut of_errors) = (Marks::new(text), Marks::new(text));
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        // An output that nobody takes any more is the program's to see: its next write fails.
        let output = output.map(|from| {
            scope.spawn(move || {
                drop(output_marks::hand_on(from, &io::stdout().as_fd(), |piece| pass(&mut of_output, piece)))
            })
        });
        let errors = errors.map(|from| {
            scope.spawn(move || {
                drop(output_marks::hand_on(from, &io::stderr().as_fd(), |piece| pass(&mut of_errors, piece)))
            })
        });
        output.into_iter().chain(errors).collect()
    }

    /// Until the program ends, passes on what is sent to it by way of us, and tells what the library says.
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
            self.say(epochs, &[]);
        }
    }

    /// Tells what the library has to say, but for what the report will say anyway.
    fn say(&self, epochs: &Epochs, in_report: &[String]) {
        let print = |message: &str| {
            if !self.quiet && !in_report.iter().any(|one| message.contains(one)) {
                complain(message);
            }
            Ok(Status::CT_OK)
        };
        epochs.tracker.iter().for_each(|tracker| while tracker.take_message(print).is_ok() {});
    }

    /// The report, to where it is to go. What goes wrong is said; the program's status stands.
    fn tell(&self, epochs: &Epochs, to: Option<File>) {
        let Some(tracker) = &epochs.tracker else { return };
        let format = if self.report == "brief" { "json" } else { &self.report };
        let report = tracker.report(format).unwrap_or_else(|error| format!("carbontracker: no report: {error}\n"));
        let report = match serde_json::from_str(&report) {
            Ok(report) if self.report == "brief" => brief(&report),
            _ => report,
        };
        self.say(epochs, &[]);
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

/// Takes away what a file held; a device or a pipe holds nothing.
fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

/// The notes and reasons that a report has from the start.
fn in_report(epochs: &Epochs) -> Vec<String> {
    let report = epochs.tracker.as_ref().and_then(|tracker| tracker.report("json").ok());
    let report: Value = report.and_then(|report| serde_json::from_str(&report).ok()).unwrap_or_default();
    let list = |name: &str| report.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let reasons = list("unavailable").into_iter().filter_map(|one| one.get("reason").cloned());
    list("notes").into_iter().chain(reasons).filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// The epochs of a program, divided by its marks.
struct Epochs {
    tracker: Option<Tracker>,
    /// How many more may divide it, so that no more epochs come of them than are planned; None: the program has yet to start,
    /// or has ended. Two outputs may mark at once.
    marks: Mutex<Option<u64>>,
    /// Marks beyond those.
    surplus: AtomicU64,
}

impl Epochs {
    fn begin(&self) {
        let number = |pointer| self.tracker.as_ref().and_then(|tracker| tracker.value(pointer).ok()).unwrap_or(0.0);
        let (planned, done) = (number("/run/epochs_planned"), number("/run/epochs_done")); // some, where a run is taken up
        *self.marks() = Some(if planned > 0.0 { (planned - done - 1.0) as u64 } else { u64::MAX });
        self.tracker.iter().for_each(|tracker| drop(tracker.begin()));
    }

    fn mark(&self) {
        let mut marks = self.marks();
        let Some(left) = marks.as_mut() else { return };
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

    /// Where the marks seem not to stand at the epochs' ends.
    fn doubts(&self) -> Vec<String> {
        const MUCH: f64 = 10.0;
        let number = |pointer| self.tracker.as_ref().and_then(|tracker| tracker.value(pointer).ok());
        let mut doubts = Vec::new();
        let lengths = number("/epochs/0/duration_s").zip(number("/epochs/1/duration_s"));
        if let Some((first, second)) = lengths.filter(|(first, second)| first * MUCH < *second) {
            doubts.push(format!(
                "the first epoch took {}, the second {}: is the mark printed when an epoch begins? It should be when one ends",
                duration(first),
                duration(second)
            ));
        }
        // The last epoch's own mark divides nothing.
        let surplus = self.surplus.load(Ordering::Relaxed).saturating_sub(1);
        if surplus > 0 {
            doubts.push(format!("{surplus} more marks than epochs were planned: the last epoch holds them all"));
        }
        doubts
    }

    fn marks(&self) -> MutexGuard<'_, Option<u64>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The job whose runs on one node count each device once, where it has a name. Apart from that of the programs they run,
/// and from runs within runs: those count by themselves.
fn job(option: Option<&str>) -> Option<String> {
    let job = Job::find(option, &os::variable, os::kin()).filter(|job| job.is_named)?;
    Some(format!("{}, run {} deep", job.words, process_tree::depth()))
}

/// Ends as the program did.
fn end_as(status: ExitStatus) -> ExitCode {
    const BY_SIGNAL: i32 = 128;
    status.signal().into_iter().for_each(child::die_by);
    let code = status.code().or(status.signal().map(|signal| BY_SIGNAL + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
