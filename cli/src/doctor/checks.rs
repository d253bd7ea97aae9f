//! What of a machine matters for measuring on it, each looked at by itself.

use carbontracker::coordination::job::Job;
use carbontracker::measurement::gpu_selection;
use carbontracker::options::Options;
use carbontracker::os::{self, text};
use carbontracker::sanitize;
use nvml_wrapper::Nvml;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// A GPU driver that sleeps takes seconds to wake up; one that is sick never does.
const DRIVER: Duration = Duration::from_secs(10);

/// One thing looked at.
pub struct Check {
    name: &'static str,
    /// None: neither good nor bad, but good to know.
    is_ok: Option<bool>,
    finding: String,
    cure: Option<String>,
}

impl Check {
    fn new(name: &'static str, is_ok: Option<bool>, finding: impl Into<String>) -> Check {
        Check { name, is_ok, finding: sanitize::text(finding), cure: None }
    }

    fn cured_by(self, cure: impl Into<String>) -> Check {
        Check { cure: Some(cure.into()), ..self }
    }

    /// As `doctor --json` has it.
    pub fn json(&self) -> Value {
        json!({"name": self.name, "ok": self.is_ok, "finding": self.finding, "cure": self.cure})
    }
}

/// All of them.
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
    checks.extend([shared_memory(), job(options.job.as_deref())]);
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

fn powercap(root: &Path) -> Check {
    let folder = root.join("sys/class/powercap");
    let zones = text::entries(&folder).map(|zone| zone.join("energy_uj"));
    let zones: Vec<_> = zones.filter(|counter| counter.exists()).collect();
    let closed = zones.iter().filter(|counter| text::open_ordinary(counter).is_err()).count();
    let check = |is_ok, finding| Check::new("powercap", is_ok, format!("{} {finding}", folder.display()));
    let names_some = text::entries(&folder)
        .any(|zone| zone.file_name().is_some_and(|name| name.to_string_lossy().contains("rapl:")));
    match (zones.len(), closed) {
        (0, _) if names_some => check(Some(false), "names RAPL zones that lead nowhere: a container hides them".into()),
        (0, _) => check(Some(false), "has no RAPL zones".into()),
        (all, 0) => check(Some(true), format!("has {all} zones, all readable")),
        (all, closed) => check(Some(false), format!("has {all} zones, of which this user may not read {closed}"))
            .cured_by(format!("sudo chmod a+r {}/*/energy_uj", folder.display())),
    }
}

fn perf(root: &Path) -> Check {
    let has_unit = root.join("sys/bus/event_source/devices/power/events/energy-pkg").exists();
    let unit =
        if has_unit { "the unit 'power' has energy events" } else { "there is no unit 'power' with energy events" };
    let paranoid = read(&root.join("proc/sys/kernel/perf_event_paranoid")).and_then(|level| level.parse::<i32>().ok());
    let Some(level) = paranoid else {
        return Check::new("perf", Some(false), format!("{unit}; kernel.perf_event_paranoid cannot be read"));
    };
    let finding = format!("{unit}; kernel.perf_event_paranoid is {level}, and 0 or CAP_PERFMON is needed");
    let check = Check::new("perf", Some(has_unit && level <= 0), finding);
    if has_unit && level > 0 { check.cured_by("sudo sysctl kernel.perf_event_paranoid=0") } else { check }
}

/// The driver's library and its versions, asked for on a thread that nobody has to wait for.
fn nvml(library: Option<&str>) -> Check {
    let path: OsString = library.unwrap_or("libnvidia-ml.so.1").into();
    let (sender, answer) = mpsc::channel();
    let ask = move || {
        let asked = Nvml::builder().lib_path(&path).init().and_then(|nvml| {
            let versions = (nvml.sys_nvml_version()?, nvml.sys_driver_version()?, nvml.device_count()?);
            std::mem::forget(nvml); // kept awake for the reading
            Ok(versions)
        });
        let _ = sender.send(asked.map_err(|error| error.to_string()));
    };
    let check = |is_ok, finding: String| Check::new("NVML", is_ok, finding);
    if let Err(error) = os::spawn_quiet("ct-nvml-version", ask) {
        return check(Some(false), format!("no thread to ask it: {error}"));
    }
    match answer.recv_timeout(DRIVER) {
        Ok(Ok((nvml, driver, gpus))) => check(Some(true), format!("version {nvml}, driver {driver}, GPUs: {gpus}")),
        Ok(Err(error)) => check(None, error),
        Err(_) => check(Some(false), format!("the driver has not answered for {} s", DRIVER.as_secs()))
            .cured_by("see whether nvidia-smi answers; sudo nvidia-smi -pm 1 keeps the driver awake"),
    }
}

/// Who says which GPUs are this job's.
fn gpus() -> Check {
    let said = |name: &&str| Some(gpu_selection::assignment(name, &std::env::var_os(name)?.to_string_lossy()));
    let said: Vec<String> = gpu_selection::VARIABLES.iter().filter_map(said).collect();
    let finding = if said.is_empty() { "no variable chooses among them: all count".into() } else { said.join(", ") };
    Check::new("GPUs", None, finding)
}

fn container(root: &Path) -> Check {
    let by_file = ["/.dockerenv", "/run/.containerenv", "/singularity", "/.singularity.d"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let by_variable = std::env::var("container").ok();
    let finding = match (by_file, by_variable) {
        (Some(file), _) => {
            format!("yes, by {file}: where sensors of the host are missing, mount its /sys and say sysroot=")
        }
        (None, Some(kind)) => {
            format!("yes, {kind}: where sensors of the host are missing, mount its /sys and say sysroot=")
        }
        (None, None) => "no sign of one".into(),
    };
    let root = if root == Path::new("/") { String::new() } else { format!("; sysroot={}", root.display()) };
    Check::new("container", None, finding + &root)
}

/// Where the ranks of a job agree who counts what.
fn shared_memory() -> Check {
    let key = (os::random_u64() as u32 | 1 << 30) as i32;
    match os::Segment::create(key, 1).map(|segment| segment.remove()) {
        Ok(()) => {
            Check::new("shared memory", Some(true), "System V's is usable: the ranks of a job count each device once")
        }
        Err(error) => {
            let what = format!("System V's cannot be had ({error}): of a job's ranks the first of each node counts");
            Check::new("shared memory", Some(false), what)
                .cured_by("raise its limits (ipcs -l, sysctl kernel.shmmni), or measure on one rank only")
        }
    }
}

fn job(option: Option<&str>) -> Check {
    let finding = match Job::find(option, &os::variable, os::kin()) {
        Some(job) if job.is_named => format!("{}: of its ranks on this node one counts each device", job.words),
        Some(_) => {
            "none by a launcher's variables; processes of one program that are started together count as one".into()
        }
        None => "none: each process counts all by itself".into(),
    };
    Check::new("job", None, finding)
}

/// The folder of the run's files, which the library makes where it is not there.
fn log_dir(dir: &Path) -> Check {
    let there = dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let (can, cannot) =
        if there == dir { ("can be written to", "cannot be written to") } else { ("can be made", "cannot be made") };
    let finding = |what: &str| format!("{} {what}", dir.display());
    match try_file(there) {
        Ok(_) => Check::new("log_dir", Some(true), finding(can)),
        Err(error) => Check::new("log_dir", Some(false), finding(&format!("{cannot}: {error}")))
            .cured_by(format!("mkdir -p '{}', and see that this user may write there", dir.display())),
    }
}

/// Writes a file that has no name, or one that goes at once.
fn try_file(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".carbontracker-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    let written = file.write_all(b"ok\n");
    fs::remove_file(&path)?;
    written.map(|()| file)
}
