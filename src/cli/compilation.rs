//! From a [`Source`] to LLB: kitwright's own compiler, or a frontend that the engine runs.
use super::images::Images;
use super::report::Failure;
use super::source::Source;
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Client, Options};
use crate::plan::dockerfile::compiled::Compiled;
use crate::plan::dockerfile::directives::detect_syntax;
use crate::plan::dockerfile::instruction::Dockerfile;
use crate::plan::dockerfile::options::{CompileOptions, MainContext};
use crate::plan::dockerfile::{CompileError, compile, parse};

/// The Dockerfile frontend that is part of the engine.
pub(super) const ENGINE_FRONTEND: &str = "dockerfile.v0";

/// The newest minor version of Dockerfile syntax 1 that the compiler knows.
const SYNTAX_MINOR: u32 = 26;

/// How often the compiler may ask for further images: those of stages, of `COPY --from` and mounts,
/// and of triggers in base images.
const ROUNDS: usize = 4;

/// What compiles a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frontend {
    /// Kitwright itself.
    Native,
    /// A frontend that is part of the engine: `dockerfile.v0`.
    Engine(String),
    /// A frontend image, run by the engine's `gateway.v0`.
    Image(String),
}

impl Frontend {
    /// Chooses the frontend from the flag, else from the Dockerfile's `# syntax=`.
    ///
    /// Returns a line for people where the choice is not kitwright itself and was not theirs.
    pub(super) fn choose(flag: &str, source: &Source) -> (Self, Option<String>) {
        match flag {
            "native" => Self::from_syntax(source),
            ENGINE_FRONTEND => (Self::Engine(flag.to_owned()), None),
            image => (Self::Image(image.to_owned()), None),
        }
    }

    fn from_syntax(source: &Source) -> (Self, Option<String>) {
        let Some(text) = &source.dockerfile.text else {
            let note =
                "the Dockerfile lies in a remote context: the engine's `dockerfile.v0` compiles it";
            return (Self::Engine(ENGINE_FRONTEND.into()), Some(note.into()));
        };
        let named = source.options.get("build-arg:BUILDKIT_SYNTAX").cloned();
        let directive = || detect_syntax(text).map(|syntax| syntax.first_word().to_owned());
        match named.or_else(directive) {
            Some(image) if !is_known_syntax(&image) => {
                let note =
                    format!("`# syntax={image}` is not built in: that frontend image compiles");
                (Self::Image(image), Some(note))
            }
            _ => (Self::Native, None),
        }
    }
}

/// Whether `image` is the official Dockerfile frontend at a version whose grammar is built in.
fn is_known_syntax(image: &str) -> bool {
    let Ok(reference) = ImageReference::parse(image) else { return false };
    if reference.name() != "docker.io/docker/dockerfile" {
        return false;
    }
    let Some(tag) = reference.tag() else { return !image.contains('@') };
    let mut numbers = tag.split('.');
    match (numbers.next(), numbers.next()) {
        (Some("latest"), None) | (Some("1"), None) => true,
        (Some("1"), Some(minor)) => minor.parse().is_ok_and(|minor: u32| minor <= SYNTAX_MINOR),
        _ => false,
    }
}

/// A registry client as the flags want it.
pub(super) fn registry(mirrors: &[String]) -> Result<Client, Failure> {
    let mut options = Options::from_env();
    for mirror in mirrors {
        options.add_mirror(mirror)?;
    }
    Ok(Client::new(options))
}

/// The compiler's options for `source`.
///
/// # Errors
///
/// A frontend option that is wrong, an ignore file that cannot be read.
pub(super) fn options(source: &Source, session: &str) -> Result<CompileOptions, Failure> {
    let mut options = CompileOptions::from_frontend(&source.options)?;
    options.session_id = session.to_owned();
    if let MainContext::Local(_) = options.context {
        options.dockerignore = source.ignored_patterns()?;
    }
    options.named_dockerignores = source.named_ignored_patterns()?;
    Ok(options)
}

/// Compiles, looking base images up as the compiler asks for them.
///
/// # Errors
///
/// What the compiler says of the Dockerfile or its images.
pub(super) async fn compile_source(
    dockerfile: &Dockerfile,
    options: &CompileOptions,
    images: &mut Images,
) -> Result<Compiled, CompileError> {
    for _ in 0..ROUNDS {
        match compile(dockerfile, options, images.known()) {
            Err(CompileError::Unresolved(queries)) => images.look_up(&queries).await,
            ended => return ended,
        }
    }
    compile(dockerfile, options, images.known())
}

/// Parses the Dockerfile of `source`.
///
/// # Errors
///
/// What is wrong with it, with its lines.
pub(super) fn parse_source(source: &Source) -> Result<Dockerfile, Failure> {
    let text = source.dockerfile.text.as_deref().unwrap_or_default();
    Ok(parse(text, &source.dockerfile.name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_versions_are_built_in() {
        for known in [
            "docker/dockerfile",
            "docker/dockerfile:1",
            "docker.io/docker/dockerfile:1.4",
            "docker/dockerfile:1.26.0",
            "docker/dockerfile:latest",
        ] {
            assert!(is_known_syntax(known), "{known}");
        }
        for unknown in [
            "docker/dockerfile:1-labs",
            "docker/dockerfile:1.27",
            "docker/dockerfile:2",
            "docker/dockerfile-upstream:master",
            "example.com/docker/dockerfile:1",
        ] {
            assert!(!is_known_syntax(unknown), "{unknown}");
        }
    }
}
