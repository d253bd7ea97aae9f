//! The README says what is: its options are the options, its statuses the statuses, its program runs.

use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../../README.md");
const HEADER: &str = include_str!("../../include/carbontracker.h");

fn table_keys(heading: &str) -> Vec<String> {
    let section = README.split(heading).nth(1).expect(heading).split("\n## ").next().expect(heading);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let mut keys: Vec<String> =
        rows.flat_map(|cell| cell.split(", ")).map(|key| key.trim_matches(['`', ' ', '|']).into()).collect();
    keys.sort();
    keys
}

#[test]
fn the_options_table_is_the_options() {
    let refusal = carbontracker::options::Options::parse("no_such_key=1", |_| None).err().expect("refused").message;
    let mut keys: Vec<String> =
        refusal.split("Options are ").nth(1).expect("listed").split(", ").map(str::to_owned).collect();
    keys.sort();
    assert_eq!(table_keys("\n## Options"), keys);
}

#[test]
fn the_functions_and_statuses_are_the_headers() {
    for word in HEADER.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let is_function = word.starts_with("ct_") && !matches!(word, "ct_tracker" | "ct_status");
        let is_status = word.starts_with("CT_") && HEADER.contains(&format!("  {word} = "));
        assert!(!(is_function || is_status) || README.contains(&format!("`{word}")), "README does not mention {word}");
    }
}

#[test]
fn the_quick_start_compiles_and_runs() {
    let program = README.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a C program");
    let libdir = crate::c_library::folder();
    let dir = std::env::temp_dir().join(format!("ct-readme-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder to build in");
    std::fs::write(dir.join("quick.c"), program).expect("written");
    let include = Path::new(crate::ROOT).join("include");
    let built = Command::new(std::env::var("CC").unwrap_or("cc".into()))
        .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-I"])
        .arg(include)
        .arg(dir.join("quick.c"))
        .arg("-o")
        .arg(dir.join("quick"))
        .arg(libdir.join("libcarbontracker.so"))
        .arg(format!("-Wl,-rpath,{}", libdir.display()))
        .status();
    assert!(built.expect("a C compiler").success());
    std::os::unix::fs::symlink(libdir.join("libcarbontracker.so"), dir.join("libcarbontracker.so.0")).expect("linked");
    let ran = Command::new(dir.join("quick")).env("LD_LIBRARY_PATH", &dir).output().expect("it starts");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    std::fs::remove_dir_all(&dir).expect("tidied");
    assert!(ran.status.success() && text.contains("forecast after ") && text.contains("10 of 10 epochs"), "{text}");
}
