//! The client's side of a build's results and caches: what receives them, and what is noted once
//! they have arrived.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::session::content::index::{self, Name};
use super::session::filesend::FileSend;
use super::session::{SessionBuilder, SessionError};
use super::solve::{CacheEntry, ExportTarget, SolveRequest};

/// What is entered into the indexes of local stores when the build has succeeded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets {
    layouts: Vec<PathBuf>,
    /// Local caches and the tags under which they are kept.
    caches: Vec<(PathBuf, String)>,
}

impl Targets {
    /// Offers everything local that `request` names, and completes its cache imports.
    pub(crate) fn offer(
        request: &mut SolveRequest,
        session: SessionBuilder,
    ) -> Result<(SessionBuilder, Self), SessionError> {
        let mut targets = Self::default();
        let session = targets.offer_exports(request, session);
        let session = targets.offer_caches(request, session)?;
        Ok((session, targets))
    }

    fn offer_exports(
        &mut self,
        request: &mut SolveRequest,
        mut session: SessionBuilder,
    ) -> SessionBuilder {
        let mut files = FileSend::default();
        for (exporter, export) in request.exports.iter_mut().enumerate() {
            match std::mem::replace(&mut export.target, ExportTarget::Engine) {
                ExportTarget::Engine => {}
                ExportTarget::File(path) => files.file(exporter, path),
                ExportTarget::Stream(stream) => files.stream(exporter, stream),
                ExportTarget::Directory { path, delete } => files.directory(exporter, path, delete),
                ExportTarget::Layout(path) => {
                    session = offer_layout(&mut export.attributes, session, &path);
                    self.layouts.push(path);
                }
                ExportTarget::Blobs(path) => {
                    session = offer_layout(&mut export.attributes, session, &path);
                }
            }
        }
        if files.is_empty() { session } else { session.attach(files) }
    }

    fn offer_caches(
        &mut self,
        request: &mut SolveRequest,
        mut session: SessionBuilder,
    ) -> Result<SessionBuilder, SessionError> {
        for cache in request.cache_exports.iter().filter(|cache| cache.kind == "local") {
            let Some(place) = cache.attributes.get("dest") else { continue };
            session = session.store(format!("local:{place}"), PathBuf::from(place));
            self.caches.push((PathBuf::from(place), tag(cache)));
        }
        let mut imports = Vec::new();
        for mut cache in std::mem::take(&mut request.cache_imports) {
            if cache.kind == "local" {
                let Some(place) = cache.attributes.get("src").cloned() else { continue };
                let path = PathBuf::from(&place);
                if !cache.attributes.contains_key("digest") {
                    let found = index::find(&path, &tag(&cache));
                    let found = found.map_err(|source| SessionError::Store {
                        path: path.join("index.json"),
                        source,
                    })?;
                    // A cache that is not there yet is what the first build of a machine finds.
                    let Some(digest) = found else { continue };
                    cache.attributes.insert("digest".to_owned(), digest);
                }
                session = session.store(format!("local:{place}"), path);
            }
            imports.push(cache);
        }
        request.cache_imports = imports;
        Ok(session)
    }

    /// Enters what has arrived into the indexes.
    pub(crate) fn record(&self, response: &BTreeMap<String, String>) -> Result<(), SessionError> {
        if let Some(cache) = response.get("cache.manifest").and_then(|text| object(text.as_bytes()))
        {
            for (path, tag) in &self.caches {
                put(path, &cache, &[Name::Tag(tag.clone())])?;
            }
        }
        if let Some(image) = image(response) {
            let names: Vec<Name> = match response.get("image.name") {
                Some(names) => names.split(',').map(|name| Name::Image(name.to_owned())).collect(),
                None => vec![Name::Tag("latest".to_owned())],
            };
            for path in &self.layouts {
                put(path, &image, &names)?;
            }
        }
        Ok(())
    }
}

/// Has the exporter send blobs one by one, those that are not there yet, to a layout.
fn offer_layout(
    attributes: &mut BTreeMap<String, String>,
    session: SessionBuilder,
    path: &Path,
) -> SessionBuilder {
    attributes.entry("tar".to_owned()).or_insert_with(|| "false".to_owned());
    session.store("export".to_owned(), path.to_owned())
}

/// The descriptor of the exported image in the exporters' answers.
pub(super) fn image(response: &BTreeMap<String, String>) -> Option<Map<String, Value>> {
    let text = response.get("containerimage.descriptor")?;
    // BuildKit writes it as base64, to some exporters' answers as plain JSON.
    BASE64.decode(text).ok().and_then(|json| object(&json)).or(object(text.as_bytes()))
}

fn tag(cache: &CacheEntry) -> String {
    cache.attributes.get("tag").cloned().unwrap_or_else(|| "latest".to_owned())
}

fn object(json: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(json).ok()
}

fn put(path: &Path, descriptor: &Map<String, Value>, names: &[Name]) -> Result<(), SessionError> {
    index::put(path, descriptor, names)
        .map_err(|source| SessionError::Store { path: path.join("index.json"), source })
}
