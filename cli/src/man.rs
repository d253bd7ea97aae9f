//! The man page.

use crate::console::{Done, print, refuse};
use clap::Command;
use clap_mangen::Man as Page;
use roff::{Roff, bold, roman};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
'make install' installs the page of the command and one for each subcommand: man carbontracker, man carbontracker-run.
By hand: carbontracker man > carbontracker.1 && man ./carbontracker.1

Exit status: 0 done, 1 a page could not be written, 2 wrong arguments or no such subcommand.";

/// Columns of an example or a table. A page of 80 columns has a margin.
const EXAMPLE_COLUMNS: usize = 72;

/// The section ENVIRONMENT of each page.
const ENVIRONMENT: [(&str, &str); 10] = [
    ("CARBONTRACKER_KEY", "the option KEY, such as CARBONTRACKER_LOCATION=DK: see carbontracker-options(1)"),
    ("CARBONTRACKER_DISABLE", "any value but 0, no, false, off and the empty one turns the library off"),
    ("XDG_CONFIG_HOME", "where the user's configuration file is; by default ~/.config"),
    ("XDG_STATE_HOME", "where the newest runs are kept; by default ~/.local/state"),
    ("CUDA_VISIBLE_DEVICES", "and similar variables: the GPUs that are measured"),
    ("https_proxy, no_proxy, SSL_CERT_FILE", "for live services"),
    ("CHROME", "the browser that prints PDFs"),
    ("NO_COLOR", "no colour"),
    ("TERM", "no colour and no drawing over lines if it is dumb"),
    ("COLUMNS", "width of help and findings where standard output is no terminal"),
];

/// The section FILES of each page.
const FILES: [(&str, &str); 4] = [
    ("/etc/carbontracker.conf", "options for all users of this machine"),
    ("~/.config/carbontracker/carbontracker.conf", "options of this user"),
    ("./carbontracker.conf", "options of the folder in which a program starts"),
    ("~/.local/state/carbontracker/runs", "journals and reports of the newest 100 runs of 'carbontracker run'"),
];

/// Print the man page of the command and all its subcommands
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct ManArgs {
    /// Write a page for the command and one for each subcommand into this folder, which is made if missing
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print the page of this subcommand alone
    #[arg(conflicts_with = "dir")]
    subcommand: Option<String>,
}

impl ManArgs {
    /// Prints one page, or writes all pages into the folder.
    pub fn call(self) -> Done {
        // The reader of the page fills paragraphs again, but not examples and tables.
        let mut command = crate::command_of(EXAMPLE_COLUMNS);
        command.build();
        let mut page = Vec::new();
        let written = match (&self.dir, &self.subcommand) {
            (Some(dir), _) => return write(dir, &command).map(|()| ExitCode::SUCCESS),
            (None, None) => whole(&command, &mut page),
            (None, Some(name)) => match subcommands(&command).find(|one| one.get_name() == name) {
                Some(one) => alone(one, &mut page),
                None => return refuse(&format!("no subcommand is named '{name}': see 'carbontracker help'")),
            },
        };
        written.map_err(|error| error.to_string())?;
        print(&String::from_utf8_lossy(&page))
    }
}

/// All subcommands but `help`.
fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|one| one.get_name() != "help")
}

/// Writes a page for the command and one for each subcommand. Makes the folder if it is missing.
fn write(dir: &Path, command: &Command) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for one in std::iter::once(command).chain(subcommands(command)) {
        let path = dir.join(Page::new(one.clone()).get_filename());
        let mut page = Vec::new();
        alone(one, &mut page)
            .and_then(|()| std::fs::write(&path, page))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Renders the page of one subcommand, or of the command without them.
fn alone(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    head(command, page)?;
    body(command, page)?;
    surroundings(page)
}

/// Renders the sections that all pages have: variables and files.
fn surroundings(page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    for (heading, rows) in [("ENVIRONMENT", &ENVIRONMENT[..]), ("FILES", &FILES[..])] {
        roff.control("SH", [heading]);
        for (name, meaning) in rows {
            roff.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("carbontracker(1), carbontracker-options(1), share/doc/carbontracker")]);
    roff.to_writer(page)
}

/// Renders one page with a section for each subcommand.
fn whole(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    head(command, page)?;
    body(command, page)?;
    for one in subcommands(command) {
        let name = one.get_bin_name().unwrap_or_default().to_uppercase();
        Roff::new().control("SH", [name.as_str()]).to_writer(page)?;
        let page_of_its_own = Page::new(one.clone());
        let mut section = Vec::new();
        page_of_its_own.render_description_section(&mut section)?;
        page_of_its_own.render_synopsis_section(&mut section)?;
        body(one, &mut section)?;
        // A section of the subcommand's own page is a subsection here. Its description needs no heading.
        let section = String::from_utf8_lossy(&section).replace(".SH DESCRIPTION\n", "").replace("\n.SH ", "\n.SS ");
        page.extend(section.into_bytes());
    }
    surroundings(page)
}

/// Renders the title, name and synopsis.
fn head(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let version = concat!("carbontracker ", env!("CARGO_PKG_VERSION"));
    let head = Page::new(command.clone()).source(version).manual("User Commands");
    head.render_title(page)?;
    head.render_name_section(page)?;
    head.render_synopsis_section(page)
}

/// Renders the options and the text below them. Indented lines are examples or tables: their breaks are kept.
fn body(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    Page::new(command.clone()).render_options_section(page)?;
    let Some(more) = command.get_after_long_help().or(command.get_after_help()) else { return Ok(()) };
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    let more = more.to_string();
    let mut lines = more.lines().peekable();
    while let Some(line) = lines.next() {
        match line {
            "" => drop(roff.control("PP", [])),
            line if line.starts_with(' ') => {
                roff.control("nf", []).text([roman(line)]);
                while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
            }
            line => drop(roff.text([roman(line)])),
        }
    }
    roff.to_writer(page)
}
