//! Tests of what a status stream tells about caches.
use jiff::Timestamp;

use super::*;
use crate::engine::status::{Progress, VertexStatus};

const LIMIT: Duration = Duration::from_secs(10);

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn vertex(byte: u8, inputs: &[u8], completed: bool, cached: bool) -> StatusEvent {
    StatusEvent::Vertex(VertexStatus {
        digest: digest(byte),
        inputs: inputs.iter().map(|byte| digest(*byte)).collect(),
        name: format!("step {byte}"),
        cached,
        started: Some(Timestamp::UNIX_EPOCH),
        completed: completed.then_some(Timestamp::UNIX_EPOCH),
        error: None,
        group: None,
    })
}

fn blob(vertex: u8, blob: u8, current: i64) -> StatusEvent {
    StatusEvent::Progress(Progress {
        vertex: digest(vertex),
        id: digest(blob).to_string(),
        name: String::new(),
        current,
        total: 100,
        timestamp: None,
        started: None,
        completed: None,
    })
}

#[test]
fn an_export_is_noticed_when_it_begins() {
    use futures_util::FutureExt as _;

    let watch = Watch::default();
    let is_noticed = || watch.exporting().now_or_never().is_some();
    watch.record(&vertex(1, &[], false, false), Instant::now());
    assert!(!is_noticed());
    assert_eq!(watch.began(digest(1)), Some(Timestamp::UNIX_EPOCH));
    let StatusEvent::Vertex(mut export) = vertex(2, &[1], false, false) else { unreachable!() };
    export.name = "exporting to image".into();
    let announced = VertexStatus { started: None, ..export.clone() };
    watch.record(&StatusEvent::Vertex(announced), Instant::now());
    assert!(!is_noticed() && !watch.is_exporting());
    let mut waiting = std::pin::pin!(watch.exporting());
    assert!(waiting.as_mut().now_or_never().is_none());
    watch.record(&StatusEvent::Vertex(export), Instant::now());
    assert!(waiting.now_or_never().is_some() && is_noticed());
}

#[test]
fn a_blob_that_does_not_move_is_a_stall() {
    let (watch, start) = (Watch::default(), Instant::now());
    let later = |seconds| start + Duration::from_secs(seconds);
    watch.record(&vertex(1, &[7], true, true), start);
    watch.record(&vertex(1, &[], false, false), start);
    watch.record(&blob(1, 9, 50), start);
    // The engine repeats itself.
    watch.record(&blob(1, 9, 50), later(9));
    let holds = |blob| blob == digest(9);
    assert!(watch.stalled(later(9), LIMIT, holds).is_empty());
    assert_eq!(watch.stalled(later(10), LIMIT, holds), [Stall::Blob(digest(9))]);
    // A base image's blob is nobody's fault here.
    assert!(watch.stalled(later(10), LIMIT, |_| false).is_empty());
    // A quiet step beside it gets more time; one that waits for it does not.
    watch.record(&vertex(2, &[1], false, false), start);
    assert!(!watch.stalled(later(10), LIMIT, holds).is_empty());
    watch.record(&vertex(3, &[], false, false), start);
    assert!(watch.stalled(later(39), LIMIT, holds).is_empty());
    assert!(!watch.stalled(later(40), LIMIT, holds).is_empty());
    watch.record(&blob(1, 9, 51), later(40));
    assert!(watch.stalled(later(41), LIMIT, holds).is_empty());
}

#[test]
fn a_blob_of_a_completed_vertex_is_a_stall_when_nothing_else_goes_on() {
    let (watch, start) = (Watch::default(), Instant::now());
    watch.record(&vertex(1, &[7], true, true), start);
    watch.record(&blob(1, 9, 0), start);
    let later = start + LIMIT;
    assert_eq!(watch.stalled(later, LIMIT, |_| true), [Stall::Blob(digest(9))]);
    watch.record(&vertex(2, &[], false, false), start);
    assert!(watch.stalled(later, LIMIT, |_| true).is_empty());
}

#[test]
fn what_was_cached_has_not_run() {
    let (watch, now) = (Watch::default(), Instant::now());
    watch.record(&vertex(1, &[], true, true), now);
    // Its blobs are fetched, and it is announced again without saying so.
    watch.record(&vertex(1, &[], true, false), now);
    watch.record(&vertex(2, &[1], true, false), now);
    watch.record(&vertex(3, &[2], false, false), now);
    assert_eq!(watch.ran(), BTreeSet::from([digest(2)]));
    assert_eq!(watch.finished(), BTreeSet::from([digest(1), digest(2)]));
}

fn named(byte: u8, name: &str) -> StatusEvent {
    let StatusEvent::Vertex(vertex) = vertex(byte, &[], false, false) else { unreachable!() };
    StatusEvent::Vertex(VertexStatus { name: name.into(), ..vertex })
}

fn part(vertex: u8, id: &str, completed: bool) -> StatusEvent {
    let StatusEvent::Progress(part) = blob(vertex, 0, 0) else { unreachable!() };
    let completed = completed.then_some(Timestamp::UNIX_EPOCH);
    StatusEvent::Progress(Progress { id: id.into(), completed, ..part })
}

#[test]
fn a_result_that_is_not_taken_over_is_a_stall() {
    let (watch, start) = (Watch::default(), Instant::now());
    let stalled = || watch.stalled(start + LIMIT, LIMIT, |_| true);
    watch.record(&vertex(1, &[7], false, true), start);
    watch.record(&vertex(2, &[1], false, false), start);
    assert_eq!(stalled(), [Stall::Result(digest(1))]);
    assert_eq!(watch.fetching(), BTreeSet::from([digest(1), digest(7)]));
    watch.record(&vertex(1, &[7], true, true), start);
    assert!(stalled().is_empty());
    // Its layers are unpacked: it is announced once more, and no cache has to do with it.
    watch.record(&vertex(1, &[], false, false), start);
    watch.record(&part(1, "extracting sha256:00", false), start);
    assert!(stalled().is_empty());
}

#[test]
fn silence_alone_is_no_stall() {
    let (watch, start) = (Watch::default(), Instant::now());
    let much_later = start + LIMIT * 100;
    // A base image of which nothing comes, a command, a directory that is sent, an export, a push.
    watch.record(&named(1, "[1/2] FROM busybox"), start);
    watch.record(&blob(1, 9, 50), start);
    watch.record(&vertex(2, &[1], false, false), start);
    watch.record(&named(3, "[internal] load build context"), start);
    watch.record(&part(3, "transferring context", false), start);
    watch.record(&named(4, "exporting to image"), start);
    watch.record(&part(4, "exporting layers", false), start);
    watch.record(&part(4, "pushing layers", false), start);
    assert!(watch.stalled(much_later, LIMIT, |_| true).is_empty());
    assert!(watch.is_quiet(much_later, LIMIT) && !watch.is_quiet(start, LIMIT));
}

#[test]
fn an_exporter_that_packs_layers_is_given_time_and_one_that_waits_for_them_is_not() {
    let (watch, start) = (Watch::default(), Instant::now());
    let stalled = || watch.stalled(start + LIMIT, LIMIT, |_| true);
    watch.record(&vertex(1, &[7], true, true), start);
    watch.record(&vertex(1, &[], false, false), start);
    watch.record(&blob(1, 9, 0), start);
    watch.record(&named(4, "exporting to oci image format"), start);
    watch.record(&part(4, "exporting layers", false), start);
    assert!(stalled().is_empty());
    watch.record(&part(4, "exporting layers", true), start);
    assert_eq!(stalled(), [Stall::Blob(digest(9))]);
    watch.record(&part(4, "pushing layers", false), start);
    assert_eq!(stalled(), [Stall::Blob(digest(9))]);
}
