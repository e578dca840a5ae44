//! `kitwright image pull`: from a registry into the local image store.
use clap::Args;

use super::{Format, RegistryArgs};
use crate::cli::report::Failure;
use crate::cli::runtime::block_on;
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::oci::store::PullEvent;

/// Pull an image into the local image store
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// The image
    #[arg(value_parser = super::reference)]
    image: ImageReference,
    /// Pull the image for this platform [default: this machine's]
    #[arg(long, value_parser = super::platform, conflicts_with = "all_platforms")]
    platform: Option<Platform>,
    /// Pull the whole index: every platform, with its attestations
    #[arg(long)]
    all_platforms: bool,
    /// Say nothing while pulling
    #[arg(long, short)]
    quiet: bool,
    /// How to print what was pulled
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Pull {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (client, store) = (self.registry.client()?, super::local_store()?);
        let host = || self.platform.clone().unwrap_or_else(Platform::host);
        let platform = (!self.all_platforms).then(host);
        let say = |event: PullEvent| {
            if !self.quiet {
                eprintln!("{}", line(&event));
            }
        };
        let pulled = block_on(async {
            Ok(store.pull(&client, &self.image, platform.as_ref(), &say).await?)
        })?;
        match self.format {
            Format::Json => super::json(&pulled),
            Format::Text => super::stdout(format!("{}\n", pulled.descriptor.digest).as_bytes()),
        }
    }
}

fn line(event: &PullEvent) -> String {
    match event {
        PullEvent::Present(blob) => format!("{} is there", blob.digest),
        PullEvent::Begun(blob, 0) => format!("{} pulling {} bytes", blob.digest, blob.size),
        PullEvent::Begun(blob, offset) => {
            format!("{} pulling {} bytes, {offset} are there", blob.digest, blob.size)
        }
        PullEvent::Done(blob) => format!("{} done", blob.digest),
    }
}
