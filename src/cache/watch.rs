//! What a build's status tells about its caches: what is done, what is stuck, what went wrong.
//!
//! Input: the status events of a solve. Output: the vertices that finished, imports that do not move
//! any more, and the errors of cache imports and exports, which the engine reports nowhere else.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::engine::status::StatusEvent;
use crate::oci::digest::Digest;

/// How the engine names the vertex that reads a cache's manifest.
const IMPORTING: &str = "importing cache manifest from ";
/// How the engine names the vertices that write caches.
const EXPORTING: [&str; 2] = ["exporting cache to ", "exporting to GitHub Actions Cache"];
/// How it names the vertices that hand a result out, and the parts of these that wait for all layers.
const OUT: &str = "exporting to ";
const SENDING: [&str; 2] = ["pushing layers", "sending tarball"];

/// An observer of one solve; clones see the same.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Observed>);

#[derive(Debug)]
struct Observed {
    seen: Mutex<Seen>,
    /// Tells that a vertex has changed.
    changed: Notify,
    /// Tells that a step has begun.
    stepping: Notify,
    /// Tells that an export has begun.
    exporting: Notify,
}

#[derive(Debug)]
struct Seen {
    vertices: BTreeMap<Digest, Vertex>,
    parts: BTreeMap<(Digest, String), Part>,
    /// When something moved last.
    moved: Instant,
    /// Whether a step runs, or has run.
    stepping: bool,
    /// Whether something is exported.
    exporting: bool,
}

#[derive(Clone, Debug, Default)]
struct Vertex {
    /// Where the vertex reads or writes a cache, or exports; a build has many others, whose names nobody asks for.
    name: String,
    inputs: Vec<Digest>,
    started: Option<Timestamp>,
    completed: bool,
    cached: bool,
    /// Whether its result is being taken over from a cache at this moment.
    loading: bool,
    error: Option<String>,
}

/// A blob on its way.
#[derive(Clone, Debug)]
struct Part {
    current: i64,
    completed: bool,
}

/// Work for a cache import that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stall {
    /// The manifest of this cache does not come: its name as the engine has it.
    Manifest(String),
    /// This blob does not come.
    Blob(Digest),
    /// What a cache has of this vertex does not come: not even its layers are found.
    Result(Digest),
}

/// A cache that could not be read or written, as the engine says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFault {
    /// The vertex's name without what all have in common: the import's reference.
    pub what: String,
    /// The engine's message.
    pub message: String,
}

impl Default for Watch {
    fn default() -> Self {
        let seen = Mutex::new(Seen {
            vertices: BTreeMap::new(),
            parts: BTreeMap::new(),
            moved: Instant::now(),
            stepping: false,
            exporting: false,
        });
        let (changed, stepping, exporting) = (Notify::new(), Notify::new(), Notify::new());
        Self(Arc::new(Observed { seen, changed, stepping, exporting }))
    }
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event in, which came at `now`.
    pub fn record(&self, event: &StatusEvent, now: Instant) {
        let mut seen = self.seen();
        match event {
            StatusEvent::Vertex(status) => {
                if status.started.is_some() && status.name.starts_with("exporting ") {
                    seen.exporting = true;
                    self.0.exporting.notify_waiters();
                }
                let vertex = seen.vertices.entry(status.digest).or_default();
                if status.name.starts_with(IMPORTING) || status.name.starts_with("exporting ") {
                    vertex.name.clone_from(&status.name);
                }
                vertex.started = status.started;
                vertex.completed = status.completed.is_some();
                vertex.error.clone_from(&status.error);
                // A cached vertex whose blobs are fetched is told of again, without these.
                vertex.cached |= status.cached;
                vertex.loading = status.cached && vertex.is_open();
                if vertex.inputs != status.inputs && !status.inputs.is_empty() {
                    vertex.inputs.clone_from(&status.inputs);
                }
                // Sources are looked at in every build, and take nothing.
                if vertex.started.is_some() && !vertex.cached && !vertex.inputs.is_empty() {
                    seen.stepping = true;
                    self.0.stepping.notify_waiters();
                }
                seen.moved = now;
                self.0.changed.notify_waiters();
            }
            StatusEvent::Progress(progress) => {
                let part =
                    Part { current: progress.current, completed: progress.completed.is_some() };
                let key = (progress.vertex, progress.id.clone());
                let known = seen.parts.insert(key, part.clone());
                // The engine repeats a blob's state also when nothing of it comes.
                let same =
                    |old: Part| (old.current, old.completed) == (part.current, part.completed);
                if !known.is_some_and(same) {
                    seen.moved = now;
                }
            }
            StatusEvent::Log(_) | StatusEvent::Warning(_) => seen.moved = now,
        }
    }

    /// The cache work that has stood still for `limit` while nothing else moved either; `holds` tells
    /// which blobs are of caches.
    ///
    /// Only what the engine calls work for a cache counts, never silence alone: a manifest being read,
    /// a result being taken over, a blob on its way for a step. A blob for a vertex without inputs is a
    /// base image's, which no cache import has.
    ///
    /// A step that runs beside it may be quiet for longer, and would lose its work: it is given four
    /// times as long, and so is an exporter that packs layers.
    #[must_use]
    pub fn stalled(
        &self,
        now: Instant,
        limit: Duration,
        holds: impl Fn(Digest) -> bool,
    ) -> Vec<Stall> {
        let seen = self.seen();
        let mut stalls = Vec::new();
        let mut waiting = BTreeSet::new();
        let open = Vertex::is_open;
        for (digest, vertex) in seen.vertices.iter().filter(|(_, vertex)| open(vertex)) {
            if let Some(name) = vertex.name.strip_prefix(IMPORTING) {
                stalls.push(Stall::Manifest(name.to_owned()));
                waiting.insert(*digest);
            } else if vertex.loading {
                stalls.push(Stall::Result(*digest));
                waiting.insert(*digest);
            }
        }
        // A cached vertex counts as completed before its blobs are there. Where no vertex is open and
        // the build goes on all the same, they are what it waits for.
        let idle = !seen.vertices.values().any(open);
        for ((vertex, id), _) in seen.parts.iter().filter(|(_, part)| !part.completed) {
            let done = !idle && seen.vertices.get(vertex).is_none_or(|vertex| vertex.completed);
            let is_source = seen.vertices.get(vertex).is_some_and(|v| v.inputs.is_empty());
            if let (false, Ok(blob)) = (done || is_source, id.parse())
                && holds(blob)
            {
                stalls.push(Stall::Blob(blob));
                waiting.insert(*vertex);
            }
        }
        let busy = |digest: &Digest, vertex: &Vertex| {
            let waits = waiting.contains(digest) || seen.needs(*digest, &waiting);
            !waits && (!vertex.name.starts_with(OUT) || seen.packs(*digest))
        };
        let others = seen.vertices.iter().any(|(digest, v)| open(v) && busy(digest, v));
        let limit = if others { limit * 4 } else { limit };
        if now.duration_since(seen.moved) < limit {
            stalls.clear();
        }
        stalls
    }

    /// Takes notice of something that moved, and that the engine does not tell of.
    pub fn moved(&self, now: Instant) {
        self.seen().moved = now;
    }

    /// Whether nothing has moved for `limit`.
    #[must_use]
    pub fn is_quiet(&self, now: Instant, limit: Duration) -> bool {
        now.duration_since(self.seen().moved) >= limit
    }

    /// Whether a step runs, or has run.
    #[must_use]
    pub fn has_stepped(&self) -> bool {
        self.seen().stepping
    }

    /// Waits until a step runs.
    pub async fn stepping(&self) {
        self.until(&self.0.stepping, Self::has_stepped).await;
    }

    /// Waits until the engine has read the manifests of `imports` caches, or could not read them.
    pub async fn imported(&self, imports: usize) {
        self.until(&self.0.changed, |watch| watch.imports_read() >= imports).await;
    }

    /// Waits for what `change` tells of.
    async fn until(&self, change: &Notify, is_so: impl Fn(&Self) -> bool) {
        loop {
            let mut changed = std::pin::pin!(change.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if is_so(self) {
                return;
            }
            changed.await;
        }
    }

    fn imports_read(&self) -> usize {
        let read = |vertex: &&Vertex| vertex.completed && vertex.name.starts_with(IMPORTING);
        self.seen().vertices.values().filter(read).count()
    }

    /// The caches whose manifest the engine is reading.
    #[must_use]
    pub fn importing(&self) -> Vec<Stall> {
        let seen = self.seen();
        let open = seen.vertices.values().filter(|vertex| vertex.is_open());
        let name = |vertex: &Vertex| vertex.name.strip_prefix(IMPORTING).map(str::to_owned);
        open.filter_map(name).map(Stall::Manifest).collect()
    }

    /// The vertices that blobs or whole results are under way for, and all that those stand on.
    #[must_use]
    pub fn fetching(&self) -> BTreeSet<Digest> {
        let seen = self.seen();
        let parts = seen.parts.iter().filter(|(_, part)| !part.completed);
        let mut open: Vec<Digest> = parts.map(|((vertex, _), _)| *vertex).collect();
        open.extend(seen.vertices.iter().filter(|(_, v)| v.loading).map(|(digest, _)| *digest));
        let mut found = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if found.insert(digest)
                && let Some(vertex) = seen.vertices.get(&digest)
            {
                open.extend(&vertex.inputs);
            }
        }
        found
    }

    /// The vertices that came from a cache or were to come from one, and those that failed.
    #[must_use]
    pub fn loaded(&self) -> BTreeSet<Digest> {
        let mut found = self.fetching();
        let seen = self.seen();
        let loaded = |vertex: &Vertex| vertex.cached || vertex.error.is_some();
        found.extend(seen.vertices.iter().filter(|(_, v)| loaded(v)).map(|(digest, _)| *digest));
        found
    }

    /// The vertices whose result is there.
    #[must_use]
    pub fn finished(&self) -> BTreeSet<Digest> {
        let seen = self.seen();
        let done = |vertex: &Vertex| vertex.completed && vertex.error.is_none();
        seen.vertices.iter().filter(|(_, v)| done(v)).map(|(digest, _)| *digest).collect()
    }

    /// The vertices that ran to their end: what they made is the engine's own.
    #[must_use]
    pub fn ran(&self) -> BTreeSet<Digest> {
        let cached = self.cached();
        self.finished().into_iter().filter(|digest| !cached.contains(digest)).collect()
    }

    /// The vertices that came from a cache.
    #[must_use]
    pub fn cached(&self) -> BTreeSet<Digest> {
        let seen = self.seen();
        seen.vertices.iter().filter(|(_, v)| v.cached).map(|(digest, _)| *digest).collect()
    }

    /// Whether the engine has begun to export.
    #[must_use]
    pub fn is_exporting(&self) -> bool {
        self.seen().exporting
    }

    /// Waits until the engine has begun to export.
    pub async fn exporting(&self) {
        self.until(&self.0.exporting, Self::is_exporting).await;
    }

    /// When a vertex began, the last time it did so.
    #[must_use]
    pub fn began(&self, vertex: Digest) -> Option<Timestamp> {
        self.seen().vertices.get(&vertex)?.started
    }

    /// The imports that failed; the engine goes on without them.
    #[must_use]
    pub fn import_faults(&self) -> Vec<CacheFault> {
        self.faults(|name| name.strip_prefix(IMPORTING))
    }

    /// The exports that failed.
    #[must_use]
    pub fn export_faults(&self) -> Vec<CacheFault> {
        self.faults(|name| Self::is_export(name).then_some(name))
    }

    /// Whether the engine calls a vertex that writes a cache so.
    #[must_use]
    pub fn is_export(name: &str) -> bool {
        EXPORTING.iter().any(|start| name.starts_with(start))
    }

    fn faults(&self, name: impl Fn(&str) -> Option<&str>) -> Vec<CacheFault> {
        let seen = self.seen();
        let fault = |vertex: &Vertex| {
            let (what, message) = (name(&vertex.name)?.to_owned(), vertex.error.clone()?);
            Some(CacheFault { what, message })
        };
        seen.vertices.values().filter_map(fault).collect()
    }
}

impl Vertex {
    const fn is_open(&self) -> bool {
        self.started.is_some() && !self.completed
    }
}

impl Seen {
    /// Whether an exporter does more than to wait for layers and to send them.
    fn packs(&self, export: Digest) -> bool {
        self.parts.iter().any(|((vertex, id), part)| {
            *vertex == export && !part.completed && !SENDING.contains(&id.as_str())
        })
    }

    /// Whether `vertex` waits for one of `others`.
    fn needs(&self, vertex: Digest, others: &BTreeSet<Digest>) -> bool {
        let mut looked_at = BTreeSet::new();
        let mut open = vec![vertex];
        while let Some(digest) = open.pop() {
            if others.contains(&digest) {
                return true;
            }
            if looked_at.insert(digest)
                && let Some(vertex) = self.vertices.get(&digest)
            {
                open.extend(&vertex.inputs);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
