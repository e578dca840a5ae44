//! Which steps ran.
use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::status::StatusEvent;
use crate::oci::digest::Digest;

/// Passes events on to `onwards` and remembers the steps that ran to their end.
///
/// The answer is there when the returned sender is dropped.
pub(super) fn watch(
    onwards: mpsc::Sender<StatusEvent>,
) -> (mpsc::Sender<StatusEvent>, JoinHandle<BTreeSet<Digest>>) {
    let (sender, mut events) = mpsc::channel(64);
    let task = tokio::spawn(async move {
        let (mut ran, mut cached) = (BTreeSet::new(), BTreeSet::new());
        while let Some(event) = events.recv().await {
            if let StatusEvent::Vertex(vertex) = &event {
                if vertex.cached {
                    cached.insert(vertex.digest);
                } else if vertex.completed.is_some() && vertex.error.is_none() {
                    ran.insert(vertex.digest);
                }
            }
            // Also when nobody listens any more: what ran has to be known.
            let _ = onwards.send(event).await;
        }
        ran.difference(&cached).copied().collect()
    });
    (sender, task)
}
