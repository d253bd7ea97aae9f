//! The C API in C and C++ programs: tests/bindings/c/*.c. They run with the shared and the static library, as C++, and
//! under valgrind. The header compiles in every standard of both languages.
//!
//! CT_LIBDIR names the folder of the libraries; without it, cargo builds them.
//! CC and CXX name the compilers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::retry::say;
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const SONAME: &str = "libcarbontracker.so.0";

/// A language in one of its standards, and the call of its compiler.
struct Language {
    name: &'static str,
    standard: &'static str,
    variable: &'static str,
    compiler: &'static str,
    warnings: &'static [&'static str],
}

const fn c(standard: &'static str) -> Language {
    Language { name: "c", standard, variable: "CC", compiler: "cc", warnings: &["-Wstrict-prototypes"] }
}

const fn cxx(standard: &'static str) -> Language {
    Language { name: "c++", standard, variable: "CXX", compiler: "c++", warnings: &[] }
}

const MATRIX: [Language; 7] = [c("c99"), c("c11"), c("c17"), cxx("c++11"), cxx("c++14"), cxx("c++17"), cxx("c++20")];

#[derive(Clone, Copy, PartialEq)]
enum Library {
    Shared,
    Static,
    /// By carbontracker_dl.h, when the program runs.
    Loaded,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Natively,
    UnderValgrind,
}

/// This program calls each function. The other programs have no more of the header.
#[test]
fn header_compiles_without_a_warning_in_every_standard() {
    let program = root().join("tests/bindings/c/null.c");
    let lab = Lab::new("headers");
    let folders = [root().join("include"), lab.loading_header()];
    let compiled =
        |(language, folder): (&Language, &PathBuf)| run(language.command(folder).arg("-fsyntax-only").arg(&program));
    let each = MATRIX.iter().flat_map(|language| folders.iter().map(move |folder| (language, folder)));
    report(each.filter_map(|one| compiled(one).err()).collect());
}

#[test]
fn every_c_program_runs_with_the_shared_library() {
    build_and_run("c-shared", &c("c99"), Library::Shared, How::Natively);
}

#[test]
fn every_c_program_runs_with_the_static_library() {
    build_and_run("c-static", &c("c99"), Library::Static, How::Natively);
}

#[test]
fn every_program_runs_as_cxx_and_loads_the_library() {
    build_and_run("cxx-loaded", &cxx("c++11"), Library::Loaded, How::Natively);
}

/// The static library has the same code.
#[test]
fn valgrind_finds_nothing() {
    build_and_run("valgrind", &c("c99"), Library::Shared, How::UnderValgrind);
}

#[test]
fn exported_symbols_are_the_functions_of_the_header() {
    let listed = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library("libcarbontracker.so"))).unwrap();
    let exported: BTreeSet<String> =
        listed.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
    let declared = declared_functions();
    assert_eq!(declared.len(), 19, "{declared:?}");
    let fortran = [
        "ctinit", "ctebeg", "cteend", "ctcanc", "ctpbeg", "ctpend", "ctprog", "ctrprg", "ctget", "ctval", "cttext",
        "ctrep", "cterr", "ctend",
    ];
    let spelled = fortran.into_iter().flat_map(|name| [name.to_owned(), format!("{name}_"), name.to_uppercase()]);
    let for_mpi = ["ct_fortran_tracker".to_owned()];
    assert_eq!(exported, declared.into_iter().chain(spelled).chain(for_mpi).collect());
}

#[test]
fn shared_library_has_its_soname_and_stays_mapped() {
    let dynamic =
        run(Command::new("readelf").args(["--dynamic", "--wide"]).arg(library("libcarbontracker.so"))).unwrap();
    let line = |tag: &str| dynamic.lines().find(|line| line.contains(tag)).unwrap_or_default();
    assert!(line("(SONAME)").contains(&format!("[{SONAME}]")), "{dynamic}");
    assert!(line("(FLAGS_1)").contains("NODELETE"), "{dynamic}");
}

#[test]
fn two_cxx_units_that_include_the_header_link_together() {
    let lab = Lab::new("units");
    let units = [
        (
            "main.cpp",
            "#include <carbontracker.h>\nint other();\nint main() { return ct_abi_version() == CT_ABI_VERSION ? other() : 1; }\n",
        ),
        (
            "other.cpp",
            "#include <carbontracker.h>\n#include <carbontracker.h>\nint other() { return ct_epoch_begin(nullptr) == CT_DISABLED ? 0 : 2; }\n",
        ),
    ];
    let mut compile = cxx("c++11").command(&root().join("include"));
    for (name, text) in units {
        fs::write(lab.dir.join(name), text).unwrap();
        compile.arg(lab.dir.join(name));
    }
    let program = lab.dir.join("units");
    run(lab.link(&mut compile, Library::Shared).arg("-o").arg(&program)).unwrap();
    run(&mut lab.command(&program, How::Natively)).unwrap();
}

/// Builds and runs every program, and reports all that fail.
fn build_and_run(name: &str, language: &Language, library: Library, how: How) {
    if how == How::UnderValgrind && run(Command::new("valgrind").arg("--version")).is_err() {
        assert!(env::var("CI").as_deref() != Ok("true"), "valgrind is not installed: run tests/tools.sh");
        return say("skipped: valgrind is not installed");
    }
    let lab = Lab::new(name);
    let mut failures = Vec::new();
    for source in programs() {
        let name = source.file_stem().unwrap().to_str().unwrap();
        let loads_by_itself = ["dlclose", "late_thread"].contains(&name);
        if loads_by_itself && library != Library::Shared {
            continue; // the static library cannot be loaded; the other header already loads
        }
        // The library must be there before memory is used up, a program with other rights takes the system's, and a
        // library that is loaded at run time calls no function of the program.
        if ["memory", "setuid", "thread_start"].contains(&name) && library == Library::Loaded {
            continue;
        }
        // Their limits would include valgrind's own memory; it has a malloc and rights of its own.
        let limits = ["exhausted", "late_thread", "memory", "no_malloc", "setuid"];
        if limits.contains(&name) && how == How::UnderValgrind {
            continue;
        }
        let program = lab.dir.join(name);
        let mut compile =
            language.command(&if library == Library::Loaded { lab.loading_header() } else { root().join("include") });
        compile.arg("-g").arg("-o").arg(&program).arg(&source);
        if !loads_by_itself {
            lab.link(&mut compile, library);
        }
        let built = run(compile.args(["-lpthread", "-lm", "-ldl"]));
        match built.and_then(|_| run(&mut lab.command(&program, how))) {
            Ok(output) => output
                .lines()
                .filter(|line| line.starts_with("skipped:"))
                .for_each(|line| say(&format!("{name}: {line}"))),
            Err(failure) => failures.push(failure),
        }
    }
    report(failures);
}

impl Language {
    /// The compiler, with the header in this folder.
    fn command(&self, headers: &Path) -> Command {
        let called = env::var(self.variable).unwrap_or_else(|_| self.compiler.into());
        let mut words = called.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or(self.compiler));
        command.args(words).args(["-x", self.name]).arg(format!("-std={}", self.standard));
        command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]).args(self.warnings);
        command.arg("-I").arg(headers);
        command
    }
}

/// A test's own folder: its programs, their temporary files, and the shared library under the two names that the
/// linker and the loader use.
struct Lab {
    dir: PathBuf,
}

impl Lab {
    fn new(name: &str) -> Lab {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c_api-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("tmp")).unwrap();
        for name in ["libcarbontracker.so", SONAME] {
            symlink(library("libcarbontracker.so"), dir.join(name)).unwrap();
        }
        Lab { dir }
    }

    /// A folder with carbontracker_dl.h in place of carbontracker.h.
    fn loading_header(&self) -> PathBuf {
        let folder = self.dir.join("loading");
        fs::create_dir_all(&folder).unwrap();
        fs::copy(root().join("include/carbontracker_dl.h"), folder.join("carbontracker.h")).unwrap();
        folder
    }

    fn link<'a>(&self, compile: &'a mut Command, library: Library) -> &'a mut Command {
        compile.args(["-x", "none"]);
        match library {
            Library::Shared => compile.arg("-L").arg(&self.dir).arg("-lcarbontracker"),
            Library::Loaded => compile,
            Library::Static => compile.arg(self::library("libcarbontracker.a")).args(private_libraries()),
        }
    }

    /// The command that runs the program; `timeout` ends it if it hangs.
    fn command(&self, program: &Path, how: How) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "120"]);
        if how == How::UnderValgrind {
            command
                .args(["valgrind", "-q", "--fair-sched=yes", "--error-exitcode=99"])
                .args(leak_check(program))
                .env("CT_VALGRIND", "1");
        }
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARBONTRACKER_")) {
            command.env_remove(name);
        }
        command
            .arg(program)
            .env("LD_LIBRARY_PATH", &self.dir)
            .env("CT_SO", self.dir.join(SONAME))
            .env("TMPDIR", self.dir.join("tmp"));
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Which leaks are errors.
fn leak_check(program: &Path) -> &'static [&'static str] {
    match program.file_name().and_then(|name| name.to_str()) {
        // A forked child has the memory of the parent's sampler but not its thread: it leaks on purpose.
        Some("fork") => &["--leak-check=no"],
        // A thread that is alive at exit, as one may be on a busy machine, has only pointers into the middle of its
        // blocks: "possibly lost".
        _ => &["--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"],
    }
}

fn root() -> &'static Path {
    Path::new(crate::ROOT)
}

fn programs() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("tests/bindings/c")).unwrap().map(|entry| entry.unwrap().path());
    let mut programs: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "c")).collect();
    programs.sort();
    assert!(!programs.is_empty());
    programs
}

fn library(file: &str) -> PathBuf {
    let dir = crate::c_library::folder();
    let path = fs::canonicalize(dir.join(file));
    path.unwrap_or_else(|error| {
        panic!("{}: {error}; run `make lib` and set CT_LIBDIR=target/release", dir.join(file).display())
    })
}

/// The system libraries that the static library needs, as pkg-config's file lists them.
fn private_libraries() -> Vec<String> {
    let pc = fs::read_to_string(root().join("packaging/carbontracker.pc.in")).unwrap();
    let line =
        pc.lines().find_map(|line| line.strip_prefix("Libs.private:")).expect("carbontracker.pc.in names Libs.private");
    line.split_whitespace().map(str::to_owned).collect()
}

/// The names before a parenthesis in the header, without comments.
fn declared_functions() -> BTreeSet<String> {
    let header = fs::read_to_string(root().join("include/carbontracker.h")).unwrap();
    let code: String = header.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code)).collect();
    let before_parentheses =
        code.split('(').filter_map(|part| part.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next());
    before_parentheses.filter(|name| name.starts_with("ct_")).map(str::to_owned).collect()
}

/// Runs a command. Returns its output, or a full description of its failure.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}; run tests/tools.sh"))?;
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    if output.status.success() { Ok(printed) } else { Err(format!("{command:?}\n{}\n{printed}", output.status)) }
}

fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failed\n\n{}", failures.len(), failures.join("\n"));
}
