//! ZE_AFFINITY_MASK as Intel's driver reads it (Level Zero specification, "Affinity mask" and "Device hierarchy";
//! compute-runtime, execution_environment.cpp, parseAffinityMask and setDeviceHierarchyMode).
//!
//! Words are numbers as stoul reads them, "2" or "2.1". Under FLAT and COMBINED the numbers count tiles over all cards,
//! and a word with a dot is passed over. Under COMPOSITE they count cards, and "2.1" is a tile of one. A number that is
//! not there is passed over; the others count. Empty and `default` are all. The driver's own choice, where
//! ZE_FLAT_DEVICE_HIERARCHY is unset, is FLAT for cards of several tiles and COMPOSITE for others. "*.0" is no word of
//! Level Zero's, but in use: a tile of every card. Integrated graphics come after all cards, unless
//! ZE_ENABLE_PCI_ID_DEVICE_ORDER is 1.

use super::words::{MOST_WORDS, leading_number, said, unreadable, words};
use super::{Absence, sycl};

/// A card picked, by its place among those offered, and its tiles that this job has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickedCard {
    /// Its place.
    pub place: usize,
    /// Its tiles, by number.
    pub tiles: Vec<usize>,
}

/// The masks in effect: each picks from what those before it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masks {
    /// Whether every tile is a device; None: by the cards.
    flat: Option<bool>,
    /// Whether integrated graphics keep their place on the bus.
    pub by_bus: bool,
    masks: Vec<Mask>,
}

/// One list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// The variable and its value.
    pub said_by: String,
    /// What it shows.
    pub shows: Vec<CardPart>,
    /// What it takes away again.
    pub hides: Vec<CardPart>,
    /// Whether a tile may be divided further, by a dot after its number.
    pub divides_tiles: bool,
}

/// A device, or a tile of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardPart {
    /// Which device.
    pub device: DeviceNaming,
    /// Which tile of it; None: all of it.
    pub tile: Option<DeviceNaming>,
}

/// One by its number, or every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceNaming {
    /// Every one.
    Every,
    /// The one with this number.
    Number(usize),
}

impl Masks {
    /// Those of the mask and of the environment; None where all devices are shown.
    pub fn new(mask: Option<&str>, environment: super::Environment) -> Result<Option<Masks>, Absence> {
        let mut masks: Vec<Mask> =
            mask.map(|value| Mask::new("ZE_AFFINITY_MASK", value)).transpose()?.into_iter().collect();
        masks.extend(sycl::mask(environment)?);
        let flat = match environment("ZE_FLAT_DEVICE_HIERARCHY").as_deref() {
            Some("COMPOSITE") => Some(false),
            Some("FLAT" | "COMBINED") => Some(true),
            _ => None,
        };
        let by_bus = environment("ZE_ENABLE_PCI_ID_DEVICE_ORDER").is_some_and(|value| value.trim() == "1");
        Ok((!masks.is_empty()).then_some(Masks { flat, by_bus, masks }))
    }

    /// Picks from these cards.
    pub fn pick(&self, mut cards: Vec<PickedCard>, missing: &mut Vec<String>) -> Vec<PickedCard> {
        let flat = self.flat.unwrap_or_else(|| cards.iter().any(|card| card.tiles.len() > 1));
        for mask in &self.masks {
            cards = mask.pick(&cards, flat, missing);
        }
        cards
    }
}

/// The devices that Level Zero makes of cards: by their place among the cards, with their tiles.
fn devices(cards: &[PickedCard], flat: bool) -> Vec<(usize, Vec<usize>)> {
    let of_card = |(at, card): (usize, &PickedCard)| -> Vec<(usize, Vec<usize>)> {
        if flat { card.tiles.iter().map(|&tile| (at, vec![tile])).collect() } else { vec![(at, card.tiles.clone())] }
    };
    cards.iter().enumerate().flat_map(of_card).collect()
}

impl Mask {
    fn new(name: &str, value: &str) -> Result<Mask, Absence> {
        let parts: Option<Vec<CardPart>> = words(value).map(CardPart::parse).collect();
        let is_long = value.split(',').nth(MOST_WORDS).is_some();
        match parts.filter(|_| !is_long) {
            Some(shows) => Ok(Mask { said_by: said(name, value), shows, hides: Vec::new(), divides_tiles: false }),
            None => {
                let cure = "write numbers of devices with commas between, as 0 or 0.1, or unset the variable";
                Err(unreadable(name, value, "not numbers of devices", cure))
            }
        }
    }

    fn pick(&self, cards: &[PickedCard], flat: bool, missing: &mut Vec<String>) -> Vec<PickedCard> {
        let devices = devices(cards, flat);
        let mut lost = Vec::new();
        let mut shown: Vec<(usize, usize)> = Vec::new();
        for part in &self.shows {
            let found = part.find(&devices, flat, self.divides_tiles);
            if found.is_empty() {
                lost.push(part.shown(flat && !self.divides_tiles));
            }
            shown.extend(found);
        }
        let hidden: Vec<(usize, usize)> =
            self.hides.iter().flat_map(|part| part.find(&devices, flat, self.divides_tiles)).collect();
        shown.retain(|one| !hidden.contains(one));
        missing.extend(self.in_words(&lost, &devices, flat));
        let of_card = |(at, card): (usize, &PickedCard)| {
            let is_ours = |tile: &usize| shown.contains(&(at, *tile));
            let tiles: Vec<usize> = card.tiles.iter().copied().filter(is_ours).collect();
            (!tiles.is_empty()).then_some(PickedCard { place: card.place, tiles })
        };
        let picked: Vec<PickedCard> = cards.iter().enumerate().filter_map(of_card).collect();
        if picked.is_empty() && lost.is_empty() {
            missing.push(format!("{}: no GPU is left for this job", self.said_by));
        }
        picked
    }

    fn in_words(&self, lost: &[String], devices: &[(usize, Vec<usize>)], flat: bool) -> Option<String> {
        const NAMED: usize = 4;
        let more = lost.len().saturating_sub(NAMED);
        let names = lost.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = if flat { "tiles (ZE_FLAT_DEVICE_HIERARCHY is FLAT)" } else { "cards" };
        let verb = if lost.len() == 1 { "is" } else { "are" };
        let count = devices.len();
        (!lost.is_empty()).then(|| {
            format!("GPU {names}{more} {verb} not on this machine, whose {count} devices are {what} ({})", self.said_by)
        })
    }
}

impl CardPart {
    /// "2" or "2.1", as the driver reads it.
    fn parse(word: &str) -> Option<CardPart> {
        let which = |word: &str| match word.trim() {
            "*" => Some(DeviceNaming::Every),
            word => {
                let number = leading_number(word, 0)?.0;
                Some(DeviceNaming::Number(usize::try_from(number).unwrap_or(usize::MAX)))
            }
        };
        let (device, tile) = word.split_once('.').map_or((word, None), |(device, tile)| (device, Some(tile)));
        let tile = match tile {
            Some(word) => Some(which(word)?),
            None => None,
        };
        Some(CardPart { device: which(device)?, tile })
    }

    /// Pairs of a card's place and a tile.
    fn find(&self, devices: &[(usize, Vec<usize>)], flat: bool, divides_tiles: bool) -> Vec<(usize, usize)> {
        if self.is_passed_over(flat && !divides_tiles) {
            return Vec::new();
        }
        let is_meant = |(at, _): &(usize, &(usize, Vec<usize>))| self.device.is(*at);
        let is_ours = |number: usize, tile: usize| match self.tile {
            None => true,
            Some(_) if flat && divides_tiles => true, // a part of a tile
            Some(which) => which.is(if flat { tile } else { number }),
        };
        let tiles = |(_, (card, tiles)): (usize, &(usize, Vec<usize>))| -> Vec<(usize, usize)> {
            let numbered = tiles.iter().enumerate().filter(|(number, tile)| is_ours(*number, **tile));
            numbered.map(|(_, tile)| (*card, *tile)).collect()
        };
        devices.iter().enumerate().filter(is_meant).flat_map(tiles).collect()
    }

    /// Whether the driver passes over a word with a dot, where every device is a tile.
    fn is_passed_over(&self, has_tiles: bool) -> bool {
        has_tiles && self.tile.is_some() && self.device != DeviceNaming::Every
    }

    /// How a mask writes it.
    fn shown(&self, has_tiles: bool) -> String {
        match self.tile {
            None => self.device.shown(),
            Some(tile) if self.is_passed_over(has_tiles) => {
                format!("{}.{} (CARD.TILE needs ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE)", self.device.shown(), tile.shown())
            }
            Some(tile) => format!("{}.{}", self.device.shown(), tile.shown()),
        }
    }
}

impl DeviceNaming {
    fn is(self, number: usize) -> bool {
        self == DeviceNaming::Every || self == DeviceNaming::Number(number)
    }

    fn shown(self) -> String {
        match self {
            DeviceNaming::Every => "*".into(),
            DeviceNaming::Number(number) => number.to_string(),
        }
    }
}
