//! Pages in headless Chromium: their elements and positions.

use crate::retry::say;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The script that inspects pages. Each page is in a frame of the screen's width, because a window has a least width.
const LOOK: &str = include_str!("look.js");

/// The screen that shows the page.
#[derive(Clone, Copy)]
pub struct Sight {
    /// CSS pixels.
    pub width: u32,
    pub is_dark: bool,
}

impl Sight {
    pub const WIDE: Sight = Sight { width: 1280, is_dark: false };
    pub const NARROW: Sight = Sight { width: 390, is_dark: false };
}

/// A browser, if there is one.
pub fn find() -> Option<PathBuf> {
    let found = tool(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge"]);
    found.or_else(|| skipped("no Chromium here to show pages in"))
}

/// The text of a PDF, if there is a tool to read it.
pub fn text_of_pdf(path: &Path) -> Option<String> {
    let tool = tool(&["pdftotext"]).or_else(|| skipped("no pdftotext here to read PDF with"))?;
    let output = Command::new(tool).args(["-layout".as_ref(), path.as_os_str(), "-".as_ref()]).output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn tool(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file())
}

fn skipped<T>(why: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}: tests/tools.sh installs it");
    say(&format!("skipped: {why}"));
    None
}

/// The result of an inspection of pages.
pub struct Seen {
    /// One entry for each page.
    pub told: Vec<Value>,
    /// Lines of the browser's console.
    pub complaints: Vec<String>,
}

/// Shows pages and inspects each. None: there is no browser.
pub fn see(pages: &[String], sight: Sight) -> Option<Seen> {
    let browser = find()?;
    let thread = std::thread::current().id();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}-{thread:?}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let data = Value::from(pages).to_string().replace('<', "\\u003c");
    let shown = format!(
        "<!DOCTYPE html><meta charset=utf-8><link rel=icon href=data:,><pre id=told></pre><script>const pages = {data}, width = {};\n{LOOK}</script>",
        sight.width
    );
    fs::write(dir.join("shown.html"), shown).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"])
        .args(["--window-size=1400,1000", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"])
        .arg(format!("--blink-settings=preferredColorScheme={}", if sight.is_dark { 0 } else { 1 }))
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg(dir.join("shown.html"))
        .output()
        .unwrap();
    let _ = fs::remove_dir_all(&dir);
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let complaints = log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    let told = dom.split_once("<pre id=\"told\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let told: Option<Vec<Value>> = told.and_then(|(told, _)| serde_json::from_str(told).ok());
    let told = told.filter(|told| told.len() == pages.len());
    let told = told.unwrap_or_else(|| panic!("the browser returned nothing: {log}"));
    Some(Seen { told, complaints })
}
