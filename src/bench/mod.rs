//! `kitwright bench`: scenarios, runner, statistics, report.
