//! Finds the RAPL zones in the powercap folders.

use crate::measurement::reading::Fault;
use crate::measurement::source::sysfs::number_file;
use crate::os;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most zone folders that are searched. A machine has far fewer, though each can be found on several paths.
const MAX_FOLDERS: u32 = 4096;

/// The domain of a zone, from its `name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaplDomain {
    /// A package.
    Package,
    /// The memory of a package.
    Dram,
    /// The whole platform, which contains the packages.
    Psys,
}

/// A powercap zone that can be measured.
#[derive(Debug)]
pub struct RaplZone {
    /// The zone's folder.
    pub dir: PathBuf,
    /// The directory's name: "intel-rapl:0:2".
    pub id: String,
    /// The zone's name after its parent's: "package-0 dram".
    pub label: String,
    /// The domain that the zone measures.
    pub domain: RaplDomain,
}

/// The zones in order, MMIO zones last, without parts of a package other than its memory. Also the `name` files that
/// cannot be read, with the reason.
pub fn zones(sysroot: &Path) -> (Vec<RaplZone>, Vec<(PathBuf, Fault)>) {
    let mut dirs = BTreeMap::new();
    let mut folders_left = MAX_FOLDERS;
    for folder in ["sys/class/powercap", "sys/devices/virtual/powercap"] {
        collect(&sysroot.join(folder), 0, &mut folders_left, &mut dirs);
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
                "dram" => RaplDomain::Dram,
                "psys" => RaplDomain::Psys,
                name if name.starts_with("package") => RaplDomain::Package,
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

/// Collects zone folders, "control-type:0:1", at any depth. The class folder links all of them side by side; a copied
/// tree may only nest them.
fn collect(folder: &Path, depth: u32, folders_left: &mut u32, zones: &mut BTreeMap<String, PathBuf>) {
    const MAX_DEPTH: u32 = 4;
    for path in os::text::entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.contains("rapl") || depth > MAX_DEPTH || *folders_left == 0 || !path.is_dir() {
            continue;
        }
        *folders_left -= 1;
        collect(&path, depth + 1, folders_left, zones);
        if name.contains(':') {
            zones.entry(name).or_insert(path);
        }
    }
}

/// The numbers in an id, [10, 2] for "intel-rapl:10:2", so that zones sort by number.
fn numbers(id: &str) -> Vec<u32> {
    id.split(':').skip(1).filter_map(|number| number.parse().ok()).collect()
}
