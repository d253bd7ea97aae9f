//! The man page.

use crate::console::{Done, print};
use clap::Command;
use clap_mangen::Man as Page;
use roff::{Roff, roman};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
To read it: carbontracker man > carbontracker.1 && man ./carbontracker.1

Exit status: 0 done, 1 a page could not be written, 2 wrong arguments.";

/// Print the man page of the command and all its subcommands
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct ManArgs {
    /// Write a page for the command and one for each subcommand into this folder, which is made if missing
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl ManArgs {
    /// Prints one page, or writes all pages into the folder.
    pub fn call(self) -> Done {
        let mut command = crate::command();
        command.build();
        match &self.dir {
            Some(dir) => write(dir, &command).map(|()| ExitCode::SUCCESS),
            None => {
                let mut page = Vec::new();
                whole(&command, &mut page).map_err(|error| error.to_string())?;
                print(&String::from_utf8_lossy(&page))
            }
        }
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
        let written = head(one, &mut page).and_then(|()| body(one, &mut page));
        written.and_then(|()| std::fs::write(&path, page)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
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
    Ok(())
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
