//! Masks of Intel's runtimes: lists of devices, which are cards or tiles, and how a mask picks from cards.

/// A card that was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickedCard {
    /// The card's index in the offered list.
    pub index: usize,
    /// The tiles of this job, by number.
    pub tiles: Vec<usize>,
}

/// The masks in effect. Each picks from what the masks before it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masks {
    /// Whether every tile is a device. None: only if a card has several tiles.
    pub flat: Option<bool>,
    /// Whether integrated graphics keep their place on the bus.
    pub by_bus: bool,
    /// The masks, in order.
    pub masks: Vec<Mask>,
}

/// One mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// The variable and its value, for messages.
    pub origin: String,
    /// The devices that it shows.
    pub shows: Vec<CardPart>,
    /// The devices that it hides again.
    pub hides: Vec<CardPart>,
    /// Whether a dot after a tile's number means a part of that tile.
    pub divides_tiles: bool,
}

/// A device, or a tile of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardPart {
    /// The device.
    pub device: DeviceNaming,
    /// The tile of the device. None: the whole device.
    pub tile: Option<DeviceNaming>,
}

/// One device by its number, or every device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceNaming {
    /// Every device.
    Every,
    /// The device with this number.
    Number(usize),
}

impl Masks {
    /// Picks from these cards. Devices that do not exist are added to `missing`.
    pub fn pick(&self, mut cards: Vec<PickedCard>, missing: &mut Vec<String>) -> Vec<PickedCard> {
        let flat = self.flat.unwrap_or_else(|| cards.iter().any(|card| card.tiles.len() > 1));
        for mask in &self.masks {
            cards = mask.pick(&cards, flat, missing);
        }
        cards
    }
}

/// The devices of Level Zero: for each the index of its card, and its tiles.
fn devices(cards: &[PickedCard], flat: bool) -> Vec<(usize, Vec<usize>)> {
    let of_card = |(at, card): (usize, &PickedCard)| -> Vec<(usize, Vec<usize>)> {
        if flat { card.tiles.iter().map(|&tile| (at, vec![tile])).collect() } else { vec![(at, card.tiles.clone())] }
    };
    cards.iter().enumerate().flat_map(of_card).collect()
}

impl Mask {
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
        missing.extend(self.missing_text(&lost, devices.len(), flat));
        let of_card = |(at, card): (usize, &PickedCard)| {
            let is_ours = |tile: &usize| shown.contains(&(at, *tile));
            let tiles: Vec<usize> = card.tiles.iter().copied().filter(is_ours).collect();
            (!tiles.is_empty()).then_some(PickedCard { index: card.index, tiles })
        };
        let picked: Vec<PickedCard> = cards.iter().enumerate().filter_map(of_card).collect();
        if picked.is_empty() && lost.is_empty() {
            missing.push(format!("{}: no GPU is left for this job", self.origin));
        }
        picked
    }

    /// The message for devices that do not exist.
    fn missing_text(&self, lost: &[String], devices: usize, flat: bool) -> Option<String> {
        /// Devices that a message names.
        const MAX_NAMED: usize = 4;
        if lost.is_empty() {
            return None;
        }
        let more = lost.len().saturating_sub(MAX_NAMED);
        let names = lost.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let verb = if lost.len() == 1 { "is" } else { "are" };
        let kind = if flat { "tiles (ZE_FLAT_DEVICE_HIERARCHY is FLAT)" } else { "cards" };
        let origin = &self.origin;
        Some(format!("GPU {names}{more} {verb} not on this machine, whose {devices} devices are {kind} ({origin})"))
    }
}

impl CardPart {
    /// The tiles that this part names, as pairs of a card's index and a tile's number.
    fn find(&self, devices: &[(usize, Vec<usize>)], flat: bool, divides_tiles: bool) -> Vec<(usize, usize)> {
        if self.is_ignored(flat && !divides_tiles) {
            return Vec::new();
        }
        let is_meant = |(at, _): &(usize, &(usize, Vec<usize>))| self.device.names(*at);
        let is_ours = |number: usize, tile: usize| match self.tile {
            None => true,
            Some(_) if flat && divides_tiles => true, // A part of a tile counts as the tile.
            Some(which) => which.names(if flat { tile } else { number }),
        };
        let tiles = |(_, (card, tiles)): (usize, &(usize, Vec<usize>))| -> Vec<(usize, usize)> {
            let numbered = tiles.iter().enumerate().filter(|(number, tile)| is_ours(*number, **tile));
            numbered.map(|(_, tile)| (*card, *tile)).collect()
        };
        devices.iter().enumerate().filter(is_meant).flat_map(tiles).collect()
    }

    /// Whether the driver ignores this part: it does so with CARD.TILE if every device is a tile.
    fn is_ignored(&self, devices_are_tiles: bool) -> bool {
        devices_are_tiles && self.tile.is_some() && self.device != DeviceNaming::Every
    }

    /// The part as a mask has it.
    fn shown(&self, devices_are_tiles: bool) -> String {
        match self.tile {
            None => self.device.shown(),
            Some(tile) if self.is_ignored(devices_are_tiles) => {
                format!("{}.{} (CARD.TILE needs ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE)", self.device.shown(), tile.shown())
            }
            Some(tile) => format!("{}.{}", self.device.shown(), tile.shown()),
        }
    }
}

impl DeviceNaming {
    fn names(self, number: usize) -> bool {
        self == DeviceNaming::Every || self == DeviceNaming::Number(number)
    }

    fn shown(self) -> String {
        match self {
            DeviceNaming::Every => "*".into(),
            DeviceNaming::Number(number) => number.to_string(),
        }
    }
}
