//! Translates command lines of Python's Carbontracker, whose command has the same name. Pure, except that it asks
//! whether a file exists.

use std::fmt::Write;
use std::path::Path;

/// The options of Python's Carbontracker 1.x and 2.x. Each takes a value.
const OPTIONS: [&str; 11] = [
    "--log_dir",
    "--api_keys",
    "--parse",
    "--report",
    "--output",
    "--sim-cpu",
    "--sim-cpu-tdp",
    "--sim-cpu-util",
    "--sim-gpu",
    "--sim-gpu-watts",
    "--sim-gpu-util",
];
/// Options that Python's Carbontracker also reads from among the program's own arguments.
const ANYWHERE: [&str; 2] = ["--log_dir", "--api_keys"];

/// The providers of carbon intensity: the name in Python's Carbontracker, and the name here. 1.x called the first
/// co2signal.
const SERVICES: [(&str, &str); 4] = [
    ("electricitymaps", "electricitymaps"),
    ("co2signal", "electricitymaps"),
    ("carbonintensitygb", "carbonintensity_gb"),
    ("energidataservice", "energidataservice"),
];

/// A parsed command line of Python's Carbontracker.
#[derive(Debug, Default)]
struct PythonArgs<'a> {
    options: Vec<(&'static str, &'a str)>,
    program: Vec<&'a str>,
}

/// The command line that does the same here. None if these are not arguments of Python's Carbontracker.
pub fn line(arguments: &[&str], is_there: impl Fn(&Path) -> bool) -> Option<String> {
    let asked = PythonArgs::read(arguments)?;
    if let Some(folder) = asked.of("--parse") {
        let out = free("reports", &is_there);
        return Some(format!("carbontracker import {} -o {out} && carbontracker aggregate {out}", quoted(folder)));
    }
    if let Some(log) = asked.of("--report") {
        return Some(asked.report(log, &is_there));
    }
    if asked.program.is_empty() {
        return None;
    }
    let mut line = String::new();
    let service = asked.of("--api_keys").and_then(service);
    if service == Some("electricitymaps") {
        line += "CARBONTRACKER_API_KEY=YOUR_KEY ";
    }
    line += "carbontracker run";
    if let Some(folder) = asked.of("--log_dir") {
        let _ = write!(line, " --log-dir {}", quoted(folder));
    }
    let devices = [
        ("sim_cpu", "--sim-cpu", "--sim-cpu-tdp", "--sim-cpu-util"),
        ("sim_gpu", "--sim-gpu", "--sim-gpu-watts", "--sim-gpu-util"),
    ];
    let devices = devices.map(|(key, name, watts, share)| {
        // Without a share, Carbontracker takes half of the power.
        let share = asked.of(share).unwrap_or("0.5");
        let value = format!("{}:{}:{share}", asked.of(name)?, asked.of(watts)?);
        Some(format!("{key}='{}'", value.replace('\\', r"\\").replace('\'', r"\'")))
    });
    let service = service.map(|service| format!("intensity={service}"));
    for option in devices.into_iter().flatten().chain(service) {
        let _ = write!(line, " -o {}", quoted(&option));
    }
    line += " --";
    for word in asked.program {
        let _ = write!(line, " {}", quoted(word));
    }
    Some(line)
}

impl<'a> PythonArgs<'a> {
    /// None if an option before the program is unknown.
    fn read(arguments: &[&'a str]) -> Option<PythonArgs<'a>> {
        let mut asked = PythonArgs::default();
        let mut rest = arguments.iter().copied();
        while let Some(word) = rest.next() {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            match option(name).filter(|name| asked.program.is_empty() || ANYWHERE.contains(name)) {
                Some(name) => asked.options.push((name, value.or_else(|| rest.next())?)),
                None if asked.program.is_empty() && word == "--" => (),
                None if asked.program.is_empty() && word.starts_with('-') => return None,
                None => asked.program.push(word),
            }
        }
        Some(asked)
    }

    /// The value of an option. If an option is given twice, the last value wins.
    fn of(&self, name: &str) -> Option<&'a str> {
        self.options.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The line that makes a page of a log. If this library wrote the log, its report is beside it and is used instead.
    fn report(&self, log: &str, is_there: &impl Fn(&Path) -> bool) -> String {
        let page = self.of("--output").unwrap_or("carbon_report.pdf");
        let is_known = |end: &str| page.to_lowercase().ends_with(end);
        let page = if [".pdf", ".html"].into_iter().any(is_known) { page.to_owned() } else { format!("{page}.html") };
        let own = log.rsplit_once("_carbontracker").map(|(stem, _)| format!("{stem}.json"));
        let own =
            if log.ends_with(".json") { Some(log.to_owned()) } else { own.filter(|own| is_there(Path::new(own))) };
        match own {
            Some(own) => format!("carbontracker report {} -o {}", quoted(&own), quoted(&page)),
            None => {
                let out = free("reports", is_there);
                let import = format!("carbontracker import {} -o {out}", quoted(log));
                format!("{import} && carbontracker report {out} -o {}", quoted(&page))
            }
        }
    }
}

/// An option by its name. `-` and `_` are the same.
fn option(name: &str) -> Option<&'static str> {
    OPTIONS.into_iter().find(|known| known.replace('_', "-") == name.replace('_', "-"))
}

/// The first provider with a key in `{"electricitymaps": "KEY"}`.
fn service(keys: &str) -> Option<&'static str> {
    let keys = keys.to_lowercase();
    SERVICES.into_iter().find(|(name, _)| keys.contains(name)).map(|(_, ours)| ours)
}

/// A name that no file has: `import` overwrites no file.
fn free(name: &str, is_there: &impl Fn(&Path) -> bool) -> String {
    let numbered = (2..100).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !is_there(Path::new(name))).unwrap_or_else(|| name.to_owned())
}

/// A word quoted for a shell.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else if word.contains('\'') && !word.contains(['"', '$', '`', '!', '\\']) {
        format!("\"{word}\"")
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    fn line(arguments: &[&str]) -> String {
        super::line(arguments, |path| ["reports", "runs/a.json"].contains(&path.to_str().unwrap())).unwrap_or_default()
    }

    #[test]
    fn python_lines_are_translated() {
        for (theirs, ours) in [
            (&["python3", "train.py", "--lr", "1"][..], "carbontracker run -- python3 train.py --lr 1"),
            (&["--log_dir", "D", "python3", "x.py"], "carbontracker run --log-dir D -- python3 x.py"),
            (&["--log-dir=my logs", "./x", "--log_dir", "E"], "carbontracker run --log-dir E -- ./x"),
            (
                &["--log_dir=my logs", "./x", "it's", "\"'"],
                r#"carbontracker run --log-dir 'my logs' -- ./x "it's" '"'\'''"#,
            ),
            (&["--parse", "logs/"], "carbontracker import logs/ -o reports-2 && carbontracker aggregate reports-2"),
            (
                &["--report", "a_carbontracker.log"],
                "carbontracker import a_carbontracker.log -o reports-2 && carbontracker report reports-2 -o carbon_report.pdf",
            ),
            (
                &["--report", "runs/a_carbontracker.log", "--output", "p.PDF"],
                "carbontracker report runs/a.json -o p.PDF",
            ),
            (&["--output=p", "--report=b.json"], "carbontracker report b.json -o p.html"),
            (
                &[
                    "--sim-cpu",
                    "Xeon: 6248",
                    "--sim-cpu-tdp",
                    "150",
                    "--sim-gpu",
                    "A'100",
                    "--sim-gpu-watts",
                    "400",
                    "--sim-gpu-util",
                    "1",
                    "x",
                ],
                r#"carbontracker run -o "sim_cpu='Xeon: 6248:150:0.5'" -o 'sim_gpu='\''A\'\''100:400:1'\''' -- x"#,
            ),
            (
                &["--api_keys", r#"{"electricitymaps": "secret"}"#, "python", "x.py"],
                "CARBONTRACKER_API_KEY=YOUR_KEY carbontracker run -o intensity=electricitymaps -- python x.py",
            ),
            (
                &["--api_keys", "{'carbonintensityGB': ''}", "x"],
                "carbontracker run -o intensity=carbonintensity_gb -- x",
            ),
            (&["--unknown", "x"], ""),
            (&["--log_dir", "D"], ""),
            (&["--log_dir"], ""),
            (&[], ""),
        ] {
            assert_eq!(line(theirs), ours, "{theirs:?}");
        }
    }
}
