//! One build: the solve call with its status stream and its session, and their common end.
use std::collections::BTreeMap;
use std::path::PathBuf;

use buildkit_rs_proto::moby::buildkit::v1 as control;
use buildkit_rs_proto::pb;
use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::client::Client;
use super::failure::SolveError;
use super::identity;
use super::open_session::Offer;
use super::session::SessionBuilder;
use super::status::StatusEvent;
use super::targets;
use crate::oci::manifest::Descriptor;

/// What to build and where its result goes.
#[derive(Debug)]
pub struct SolveRequest {
    /// The build's name on the daemon; random by default.
    pub solve_ref: String,
    /// What makes the graph.
    pub source: SolveSource,
    /// Options for the frontend. A definition takes some too, such as `attest:provenance`.
    pub frontend_options: BTreeMap<String, String>,
    /// Where the result goes, in order.
    pub exports: Vec<Export>,
    /// Where cached results may come from, in order.
    pub cache_imports: Vec<CacheEntry>,
    /// Where results are cached.
    pub cache_exports: Vec<CacheEntry>,
    /// Rights that steps may use, such as `network.host`.
    pub entitlements: Vec<String>,
    /// Keeps the build out of the daemon's history, whose records are written and synced while the
    /// client waits. Nothing else depends on it: attestations and usage are made either way.
    pub internal: bool,
}

/// What makes the graph of a build.
#[derive(Debug)]
pub enum SolveSource {
    /// A finished graph: a `pb.Definition` in its wire form.
    Definition(Bytes),
    /// A frontend that the daemon runs, such as `dockerfile.v0` or `gateway.v0`.
    Frontend {
        /// The frontend.
        name: String,
        /// Graphs that are handed to it by name.
        inputs: BTreeMap<String, pb::Definition>,
    },
    /// Nothing: the client itself acts as the frontend, see [`super::gateway`].
    Client,
}

impl SolveRequest {
    /// A build of a finished graph that exports nothing.
    ///
    /// Vertices without locations leave the source map: such an entry would travel without its
    /// value, and the daemon (0.32.2) dies of a nil pointer when that vertex fails.
    #[must_use]
    pub fn definition(mut definition: pb::Definition) -> Self {
        if let Some(source) = &mut definition.source {
            source.locations.retain(|_, found| !found.locations.is_empty());
        }
        Self::marshalled(definition.encode_to_vec())
    }

    /// The same of a graph in its wire form, which must have no such vertices.
    #[must_use]
    pub fn marshalled(definition: impl Into<Bytes>) -> Self {
        Self::new(SolveSource::Definition(definition.into()))
    }

    /// A build that a frontend of the daemon defines.
    #[must_use]
    pub fn frontend(name: impl Into<String>, options: BTreeMap<String, String>) -> Self {
        let source = SolveSource::Frontend { name: name.into(), inputs: BTreeMap::new() };
        Self { frontend_options: options, ..Self::new(source) }
    }

    pub(crate) fn new(source: SolveSource) -> Self {
        Self {
            solve_ref: identity::random(),
            source,
            frontend_options: BTreeMap::new(),
            exports: Vec::new(),
            cache_imports: Vec::new(),
            cache_exports: Vec::new(),
            entitlements: Vec::new(),
            internal: false,
        }
    }
}

/// A cache that is read or written, as `--cache-from` and `--cache-to` say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its type, such as `registry`, `local`, `gha`.
    pub kind: String,
    /// Its attributes, such as `ref` and `mode`.
    pub attributes: BTreeMap<String, String>,
}

/// A result of the build.
#[derive(Debug)]
pub struct Export {
    /// The exporter, such as `image`, `oci`, `docker`, `tar`, `local`.
    pub kind: String,
    /// Its attributes, such as `name` and `push`.
    pub attributes: BTreeMap<String, String>,
    /// Where the client puts what the exporter sends.
    pub target: ExportTarget,
}

impl Export {
    /// The same export in a further build of the session that has its target already.
    #[must_use]
    pub fn again(&self) -> Self {
        let (kind, attributes) = (self.kind.clone(), self.attributes.clone());
        Self { kind, attributes, target: ExportTarget::Engine }
    }
}

/// Where the client puts what an exporter sends.
pub enum ExportTarget {
    /// Nowhere: the daemon keeps or pushes the result itself.
    Engine,
    /// A file that appears under its name when it is complete.
    File(PathBuf),
    /// A stream, such as stdout or the stdin of `docker load`.
    Stream(Box<dyn tokio::io::AsyncWrite + Send + Unpin>),
    /// A directory that receives the result's file tree.
    Directory {
        /// The directory; made if missing.
        path: PathBuf,
        /// Removes what the result does not have.
        delete: bool,
    },
    /// An OCI layout that receives the image's blobs and its entry in `index.json`.
    Layout(PathBuf),
    /// An OCI layout that receives the image's blobs; the caller enters it into the index, from
    /// [`SolveResult::image_descriptor`].
    Blobs(PathBuf),
}

impl std::fmt::Debug for ExportTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Engine => f.write_str("Engine"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Directory { path, delete } => {
                f.debug_struct("Directory").field("path", path).field("delete", delete).finish()
            }
            Self::Layout(path) => f.debug_tuple("Layout").field(path).finish(),
            Self::Blobs(path) => f.debug_tuple("Blobs").field(path).finish(),
        }
    }
}

/// What the daemon says of a finished build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SolveResult {
    /// The exporters' answers, such as `containerimage.digest`.
    pub exporter_response: BTreeMap<String, String>,
}

impl SolveResult {
    /// The digest of the exported image's manifest or index.
    #[must_use]
    pub fn image_digest(&self) -> Option<&str> {
        self.exporter_response.get("containerimage.digest").map(String::as_str)
    }

    /// The descriptor of the exported image's manifest or index.
    #[must_use]
    pub fn image_descriptor(&self) -> Option<Descriptor> {
        let image = targets::image(&self.exporter_response)?;
        serde_json::from_value(image.into()).ok()
    }

    /// The names that the image was exported under.
    pub fn image_names(&self) -> impl Iterator<Item = &str> {
        self.exporter_response.get("image.name").into_iter().flat_map(|names| names.split(','))
    }
}

/// Builds `request` and returns when the daemon and the session's services have ended.
///
/// Status events are sent as they arrive; a slow receiver holds the daemon's stream back rather
/// than filling memory, and a dropped one is no error. When `cancel` fires, the daemon is told to
/// stop and the events of its stopping are still delivered.
///
/// # Errors
///
/// [`SolveError`]; a failure of the client's own services comes before what the daemon makes of
/// it.
pub async fn solve(
    client: &Client,
    request: SolveRequest,
    session: SessionBuilder,
    events: mpsc::Sender<StatusEvent>,
    cancel: &CancellationToken,
) -> Result<SolveResult, SolveError> {
    let mut request = request;
    let mut session = Offer::new(&mut request, session)?.open(client, None);
    let result = session.solve(request, events, cancel).await;
    session.end_with(result).await
}

pub(super) fn wire(request: SolveRequest, session: &str) -> Call {
    let SolveRequest { solve_ref, source, mut frontend_options, exports, .. } = request;
    let imports: Vec<_> = request.cache_imports.into_iter().map(cache_entry).collect();
    // A client that makes the graphs itself names the imports with each of them. Here the daemon would
    // keep their tokens in its history.
    let passes_on = matches!(source, SolveSource::Frontend { .. });
    let (definition, frontend, frontend_inputs) = match source {
        SolveSource::Definition(definition) => (Some(definition), String::new(), BTreeMap::new()),
        SolveSource::Frontend { name, inputs } => (None, name, inputs),
        SolveSource::Client => (None, String::new(), BTreeMap::new()),
    };
    if passes_on && !imports.is_empty() {
        // A frontend passes imports on with each of its solves, so it has to know them.
        frontend_options.insert("cache-imports".to_owned(), imports_json(&imports));
    }
    let exporters: Vec<_> = exports
        .into_iter()
        .map(|export| control::Exporter { r#type: export.kind, attrs: export.attributes })
        .collect();
    let first = exporters.first().cloned().unwrap_or_default();
    let request = control::SolveRequest {
        r#ref: solve_ref,
        definition: None,
        // Daemons before 0.13 know one exporter only.
        exporter_deprecated: first.r#type,
        exporter_attrs_deprecated: first.attrs,
        exporters,
        session: session.to_owned(),
        frontend,
        frontend_attrs: frontend_options,
        frontend_inputs,
        cache: Some(control::CacheOptions {
            exports: request.cache_exports.into_iter().map(cache_entry).collect(),
            imports,
            ..Default::default()
        }),
        entitlements: request.entitlements,
        internal: request.internal,
        ..Default::default()
    };
    Call { request, definition }
}

fn cache_entry(entry: CacheEntry) -> control::CacheOptionsEntry {
    control::CacheOptionsEntry { r#type: entry.kind, attrs: entry.attributes }
}

fn imports_json(imports: &[control::CacheOptionsEntry]) -> String {
    let entries: Vec<_> = imports
        .iter()
        .map(|entry| serde_json::json!({ "Type": entry.r#type, "Attrs": entry.attrs }))
        .collect();
    serde_json::Value::from(entries).to_string()
}
