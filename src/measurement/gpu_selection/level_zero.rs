//! ZE_AFFINITY_MASK as Intel's driver reads it (Level Zero specification, "Affinity mask" and "Device hierarchy";
//! compute-runtime, execution_environment.cpp, parseAffinityMask and setDeviceHierarchyMode).
//!
//! - Words are numbers as stoul reads them, "2" or "2.1". An empty value and `default` mean all devices.
//! - Under FLAT and COMBINED the numbers count the tiles of all cards, and the driver ignores words with a dot.
//! - Under COMPOSITE the numbers count cards, and "2.1" is a tile of card 2.
//! - A number without a device is ignored. The others count.
//! - If ZE_FLAT_DEVICE_HIERARCHY is unset, the driver uses FLAT for cards of several tiles, else COMPOSITE.
//! - "*.0" is in use, though Level Zero does not define it: a tile of every card.
//! - Integrated graphics come after all cards, unless ZE_ENABLE_PCI_ID_DEVICE_ORDER is 1.

use super::masks::{CardPart, DeviceNaming, Mask};
use super::words::{MAX_WORDS, assignment, leading_number, unreadable, words};
use super::{Absence, Environment};

/// Reads the value of ZE_AFFINITY_MASK.
pub fn affinity_mask(value: &str) -> Result<Mask, Absence> {
    const NAME: &str = "ZE_AFFINITY_MASK";
    let parts: Option<Vec<CardPart>> = words(value).map(part).collect();
    let is_long = value.split(',').nth(MAX_WORDS).is_some();
    match parts.filter(|_| !is_long) {
        Some(shows) => Ok(Mask { origin: assignment(NAME, value), shows, hides: Vec::new(), divides_tiles: false }),
        None => {
            let cure = "write device numbers with commas between them, as 0 or 0.1, or unset the variable";
            Err(unreadable(NAME, value, "not device numbers", cure))
        }
    }
}

/// Whether every tile is a device. None: the environment does not set it.
pub fn is_flat(environment: Environment) -> Option<bool> {
    match environment("ZE_FLAT_DEVICE_HIERARCHY").as_deref() {
        Some("COMPOSITE") => Some(false),
        Some("FLAT" | "COMBINED") => Some(true),
        _ => None,
    }
}

/// Whether integrated graphics keep their place on the bus.
pub fn is_ordered_by_bus(environment: Environment) -> bool {
    environment("ZE_ENABLE_PCI_ID_DEVICE_ORDER").is_some_and(|value| value.trim() == "1")
}

/// Reads "2" or "2.1".
fn part(word: &str) -> Option<CardPart> {
    let naming = |word: &str| match word.trim() {
        "*" => Some(DeviceNaming::Every),
        word => {
            let number = leading_number(word, 0)?.0;
            Some(DeviceNaming::Number(usize::try_from(number).unwrap_or(usize::MAX)))
        }
    };
    let (device, tile) = word.split_once('.').map_or((word, None), |(device, tile)| (device, Some(tile)));
    let tile = match tile {
        Some(word) => Some(naming(word)?),
        None => None,
    };
    Some(CardPart { device: naming(device)?, tile })
}
