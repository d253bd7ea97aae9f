//! carbontracker_dl.h: programs that link no library, where it is installed and where it is not.

use crate::install_tree::{checkout, command, outcome, prefix, run, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of headers in which carbontracker_dl.h has the place of carbontracker.h.
fn own_headers(lab: &Path) -> PathBuf {
    let own = lab.join("own");
    std::fs::create_dir_all(&own).unwrap();
    let headers = [
        ("include/carbontracker_dl.h", "carbontracker_dl.h"),
        ("include/carbontracker_dl.h", "carbontracker.h"),
        ("bindings/cpp/carbontracker.hpp", "carbontracker.hpp"),
    ];
    for (header, name) in headers {
        std::fs::copy(checkout(header), own.join(name)).unwrap();
    }
    own
}

/// Compiles a program with this header alone, and without the library.
fn built(lab: &Path, compiler: &str, source: &Path, more: &[&str]) -> PathBuf {
    let program = lab.join(source.file_stem().expect("a name"));
    let mut compile = command(compiler);
    compile.args(["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"]).arg(own_headers(lab));
    compile.arg(source).arg("-o").arg(&program);
    run(compile.args(more).args(["-ldl", "-lpthread", "-lm"]));
    program
}

/// A library that this header refuses.
fn stand_in(lab: &Path, name: &str, code: &str) -> PathBuf {
    let (source, library) = (lab.join(format!("{name}.c")), lab.join(format!("{name}.so")));
    std::fs::write(&source, code).unwrap();
    run(command("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source));
    library
}

fn with(program: &Path, library: &Path) -> Command {
    let mut command = command(program);
    command.env("CARBONTRACKER_LIB", library).env_remove("LD_LIBRARY_PATH");
    command
}

#[test]
fn examples_run_with_and_without_the_library() {
    let lab = scratch("dl");
    let library = prefix().join("lib/libcarbontracker.so.0");
    // A short training: a tenth of the images.
    let images = std::fs::read_to_string(checkout("examples/digits.csv")).unwrap();
    let digits = lab.join("digits.csv");
    std::fs::write(&digits, images.split_inclusive('\n').take(180).collect::<String>()).unwrap();
    let examples: [(&str, &str, &[&str]); 3] = [
        ("cc", "examples/loop.c", &["-std=c99"]),
        ("cc", "examples/digits.c", &["-std=c99"]),
        ("c++", "examples/train.cpp", &["-std=c++11"]),
    ];
    for (compiler, source, standard) in examples {
        let program = built(&lab, compiler, &checkout(source), standard);
        let tracked = run(with(&program, &library).arg(&digits).env("CARBONTRACKER_SIM_CPU", "x:100"));
        assert!(tracked.contains(" epochs on "), "{source}: {tracked}");
        let untracked = outcome(with(&program, Path::new("/nowhere/libcarbontracker.so.0")).arg(&digits));
        let printed = String::from_utf8_lossy(&untracked.stdout);
        assert!(untracked.status.success() && !printed.contains(" epochs on "), "{source}: {printed}");
        assert!(printed.lines().count() >= 1, "{source}: its own lines stay: {printed}");
    }
}

/// Prints the status of a start and the reason, with one call of each kind before.
const ASKS: &str = r#"
#include "carbontracker_dl.h"
#include <stdio.h>
int main(void)
{
    ct_tracker *t = (ct_tracker *)1;
    char text[512] = "before";
    double value = 7;
    size_t needed = 0;
    const ct_status status = ct_create("epochs=3", &t);
    if (t != NULL || ct_epoch_begin(t) != CT_DISABLED || ct_epoch_end(t) != CT_DISABLED || ct_epoch_cancel(t) != CT_DISABLED ||
        ct_phase_begin(t, "solve") != CT_DISABLED || ct_phase_end(t) != CT_DISABLED ||
        ct_progress(t, 1, 2) != CT_DISABLED || ct_run_progress(t, 1, 2) != CT_DISABLED ||
        ct_value(t, "/pue", &value) != CT_DISABLED || value != 7 || ct_message(t, text, 512, &needed) != CT_DISABLED ||
        ct_report(t, "json", text, 512, &needed) != CT_DISABLED || ct_text(t, "", text, 512, &needed) != CT_DISABLED ||
        text[0] != '\0' || needed != 1)
        return 1;
    ct_destroy(t);
    ct_release(t);
    if (ct_error(NULL, text, sizeof text, NULL) != CT_OK)
        return 2;
    printf("%d '%s' %s\n%s\n", (int)status, ct_version(), ct_status_string(0), text);
    return 0;
}
"#;

#[test]
fn wrong_library_is_refused_with_both_versions() {
    let lab = scratch("dl-wrong");
    let source = lab.join("asks.c");
    std::fs::write(&source, ASKS).unwrap();
    let asks = built(&lab, "cc", &source, &["-std=c99"]);
    let version = |abi: u32| {
        format!(
            "const char *ct_version(void) {{ return \"0.0.9\"; }}\nunsigned ct_abi_version(void) {{ return {abi}; }}\n"
        )
    };
    let text = lab.join("text.so");
    std::fs::write(&text, "no library").unwrap();
    let ours = env!("CARGO_PKG_VERSION");
    let (old, other) = (stand_in(&lab, "old", &version(0)), stand_in(&lab, "other", &version(9)));
    let foreign = stand_in(&lab, "foreign", "int one = 1;");
    let cases = [
        (Path::new("/nowhere.so"), "CARBONTRACKER_LIB"),
        (&text, "CARBONTRACKER_LIB"),
        (&foreign, "is not carbontracker"),
        (&old, "version 0.0.9 and ABI 0 without ct_"),
        (&other, "version 0.0.9 and ABI 9"),
    ];
    for (library, words) in cases {
        let printed = run(&mut with(&asks, library));
        assert!(printed.starts_with("1 '' carbontracker is not loaded\n"), "{}: {printed}", library.display());
        assert!(printed.contains(words), "{}: {printed}", library.display());
        assert!(
            !words.contains("ABI") || printed.contains(&format!("built for version {ours} and ABI 0")),
            "{printed}"
        );
    }
}

#[test]
fn connectors_can_load_the_library() {
    let lab = scratch("dl-connectors");
    for source in ["bindings/kokkos/kp_carbontracker.c", "bindings/relink/carbontracker_auto.c"] {
        let mut compile = command("cc");
        compile.args(["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-c", "-I"]);
        compile.arg(own_headers(&lab)).arg(checkout(source)).arg("-o");
        let object = lab.join(Path::new(source).with_extension("o").file_name().expect("a name"));
        run(compile.arg(&object));
        let needs = run(command("nm").arg("--undefined-only").arg(&object));
        assert!(!needs.contains(" ct_"), "{source} needs no function of the library: {needs}");
    }
}
