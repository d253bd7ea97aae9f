//! Lets all users read the processor's energy counters, after the user has agreed: `doctor --fix`.

use crate::console::{Done, print};
use carbontracker::os::{self, text};
use carbontracker::run_files::atomic_replace::{NewFile, Sync, replace_named};
use std::fs::Permissions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const ROOT_UID: u32 = 0;
const READABLE_BY_ALL: u32 = 0o444;
/// The file of the rule, below the root.
const RULE_FILE: &str = "etc/udev/rules.d/70-carbontracker-rapl.rules";
/// The rule. docs/src/how-to/allow-rapl.md has it too.
pub const RULE: &str = "\
# All users may read the processor's energy counters (RAPL). Written by 'carbontracker doctor --fix'.
SUBSYSTEM==\"powercap\", KERNEL==\"intel-rapl*:*\", ACTION==\"add\", RUN+=\"/bin/chmod a+r /sys%p/energy_uj\"
";

/// What there is to change.
struct Plan {
    rule_file: PathBuf,
    is_rule_there: bool,
    counters: usize,
    /// Counters that not all users may read.
    closed: Vec<PathBuf>,
}

impl Plan {
    /// The plan for the machine whose files are below `root`.
    fn of(root: &Path) -> Plan {
        let counters = text::entries(&root.join("sys/class/powercap")).map(|zone| zone.join("energy_uj"));
        let counters: Vec<PathBuf> = counters.filter(|counter| counter.is_file()).collect();
        let is_closed = |counter: &&PathBuf| {
            counter.metadata().is_ok_and(|there| there.permissions().mode() & READABLE_BY_ALL != READABLE_BY_ALL)
        };
        let rule_file = root.join(RULE_FILE);
        let is_rule_there = text::read(&rule_file, text::MAX_SYS_BYTES).is_ok_and(|there| there == RULE);
        let closed = counters.iter().filter(is_closed).cloned().collect();
        Plan { rule_file, is_rule_there, counters: counters.len(), closed }
    }

    /// What would be changed, with the exact file.
    fn in_words(&self) -> String {
        let mut words = "This lets all users of this machine read the processor's energy counters (RAPL).\n".to_owned();
        if !self.is_rule_there {
            let replaces = if self.rule_file.exists() { ", in place of the file that is there" } else { "" };
            words += &format!("It writes {}{replaces}:\n\n", self.rule_file.display());
            words.extend(RULE.lines().map(|line| format!("    {line}\n")));
            words.push('\n');
        }
        if !self.closed.is_empty() {
            words += "It gives the right to read, until the next boot, to these files:\n\n";
            words.extend(self.closed.iter().map(|counter| format!("    {}\n", counter.display())));
            words.push('\n');
        }
        words
            + "Fine readings of energy can show secrets to other users. If you do not trust all users of this machine, give \
            the right to a group instead: share/doc/carbontracker/docs/src/how-to/allow-rapl.md.\n"
    }

    /// Makes the changes.
    fn carry_out(&self) -> Result<(), String> {
        let failed = |path: &Path, error: io::Error| format!("{}: {error}; nothing more is changed", path.display());
        if !self.is_rule_there {
            let written = replace_named(&self.rule_file, RULE, NewFile::Readable, Sync::Now);
            written.map_err(|error| failed(&self.rule_file, error))?;
        }
        for counter in &self.closed {
            let opened = counter.metadata().and_then(|there| {
                let mode = there.permissions().mode() | READABLE_BY_ALL;
                std::fs::set_permissions(counter, Permissions::from_mode(mode))
            });
            opened.map_err(|error| failed(counter, error))?;
        }
        Ok(())
    }
}

/// The command to copy. sudo may not find this program by its name.
pub fn command() -> String {
    let program = std::env::current_exe().unwrap_or("carbontracker".into());
    format!("sudo {} doctor --fix", program.display())
}

/// Shows what there is to change, asks, and changes it. `is_agreed`: the user has agreed by --yes.
pub fn fix(root: &Path, is_agreed: bool) -> Done {
    let plan = Plan::of(root);
    if plan.counters == 0 {
        return Err(
            "no energy counters of the processor (RAPL) are here; --fix changes nothing. 'carbontracker doctor' shows \
            the reason"
                .into(),
        );
    }
    if plan.is_rule_there && plan.closed.is_empty() {
        return print(&format!(
            "all users may read the {} energy counters already; nothing is changed\n",
            plan.counters
        ));
    }
    print(&plan.in_words())?;
    if os::user() != ROOT_UID {
        return Err(format!("root is needed; nothing is changed. Run: {}", command()));
    }
    if !is_agreed && !asked()? {
        print("nothing is changed\n")?;
        return Ok(ExitCode::FAILURE);
    }
    plan.carry_out()?;
    print("done: all users may read the counters, now and after a boot. 'carbontracker doctor' measures them\n")
}

/// Asks on the terminal. Without one, nobody can agree.
fn asked() -> Result<bool, String> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err("there is no terminal to ask on; nothing is changed. --yes agrees without a question".into());
    }
    print("Change this? [y/N] ")?;
    let _ = io::stdout().flush();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| format!("standard input: {error}"))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
