//! `--reuse`: an image whose inputs did not change is found in the registry instead of built.
//!
//! The image that was built last from the same content key bears the tag `key-<hash>` in the
//! repository. A hit moves the build's tags to that manifest and needs no engine; after a miss the key
//! tag is written last, when the image is whole.
mod age;
mod cache;
mod copies;
mod lookup;

use std::collections::BTreeMap;
use std::time::Duration;

use buildkit_rs_proto::pb;
use jiff::Timestamp;

use super::request::Request;
use super::result;
use crate::cli::keys;
use crate::cli::report::Failure;
use crate::cli::source::Source;
use crate::fault::{Classified, Fault};
use crate::key::graph::GraphError;
use crate::key::{ContentKey, description};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, ImageManifest, Manifest};
use crate::oci::platform::Platform;
use crate::oci::promote::move_tags;
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Client, FetchedManifest};
use crate::plan::dockerfile::{CompileOptions, Compiled};
use crate::plan::llb::Vertex;

pub(super) use age::{age, parse_duration, spoken};
use copies::Copies;
pub(super) use lookup::Found;

/// The largest image config that is read.
const CONFIG_LIMIT: u64 = 8 << 20;

/// A build that cannot look for a finished image.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum ReuseError {
    #[error("`--reuse` needs an image that is pushed")]
    #[diagnostic(help("add `--push --tag REGISTRY/NAME:TAG`"))]
    NoPush,
}

impl Classified for ReuseError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// An image that was found by its content key.
pub(super) struct Hit {
    fetched: FetchedManifest,
    /// What each of the build's tags points at now, where that is known.
    tagged: Vec<Option<Digest>>,
    /// The digest of the image's config; an index has none.
    config: Option<Digest>,
    /// When it was built, if it says so and somebody asked.
    pub created: Option<Timestamp>,
}

/// Where images of this build are looked for and put.
pub(super) struct Reuse {
    client: Client,
    tags: Vec<ImageReference>,
    pub key: ContentKey,
    /// The platform, if it is one.
    platform: Option<Platform>,
    /// What is to be made of the image beside its tags; or an output that takes a build.
    copies: Result<Copies, String>,
}

impl Reuse {
    /// Computes the key; a graph that has none is told apart from an error.
    pub(super) fn new(
        client: Client,
        request: &Request,
        source: &Source,
        compiled: &Compiled,
        options: &CompileOptions,
    ) -> Result<Result<Self, GraphError>, Failure> {
        let pushed: Vec<_> = request.outputs.iter().filter(|output| output.pushes()).collect();
        let names = pushed.iter().filter_map(|output| output.attributes.get("name"));
        let names = names.flat_map(|names| names.split(','));
        let tags: Vec<_> = names.map(ImageReference::parse).collect::<Result<_, _>>()?;
        if tags.is_empty() {
            return Err(ReuseError::NoPush.into());
        }
        let copies = Copies::of(&request.outputs);
        let platform = match &compiled.platforms[..] {
            [one] => Some(one.platform.clone()),
            _ => None,
        };
        let mut shaping = keys::shaping(&request.outputs, options);
        shaping.extend(request.attestations.clone());
        match keys::content_key(source, compiled, options, &shaping)? {
            Ok(key) => Ok(Ok(Self { client, tags, key, platform, copies })),
            Err(unfixed) => Ok(Err(unfixed)),
        }
    }

    /// The output that no image of a registry can give, and that so takes a build.
    pub(super) fn needs_build(&self) -> Option<&str> {
        self.copies.as_ref().err().map(String::as_str)
    }

    fn keyed(&self) -> Result<ImageReference, Failure> {
        let first = self.tags.first().ok_or(ReuseError::NoPush)?;
        Ok(first.name_only().with_tag(&self.key.tag())?)
    }

    /// Looks for the image of this key, and for its date if `dated`.
    pub(super) async fn find(&self, dated: bool) -> Result<Option<Hit>, Failure> {
        let keyed = self.keyed()?;
        // What the tags point at comes meanwhile: most need not be written then.
        let heads = self.tags.iter().map(|tag| self.client.head_upstream_manifest(tag));
        let (fetched, heads) = tokio::join!(
            self.client.get_upstream_manifest(&keyed),
            futures_util::future::join_all(heads),
        );
        let Some(fetched) = fetched? else { return Ok(None) };
        // A tag that cannot be looked at is written, which tells why.
        let digest = |head: Option<Descriptor>| head.map(|descriptor| descriptor.digest);
        let tagged = heads.into_iter().map(|head| head.ok().and_then(digest)).collect();
        let (config, first) = match fetched.parse()? {
            Manifest::Image(image) => (Some(image.config.digest), Some(image)),
            Manifest::Index(index) if dated => {
                let first = index.manifests.iter().find(|entry| !entry.is_attestation());
                (None, self.child(&keyed, first).await?)
            }
            Manifest::Index(_) => (None, None),
        };
        let created = match first {
            Some(image) if dated => self.created(&keyed, &image).await?,
            _ => None,
        };
        Ok(Some(Hit { fetched, tagged, config, created }))
    }

    async fn child(
        &self,
        keyed: &ImageReference,
        entry: Option<&Descriptor>,
    ) -> Result<Option<Box<ImageManifest>>, Failure> {
        let Some(entry) = entry else { return Ok(None) };
        let child = keyed.name_only().with_digest(entry.digest);
        Ok(match self.client.get_manifest(&child).await?.parse()? {
            Manifest::Image(image) => Some(image),
            Manifest::Index(_) => None,
        })
    }

    async fn created(
        &self,
        keyed: &ImageReference,
        image: &ImageManifest,
    ) -> Result<Option<Timestamp>, Failure> {
        let config = self.client.read_blob(keyed, &image.config, CONFIG_LIMIT).await?;
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
        Ok(config["created"].as_str().and_then(|date| date.parse().ok()))
    }

    /// Moves the build's tags to the image that was found, makes the copies that the other outputs
    /// ask for, and answers as the exporter would; with lines for people about the copies.
    pub(super) async fn take(
        &self,
        hit: &Hit,
    ) -> Result<(BTreeMap<String, String>, Vec<String>), Failure> {
        let digest = hit.digest();
        let elsewhere = self.tags.iter().zip(&hit.tagged);
        let elsewhere: Vec<ImageReference> = elsewhere
            .filter(|(_, tagged)| **tagged != Some(digest))
            .map(|(tag, _)| tag.clone())
            .collect();
        if !elsewhere.is_empty() {
            move_tags(&self.client, &self.keyed()?, &hit.fetched, &elsewhere).await?;
        }
        let told = match &self.copies {
            Ok(copies) => copies.make(&self.client, digest, &self.tags).await?,
            Err(_) => Vec::new(),
        };
        let names: Vec<String> = self.tags.iter().map(ToString::to_string).collect();
        let mut descriptor = hit.fetched.descriptor.clone();
        // As the engine describes it: an index has no platform.
        descriptor.platform = self.platform.clone().filter(|_| hit.config.is_some());
        let response = result::response(&descriptor, hit.config, names.join(","));
        Ok((response, told))
    }

    /// Gives the image that was just pushed the tag of its key; returns a line for people if the
    /// key's description could not be kept beside it.
    pub(super) async fn keep(
        &self,
        response: &BTreeMap<String, String>,
    ) -> Result<Option<String>, Failure> {
        let digest = response.get("containerimage.digest").and_then(|text| text.parse().ok());
        let (Some(digest), Some(first)) = (digest, self.tags.first()) else { return Ok(None) };
        let pushed = first.name_only().with_digest(digest);
        let (described, fetched) = tokio::join!(
            description::publish(&self.client, first, &self.key),
            self.client.get_manifest(&pushed),
        );
        move_tags(&self.client, &pushed, &fetched?, &[self.keyed()?]).await?;
        Ok(described.err().map(|error| {
            let line = Failure::from(error).line();
            format!("`plan --diff` will not know this key elsewhere: {line}")
        }))
    }
}

impl Hit {
    /// The digest of the manifest or index.
    pub(super) const fn digest(&self) -> Digest {
        self.fetched.descriptor.digest
    }

    /// Whether the image is older than `limit`, or does not say when it was built.
    pub(super) fn is_stale(&self, limit: Duration) -> bool {
        self.created.is_none_or(|created| age(created) > limit)
    }
}

/// Whether a step may reach the network, so that the same inputs can give another result later.
pub(super) fn reaches_network(compiled: &Compiled) -> bool {
    let reaches = |vertex: &Vertex| match vertex.op().op {
        Some(pb::op::Op::Exec(exec)) => exec.network() != pb::NetMode::None,
        _ => false,
    };
    compiled.platforms.iter().flat_map(|platform| &platform.definition.vertices).any(reaches)
}
