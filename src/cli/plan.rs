//! `kitwright plan`: what a build would be made from, without an engine.
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::args::SourceArgs;
use super::caching::CacheArgs;
use super::report::{Failure, StdoutError};
use super::source::Source;
use super::{compilation, locking, runtime};
use crate::cli::keys;
use crate::engine::state::StateDir;
use crate::fault::{Classified, Fault};
use crate::key::ContentKey;
use crate::plan::dockerfile::Compiled;

/// Show what a build would be made from: its steps, base images and content key
#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Compare with another content key that this machine has computed
    #[arg(long, value_name = "KEY")]
    diff: Option<String>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// A plan that cannot be shown.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum PlanError {
    #[error("the Dockerfile lies in a remote context, which only an engine fetches")]
    #[diagnostic(help("name a local one with `--file PATH`"))]
    RemoteDockerfile,
    #[error("the content key `{key}` is not known here")]
    #[diagnostic(help("keys are remembered in `{}` as they are computed", folder.display()))]
    UnknownKey { key: String, folder: PathBuf },
}

impl Classified for PlanError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Plan {
    pub(super) fn run(self) -> Result<(), Failure> {
        let source = Source::read(&self.source)?;
        if source.dockerfile.text.is_none() {
            return Err(PlanError::RemoteDockerfile.into());
        }
        let dockerfile = compilation::parse_source(&source)?;
        let options = compilation::options(&source, "plan")?;
        let mut images = locking::images(&self.source, &source, self.source.locked)?;
        let compiled =
            runtime::block_on(compilation::compile_source(&dockerfile, &options, &mut images))?;
        let shaping = keys::build_arguments(&options);
        let key = keys::content_key(&source, &compiled, &options, &shaping)?;
        let text = match (self.format, &self.diff) {
            (_, Some(other)) => difference(&key?, other)?,
            (Format::Json, None) => json_text(&compiled, key.as_ref().ok()),
            (Format::Text, None) => {
                let mut text = steps(&compiled);
                match &key {
                    Ok(key) => text += &format!("\ncontent key {}\n{}", key.tag(), key.description),
                    Err(unfixed) => text += &format!("\nno content key: {unfixed}\n"),
                }
                text
            }
        };
        let written = std::io::stdout().lock().write_all(text.as_bytes());
        Ok(written.map_err(|source| StdoutError { source })?)
    }
}

fn steps(compiled: &Compiled) -> String {
    let mut text = String::new();
    for platform in &compiled.platforms {
        text += &format!("{}\n", platform.platform);
        for vertex in &platform.definition.vertices {
            if let Some(name) = vertex.metadata.description.get("llb.customname") {
                text += &format!("  {name}\n");
            }
        }
    }
    text
}

fn json_text(compiled: &Compiled, key: Option<&ContentKey>) -> String {
    let platforms: Vec<_> = compiled
        .platforms
        .iter()
        .map(|platform| {
            let steps: Vec<_> = platform
                .definition
                .vertices
                .iter()
                .filter_map(|vertex| {
                    let name = vertex.metadata.description.get("llb.customname")?;
                    Some(json!({ "digest": vertex.digest, "name": name }))
                })
                .collect();
            let images: Vec<_> = platform
                .images
                .iter()
                .map(|image| json!({ "reference": image.reference, "digest": image.digest }))
                .collect();
            json!({ "platform": platform.platform.to_string(), "steps": steps, "images": images })
        })
        .collect();
    let key = key.map(|key| json!({ "tag": key.tag(), "description": key.description }));
    format!("{:#}\n", json!({ "platforms": platforms, "key": key }))
}

/// The lines in which two keys' descriptions differ: `-` the other's, `+` this one's.
fn difference(key: &ContentKey, other: &str) -> Result<String, Failure> {
    let folder = StateDir::from_env(|name| std::env::var_os(name))?.root().join("keys");
    let hex = other.strip_prefix("key-").unwrap_or(other);
    let known = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let text = known.then(|| fs_err::read_to_string(folder.join(hex)).ok()).flatten();
    let text = text.ok_or_else(|| PlanError::UnknownKey { key: other.to_owned(), folder })?;
    let (mine, theirs): (BTreeSet<&str>, BTreeSet<&str>) =
        (key.description.lines().collect(), text.lines().collect());
    let gone = text.lines().filter(|line| !mine.contains(line)).map(|line| format!("- {line}\n"));
    let new = key.description.lines().filter(|line| !theirs.contains(line));
    Ok(gone.chain(new.map(|line| format!("+ {line}\n"))).collect())
}
