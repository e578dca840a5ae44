//! Whether a benchmark found the build slower than an earlier one did.
use std::path::{Path, PathBuf};

use crate::bench::client::Client;
use crate::bench::report::{Results, VERSION};
use crate::bench::sample::Contender;
use crate::bench::stats::{self, Regression};
use crate::cli::report::Failure;
use crate::fault::{Classified, Fault};

/// A baseline that cannot be compared with, or that the build fell behind.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum VerdictError {
    #[error("cannot read the baseline `{}`", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the baseline `{}` is not a results file of this version", path.display())]
    #[diagnostic(help("it is the `results.json` that an earlier `kitwright bench` wrote"))]
    Parse { path: PathBuf, source: Option<serde_json::Error> },
    #[error("times of two runs cannot be compared, only ratios, and there is no other client")]
    #[diagnostic(help("measure a reference beside kitwright, e.g. `--against buildctl`"))]
    Alone,
    #[error("the baseline divides by {before}, this run by {now}")]
    #[diagnostic(help("choose the same with `--reference {before}`"))]
    Reference { before: String, now: String },
    #[error("the baseline has no scenario that was measured now")]
    Nothing,
    #[error("slower than the baseline:\n{}", lines(found))]
    Slower { found: Vec<Regression> },
}

impl Classified for VerdictError {
    fn fault(&self) -> Fault {
        match self {
            Self::Slower { .. } => Fault::Build,
            _ => Fault::Usage,
        }
    }
}

fn lines(found: &[Regression]) -> String {
    let line = |one: &Regression| {
        let more = (one.now / one.before - 1.0) * 100.0;
        format!(
            "`{}`, {}: {:.2} of the reference, was {:.2} (+{more:.0}%)",
            one.scenario,
            one.measure.name(),
            one.now,
            one.before
        )
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads `10%` or `10` as a share.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value / 100.0),
        _ => Err("it is a percentage such as `10%`".to_owned()),
    }
}

/// Reads a results file.
pub(super) fn read(path: &Path) -> Result<Results, Failure> {
    let text = fs_err::read_to_string(path)
        .map_err(|source| VerdictError::Read { path: path.to_owned(), source })?;
    let parse = |source| VerdictError::Parse { path: path.to_owned(), source };
    let results: Results = serde_json::from_str(&text).map_err(|error| parse(Some(error)))?;
    if results.version != VERSION {
        return Err(parse(None).into());
    }
    Ok(results)
}

/// Checks before anything is measured that there will be something to compare.
pub(super) fn comparable(
    baseline: &Results,
    reference: &Contender,
    clients: &[Client],
) -> Result<(), Failure> {
    if clients.len() < 2 {
        return Err(VerdictError::Alone.into());
    }
    if baseline.reference != *reference {
        let (before, now) = (baseline.reference.0.clone(), reference.0.clone());
        return Err(VerdictError::Reference { before, now }.into());
    }
    Ok(())
}

/// Fails when a ratio to the reference is larger than the baseline's by more than `tolerance`.
pub(super) fn judge(now: &Results, baseline: &Results, tolerance: f64) -> Result<(), Failure> {
    let (now, before) = (now.summaries(), baseline.summaries());
    let known = |name: &str| before.iter().any(|summary| summary.scenario == name);
    if !now.iter().any(|summary| known(&summary.scenario)) {
        return Err(VerdictError::Nothing.into());
    }
    let found = stats::regressions(&now, &before, tolerance);
    if found.is_empty() {
        return Ok(());
    }
    Err(VerdictError::Slower { found }.into())
}
