//! The limits that control groups of version 1 or 2 set on this process's processor time and memory.

use crate::measurement::reading::Fault;
use crate::measurement::source::sysfs::number_file;
use crate::os;
use std::path::{Path, PathBuf};

/// A limit of processor time.
pub struct Quota {
    /// The limit as a number of processors, above 0.
    pub processors: f64,
    /// The file that counts the used time.
    usage: PathBuf,
}

impl Quota {
    /// The time used so far, µs; None if the file's content is not a time. Fails if the file cannot be read.
    pub fn used_us(&self) -> std::io::Result<Option<f64>> {
        os::text::read(&self.usage, os::text::MAX_SYS_BYTES).map(|text| used_us(&text))
    }
}

/// The lowest limit of this process's processor time. A limit without a readable used time is ignored.
pub fn quota(sysroot: &Path) -> Option<Quota> {
    let groups = Groups::read(sysroot)?;
    let usage: Vec<Vec<PathBuf>> = ["cpuacct", "cpu", ""].map(|name| groups.folders(name)).into();
    let used_in = |depth: usize, folder: &Path| {
        // The group's own file comes first, then the files of the group at the same depth in the other hierarchies.
        let others = usage.iter().filter_map(|folders| folders.get(depth).map(PathBuf::as_path));
        let candidates = std::iter::once(folder).chain(others);
        candidates.flat_map(|folder| ["cpuacct.usage", "cpu.stat"].map(|file| folder.join(file))).find(|file| {
            let text = os::text::read(file, os::text::MAX_SYS_BYTES);
            text.is_ok_and(|text| used_us(&text).is_some())
        })
    };
    let mut quotas = Vec::new();
    for (folders, cap) in [(groups.folders(""), v2_cap as fn(&Path) -> Option<f64>), (groups.folders("cpu"), v1_cap)] {
        for (depth, folder) in folders.iter().enumerate() {
            let Some(processors) = cap(folder) else { continue };
            quotas.extend(used_in(depth, folder).map(|usage| Quota { processors, usage }));
        }
    }
    quotas.into_iter().min_by(|a, b| a.processors.total_cmp(&b.processors))
}

/// The lowest limit of this process's memory, bytes; None if there is none.
pub fn memory_limit(sysroot: &Path) -> Option<u64> {
    let groups = Groups::read(sysroot)?;
    let limit = |folder: PathBuf, file: &str| number_file::text(&folder.join(file)).ok()?.parse::<u64>().ok();
    let v2 = groups.folders("").into_iter().filter_map(|folder| limit(folder, "memory.max"));
    let v1 = groups.folders("memory").into_iter().filter_map(|folder| limit(folder, "memory.limit_in_bytes"));
    v2.chain(v1).min()
}

/// The control group that a batch system made for a job.
pub struct JobGroup {
    usage: PathBuf,
    memory: Option<PathBuf>,
}

impl JobGroup {
    /// The used processor time so far, s.
    pub fn used_s(&self) -> Result<f64, Fault> {
        let text = os::text::read(&self.usage, os::text::MAX_SYS_BYTES)?;
        used_us(&text).map(|micros| micros * 1e-6).ok_or(Fault::Garbage)
    }

    /// The memory in use, bytes; None: unknown.
    pub fn memory_bytes(&self) -> Option<f64> {
        number_file::text(self.memory.as_ref()?).ok()?.trim().parse::<u64>().ok().map(|bytes| bytes as f64)
    }
}

/// The control group of the batch job with this number, among the groups of this process: Slurm names it `job_N`, PBS
/// `N`. None: there is none, or its processor time cannot be read.
pub fn job_group(sysroot: &Path, id: &str) -> Option<JobGroup> {
    let groups = Groups::read(sysroot)?;
    let slurm = format!("job_{id}");
    let is_of_job = |folder: &PathBuf| {
        folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name == slurm || name == id)
    };
    let file = |controller: &str, names: &[&str]| {
        let folder = groups.folders(controller).into_iter().find(is_of_job)?;
        names.iter().map(|name| folder.join(name)).find(|file| file.is_file())
    };
    let usage = file("cpuacct", &["cpuacct.usage"]).or_else(|| file("", &["cpu.stat"]))?;
    let memory = file("memory", &["memory.usage_in_bytes"]).or_else(|| file("", &["memory.current"]));
    let group = JobGroup { usage, memory };
    group.used_s().is_ok().then_some(group)
}

/// The limit in a folder of version 2, as a number of processors.
fn v2_cap(folder: &Path) -> Option<f64> {
    let cap = number_file::text(&folder.join("cpu.max")).ok()?;
    let (quota, period) = cap.split_once(' ')?;
    processors(quota, period)
}

/// The limit in a folder of version 1, as a number of processors.
fn v1_cap(folder: &Path) -> Option<f64> {
    let text = |file: &str| number_file::text(&folder.join(file)).ok();
    processors(&text("cpu.cfs_quota_us")?, &text("cpu.cfs_period_us")?)
}

fn processors(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.trim().parse::<f64>().ok()?, period.trim().parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0 && quota.is_finite() && period.is_finite()).then(|| quota / period)
}

/// The used time, µs: `usage_usec` in version 2, a single number of ns in version 1.
fn used_us(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse::<f64>().ok());
    line.or_else(|| Some(text.trim().parse::<u64>().ok()? as f64 * 1e-3))
}

/// The groups of this process in each hierarchy of control groups, and the mount points of the hierarchies.
struct Groups {
    sysroot: PathBuf,
    /// The controllers and the path in the hierarchy, from each line of /proc/self/cgroup. Version 2 has no
    /// controllers.
    memberships: Vec<(Vec<String>, String)>,
    mounts: Vec<Mount>,
}

/// A mounted hierarchy.
struct Mount {
    /// The hierarchy's controllers; version 2 has none.
    controllers: Vec<String>,
    /// The group that is visible at the mount point.
    root: String,
    point: String,
}

impl Groups {
    fn read(sysroot: &Path) -> Option<Groups> {
        let text = |file: &str, most| os::text::read(&sysroot.join(file), most);
        let membership = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            Some((words(controllers), path.to_owned()))
        };
        let memberships =
            text("proc/self/cgroup", os::text::MAX_PROC_BYTES).ok()?.lines().filter_map(membership).collect();
        let mountinfo = text("proc/self/mountinfo", os::text::MAX_TABLE_BYTES).unwrap_or_default();
        let mounts = mountinfo.lines().filter_map(Mount::of_line).collect();
        Some(Groups { sysroot: sysroot.to_owned(), memberships, mounts })
    }

    /// The visible folders of this process's group under a controller and of the group's parents, the group first. The
    /// controller "" means version 2.
    fn folders(&self, controller: &str) -> Vec<PathBuf> {
        let has = |controllers: &[String]| match controller {
            "" => controllers.is_empty(),
            name => controllers.iter().any(|one| one == name),
        };
        let Some((controllers, path)) = self.memberships.iter().find(|(controllers, _)| has(controllers)) else {
            return Vec::new();
        };
        let mounts: Vec<&Mount> = self.mounts.iter().filter(|mount| has(&mount.controllers)).collect();
        let pairs: Vec<(String, &str)> = if mounts.is_empty() {
            usual_points(controllers, controller).into_iter().map(|point| (point, path.as_str())).collect()
        } else {
            mounts.iter().map(|mount| (mount.point.clone(), within(path, &mount.root))).collect()
        };
        let folders = |(point, path): &(String, &str)| {
            let point = self.sysroot.join(point.trim_start_matches('/'));
            let groups = Path::new(path.trim_start_matches('/')).ancestors();
            groups.map(|group| point.join(group)).filter(|folder| folder.is_dir()).collect::<Vec<_>>()
        };
        // If several mounts show the path, the first one that shows most of it counts.
        pairs.iter().rev().map(folders).max_by_key(Vec::len).unwrap_or_default()
    }
}

impl Mount {
    /// Parses a line of /proc/self/mountinfo: "31 23 0:28 ROOT POINT options tags - TYPE source OPTIONS".
    fn of_line(line: &str) -> Option<Mount> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3).map(unescaped);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut kind = kind.split(' ');
        let controllers = match kind.next()? {
            "cgroup2" => Vec::new(),
            "cgroup" => words(kind.nth(1)?),
            _ => return None,
        };
        Some(Mount { controllers, root, point })
    }
}

/// The usual mount points of a hierarchy that /proc/self/mountinfo does not list.
fn usual_points(controllers: &[String], controller: &str) -> Vec<String> {
    let written: Vec<&str> = controllers.iter().map(String::as_str).collect();
    let turned: Vec<&str> = written.iter().copied().rev().collect();
    let mut names = match controller {
        "" => return ["sys/fs/cgroup/unified", "sys/fs/cgroup"].map(str::to_owned).into(),
        name => vec![written.join(","), turned.join(","), name.to_owned()],
    };
    names.dedup();
    names.into_iter().map(|name| format!("sys/fs/cgroup/{name}")).collect()
}

/// A group's path as seen from a mount's root. A group outside the root is invisible, and the root serves instead.
fn within<'a>(path: &'a str, root: &str) -> &'a str {
    let root = root.trim_end_matches('/');
    match path.strip_prefix(root) {
        Some(rest) if (rest.is_empty() || rest.starts_with('/')) && !path.contains("/..") => rest,
        _ => "",
    }
}

fn words(list: &str) -> Vec<String> {
    list.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A path with the kernel's escapes replaced: it writes a space as \040.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
#[path = "cgroup/tests.rs"]
mod tests;
