//! `kitwright image list`: images in the local store, or the tags of a repository.
use clap::Args;

use super::{Format, RegistryArgs};
use crate::cli::report::Failure;
use crate::cli::runtime::block_on;
use crate::oci::reference::ImageReference;

/// List the images in the local image store, or the tags of a repository
#[derive(Debug, Args)]
pub(super) struct List {
    /// A repository at a registry, to list its tags
    #[arg(value_name = "REPOSITORY")]
    repository: Option<ImageReference>,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        match &self.repository {
            Some(repository) => self.tags(repository),
            None => self.images(),
        }
    }

    fn tags(&self, repository: &ImageReference) -> Result<(), Failure> {
        let client = self.registry.client()?;
        let tags = block_on(async { Ok(client.list_tags(repository).await?) })?;
        match self.format {
            Format::Json => super::json(&tags),
            Format::Text => {
                let lines: String = tags.iter().map(|tag| format!("{tag}\n")).collect();
                super::stdout(lines.as_bytes())
            }
        }
    }

    fn images(&self) -> Result<(), Failure> {
        let images = super::local_store()?.list()?;
        match self.format {
            Format::Json => super::json(&images),
            Format::Text => {
                let line = |image: &crate::oci::store::StoredImage| {
                    format!("{} {}\n", image.descriptor.digest, image.reference.familiar())
                };
                let lines: String = images.iter().map(line).collect();
                super::stdout(lines.as_bytes())
            }
        }
    }
}
