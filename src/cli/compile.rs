//! `kitwright compile`: compiles a Dockerfile without an engine.
use std::io::Write as _;

use clap::{Args, ValueEnum};
use futures_util::TryFutureExt as _;
use prost::Message as _;
use serde_json::{Value, json};

use super::args::{EngineArgs, SourceArgs};
use super::compilation::{self, Frontend};
use super::locking;
use super::report::{Failure, StdoutError};
use super::runtime;
use super::source::Source;
use crate::fault::{Classified, Fault};
use crate::plan::dockerfile::{Compiled, CompiledPlatform};
use crate::plan::llb::render;

mod verify;

/// Compile a Dockerfile to LLB without an engine
#[derive(Debug, Args)]
pub(super) struct Compile {
    #[command(flatten)]
    source: SourceArgs,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Session id that sources of local files are compiled with; it lies inside their digests
    #[arg(long, value_name = "ID", default_value = "kitwright")]
    session: String,
    /// Print the image config as JSON instead
    #[arg(long, conflicts_with = "format")]
    image_config: bool,
    /// Compare with the engine's own `dockerfile.v0`, vertex by vertex
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What `kitwright compile` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One vertex digest a line, inputs before what uses them, the result last
    #[default]
    Digests,
    /// Ops with metadata and lines, image config and base images
    Json,
    /// The marshalled Protobuf definition
    Pb,
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
    /// A drawing
    Svg,
}

/// Input that cannot be compiled here, or not printed so.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum CompileCommandError {
    #[error("the Dockerfile lies in a remote context, which only an engine fetches")]
    #[diagnostic(help("name a local one with `--file PATH`"))]
    RemoteDockerfile,
    #[error("`--format {format}` prints one definition, and there are {count} target platforms")]
    #[diagnostic(help("choose one platform with `--platform`"))]
    OnePlatform { format: &'static str, count: usize },
}

impl Classified for CompileCommandError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Compile {
    pub(super) fn run(self) -> Result<(), Failure> {
        let source = Source::read(&self.source)?;
        if source.dockerfile.text.is_none() {
            return Err(CompileCommandError::RemoteDockerfile.into());
        }
        if let (Frontend::Image(image), _) = Frontend::choose("native", &source) {
            eprintln!("note: compiled by kitwright itself, not by the frontend image `{image}`");
        }
        let compiled = match self.verify {
            true => runtime::block_on(self.verify(&source))?,
            false => self.compile(&source)?,
        };
        let output = match self.image_config {
            true => image_configs(&compiled),
            false => self.render(&compiled)?,
        };
        let written = std::io::stdout().lock().write_all(&output);
        Ok(written.map_err(|source| StdoutError { source })?)
    }

    fn compile(&self, source: &Source) -> Result<Compiled, Failure> {
        let dockerfile = compilation::parse_source(source)?;
        let options = compilation::options(source, &self.session)?;
        let mut images = locking::images(&self.source, source, self.is_locked())?;
        let compiling = compilation::compile_source(&dockerfile, &options, &mut images);
        runtime::block_on(compiling.err_into())
    }

    /// Naming a lock file is reason enough to use it here.
    const fn is_locked(&self) -> bool {
        self.source.locked || self.source.lock.is_some()
    }

    fn render(&self, compiled: &Compiled) -> Result<Vec<u8>, Failure> {
        let single = |format: &'static str| match &compiled.platforms[..] {
            [only] => Ok(&only.definition),
            more => Err(CompileCommandError::OnePlatform { format, count: more.len() }),
        };
        Ok(match self.format {
            Format::Digests => digests(compiled).into_bytes(),
            Format::Json => format!("{:#}\n", compiled_json(compiled)).into_bytes(),
            Format::Pb => single("pb")?.to_pb().encode_to_vec(),
            Format::Dot => render::dot(single("dot")?).into_bytes(),
            Format::Mermaid => render::mermaid(single("mermaid")?).into_bytes(),
            Format::Svg => render::svg(single("svg")?).into_bytes(),
        })
    }
}

fn digests(compiled: &Compiled) -> String {
    let vertices = compiled.platforms.iter().flat_map(|platform| &platform.definition.vertices);
    vertices.map(|vertex| format!("{}\n", vertex.digest)).collect()
}

/// The image config of each platform, one a line.
fn image_configs(compiled: &Compiled) -> Vec<u8> {
    let mut output = Vec::new();
    for platform in &compiled.platforms {
        output.extend(platform.config_json());
        output.push(b'\n');
    }
    output
}

fn compiled_json(compiled: &Compiled) -> Value {
    let platforms: Vec<Value> = compiled.platforms.iter().map(platform_json).collect();
    json!({ "platforms": platforms })
}

fn platform_json(platform: &CompiledPlatform) -> Value {
    let images: Vec<Value> = platform
        .images
        .iter()
        .map(|image| {
            json!({
                "reference": image.reference,
                "platform": image.platform.to_string(),
                "digest": image.digest.to_string(),
            })
        })
        .collect();
    let locals: Vec<Value> = platform
        .locals
        .iter()
        .map(|local| {
            json!({
                "name": local.name,
                "followPaths": local.follow_paths,
                "excludePatterns": local.exclude_patterns,
            })
        })
        .collect();
    let mut value = render::definition_json(&platform.definition);
    value["platform"] = json!(platform.platform.to_string());
    value["config"] = json!(platform.config);
    value["images"] = Value::Array(images);
    value["locals"] = Value::Array(locals);
    value
}
