//! Outputs beside the push that an image out of the registry can give: archives, and kitwright's own
//! image store.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::build::load;
use crate::cli::image::local_store;
use crate::cli::report::Failure;
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::oci::registry::Client;
use crate::oci::store::{ArchiveKind, Store};
use crate::output::exporter::{Destination, ExporterKind, Output};

/// A copy that cannot be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum CopyError {
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl Classified for CopyError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

/// What to make of an image, beside its tags.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Whether it goes into kitwright's own store.
    store: bool,
    /// Archives of it.
    archives: Vec<(ArchiveKind, PathBuf)>,
}

impl Copies {
    /// The copies that `outputs` ask for; an error is an output that takes a build.
    pub(super) fn of(outputs: &[Output]) -> Result<Self, String> {
        let mut copies = Self::default();
        let shape = |output: &Output| -> BTreeMap<String, String> {
            output.shape().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let mut pushed = outputs.iter().filter(|output| output.pushes()).map(shape);
        let first = pushed.next().unwrap_or_default();
        if pushed.any(|other| other != first) {
            return Err("another image that is pushed with other attributes".to_owned());
        }
        for output in outputs.iter().filter(|output| !output.pushes()) {
            let unlike = shape(output) != first;
            match (output.kind, &output.destination) {
                (ExporterKind::CacheOnly, _) => {}
                (_, Destination::ImageStore(store)) if !load::has_program(*store) => {
                    copies.store = true;
                }
                (_, Destination::ImageStore(_)) => {
                    return Err("--load into Docker or Podman".to_owned());
                }
                (ExporterKind::Oci, Destination::File(path)) if !unlike => {
                    copies.archives.push((ArchiveKind::Oci, path.clone()));
                }
                (ExporterKind::Docker, Destination::File(path)) if !unlike => {
                    copies.archives.push((ArchiveKind::Docker, path.clone()));
                }
                (kind, _) => return Err(format!("--output type={}", kind.name())),
            }
        }
        Ok(copies)
    }

    /// Makes the copies of the image `digest` in the repository of the first of `names`; returns lines
    /// for people.
    pub(super) async fn make(
        &self,
        client: &Client,
        digest: Digest,
        names: &[ImageReference],
    ) -> Result<Vec<String>, Failure> {
        let Some(first) = names.first() else { return Ok(Vec::new()) };
        // By its digest: a tag can move meanwhile.
        let image = match first.tag() {
            Some(tag) => first.name_only().with_tag(tag)?.with_digest(digest),
            None => first.clone().tag_name_only().with_digest(digest),
        };
        let mut told = Vec::new();
        if self.store {
            let store = local_store()?;
            let pulled = store.pull(client, &image, None, &|_| {}).await?;
            let guard = store.guard()?;
            for name in names {
                store.tag(&guard, &name.clone().tag_name_only(), &pulled.descriptor)?;
            }
            let names: Vec<String> = names.iter().map(ImageReference::familiar).collect();
            let place = store.root().display();
            told.push(format!("{} is in the image store `{place}`", names.join(", ")));
        }
        for (kind, path) in &self.archives {
            archive(client, &image, *kind, path).await?;
        }
        Ok(told)
    }
}

/// Writes an archive under another name first, so that no reader sees half of it.
async fn archive(
    client: &Client,
    image: &ImageReference,
    kind: ArchiveKind,
    path: &Path,
) -> Result<(), Failure> {
    let failed = |source| CopyError::Write { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let scratch = tempfile::Builder::new().prefix(".kitwright-").tempdir_in(folder);
    let scratch = scratch.map_err(failed)?;
    let store = Store::open(scratch.path())?;
    let pulled = store.pull(client, image, None, &|_| {}).await?;
    let whole = scratch.path().join("archive");
    let mut file = std::io::BufWriter::new(fs_err::File::create(&whole).map_err(failed)?);
    store.export(&pulled.reference, kind, &Platform::host(), &mut file)?;
    file.flush().map_err(failed)?;
    fs_err::rename(&whole, path).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(values: &[&str]) -> Vec<Output> {
        values.iter().map(|value| Output::parse(value).unwrap()).collect()
    }

    #[test]
    fn archives_are_copies_and_everything_else_takes_a_build() {
        let copies = |values: &[&str]| Copies::of(&outputs(values));
        let push = "type=registry,name=r/a:1";
        let both = copies(&[push, "type=oci,dest=/tmp/a", "type=docker,dest=/tmp/b"]).unwrap();
        let kinds: Vec<ArchiveKind> = both.archives.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [ArchiveKind::Oci, ArchiveKind::Docker]);
        assert!(copies(&[push, "type=cacheonly"]).unwrap().archives.is_empty());
        for other in [
            "type=local,dest=/tmp/out",
            "type=tar,dest=/tmp/a.tar",
            "type=image,name=r/a:1",
            "type=oci,dest=/tmp/a,compression=zstd",
            "type=registry,name=r/b:1,compression=zstd",
        ] {
            copies(&[push, other]).expect_err(other);
        }
    }
}
