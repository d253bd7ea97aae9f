//! The command's documents: help, completions, man page, and the examples of the reference, which must work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
const CLI: &str = include_str!("../../docs/src/reference/cli.md");

fn carbontracker(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().expect("it starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands in the completion script.
fn subcommands() -> Vec<String> {
    let script = carbontracker(&["completion", "bash"]); // its first list is empty, the next has the subcommands
    let words = script.split("opts=\"").nth(2).and_then(|rest| rest.split('"').next()).expect("a list of words");
    words
        .split(' ')
        .filter(|word| !word.starts_with('-') && !word.is_empty() && *word != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn subcommands_are_explained() {
    let (help, all) = (carbontracker(&["help"]), subcommands());
    assert!(
        ["run", "doctor", "replay", "score", "completion", "man"].iter().all(|one| all.iter().any(|name| name == one))
    );
    for name in &all {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {name} "))), "{name} is not in\n{help}");
        let explained = carbontracker(&["help", name]);
        assert!(explained.contains(&format!("Usage: carbontracker {name}")), "{name}");
        assert!(explained.contains("Exit status: "), "{name}");
        assert!(CLI.contains(&format!("| `{name}")), "cli.md lacks {name}");
    }
}

/// Words of the help that are longer than a line of 60 columns, such as paths, are kept whole.
#[test]
fn help_fits_the_terminal() {
    let help = |columns: usize, arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).env("COLUMNS", columns.to_string()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for name in subcommands().iter().map(String::as_str).chain(["help"]) {
        let widest = help(1000, &["help", name]);
        for (columns, most) in [(80, 80), (100, 100), (300, 100)] {
            let text = help(columns, &["help", name]);
            let line = text.lines().find(|line| line.chars().count() > most);
            assert_eq!(line, None, "{name} in {columns} columns");
            assert_eq!(words(&text), words(&widest), "{name} in {columns} columns");
        }
        let narrow = help(60, &["help", name]);
        let is_long = |line: &&str| line.chars().count() > 60 && line.trim().contains(' ') && !line.contains("Usage:");
        assert_eq!(narrow.lines().find(is_long), None, "{name}");
    }
    assert!(help(80, &["zones"]).lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn options_and_zones_are_listed_offline() {
    let help = carbontracker(&["help", "options"]);
    for key in carbontracker::options::keys() {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{key} "))), "{key}: {help}");
    }
    assert!(carbontracker(&["options", "water"]).contains("litres per kWh"));
    let zones = carbontracker(&["zones", "denmark"]);
    let row = zones.lines().find(|line| line.starts_with("DK ")).expect("a row");
    assert!(
        row.contains("114") && row.contains("2025") && row.contains("lifecycle") && row.contains("Denmark"),
        "{row}"
    );
    let json: serde_json::Value = serde_json::from_str(&carbontracker(&["zones", "--json"])).unwrap();
    assert!(json["schema"] == 1 && json["zones"].as_array().unwrap().len() > 600);
    for (arguments, advice) in
        [(["zones", "Denmrak"], "DK (Denmark)"), (["options", "locaton"], "did you mean location?")]
    {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(advice), "{output:?}");
    }
    assert_eq!(carbontracker(&["version"]), carbontracker(&["--version"]));
}

/// Gives a shell a script to check or run. None if the shell is not installed.
fn shell(program: &str, arguments: &[&str], script: &str) -> Option<String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{program} is missing: tests/tools.sh");
        let _ = writeln!(std::io::stderr(), "skipped: {program} is not here");
        return None;
    };
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{program}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Types into an interactive zsh, and reads what it completes.
fn zsh_completes(script: &str) {
    if shell("zsh", &["-n"], script).is_none() {
        return;
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("zsh-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("_carbontracker"), script).unwrap();
    let typed = r#"
zmodload zsh/zpty
zpty z "TERM=dumb zsh -f -i"
zpty -w z "fpath=(DIR \$fpath); autoload -U compinit; compinit -u -D; bindkey '^I' complete-word; echo IS''SET"
zpty -r -m z out '*ISSET*'
zpty -w -n z $'ctrack run -o location=DK-\t\t'
zpty -r -m z out '*DK-DK1*'
zpty -w -n z $'\x15carbontracker run -o \'location=DK wue_\t'
zpty -r -m z out '*wue_grid=*'
zpty -w -n z $'\x15carbontracker when --location NO-NO\t\t'
zpty -r -m z out '*NO-NO4*'
zpty -d z
"#;
    // If zsh completes something else, it would be waited for without end.
    shell("timeout", &["60", "zsh", "-f"], &typed.replace("DIR", &dir.display().to_string()));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn completions_work_in_the_shells() {
    let bash = carbontracker(&["completion", "bash"]);
    shell("bash", &["-n"], &bash);
    let ask = "\ncomplete -p carbontracker ctrack\nCOMP_WORDS=(carbontracker run --qui) COMP_CWORD=2; _carbontracker carbontracker --qui run; echo \"${COMPREPLY[@]}\"\n";
    let completed = shell("bash", &["--norc"], &(bash.clone() + ask)).expect("bash");
    assert!(completed.contains("-F _carbontracker") && completed.lines().any(|line| line == "--quiet"), "{completed}");
    for (line, expected) in [
        ("run -o loc", "location="),
        ("run --option=log_p", "log_prefix="),
        ("run -o location=DK-", "DK-BHM DK-DK1 DK-DK2"),
        ("run -o 'location=DK wue_", "wue_grid="),
        ("run -o 'pue=1.3 location=aws:eu-no", "eu-north-1"),
        ("when --location NO-NO1", "NO-NO1"),
        ("zones DK-D", "DK-DK1 DK-DK2"),
        ("help options life", "life_years"),
    ] {
        let ask = format!(
            "\nCOMP_LINE=\"carbontracker {line}\" COMP_POINT=${{#COMP_LINE}}; _carbontracker_pairs carbontracker '' ''; echo \"${{COMPREPLY[@]}}\"\n"
        );
        assert_eq!(shell("bash", &["--norc"], &(bash.clone() + &ask)).expect("bash").trim(), expected, "{line}");
    }
    zsh_completes(&carbontracker(&["completion", "zsh"]));
    let fish = carbontracker(&["completion", "fish"]);
    for (line, expected) in [
        ("doc", "doctor"),
        ("run -o wue_", "wue_grid="),
        ("run -o location=DK-", "location=DK-DK1"),
        ("zones DK-", "DK-DK2"),
    ] {
        let ask = format!("\ncomplete -C 'carbontracker {line}'\n");
        let completed = shell("fish", &["--no-config"], &(fish.clone() + &ask));
        assert!(completed.as_ref().is_none_or(|text| text.contains(expected)), "{line}: {completed:?}");
    }
    let refused = Command::new(PROGRAM).args(["completion", "csh"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn man_page_is_complete_and_formats_without_warnings() {
    let page = carbontracker(&["man"]);
    let formatted = shell("groff", &["-man", "-ww", "-z", "-Kutf8", "-Tutf8"], &page);
    assert!(formatted.is_none_or(|nothing| nothing.is_empty()));
    for name in subcommands() {
        assert!(page.contains(&format!(".SH \"CARBONTRACKER {}\"", name.to_uppercase())), "{name} is missing");
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("man-{}", std::process::id()));
    carbontracker(&["man", "--dir", dir.to_str().unwrap()]);
    let mut pages: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert_eq!(pages.len(), 1 + subcommands().len(), "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        shell("groff", &["-man", "-ww", "-z", "-Kutf8", "-Tutf8"], &text);
        for section in ["SYNOPSIS", "ENVIRONMENT", "FILES"] {
            assert!(text.contains(&format!(".SH {section}\n")), "{section} in {}", page.display());
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
    assert!(carbontracker(&["man", "run"]).contains(".TH carbontracker-run 1"));
    assert_eq!(Command::new(PROGRAM).args(["man", "nosuch"]).output().unwrap().status.code(), Some(2));
    let nowhere = Command::new(PROGRAM).args(["man", "--dir", "/proc/no/such/folder"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
}

/// The examples with `run`, `doctor`, `completion` and `man`, in a folder with the Makefile and program that they name.
#[test]
fn lines_of_the_reference_work() {
    use std::os::unix::fs::PermissionsExt;
    let section = CLI.split("\n## The command").nth(1).expect("a section").split("\n## ").next().unwrap();
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("lines to type");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("readme-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("Makefile"), "all:\n\t@sleep 0.2\n").unwrap();
    std::fs::write(dir.join("train"), "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; echo epoch $i; done\n")
        .unwrap();
    std::fs::set_permissions(dir.join("train"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", Path::new(PROGRAM).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let lines: Vec<&str> = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert!(lines.len() >= 4, "{block}");
    for line in lines.into_iter().filter(|line| {
        ["run", "doctor", "completion", "man"].iter().any(|name| line.contains(&format!("carbontracker {name}")))
    }) {
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(&dir)
            .env("PATH", &path)
            .env_remove("MAKEFLAGS")
            .env("XDG_STATE_HOME", dir.join("state"))
            .output()
            .unwrap();
        let is_doctor = line.contains("doctor") && output.status.code() == Some(3);
        assert!(output.status.success() || is_doctor, "{line}: {output:?}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}
