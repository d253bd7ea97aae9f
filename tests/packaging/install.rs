//! `make install` installs all files that users need, in a tree that can be moved, and `make uninstall` removes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, command, have, pkg_config, prefix, run, scratch};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folders and files below a folder, as paths from there.
pub fn below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(dir) = folders.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            found.insert(path.strip_prefix(folder).expect("below it").to_owned());
        }
    }
    found
}

/// Runs `make` with a goal and variables, independently of the make that runs these tests. Paths may have spaces.
fn make(umask: &str, goal: &str, variables: &[String]) -> String {
    let mut make = Command::new("sh");
    make.args(["-c", "umask $1 && shift && exec make -s \"$@\"", "sh", umask, "-C"]).arg(checkout("")).arg(goal);
    make.args(variables).env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
    make.env_remove("LIBDIR").env_remove("DESTDIR").env_remove("V");
    run(&mut make)
}

#[test]
fn files_for_users_of_each_language_are_installed() {
    let installed = below(prefix());
    for path in [
        "bin/carbontracker",
        "bin/ctrack",
        "share/man/man1/carbontracker.1",
        "share/man/man1/ctrack.1",
        "share/bash-completion/completions/carbontracker",
        "share/zsh/site-functions/_carbontracker",
        "share/fish/vendor_completions.d/carbontracker.fish",
        "share/fish/vendor_completions.d/ctrack.fish",
        "share/doc/carbontracker/packaging/grafana/carbontracker.json",
        "include/carbontracker.h",
        "include/carbontracker_dl.h",
        "share/carbontracker/lua/carbontracker-0.1.0-1.rockspec",
        "share/carbontracker/lua/carbontracker/core.c",
        "share/carbontracker/lua/LICENSE",
        "share/julia/dev/CarbonTracker/LICENSE",
        "lib/libcarbontracker.a",
        "lib/libcarbontracker.so",
        "lib/libcarbontracker.so.0",
        "lib/pkgconfig/carbontracker.pc",
        "lib/cmake/CarbonTracker/CarbonTrackerConfig.cmake",
        "share/doc/carbontracker/README.md",
        "share/doc/carbontracker/LICENSE",
        "share/doc/carbontracker/NOTICE",
        "share/doc/carbontracker/examples/digits.csv",
    ] {
        assert!(installed.contains(Path::new(path)), "{path} is missing");
    }
    // All files below bindings/ except tests and sources that make compiles.
    let names: BTreeSet<_> = installed.iter().filter_map(|path| path.file_name()).collect();
    let is_for_users = |path: &Path| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let is_header = ["h", "hpp", "f90", "jl", "lua", "py"].contains(&ending);
        is_header
            && !path.components().any(|part| matches!(part.as_os_str().to_str(), Some("test" | "tests" | "relink")))
    };
    for path in below(&checkout("bindings")).iter().filter(|path| is_for_users(path)) {
        assert!(names.contains(path.file_name().expect("a name")), "bindings/{} is not installed", path.display());
    }
    for example in std::fs::read_dir(checkout("examples")).expect("examples") {
        let name = example.expect("an entry").file_name();
        assert!(installed.contains(&Path::new("share/doc/carbontracker/examples").join(&name)), "{name:?} is missing");
    }
}

/// The name for an environment in which Python's Carbontracker has the other one.
#[test]
fn second_name_and_pages_of_all_subcommands_are_installed() {
    let version = |name: &str| run(Command::new(prefix().join("bin").join(name)).arg("--version"));
    assert_eq!(version("ctrack"), version("carbontracker"));
    let dir = scratch("pages");
    run(Command::new(prefix().join("bin/carbontracker")).args(["man", "--dir"]).arg(&dir));
    let (pages, installed) = (below(&dir), below(&prefix().join("share/man/man1")));
    assert!(pages.len() > 15, "{pages:?}");
    for page in &pages {
        assert!(installed.contains(page), "{page:?}");
    }
}

#[test]
fn installed_files_are_readable_by_all_users_and_removed_by_uninstall() {
    use std::os::unix::fs::PermissionsExt;
    let stage = scratch("with a space");
    let others = ["bin", "include/other", "lib64/pkgconfig", "lib", "share/doc/other"];
    for folder in others {
        std::fs::create_dir_all(stage.join("opt/ct").join(folder)).expect("a folder");
    }
    std::fs::write(stage.join("opt/ct/lib64/pkgconfig/other.pc"), "").expect("written");
    let before = below(&stage);
    let at =
        |libdir: &str| [format!("DESTDIR={}", stage.display()), "PREFIX=/opt/ct".into(), format!("LIBDIR={libdir}")];
    for libdir in ["lib64", "/opt/ct/lib/x86_64-linux-gnu"] {
        make("077", "install", &at(libdir));
        let new: Vec<PathBuf> = below(&stage).difference(&before).cloned().collect();
        let libraries = stage.join("opt/ct").join(libdir.trim_start_matches("/opt/ct/"));
        assert!(libraries.join("libcarbontracker.so").exists(), "{new:?}");
        for path in &new {
            let mode =
                stage.join(path).metadata().expect("the file or the target of the link exists").permissions().mode();
            let is_program = stage.join(path).is_dir() || path.starts_with("opt/ct/bin");
            assert_eq!(
                mode & if is_program { 0o555 } else { 0o444 },
                if is_program { 0o555 } else { 0o444 },
                "{path:?}"
            );
        }
        make("022", "uninstall", &at(libdir));
        let mut after = below(&stage);
        after.remove(Path::new("opt/ct/lib/x86_64-linux-gnu"));
        assert_eq!(after, before);
    }
}

#[test]
fn installed_files_do_not_contain_their_path() {
    let stage = scratch("staged");
    make("022", "install", &[format!("DESTDIR={}", stage.display()), "PREFIX=/a-place-of-its-own".into()]);
    for path in below(&stage).iter().filter(|path| stage.join(path).is_file()) {
        let bytes = std::fs::read(stage.join(path)).expect("read");
        let contains = |place: &str| bytes.windows(place.len()).any(|window| window == place.as_bytes());
        assert!(!contains("a-place-of-its-own"), "{} names the prefix", path.display());
        assert!(!contains(stage.to_str().expect("UTF-8")), "{} names the stage", path.display());
    }
}

/// A long list hides what a user needs next.
#[test]
fn installation_ends_with_a_few_lines_and_lists_the_files_on_request() {
    let stage = scratch("summary");
    let to = [format!("DESTDIR={}", stage.display()), "PREFIX=/opt/ct".into(), "LIBDIR=lib64".into()];
    let lines = make("022", "install", &to);
    assert!(lines.lines().count() <= 6 && lines.lines().all(|line| line.len() <= 160), "{lines}");
    for words in ["/opt/ct", "bin/carbontracker", "lib64/libcarbontracker.so", "carbontracker doctor", "V=1"] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
    let all = make("022", "install", &[to.to_vec(), vec!["V=1".into()]].concat());
    assert!(all.lines().any(|line| line == "/opt/ct/include/carbontracker.h"), "{all}");
    assert!(make("022", "uninstall", &to).contains("uninstalled below /opt/ct"));
}

#[test]
fn relative_prefix_is_refused() {
    let output =
        Command::new(checkout("packaging/install.sh")).arg("install").env("PREFIX", "usr").output().expect("it runs");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("absolute"), "{output:?}");
}

#[test]
fn library_is_found_by_its_links() {
    let lib = prefix().join("lib");
    let links =
        ["libcarbontracker.so", "libcarbontracker.so.0"].map(|name| std::fs::read_link(lib.join(name)).expect(name));
    let file = format!("libcarbontracker.so.{VERSION}");
    assert_eq!(links, [PathBuf::from("libcarbontracker.so.0"), PathBuf::from(&file)]);
    assert!(lib.join(file).is_file() && lib.join("libcarbontracker.a").is_file());
    let program = run(Command::new(prefix().join("bin/carbontracker")).arg("--version"));
    assert_eq!(program.trim(), format!("carbontracker {VERSION}"));
}

/// Compiles a C program by the shell line `cc … $(pkg-config …)`, in a path with a space, and runs it.
#[test]
fn pkg_config_links_either_library() {
    if !have(&["pkg-config"]) {
        return;
    }
    assert_eq!(pkg_config(&["--modversion"]), [VERSION]);
    for libdir in ["lib", "lib/x86_64-linux-gnu"] {
        let dir = scratch(&format!("of pkg-config {}", libdir.len()));
        make("022", "install-core", &[format!("PREFIX={}", dir.display()), format!("LIBDIR={libdir}")]);
        let build = |line: &str, program: &str| {
            let mut cc = command("sh");
            cc.args(["-c", &format!("eval cc -o '\"$1\"' '\"$2\"' {line}"), "sh"]).arg(dir.join(program));
            run(cc.arg(checkout("tests/packaging/use.c")).env("PKG_CONFIG_PATH", dir.join(libdir).join("pkgconfig")));
            let printed = run(command(dir.join(program)).env("LD_LIBRARY_PATH", dir.join(libdir)));
            assert_eq!(printed, format!("{VERSION} 100.0 W\n"), "{line}");
        };
        build("$(pkg-config --cflags --libs carbontracker)", "shared");
        // The linker takes the .a with -static, and also if there is no .so.
        build("-static $(pkg-config --static --cflags --libs carbontracker)", "static");
        for link in ["libcarbontracker.so", "libcarbontracker.so.0"] {
            std::fs::remove_file(dir.join(libdir).join(link)).expect("removed");
        }
        build("$(pkg-config --static --cflags --libs carbontracker)", "alone");
    }
}

#[test]
fn examples_build_and_run_with_the_installed_tree() {
    let dir = scratch("examples");
    let examples = prefix().join("share/doc/carbontracker/examples");
    let flags = pkg_config(&["--cflags", "--libs"]);
    let build = |compiler: &str, standard: &str, source: &str| {
        let program = dir.join(source.replace('.', "-"));
        let warnings = ["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
        let mut compiler = command(compiler);
        run(compiler.arg(standard).args(warnings).arg(examples.join(source)).arg("-o").arg(&program).args(&flags));
        command(program)
    };
    let tool = |variable: &str, default: &str| std::env::var(variable).unwrap_or_else(|_| default.into());
    let heat = run(&mut build(&tool("CC", "cc"), "-std=c99", "loop.c"));
    assert!(heat.contains("heat: 20 of 20 epochs"), "{heat}");
    let digits = run(build(&tool("CXX", "c++"), "-std=c++11", "train.cpp").arg(examples.join("digits.csv")));
    assert!(digits.contains("forecast after ") && digits.contains("digits: 20 of 20 epochs"), "{digits}");
    let mut accuracy =
        digits.lines().filter_map(|line| line.split("test accuracy ").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    assert!(accuracy.next_back().is_some_and(|percent| percent > 95.0), "it learns:\n{digits}");
}
