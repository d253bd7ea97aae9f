//! RAPL energy counters of Intel and AMD processors through the kernel's powercap files
//! (Documentation/power/powercap/powercap.rst): `energy_uj` of each package and its memory.

use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::config::MeasurementConfig;
use crate::measurement::reading::{Fault, Reading};
use crate::measurement::source::sysfs::number_file::{self, NumberFile};
use crate::measurement::source::{Opened, Source, Unavailable};
use crate::os;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

const NAME: &str = "rapl";

/// No package draws more than this, W: the largest servers' are sold at 500 W, with peaks of twice that.
pub const MAX_PACKAGE_W: f64 = 2000.0;
/// Nor one socket's memory: some 20 W a module, of which a socket takes up to 32.
pub const MAX_DRAM_W: f64 = 1000.0;
/// Nor a machine's power supplies.
const MAX_PSYS_W: f64 = 20_000.0;

/// No machine has more zones, each seen by several ways.
const MOST_LOOKS: u32 = 4096;

const CURE: &str = "let this user read the counters: sudo chmod a+r /sys/class/powercap/*/energy_uj, or for good a udev rule in \
/etc/udev/rules.d/70-rapl.rules: SUBSYSTEM==\"powercap\", KERNEL==\"intel-rapl*:*\", ACTION==\"add\", RUN+=\"/bin/chmod a+r /sys%p/energy_uj\"";

/// What a container's runtime hides, and how it is started so that it does not: containerd's contrib/apparmor and
/// oci/spec.go, podman-run(1). A mount at the very same path does not help: runtimes mask after they mount.
const HIDDEN: &str = "hidden by the container";
const HIDDEN_CURE: &str = "on a Docker host start it with --security-opt systempaths=unconfined --security-opt apparmor=unconfined, with podman \
--security-opt unmask=/sys/devices/virtual/powercap; or, in Kubernetes too, mount the host's /sys and /proc at another \
place (docker run -v /sys:/host/sys:ro -v /proc:/host/proc:ro; a hostPath volume) and use sysroot=/host";

/// What a zone's `name` says it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Domain {
    Package,
    Dram,
    /// The whole platform; contains the packages.
    Psys,
}

/// A powercap zone worth measuring.
#[derive(Debug)]
struct RaplZone {
    dir: PathBuf,
    /// The directory's name: "intel-rapl:0:2".
    id: String,
    /// Its own name behind its parents': "package-0 dram".
    label: String,
    domain: Domain,
}

struct Rapl {
    channels: Vec<Channel>,
    files: Vec<NumberFile>,
}

/// Finds the counters of these kinds and opens them: packages, their memory, or psys as the node.
pub fn open(options: &MeasurementConfig, kinds: &[DeviceKind]) -> Opened {
    let (zones, mut unread) = zones(&options.sysroot);
    let missing =
        |reason: &str, cure: &str| Unavailable { source: NAME, reason: reason.into(), cure: Some(cure.into()) };
    if zones.is_empty() && !unread.is_empty() {
        return (None, unreadable(unread));
    }
    if zones.is_empty()
        && let Some(folder) = hidden(&options.sysroot)
    {
        let reason = format!("{HIDDEN}: the kernel has RAPL, but {} leads to nothing", folder.display());
        return (None, vec![missing(&reason, HIDDEN_CURE)]);
    }
    if zones.is_empty() {
        let reason = "no RAPL zone under /sys/class/powercap: a virtual machine, or the module is not loaded";
        let cure = "on the machine itself sudo modprobe intel_rapl_msr (it serves AMD too); in a container mount the host's /sys and say sysroot=";
        return (None, vec![missing(reason, cure)]);
    }
    let mut rapl = Rapl { channels: Vec::new(), files: Vec::new() };
    let mut unavailable = Vec::new();
    for (domain, kind) in
        [(Domain::Package, DeviceKind::Cpu), (Domain::Dram, DeviceKind::Dram), (Domain::Psys, DeviceKind::Node)]
    {
        let mut of_domain = zones.iter().filter(|zone| zone.domain == domain).peekable();
        match (domain, kinds.contains(&kind), of_domain.peek()) {
            (_, false, _) | (Domain::Dram, true, None) => (),
            (Domain::Package, true, None) => unavailable.push(missing(
                "no package zone: this machine meters the whole, not its packages",
                "components=node measures the whole",
            )),
            (Domain::Psys, true, None) => unavailable.push(missing(
                "no psys zone: this machine meters its packages, not the whole",
                "components=cpu,dram measures those",
            )),
            // Of several psys zones each may show the same whole.
            (Domain::Psys, true, Some(_)) => rapl.add(of_domain.take(1), &mut unread),
            (_, true, Some(_)) => rapl.add(of_domain, &mut unread),
        }
    }
    unavailable.extend(unreadable(unread));
    let source = (!rapl.files.is_empty()).then(|| Box::new(rapl) as Box<dyn Source>);
    (source, unavailable)
}

impl Rapl {
    /// Opens zones of one kind, each once: an MMIO twin, which comes later, is passed over. Where some can be
    /// read, those that cannot take part all the same, so that the report shows what it lacks.
    fn add<'a>(&mut self, zones: impl Iterator<Item = &'a RaplZone>, unread: &mut Vec<(PathBuf, Fault)>) {
        let control = |id: &str| id.split(':').next().map(str::to_owned);
        let (before, mut waiting) = (self.files.len(), Vec::new());
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
        if self.files.len() == before {
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

/// One reason for all that failed alike: a machine has many zones and one cure.
fn unreadable(unread: Vec<(PathBuf, Fault)>) -> Vec<Unavailable> {
    let mut by_reason = BTreeMap::<String, Vec<String>>::new();
    for (path, fault) in &unread {
        let why = if is_masked(path, *fault) { HIDDEN.to_owned() } else { fault.to_string() };
        by_reason.entry(why).or_default().push(path.display().to_string());
    }
    let cure = |why: &str| match why {
        HIDDEN => HIDDEN_CURE,
        why if why == Fault::Denied.to_string() => CURE,
        _ => "see what the files hold, then create the tracker again",
    };
    let entry = |(why, names): (String, Vec<String>)| Unavailable {
        source: NAME,
        cure: Some(cure(&why).into()),
        reason: format!("{}: {why}", names.join(", ")),
    };
    by_reason.into_iter().map(entry).collect()
}

/// What is left of zones that a container hides: an entry that leads nowhere, or to a folder that is empty or closed. The
/// folder of all zones is made with the first of them.
fn hidden(sysroot: &Path) -> Option<PathBuf> {
    let is_nothing = |path: &PathBuf| os::text::entries(path).next().is_none();
    let is_rapl = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("rapl"));
    let folders = ["sys/class/powercap", "sys/devices/virtual/powercap"].map(|folder| sysroot.join(folder));
    let entry = folders.iter().flat_map(|folder| os::text::entries(folder)).filter(is_rapl).find(is_nothing);
    let [_, all] = folders;
    entry.or_else(|| Some(all).filter(|all| all.is_dir() && is_nothing(all)))
}

/// Whether a file is another one than the kernel's, /dev/null by a mask, or is closed though its mode lets all read it.
fn is_masked(path: &Path, fault: Fault) -> bool {
    let file = std::fs::metadata(path);
    let is_device = file.as_ref().is_ok_and(|file| file.file_type().is_char_device());
    let is_open_to_all = file.map_or(true, |file| file.permissions().mode() & 0o004 != 0);
    (fault == Fault::NoFile && is_device) || (fault == Fault::Denied && is_open_to_all)
}

impl RaplZone {
    fn channel(&self) -> Channel {
        let (kind, max_watts) = match self.domain {
            Domain::Package => (DeviceKind::Cpu, MAX_PACKAGE_W),
            Domain::Dram => (DeviceKind::Dram, MAX_DRAM_W),
            Domain::Psys => (DeviceKind::Node, MAX_PSYS_W),
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

/// The zones that are no part of another one here, in order, MMIO twins behind what they repeat; and names of zones that
/// cannot be read, with the reason.
fn zones(sysroot: &Path) -> (Vec<RaplZone>, Vec<(PathBuf, Fault)>) {
    let (mut dirs, mut looks) = (BTreeMap::new(), MOST_LOOKS);
    for folder in ["sys/class/powercap", "sys/devices/virtual/powercap"] {
        collect(&sysroot.join(folder), 0, &mut looks, &mut dirs);
    }
    let name_of = |id: &str| dirs.get(id).and_then(|dir: &PathBuf| number_file::text(&dir.join("name")).ok());
    let unread = dirs.values().map(|dir| dir.join("name")).filter_map(|name| {
        let fault = Fault::from(number_file::text(&name).err()?);
        (fault != Fault::Gone).then_some((name, fault))
    });
    let unread = unread.collect();
    let mut zones: Vec<RaplZone> = dirs
        .iter()
        .filter_map(|(id, dir)| {
            let name = name_of(id)?;
            let domain = match name.as_str() {
                "dram" => Domain::Dram,
                "psys" => Domain::Psys,
                name if name.starts_with("package") => Domain::Package,
                _ => return None, // core, uncore: parts of their package
            };
            let parent = id.rsplit_once(':').and_then(|(parent, _)| name_of(parent));
            let label = parent.map_or(name.clone(), |parent| format!("{parent} {name}"));
            Some(RaplZone { dir: dir.clone(), id: id.clone(), label, domain })
        })
        .collect();
    zones.sort_by_key(|zone| (zone.id.contains("mmio"), numbers(&zone.id)));
    (zones, unread)
}

/// Finds zone folders, "control-type:0:1", however deep: the class folder links all of them side by side,
/// a copied tree may only nest them.
fn collect(folder: &Path, depth: u32, looks: &mut u32, zones: &mut BTreeMap<String, PathBuf>) {
    const DEEPEST: u32 = 4;
    for path in os::text::entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.contains("rapl") || depth > DEEPEST || *looks == 0 || !path.is_dir() {
            continue;
        }
        *looks -= 1;
        collect(&path, depth + 1, looks, zones);
        if name.contains(':') {
            zones.entry(name).or_insert(path);
        }
    }
}

/// "intel-rapl:10:2" as [10, 2], so that ten follows nine.
fn numbers(id: &str) -> Vec<u32> {
    id.split(':').skip(1).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A tree of (zone folder, name) whose counters start at 1,000,000.
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

        /// "kind id" of each channel, and the reasons of what is left out.
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
    fn packages_and_memory_once_and_no_part_twice() {
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
    fn more_than_nine_zones_psys_among_them_nested_or_flat() {
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
    fn an_mmio_zone_counts_where_it_has_no_twin() {
        let tree = RaplTree::new("mmio", &[("intel-rapl-mmio:0", "package-0"), ("intel-rapl:0", "psys")]);
        assert_eq!(tree.open("cpu,dram").0, ["cpu intel-rapl-mmio:0"]);
    }

    #[test]
    fn the_whole_is_missed_by_name_and_parts_are_said_to_win() {
        let tree = RaplTree::new("whole", &[("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")]);
        let (channels, reasons) = tree.open("node");
        assert!(channels.is_empty() && reasons.iter().any(|r| r.contains("no psys zone")), "{reasons:?}");
        assert_eq!(tree.open("node,dram").0, ["dram intel-rapl:0:0"]);
    }

    /// What runtimes leave of RAPL: links to nowhere (files, in a copied tree), empty folders, /dev/null for a file.
    #[test]
    fn zones_that_a_container_hides_are_said_to_be_hidden() {
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
    fn what_cannot_be_read_is_named() {
        let tree = RaplTree::new("broken", &[("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1")]);
        fs::write(tree.0.join("sys/class/powercap/intel-rapl:1/energy_uj"), "").unwrap();
        let (channels, reasons) = tree.open("cpu,dram");
        assert_eq!(channels, ["cpu intel-rapl:0", "cpu intel-rapl:1"], "the one that cannot be read is waited for");
        assert!(reasons.iter().any(|r| r.contains("intel-rapl:1/energy_uj") && r.contains("empty")), "{reasons:?}");
        let (channels, reasons) = RaplTree::new("none", &[]).open("cpu,dram");
        assert!(channels.is_empty() && reasons.iter().any(|r| r.contains("/sys/class/powercap")));
    }
}
