//! The label of a run that has none: by it, later runs of the same program find this one.

use std::ffi::OsString;
use std::path::Path;

/// Programs that run another one, which is the argument that names a file.
const RUNNERS: [&str; 24] = [
    "bash", "dash", "env", "ionice", "java", "julia", "ksh", "lua", "luajit", "nice", "node", "nohup", "numactl",
    "octave", "perl", "php", "python", "Rscript", "ruby", "sh", "stdbuf", "taskset", "timeout", "zsh",
];

/// The program's name without its folder. Where it runs another program or a script, the name of that file: all
/// programs of an interpreter would be alike. `is_file` checks a path.
pub fn name_of(program: &[OsString], is_file: impl Fn(&Path) -> bool) -> String {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let Some((first, rest)) = program.split_first() else { return String::new() };
    let own = name(Path::new(first));
    // Such as python3.12
    let plain = own.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let is_program = |word: &&OsString| !word.as_encoded_bytes().starts_with(b"-") && is_file(Path::new(word));
    // What follows is a program's text or a module's name. For these two, -c is another option.
    let is_text =
        |word: &&OsString| *word == "-m" || *word == "-e" || (*word == "-c" && !["ionice", "taskset"].contains(&plain));
    match rest
        .iter()
        .take_while(|word| !is_text(word))
        .position(|word| is_program(&word))
        .filter(|_| RUNNERS.contains(&plain))
    {
        Some(at) => name_of(rest.get(at..).unwrap_or_default(), is_file),
        None => own,
    }
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
            ("python -m train train.py", "python"),
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
