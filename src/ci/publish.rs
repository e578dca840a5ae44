//! Writes what a command found: as JSON for people and scripts, or as a runner's outputs.
//!
//! A runner reads `name<<MARK`, the value, `MARK` from the file `GITHUB_OUTPUT`. The mark is random:
//! a value (a branch's name, a file's) that could guess it would write outputs of its own.
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::environment::Environment;
use crate::fault::{Classified, Fault};

/// How outputs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on stdout.
    Json,
    /// `GITHUB_OUTPUT`, or its syntax on stdout where there is no such file.
    Github,
}

/// An output that could not be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PublishError {
    /// A file that the runner reads cannot be appended to.
    #[error("cannot write to `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system has no random numbers.
    #[error("cannot make a random mark for `GITHUB_OUTPUT`: {0}")]
    Random(getrandom::Error),
    /// The value cannot be written as JSON.
    #[error("cannot write the outputs as JSON")]
    Json {
        /// Why.
        source: serde_json::Error,
    },
}

impl Classified for PublishError {
    fn fault(&self) -> Fault {
        match self {
            Self::Json { .. } => Fault::Internal,
            _ => Fault::Environment,
        }
    }
}

/// Writes `report`'s fields as outputs and returns what belongs on stdout.
///
/// With `dry_run` nothing but the return value is written.
///
/// # Errors
///
/// A [`PublishError`] that names the file.
pub fn outputs(
    report: &impl Serialize,
    format: Format,
    environment: &Environment,
    dry_run: bool,
) -> Result<String, PublishError> {
    let value = serde_json::to_value(report).map_err(|source| PublishError::Json { source })?;
    if format == Format::Json {
        return Ok(format!("{value:#}\n"));
    }
    let text = github_outputs(&value, &mark()?);
    match environment.get("GITHUB_OUTPUT") {
        Some(path) if !dry_run => append(Path::new(path), &text).map(|()| String::new()),
        _ => Ok(text),
    }
}

/// Appends Markdown to the job's summary page, and returns it where there is none.
///
/// # Errors
///
/// [`PublishError::Write`].
pub fn summary(
    markdown: &str,
    environment: &Environment,
    dry_run: bool,
) -> Result<String, PublishError> {
    match environment.get("GITHUB_STEP_SUMMARY") {
        Some(path) if !dry_run => append(Path::new(path), markdown).map(|()| String::new()),
        _ => Ok(markdown.to_owned()),
    }
}

fn github_outputs(value: &Value, mark: &str) -> String {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name}<<{mark}\n{}\n{mark}\n", plain(value))).collect()
}

/// A value as a workflow's expressions take it: lists line by line, nothing for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

fn mark() -> Result<String, PublishError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(PublishError::Random)?;
    Ok(format!("kitwright-{:032x}", u128::from_ne_bytes(bytes)))
}

fn append(path: &Path, text: &str) -> Result<(), PublishError> {
    let failed = |source| PublishError::Write { path: path.to_owned(), source };
    let mut file =
        fs_err::OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// A note on a line of a file, as a runner turns it into an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Whether it is an error; else a warning.
    pub error: bool,
    /// The file, from the top of the repository.
    pub file: String,
    /// First and last line, from 1.
    pub lines: Option<(u32, u32)>,
    /// A few words above the message.
    pub title: String,
    /// What there is to say.
    pub message: String,
}

impl Annotation {
    /// Writes the annotation as a workflow command, on one line whatever it says.
    #[must_use]
    pub fn command(&self) -> String {
        let kind = if self.error { "error" } else { "warning" };
        let mut properties = vec![format!("file={}", property(&self.file))];
        if let Some((first, last)) = self.lines {
            properties.push(format!("line={first}"));
            properties.push(format!("endLine={}", last.max(first)));
        }
        properties.push(format!("title={}", property(&self.title)));
        format!("::{kind} {}::{}", properties.join(","), data(&self.message))
    }
}

/// Escapes a workflow command's message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outputs_are_marked_blocks() {
        let value = json!({ "tags": ["a:1", "a:2"], "push": true, "digest": null, "n": 7 });
        let text = github_outputs(&value, "M");
        assert_eq!(text, "tags<<M\na:1\na:2\nM\npush<<M\ntrue\nM\ndigest<<M\n\nM\nn<<M\n7\nM\n");
    }

    #[test]
    fn marks_are_never_the_same() {
        assert_ne!(mark().unwrap(), mark().unwrap());
    }

    #[test]
    fn a_file_gets_what_stdout_would() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out");
        let variable = ("GITHUB_OUTPUT".to_owned(), file.to_string_lossy().into_owned());
        let environment = Environment::from_variables([variable]);
        let report = json!({ "a": "1" });
        let dry = outputs(&report, Format::Github, &environment, true).unwrap();
        assert!(dry.starts_with("a<<kitwright-") && !file.exists());
        assert_eq!(outputs(&report, Format::Github, &environment, false).unwrap(), "");
        assert_eq!(outputs(&report, Format::Github, &environment, false).unwrap(), "");
        assert_eq!(std::fs::read_to_string(&file).unwrap().matches("a<<").count(), 2);
    }

    #[test]
    fn an_annotation_is_one_line_whatever_it_says() {
        let annotation = Annotation {
            error: true,
            file: "a,b:c".to_owned(),
            lines: Some((3, 1)),
            title: "t".to_owned(),
            message: "100%\n::stop-commands::x".to_owned(),
        };
        assert_eq!(
            annotation.command(),
            "::error file=a%2Cb%3Ac,line=3,endLine=3,title=t::100%25%0A::stop-commands::x"
        );
    }
}
