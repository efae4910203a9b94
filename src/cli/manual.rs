//! `wgslab completions` and `wgslab man`: made from the description of the command line.

use super::output::print_exact;
use crate::base::{Error, Result};
use clap::Args;
use clap_complete::Shell;

/// Write what a shell needs to complete commands and options
///
/// Prints a script for bash, elvish, fish, powershell or zsh. Put it where the shell looks for such.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab completions bash > ~/.local/share/bash-completion/completions/wgslab
  wgslab completions zsh > ~/.zfunc/_wgslab      a folder of fpath
  wgslab completions fish > ~/.config/fish/completions/wgslab.fish"
)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "wgslab", &mut script);
        print_exact(&String::from_utf8_lossy(&script))
    }
}

/// Print a page of the manual
///
/// Prints the page of the program, or of one of its commands, as roff, which `man` shows.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab man | man -l -
  wgslab man study run | man -l -
  wgslab man > ~/.local/share/man/man1/wgslab.1"
)]
pub(super) struct Man {
    /// The words of a command [default: the whole program]
    command: Vec<String>,
}

impl Man {
    pub fn run(&self) -> Result<()> {
        let mut program = super::command();
        program.build(); // options of every command and full names come to the commands here
        let (mut command, mut name) = (&program, "wgslab".to_string());
        for word in &self.command {
            name = format!("{name} {word}");
            command = command
                .find_subcommand(word)
                .filter(|c| !c.is_hide_set())
                .ok_or_else(|| Error::Usage(format!("there is no command `{name}`; `wgslab help` lists them")))?;
        }
        let mut page = Vec::new();
        let page_of = clap_mangen::Man::new(command.clone().display_name(name.replace(' ', "-")));
        page_of.render(&mut page).map_err(|e| Error::Failed(format!("cannot write the page: {e}")))?;
        print_exact(&String::from_utf8_lossy(&page))
    }
}
