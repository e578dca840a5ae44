//! Turns errors into what people read on stderr and scripts read as exit code.
use std::process::ExitCode;

use miette::{GraphicalReportHandler, GraphicalTheme, Report};

use crate::fault::{Classified, Fault};

/// A command that did not succeed: whose fault, and what to print.
#[derive(Debug)]
pub struct Failure {
    fault: Fault,
    /// Nothing to print when the command has already said what is wrong.
    report: Option<Report>,
}

impl Failure {
    /// Ends a command whose output has already said all there is to say.
    #[must_use]
    pub const fn silent(fault: Fault) -> Self {
        Self { fault, report: None }
    }

    /// Ends a command with a message that no module's error type has.
    pub fn new(fault: Fault, diagnostic: impl miette::Diagnostic + Send + Sync + 'static) -> Self {
        Self { fault, report: Some(Report::new(diagnostic)) }
    }

    /// The error and its causes on one line, for where it is no reason to end.
    #[must_use]
    pub fn line(&self) -> String {
        let Some(report) = &self.report else { return "it has said why".to_owned() };
        report.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// The first and the last line, from 1, of the source that the error points at.
    #[must_use]
    pub fn lines(&self) -> Option<(u32, u32)> {
        let report = self.report.as_ref()?;
        let source = report.source_code()?;
        // An instruction of several lines has a label for each.
        let ends = report.labels()?.filter_map(|label| {
            let read = source.read_span(label.inner(), 0, 0).ok()?;
            let text = String::from_utf8_lossy(read.data());
            let more = text.trim_end_matches('\n').matches('\n').count();
            let first = u32::try_from(read.line()).ok()? + 1;
            Some((first, first + u32::try_from(more).ok()?))
        });
        ends.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
    }

    /// Prints the report, if any, to stderr and returns the process's exit code.
    #[must_use]
    pub fn print(self) -> ExitCode {
        if let Some(report) = self.report {
            eprint!("{}", render(&report));
        }
        ExitCode::from(self.fault.exit_code())
    }
}

impl<E: Classified> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { fault: error.fault(), report: Some(Report::new(error)) }
    }
}

/// Renders an error with its whole chain of causes, source excerpt and help.
#[must_use]
pub fn render(report: &Report) -> String {
    use std::io::IsTerminal as _;
    let theme = if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let width =
        crossterm::terminal::size().map_or(100, |(columns, _)| usize::from(columns).max(60));
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
    if handler.render_report(&mut text, report.as_ref()).is_err() {
        text = format!("{report:?}\n");
    }
    format!("error:{text}\n")
}

/// Data for stdout that could not be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write to stdout")]
pub struct StdoutError {
    /// What the system said.
    pub source: std::io::Error,
}

impl Classified for StdoutError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}
