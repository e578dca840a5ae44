//! What `kitwright ci tags` and `kitwright ci image` tell a workflow: the plan with whole references.
use serde::Serialize;

use super::detect::Detection;
use super::event::Event;
use super::tags::{Action, Plan, Rule};
use crate::oci::reference::{ImageReference, ReferenceError};

/// The answer of the table for one event, as a workflow reads it. Field names are output names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The event's name.
    pub event: String,
    /// The table's row.
    pub rule: Rule,
    /// The image that the run's jobs use.
    pub image: String,
    /// The repository alone.
    pub repository: String,
    /// What a consumer does first.
    pub action: Action,
    /// Whether the building workflow builds.
    pub build: bool,
    /// Whether it publishes what it built.
    pub push: bool,
    /// Whether it comments on the pull request.
    pub comment: bool,
    /// The references to publish.
    pub tags: Vec<String>,
    /// How the image is pushed, as `--output` has it; nothing where it is not.
    pub outputs: Option<String>,
    /// Labels that say what the image was built from.
    pub labels: Vec<String>,
    /// The commit that the image is built from.
    pub revision: Option<String>,
    /// The pull request.
    pub number: Option<u64>,
    /// Whether a pull request changes the image; none for any other event.
    pub touched: Option<bool>,
    /// The image's files that it changes.
    pub paths: Vec<String>,
    /// The merge base that the answer rests on.
    pub merge_base: Option<String>,
    /// The image's digest, once a registry was asked.
    pub digest: Option<String>,
    /// The image pinned to its digest: what a job should use.
    pub pinned: Option<String>,
    /// The run that built it, when it was waited for.
    pub run: Option<String>,
    /// The tag of the content key, where it was asked for.
    pub key: Option<String>,
    /// Whether base images come from a lock file.
    pub locked: bool,
}

/// The labels of the image of `revision`: what it was built from.
#[must_use]
pub fn labels(server_url: &str, repository: &str, revision: &str) -> [String; 2] {
    let server = server_url.trim_end_matches('/');
    [
        format!("org.opencontainers.image.revision={revision}"),
        format!("org.opencontainers.image.source={server}/{repository}"),
    ]
}

impl Report {
    /// Joins a plan with the image's repository and what was detected.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] when a tag of the plan is none.
    pub fn new(
        event: &Event,
        plan: Plan,
        repository: &ImageReference,
        detection: Option<&Detection>,
        server_url: &str,
    ) -> Result<Self, ReferenceError> {
        let full = |tag: &String| Ok(repository.with_tag(tag)?.to_string());
        let tags: Vec<String> = plan.publish.iter().map(full).collect::<Result<_, _>>()?;
        let built = plan.revision.iter().filter(|_| plan.build);
        let labels =
            built.flat_map(|revision| labels(server_url, &event.repository, revision)).collect();
        Ok(Self {
            event: event.name.clone(),
            rule: plan.rule,
            image: full(&plan.image)?,
            repository: repository.to_string(),
            action: plan.action,
            build: plan.build,
            push: !tags.is_empty(),
            comment: plan.comment,
            labels,
            tags,
            revision: plan.revision,
            number: plan.number,
            touched: detection.map(|detection| detection.touched),
            paths: detection.map(|detection| detection.paths.clone()).unwrap_or_default(),
            merge_base: detection.and_then(|detection| detection.merge_base.clone()),
            digest: None,
            pinned: None,
            run: None,
            key: None,
            locked: false,
            outputs: None,
        })
    }
}
