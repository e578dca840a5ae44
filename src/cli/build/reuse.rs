//! `--reuse`: an image whose inputs did not change is found in the registry instead of built.
//!
//! The image that was built last from the same content key bears the tag `key-<hash>` in the
//! repository. A hit moves the build's tags to that manifest and needs no engine; after a miss the key
//! tag is written last, when the image is whole.
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use buildkit_rs_proto::pb;
use jiff::Timestamp;

use super::request::Request;
use crate::cli::keys;
use crate::cli::report::Failure;
use crate::cli::source::Source;
use crate::fault::{Classified, Fault};
use crate::key::ContentKey;
use crate::key::graph::GraphError;
use crate::oci::digest::Digest;
use crate::oci::manifest::Manifest;
use crate::oci::promote::move_tags;
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Client, FetchedManifest};
use crate::plan::dockerfile::{CompileOptions, Compiled};
use crate::plan::llb::Vertex;

/// The largest image config that is read.
const CONFIG_LIMIT: u64 = 8 << 20;

/// Exporter attributes that say where an image goes, not what it is.
const PLACES: [&str; 8] = [
    "name",
    "push",
    "unpack",
    "store",
    "push-by-digest",
    "registry.insecure",
    "dangling-name-prefix",
    "name-canonical",
];

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
    /// The digest of the config of the first platform's image.
    config: Option<Digest>,
    /// When it was built, if it says so.
    pub created: Option<Timestamp>,
}

/// Where images of this build are looked for and put.
pub(super) struct Reuse {
    client: Client,
    tags: Vec<ImageReference>,
    pub key: ContentKey,
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
        let pushed = request.outputs.iter().find(|output| output.pushes());
        let names = pushed.and_then(|output| output.attributes.get("name"));
        let names = names.ok_or(ReuseError::NoPush)?;
        let tags: Result<Vec<_>, _> = names.split(',').map(ImageReference::parse).collect();
        match keys::content_key(source, compiled, options, &shaping(request, options))? {
            Ok(key) => Ok(Ok(Self { client, tags: tags?, key })),
            Err(unfixed) => Ok(Err(unfixed)),
        }
    }

    fn keyed(&self) -> Result<ImageReference, Failure> {
        let first = self.tags.first().ok_or(ReuseError::NoPush)?;
        Ok(first.name_only().with_tag(&self.key.tag())?)
    }

    /// Looks for the image of this key.
    pub(super) async fn find(&self) -> Result<Option<Hit>, Failure> {
        let keyed = self.keyed()?;
        let Some(fetched) = self.client.get_upstream_manifest(&keyed).await? else {
            return Ok(None);
        };
        let image = match fetched.parse()? {
            Manifest::Image(image) => Some(image),
            Manifest::Index(index) => {
                match index.manifests.iter().find(|entry| !entry.is_attestation()) {
                    Some(first) => {
                        let child = keyed.name_only().with_digest(first.digest);
                        match self.client.get_manifest(&child).await?.parse()? {
                            Manifest::Image(image) => Some(image),
                            Manifest::Index(_) => None,
                        }
                    }
                    None => None,
                }
            }
        };
        let Some(image) = image else {
            return Ok(Some(Hit { fetched, config: None, created: None }));
        };
        let config = self.client.read_blob(&keyed, &image.config, CONFIG_LIMIT).await?;
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
        let created = config["created"].as_str().and_then(|date| date.parse().ok());
        Ok(Some(Hit { fetched, config: Some(image.config.digest), created }))
    }

    /// Moves the build's tags to the image that was found, and answers as the exporter would.
    pub(super) async fn take(&self, hit: &Hit) -> Result<BTreeMap<String, String>, Failure> {
        move_tags(&self.client, &self.keyed()?, &hit.fetched, &self.tags).await?;
        let descriptor = &hit.fetched.descriptor;
        let names: Vec<String> = self.tags.iter().map(ToString::to_string).collect();
        let json = serde_json::to_vec(descriptor).unwrap_or_default();
        let mut response = BTreeMap::from([
            ("containerimage.descriptor".to_owned(), STANDARD.encode(json)),
            ("containerimage.digest".to_owned(), descriptor.digest.to_string()),
            ("image.name".to_owned(), names.join(",")),
        ]);
        if let Some(config) = hit.config {
            response.insert("containerimage.config.digest".to_owned(), config.to_string());
        }
        Ok(response)
    }

    /// Gives the image that was just pushed the tag of its key.
    pub(super) async fn keep(&self, response: &BTreeMap<String, String>) -> Result<(), Failure> {
        let digest = response.get("containerimage.digest").and_then(|text| text.parse().ok());
        let (Some(digest), Some(first)) = (digest, self.tags.first()) else { return Ok(()) };
        let pushed = first.name_only().with_digest(digest);
        let fetched = self.client.get_manifest(&pushed).await?;
        move_tags(&self.client, &pushed, &fetched, &[self.keyed()?]).await?;
        Ok(())
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

/// How long ago something was.
pub(super) fn age(then: Timestamp) -> Duration {
    Timestamp::now().duration_since(then).try_into().unwrap_or_default()
}

/// Whether a step may reach the network, so that the same inputs can give another result later.
pub(super) fn reaches_network(compiled: &Compiled) -> bool {
    let reaches = |vertex: &Vertex| match vertex.op().op {
        Some(pb::op::Op::Exec(exec)) => exec.network() != pb::NetMode::None,
        _ => false,
    };
    compiled.platforms.iter().flat_map(|platform| &platform.definition.vertices).any(reaches)
}

/// Settings beside the graph that shape the image.
fn shaping(request: &Request, options: &CompileOptions) -> BTreeMap<String, String> {
    let mut shaping = request.attestations.clone();
    for output in request.outputs.iter().filter(|output| output.makes_image()) {
        for (name, value) in &output.attributes {
            if !PLACES.contains(&name.as_str()) {
                shaping.insert(format!("exporter:{name}"), value.clone());
            }
        }
    }
    shaping.extend(keys::build_arguments(options));
    shaping
}

/// Reads a duration such as `7d`, `12h`, `30m` or `90s`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err("it is written like `7d`, `12h`, `30m` or `90s`".into()),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is no number"))?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "it is too long".into())
}

/// An age for people: its largest unit.
pub(super) fn spoken(age: Duration) -> String {
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "seconds"),
        120..7200 => (seconds / 60, "minutes"),
        7200..172_800 => (seconds / 3600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for bad in ["7", "d", "7x", "-1d", "99999999999999999w"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(spoken(Duration::from_secs(7300)), "2 hours");
    }
}
