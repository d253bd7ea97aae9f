//! Completion scripts for the shells.

use crate::console::{Done, print};
use clap_complete::{Shell, generate};

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
        print(&String::from_utf8_lossy(&script))
    }
}
