//! Completion scripts for the shells.

use crate::console::{Done, print};
use carbontracker::carbon::intensity::zones;
use carbontracker::options::keys;
use clap_complete::{Shell, generate};

/// What clap's scripts lack: the keys of `-o`, and the zones.
const BASH: &str = include_str!("options.bash");
const ZSH: &str = include_str!("options.zsh");
const FISH: &str = include_str!("options.fish");

const WHERE: &str = "\
'make install' installs the scripts of bash, zsh and fish where the shells find them. By hand, for this user:
  bash        carbontracker completion bash > ~/.local/share/bash-completion/completions/carbontracker
  zsh         carbontracker completion zsh > DIR/_carbontracker, for a DIR in $fpath
  fish        carbontracker completion fish > ~/.config/fish/completions/carbontracker.fish
  elvish      eval (carbontracker completion elvish | slurp), in rc.elv
  powershell  carbontracker completion powershell | Out-String | Invoke-Expression, in $PROFILE

Exit status: 0 done, 1 the script could not be written, 2 wrong arguments.";

/// Print the script with which a shell completes this command
#[derive(clap::Args)]
#[command(after_help = WHERE)]
pub struct CompletionArgs {
    /// The shell
    shell: Shell,
}

impl CompletionArgs {
    /// Prints the script.
    pub fn call(self) -> Done {
        let mut script = Vec::new();
        generate(self.shell, &mut crate::command(), "carbontracker", &mut script);
        print(&with_pairs(self.shell, &String::from_utf8_lossy(&script)))
    }
}

/// clap's script with the completion of options and zones.
fn with_pairs(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => script.to_owned() + &filled(BASH),
        Shell::Fish => script.to_owned() + &filled(FISH),
        // Functions must come before the lines that run or register the first one.
        Shell::Zsh => script
            .replace("#compdef carbontracker\n", "#compdef carbontracker ctrack\n")
            .replace("compdef _carbontracker carbontracker\n", "compdef _carbontracker carbontracker ctrack\n")
            .replace(":KEY=VALUE:_default", ":KEY=VALUE:_carbontracker_pair")
            .replace(":ZONE:_default", ":ZONE:_carbontracker_zone")
            .replacen("if [ \"$funcstack", &(filled(ZSH) + "if [ \"$funcstack"), 1),
        _ => script.to_owned(),
    }
}

/// A script with the options and zones of this version. Both have no characters that a shell expands.
fn filled(script: &str) -> String {
    let keys: Vec<&str> = keys().collect();
    let zones: Vec<&str> = ["ip", "cloud"].into_iter().chain(zones::all().map(|zone| zone.code)).collect();
    script.replace("@KEYS@", &keys.join(" ")).replace("@ZONES@", &zones.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_need_no_quotes() {
        let is_plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "_-:.".contains(c));
        assert!(keys().all(is_plain));
        for zone in zones::all() {
            assert!(is_plain(zone.code), "{}", zone.code);
        }
    }
}
