//! The variables by which SYCL chooses devices (intel/llvm, sycl/doc/EnvironmentVariables.md): ONEAPI_DEVICE_SELECTOR,
//! or if that is unset SYCL_DEVICE_FILTER.
//!
//! A selector has terms with semicolons between them: "level_zero:0,1", "*:gpu", "!opencl:*". A filter has triples with
//! commas between them: "level_zero:gpu:0".
//!
//! Both Level Zero and OpenCL show an Intel GPU. OpenCL also numbers processors, so the meaning of its numbers is
//! unknown. Level Zero numbers the devices that ZE_AFFINITY_MASK leaves.

use super::masks::{CardPart, DeviceNaming, Mask};
use super::words::{MAX_WORDS, assignment, decimal, is_given, unreadable};
use super::{Absence, Environment};

const SELECTOR: &str = "ONEAPI_DEVICE_SELECTOR";
const FILTER: &str = "SYCL_DEVICE_FILTER";
/// Backends that show no Intel GPU.
const OTHER_BACKENDS: [&str; 6] = ["cuda", "hip", "native_cpu", "esimd_emulator", "host", "offload"];
/// Types of devices that are not GPUs.
const OTHER_TYPES: [&str; 5] = ["cpu", "fpga", "acc", "accelerator", "host"];
/// Every GPU.
const EVERY: CardPart = CardPart { device: DeviceNaming::Every, tile: None };

/// The Intel GPUs that a value shows, or hides.
#[derive(Default)]
struct Terms {
    /// Devices of Level Zero.
    parts: Vec<CardPart>,
    /// Whether all GPUs of OpenCL are among them.
    by_opencl: bool,
    /// Whether devices of OpenCL are named by number.
    is_unknown: bool,
    /// Whether the value has any such term.
    is_given: bool,
}

/// The mask of the environment. None: every device is shown.
pub fn mask(environment: Environment) -> Result<Option<Mask>, Absence> {
    let given = |name: &'static str| Some((name, environment(name).filter(|value| is_given(value.trim()))?));
    let Some((name, value)) = given(SELECTOR).or_else(|| given(FILTER)) else { return Ok(None) };
    let terms = if name == SELECTOR { selector(&value) } else { filter(&value) };
    let cure = "write numbers of Level Zero's devices, as level_zero:0,1, or level_zero:gpu, or unset the variable";
    let Some((shows, hides)) = terms else {
        return Err(unreadable(name, &value, "not terms such as level_zero:0,1 or *:gpu", cure));
    };
    let origin = assignment(name, &value);
    // A value that only hides devices shows all others.
    let shows_all = !shows.is_given;
    let shows_opencl = (shows_all || shows.by_opencl) && !hides.by_opencl;
    let by_opencl = shows_opencl && !hides.is_unknown;
    let parts = if shows_all { vec![EVERY] } else { shows.parts };
    let is_whole = parts.contains(&EVERY) && hides.parts.is_empty();
    let is_unknown = shows.is_unknown || (hides.is_unknown && shows_opencl);
    if by_opencl || is_whole {
        return Ok(None); // One backend shows every GPU, and the other cannot hide them.
    }
    if is_unknown {
        return Err(unreadable(name, &value, "OpenCL's numbers count processors too", cure));
    }
    if parts.is_empty() {
        return Err(Absence { reason: format!("{origin}: this job has no Intel GPU"), cure: None });
    }
    Ok(Some(Mask { origin, shows: parts, hides: hides.parts, divides_tiles: true }))
}

/// Reads a selector: the terms that it shows, and those that it hides.
fn selector(value: &str) -> Option<(Terms, Terms)> {
    let mut shows = Terms::default();
    let mut hides = Terms::default();
    let value = value.to_ascii_lowercase();
    if value.split([';', ',']).nth(MAX_WORDS).is_some() {
        return None;
    }
    for term in value.split(';').map(str::trim).filter(|term| !term.is_empty()) {
        let (terms, term) = match term.strip_prefix('!') {
            Some(rest) => (&mut hides, rest),
            None => (&mut shows, term),
        };
        let (backend, devices) = term.split_once(':')?;
        for device in devices.split(',') {
            terms.add(backend.trim(), kind(device.trim())?)?;
        }
    }
    (shows.is_given || hides.is_given).then_some((shows, hides))
}

/// Reads a filter: triples of backend, type and number, of which some may be missing. A filter hides nothing.
fn filter(value: &str) -> Option<(Terms, Terms)> {
    let mut shows = Terms::default();
    let value = value.to_ascii_lowercase();
    for triple in value.split(',').take(MAX_WORDS) {
        let mut words: Vec<&str> = triple.trim().split(':').collect();
        let is_backend = |word: &str| is_backend(word) && (word != "host" || words.len() > 1);
        let backend = if words.first().is_some_and(|word| is_backend(word)) { words.remove(0) } else { "*" };
        match words.as_slice() {
            [] => shows.add(backend, Kind::Gpus(EVERY))?,
            [device] | ["*" | "gpu", device] => shows.add(backend, kind(device)?)?,
            [other, number] if OTHER_TYPES.contains(other) => {
                shows.add(backend, kind(number).map(|_| Kind::Others)?)?
            }
            _ => return None,
        }
    }
    Some((shows, Terms::default()))
}

/// The devices of a word.
enum Kind {
    /// Devices that are not GPUs.
    Others,
    /// Every GPU, or a tile of every GPU.
    Gpus(CardPart),
    /// A device by number.
    Numbered(CardPart),
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "*" | "gpu" => return Some(Kind::Gpus(EVERY)),
        other if OTHER_TYPES.contains(&other) => return Some(Kind::Others),
        _ => (),
    }
    let which =
        |word: &str| if word == "*" { Some(DeviceNaming::Every) } else { decimal(word).map(DeviceNaming::Number) };
    let mut parts = word.splitn(3, '.');
    let device = which(parts.next()?)?;
    let tile = match parts.next() {
        Some(word) => Some(which(word)?),
        None => None,
    };
    if let Some(slice) = parts.next() {
        which(slice)?;
    }
    let tile = tile.filter(|tile| *tile != DeviceNaming::Every);
    let part = CardPart { device, tile };
    Some(if device == DeviceNaming::Every { Kind::Gpus(part) } else { Kind::Numbered(part) })
}

fn is_backend(word: &str) -> bool {
    word == "*" || word == "level_zero" || word == "opencl" || OTHER_BACKENDS.contains(&word)
}

impl Terms {
    /// Adds devices of a backend. None: no such backend exists.
    fn add(&mut self, backend: &str, kind: Kind) -> Option<()> {
        if !is_backend(backend) {
            return None;
        }
        self.is_given = true;
        let level_zero = matches!(backend, "*" | "level_zero");
        let opencl = matches!(backend, "*" | "opencl");
        match kind {
            Kind::Others => (),
            Kind::Gpus(part) => {
                self.parts.extend(Some(part).filter(|_| level_zero));
                self.by_opencl |= opencl && part == EVERY;
                self.is_unknown |= opencl && part != EVERY;
            }
            Kind::Numbered(part) => {
                self.parts.extend(Some(part).filter(|_| level_zero));
                self.is_unknown |= opencl;
            }
        }
        Some(())
    }
}
