//! Processors' thermal design power, W, by the name the kernel gives them.

const TABLE: &str = include_str!("cpu_tdp.csv");

/// The table's longest name that begins the model's, word by word, and its TDP.
pub fn find(model: &str) -> Option<(&'static str, f64)> {
    let table: Vec<(&str, f64)> = TABLE
        .lines()
        .filter_map(|line| line.split_once(','))
        .filter_map(|(name, watts)| Some((name, watts.parse().ok()?)))
        .collect();
    let words = normalised(model);
    // A vendor's whole line ("amd epyc") is no model: two words at least, one of them with a digit.
    (2..=words.len()).rev().map(|length| words.get(..length).unwrap_or_default().join(" ")).find_map(|name| {
        let at = table.binary_search_by(|(entry, _)| (*entry).cmp(&name)).ok()?;
        table.get(at).copied().filter(|(entry, _)| entry.contains(|c: char| c.is_ascii_digit()))
    })
}

/// "Intel(R) Xeon(R) CPU E3-1240 V2 @ 3.40GHz" as ["intel", "xeon", "e3-1240", "v2"].
fn normalised(model: &str) -> Vec<String> {
    let model = model.to_ascii_lowercase().replace("(r)", " ").replace("(tm)", " ");
    let model = model.split('@').next().unwrap_or_default();
    let mut words: Vec<String> = model
        .split_whitespace()
        .filter(|word| !matches!(*word, "cpu" | "processor") && !word.ends_with("-core"))
        .map(str::to_owned)
        .collect();
    if let Some(vendor) = words.iter().position(|word| word == "intel" || word == "amd") {
        words.drain(..vendor); // "13th gen intel core i7-13700k"
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_processors_by_the_names_the_kernel_gives() {
        for (model, watts) in [
            ("Intel(R) Xeon(R) CPU E3-1240 V2 @ 3.40GHz", 69.0),
            ("AMD EPYC 8024P 8-Core Processor", 90.0),
            ("AMD Ryzen Threadripper 1950X 16-Core Processor", 180.0),
            ("Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", 205.0),
            ("AMD Ryzen 7 5800X 8-Core Processor", 105.0),
        ] {
            assert_eq!(find(model).map(|found| found.1), Some(watts), "{model}");
        }
        for model in ["AMD EPYC", "Intel Xeon Processor (Skylake, IBRS)", "", "unknown processor"] {
            assert_eq!(find(model), None, "{model}");
        }
        assert!(
            TABLE.lines().skip(2).is_sorted_by_key(|line| line.split_once(',').unwrap().0),
            "binary search needs order"
        );
    }
}
