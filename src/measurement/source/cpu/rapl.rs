//! RAPL energy counters of Intel and AMD processors through the kernel's powercap files
//! (Documentation/power/powercap/powercap.rst): `energy_uj` of each package and its memory, or of the whole platform.

mod zones;

use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::config::MeasurementConfig;
use crate::measurement::reading::{Fault, Reading};
use crate::measurement::source::sysfs::number_file::{self, NumberFile};
use crate::measurement::source::{Opened, Source};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zones::{RaplDomain, RaplZone, zones};

const NAME: SourceName = SourceName::Rapl;

/// The most power of a package, W. The largest are rated at 500 W, with peaks of twice that.
pub const MAX_PACKAGE_W: f64 = 2000.0;
/// The most power of a socket's memory, W: about 20 W for each of at most 32 modules.
pub const MAX_DRAM_W: f64 = 1000.0;
/// The most power of a whole platform, W.
const MAX_PSYS_W: f64 = 20_000.0;

const CURE: &str = "let all users read the counters until the next boot: sudo chmod a+r /sys/class/powercap/*/energy_uj; \
'carbontracker doctor --fix' does so for ever";

/// The reason if the container's runtime hides the files. Its fix is from containerd's contrib/apparmor and oci/spec.go
/// and from podman-run(1). A mount at the same path does not help, because runtimes mask after they mount.
const HIDDEN: &str = "hidden by the container";
const HIDDEN_CURE: &str = "start the container with --security-opt systempaths=unconfined --security-opt apparmor=unconfined (Docker) or \
--security-opt unmask=/sys/devices/virtual/powercap (podman); or, also in Kubernetes, mount the host's /sys and /proc at another \
place (docker run -v /sys:/host/sys:ro -v /proc:/host/proc:ro; a hostPath volume) and use sysroot=/host";

struct Rapl {
    channels: Vec<Channel>,
    files: Vec<NumberFile>,
}

/// Finds and opens the counters of these kinds: packages, their memory, or psys as the node.
pub fn open(options: &MeasurementConfig, kinds: &[DeviceKind]) -> Opened {
    let (zones, mut unread) = zones(&options.sysroot);
    let missing =
        |reason: &str, cure: &str| Unavailable { source: NAME, reason: reason.into(), cure: Some(cure.into()) };
    if zones.is_empty() && !unread.is_empty() {
        return (None, unreadable(unread));
    }
    if zones.is_empty() {
        if let Some(folder) = hidden(&options.sysroot) {
            let reason = format!("{HIDDEN}: the kernel has RAPL, but {} cannot be read", folder.display());
            return (None, vec![missing(&reason, HIDDEN_CURE)]);
        }
        let reason = "no RAPL zone under /sys/class/powercap: a virtual machine, or the module is not loaded";
        let cure = "on the machine: sudo modprobe intel_rapl_msr (also for AMD); in a container: mount the host's /sys and set sysroot=";
        return (None, vec![missing(reason, cure)]);
    }
    let mut rapl = Rapl { channels: Vec::new(), files: Vec::new() };
    let mut unavailable = Vec::new();
    for (domain, kind) in [
        (RaplDomain::Package, DeviceKind::Cpu),
        (RaplDomain::Dram, DeviceKind::Dram),
        (RaplDomain::Psys, DeviceKind::Node),
    ] {
        let mut of_domain = zones.iter().filter(|zone| zone.domain == domain).peekable();
        match (domain, kinds.contains(&kind), of_domain.peek()) {
            (_, false, _) | (RaplDomain::Dram, true, None) => (),
            (RaplDomain::Package, true, None) => unavailable.push(missing(
                "no package zone: this machine meters the whole, not its packages",
                "measure the whole by components=node",
            )),
            (RaplDomain::Psys, true, None) => unavailable.push(missing(
                "no psys zone: this machine meters its packages, not the whole",
                "measure the packages by components=cpu,dram",
            )),
            // Several psys zones may show the same whole, so only the first counts.
            (RaplDomain::Psys, true, Some(_)) => rapl.add(of_domain.take(1), &mut unread),
            (_, true, Some(_)) => rapl.add(of_domain, &mut unread),
        }
    }
    unavailable.extend(unreadable(unread));
    let source = (!rapl.files.is_empty()).then(|| Box::new(rapl) as Box<dyn Source>);
    (source, unavailable)
}

impl Rapl {
    /// Adds the zones of one kind, each once. An MMIO zone that repeats an earlier zone is skipped.
    ///
    /// If some of them can be read, the others take part too, so that the report lists them as missing.
    fn add<'a>(&mut self, zones: impl Iterator<Item = &'a RaplZone>, unread: &mut Vec<(PathBuf, Fault)>) {
        let control = |id: &str| id.split(':').next().map(str::to_owned);
        let (files_before, mut waiting) = (self.files.len(), Vec::new());
        for zone in zones {
            let is_twin = |channel: &Channel| channel.device == zone.label && control(&channel.id) != control(&zone.id);
            if self.channels.iter().any(is_twin) {
                continue;
            }
            let path = zone.dir.join("energy_uj");
            match NumberFile::open(path.clone()) {
                Ok(file) => {
                    self.channels.push(zone.channel());
                    self.files.push(file);
                }
                Err(fault) => {
                    unread.push((path.clone(), fault));
                    waiting.push((zone, path));
                }
            }
        }
        if self.files.len() == files_before {
            return;
        }
        for (zone, path) in waiting {
            if !self.channels.iter().any(|channel| channel.device == zone.label) {
                self.channels.push(zone.channel());
                self.files.push(NumberFile::unopened(path));
            }
        }
    }
}

/// One entry for each reason, with all zones that failed for it.
fn unreadable(unread: Vec<(PathBuf, Fault)>) -> Vec<Unavailable> {
    let mut by_reason = BTreeMap::<String, Vec<String>>::new();
    for (path, fault) in &unread {
        let reason = if is_masked(path, *fault) { HIDDEN.to_owned() } else { fault.to_string() };
        by_reason.entry(reason).or_default().push(path.display().to_string());
    }
    let cure = |reason: &str| match reason {
        HIDDEN => HIDDEN_CURE,
        reason if reason == Fault::Denied.to_string() => CURE,
        _ => "check the content of the files, then create the tracker again",
    };
    let entry = |(reason, names): (String, Vec<String>)| Unavailable {
        source: NAME,
        cure: Some(cure(&reason).into()),
        reason: format!("{}: {reason}", names.join(", ")),
    };
    by_reason.into_iter().map(entry).collect()
}

/// A trace of zones that a container hides: a broken link, or a folder that is empty or unreadable. The kernel creates
/// the folder of all zones together with the first zone.
fn hidden(sysroot: &Path) -> Option<PathBuf> {
    let is_empty = |path: &PathBuf| os::text::entries(path).next().is_none();
    let is_rapl = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("rapl"));
    let folders = ["sys/class/powercap", "sys/devices/virtual/powercap"].map(|folder| sysroot.join(folder));
    let entry = folders.iter().flat_map(|folder| os::text::entries(folder)).filter(is_rapl).find(is_empty);
    let [_, all] = folders;
    entry.or_else(|| Some(all).filter(|all| all.is_dir() && is_empty(all)))
}

/// Whether a container masks a file: it is a device such as /dev/null, or it cannot be read although its mode allows
/// that.
fn is_masked(path: &Path, fault: Fault) -> bool {
    let file = std::fs::metadata(path);
    let is_device = file.as_ref().is_ok_and(|file| file.file_type().is_char_device());
    let is_open_to_all = file.map_or(true, |file| file.permissions().mode() & 0o004 != 0);
    (fault == Fault::NoFile && is_device) || (fault == Fault::Denied && is_open_to_all)
}

impl RaplZone {
    fn channel(&self) -> Channel {
        let (kind, max_watts) = match self.domain {
            RaplDomain::Package => (DeviceKind::Cpu, MAX_PACKAGE_W),
            RaplDomain::Dram => (DeviceKind::Dram, MAX_DRAM_W),
            RaplDomain::Psys => (DeviceKind::Node, MAX_PSYS_W),
        };
        let range = number_file::text(&self.dir.join("max_energy_range_uj")).ok().and_then(|range| range.parse().ok());
        let range = range.filter(|&range| range > 0);
        let quantity = Quantity::Counter { joules_per_unit: 1e-6, range, max_watts };
        Channel::new((kind, NAME), self.label.as_str(), self.id.as_str(), MeasuringMethod::Counter, quantity)
    }
}

impl Source for Rapl {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        crate::measurement::source::read_counters(&mut self.files, clock, readings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A tree of zones, given as (folder, name). All counters start at 1,000,000.
    struct RaplTree(PathBuf);

    impl RaplTree {
        fn new(label: &str, zones: &[(&str, &str)]) -> RaplTree {
            let root = std::env::temp_dir().join(format!("ct-rapl-{label}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            for (zone, name) in zones {
                let dir = root.join("sys/class/powercap").join(zone);
                fs::create_dir_all(&dir).unwrap();
                fs::write(dir.join("name"), format!("{name}\n")).unwrap();
                fs::write(dir.join("energy_uj"), "1000000\n").unwrap();
                fs::write(dir.join("max_energy_range_uj"), "262143328850\n").unwrap();
            }
            RaplTree(root)
        }

        /// "kind id" of each channel, and the reasons of sources that are left out.
        fn open(&self, components: &str) -> (Vec<String>, Vec<String>) {
            let text = format!("sysroot={} components={components}", self.0.display());
            let (source, unavailable) = {
                let options = crate::options::Options::parse(&text, |_| None).unwrap().measurement;
                open(&options, &options.components)
            };
            let channels =
                source.iter().flat_map(|s| s.channels()).map(|c| format!("{} {}", c.kind.name(), c.id)).collect();
            (channels, unavailable.into_iter().map(|u| u.reason).collect())
        }
    }

    impl Drop for RaplTree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn packages_and_memory_are_counted_once() {
        let tree = RaplTree::new(
            "server",
            &[
                ("intel-rapl:0", "package-0"),
                ("intel-rapl:0:0", "core"),
                ("intel-rapl:0:1", "uncore"),
                ("intel-rapl:0:2", "dram"),
                ("intel-rapl:1", "package-1"),
                ("intel-rapl:1:0", "dram"),
                ("intel-rapl:2", "psys"),
                ("intel-rapl-mmio:0", "package-0"),
            ],
        );
        let (channels, reasons) = tree.open("cpu,dram");
        assert_eq!(channels, ["cpu intel-rapl:0", "cpu intel-rapl:1", "dram intel-rapl:0:2", "dram intel-rapl:1:0"]);
        assert_eq!(reasons.len(), 0, "{reasons:?}");
        assert_eq!(tree.open("cpu").0, ["cpu intel-rapl:0", "cpu intel-rapl:1"]);
        assert_eq!(tree.open("dram").0, ["dram intel-rapl:0:2", "dram intel-rapl:1:0"]);
        assert_eq!(tree.open("node").0, ["node intel-rapl:2"]);
    }

    #[test]
    fn zones_are_found_nested_or_flat_and_sorted_by_number() {
        let names: Vec<(String, String)> = (0..12)
            .map(|n| (format!("intel-rapl:{n}"), if n == 1 { "psys".into() } else { format!("package-{n}") }))
            .collect();
        let zones: Vec<(&str, &str)> = names.iter().map(|(z, n)| (z.as_str(), n.as_str())).collect();
        let (channels, _) = RaplTree::new("many", &zones).open("cpu,dram");
        assert_eq!(channels.len(), 11);
        assert_eq!(channels.last().unwrap(), "cpu intel-rapl:11");
        let nested = RaplTree::new(
            "nested",
            &[("intel-rapl/intel-rapl:0", "package-0"), ("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram")],
        );
        assert_eq!(nested.open("cpu,dram").0, ["cpu intel-rapl:0", "dram intel-rapl:0:0"]);
    }

    #[test]
    fn mmio_zone_counts_if_it_repeats_no_other() {
        let tree = RaplTree::new("mmio", &[("intel-rapl-mmio:0", "package-0"), ("intel-rapl:0", "psys")]);
        assert_eq!(tree.open("cpu,dram").0, ["cpu intel-rapl-mmio:0"]);
    }

    #[test]
    fn missing_psys_zone_is_reported_and_memory_counts_without_it() {
        let tree = RaplTree::new("whole", &[("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")]);
        let (channels, reasons) = tree.open("node");
        assert!(channels.is_empty() && reasons.iter().any(|r| r.contains("no psys zone")), "{reasons:?}");
        assert_eq!(tree.open("node,dram").0, ["dram intel-rapl:0:0"]);
    }

    /// Runtimes leave broken links (files, in a copied tree), empty folders, or /dev/null in place of a file.
    #[test]
    fn zones_hidden_by_a_container_are_reported_as_hidden() {
        for entries in [
            &["sys/class/powercap/intel-rapl:0 -> ../../devices/virtual/powercap/intel-rapl/intel-rapl:0"][..],
            &["sys/class/powercap/intel-rapl:0"],
            &["sys/class/powercap/intel-rapl:0/"],
            &["sys/devices/virtual/powercap/"],
            &["sys/devices/virtual/powercap/intel-rapl/"],
            &["sys/class/powercap/intel-rapl:0/name", "sys/class/powercap/intel-rapl:0/energy_uj -> /dev/null"],
        ] {
            let tree = RaplTree::new("hidden", &[]);
            for entry in entries {
                let (path, target) = entry.split_once(" -> ").unwrap_or((entry, ""));
                let path = tree.0.join(path);
                fs::create_dir_all(if entry.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
                match target {
                    "" if entry.ends_with('/') => (),
                    "" => fs::write(path, "package-0\n").unwrap(),
                    target => std::os::unix::fs::symlink(target, path).unwrap(),
                }
            }
            let options =
                crate::options::Options::parse(&format!("sysroot={}", tree.0.display()), |_| None).unwrap().measurement;
            let (source, why) = open(&options, &[DeviceKind::Cpu]);
            assert!(source.is_none() && why.len() == 1 && why[0].reason.contains(HIDDEN), "{entries:?}: {why:?}");
            assert_eq!(why[0].cure.as_deref(), Some(HIDDEN_CURE));
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let tree = RaplTree::new("broken", &[("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1")]);
        fs::write(tree.0.join("sys/class/powercap/intel-rapl:1/energy_uj"), "").unwrap();
        let (channels, reasons) = tree.open("cpu,dram");
        assert_eq!(channels, ["cpu intel-rapl:0", "cpu intel-rapl:1"], "the unreadable one takes part too");
        assert!(reasons.iter().any(|r| r.contains("intel-rapl:1/energy_uj") && r.contains("empty")), "{reasons:?}");
        let (channels, reasons) = RaplTree::new("none", &[]).open("cpu,dram");
        assert!(channels.is_empty() && reasons.iter().any(|r| r.contains("/sys/class/powercap")));
    }
}
