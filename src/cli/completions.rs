//! `kitwright completions`: shell completions and man pages, written to stdout.
use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::report::Failure;

/// Print shell completions or the manual page
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// What to print: completions for a shell, or `man`
    target: Target,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
    Man,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let shell = match self.target {
            Target::Bash => Shell::Bash,
            Target::Elvish => Shell::Elvish,
            Target::Fish => Shell::Fish,
            Target::PowerShell => Shell::PowerShell,
            Target::Zsh => Shell::Zsh,
            Target::Man => return manual(),
        };
        let mut page = Vec::new();
        clap_complete::generate(shell, &mut super::Cli::command(), "kitwright", &mut page);
        print_data(&page)
    }
}

fn manual() -> Result<(), Failure> {
    let mut page = Vec::new();
    let command = super::Cli::command();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(report_stdout)?;
    print_data(&page)
}

fn print_data(data: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    std::io::stdout().lock().write_all(data).map_err(report_stdout)
}

fn report_stdout(source: std::io::Error) -> Failure {
    super::report::StdoutError { source }.into()
}
