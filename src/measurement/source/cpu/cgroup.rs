//! The cap that control groups of version 1 or 2 set on this process's processor time and memory.

use crate::measurement::source::sysfs::number_file;
use crate::os;
use std::path::{Path, PathBuf};

/// A cap on processor time.
pub struct Quota {
    /// So many processors' time.
    pub processors: f64,
    /// The file that counts the time used.
    usage: PathBuf,
}

impl Quota {
    /// The time used so far, µs.
    pub fn used_us(&self) -> std::io::Result<Option<f64>> {
        os::text::read(&self.usage, os::text::SMALL).map(|text| used_us(&text))
    }
}

/// The tightest cap on this process's processor time. None where there is none, or none that can be followed.
pub fn quota(sysroot: &Path) -> Option<Quota> {
    let groups = Groups::read(sysroot)?;
    let usage: Vec<Vec<PathBuf>> = ["cpuacct", "cpu", ""].map(|name| groups.folders(name)).into();
    let used_in = |depth: usize, folder: &Path| {
        // The group's own file, else that of the same group, counted from the process's own, in another hierarchy.
        let others = usage.iter().filter_map(|folders| folders.get(depth).map(PathBuf::as_path));
        let candidates = std::iter::once(folder).chain(others);
        candidates.flat_map(|folder| ["cpuacct.usage", "cpu.stat"].map(|file| folder.join(file))).find(|file| {
            let text = os::text::read(file, os::text::SMALL);
            text.is_ok_and(|text| used_us(&text).is_some())
        })
    };
    let mut quotas = Vec::new();
    for (folders, cap) in [(groups.folders(""), second as fn(&Path) -> Option<f64>), (groups.folders("cpu"), first)] {
        for (depth, folder) in folders.iter().enumerate() {
            let Some(processors) = cap(folder) else { continue };
            quotas.extend(used_in(depth, folder).map(|usage| Quota { processors, usage }));
        }
    }
    quotas.into_iter().min_by(|a, b| a.processors.total_cmp(&b.processors))
}

/// The tightest cap on this process's memory, bytes.
pub fn memory_limit(sysroot: &Path) -> Option<u64> {
    let groups = Groups::read(sysroot)?;
    let limit = |folder: PathBuf, file: &str| number_file::text(&folder.join(file)).ok()?.parse::<u64>().ok();
    let second = groups.folders("").into_iter().filter_map(|folder| limit(folder, "memory.max"));
    let first = groups.folders("memory").into_iter().filter_map(|folder| limit(folder, "memory.limit_in_bytes"));
    second.chain(first).min()
}

/// The cap in a folder of version 2, in processors.
fn second(folder: &Path) -> Option<f64> {
    let cap = number_file::text(&folder.join("cpu.max")).ok()?;
    let (quota, period) = cap.split_once(' ')?;
    processors(quota, period)
}

/// The cap in a folder of version 1, in processors.
fn first(folder: &Path) -> Option<f64> {
    let text = |file: &str| number_file::text(&folder.join(file)).ok();
    processors(&text("cpu.cfs_quota_us")?, &text("cpu.cfs_period_us")?)
}

fn processors(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.trim().parse::<f64>().ok()?, period.trim().parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0 && quota.is_finite() && period.is_finite()).then(|| quota / period)
}

/// Time used, µs: `usage_usec` of version 2, or version 1's single number of nanoseconds.
fn used_us(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse::<f64>().ok());
    line.or_else(|| Some(text.trim().parse::<u64>().ok()? as f64 * 1e-3))
}

/// Where this process stands in each hierarchy of control groups, and where those are mounted.
struct Groups {
    sysroot: PathBuf,
    /// Controllers (none: version 2) and the path within the hierarchy, of each line of /proc/self/cgroup.
    memberships: Vec<(Vec<String>, String)>,
    mounts: Vec<Mount>,
}

/// A mounted hierarchy.
struct Mount {
    /// Its controllers; none: version 2.
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
        let memberships = text("proc/self/cgroup", os::text::MEDIUM).ok()?.lines().filter_map(membership).collect();
        let mountinfo = text("proc/self/mountinfo", os::text::LARGE).unwrap_or_default();
        let mounts = mountinfo.lines().filter_map(Mount::of_line).collect();
        Some(Groups { sysroot: sysroot.to_owned(), memberships, mounts })
    }

    /// This process's group under a controller ("": version 2) and its parents', as far as they are visible.
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
        // The place that shows most of the way to the group; the first of several.
        pairs.iter().rev().map(folders).max_by_key(Vec::len).unwrap_or_default()
    }
}

impl Mount {
    /// "31 23 0:28 ROOT POINT options tags - TYPE source OPTIONS" of /proc/self/mountinfo.
    fn of_line(line: &str) -> Option<Mount> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3).map(unescaped);
        let (root, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let controllers = match kind.next()? {
            "cgroup2" => Vec::new(),
            "cgroup" => words(kind.nth(1)?),
            _ => return None,
        };
        Some(Mount { controllers, root, point })
    }
}

/// Where a hierarchy is mounted, where /proc/self/mountinfo does not list it.
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

/// A group's path as seen from a mount's root. A group beyond the root is invisible: the root stands for it.
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

/// The kernel writes a blank in a path as \040.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
#[path = "cgroup/tests.rs"]
mod tests;
