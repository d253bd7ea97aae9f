//! include/carbontracker.h is generated and committed. These tests fail if it is stale; `make header` rewrites it.

use std::path::Path;

fn generated() -> String {
    let root = Path::new(crate::ROOT);
    let config = cbindgen::Config::from_root_or_default(root);
    let mut text = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("capi/src/lib.rs"))
        .with_src(root.join("src/error.rs"))
        .generate()
        .expect("the C API parses")
        .write(&mut text);
    as_c89(&String::from_utf8(text).expect("a header is text"))
}

/// The header without what strict C89 refuses: comments after `//`, and the comma after an enum's last name.
fn as_c89(header: &str) -> String {
    let comment = |line: &str| match line.split_once("//") {
        Some((code, words)) if !line.contains("*") => format!("{}/* {} */\n", code, words.trim()),
        _ => format!("{line}\n"),
    };
    header.lines().map(comment).collect::<String>().replace(",\n}", "\n}")
}

#[test]
fn committed_header_is_the_generated_one() {
    let path = Path::new(crate::ROOT).join("include/carbontracker.h");
    let fresh = generated();
    if std::env::var_os("CT_UPDATE").is_some() {
        std::fs::write(&path, &fresh).expect("include/ can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == fresh, "include/carbontracker.h is stale: run `make header`");
}

#[test]
fn header_is_strict_c89_but_for_stdint() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c89");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("carbontracker.h"), generated()).expect("the header");
    std::fs::write(folder.join("a.c"), "#include \"carbontracker.h\"\nct_tracker *a;\n").expect("a program");
    let mut cc = std::process::Command::new("cc");
    let built = cc.args(["-std=c89", "-pedantic", "-Wall", "-Werror", "-c", "a.c", "-o", "a.o"]).current_dir(&folder);
    let output = built.output().expect("cc; run tests/tools.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn versions_agree() {
    let header = generated();
    let number = |name: &str| -> String {
        let line = header.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
        line.unwrap_or_else(|| panic!("{name} is not defined")).trim().to_owned()
    };
    let version = ["MAJOR", "MINOR", "PATCH"].map(|part| number(&format!("CT_VERSION_{part}"))).join(".");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let abi = number("CT_ABI_VERSION");
    let answer = include_str!("../../capi/src/lib.rs");
    assert!(answer.contains(&format!("const ABI_VERSION: u32 = {abi};")), "ct_abi_version returns another number");
    let soname = include_str!("../../capi/build.rs");
    assert!(soname.contains(&format!("libcarbontracker.so.{abi}")));
}
