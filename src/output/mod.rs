//! What a build leaves behind and shows: exporters, metadata files, progress, timeline.

pub mod changes;
pub mod exporter;
pub mod progress;
