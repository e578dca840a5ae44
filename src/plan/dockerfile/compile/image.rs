//! The image that a stage is on the way to.
use std::sync::Arc;

use crate::oci::config::{History, ImageConfig};
use crate::oci::go_time;

/// What history entries say made them.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// An image config in the making; cheap to copy as far as its history goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    /// The config, without its history.
    pub config: ImageConfig,
    /// The history of the stages below, which share it.
    inherited: Vec<Arc<Vec<History>>>,
    /// What has been added since.
    added: Vec<History>,
}

impl Image {
    /// Goes on from `config`.
    pub(super) fn new(mut config: ImageConfig) -> Self {
        let history = std::mem::take(&mut config.history);
        Self { config, inherited: vec![Arc::new(history)], added: Vec::new() }
    }

    /// The image for a stage that starts from this one.
    pub(super) fn inherit(&mut self) -> Self {
        if !self.added.is_empty() {
            self.inherited.push(Arc::new(std::mem::take(&mut self.added)));
        }
        self.clone()
    }

    /// Adds a step.
    pub(super) fn commit(&mut self, created_by: String, makes_layer: bool, epoch: Option<i64>) {
        self.added.push(History {
            created: epoch.map(go_time::from_unix),
            created_by,
            author: String::new(),
            comment: COMMENT.to_owned(),
            empty_layer: !makes_layer,
        });
    }

    /// The finished config.
    pub(super) fn finish(&self) -> ImageConfig {
        let mut config = self.config.clone();
        let inherited = self.inherited.iter().flat_map(|part| part.iter());
        config.history = inherited.chain(&self.added).cloned().collect();
        config
    }

    /// Sets a variable in place, or adds it at the end.
    pub(super) fn set_env(&mut self, key: &str, value: &str) {
        let variable = format!("{key}={value}");
        let same = |entry: &&mut String| key_of(entry) == key;
        match self.config.config.env.iter_mut().find(same) {
            Some(entry) => *entry = variable,
            None => self.config.config.env.push(variable),
        }
    }
}

/// The name of the variable in `KEY=value`.
fn key_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(key, _)| key)
}

/// Name and value of the variable in `KEY=value`; the value may be missing.
pub(super) fn key_value(entry: &str) -> (&str, &str) {
    entry.split_once('=').unwrap_or((entry, ""))
}
