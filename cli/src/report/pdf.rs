//! Prints a page as PDF with a browser of this machine.

use carbontracker::os;
use carbontracker::run_files::atomic_replace::in_words;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Programs of browsers that can print without a window.
const BROWSERS: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge"];
/// What to do without a browser.
const FIX: &str =
    "Install one (Debian: apt-get install chromium), name one in CHROME, or write an .html and print that by hand";
/// A browser that takes longer than this is ended.
const BROWSER_WAIT: Duration = Duration::from_secs(60);

/// Prints a page of HTML. Returns the PDF's bytes.
pub fn print(page: &str) -> Result<Vec<u8>, String> {
    let browser = find()?;
    let folder = Folder::new().map_err(|error| format!("{}: {error}", std::env::temp_dir().display()))?;
    let (source, target) = (folder.0.join("page.html"), folder.0.join("page.pdf"));
    let of = |error: std::io::Error| format!("{}: {error}", browser.display());
    fs::write(&source, page).map_err(|error| in_words(&source, &error))?;
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let mut command = Command::new(&browser);
    command
        .args(["--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer"])
        .args(is_root.then_some("--no-sandbox"))
        .arg(format!("--user-data-dir={}", folder.0.join("profile").display()))
        .arg(format!("--print-to-pdf={}", target.display()))
        .arg(&source)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = ended(command.spawn().map_err(of)?).map_err(of)?;
    let status = status.ok_or_else(|| {
        format!("{}: printed no PDF within {BROWSER_WAIT:?}. Write an .html and print that by hand", browser.display())
    })?;
    fs::read(&target).ok().filter(|pdf| pdf.starts_with(b"%PDF")).ok_or_else(|| {
        format!("{}: printed no PDF, {status}. Write an .html and print that by hand", browser.display())
    })
}

/// The browser that CHROME names, otherwise the first on PATH.
fn find() -> Result<PathBuf, String> {
    if let Some(named) = os::variable("CHROME").filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let path = os::variable("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        let names = BROWSERS.join(", ");
        format!("no browser that can print is on PATH ({names}). {FIX}")
    })
}

/// Waits for the browser. Returns None if it took too long and was killed.
fn ended(mut child: Child) -> std::io::Result<Option<ExitStatus>> {
    const NAP: Duration = Duration::from_millis(20);
    let deadline = Instant::now() + BROWSER_WAIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(NAP);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Folder> {
        let dir = std::env::temp_dir().join(format!("carbontracker-{:016x}", os::random_u64()));
        DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Folder(dir))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
