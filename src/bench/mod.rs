//! `kitwright bench`: scenarios, runner, statistics, report.

pub mod sample;
pub mod stats;
