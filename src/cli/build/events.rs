//! Status events on their way to the display, observed, and told apart where a build solves twice.
use std::collections::BTreeSet;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::graphs::Graphs;
use super::unsent::Unsent;
use crate::cache::watch::Watch;
use crate::engine::status::StatusEvent;
use crate::oci::digest::Digest;
use crate::output::progress::News;

/// How many events may wait, and are taken at once.
const WAITING: usize = 256;

/// What of a solve is shown, and under which digests.
#[derive(Clone, Debug, Default)]
pub(super) struct Lens {
    /// Tells this solve's vertices from those of the solves before it; zero leaves them as they are.
    pub round: u32,
    /// The graphs of this solve, which know the digests of the first.
    pub graphs: Graphs,
    /// Vertices that were done in a solve before and are not shown again.
    pub done: BTreeSet<Digest>,
    /// Shows nothing but the export of a cache, under this name.
    pub export: Option<String>,
    /// Whether directories are known to the engine from an earlier build.
    pub known: bool,
}

impl Lens {
    /// The event as it is shown, if it is; `exports` are the vertices that write the cache.
    fn show(&self, mut event: StatusEvent, exports: &mut BTreeSet<Digest>) -> Option<StatusEvent> {
        if let (StatusEvent::Vertex(vertex), Some(name)) = (&mut event, &self.export)
            && Watch::is_export(&vertex.name)
        {
            exports.insert(vertex.digest);
            vertex.name = format!("exporting cache to {name}");
        }
        let shown = match &mut event {
            StatusEvent::Vertex(vertex) => {
                for input in &mut vertex.inputs {
                    *input = self.digest(*input);
                }
                &mut vertex.digest
            }
            StatusEvent::Progress(progress) => &mut progress.vertex,
            StatusEvent::Log(log) => &mut log.vertex,
            StatusEvent::Warning(warning) => &mut warning.vertex,
        };
        let digest = *shown;
        if self.done.contains(&self.graphs.original(digest))
            || self.export.is_some() && !exports.contains(&digest)
        {
            return None;
        }
        *shown = self.digest(digest);
        Some(event)
    }

    fn digest(&self, digest: Digest) -> Digest {
        let digest = self.graphs.original(digest);
        if self.round == 0 || self.done.contains(&digest) {
            return digest;
        }
        Digest::of(format!("{digest} {}", self.round).as_bytes())
    }
}

/// Where a solve sends its events: `watch` sees all of them, `display` what `lens` shows.
///
/// The task ends when both have all of them: a step may write faster than a terminal shows it, and
/// the build's end must not come before that of its output.
pub(super) fn observed(
    watch: &Watch,
    lens: Lens,
    display: mpsc::Sender<News>,
) -> (mpsc::Sender<StatusEvent>, JoinHandle<()>) {
    let (sender, mut events) = mpsc::channel(WAITING);
    let watch = watch.clone();
    let task = tokio::spawn(async move {
        let mut exports = BTreeSet::new();
        let mut unsent = Unsent::new(lens.known);
        let mut arrived = Vec::with_capacity(WAITING);
        while events.recv_many(&mut arrived, WAITING).await > 0 {
            let now = Instant::now();
            for event in arrived.drain(..) {
                watch.record(&event, now);
                for event in unsent.told(event) {
                    if let Some(event) = lens.show(event, &mut exports) {
                        // A display that has ended shows nothing; the solve goes on.
                        let _ = display.send(News::Status(event)).await;
                    }
                }
            }
        }
        for event in unsent.rest().filter_map(|event| lens.show(event, &mut exports)) {
            let _ = display.send(News::Status(event)).await;
        }
    });
    (sender, task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::status::VertexStatus;

    fn vertex(byte: u8, name: &str) -> StatusEvent {
        StatusEvent::Vertex(VertexStatus {
            digest: Digest::from_bytes([byte; 32]),
            inputs: Vec::new(),
            name: name.into(),
            cached: false,
            started: None,
            completed: None,
            error: None,
            group: None,
        })
    }

    fn shown(lens: &Lens, event: StatusEvent) -> Option<VertexStatus> {
        match lens.show(event, &mut BTreeSet::new()) {
            Some(StatusEvent::Vertex(vertex)) => Some(vertex),
            _ => None,
        }
    }

    #[test]
    fn a_second_round_shows_what_was_not_done_as_new() {
        let done = BTreeSet::from([Digest::from_bytes([1; 32])]);
        let lens = Lens { round: 1, done, ..Lens::default() };
        assert!(shown(&lens, vertex(1, "[1/2] FROM x")).is_none());
        let again = shown(&lens, vertex(2, "[2/2] RUN y")).unwrap();
        assert_ne!(again.digest, Digest::from_bytes([2; 32]));
    }

    #[test]
    fn a_cache_export_shows_nothing_else() {
        let lens = Lens { round: 2, export: Some("r/c:buildcache".into()), ..Lens::default() };
        assert!(shown(&lens, vertex(1, "[1/2] RUN x")).is_none());
        let export = shown(&lens, vertex(2, "exporting cache to registry")).unwrap();
        assert_eq!(export.name, "exporting cache to r/c:buildcache");
    }

    #[tokio::test]
    async fn who_waits_for_the_observer_misses_nothing() {
        let watch = Watch::default();
        let (display, mut shown) = mpsc::channel(1);
        let (events, observer) = observed(&watch, Lens::default(), display);
        for byte in 0..100 {
            let StatusEvent::Vertex(vertex) = vertex(byte, "step") else { unreachable!() };
            let completed = Some(jiff::Timestamp::UNIX_EPOCH);
            events.send(StatusEvent::Vertex(VertexStatus { completed, ..vertex })).await.unwrap();
        }
        drop(events);
        let slow = tokio::spawn(async move {
            let mut count = 0;
            while shown.recv().await.is_some() {
                tokio::task::yield_now().await;
                count += 1;
            }
            count
        });
        observer.await.unwrap();
        assert_eq!(watch.finished().len(), 100);
        assert_eq!(slow.await.unwrap(), 100);
    }
}
