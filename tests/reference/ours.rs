//! kitwright's answer to a case, in the form of the oracle's.
use base64::Engine as _;
use kitwright::plan::dockerfile::compile::{CompileError, compile};
use kitwright::plan::dockerfile::directives::detect_syntax;
use kitwright::plan::dockerfile::options::{CompileOptions, MainContext};
use kitwright::plan::dockerfile::{
    Compiled, ImageQuery, ImageResolver, ResolveError, ResolvedImage, parse,
};
use kitwright::plan::llb;
use serde_json::{Value, json};

use crate::case::{Case, SESSION};
use crate::outcome::{Failure, Outcome, PlatformResult, Vertex};
use crate::stub;

/// Compiles the case as a build would.
pub fn outcome(case: &Case) -> Outcome {
    if let Some(forward) = forward(case) {
        return Outcome { forward: Some(forward), ..Outcome::default() };
    }
    match results(case) {
        Ok(results) => Outcome { results, ..Outcome::default() },
        Err(error) => Outcome { error: Some(error), ..Outcome::default() },
    }
}

/// The frontend that a `# syntax=` line hands the file to.
///
/// The option `cmdline`, which every case has unless it says otherwise, means that this has happened.
fn forward(case: &Case) -> Option<String> {
    if case.options.get("cmdline").is_none_or(|value| value != "-") {
        return None;
    }
    let given = case.options.get("build-arg:BUILDKIT_SYNTAX");
    let given = given.and_then(|text| text.split_whitespace().next()).map(str::to_owned);
    given.or_else(|| Some(detect_syntax(&case.dockerfile)?.first_word().to_owned()))
}

fn failure(message: impl ToString) -> Failure {
    Failure { message: message.to_string(), lines: Vec::new() }
}

fn results(case: &Case) -> Result<Vec<PlatformResult>, Failure> {
    let options = options(case)?;
    let file = parse(&case.dockerfile, "Dockerfile").map_err(|error| Failure {
        message: error.error.to_string(),
        lines: vec![[error.lines.start.into(), error.lines.end.into()]],
    })?;
    let compiled = compile(&file, &options, &Stubs(case)).map_err(|error| match error {
        CompileError::At(located) => Failure {
            message: located.error.to_string(),
            lines: vec![[located.lines.start.into(), located.lines.end.into()]],
        },
        other => failure(other),
    })?;
    Ok(platform_results(&compiled))
}

fn options(case: &Case) -> Result<CompileOptions, Failure> {
    let mut options = CompileOptions::from_frontend(&case.options).map_err(failure)?;
    options.session_id = SESSION.to_owned();
    if let MainContext::Http { archive, .. } = &mut options.context {
        *archive = case.archive;
    }
    let workers =
        if case.workers.is_empty() { vec!["linux/amd64".to_owned()] } else { case.workers.clone() };
    options.build_platforms =
        workers.iter().map(|worker| worker.parse().expect("a worker has a platform")).collect();
    let patterns = |local: &str, path: &str| {
        let text = case.files.get(local)?.get(path)?;
        Some(ignore_file(text))
    };
    let filename = case.options.get("filename").map_or("Dockerfile", String::as_str);
    let own = patterns("dockerfile", &format!("{filename}.dockerignore"));
    options.dockerignore = own.or_else(|| patterns("context", ".dockerignore")).unwrap_or_default();
    for (name, source) in &options.named_contexts {
        if let Some(patterns) =
            source.strip_prefix("local:").and_then(|local| patterns(local, ".dockerignore"))
        {
            options.named_dockerignores.insert(name.clone(), patterns);
        }
    }
    Ok(options)
}

/// Answers from the stub configs.
struct Stubs<'a>(&'a Case);

impl ImageResolver for Stubs<'_> {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        let platform = &query.platform;
        let config = self.0.image_config(
            &query.reference,
            &platform.os,
            &platform.architecture,
            &platform.variant,
        );
        let Some(config) = config else {
            return Err(ResolveError {
                reference: query.reference.clone(),
                platform: platform.to_string(),
                reason: "not found".to_owned(),
                help: None,
                environment: false,
            });
        };
        Ok(Some(ResolvedImage {
            reference: None,
            digest: stub::digest(&query.reference).parse().expect("stub digests are digests"),
            config: config.into(),
        }))
    }
}

fn platform_results(compiled: &Compiled) -> Vec<PlatformResult> {
    let result = |platform: &kitwright::plan::dockerfile::CompiledPlatform| {
        let config = platform.config_json();
        PlatformResult {
            platform: platform.platform.normalize().to_string(),
            config_digest: stub::sha256(&config),
            config: serde_json::from_slice(&config).expect("an image config is JSON"),
            epoch: platform.epoch,
            vertices: platform.definition.vertices.iter().map(vertex).collect(),
        }
    };
    compiled.platforms.iter().map(result).collect()
}

fn vertex(vertex: &llb::Vertex) -> Vertex {
    let metadata = &vertex.metadata;
    let resources = metadata.linux_resources.as_ref().map(|resources| format!("{resources:?}"));
    Vertex {
        digest: vertex.digest.to_string(),
        name: metadata.custom_name().unwrap_or_default().to_owned(),
        group: metadata.progress_group.as_ref().map(|group| group.name.clone()).unwrap_or_default(),
        no_cache: metadata.ignore_cache,
        lines: vertex
            .locations
            .iter()
            .flatten()
            .map(|range| [range.start.line.into(), range.end.line.into()])
            .collect(),
        raw: base64::engine::general_purpose::STANDARD.encode(&vertex.bytes),
        extra: json!({
            "command": metadata.description.get(llb::metadata::COMMAND).map_or(Value::Null, |text| json!(text)),
            "caps": metadata.caps,
            "resources": resources,
        }),
    }
}

/// Stands in for the reader of ignore files.
fn ignore_file(text: &str) -> Vec<String> {
    let clean = |path: &str| {
        let cleaned = kitwright::plan::pattern::clean(path);
        cleaned
            .strip_prefix('/')
            .filter(|rest| !rest.is_empty())
            .map_or(cleaned.clone(), str::to_owned)
    };
    text.trim_start_matches('\u{feff}')
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| match line.strip_prefix('!') {
            Some("") => "!".to_owned(),
            Some(rest) => format!("!{}", clean(rest.trim())),
            None => clean(line),
        })
        .collect()
}
