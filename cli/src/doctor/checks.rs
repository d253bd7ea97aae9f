//! Checks of the machine: kernel, counters, drivers, container, job and folder. Each check is independent.

use super::on_path::{OnPath, SECOND_NAME};
use carbontracker::coordination::job::Job;
use carbontracker::measurement::gpu_selection;
use carbontracker::options::{ConfigFiles, Options};
use carbontracker::os::{self, text};
use carbontracker::sanitize;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// Longest wait for the GPU driver. A sleeping driver takes seconds to wake up.
const DRIVER_WAIT: Duration = Duration::from_secs(10);

/// The result of one check.
pub struct Check {
    name: &'static str,
    /// None: information only, neither good nor bad.
    is_ok: Option<bool>,
    finding: String,
    /// A command or an action that helps. The JSON field is `cure`.
    fix: Option<String>,
}

impl Check {
    fn new(name: &'static str, is_ok: Option<bool>, finding: impl Into<String>) -> Check {
        Check { name, is_ok, finding: sanitize::text(finding), fix: None }
    }

    fn fixed_by(self, fix: impl Into<String>) -> Check {
        Check { fix: Some(fix.into()), ..self }
    }

    /// The check in `doctor --json`.
    pub fn json(&self) -> Value {
        json!({"name": self.name, "ok": self.is_ok, "finding": self.finding, "cure": self.fix})
    }
}

/// Runs all checks.
pub fn all(options: &Options) -> Vec<Check> {
    let root = &options.measurement.sysroot;
    let mut checks = vec![
        kernel(root),
        powercap(root),
        perf(root),
        nvml(options.measurement.nvml.as_deref()),
        gpus(),
        container(root),
    ];
    checks.extend([shared_memory(), job(options.job.as_deref()), configuration(options), command()]);
    checks.extend(options.files.log_dir.as_deref().map(log_dir));
    checks
}

fn read(path: &Path) -> Option<String> {
    Some(text::read(path, text::MAX_SYS_BYTES).ok()?.trim().to_owned())
}

fn kernel(root: &Path) -> Check {
    let release = read(&root.join("proc/sys/kernel/osrelease")).unwrap_or("unknown".into());
    Check::new("kernel", None, format!("Linux {release} on {}", std::env::consts::ARCH))
}

/// Checks the zones of RAPL, and whether this user may read them.
fn powercap(root: &Path) -> Check {
    let folder = root.join("sys/class/powercap");
    let zones = text::entries(&folder).map(|zone| zone.join("energy_uj"));
    let zones: Vec<_> = zones.filter(|counter| counter.exists()).collect();
    let closed = zones.iter().filter(|counter| text::open_ordinary(counter).is_err()).count();
    let check = |is_ok, finding| Check::new("powercap", is_ok, format!("{} {finding}", folder.display()));
    let names_some = text::entries(&folder)
        .any(|zone| zone.file_name().is_some_and(|name| name.to_string_lossy().contains("rapl:")));
    match (zones.len(), closed) {
        (0, _) if names_some => {
            check(Some(false), "has RAPL zones, but their files are missing: a container hides them".into())
        }
        (0, _) => check(Some(false), "has no RAPL zones".into()),
        (all, 0) => check(Some(true), format!("has {all} zones, all readable")),
        (all, closed) => check(Some(false), format!("has {all} zones, but this user may not read {closed} of them"))
            .fixed_by(super::fix::command()),
    }
}

/// Checks the energy events of perf, and whether this user may open them.
fn perf(root: &Path) -> Check {
    let has_unit = root.join("sys/bus/event_source/devices/power/events/energy-pkg").exists();
    let unit = if has_unit { "energy events found in the unit 'power'" } else { "no energy events: no unit 'power'" };
    let paranoid = read(&root.join("proc/sys/kernel/perf_event_paranoid")).and_then(|level| level.parse::<i32>().ok());
    let Some(level) = paranoid else {
        return Check::new("perf", Some(false), format!("{unit}; kernel.perf_event_paranoid cannot be read"));
    };
    let finding = format!("{unit}; kernel.perf_event_paranoid is {level}, but 0 or CAP_PERFMON is needed");
    let check = Check::new("perf", Some(has_unit && level <= 0), finding);
    if has_unit && level > 0 { check.fixed_by("sudo sysctl kernel.perf_event_paranoid=0") } else { check }
}

/// Checks NVIDIA's library and its versions. A separate thread asks, so that a hanging driver does not stop this one.
fn nvml(library: Option<&str>) -> Check {
    let path: OsString = library.unwrap_or("libnvidia-ml.so.1").into();
    let (sender, answer) = mpsc::channel();
    let ask = move || {
        let asked = Nvml::builder().lib_path(&path).init().and_then(|nvml| {
            let versions = (nvml.sys_nvml_version()?, nvml.sys_driver_version()?, nvml.device_count()?);
            std::mem::forget(nvml); // keeps the driver awake for the measurement
            Ok(versions)
        });
        let _ = sender.send(asked.map_err(|error| match error {
            NvmlError::LibloadingError(error) => format!("no NVIDIA driver: {error}"),
            error => error.to_string(),
        }));
    };
    let check = |is_ok, finding: String| Check::new("NVML", is_ok, finding);
    if let Err(error) = os::spawn_quiet("ct-nvml-version", ask) {
        return check(Some(false), format!("not checked, no thread could be started: {error}"));
    }
    match answer.recv_timeout(DRIVER_WAIT) {
        Ok(Ok((nvml, driver, gpus))) => check(Some(true), format!("version {nvml}, driver {driver}, GPUs: {gpus}")),
        Ok(Err(error)) => check(None, error),
        Err(_) => check(Some(false), format!("the driver did not answer within {} s", DRIVER_WAIT.as_secs()))
            .fixed_by("check that nvidia-smi answers; sudo nvidia-smi -pm 1 keeps the driver awake"),
    }
}

/// Shows the variables that select the job's GPUs.
fn gpus() -> Check {
    let setting = |name: &&str| Some(gpu_selection::assignment(name, &std::env::var_os(name)?.to_string_lossy()));
    let settings: Vec<String> = gpu_selection::VARIABLES.iter().filter_map(setting).collect();
    let finding =
        if settings.is_empty() { "no variable selects GPUs: all are measured".into() } else { settings.join(", ") };
    Check::new("GPUs", None, finding)
}

/// Shows whether this process runs in a container.
fn container(root: &Path) -> Check {
    let by_file = ["/.dockerenv", "/run/.containerenv", "/singularity", "/.singularity.d"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let by_variable = std::env::var("container").ok();
    let sign = by_file.map(|file| format!("{file} exists")).or(by_variable);
    let finding = match sign {
        Some(sign) => format!("yes ({sign}). If sensors of the host are missing, mount its /sys and set sysroot="),
        None => "no sign of one".into(),
    };
    let root = if root == Path::new("/") { String::new() } else { format!("; sysroot={}", root.display()) };
    Check::new("container", None, finding + &root)
}

/// Checks the shared memory in which the ranks of a job agree on their devices.
fn shared_memory() -> Check {
    let key = (os::random_u64() as u32 | 1 << 30) as i32;
    match os::Segment::create(key, 1).map(|segment| segment.remove()) {
        Ok(()) => Check::new(
            "shared memory",
            Some(true),
            "System V shared memory works: the ranks of a job count each device once",
        ),
        Err(error) => {
            let what = format!("no System V shared memory ({error}): only the first rank on each node counts devices");
            Check::new("shared memory", Some(false), what)
                .fixed_by("raise its limits (ipcs -l, sysctl kernel.shmmni), or measure on one rank only")
        }
    }
}

/// Shows the job of this process, whose ranks count each device once.
fn job(option: Option<&str>) -> Check {
    let finding = match Job::find(option, &os::variable, os::kin()) {
        Some(job) if job.is_named => format!("{}: one of its ranks on this node counts each device", job.words),
        Some(_) => {
            "no variable of a launcher; processes of one program that start together are taken as one job".into()
        }
        None => "none: each process counts all devices".into(),
    };
    Check::new("job", None, finding)
}

/// Shows the configuration files. Notes have what is left out of them.
fn configuration(options: &Options) -> Check {
    let shown =
        |paths: Vec<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let is_whole = options.config.messages.is_empty();
    if options.config.read.is_empty() && !is_whole {
        return Check::new("configuration", Some(false), "no file can be used: the notes have the reasons");
    }
    if options.config.read.is_empty() {
        let paths = ConfigFiles::paths(os::variable, std::env::current_dir().ok());
        let none = format!("no file at {}", shown(paths.into_iter().map(|(_, path)| path).collect()));
        return Check::new("configuration", None, none);
    }
    let finding = format!("options are read from {}", shown(options.config.read.clone()));
    Check::new("configuration", Some(is_whole), finding)
}

/// Checks that the shell starts this command by its name.
fn command() -> Check {
    let this = std::env::current_exe().unwrap_or_default();
    let finding = match OnPath::find(&os::variable("PATH").unwrap_or_default(), &this) {
        OnPath::This(path) => {
            return Check::new("command", Some(true), format!("'carbontracker' is {}", path.display()));
        }
        OnPath::Missing => {
            return Check::new("command", None, format!("PATH has no 'carbontracker'; this one is {}", this.display()));
        }
        OnPath::Other { path, is_python: true } => {
            format!("'carbontracker' is {}, of Python's Carbontracker, not this command", path.display())
        }
        OnPath::Other { path, .. } => format!("'carbontracker' is {}, not this command", path.display()),
    };
    let fix = format!("start this one as {SECOND_NAME}, or as {}", this.display());
    Check::new("command", Some(false), finding).fixed_by(fix)
}

/// Checks the folder for the run's files. The library makes it if it is missing.
fn log_dir(dir: &Path) -> Check {
    let there = dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let (can, cannot) =
        if there == dir { ("can be written to", "cannot be written to") } else { ("can be made", "cannot be made") };
    let finding = |what: &str| format!("{} {what}", dir.display());
    match try_file(there) {
        Ok(_) => Check::new("log_dir", Some(true), finding(can)),
        Err(error) => Check::new("log_dir", Some(false), finding(&format!("{cannot}: {error}")))
            .fixed_by(format!("mkdir -p '{}', and make sure that this user may write there", dir.display())),
    }
}

/// Writes a file and removes it at once.
fn try_file(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".carbontracker-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    let written = file.write_all(b"ok\n");
    fs::remove_file(&path)?;
    written.map(|()| file)
}
