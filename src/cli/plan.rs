//! `kitwright plan`: what a build would be made from, without an engine.
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::args::SourceArgs;
use super::caching::{CacheArgs, Caches};
use super::explaining::{Subject, Told};
use super::report::{Failure, StdoutError};
use super::source::Source;
use super::{compilation, locking, prediction, runtime};
use crate::cache::predict::{Needed, Outcome, Prediction, Stage, Step};
use crate::cli::keys;
use crate::fault::{Classified, Fault};
use crate::key::ContentKey;
use crate::output::exporter::Output;
use crate::plan::dockerfile::{Compiled, CompiledPlatform};
use crate::plan::llb::Vertex;

/// Show what a build would be made from: its steps, base images and content key
#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// How the image would be pushed, as `kitwright build` has it: compression, for one, is part of
    /// the content key
    #[arg(short, long, value_name = "OUTPUT")]
    output: Vec<String>,
    /// Compare with another content key: one that this machine has computed, or `REPOSITORY:key-…`
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
}

impl Classified for PlanError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Plan {
    pub(super) fn run(self) -> Result<(), Failure> {
        let outputs: Result<Vec<Output>, _> =
            self.output.iter().map(|output| Output::parse(output)).collect();
        let outputs = outputs?;
        let source = Source::read(&self.source)?;
        if source.dockerfile.text.is_none() {
            return Err(PlanError::RemoteDockerfile.into());
        }
        let dockerfile = compilation::parse_source(&source)?;
        let options = compilation::options(&source, "plan")?;
        let mut images = locking::images(&self.source, &source, self.source.locked)?;
        let caches = Caches::read(&self.cache, Path::new("."))?;
        caches.notes.iter().for_each(|note| eprintln!("note: {note}"));
        let (compiled, predictions) = runtime::block_on(async {
            // The caches answer while base images are looked up.
            let probing = caches.probe(&self.cache, &self.source.registry_mirror)?;
            let compiled = compilation::compile_source(&dockerfile, &options, &mut images).await?;
            let (answers, dropped) = probing.ready().await;
            dropped.iter().for_each(|line| eprintln!("note: {line}"));
            let predictions = match caches.imports.is_empty() {
                true => Vec::new(),
                false => prediction::of(&source, &compiled, &prediction::refs(&answers)),
            };
            Ok::<_, Failure>((Arc::new(compiled), predictions))
        })?;
        let moved = Subject::new(&source, compiled.clone(), &options).and_then(|made| made.moved());
        let moved = moved.unwrap_or_default();
        let shaping = keys::shaping(&outputs, &options);
        let key = keys::content_key(&source, &compiled, &options, &shaping)?;
        let text = match (self.format, &self.diff) {
            (_, Some(other)) => {
                difference(&key?.description, &keys::description(other, &self.source)?)
            }
            (Format::Json, None) => json_text(&compiled, &predictions, &moved, key.as_ref().ok()),
            (Format::Text, None) => {
                let mut text = steps(&compiled, &predictions);
                text += &since_last_build(&moved);
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

/// One line for each step; with what is predicted of it if caches were named.
fn steps(compiled: &Compiled, predictions: &[Prediction]) -> String {
    let mut text = String::new();
    for (at, platform) in compiled.platforms.iter().enumerate() {
        text += &format!("{}\n", platform.platform);
        let Some(prediction) = predictions.get(at) else {
            let names = platform.definition.vertices.iter().filter_map(name);
            names.for_each(|name| text += &format!("  {name}\n"));
            continue;
        };
        let named = || prediction.steps.iter().filter(|step| !step.name.is_empty());
        let width = named().map(|step| step.name.chars().count()).max().unwrap_or(0).min(72);
        for step in named() {
            let cut: String = step.name.chars().take(72).collect();
            text += &format!("  {cut:width$}  {}\n", prediction.tell(step));
        }
        text += &summary(prediction);
    }
    text
}

/// One line for each step that is not as it was when it was last built here.
fn since_last_build(moved: &[Told]) -> String {
    if moved.is_empty() {
        return String::new();
    }
    let lines = moved.iter().map(|told| format!("  {}\n", told.line));
    format!("\nchanged since the last build\n{}", lines.collect::<String>())
}

/// What the table comes to.
fn summary(prediction: &Prediction) -> String {
    let runs = prediction.expected_to_run().len();
    let names = prediction.imports().into_iter().flat_map(|stage| stage.imports);
    let names: Vec<&str> = names.map(|at| prediction.refs[at].as_str()).collect();
    let imports = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let pulled = prediction.pulled();
    format!("  runs {runs} steps, imports {imports}, pulls {pulled} bytes of cached layers\n")
}

fn name(vertex: &Vertex) -> Option<&String> {
    vertex.metadata.description.get("llb.customname")
}

/// A step's part of the JSON document.
fn step_json(
    vertex: &Vertex,
    prediction: Option<(&Prediction, &Step)>,
    moved: &[Told],
) -> Option<Value> {
    let mut json = json!({ "digest": vertex.digest, "name": name(vertex)? });
    if let Some(told) = moved.iter().find(|told| told.vertex == vertex.digest) {
        json["cause"] = told.cause.as_str().into();
    }
    if let Some((prediction, step)) = prediction {
        json["cache"] = json!({ "state": state(step), "text": prediction.tell(step) });
        if step.needed != Needed::No
            && let Outcome::Served { by, .. } | Outcome::Open { by, .. } = &step.outcome
        {
            json["cache"]["ref"] = json!(prediction.refs[*by]);
        }
    }
    Some(json)
}

/// What happens to a step, in a word for programs.
const fn state(step: &Step) -> &'static str {
    match (step.needed, &step.outcome) {
        (_, Outcome::Source) => "source",
        (Needed::No, _) => "not-needed",
        (_, Outcome::Served { .. }) => "served",
        (Needed::Yes, Outcome::Runs(_)) => "runs",
        (_, Outcome::Open { .. } | Outcome::Runs(_)) => "may-run",
    }
}

fn json_text(
    compiled: &Compiled,
    predictions: &[Prediction],
    moved: &[Told],
    key: Option<&ContentKey>,
) -> String {
    let platform_json = |(at, platform): (usize, &CompiledPlatform)| {
        let prediction: Option<&Prediction> = predictions.get(at);
        let steps: Vec<_> = platform
            .definition
            .vertices
            .iter()
            .enumerate()
            .filter_map(|(step, vertex)| {
                step_json(vertex, prediction.map(|p| (p, &p.steps[step])), moved)
            })
            .collect();
        let images: Vec<_> = platform
            .images
            .iter()
            .map(|image| json!({ "reference": image.reference, "digest": image.digest }))
            .collect();
        let mut json = json!({
            "platform": platform.platform.to_string(), "steps": steps, "images": images,
        });
        if let Some(prediction) = prediction {
            let names = |stage: Stage| -> Vec<String> {
                stage.imports.iter().map(|at| prediction.refs[*at].clone()).collect()
            };
            json["imports"] = prediction.imports().into_iter().map(names).collect();
            json["pulled"] = json!(prediction.pulled());
        }
        json
    };
    let platforms: Vec<_> = compiled.platforms.iter().enumerate().map(platform_json).collect();
    let key = key.map(|key| json!({ "tag": key.tag(), "description": key.description }));
    format!("{:#}\n", json!({ "platforms": platforms, "key": key }))
}

/// The lines in which two keys' descriptions differ: `-` the other's, `+` this one's.
fn difference(ours: &str, other: &str) -> String {
    let (mine, theirs): (BTreeSet<&str>, BTreeSet<&str>) =
        (ours.lines().collect(), other.lines().collect());
    let gone = other.lines().filter(|line| !mine.contains(line)).map(|line| format!("- {line}\n"));
    let new = ours.lines().filter(|line| !theirs.contains(line));
    gone.chain(new.map(|line| format!("+ {line}\n"))).collect()
}
