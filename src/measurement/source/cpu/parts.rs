//! Processors without a model name that identifies them: Arm cores by implementer and part, small boards, families of
//! x86.

const PARTS: &str = include_str!("cpu_parts.csv");
const BOARDS: &str = include_str!("cpu_boards.csv");
const FAMILIES: &str = include_str!("cpu_families.csv");

/// A kind of Arm core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuPart {
    /// The name of the core or of its processor.
    pub name: &'static str,
    /// The power of a core with its part of the package, W.
    pub watts: f64,
    /// Whether it is a chip of a small board, not of a server or a computer.
    pub is_small: bool,
    /// Whether the power contains memory.
    pub has_memory: bool,
}

/// The kind of core with this `CPU implementer` and `CPU part` of /proc/cpuinfo. `machine` is the maker and the product
/// of a machine with `cores` cores. None if the table does not have it.
pub fn part(implementer: &str, part: &str, machine: &str, cores: usize) -> Option<CpuPart> {
    let machine = machine.to_ascii_lowercase();
    rows(PARTS).find_map(|cells| {
        let [of, number, maker, more_than, name, watts, class, memory] = cells[..] else { return None };
        let fits = of == implementer
            && (number.is_empty() || number == part)
            && machine.contains(maker)
            && cores > more_than.parse().ok()?;
        let watts = watts.parse().ok()?;
        fits.then_some(CpuPart { name, watts, is_small: class == "small", has_memory: memory == "yes" })
    })
}

/// The power of a board's chip and memory with all cores busy, W. The longest table entry that the model begins with
/// counts.
pub fn board(model: &str) -> Option<f64> {
    let model = model.to_ascii_lowercase();
    let fits = rows(BOARDS).filter_map(|cells| Some((*cells.first()?, cells.get(1)?.parse().ok()?)));
    let fits = fits.filter(|(beginning, _): &(&str, f64)| model.starts_with(beginning));
    fits.max_by_key(|(beginning, _)| beginning.len()).map(|(_, watts)| watts)
}

/// The identification of an x86 processor in /proc/cpuinfo.
#[derive(Clone, Copy, Debug)]
pub struct CpuId<'a> {
    /// The vendor, for instance "GenuineIntel".
    pub vendor: &'a str,
    /// The number in "cpu family".
    pub family: u32,
    /// The number in "model".
    pub model: u32,
    /// The number in "stepping".
    pub stepping: u32,
}

/// The name of a family and its power per hardware thread, W. The family is found by its numbers, otherwise by words of
/// the model's name.
pub fn family(id: Option<CpuId>, name: &str) -> Option<(&'static str, f64)> {
    let name = name.to_ascii_lowercase();
    let find = |fits: &dyn Fn(&[&'static str]) -> Option<bool>| {
        rows(FAMILIES).find_map(|cells| {
            let figure = (*cells.get(7)?, cells.get(8)?.parse().ok()?);
            fits(&cells)?.then_some(figure)
        })
    };
    let by_numbers = |cells: &[&'static str]| {
        let id = id?;
        let number = |at: usize| cells.get(at)?.parse::<u32>().ok();
        let is_of = |number: u32, first: u32, last: u32| (first..=last).contains(&number);
        let vendor = *cells.first()? == id.vendor && number(1)? == id.family;
        Some(vendor && is_of(id.model, number(2)?, number(3)?) && is_of(id.stepping, number(4)?, number(5)?))
    };
    let by_words =
        |cells: &[&'static str]| Some(cells.get(6)?.split('|').any(|word| !word.is_empty() && name.contains(word)));
    find(&by_numbers).or_else(|| find(&by_words))
}

fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(',').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_complete() {
        for (table, cells) in [(PARTS, 8), (BOARDS, 2), (FAMILIES, 9)] {
            for row in rows(table) {
                assert_eq!(row.len(), cells, "{row:?}");
                let watts = [1, 5, 8]
                    .into_iter()
                    .find_map(|at| row.get(at).filter(|_| matches!((cells, at), (2, 1) | (8, 5) | (9, 8))));
                assert!(watts.unwrap().parse::<f64>().unwrap() > 0.0, "{row:?}");
            }
        }
    }

    #[test]
    fn arm_cores_are_known_by_part_and_maker() {
        let name = |part_number: &str, machine: &str, cores| part("0x41", part_number, machine, cores).unwrap().name;
        assert_eq!(name("0xd0c", "Amazon EC2 c6g.metal", 64), "AWS Graviton2");
        assert_eq!(name("0xd0c", "Ampere Mt. Jade", 80), "Neoverse-N1");
        assert_eq!(name("0xd0c", "Ampere Mt. Jade", 128), "Ampere Altra Max (Neoverse-N1)");
        assert_eq!(name("0xd4f", "Google Compute Engine", 8), "Google Axion");
        assert_eq!(name("0xd4f", "NVIDIA P4242", 72), "NVIDIA Grace (Neoverse-V2)");
        assert_eq!(part("0x61", "0x023", "", 8).unwrap().name, "Apple silicon");
        assert_eq!(part("0x99", "0x001", "", 8), None);
    }

    #[test]
    fn boards_and_families_are_known() {
        assert_eq!(board("Raspberry Pi 4 Model B Rev 1.4"), Some(5.0));
        assert_eq!(board("Raspberry Pi Zero 2 W Rev 1.0"), Some(2.5));
        assert_eq!(board("Some other board"), None);
        let id = |vendor, family, model, stepping| Some(CpuId { vendor, family, model, stepping });
        assert_eq!(family(id("GenuineIntel", 6, 85, 7), "Intel Xeon").unwrap().0, "Intel Cascade Lake");
        assert_eq!(family(id("GenuineIntel", 6, 85, 4), "Intel Xeon").unwrap().0, "Intel Skylake");
        assert_eq!(family(id("AuthenticAMD", 25, 1, 1), "AMD EPYC").unwrap().0, "AMD EPYC of Zen 3");
        assert_eq!(family(None, "Intel Xeon Processor (Skylake, IBRS)").unwrap().0, "Intel Skylake");
        assert_eq!(family(id("GenuineIntel", 6, 6, 3), "QEMU Virtual CPU version 2.5+"), None);
    }
}
