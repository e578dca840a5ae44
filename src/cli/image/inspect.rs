//! `kitwright image inspect`: what a reference stands for.
use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::{Format, RegistryArgs};
use crate::cli::report::Failure;
use crate::cli::runtime::block_on;
use crate::oci::manifest::{Descriptor, Manifest};
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Client, FetchedManifest};

/// Show what an image consists of
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The image
    #[arg(value_parser = super::reference)]
    image: ImageReference,
    /// Show the image for this platform, with its config
    #[arg(long, value_parser = super::platform)]
    platform: Option<Platform>,
    /// Print the manifest's bytes as the registry has them
    #[arg(long)]
    raw: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t, conflicts_with = "raw")]
    format: Format,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// What was found.
struct Found {
    root: FetchedManifest,
    /// The manifest that is shown: the root, or the platform's.
    manifest: FetchedManifest,
    config: Option<Value>,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.registry.client()?;
        let found = block_on(async { self.find(&client).await })?;
        if self.raw {
            return super::stdout(&found.manifest.bytes);
        }
        let manifest = found.manifest.parse()?;
        match self.format {
            Format::Json => super::json(&document(&self.image, &found)),
            Format::Text => super::stdout(text(&self.image, &found, &manifest).as_bytes()),
        }
    }

    async fn find(&self, client: &Client) -> Result<Found, Failure> {
        let root = client.get_manifest(&self.image).await?;
        let Some(platform) = &self.platform else {
            let is_image = matches!(root.parse()?, Manifest::Image(_));
            let config =
                if is_image && !self.raw { self.config(client, &root).await? } else { None };
            return Ok(Found { manifest: root.clone(), root, config });
        };
        let pinned = self.image.name_only().with_digest(root.descriptor.digest);
        let resolved = client.resolve(&pinned, platform).await?;
        let child = self.image.name_only().with_digest(resolved.manifest.digest);
        let manifest = client.get_manifest(&child).await?;
        let config = serde_json::from_slice(&resolved.config).ok();
        Ok(Found { root, manifest, config })
    }

    /// The image config, or nothing for an artifact whose config is something else.
    async fn config(
        &self,
        client: &Client,
        fetched: &FetchedManifest,
    ) -> Result<Option<Value>, Failure> {
        let Manifest::Image(image) = fetched.parse()? else { return Ok(None) };
        if !image.config.media_type.ends_with("+json") {
            return Ok(None);
        }
        let bytes = client.read_blob(&self.image, &image.config, 8 << 20).await?;
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

fn document(image: &ImageReference, found: &Found) -> Value {
    let manifest: Value = serde_json::from_slice(&found.manifest.bytes).unwrap_or_default();
    json!({
        "reference": image,
        "digest": found.root.descriptor.digest,
        "mediaType": found.root.descriptor.media_type,
        "size": found.root.descriptor.size,
        "manifestDigest": found.manifest.descriptor.digest,
        "manifest": manifest,
        "config": found.config,
    })
}

fn text(image: &ImageReference, found: &Found, manifest: &Manifest) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "name       {image}");
    let _ = writeln!(out, "digest     {}", found.root.descriptor.digest);
    let _ = writeln!(out, "media type {}", found.root.descriptor.media_type);
    if found.manifest.descriptor.digest != found.root.descriptor.digest {
        let _ = writeln!(out, "manifest   {}", found.manifest.descriptor.digest);
    }
    match manifest {
        Manifest::Index(index) => {
            for entry in &index.manifests {
                let _ = writeln!(out, "  {:<20} {}", kind(entry), entry.digest);
            }
        }
        Manifest::Image(image) => {
            let size: u64 = image.layers.iter().map(|layer| layer.size).sum();
            let _ = writeln!(out, "layers     {}, {size} bytes", image.layers.len());
            for layer in &image.layers {
                let _ = writeln!(out, "  {:>12} {}", layer.size, layer.digest);
            }
        }
    }
    for (key, value) in manifest.annotations() {
        let _ = writeln!(out, "annotation {key}={value}");
    }
    if let Some(config) = &found.config {
        for key in ["architecture", "os", "variant", "created"] {
            if let Some(value) = config.get(key).and_then(Value::as_str) {
                let _ = writeln!(out, "{key:<10} {value}");
            }
        }
    }
    out
}

/// What an entry of an index is.
fn kind(entry: &Descriptor) -> String {
    if entry.is_attestation() {
        return "attestation".to_owned();
    }
    entry.platform.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string)
}
