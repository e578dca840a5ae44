//! Content keys of what a command compiles, and the memory of them in the state folder.
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::args::SourceArgs;
use super::report::Failure;
use super::source::Source;
use super::{compilation, runtime};
use crate::engine::state::StateDir;
use crate::fault::{Classified, Fault};
use crate::key::files::Directory;
use crate::key::graph::GraphError;
use crate::key::memory::Memory;
use crate::key::{ContentKey, KeyError, description};
use crate::oci::reference::ImageReference;
use crate::output::exporter::Output;
use crate::plan::dockerfile::options::MainContext;
use crate::plan::dockerfile::{CompileOptions, Compiled};

/// Computes the content key of a build; a graph that has none is told apart from an error.
///
/// # Errors
///
/// Files that cannot be read, or that there is no state folder.
pub(super) fn content_key(
    source: &Source,
    compiled: &Compiled,
    options: &CompileOptions,
    shaping: &BTreeMap<String, String>,
) -> Result<Result<ContentKey, GraphError>, Failure> {
    let state = StateDir::from_env(|name| std::env::var_os(name))?;
    let mut memory = Memory::open(state.root().join("context-digests"));
    let key = match compute(source, compiled, options, shaping, &mut memory)? {
        Ok(key) => key,
        Err(unfixed) => return Ok(Err(unfixed)),
    };
    // Without them the next run reads the files again, and `plan --diff` knows one key less.
    let kept = memory.save().and_then(|()| keep(&state, &key));
    if let Err(error) = kept {
        eprintln!("note: cannot remember what the content key was made of: {error}");
    }
    Ok(Ok(key))
}

/// The same, with files remembered as the caller wants it, and the key not remembered at all.
///
/// # Errors
///
/// Files that cannot be read.
pub(super) fn compute(
    source: &Source,
    compiled: &Compiled,
    options: &CompileOptions,
    shaping: &BTreeMap<String, String>,
    memory: &mut Memory,
) -> Result<Result<ContentKey, GraphError>, Failure> {
    match ContentKey::compute(compiled, &directories(source, options), shaping, memory) {
        Ok(key) => Ok(Ok(key)),
        Err(KeyError::Graph(unfixed)) => Ok(Err(unfixed)),
        Err(error) => Err(error.into()),
    }
}

/// The directories of a build with what they leave out.
pub(super) fn directories(
    source: &Source,
    options: &CompileOptions,
) -> BTreeMap<String, Directory> {
    let mut directories = BTreeMap::new();
    for (name, root) in &source.directories {
        let exclude = match &options.context {
            MainContext::Local(main) if main == name => options.dockerignore.clone(),
            _ => {
                let named = name.trim_start_matches('_');
                options.named_dockerignores.get(named).cloned().unwrap_or_default()
            }
        };
        let root = std::path::absolute(root).unwrap_or_else(|_| root.clone());
        directories.insert(name.clone(), Directory { root, exclude });
    }
    directories
}

fn keep(state: &StateDir, key: &ContentKey) -> std::io::Result<()> {
    let place = state.root().join("keys").join(key.digest.hex());
    if place.exists() {
        return Ok(());
    }
    fs_err::create_dir_all(state.root().join("keys"))?;
    fs_err::write(place, &key.description)
}

/// A key that nobody here can describe.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum UnknownKey {
    #[error("the content key `{key}` is not known here")]
    #[diagnostic(help(
        "keys are remembered in `{}` as they are computed; for one of another machine write \
         `REPOSITORY:key-…`",
        folder.display()
    ))]
    Here { key: String, folder: PathBuf },
    #[error("`{key}` has no description in its repository")]
    #[diagnostic(help("`kitwright build --reuse --push` leaves one beside the image"))]
    There { key: ImageReference },
    #[error("`{key}` names no content key")]
    #[diagnostic(help("write `key-` and 64 digits, or `REPOSITORY:key-…`"))]
    NoKey { key: String },
}

impl Classified for UnknownKey {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// The description of a key: `key-…` that this machine has computed, or `REPOSITORY:key-…` at its
/// registry.
///
/// # Errors
///
/// A key that is not known, a registry that does not answer.
pub(super) fn description(key: &str, args: &SourceArgs) -> Result<String, Failure> {
    let hex = key.strip_prefix("key-").unwrap_or(key);
    if !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let folder = StateDir::from_env(|name| std::env::var_os(name))?.root().join("keys");
        let text = fs_err::read_to_string(folder.join(hex)).ok();
        return Ok(text.ok_or_else(|| UnknownKey::Here { key: key.to_owned(), folder })?);
    }
    let reference = ImageReference::parse(key).ok();
    let is_key = |tag: Option<&str>| tag.is_some_and(|tag| tag.starts_with("key-"));
    let reference = reference.filter(|reference| is_key(reference.tag()));
    let reference = reference.ok_or_else(|| UnknownKey::NoKey { key: key.to_owned() })?;
    let client = compilation::registry(&args.registry_mirror)?;
    let text = runtime::block_on(async { Ok(description::fetch(&client, &reference).await?) })?;
    Ok(text.ok_or(UnknownKey::There { key: reference })?)
}

/// Settings beside the graph that shape the image that `outputs` push.
pub(super) fn shaping(outputs: &[Output], options: &CompileOptions) -> BTreeMap<String, String> {
    let pushed = outputs.iter().filter(|output| output.pushes()).flat_map(Output::shape);
    let mut shaping: BTreeMap<String, String> =
        pushed.map(|(name, value)| (format!("exporter:{name}"), value.clone())).collect();
    shaping.extend(build_arguments(options));
    shaping
}

/// Build arguments that shape the image without being in its graph.
fn build_arguments(options: &CompileOptions) -> BTreeMap<String, String> {
    let shapes = |name: &str| name.starts_with("BUILDKIT_") || name == "SOURCE_DATE_EPOCH";
    options
        .build_args
        .iter()
        .filter(|(name, _)| shapes(name))
        .map(|(name, value)| (format!("build-arg:{name}"), value.clone()))
        .collect()
}
