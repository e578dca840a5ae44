//! kitwright's answer to a case, in the form of the oracle's.
use base64::Engine as _;
use kitwright::plan::dockerfile::compile::{CheckError, Checked, CompileError, check, compile};
use kitwright::plan::dockerfile::directives::detect_syntax;
use kitwright::plan::dockerfile::options::{CompileOptions, MainContext};
use kitwright::plan::dockerfile::source::{LineRange, Source};
use kitwright::plan::dockerfile::{
    Compiled, ImageQuery, ImageResolver, ResolveError, ResolvedImage, parse,
};
use kitwright::plan::dockerfile::{ignore, lint};
use kitwright::plan::llb;
use serde_json::{Value, json};

use crate::case::{Case, SESSION};
use crate::outcome::{self, Failure, Outcome, PlatformResult, Vertex};
use crate::stub;

/// Compiles the case as a build would, or checks it when the case asks for that.
pub fn outcome(case: &Case) -> Outcome {
    if let Some(forward) = forward(case) {
        return Outcome { forward: Some(forward), ..Outcome::default() };
    }
    let options = match options(case) {
        Ok(options) => options,
        Err(error) => return Outcome { error: Some(error), ..Outcome::default() },
    };
    let source = Source::new("Dockerfile", &case.dockerfile);
    if case.options.contains_key("requestid") {
        return checked(&check(source, &options, &Stubs(case)));
    }
    // Findings of a file that cannot be built reach people only through `check`.
    let failed = |error| {
        let found = check_one(case, &options);
        Outcome { error: Some(error), warnings: found, ..Outcome::default() }
    };
    let file = match parse(&case.dockerfile, "Dockerfile") {
        Ok(file) => file,
        Err(error) => return failed(located(&error.error, error.lines)),
    };
    match compile(&file, &options, &Stubs(case)) {
        Ok(compiled) => Outcome {
            results: platform_results(&compiled),
            warnings: warnings(&compiled.warnings),
            ..Outcome::default()
        },
        Err(error) => failed(compile_failure(&error)),
    }
}

/// Compiles the case for what it asks `resolver`.
pub fn compile_with(case: &Case, resolver: &dyn ImageResolver) {
    if let (Ok(options), Ok(file)) = (options(case), parse(&case.dockerfile, "Dockerfile")) {
        let _ = compile(&file, &options, resolver);
    }
}

/// What the checks find in the part of a file that a build reads.
fn check_one(case: &Case, options: &CompileOptions) -> Vec<outcome::Warning> {
    let source = Source::new("Dockerfile", &case.dockerfile);
    warnings(&check(source, options, &Stubs(case)).warnings)
}

fn checked(checked: &Checked) -> Outcome {
    let mut found = warnings(&checked.warnings);
    if let Some(error) = &checked.error {
        let failure = match error {
            CheckError::Parse(error) => located(&error.error, error.lines),
            CheckError::Compile(error) => compile_failure(error),
        };
        found.push(outcome::Warning { message: failure.message, lines: failure.lines });
    }
    Outcome { warnings: found, ..Outcome::default() }
}

fn warnings(found: &[lint::Warning]) -> Vec<outcome::Warning> {
    let mut found: Vec<outcome::Warning> = found
        .iter()
        .filter(|warning| !warning.rule().is_ours())
        .map(|warning| outcome::Warning {
            message: format!(
                "{}: {} (line {})",
                warning.rule().name(),
                warning.finding,
                warning.lines.start
            ),
            lines: (warning.lines.start..=warning.lines.end).map(|line| [line.into(); 2]).collect(),
        })
        .collect();
    found.sort();
    found
}

fn located(error: &impl ToString, lines: LineRange) -> Failure {
    Failure { message: error.to_string(), lines: vec![[lines.start.into(), lines.end.into()]] }
}

fn compile_failure(error: &CompileError) -> Failure {
    match error {
        CompileError::At(inner) => located(&inner.error, inner.lines),
        other => failure(other),
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
        Some(ignore::parse(text.as_bytes()).expect("no line of a case is too long"))
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
pub struct Stubs<'a>(pub &'a Case);

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
