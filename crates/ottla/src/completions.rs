//! `ottla completions`: what a shell needs to complete the words of this program's commands.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output;

/// Arguments of `ottla completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    source <(ottla completions bash)                                        # this shell alone\n  \
    ottla completions bash > ~/.local/share/bash-completion/completions/ottla\n  \
    ottla completions zsh > \"${fpath[1]}/_ottla\"\n  \
    ottla completions fish > ~/.config/fish/completions/ottla.fish")]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Made in memory first, since the generator does not return errors of writing.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "ottla", &mut script);
    output::say(String::from_utf8(script)?.trim_end())?;
    Ok(())
}
