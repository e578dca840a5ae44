//! What an engine would tell of a build that it finds in its caches.
use jiff::Timestamp;

use super::Assembly;
use crate::engine::status::{Progress, ProgressGroup, StatusEvent, VertexStatus};
use crate::oci::digest::Digest;
use crate::output::progress::News;
use crate::plan::dockerfile::CompiledPlatform;
use crate::plan::llb::Vertex;

use buildkit_rs_proto::pb::op::Op;

/// What the engine calls the export of an image.
const EXPORT: &str = "exporting to image";

impl super::Job<'_> {
    /// Shows `events`.
    pub(super) async fn tell(&self, events: Vec<StatusEvent>) {
        let news = self.display.news();
        for event in events {
            // A display that has ended shows nothing.
            let _ = news.send(News::Status(event)).await;
        }
    }
}

/// Every step as cached, and the image as exported.
pub(super) fn of(
    platform: &CompiledPlatform,
    assembly: &Assembly,
    began: Timestamp,
    ended: Timestamp,
) -> Vec<StatusEvent> {
    let steps = platform.definition.vertices.iter().filter(|vertex| {
        let op = vertex.op().op;
        matches!(op, Some(Op::Exec(_) | Op::File(_) | Op::Merge(_) | Op::Diff(_)))
    });
    let mut events: Vec<StatusEvent> =
        steps.map(|vertex| StatusEvent::Vertex(cached(vertex, began))).collect();
    let (config, manifest) = (&assembly.image.config, &assembly.image.manifest);
    let export = |completed| VertexStatus {
        digest: Digest::of(format!("{EXPORT} {}", manifest.descriptor.digest).as_bytes()),
        inputs: Vec::new(),
        name: EXPORT.to_owned(),
        cached: false,
        started: Some(began),
        completed,
        error: None,
        group: None,
    };
    let part = |id: String| {
        StatusEvent::Progress(Progress {
            vertex: export(None).digest,
            name: String::new(),
            id,
            current: 0,
            total: 0,
            timestamp: Some(ended),
            started: Some(began),
            completed: Some(ended),
        })
    };
    events.push(StatusEvent::Vertex(export(None)));
    events.push(part(format!("exporting manifest {}", manifest.descriptor.digest)));
    events.push(part(format!("exporting config {}", config.descriptor.digest)));
    let digest = manifest.descriptor.digest;
    let pushed =
        assembly.tags.iter().map(|tag| part(format!("pushing manifest for {tag}@{digest}")));
    events.extend(pushed);
    events.push(StatusEvent::Vertex(export(Some(ended))));
    events
}

fn cached(vertex: &Vertex, at: Timestamp) -> VertexStatus {
    let group = vertex.metadata.progress_group.as_ref();
    VertexStatus {
        digest: vertex.digest,
        inputs: vertex.inputs().into_iter().map(|(digest, _)| digest).collect(),
        name: vertex.metadata.custom_name().unwrap_or_default().to_owned(),
        cached: true,
        started: Some(at),
        completed: Some(at),
        error: None,
        group: group.map(|group| ProgressGroup {
            id: group.id.clone(),
            name: group.name.clone(),
            weak: group.weak,
        }),
    }
}
