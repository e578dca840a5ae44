//! Several hundred cases: a feature or an error each, and Dockerfiles in the manner of real projects.
use std::collections::BTreeMap;

use kitwright::oci::digest::Digest;
use kitwright::plan::dockerfile::resolver::{
    ImagePlace, ImageQuery, ImageResolver, ResolveError, ResolvedImage,
};
use kitwright::plan::dockerfile::source::Source;
use kitwright::plan::dockerfile::{
    CompileError, CompileOptions, Compiled, check, compile, ignore, parse,
};
use kitwright::plan::llb::Vertex;

use crate::case::{self, Case};
use crate::outcome::{Outcome, PlatformResult};
use crate::stub;

/// Cases whose outcome differs, with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("cases/005-escape-invalid", "BuildKit names no line, kitwright that of the directive"),
    ("cases/006-directive-twice", "BuildKit names line 1, kitwright that of the second directive"),
    ("cases/178-platform-windows", "images for Windows are left to the engine's frontend"),
    ("cases/179-platform-windows-run", "images for Windows are left to the engine's frontend"),
    ("cases/289-windows-shell-default", "images for Windows are left to the engine's frontend"),
    ("cases/290-windows-workdir", "images for Windows are left to the engine's frontend"),
    ("corpus/windows-iis", "images for Windows are left to the engine's frontend"),
    ("cases/193-worker-arm", "without a target BuildKit labels the result with its own platform"),
    ("cases/705-epoch-context-git", "the time is not yet read from a source"),
    ("cases/706-epoch-stage", "the time is not yet read from a source"),
    ("cases/707-epoch-stage-http", "the time is not yet read from a source"),
    ("cases/710-epoch-named", "the time is not yet read from a source"),
];

struct Registry<'a>(&'a Case);

impl ImageResolver for Registry<'_> {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        let platform = &query.platform;
        let (os, arch) = (&platform.os, &platform.architecture);
        let config = self.0.image_config(&query.reference, os, arch, &platform.variant);
        let Some(config) = config else {
            return Err(ResolveError {
                reference: query.reference.clone(),
                platform: platform.to_string(),
                reason: "not found".to_owned(),
                help: None,
                environment: false,
            });
        };
        let digest = match &query.place {
            ImagePlace::Registry => stub::digest(&query.reference).parse().unwrap(),
            ImagePlace::OciLayout { digest, .. } => *digest,
        };
        Ok(Some(ResolvedImage { reference: None, digest, config: config.into() }))
    }
}

/// What kitwright makes of a case: the compiled result, or the message and line of an error.
fn outcome(case: &Case) -> Result<Compiled, (String, u32)> {
    let options = options(case)?;
    let file = parse(&case.dockerfile, file_name(case))
        .map_err(|error| (error.error.to_string(), error.lines.start))?;
    compile(&file, &options, &Registry(case)).map_err(|error| describe(&error))
}

fn describe(error: &CompileError) -> (String, u32) {
    let line = error.lines().map_or(0, |lines| lines.start);
    (error.kind().map_or_else(|| error.to_string(), ToString::to_string), line)
}

fn file_name(case: &Case) -> &str {
    case.options.get("filename").map_or("Dockerfile", String::as_str)
}

fn options(case: &Case) -> Result<CompileOptions, (String, u32)> {
    let file_name = file_name(case);
    let mut options =
        CompileOptions::from_frontend(&case.options).map_err(|error| (error.to_string(), 0))?;
    if !case.workers.is_empty() {
        options.build_platforms = case.workers.iter().map(|p| p.parse().unwrap()).collect();
    } else {
        options.build_platforms = vec!["linux/amd64".parse().unwrap()];
    }
    case::SESSION.clone_into(&mut options.session_id);
    if case.archive
        && let kitwright::plan::dockerfile::options::MainContext::Http { archive, .. } =
            &mut options.context
    {
        *archive = true;
    }
    let ignored = |local: &str, name: &str| {
        let text = case.files.get(local)?.get(name)?;
        Some(ignore::parse(text.as_bytes()).map_err(|error| (error.to_string(), 0)))
    };
    let own = format!("{file_name}.dockerignore");
    let main = ignored("dockerfile", &own).or_else(|| ignored("context", ".dockerignore"));
    options.dockerignore = main.transpose()?.unwrap_or_default();
    for (name, source) in options.named_contexts.clone() {
        if let Some(local) = source.strip_prefix("local:")
            && let Some(patterns) = ignored(local, ".dockerignore").transpose()?
        {
            options.named_dockerignores.insert(name, patterns);
        }
    }
    Ok(options)
}

/// What the checks say: rules with their lines, and whether an error stopped them.
fn checked(case: &Case) -> (Vec<(String, i64)>, bool) {
    let Ok(options) = options(case) else { return (Vec::new(), true) };
    let source = Source::new(file_name(case), &case.dockerfile);
    let checked = check(source, &options, &Registry(case));
    let mut found: Vec<(String, i64)> = checked
        .warnings
        .iter()
        .filter(|warning| !warning.rule().is_ours())
        .map(|warning| (warning.rule().name().to_owned(), i64::from(warning.lines.start)))
        .collect();
    found.sort();
    (found, checked.error.is_some())
}

/// Rules and lines in the form of [`checked`]; an error among them counts as one.
fn expected_warnings(expected: &Outcome) -> (Vec<(String, i64)>, bool) {
    let mut found = Vec::new();
    let mut failed = expected.error.is_some();
    for warning in &expected.warnings {
        match warning.message.rsplit_once(" (line ").zip(warning.message.split_once(": ")) {
            Some(((_, line), (rule, _))) => {
                let line = line.trim_end_matches(')').parse().unwrap();
                found.push((rule.to_owned(), line));
            }
            None => failed = true,
        }
    }
    found.sort();
    (found, failed)
}

fn differences(case: &Case) -> Vec<String> {
    let text = fs_err::read_to_string(case.directory.as_ref().unwrap().join("expect.json"));
    let expected: Outcome = serde_json::from_str(&text.unwrap()).unwrap();
    let mut found = Vec::new();
    if expected.forward.is_some() {
        return found;
    }
    if case.options.contains_key("requestid") {
        let (ours, theirs) = (checked(case), expected_warnings(&expected));
        if ours != theirs {
            found.push(format!("checks {ours:?}, not {theirs:?}"));
        }
        return found;
    }
    let ours = outcome(case);
    match (&ours, &expected.error) {
        (Ok(_), Some(error)) => {
            found.push(format!("should fail: {} {:?}", error.message, error.lines));
        }
        (Err((message, line)), None) => found.push(format!("fails: {message} (line {line})")),
        (Err((message, line)), Some(error)) => {
            let line = i64::from(*line);
            let is_there = error.lines.is_empty()
                || error.lines.iter().any(|lines| lines[0] <= line && line <= lines[1]);
            if !is_there {
                found.push(format!(
                    "line {line}: {message}; theirs {:?}: {}",
                    error.lines, error.message
                ));
            }
        }
        (Ok(compiled), None) => {
            compare(compiled, &expected.results, &mut found);
            let mut ours: Vec<(String, i64)> = compiled
                .warnings
                .iter()
                .map(|found| (found.rule().name().to_owned(), i64::from(found.lines.start)))
                .collect();
            ours.sort();
            let theirs = expected_warnings(&expected).0;
            if ours != theirs {
                found.push(format!("warnings {ours:?}, not {theirs:?}"));
            }
        }
    }
    found
}

fn compare(compiled: &Compiled, expected: &[PlatformResult], found: &mut Vec<String>) {
    if compiled.platforms.len() != expected.len() {
        found.push(format!("{} platforms, not {}", compiled.platforms.len(), expected.len()));
    }
    for (ours, theirs) in compiled.platforms.iter().zip(expected) {
        let name = &theirs.platform;
        if ours.platform.to_string() != *name {
            found.push(format!("platform {} is {name}", ours.platform));
        }
        if ours.epoch != theirs.epoch {
            found.push(format!("{name}: epoch {:?} is {:?}", ours.epoch, theirs.epoch));
        }
        let config = ours.config_json();
        if Digest::of(&config).to_string() != theirs.config_digest {
            let config = String::from_utf8(config).unwrap();
            found.push(format!("{name}: config\n   {config}\n   {}", theirs.config));
        }
        compare_vertices(&ours.definition.vertices, theirs, found);
    }
}

fn compare_vertices(ours: &[Vertex], theirs: &PlatformResult, found: &mut Vec<String>) {
    if ours.len() != theirs.vertices.len() {
        found.push(format!("{} vertices, not {}", ours.len(), theirs.vertices.len()));
    }
    for (at, (vertex, expected)) in ours.iter().zip(&theirs.vertices).enumerate() {
        let name = vertex.metadata.custom_name().unwrap_or_default();
        if vertex.digest.to_string() != expected.digest {
            found.push(format!("vertex {at} `{name}` / `{}`: {:?}", expected.name, vertex.op()));
            return;
        }
        if name != expected.name {
            found.push(format!("vertex {at} is named `{name}`, not `{}`", expected.name));
        }
        if vertex.metadata.ignore_cache != expected.no_cache {
            found.push(format!("vertex {at} `{name}`: no cache is {}", expected.no_cache));
        }
        let group = vertex.metadata.progress_group.as_ref();
        if group.is_some() == expected.group.is_empty() {
            found.push(format!("vertex {at} `{name}`: group {group:?} / {}", expected.group));
        }
        let lines: Vec<[i64; 2]> = vertex
            .locations
            .iter()
            .flatten()
            .map(|range| [i64::from(range.start.line), i64::from(range.end.line)])
            .collect();
        if lines != expected.lines {
            found.push(format!("vertex {at} `{name}`: lines {lines:?} / {:?}", expected.lines));
        }
    }
}

#[test]
fn every_case_equals_what_buildkit_makes_of_it() {
    let known: BTreeMap<&str, &str> = DIFFERENT.iter().copied().collect();
    let cases = case::all();
    let mut failures = Vec::new();
    for case in &cases {
        let found = differences(case);
        match (found.is_empty(), known.contains_key(&*case.name)) {
            (false, false) => failures.push(format!("{}\n  {}", case.name, found.join("\n  "))),
            (true, true) => failures.push(format!("{} is equal now", case.name)),
            _ => {}
        }
    }
    let report = failures.join("\n");
    assert!(failures.is_empty(), "{} of {} cases differ:\n{report}", failures.len(), cases.len());
}
