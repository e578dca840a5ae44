//! Writes caches once a build's result is out: what it takes, and how it fails, no longer matters to
//! the image.
//!
//! Each export is a solve of its own on the same engine. All steps are done there, and
//! [held](super::holding) where that can be had, so the engine only writes what the cache lacks.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use buildkit_rs_proto::pb;
use clap::Args;

use super::Plan;
use super::solving::{Ended, Solving, Work};
use crate::attributes::is_true;
use crate::cache::predict::CacheRef;
use crate::cache::watch::Watch;
use crate::cache::{faults, hierarchy};
use crate::cli::builder::Builder;
use crate::cli::caching::duration;
use crate::cli::prediction;
use crate::cli::report::Failure;
use crate::engine::failure::SolveError;
use crate::engine::solve::CacheEntry;
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::reference::ImageReference;
use crate::plan::llb::Vertex;

/// How much trouble a cache may make
#[derive(Clone, Debug, Args)]
pub(super) struct FaultArgs {
    /// How long a cache import may stand still before the build goes on without that cache
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    pub cache_stall_timeout: Duration,
    /// How long the cache exports may take together
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub cache_export_timeout: Duration,
    /// Who reads GitHub's cache: `engine`, `client`, or the one on a private engine and the other on any else
    #[arg(long, value_name = "WHO", env = "KITWRIGHT_GHA_READER", default_value = "auto")]
    pub gha_reader: Reader,
    /// Fail when a cache cannot be exported
    #[arg(long, env = "KITWRIGHT_STRICT_CACHE")]
    pub strict_cache: bool,
}

/// Who reads the layers of GitHub's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Reader {
    /// The client where the engine could not be replaced if it hung.
    Auto,
    /// The engine: it fetches only what is needed, and cannot be stopped when the service breaks.
    Engine,
    /// Kitwright, through the session: nothing of the service reaches the engine but what is right.
    Client,
}

impl FaultArgs {
    /// Whether kitwright reads GitHub's cache for the engine.
    pub(super) fn reads_for(&self, builder: &Builder) -> bool {
        match self.gha_reader {
            Reader::Auto => !builder.is_private(),
            Reader::Engine => false,
            Reader::Client => true,
        }
    }
}

/// A good build whose cache was not written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the image is built, but its cache was not exported to {}", names.join(", "))]
#[diagnostic(help("without `--strict-cache` that is a warning"))]
struct ExportError {
    names: Vec<String>,
    #[source]
    cause: Cause,
}

/// The engine's words for the last export that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

impl Classified for ExportError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

impl super::Job<'_> {
    /// The caches that lie in the image itself, which only its own solve can write.
    pub(super) fn inline_caches<'a>(
        &self,
        images: impl Iterator<Item = &'a BTreeMap<String, String>>,
    ) -> Vec<CacheEntry> {
        let inline = |entry: &&CacheEntry| entry.kind == "inline";
        let mut caches: Vec<_> = self.caches.exports.iter().filter(inline).cloned().collect();
        if caches.is_empty() && self.caches.inline.as_ref().is_some_and(|r| pushes_to(images, r)) {
            let attributes = BTreeMap::new();
            caches.push(CacheEntry { kind: "inline".into(), attributes });
        }
        caches
    }
}

/// What is said of a cache that is not written for want of news.
pub(super) fn held_line(name: &str) -> String {
    format!("the cache `{name}` holds everything already: not exported")
}

/// Whether an image is pushed into `repository`, by the attributes of the outputs.
fn pushes_to<'a>(
    mut images: impl Iterator<Item = &'a BTreeMap<String, String>>,
    repository: &str,
) -> bool {
    let Ok(repository) = ImageReference::parse(repository) else { return false };
    let into = |name: &str| {
        ImageReference::parse(name).is_ok_and(|name| name.same_repository(&repository))
    };
    images.any(|attributes| {
        let pushes = attributes.get("push").is_some_and(|push| is_true(push));
        let names = attributes.get("name").map_or("", String::as_str);
        pushes && names.split(',').any(into)
    })
}

impl Solving<'_> {
    /// Writes every cache that is not inline, and names those that could not be written; `watch`
    /// saw the build.
    pub(super) async fn export_caches(
        &mut self,
        builder: &mut Builder,
        watch: &Watch,
    ) -> Result<Vec<String>, Failure> {
        if self.exports_none() {
            return Ok(Vec::new());
        }
        self.keep_held().await;
        self.next_export(watch);
        let exported = self.export(builder, &[]).await;
        self.let_go().await;
        exported
    }

    /// Writes what finished of a build that failed, so that the next try begins there.
    pub(super) async fn export_finished(&mut self, builder: &mut Builder, watch: &Watch) {
        let Plan::Native(compiled, _) = self.plan else { return };
        if self.exports_none() {
            return;
        }
        let finished = self.graphs.originals(watch.finished());
        let definitions = compiled.platforms.iter().map(|platform| &platform.definition);
        let parts: Vec<_> = definitions.flat_map(|d| finished_parts(d, &finished)).collect();
        if parts.is_empty() {
            return;
        }
        self.next_export(watch);
        // The build has failed already, and that is what the user has to know.
        let _ = self.export(builder, &parts).await;
    }

    /// Whether no cache is written after the build.
    pub(super) fn exports_none(&self) -> bool {
        self.job.caches.exports.iter().all(|entry| entry.kind == "inline")
    }

    async fn export(
        &mut self,
        builder: &mut Builder,
        parts: &[pb::Definition],
    ) -> Result<Vec<String>, Failure> {
        let entries = self.job.caches.exports.iter().filter(|entry| entry.kind != "inline");
        let entries: Vec<CacheEntry> = entries.cloned().collect();
        let arguments = &self.job.args.faults;
        let deadline = Instant::now() + arguments.cache_export_timeout;
        let (mut failed, mut fatal) = (Vec::new(), Vec::new());
        let mut last = String::new();
        for entry in entries {
            let name = hierarchy::name(&entry);
            if parts.is_empty() && self.holds_everything(&name) {
                self.job.display.note(held_line(&name)).await;
                continue;
            }
            let strict = entry.attributes.get("ignore-error").is_some_and(|value| value == "false");
            let work = || Work {
                caches: vec![entry.clone()],
                only: Some(name.clone()),
                parts: parts.to_vec(),
                ..Work::default()
            };
            let mut outcome = self.export_one(work(), builder, deadline).await;
            while let Err(Refused::Because(reason)) = &outcome
                && self.fetches_rest(reason).await
            {
                self.let_go().await;
                self.next_round(&Watch::default());
                outcome = self.export_one(work(), builder, deadline).await;
            }
            match outcome {
                Ok(()) => {}
                Err(Refused::Interrupted) => return Err(SolveError::Cancelled.into()),
                Err(Refused::Because(reason)) => {
                    let line = format!("WARNING: no cache was exported to `{name}`: {reason}");
                    self.job.display.note(line).await;
                    if strict || arguments.strict_cache {
                        fatal.push(format!("`{name}`"));
                        last = reason;
                    }
                    failed.push(name);
                }
            }
            self.next_export(&Watch::default());
        }
        match fatal.is_empty() {
            true => Ok(failed),
            false => Err(ExportError { names: fatal, cause: Cause(last) }.into()),
        }
    }

    /// Whether the cache of this name is one that was read and that lacks no step of the build.
    fn holds_everything(&self, name: &str) -> bool {
        let Plan::Native(compiled, _) = self.plan else { return false };
        let Some(probed) = self.probed(name) else { return false };
        let vertices = compiled.platforms.iter().flat_map(|platform| &platform.definition.vertices);
        let is_step = |vertex: &&Vertex| {
            matches!(vertex.op().op, Some(pb::op::Op::Exec(_) | pb::op::Op::File(_)))
        };
        // Most builds run something, and then nobody needs to read the context for this.
        if vertices.filter(is_step).any(|vertex| self.has_run(vertex.digest)) {
            return false;
        }
        let only = [CacheRef { name: name.to_owned(), config: Some(&probed.config) }];
        let predictions = prediction::of(&self.job.source, compiled, &only);
        predictions.iter().all(|prediction| prediction.is_certain() && prediction.is_covered())
    }

    async fn export_one(
        &mut self,
        work: Work,
        builder: &mut Builder,
        deadline: Instant,
    ) -> Result<(), Refused> {
        let watch = Watch::default();
        let stop = self.job.cancel.child_token();
        let cap = self.job.args.faults.cache_export_timeout;
        let attempt = self.attempt(work, builder, &watch, &stop);
        let mut attempt = std::pin::pin!(attempt);
        let mut late = false;
        let (_, result) = tokio::select! {
            done = attempt.as_mut() => done,
            () = tokio::time::sleep_until(deadline.into()) => {
                late = true;
                stop.cancel();
                attempt.await
            }
        };
        match result {
            Ok(_) => match watch.export_faults().pop() {
                Some(fault) => Err(Refused::Because(faults::spoken(&fault.message))),
                None => Ok(()),
            },
            Err(_) if late => {
                Err(Refused::Because(format!("it took longer than {} s", cap.as_secs_f32())))
            }
            Err(Ended::Failed(SolveError::Cancelled)) => Err(Refused::Interrupted),
            Err(Ended::Failed(error)) => Err(Refused::Because(faults::spoken(&error.to_string()))),
            Err(Ended::Stalled(_)) => {
                Err(Refused::Because("a cache that it reads from stands still".into()))
            }
            Err(Ended::Gone(_)) => Err(Refused::Because("the engine is gone".into())),
        }
    }
}

/// Why a cache was not written.
enum Refused {
    Interrupted,
    Because(String),
}

/// The graphs of `definition` that are finished and that nothing finished takes: one for each.
fn finished_parts(
    definition: &crate::plan::llb::Definition,
    finished: &BTreeSet<Digest>,
) -> Vec<pb::Definition> {
    let mut taken = BTreeSet::new();
    for vertex in definition.vertices.iter().filter(|vertex| finished.contains(&vertex.digest)) {
        taken.extend(vertex.inputs().into_iter().map(|(digest, _)| digest));
    }
    let mut parts = Vec::new();
    let mut seen = BTreeSet::new();
    for vertex in &definition.vertices {
        // Which of a step's results is wanted, only those who take it know.
        for (digest, output) in vertex.inputs() {
            let is_end = finished.contains(&digest) && !taken.contains(&digest);
            if is_end && seen.insert((digest, output)) {
                parts.push(definition.part(digest, output));
            }
        }
    }
    parts
}
