//! `kitwright image push|import|export|remove|prune`: what concerns the local image store alone.
use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Format, RegistryArgs};
use crate::cli::report::{Failure, StdoutError};
use crate::cli::runtime::block_on;
use crate::fault::{Classified, Fault};
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::oci::registry::Precondition;
use crate::oci::store::ArchiveKind;
use crate::oci::transfer::{Origin, publish};

/// An archive that cannot be written where the user wants it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum ArchiveError {
    /// The file cannot be created.
    #[error("cannot create `{}`", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The archive would go to a terminal.
    #[error("an archive is not for a terminal")]
    #[diagnostic(help("write it to a file with `--output FILE`, or into a pipe"))]
    Terminal,
}

impl Classified for ArchiveError {
    fn fault(&self) -> Fault {
        match self {
            Self::Create { .. } => Fault::Environment,
            Self::Terminal => Fault::Usage,
        }
    }
}

/// Push an image from the local image store
#[derive(Debug, Args)]
pub(super) struct Push {
    /// The image in the store
    #[arg(value_parser = super::reference)]
    image: ImageReference,
    /// Push it under this name [default: its own]
    #[arg(value_name = "DST", value_parser = super::reference)]
    destination: Option<ImageReference>,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Push {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (client, store) = (self.registry.client()?, super::local_store()?);
        let image = store.find(&self.image)?;
        let to = self.destination.unwrap_or_else(|| image.reference.clone());
        let guard = store.guard()?;
        let bytes = store.read_blob(image.descriptor.digest)?;
        let mut descriptor = image.descriptor;
        descriptor.platform = None;
        let root = crate::oci::registry::FetchedManifest { descriptor, bytes };
        block_on(async {
            client.expect_push(&to).await?;
            publish(&Origin::Store(&store), &client, &to, &root, false).await?;
            let kind = &root.descriptor.media_type;
            client.put_manifest(&to, kind, root.bytes.clone(), Precondition::None).await?;
            Ok(())
        })?;
        drop(guard);
        eprintln!("pushed {to}");
        super::stdout(format!("{}\n", root.descriptor.digest).as_bytes())
    }
}

/// Import an OCI image layout, a folder or a tar archive, into the local image store
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The folder or archive
    path: PathBuf,
    /// The image's name, when the layout has only one
    #[arg(long, value_parser = super::reference)]
    name: Option<ImageReference>,
    /// How to print what was imported
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        let images = super::local_store()?.import(&self.path, self.name.as_ref())?;
        if self.format == Format::Json {
            return super::json(&images);
        }
        let line = |image: &crate::oci::store::StoredImage| {
            format!("{} {}\n", image.descriptor.digest, image.reference.familiar())
        };
        super::stdout(images.iter().map(line).collect::<String>().as_bytes())
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// An OCI image layout
    Oci,
    /// What `docker load` reads, which is an OCI image layout as well
    Docker,
}

/// Write an image from the local image store as an archive
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The image
    #[arg(value_parser = super::reference)]
    image: ImageReference,
    /// The archive's form
    #[arg(long, value_enum, default_value = "oci")]
    kind: Kind,
    /// The platform of the one image in a Docker archive [default: this machine's]
    #[arg(long, value_parser = super::platform)]
    platform: Option<Platform>,
    /// Where to write it [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self) -> Result<(), Failure> {
        let kind = match self.kind {
            Kind::Oci => ArchiveKind::Oci,
            Kind::Docker => ArchiveKind::Docker,
        };
        let platform = self.platform.unwrap_or_else(Platform::host);
        let store = super::local_store()?;
        // An image that is not there must not leave an empty file.
        store.find(&self.image)?;
        let mut out = open(self.output.as_deref())?;
        store.export(&self.image, kind, &platform, &mut out)?;
        out.flush().map_err(|source| StdoutError { source }.into())
    }
}

fn open(path: Option<&Path>) -> Result<Box<dyn Write>, ArchiveError> {
    match path {
        Some(path) => {
            let file = File::create(path)
                .map_err(|source| ArchiveError::Create { path: path.to_path_buf(), source })?;
            Ok(Box::new(BufWriter::new(file)))
        }
        None if std::io::stdout().is_terminal() => Err(ArchiveError::Terminal),
        None => Ok(Box::new(BufWriter::new(std::io::stdout()))),
    }
}

/// Remove images from the local image store
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The images
    #[arg(required = true, value_parser = super::reference)]
    images: Vec<ImageReference>,
}

impl Remove {
    pub(super) fn run(self) -> Result<(), Failure> {
        let store = super::local_store()?;
        for image in &self.images {
            store.untag(image)?;
        }
        Ok(())
    }
}

/// Remove content that no image of the local image store needs
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// How to print what was removed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Prune {
    pub(super) fn run(self) -> Result<(), Failure> {
        let collected = super::local_store()?.collect_garbage()?;
        match self.format {
            Format::Json => super::json(&collected),
            Format::Text => {
                eprintln!("removed {} files, {} bytes", collected.removed, collected.bytes);
                Ok(())
            }
        }
    }
}
