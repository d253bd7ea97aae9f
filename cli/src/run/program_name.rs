//! The label of a run that has none: by it, later runs of the same program find this one.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

/// Programs that run another one: the letters of their options whose value is the next word, and the number of words
/// before that program.
const LAUNCHERS: [(&str, &str, usize); 11] = [
    ("chrt", "DPT", 1),
    ("env", "Cu", 0),
    ("ionice", "cn", 0),
    ("nice", "n", 0),
    ("nohup", "", 0),
    ("numactl", "CNmpi", 0),
    ("setsid", "", 0),
    ("stdbuf", "eio", 0),
    ("taskset", "", 1),
    ("time", "fo", 0),
    ("timeout", "ks", 1),
];

/// Programs that run a script, and the letters of the options after which there is a text instead.
const INTERPRETERS: [(&str, &str); 16] = [
    ("Rscript", "e"),
    ("bash", "c"),
    ("dash", "c"),
    ("java", ""),
    ("julia", "eE"),
    ("ksh", "c"),
    ("lua", "e"),
    ("luajit", "e"),
    ("node", "ep"),
    ("octave", ""),
    ("perl", "eE"),
    ("php", "r"),
    ("python", "c"),
    ("ruby", "e"),
    ("sh", "c"),
    ("zsh", "c"),
];

/// The program's name without its folder. Where it runs another program or a script, the name of that: all programs of
/// an interpreter would be alike. `is_file` checks a path.
pub fn name_of(program: &[OsString], is_file: impl Fn(&Path) -> bool) -> String {
    let words: Vec<Cow<str>> = program.iter().map(|word| word.to_string_lossy()).collect();
    let mut left: &[Cow<str>] = &words;
    while let Some((launcher, rest)) = left.split_first() {
        let own = name(launcher);
        let known = LAUNCHERS.iter().find(|(name, ..)| *name == own);
        match known.and_then(|(_, valued, before)| launched(rest, valued, *before)) {
            Some(at) => left = at,
            None => return script(own, rest, is_file),
        }
    }
    String::new()
}

fn name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

/// The program that a launcher runs, and its arguments; None: there is none.
fn launched<'a>(words: &'a [Cow<'a, str>], valued: &str, before: usize) -> Option<&'a [Cow<'a, str>]> {
    let (mut at, mut before) = (0, before);
    loop {
        let word = words.get(at)?;
        let letter = word.strip_prefix('-').filter(|letters| letters.len() == 1);
        match word {
            // A variable of env.
            word if word.contains('=') => at += 1,
            _ if letter.is_some_and(|letter| valued.contains(letter)) => at += 2,
            word if word.starts_with('-') => at += 1,
            _ if before > 0 => (at, before) = (at + 1, before - 1),
            _ => return words.get(at..),
        }
    }
}

/// The name of the script or module that an interpreter runs; or else its own.
fn script(own: &str, words: &[Cow<str>], is_file: impl Fn(&Path) -> bool) -> String {
    // Such as python3.12
    let plain = own.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let Some((_, texts)) = INTERPRETERS.iter().find(|(name, _)| *name == plain) else { return own.into() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'));
        if plain == "python" && word == "-m" {
            return words.next().map_or(own, |module| module).into();
        }
        if letters.is_some_and(|letters| letters.ends_with(|last| texts.contains(last))) {
            return own.into();
        }
        if !word.starts_with('-') && is_file(Path::new(word.as_ref())) {
            return name(word).into();
        }
    }
    own.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_names_the_run_and_not_its_interpreter() {
        let is_file = |path: &Path| {
            ["train.py", "./src/net.jl", "./train", "job.sh", "7"].iter().any(|one| Path::new(one) == path)
        };
        for (line, expected) in [
            ("make -j8", "make"),
            ("/opt/bin/make all", "make"),
            ("./train --data train.py", "train"),
            ("python3.12 -u train.py --epochs 7", "train.py"),
            ("python", "python"),
            ("julia --project=. ./src/net.jl", "net.jl"),
            ("sh -c exit train.py", "sh"),
            ("python -m train train.py", "train"),
            ("python3 -W ignore -c pass train.py", "python3"),
            ("bash -e job.sh", "job.sh"),
            ("sh -ec exit job.sh", "sh"),
            ("stdbuf -oL -e L ./train", "train"),
            ("nice make -f train.py", "make"),
            ("nice -n 5 make", "make"),
            ("timeout 60 mysim train.py", "mysim"),
            ("timeout -k 5 1h mysim", "mysim"),
            ("env -u B A=1 make", "make"),
            ("nice", "nice"),
            ("taskset -c 0 ./train", "train"),
            ("stdbuf -oL ./train", "train"),
            ("nice env A=1 python train.py", "train.py"),
            ("env sh job.sh ./train", "job.sh"),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(name_of(&words, is_file), expected, "{line}");
        }
        assert_eq!(name_of(&[], is_file), "");
    }
}
