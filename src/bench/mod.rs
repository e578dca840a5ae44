//! `kitwright bench`: scenarios, runner, statistics, report.

pub mod measure;
pub mod report;
pub mod sample;
pub mod stats;
