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
    without_common_name(&header.lines().map(comment).collect::<String>().replace(",\n}", "\n}"))
}

/// The header in which C's enum has no tag: C++ takes a tag and a type's name for one (-Wc++-compat).
fn without_common_name(header: &str) -> String {
    let has_type = "#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L";
    let (before, rest) = header.split_once(&format!("enum ct_status\n{has_type}\n")).expect("the enum");
    let (_, rest) = rest.split_once(" {\n").expect("its names");
    format!("{before}{has_type}\nenum ct_status : int32_t {{\n#else\nenum {{\n#endif\n{rest}")
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
fn header_is_strict_c89_but_for_stdint_and_fit_for_cxx() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c89");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("carbontracker.h"), generated()).expect("the header");
    std::fs::write(folder.join("a.c"), "#include \"carbontracker.h\"\nct_tracker *a;\n").expect("a program");
    let mut cc = std::process::Command::new("cc");
    let built = cc
        .args(["-std=c89", "-pedantic", "-Wall", "-Wextra", "-Wc++-compat", "-Werror", "-c", "a.c", "-o", "a.o"])
        .current_dir(&folder);
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

/// The declarations, one a line, with single spaces.
pub fn declarations(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with(['#', '*', '/'])).collect::<Vec<_>>().join(" ");
    let plain = |declaration: &str| declaration.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_call = |declaration: &String| declaration.contains('(');
    code.split(';').map(plain).map(|text| text.replace("extern \"C\" { ", "")).filter(is_call).collect()
}

/// The header that loads the library at run time declares the same functions, statuses and versions.
#[test]
fn loading_header_declares_what_the_header_declares() {
    let header = generated();
    let loading = include_str!("../../include/carbontracker_dl.h");
    let function = |code: &str| code.split(['{', '\n']).next().unwrap_or_default().trim().to_owned();
    let mut defined: Vec<String> = loading.split("\nCT_DL_FUNCTION ").skip(1).map(function).collect();
    defined.retain(|text| text.contains('(') && !text.contains("ct_dl"));
    let mut declared = declarations(&header);
    defined.sort();
    declared.sort();
    assert_eq!(defined, declared);
    let of = |text: &str, is_wanted: fn(&str) -> bool| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim().trim_end_matches(',').to_owned());
        lines.filter(|line| is_wanted(line)).collect()
    };
    for kind in [(|line| line.starts_with("CT_") && line.contains(" = ")) as fn(&str) -> bool, |line| {
        line.starts_with("#define CT_VERSION_") || line.starts_with("#define CT_ABI_")
    }] {
        assert_eq!(of(loading, kind), of(&header, kind));
    }
}
