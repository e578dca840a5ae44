//! `kitwright lock`: pins base images.
use clap::Args;

use super::args::SourceArgs;
use super::compilation;
use super::images::Images;
use super::locking::{self, LockFileError};
use super::report::Failure;
use super::runtime;
use super::source::Source;
use crate::fault::{Classified, Fault};
use crate::oci::config::ImageConfig;
use crate::oci::platform::Platform;
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::plan::dockerfile::options::ResolveMode;
use crate::plan::dockerfile::resolver::{ImagePlace, ImageQuery, ImageResolver as _};
use crate::plan::lock::{LockFile, LockedImage};

/// Pin the digests of base images
#[derive(Debug, Args)]
pub(super) struct Lock {
    #[command(flatten)]
    source: SourceArgs,
    /// Check, without a network, that every base image is pinned and nothing else is
    #[arg(long, conflicts_with = "update")]
    check: bool,
    /// Look pinned images up again: all, or those of this name
    #[arg(long, value_name = "IMAGE", num_args = 0..=1)]
    update: Option<Option<String>>,
}

/// A lock file that does not fit its Dockerfile, or a flag that does not.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum LockCommandError {
    #[error("lock file `{path}` pins images that the Dockerfile does not use: {}", unused.join(", "))]
    #[diagnostic(help("remove them with `kitwright lock`"))]
    Unused { path: String, unused: Vec<String> },
    #[error("`--update {text}` is no image")]
    Update { text: String, source: ReferenceError },
}

impl Classified for LockCommandError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unused { .. } => Fault::Build,
            Self::Update { .. } => Fault::Usage,
        }
    }
}

impl Lock {
    pub(super) fn run(self) -> Result<(), Failure> {
        let source = Source::read(&self.source)?;
        let path = locking::path(&self.source, &source)?;
        let known = match locking::read(&path) {
            Err(LockFileError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && !self.check =>
            {
                LockFile::default()
            }
            other => other?,
        };
        let registry = compilation::registry(&self.source.registry_mirror)?;
        let images = Images::new(registry, source.layouts.clone());
        let images =
            if self.check { images.locked(known.clone()) } else { self.keep(images, &known)? };
        let lock = runtime::block_on(pin(&source, images))?;
        if self.check {
            return check(&known, &lock, &path.display().to_string());
        }
        report(&known, &lock);
        if known != lock || !path.exists() {
            std::fs::write(&path, lock.render())
                .map_err(|source| LockFileError::Write { path, source })?;
        }
        Ok(())
    }

    /// Takes over what is pinned and is not to be looked up again.
    fn keep(&self, mut images: Images, known: &LockFile) -> Result<Images, Failure> {
        let updated =
            match &self.update {
                Some(None) => return Ok(images),
                Some(Some(text)) => {
                    let parsed = ImageReference::parse(text);
                    Some(parsed.map_err(|source| LockCommandError::Update {
                        text: text.clone(),
                        source,
                    })?)
                }
                None => None,
            };
        for (reference, platform, _) in known.iter() {
            let is_updated = updated.as_ref().is_some_and(|updated| names(updated, reference));
            let Ok(platform) = Platform::parse(platform) else { continue };
            let query = query(reference, &platform);
            if !is_updated && let Ok(Some(image)) = known.resolve(&query) {
                images.insert(&query, image);
            }
        }
        Ok(images)
    }
}

/// Whether `updated`, as the user names it, means the pinned `reference`.
fn names(updated: &ImageReference, reference: &str) -> bool {
    ImageReference::parse(reference).is_ok_and(|reference| {
        reference.same_repository(updated)
            && (updated.tag().is_none() || updated.tag() == reference.tag())
    })
}

fn query(reference: &str, platform: &Platform) -> ImageQuery {
    ImageQuery {
        reference: reference.to_owned(),
        platform: platform.clone(),
        mode: ResolveMode::Default,
        place: ImagePlace::Registry,
        name: String::new(),
    }
}

/// Compiles all stages and pins every image of a registry that they use.
async fn pin(source: &Source, mut images: Images) -> Result<LockFile, Failure> {
    let dockerfile = compilation::parse_source(source)?;
    let mut options = compilation::options(source, "kitwright")?;
    options.all_stages = options.target.is_none();
    let compiled = compilation::compile_source(&dockerfile, &options, &mut images).await?;
    let mut lock = LockFile::default();
    for image in compiled.platforms.iter().flat_map(|platform| &platform.images) {
        let query = query(&image.reference, &image.platform);
        let Ok(Some(answer)) = images.known().resolve(&query) else { continue };
        let Ok(config) = ImageConfig::parse(&answer.config) else { continue };
        let locked = LockedImage { digest: answer.digest, config };
        lock.insert(&image.reference, &image.platform, locked);
    }
    Ok(lock)
}

fn check(known: &LockFile, used: &LockFile, path: &str) -> Result<(), Failure> {
    let unused: Vec<String> = known
        .iter()
        .filter(|(reference, platform, _)| {
            Platform::parse(platform).is_ok_and(|platform| used.get(reference, &platform).is_none())
        })
        .map(|(reference, platform, _)| format!("{reference} for {platform}"))
        .collect();
    match unused.is_empty() {
        true => Ok(()),
        false => Err(LockCommandError::Unused { path: path.to_owned(), unused }.into()),
    }
}

/// Says what has changed, one image a line.
fn report(before: &LockFile, after: &LockFile) {
    let find = |lock: &LockFile, reference: &str, platform: &str| {
        let platform = Platform::parse(platform).ok()?;
        lock.get(reference, &platform).map(|image| image.digest)
    };
    for (reference, platform, image) in after.iter() {
        match find(before, reference, platform) {
            None => eprintln!("pinned {reference} for {platform} to {}", image.digest),
            Some(old) if old != image.digest => {
                eprintln!("moved {reference} for {platform} from {old} to {}", image.digest);
            }
            Some(_) => {}
        }
    }
    for (reference, platform, _) in before.iter() {
        if find(after, reference, platform).is_none() {
            eprintln!("removed {reference} for {platform}, which nothing uses");
        }
    }
}
