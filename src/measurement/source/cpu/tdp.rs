//! The thermal design power (TDP), cores and threads of processors by the name that the kernel shows.

const TABLE: &str = include_str!("cpu_tdp.csv");

/// A processor model. The values are those of one package.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// The model's name in the table.
    pub name: &'static str,
    /// The thermal design power, W: base power, not turbo power.
    pub tdp_w: f64,
    /// The number of cores, if known.
    pub cores: Option<u32>,
    /// The number of hardware threads, if known.
    pub threads: Option<u32>,
}

impl Model {
    fn of_line(line: &'static str) -> Option<Model> {
        let mut cells = line.split(',');
        let (name, tdp_w) = (cells.next()?, cells.next()?.parse().ok()?);
        let mut count = || cells.next()?.parse().ok();
        Some(Model { name, tdp_w, cores: count(), threads: count() })
    }

    /// The number of hardware threads that share the power. If only the cores are known, each is taken to have two.
    pub fn most_threads(self) -> Option<u32> {
        self.threads.or(self.cores.map(|cores| 2 * cores))
    }
}

/// The entry with the longest name that the model's name begins with, word by word. AMD's "PRO" models are found
/// without that word.
pub fn find(model: &str) -> Option<Model> {
    let table: Vec<&'static str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
    let words = normalised(model);
    let without_pro: Vec<String> = words.iter().filter(|word| *word != "pro").cloned().collect();
    [words, without_pro].iter().find_map(|words| longest(&table, words))
}

/// The entry with the longest name that `words` begin with. A model has two words at least and a digit in one: "amd
/// epyc" alone is a product line, not a model.
fn longest(table: &[&'static str], words: &[String]) -> Option<Model> {
    (2..=words.len()).rev().map(|length| words.get(..length).unwrap_or_default().join(" ")).find_map(|name| {
        let key = |line: &&'static str| line.split(',').next().unwrap_or_default();
        let line = table.get(table.binary_search_by(|line| key(line).cmp(&name)).ok()?)?;
        name.contains(|c: char| c.is_ascii_digit()).then(|| Model::of_line(line))?
    })
}

/// The words of a name that identify the model: ["intel", "xeon", "e3-1240", "v2"] for "Intel(R) Xeon(R) CPU E3-1240 V2
/// @ 3.40GHz".
fn normalised(model: &str) -> Vec<String> {
    let model = model.to_ascii_lowercase().replace("(r)", " ").replace("(tm)-", "-").replace("(tm)", " ");
    let model = model.split('@').next().unwrap_or_default();
    let mut words: Vec<String> = model
        .split_whitespace()
        .filter(|word| !matches!(*word, "cpu" | "processor") && !word.ends_with("-core"))
        .map(str::to_owned)
        .collect();
    if let Some(vendor) = words.iter().position(|word| word == "intel" || word == "amd") {
        words.drain(..vendor); // as "13th gen" before "intel core i7-13700k"
    }
    first_core_i(words)
}

/// Joins the number of the first generation of Core i to its word: "i7-920" for "i7 920", "i7-620m" for "i7 m 620".
fn first_core_i(mut words: Vec<String>) -> Vec<String> {
    let Some(at) = words.iter().position(|word| matches!(word.as_str(), "i3" | "i5" | "i7" | "i9")) else {
        return words;
    };
    let is_number = |word: Option<&String>| word.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let suffix = match words.get(at + 1).map(String::as_str) {
        Some("m") => "m",
        Some("q") => "qm",
        Some("l") => "lm",
        Some("u") => "um",
        Some("x") => "xm",
        _ => "",
    };
    if !suffix.is_empty() && is_number(words.get(at + 2)) {
        words.remove(at + 1);
    }
    if is_number(words.get(at + 1)) {
        let number = words.remove(at + 1);
        if let Some(word) = words.get_mut(at) {
            *word = format!("{word}-{number}{suffix}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_found_by_the_names_of_the_kernel() {
        for (model, watts, threads) in [
            ("Intel(R) Xeon(R) CPU E3-1240 V2 @ 3.40GHz", 69.0, Some(8)),
            ("AMD EPYC 8024P 8-Core Processor", 90.0, Some(16)),
            ("AMD Ryzen Threadripper 1950X 16-Core Processor", 180.0, Some(32)),
            ("Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", 205.0, Some(48)),
            ("13th Gen Intel(R) Core(TM) i5-1335U", 15.0, Some(12)),
            ("Intel(R) Core(TM) i7 CPU       M 620  @ 2.67GHz", 35.0, None),
            ("AMD FX(tm)-8350 Eight-Core Processor", 125.0, Some(8)),
            ("AMD Ryzen 7 PRO 7840U w/ Radeon 780M Graphics", 28.0, Some(16)),
        ] {
            let found = find(model).map(|found| (found.tdp_w, found.most_threads()));
            assert_eq!(found, Some((watts, threads)), "{model}");
        }
        for model in ["AMD EPYC", "Intel Xeon Processor (Skylake, IBRS)", "", "unknown processor", "intel core i7 m"] {
            assert_eq!(find(model), None, "{model}");
        }
    }

    #[test]
    fn table_is_sorted_and_complete() {
        let lines: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.is_sorted_by_key(|line| line.split(',').next().unwrap()), "binary search needs order");
        for line in lines {
            let model = Model::of_line(line).unwrap();
            assert!(model.tdp_w > 0.0 && model.tdp_w <= 700.0 && line.split(',').count() == 4, "{line}");
            let (cores, threads) = (model.cores.unwrap_or(1), model.threads.unwrap_or(u32::MAX));
            assert!((1..=threads).contains(&cores), "{line}");
        }
    }

    /// 178 names of real /proc/cpuinfo, each with the expected TDP, or "anonymous" if the name contains no model.
    #[test]
    fn names_of_real_processors_are_found_or_anonymous_as_expected() {
        let (mut known, mut anonymous) = (0, 0);
        for line in include_str!("tdp/names.csv").lines().filter(|line| !line.starts_with('#')) {
            let (name, expected) = line.rsplit_once(';').unwrap();
            let found = find(name);
            match expected {
                "anonymous" => anonymous += u32::from(found.is_none()),
                _ => known += u32::from(found.is_some_and(|found| found.tdp_w == expected.parse::<f64>().unwrap())),
            }
            let words = found.map_or("anonymous".into(), |found| found.tdp_w.to_string());
            assert_eq!(words, expected, "{name}: {found:?}");
        }
        println!("{known} names known, {anonymous} rightly anonymous");
        assert!(known + anonymous >= 178);
    }
}
