//! Builds against the library without pkg-config: CMake with the installed package and from source, and the files that
//! cargo-c and Spack read. The user's project is tests/packaging.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{by_hand, checkout, command, have, outcome, prefix, run, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const NEEDED: &str = "libcarbontracker.so.0";

/// A user's project, configured.
pub struct Project {
    build: PathBuf,
}

impl Project {
    pub fn new(build: PathBuf, generator: &str, definitions: &[(&str, &str)]) -> Self {
        let mut cmake = Self::tool();
        cmake.arg("-S").arg(checkout("tests/packaging")).arg("-B").arg(&build).args(["-Werror=dev", "-G", generator]);
        run(cmake.args(definitions.iter().map(|(name, value)| format!("-D{name}={value}"))));
        Self { build }
    }

    /// CMake as a user runs it. Only the project names the place of the library.
    pub fn tool() -> Command {
        let mut cmake = command("cmake");
        by_hand(cmake.env_remove("LD_LIBRARY_PATH").env_remove("PKG_CONFIG_PATH"));
        cmake
    }

    pub fn make(&self) -> String {
        run(Self::tool().arg("--build").arg(&self.build))
    }

    /// Checks that a program runs in its build folder, and whether it is linked to the shared library.
    fn check(&self, program: &str, is_shared: bool) {
        check(&self.build.join(program), is_shared);
    }
}

fn check(program: &Path, is_shared: bool) {
    let printed = run(command(program).env_remove("LD_LIBRARY_PATH"));
    assert_eq!(printed.trim(), format!("{VERSION} 100.0 W"), "{}", program.display());
    let dynamic = run(Command::new("readelf").arg("-d").arg(program));
    assert_eq!(dynamic.contains(NEEDED), is_shared, "{}\n{dynamic}", program.display());
}

/// Another installed tree, moved after the installation, with this folder for the libraries.
fn tree(name: &str, libdir: &str) -> PathBuf {
    let dir = scratch(name);
    run_make("install", &dir, libdir);
    let moved = dir.with_extension("moved");
    let _ = std::fs::remove_dir_all(&moved);
    std::fs::rename(dir, &moved).expect("moved");
    moved
}

fn run_make(goal: &str, dir: &Path, libdir: &str) {
    let mut make = Command::new("make");
    make.arg("-C").arg(checkout("")).args(["-s", goal]).arg(format!("PREFIX={}", dir.display()));
    run(by_hand(make.arg(format!("LIBDIR={libdir}"))));
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The languages with bindings in this checkout.
pub fn languages() -> String {
    let has = |file: &str| checkout(file).is_file();
    let mut all = vec!["C"];
    all.extend(has("bindings/cpp/carbontracker.hpp").then_some("CXX"));
    all.extend(has("bindings/fortran/src/carbontracker.f90").then_some("Fortran"));
    all.join(";")
}

pub fn check_all(project: &Project, languages: &str, is_shared: bool) {
    project.check("use_c", is_shared);
    project.check("use_shared", true);
    project.check("use_static", false);
    for (language, program) in [("CXX", "use_cxx"), ("Fortran", "use_fortran")] {
        if languages.contains(language) {
            project.check(program, is_shared);
        }
    }
}

#[test]
fn cmake_finds_the_package_for_every_language() {
    if !have(&["cmake", "gfortran", "readelf"]) {
        return;
    }
    let tree = tree("a tree", "lib");
    let languages = languages();
    let mut definitions = vec![("FROM", "package"), ("LANGUAGES", &*languages), ("CMAKE_PREFIX_PATH", text(&tree))];
    if languages.contains("Fortran") && checkout("bindings/mpi").is_dir() && have(&["mpicc"]) {
        definitions.push(("MPI", "ON"));
    }
    let project = Project::new(scratch("found by make"), "Unix Makefiles", &definitions);
    project.make();
    check_all(&project, &languages, true);
}

#[test]
fn cmake_links_the_static_library_on_request() {
    if !have(&["cmake", "ninja", "gfortran", "readelf"]) {
        return;
    }
    let (tree, languages) = (tree("a tree of 64 bits", "lib64"), languages());
    let package = tree.join("lib64/cmake/CarbonTracker"); // Debian's CMake does not look into lib64
    let common = [("FROM", "package"), ("LANGUAGES", &languages), ("CarbonTracker_DIR", text(&package))];
    let asked = [&common[..], &[("COMPONENTS", "static")]].concat();
    let project = Project::new(scratch("by component"), "Ninja", &asked);
    project.make();
    check_all(&project, &languages, false);
    assert!(project.make().contains("no work to do"));

    // A project in one language with BUILD_SHARED_LIBS. Fortran alone has no threads library of C or C++.
    let only = if languages.contains("Fortran") { ("Fortran", "use_fortran") } else { ("C", "use_c") };
    let by_variable = [common[0], ("LANGUAGES", only.0), common[2], ("BUILD_SHARED_LIBS", "OFF")];
    let project = Project::new(scratch("by variable"), "Ninja", &by_variable);
    project.make();
    project.check(only.1, false);
}

/// If /lib is a link to /usr/lib, CMake finds the package in /lib/cmake. Seen from there, /include is not the folder of
/// the headers.
#[test]
fn cmake_finds_the_package_through_a_link() {
    if !have(&["cmake", "readelf"]) {
        return;
    }
    let root = scratch("root");
    run_make("install", &root.join("usr"), "lib/x86_64-linux-gnu");
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).expect("linked");
    let package = root.join("lib/x86_64-linux-gnu/cmake/CarbonTracker");
    let definitions = [("FROM", "package"), ("LANGUAGES", "C"), ("CarbonTracker_DIR", text(&package))];
    let project = Project::new(scratch("by a link"), "Unix Makefiles", &definitions);
    project.make();
    check_all(&project, "C", true);
}

#[test]
fn cmake_takes_this_minor_version_only() {
    if !have(&["cmake"]) {
        return;
    }
    let package = format!("-DCarbonTracker_DIR={}", text(&prefix().join("lib/cmake/CarbonTracker")));
    let ask = |versions: &str| {
        let mut cmake = Project::tool();
        cmake.arg("-S").arg(checkout("tests/packaging/versions")).arg("-B").arg(scratch("versions"));
        run(cmake.arg(format!("-DVERSIONS={versions}")).arg(&package))
    };
    let parts: Vec<u32> = VERSION.split('.').map(|part| part.parse().expect("a number")).collect();
    let [major, minor, patch] = parts[..] else { panic!("{VERSION}") };
    let good = [format!("{major}.{minor}"), VERSION.into(), format!("{major}.{minor}...<{major}.{}", minor + 1)];
    let bad = [
        format!("{major}.{}", minor + 1),
        format!("{major}.{minor}.{}", patch + 1),
        format!("{}.{minor}", major + 1),
        format!("{major}.{}...{}", minor + 1, major + 1),
        format!("{major}.0...<{VERSION}"),
    ];
    for (versions, found) in [(&good[..], "1"), (&bad[..], "0")] {
        let output = ask(&versions.join(";"));
        for version in versions {
            assert!(output.contains(&format!("-- {version}: {found}\n")), "{version} {found}\n{output}");
        }
    }
    let mut cmake = Project::tool();
    cmake.arg("-S").arg(checkout("tests/packaging")).arg("-B").arg(scratch("component"));
    cmake.args(["-DFROM=package", "-DLANGUAGES=C", "-DCOMPONENTS=static;COBOL"]);
    let refused = outcome(cmake.arg(&package));
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no CarbonTracker::COBOL"), "{refused:?}");
}

/// The folder in which cargo builds for `make lib`. A build by CMake reuses the files there.
fn target() -> PathBuf {
    checkout("").join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into()))
}

#[test]
fn fetch_content_builds_and_installs_the_same_tree() {
    if !have(&["cmake", "ninja", "gfortran", "readelf"]) {
        return;
    }
    prefix(); // builds the library if necessary
    let (languages, to, source) = (languages(), scratch("installed by cmake"), checkout(""));
    let cargo = target();
    let definitions = [
        ("FROM", "fetch"),
        ("SOURCE", text(&source)),
        ("LANGUAGES", &languages),
        ("CMAKE_BUILD_TYPE", "Release"),
        ("CARBONTRACKER_CARGO_DIR", text(&cargo)),
        ("CARBONTRACKER_INSTALL", "ON"),
        ("CMAKE_INSTALL_PREFIX", text(&to)),
    ];
    let project = Project::new(scratch("fetched"), "Ninja", &definitions);
    project.make();
    check_all(&project, &languages, true);
    assert!(project.make().contains("no work to do"));

    run(Project::tool().arg("--install").arg(&project.build));
    check(&to.join("bin/use_shared"), true);
    let compared = outcome(Command::new("diff").arg("-r").arg(prefix()).arg(&to));
    let differences = String::from_utf8_lossy(&compared.stdout).into_owned();
    // Only CMake's tree has the programs. Only make's tree has the files that make compiles: Lua's modules and the
    // connectors.
    let is_allowed = |line: &&str| {
        line.contains("bin: use_")
            || line.contains("/lib/lua")
            || ["lua", "libkp_carbontracker.so", "carbontracker_auto.o"]
                .iter()
                .any(|name| line.starts_with("Only in") && line.ends_with(&format!("lib: {name}")))
    };
    assert_eq!(differences.lines().filter(|line| !is_allowed(line)).collect::<Vec<_>>(), [""; 0]);
    let listed = std::fs::read_to_string(project.build.join("install_manifest.txt")).expect("a manifest");
    assert!(listed.contains(text(&to.join("include/carbontracker.h"))), "{listed}");
}

/// A quick substitute for cargo. It logs its arguments and copies the installed libraries to the target folder.
const CARGO: &str = r#"#!/bin/sh
echo "$* debug=${CARGO_PROFILE_RELEASE_DEBUG:-}" >> "$0.calls"
while [ "$1" != --target-dir ]; do
    [ "$1" != --profile ] || profile=$2
    shift
done
[ "$profile" = release ] || profile=debug
mkdir -p "$2/$profile" && cp BUILT/libcarbontracker.* "$2/$profile/"
"#;

#[test]
fn subdirectory_is_built_by_its_build_type_and_again_after_a_change() {
    use std::os::unix::fs::PermissionsExt;
    if !have(&["cmake", "readelf"]) {
        return;
    }
    prefix();
    let dir = scratch("with a subdirectory");
    let (source, cargo) = (dir.join("a checkout"), dir.join("cargo"));
    std::fs::create_dir(&source).expect("made");
    for part in ["CMakeLists.txt", "Cargo.toml", "Cargo.lock", "src", "capi", "cli", "fuzz", "include", "packaging"] {
        run(Command::new("cp").arg("-r").arg(checkout(part)).arg(&source));
    }
    std::fs::write(&cargo, CARGO.replace("BUILT", text(&prefix().join("lib")))).expect("written");
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let calls = || {
        let calls = std::fs::read_to_string(dir.join("cargo.calls")).expect("called");
        std::fs::remove_file(dir.join("cargo.calls")).expect("forgotten");
        calls
    };
    for (build_type, profile, debug) in
        [("Debug", "--profile dev", "debug=\n"), ("RelWithDebInfo", "--profile release", "debug=true\n")]
    {
        let definitions = [
            ("FROM", "subdirectory"),
            ("SOURCE", text(&source)),
            ("LANGUAGES", "C"),
            ("CMAKE_BUILD_TYPE", build_type),
            ("CARGO_EXECUTABLE", text(&cargo)),
        ];
        let project = Project::new(dir.join(build_type), "Unix Makefiles", &definitions);
        project.make();
        check_all(&project, "C", true);
        let called = calls();
        assert_eq!(called.lines().count(), 1, "only the libraries:\n{called}");
        assert!(
            called.lines().all(|line| line.contains("--locked") && line.contains("--no-default-features")),
            "{called}"
        );
        assert!(called.contains(profile) && called.contains(debug), "{called}");
        assert!(called.contains("--features live "), "{called}");
        project.make();
        assert!(!dir.join("cargo.calls").exists(), "nothing changed");
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(source.join("src").join(build_type), "a new file").expect("written");
        project.make();
        assert_eq!(calls().lines().count(), 1);
        let without = [&definitions[..], &[("CARBONTRACKER_LIVE", "OFF")]].concat();
        Project::new(dir.join(build_type), "Unix Makefiles", &without).make();
        let called = calls();
        assert!(called.lines().count() == 1 && !called.contains("live"), "{called}");
    }
}

#[test]
fn cargo_c_reads_correct_values() {
    let manifest = run(command("cargo")
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(checkout("capi/Cargo.toml")));
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    let packages = manifest["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "carbontracker-capi").expect("the C library");
    let capi = &package["metadata"]["capi"];
    assert_eq!(capi["header"]["generation"], false);
    assert!(package["features"]["capi"].is_array(), "cargo-c looks for the feature");
    let suffix = capi["library"]["version_suffix_components"].as_u64().expect("a number");
    assert_eq!(
        format!("libcarbontracker.so.{}", VERSION.split('.').take(suffix as usize).collect::<Vec<_>>().join(".")),
        NEEDED
    );
    let pc = format!("lib/pkgconfig/{}.pc", capi["pkg_config"]["filename"].as_str().expect("a name"));
    assert!(prefix().join(pc).is_file(), "the same name as in make's tree");
    // The assets are exactly the headers that make installs.
    let assets = capi["install"]["include"]["asset"].as_array().expect("assets");
    let mut declared: Vec<String> = Vec::new();
    for asset in assets {
        let files = format!("ls {} 2>/dev/null || true", asset["from"].as_str().expect("a pattern"));
        let files = run(Command::new("sh").args(["-c", &files]).current_dir(checkout("capi")));
        declared.extend(files.lines().map(|file| file.rsplit('/').next().unwrap_or(file).to_owned()));
    }
    let headers = std::fs::read_dir(prefix().join("include")).expect("headers");
    let mut installed: Vec<String> =
        headers.map(|entry| entry.expect("one").file_name().to_string_lossy().into_owned()).collect();
    declared.sort();
    installed.sort();
    assert_eq!(declared, installed);
}

#[test]
fn spack_reads_its_recipe() {
    if !have(&["python3"]) {
        return;
    }
    let output =
        run(command("python3").arg(checkout("tests/packaging/spack.py")).arg(checkout("packaging/spack/package.py")));
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines.contains(&&*format!("version {VERSION}")), "{lines:?}");
    let rust = format!("depends_on rust@{}:", env!("CARGO_PKG_RUST_VERSION"));
    assert!(lines.contains(&&*rust), "{lines:?}");
    assert!(lines.contains(&"variant live") && lines.contains(&"build LIVE=1"), "{lines:?}");
    assert!(lines.contains(&"install install PREFIX=/spack/prefix LIBDIR=lib"), "{lines:?}");
}
