//! `--check`: says what is allowed in the Dockerfile but probably not meant, and builds nothing.
use std::fmt::Write as _;

use super::Build;
use super::actions::Actions;
use crate::cli::compilation;
use crate::cli::locking;
use crate::cli::report::{Failure, StdoutError};
use crate::cli::source::Source as Input;
use crate::fault::{Classified, Fault};
use crate::plan::dockerfile::CompileError;
use crate::plan::dockerfile::compile::{CheckError, Checked, check};
use crate::plan::dockerfile::lint::Warning;
use crate::plan::dockerfile::source::Source;

/// A Dockerfile that cannot be checked here.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the Dockerfile lies in a remote context, which only an engine fetches")]
#[diagnostic(help("name a local one with `--file PATH`"))]
struct RemoteError;

impl Classified for RemoteError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Build {
    /// Checks the Dockerfile; fails with exit code 1 if there is anything to say by BuildKit's rules.
    pub(super) async fn check(&self, input: &Input) -> Result<(), Failure> {
        let text = input.dockerfile.text.as_deref().ok_or(RemoteError)?;
        let options = compilation::options(input, "check")?;
        let mut images = locking::images(&self.source, input, self.source.locked)?;
        let checked = loop {
            let source = Source::new(&input.dockerfile.name, text);
            let checked = check(source, &options, images.known());
            match checked.error {
                Some(CheckError::Compile(CompileError::Unresolved(queries))) => {
                    images.look_up(&queries).await;
                }
                _ => break checked,
            }
        };
        let Checked { warnings, error } = checked;
        print(&warnings, &input.dockerfile.name, &String::from_utf8_lossy(text))?;
        let notes = Actions::find(input).map(|actions| actions.warnings(&warnings));
        notes.iter().flatten().for_each(|note| eprintln!("{note}"));
        match error {
            Some(CheckError::Parse(error)) => Err(error.into()),
            Some(CheckError::Compile(error)) => Err(error.into()),
            None if warnings.iter().any(|warning| !warning.rule().is_ours()) => {
                Err(Failure::silent(Fault::Build))
            }
            None => Ok(()),
        }
    }
}

fn print(warnings: &[Warning], name: &str, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut page = String::new();
    for warning in warnings {
        describe(&mut page, warning, name, text);
    }
    match warnings.len() {
        0 => page.push_str("Check complete, no warnings found.\n"),
        1 => page.push_str("Check complete, 1 warning has been found!\n"),
        count => {
            // A String takes everything.
            let _ = writeln!(page, "Check complete, {count} warnings have been found!");
        }
    }
    let written = std::io::stdout().lock().write_all(page.as_bytes());
    Ok(written.map_err(|source| StdoutError { source })?)
}

/// Writes a finding, its fix and its lines.
fn describe(page: &mut String, warning: &Warning, name: &str, text: &str) {
    let rule = warning.rule();
    let url = rule.url().map_or(String::new(), |url| format!(" - {url}"));
    let _ = writeln!(page, "WARNING: {}{url}\n{}", rule.name(), warning.finding);
    let _ = writeln!(page, "help: {}\n{name}:{}", warning.finding.fix(), warning.lines.start);
    let first = warning.lines.start.max(1) as usize;
    let count = (warning.lines.end as usize + 1).saturating_sub(first).max(1);
    page.push_str("--------------------\n");
    for (number, line) in text.lines().enumerate().skip(first - 1).take(count) {
        let _ = writeln!(page, "{:4} | >>> {line}", number + 1);
    }
    page.push_str("--------------------\n\n");
}

/// What a build says of findings when it is done: one line each.
pub(super) fn summary(warnings: &[Warning]) -> Vec<String> {
    if warnings.is_empty() {
        return Vec::new();
    }
    let count = match warnings.len() {
        1 => "1 warning".to_owned(),
        count => format!("{count} warnings"),
    };
    let heading = format!("{count} found (`--check` tells more):");
    let line = |warning: &Warning| {
        format!(" - {}: {} (line {})", warning.rule().name(), warning.finding, warning.lines.start)
    };
    std::iter::once(heading).chain(warnings.iter().map(line)).collect()
}
