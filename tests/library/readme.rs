//! The documents agree with the library: the options, functions and statuses of the reference, and the programs of
//! README and tutorial, which compile and run.

use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../../README.md");
const TUTORIAL: &str = include_str!("../../docs/src/tutorial.md");
const OPTIONS: &str = include_str!("../../docs/src/reference/options.md");
const C_API: &str = include_str!("../../docs/src/reference/c-api.md");
const HEADER: &str = include_str!("../../include/carbontracker.h");

/// The first column of the tables that are headed `| key |`.
fn table_keys(page: &str) -> Vec<String> {
    let tables = page.split("\n\n").filter(|table| table.starts_with("| key |"));
    let rows = tables.flat_map(str::lines).filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let mut keys: Vec<String> =
        rows.flat_map(|cell| cell.split(", ")).map(|key| key.trim_matches(['`', ' ', '|']).into()).collect();
    keys.sort();
    keys
}

#[test]
fn the_options_tables_list_the_options() {
    let refusal = carbontracker::options::Options::parse("no_such_key=1", |_| None).err().expect("refused").message;
    let mut keys: Vec<String> =
        refusal.split("Options are ").nth(1).expect("listed").split(", ").map(str::to_owned).collect();
    keys.sort();
    assert_eq!(table_keys(OPTIONS), keys);
}

/// The defaults of the page are those that `carbontracker options` lists.
#[test]
fn the_options_tables_have_the_defaults() {
    // A link has its text only, and code no backticks.
    let plain = |cell: &str| {
        let mut text = cell.replace('`', "");
        while let Some((start, rest)) = text.clone().split_once("](") {
            text = start.replacen('[', "", 1) + rest.split_once(')').map_or("", |(_, after)| after);
        }
        text
    };
    for key in carbontracker::options::TABLES.into_iter().flat_map(|(_, keys)| keys) {
        let start = format!("| `{}` |", key.name);
        let row = OPTIONS.lines().find(|line| line.starts_with(&start)).expect(key.name);
        assert_eq!(plain(row.split(" | ").nth(2).expect("a default")), key.default, "{}", key.name);
    }
}

#[test]
fn the_reference_lists_the_headers_functions_and_statuses() {
    for word in HEADER.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let is_function = word.starts_with("ct_") && !matches!(word, "ct_tracker" | "ct_status");
        let is_status = word.starts_with("CT_") && HEADER.contains(&format!("  {word} = "));
        assert!(!(is_function || is_status) || C_API.contains(&format!("`{word}")), "c-api.md does not mention {word}");
    }
}

#[test]
fn the_quick_start_compiles_and_runs() {
    compile_and_run("readme", README);
}

#[test]
fn the_tutorial_compiles_and_runs() {
    compile_and_run("tutorial", TUTORIAL);
}

/// The first C program of a page.
fn compile_and_run(name: &str, page: &str) {
    let program = page.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a C program");
    let program = program.replace("300000000", "50000000"); // the tutorial's epochs last long enough to be killed
    let libdir = crate::c_library::folder();
    let dir = std::env::temp_dir().join(format!("ct-{name}-{}", std::process::id()));
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
