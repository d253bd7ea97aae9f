//! Graphics cards as the kernel lists them under /sys/class/drm, each with its hardware monitors.

use crate::measurement::gpu_selection::Vendor;
use crate::measurement::source::sysfs::number_file;
use crate::os;
use crate::sanitize;
use std::path::{Path, PathBuf};

/// What a folder holds whose names begin so, numbers in their order.
pub fn numbered(folder: &Path, beginning: &str) -> Vec<(u32, PathBuf)> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix(beginning)?.parse().ok();
    let mut found: Vec<(u32, PathBuf)> =
        os::text::entries(folder).filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found
}

/// A graphics card.
pub struct Card {
    /// "card0".
    pub name: String,
    /// The folder of its device.
    pub device: PathBuf,
    /// Its address on the PCI bus, "0000:c1:00.0"; for others their bus's name, where one is known.
    pub address: Option<String>,
}

impl Card {
    /// All of them in the order of the PCI bus, by which the vendors' runtimes number them; connectors
    /// (card0-DP-1) are none.
    pub fn all(sysroot: &Path) -> Vec<Card> {
        let mut cards: Vec<Card> = numbered(&sysroot.join("sys/class/drm"), "card")
            .into_iter()
            .map(|(number, dir)| {
                let device = dir.join("device");
                let target = std::fs::read_link(&device).ok();
                let address = target.and_then(|target| Some(sanitize::text(target.file_name()?.to_string_lossy())));
                Card { name: format!("card{number}"), device, address }
            })
            .collect();
        let length = |card: &Card| card.address.as_ref().map(String::len);
        cards.sort_by_key(|card| (card.address.is_none(), length(card), card.address.clone()));
        cards
    }

    /// The vendors of the cards that there are: of those whose GPUs this library reads.
    pub fn vendors(sysroot: &Path) -> Vec<Vendor> {
        const NUMBERS: [(&str, Vendor); 3] =
            [("0x10de", Vendor::Nvidia), ("0x1002", Vendor::Amd), ("0x8086", Vendor::Intel)];
        let found: Vec<String> = Card::all(sysroot).iter().filter_map(|card| card.text("vendor")).collect();
        let is_there = |(number, _): &(&str, Vendor)| found.iter().any(|text| text == number);
        NUMBERS.into_iter().filter(is_there).map(|(_, vendor)| vendor).collect()
    }

    /// A file of its device's.
    pub fn text(&self, file: &str) -> Option<String> {
        number_file::text(&self.device.join(file)).ok().filter(|text| !text.is_empty())
    }

    /// Its hardware monitor of one of these names.
    pub fn monitor(&self, names: &[&str]) -> Option<PathBuf> {
        let is_it = |dir: &Path| number_file::text(&dir.join("name")).is_ok_and(|name| names.contains(&name.as_str()));
        numbered(&self.device.join("hwmon"), "hwmon").into_iter().map(|(_, dir)| dir).find(|dir| is_it(dir))
    }

    /// Its address, else its name.
    pub fn id(&self) -> &str {
        self.address.as_ref().unwrap_or(&self.name)
    }
}
