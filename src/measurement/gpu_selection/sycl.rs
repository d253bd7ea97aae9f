//! The variables by which SYCL chooses devices (intel/llvm, sycl/doc/EnvironmentVariables.md): ONEAPI_DEVICE_SELECTOR,
//! "level_zero:0,1", "*:gpu", "!opencl:*", in terms with semicolons between, and where that is unset SYCL_DEVICE_FILTER,
//! "level_zero:gpu:0" with commas between.
//!
//! An Intel GPU is seen by Level Zero and by OpenCL. OpenCL numbers processors beside GPUs, so what its numbers mean is
//! unknown. Numbers of Level Zero's count the devices that ZE_AFFINITY_MASK leaves.

use super::level_zero::{CardPart, DeviceNaming, Mask};
use super::words::{MOST_WORDS, decimal, is_given, said, unreadable};
use super::{Absence, Environment};

const SELECTOR: &str = "ONEAPI_DEVICE_SELECTOR";
const FILTER: &str = "SYCL_DEVICE_FILTER";
/// They show no GPU of Intel's.
const OTHER_BACKENDS: [&str; 6] = ["cuda", "hip", "native_cpu", "esimd_emulator", "host", "offload"];
const OTHER_TYPES: [&str; 5] = ["cpu", "fpga", "acc", "accelerator", "host"];
const EVERY: CardPart = CardPart { device: DeviceNaming::Every, tile: None };

/// What of Intel's GPUs a value shows or hides.
#[derive(Default)]
struct Terms {
    /// By Level Zero.
    parts: Vec<CardPart>,
    /// By OpenCL: all of them.
    by_opencl: bool,
    /// Devices of OpenCL's by number.
    is_unknown: bool,
    /// Whether there was any term at all.
    is_given: bool,
}

/// The mask that the environment's variables make, if one is set.
pub fn mask(environment: Environment) -> Result<Option<Mask>, Absence> {
    let given = |name: &'static str| Some((name, environment(name).filter(|value| is_given(value.trim()))?));
    let Some((name, value)) = given(SELECTOR).or_else(|| given(FILTER)) else { return Ok(None) };
    let terms = if name == SELECTOR { selector(&value) } else { filter(&value) };
    let cure = "number Level Zero's devices, as level_zero:0,1, or write level_zero:gpu, or unset the variable";
    let Some((shows, hides)) = terms else {
        return Err(unreadable(name, &value, "not terms such as level_zero:0,1 or *:gpu", cure));
    };
    let said_by = said(name, &value);
    let (all, no_opencl) = (!shows.is_given, hides.by_opencl);
    let by_opencl = (all || shows.by_opencl) && !no_opencl && !hides.is_unknown;
    let parts = if all { vec![EVERY] } else { shows.parts };
    let is_whole = parts.contains(&EVERY) && hides.parts.is_empty();
    let is_unknown = shows.is_unknown || (hides.is_unknown && (all || shows.by_opencl) && !no_opencl);
    if by_opencl || is_whole {
        return Ok(None); // what one of the two shows, the other cannot take away
    }
    if is_unknown {
        return Err(unreadable(name, &value, "OpenCL's numbers count processors too", cure));
    }
    if parts.is_empty() {
        return Err(Absence { reason: format!("{said_by}: this job has no Intel GPU"), cure: None });
    }
    Ok(Some(Mask { said_by, shows: parts, hides: hides.parts, divides_tiles: true }))
}

/// What a selector shows, and what it hides.
fn selector(value: &str) -> Option<(Terms, Terms)> {
    let (mut shows, mut hides) = (Terms::default(), Terms::default());
    let value = value.to_ascii_lowercase();
    if value.split([';', ',']).nth(MOST_WORDS).is_some() {
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

/// What a filter shows: triples of backend, type and number, of which some may be left out.
fn filter(value: &str) -> Option<(Terms, Terms)> {
    let mut shows = Terms::default();
    let value = value.to_ascii_lowercase();
    for triple in value.split(',').take(MOST_WORDS) {
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

/// What a word for devices means.
enum Kind {
    /// Processors and the like.
    Others,
    /// GPUs, whatever their number.
    Gpus(CardPart),
    /// By number.
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
    /// Takes in devices of a backend; None: there is no such backend.
    fn add(&mut self, backend: &str, kind: Kind) -> Option<()> {
        if !is_backend(backend) {
            return None;
        }
        self.is_given = true;
        let (level_zero, opencl) = (matches!(backend, "*" | "level_zero"), matches!(backend, "*" | "opencl"));
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
