//! The graphics cards that the kernel lists under `/sys/class/drm`, and their hardware monitors.

use crate::measurement::gpu_selection::Vendor;
use crate::measurement::source::sysfs::number_file;
use crate::os;
use crate::sanitize;
use std::path::{Path, PathBuf};

/// The entries of a folder whose names are `beginning` and a number, in the order of the numbers.
pub fn numbered(folder: &Path, beginning: &str) -> Vec<(u32, PathBuf)> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix(beginning)?.parse().ok();
    let mut found: Vec<(u32, PathBuf)> =
        os::text::entries(folder).filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found
}

/// A graphics card.
pub struct Card {
    /// The kernel's name, "card0".
    pub name: String,
    /// The folder of the card's device.
    pub device: PathBuf,
    /// The address on the PCI bus, "0000:c1:00.0", or the name on another bus. None: unknown.
    pub address: Option<String>,
}

impl Card {
    /// All cards in the order of the PCI bus, in which the vendors' runtimes number them. Connectors (card0-DP-1) are
    /// left out.
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

    /// The vendors of the cards, of those that this library can read.
    pub fn vendors(sysroot: &Path) -> Vec<Vendor> {
        const NUMBERS: [(&str, Vendor); 3] =
            [("0x10de", Vendor::Nvidia), ("0x1002", Vendor::Amd), ("0x8086", Vendor::Intel)];
        let found: Vec<String> = Card::all(sysroot).iter().filter_map(|card| card.text("vendor")).collect();
        let exists = |(number, _): &(&str, Vendor)| found.iter().any(|text| text == number);
        NUMBERS.into_iter().filter(exists).map(|(_, vendor)| vendor).collect()
    }

    /// The text of a file in the device's folder. None: missing or empty.
    pub fn text(&self, file: &str) -> Option<String> {
        number_file::text(&self.device.join(file)).ok().filter(|text| !text.is_empty())
    }

    /// The folder of the first hardware monitor with one of these names.
    pub fn monitor(&self, names: &[&str]) -> Option<PathBuf> {
        let is_it = |dir: &Path| number_file::text(&dir.join("name")).is_ok_and(|name| names.contains(&name.as_str()));
        numbered(&self.device.join("hwmon"), "hwmon").into_iter().map(|(_, dir)| dir).find(|dir| is_it(dir))
    }

    /// The address, else the name.
    pub fn id(&self) -> &str {
        self.address.as_ref().unwrap_or(&self.name)
    }
}
