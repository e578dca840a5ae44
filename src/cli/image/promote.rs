//! `kitwright image promote`: tags on an image that exists.
use std::time::Duration;

use clap::Args;

use super::{Format, RegistryArgs};
use crate::cli::report::Failure;
use crate::cli::runtime::block_on;
use crate::oci::digest::{Digest, DigestError};
use crate::oci::promote::{Promotion, Replaces, WINDOW, promote};
use crate::oci::reference::{ImageReference, ReferenceError};

/// What a content key's tag begins with.
const KEY_PREFIX: &str = "key-";

/// Move tags to an image, byte for byte, without building
///
/// The image comes with its index, attestations and referrers. Tags move last, each only if it
/// still holds what it held when the promotion began.
#[derive(Debug, Args)]
pub(super) struct Promote {
    /// The image, by tag or digest
    #[arg(value_name = "SRC", value_parser = super::reference)]
    source: ImageReference,
    /// The tags to move: whole references, or `:TAG` for the source's repository
    #[arg(value_name = "DST", required = true)]
    destinations: Vec<String>,
    /// Refuse unless the source has this digest
    #[arg(long, value_name = "DIGEST")]
    expect_digest: Option<Digest>,
    /// Refuse unless the source has this content key
    #[arg(long, value_name = "KEY")]
    expect_key: Option<String>,
    /// Refuse unless each destination holds this digest before, or `none` if it must be new
    #[arg(long, value_name = "DIGEST|none", value_parser = replaces)]
    replaces: Option<Replaces>,
    /// Let an older image replace a newer one
    #[arg(long)]
    backwards: bool,
    /// How long writing a tag may take, and how long to watch for another promotion after it;
    /// 0 looks once
    #[arg(long, value_name = "SECONDS", default_value_t = WINDOW.as_secs())]
    settle: u64,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    registry: RegistryArgs,
}

fn replaces(text: &str) -> Result<Replaces, DigestError> {
    match text {
        "none" => Ok(Replaces::Nothing),
        digest => digest.parse().map(Replaces::Exactly),
    }
}

impl Promote {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.registry.client()?;
        let destinations = self
            .destinations
            .iter()
            .map(|text| destination(&self.source, text))
            .collect::<Result<Vec<_>, _>>()?;
        let key = self.expect_key.map(|key| match key.strip_prefix(KEY_PREFIX) {
            Some(_) => key,
            None => format!("{KEY_PREFIX}{key}"),
        });
        let promotion = Promotion {
            source: self.source,
            destinations,
            expect_digest: self.expect_digest,
            expect_tag: key,
            replaces: self.replaces.unwrap_or(Replaces::WhatIsThere),
            allow_backwards: self.backwards,
            window: Duration::from_secs(self.settle),
        };
        let promoted = block_on(async { Ok(promote(&client, &promotion).await?) })?;
        for tag in &promoted.tags {
            let before = match tag.before {
                Some(before) if before == promoted.digest => "held it already".to_owned(),
                Some(before) => format!("held {before}"),
                None => "is new".to_owned(),
            };
            eprintln!("{} {before}", tag.reference);
        }
        match self.format {
            Format::Json => super::json(&promoted),
            Format::Text => super::stdout(format!("{}\n", promoted.digest).as_bytes()),
        }
    }
}

/// A destination: a whole reference, or `:tag` in the source's repository.
fn destination(source: &ImageReference, text: &str) -> Result<ImageReference, ReferenceError> {
    match text.strip_prefix(':') {
        Some(tag) => source.with_tag(tag),
        None => super::reference(text),
    }
}
