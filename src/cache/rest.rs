//! Has a daemon fetch the rest of a base image of which it has got only a part from the client.
//!
//! A daemon writes a layer that it fetches into an ingest of its content store. One that a failed or
//! stopped build leaves half written is taken up by the next fetch of that layer, which reads on from
//! where it ends. But what the daemon (0.32.2) reads the layers of an `oci-layout://` source with can
//! be read from the beginning only: that fetch fails, and so does every one after it for a day, for
//! which the daemon may keep the ingest whatever is pruned.
//!
//! Layers of a local cache the daemon reads from any offset. So a graph of its own has the image under a
//! manifest that nobody has seen before, a local cache says which layers that is, and a step on top makes the
//! daemon fetch them. (The image's own manifest will not do: what the daemon knows of it already comes before
//! any cache.) From then on the daemon has the layers.
//!
//! Input: a graph and the layouts that its images are in. Output: nothing but the
//! layers on the daemon.
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use buildkit_rs_proto::pb;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::config::{MEDIA_TYPE, UNCOMPRESSED};
use super::keys::{self, Root};
use crate::engine::client::Client;
use crate::engine::failure::SolveError;
use crate::engine::identity;
use crate::engine::session::SessionBuilder;
use crate::engine::solve::{CacheEntry, SolveRequest, solve};
use crate::oci::config::ImageConfig;
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, ImageManifest, media};
use crate::oci::platform::Platform;
use crate::oci::store::layout;
use crate::plan::llb::{Definition, wire};

/// The daemon's words when it is to read on in what can be read from the beginning only.
const CAUSE: &str = "unsupported offset";
/// The name of the folder as a layout.
const STORE: &str = "rest";
/// The annotation that makes the manifest another one.
const ANNOTATION: &str = "dev.kitwright.rest";
/// A file that no image has.
const NO_FILE: &str = "/kitwright-rest";
/// No input; no layer below.
const NONE: i64 = -1;

/// Whether a daemon's message says that it has a part of a layer and cannot go on fetching it.
#[must_use]
pub fn is_cause(message: &str) -> bool {
    message.contains(CAUSE)
}

/// Whether a build failed because the daemon has a part of a layer and cannot go on fetching it.
#[must_use]
pub fn is_cause_of(error: &SolveError) -> bool {
    match error {
        SolveError::Step(error) | SolveError::Input(error) | SolveError::Environment(error) => {
            error.exit_code.is_none() && is_cause(&error.message)
        }
        _ => false,
    }
}

/// An image in an OCI layout.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// The layout's folder.
    pub layout: PathBuf,
    /// The image's manifest, or an index that has it.
    pub digest: Digest,
    /// The platform that it is for.
    pub platform: Platform,
}

/// What a daemon is to solve so that it fetches an image. The folder that it reads goes with it.
#[derive(Debug)]
struct Rest {
    folder: tempfile::TempDir,
    /// The manifest of the image.
    image: Digest,
    /// The manifest of the cache.
    cache: Digest,
    platform: pb::Platform,
}

/// Has a daemon fetch `base`; where that fails the next solve does so too, and says why.
pub async fn fetch(base: &Base, client: &Client, cancel: &CancellationToken) {
    let Ok(rest) = Rest::of(base) else { return };
    let (request, session) = rest.request();
    let (events, _) = mpsc::channel(1);
    let _ = solve(client, request, session, events, cancel).await;
}

/// The images that `definition` has from `layouts`, by the names under which a session offers those.
pub fn bases<'a>(
    definition: &'a Definition,
    layouts: &'a BTreeMap<String, PathBuf>,
) -> impl Iterator<Item = Base> + 'a {
    definition.vertices.iter().filter_map(|vertex| {
        let op = vertex.op();
        let Some(pb::op::Op::Source(source)) = &op.op else { return None };
        let layout = layouts.get(source.attrs.get("oci.store")?)?.clone();
        let (_, digest) = source.identifier.rsplit_once('@')?;
        let platform = keys::platform(op.platform.as_ref()?);
        Some(Base { layout, digest: digest.parse().ok()?, platform })
    })
}

impl Rest {
    /// Prepares to have `base` fetched.
    fn of(base: &Base) -> io::Result<Self> {
        let mut image = layout::image(&base.layout, base.digest, &base.platform)?;
        let config = layout::read(&base.layout, image.config.digest)?;
        let config = ImageConfig::parse(&config)?;
        let folder = tempfile::Builder::new().prefix("kitwright-rest-").tempdir()?;
        let store = Store { root: folder.path() };
        store.link(&base.layout, image.layers.iter().chain([&image.config]))?;
        image.annotations.insert(ANNOTATION.to_owned(), identity::random());
        let digest = store.put(media::OCI_MANIFEST, &serde_json::to_value(&image)?)?.digest;
        let platform = pb::Platform::from(&base.platform);
        let cache = store.cache(&image, config, &source(digest, ""), &base.platform)?;
        Ok(Self { folder, image: digest, cache, platform })
    }

    /// What to solve, and the session for it; nothing of it is kept in the daemon's history.
    fn request(&self) -> (SolveRequest, SessionBuilder) {
        let session = SessionBuilder::new().layout(STORE, self.folder.path());
        let mut request = SolveRequest::definition(self.definition(session.session_id()));
        let src = self.folder.path().display().to_string();
        let attributes = [("src".to_owned(), src), ("digest".to_owned(), self.cache.to_string())];
        let cache = CacheEntry { kind: "local".to_owned(), attributes: attributes.into() };
        request.cache_imports = vec![cache];
        request.internal = true;
        (request, session)
    }

    /// The image, and a step that looks into it.
    fn definition(&self, session: &str) -> pb::Definition {
        use pb::file_action::Action;
        let remove = pb::FileActionRm {
            path: NO_FILE.to_owned(),
            allow_not_found: true,
            ..Default::default()
        };
        let action = pb::FileAction {
            input: 0,
            secondary_input: NONE,
            output: 0,
            action: Some(Action::Rm(remove)),
        };
        let look = pb::op::Op::File(pb::FileOp { actions: vec![action] });
        let ops = [Some(pb::op::Op::Source(source(self.image, session))), Some(look), None];
        let mut def: Vec<bytes::Bytes> = Vec::with_capacity(ops.len());
        for op in ops {
            let below = def.last().map(|bytes| Digest::of(bytes).to_string());
            let inputs = below.into_iter().map(|digest| pb::Input { digest, index: 0 }).collect();
            let platform = op.is_some().then(|| self.platform.clone());
            let op = pb::Op { inputs, platform, op, ..Default::default() };
            def.push(wire::encode_op(&op).into());
        }
        pb::Definition { def, ..Default::default() }
    }
}

fn source(image: Digest, session: &str) -> pb::SourceOp {
    let attrs = [
        ("oci.session".to_owned(), session.to_owned()),
        ("oci.store".to_owned(), STORE.to_owned()),
    ];
    let identifier = format!("oci-layout://kitwright/{STORE}@{image}");
    pb::SourceOp { identifier, attrs: attrs.into() }
}

/// A content store in the making.
struct Store<'a> {
    root: &'a Path,
}

impl Store<'_> {
    /// Puts blobs of another store there.
    fn link<'b>(&self, from: &Path, blobs: impl Iterator<Item = &'b Descriptor>) -> io::Result<()> {
        fs_err::create_dir_all(self.root.join("blobs/sha256"))?;
        for blob in blobs {
            let place = std::path::absolute(layout::blob(from, blob.digest))?;
            match std::os::unix::fs::symlink(place, layout::blob(self.root, blob.digest)) {
                // An image can have a layer twice.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
        }
        Ok(())
    }

    fn put(&self, media_type: &str, value: &Value) -> io::Result<Descriptor> {
        let bytes = value.to_string().into_bytes();
        let descriptor = Descriptor::of(media_type, &bytes);
        fs_err::write(layout::blob(self.root, descriptor.digest), bytes)?;
        Ok(descriptor)
    }

    /// Writes a cache that has the layers of `image` as the result of `source`.
    fn cache(
        &self,
        image: &ImageManifest,
        config: ImageConfig,
        source: &pb::SourceOp,
        platform: &Platform,
    ) -> io::Result<Digest> {
        let diff_ids = config.rootfs.diff_ids.unwrap_or_default();
        let Root::Known(keys) = keys::image(source, platform) else {
            return Err(io::Error::other("the image has no key"));
        };
        let top = match diff_ids.len() {
            0 => return Err(io::Error::other("the image has no layers")),
            count if count != image.layers.len() => {
                return Err(io::Error::other("the image's config has other layers than the image"));
            }
            count => count - 1,
        };
        let mut described: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        let mut layers = Vec::new();
        for ((layer, diff_id), below) in image.layers.iter().zip(diff_ids).zip(NONE..) {
            layers.push(json!({ "blob": layer.digest, "parent": below }));
            let layer = described.entry(layer.digest).or_insert_with(|| layer.clone());
            layer.annotations.insert(UNCOMPRESSED.to_owned(), diff_id);
        }
        let results = json!([{ "layer": top, "createdAt": Timestamp::now().to_string() }]);
        let record = |key: &Digest| json!({ "digest": keys::record(key, 0), "layers": results });
        let records: Vec<Value> = keys.iter().map(record).collect();
        let config = self.put(MEDIA_TYPE, &json!({ "layers": layers, "records": records }))?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": config,
            "layers": described.values().collect::<Vec<_>>(),
        });
        Ok(self.put(media::OCI_MANIFEST, &manifest)?.digest)
    }
}
