//! `--cache-mounts`: fills cache mounts before the build and saves them after it.
//!
//! Nothing here fails a build: what goes wrong with a mount is one line.
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Job;
use super::graphs::Graphs;
use super::planning::Plan;
use super::reuse;
use super::staging::Staging;
use crate::cache::mounts::program::{self, Limits};
use crate::cache::mounts::save::{self, Outcome};
use crate::cache::mounts::seed::{self, Saved, Seeded};
use crate::cache::mounts::{CacheMount, Engine, MountError, find};
use crate::cli::display::Display;
use crate::cli::report::Failure;
use crate::cli::source;
use crate::engine::client as engine;
use crate::engine::gateway::Bridge;
use crate::engine::session::SessionBuilder;
use crate::engine::session::auth::RegistryAuth;
use crate::fault::chain;
use crate::oci::credentials::{CredentialSources, CredentialStore};
use crate::oci::digest::Digest;
use crate::oci::reference::ImageReference;
use crate::oci::registry::Client;
use crate::output::progress::News;
use crate::plan::dockerfile::Compiled;

/// Where cache mounts are kept.
#[derive(Clone, Debug, Args)]
pub(super) struct MountArgs {
    /// Keep cache mounts in this repository from build to build, e.g. `ghcr.io/org/app/mounts`
    #[arg(long, value_name = "REF", env = "KITWRIGHT_CACHE_MOUNTS")]
    cache_mounts: Option<String>,
    /// Fill cache mounts and save none, as a fork's build has to
    #[arg(long, env = "KITWRIGHT_CACHE_MOUNTS_READONLY")]
    cache_mounts_readonly: bool,
    /// Save no more than this of one cache mount, uncompressed; 0 for any size
    #[arg(long, value_name = "SIZE", default_value = "4g")]
    cache_mounts_max_size: String,
    /// Save nothing of a cache mount that was not used for so long
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = reuse::parse_duration)]
    cache_mounts_max_age: Duration,
    /// Build without a cache mount that is not restored within this time
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = reuse::parse_duration)]
    cache_mounts_timeout: Duration,
    /// Give up saving a cache mount after this time
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = reuse::parse_duration)]
    cache_mounts_save_timeout: Duration,
}

/// The cache mounts of a build that are kept.
pub(super) struct Mounts {
    registry: Client,
    root: ImageReference,
    limits: Limits,
    readonly: bool,
    /// How long restoring one may take.
    restore_limit: Duration,
    /// How long saving one may take.
    save_limit: Duration,
    tracked: Vec<Tracked>,
}

/// One mount, and what is known of it.
struct Tracked {
    mount: Arc<CacheMount>,
    saved: State,
    /// Why what is saved could not be brought to the engine.
    failed: Arc<OnceLock<MountError>>,
}

enum State {
    /// No step that needs it was expected to run.
    Unasked,
    Asked(AbortOnDropHandle<Saved>),
    Known(Arc<Saved>),
}

/// Mounts that are being filled while the engine builds what does not need them.
pub(super) struct Filling {
    steps: BTreeSet<Digest>,
    /// Whether it is certain that these steps run, so that their inputs can be built meanwhile.
    certain: bool,
    done: watch::Receiver<bool>,
    _task: AbortOnDropHandle<()>,
}

/// Whether an engine has never built anything, so that what no cache serves has to run.
async fn is_new(client: &engine::Client) -> bool {
    client.disk_usage(Vec::new()).await.is_ok_and(|records| records.is_empty())
}

impl Job<'_> {
    /// The cache mounts to keep.
    pub(super) async fn mounts(
        &self,
        plan: &Plan,
        expected: Option<&BTreeSet<Digest>>,
    ) -> Result<Option<Mounts>, Failure> {
        let Plan::Native(compiled, _) = plan else { return Ok(None) };
        let registry = self.registry.clone();
        self.args.mounts.plan(compiled, expected, registry, self.display).await
    }
}

impl MountArgs {
    /// Whether cache mounts are kept at all.
    pub(super) fn are_kept(&self) -> bool {
        self.cache_mounts.as_ref().is_some_and(|name| !name.is_empty())
    }

    /// Begins to look up what is saved of the mounts that `compiled` needs.
    ///
    /// `expected` are the steps that will run, where that is known.
    ///
    /// # Errors
    ///
    /// Flags that are wrong.
    pub(super) async fn plan(
        &self,
        compiled: &Compiled,
        expected: Option<&BTreeSet<Digest>>,
        client: Client,
        display: &Display,
    ) -> Result<Option<Mounts>, Failure> {
        let Some(name) = self.cache_mounts.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let root = ImageReference::parse(name)?;
        let max_size = source::byte_size("--cache-mounts-max-size", &self.cache_mounts_max_size)?;
        let limits = Limits { max_size, max_age: self.cache_mounts_max_age.as_secs() };
        if !program::is_available() {
            display
                .note("cache mounts are not kept: kitwright was built without their helper")
                .await;
            return Ok(None);
        }
        let found = find(compiled);
        for target in &found.bound {
            let line = format!("cache mount `{target}` starts with local files: it is not kept");
            display.note(line).await;
        }
        let is_expected = |mount: &CacheMount| {
            expected.is_none_or(|expected| !expected.is_disjoint(&mount.steps))
        };
        let track = |mount: CacheMount| {
            let mount = Arc::new(mount);
            let saved = match is_expected(&mount) {
                false => State::Unasked,
                // Whatever it were filled with would go; what it holds after the build is new.
                true if mount.emptied => State::Known(Arc::new(Saved::Nothing)),
                true => {
                    let (client, root, mount) = (client.clone(), root.clone(), mount.clone());
                    let look_up = async move { seed::look_up(&client, &root, &mount).await };
                    State::Asked(AbortOnDropHandle::new(tokio::spawn(look_up)))
                }
            };
            Tracked { mount, saved, failed: Arc::default() }
        };
        let tracked = found.mounts.into_iter().map(track).collect();
        Ok(Some(Mounts {
            registry: client,
            root,
            limits,
            readonly: self.cache_mounts_readonly,
            restore_limit: self.cache_mounts_timeout,
            save_limit: self.cache_mounts_save_timeout,
            tracked,
        }))
    }
}

impl Mounts {
    /// Begins to fill what was saved; `None` when there is nothing to wait for.
    ///
    /// `certain` tells that the steps will run unless the engine itself has their results.
    pub(super) async fn fill(
        &mut self,
        client: &engine::Client,
        certain: bool,
        cancel: &CancellationToken,
        display: &Display,
    ) -> Option<Filling> {
        let (engine, news) = (self.engine(client, cancel), display.news());
        // Before the mounts are there.
        let is_new = certain && is_new(client).await;
        let mut steps = BTreeSet::new();
        let mut work = JoinSet::new();
        for tracked in &mut self.tracked {
            let State::Asked(asked) = &mut tracked.saved else { continue };
            let Ok(saved) = asked.await else { continue };
            let saved = Arc::new(saved);
            tracked.saved = State::Known(saved.clone());
            match &*saved {
                Saved::Nothing => {}
                Saved::Unknown(error) => {
                    let (target, why) = (&tracked.mount.target, chain(error));
                    display.note(format!("cache mount `{target}` is not restored: {why}")).await;
                }
                Saved::Artifact(_) => {
                    steps.extend(&tracked.mount.steps);
                    let (engine, root) = (engine.clone(), self.root.clone());
                    let mount = tracked.mount.clone();
                    let (news, limit) = (news.clone(), self.restore_limit);
                    let failed = tracked.failed.clone();
                    work.spawn(async move {
                        let Saved::Artifact(artifact) = &*saved else { return };
                        let seeded = seed::seed(&engine, &root, &mount, artifact, limit).await;
                        if let Some(line) = restored(&mount.target, &seeded) {
                            let _ = news.send(News::Note(line)).await;
                        }
                        if let Err(error) = seeded {
                            let _ = failed.set(error);
                        }
                    });
                }
            }
        }
        if work.is_empty() {
            return None;
        }
        let (finished, done) = watch::channel(false);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            work.join_all().await;
            // The build may have failed without waiting.
            let _ = finished.send(true);
        }));
        Some(Filling { steps, certain: is_new, done, _task: task })
    }

    /// What moves mounts between an engine and the registry.
    fn engine(&self, client: &engine::Client, cancel: &CancellationToken) -> Engine {
        let credentials = self.registry.clone();
        let session = move || {
            let store = CredentialStore::new(CredentialSources::from_env());
            SessionBuilder::new().attach(RegistryAuth::new(store, credentials.clone()))
        };
        Engine {
            client: client.clone(),
            registry: self.registry.clone(),
            session: Arc::new(session),
            cancel: cancel.clone(),
        }
    }

    /// Saves the mounts that steps of this build have worked with.
    pub(super) async fn save(
        self,
        ran: &BTreeSet<Digest>,
        client: &engine::Client,
        cancel: &CancellationToken,
        display: &Display,
    ) {
        if self.readonly {
            return;
        }
        let engine = self.engine(client, cancel);
        let mut work = JoinSet::new();
        for Tracked { mount, saved, failed } in self.tracked {
            // What the registry has of the others is not known, and could be more than there is here.
            let State::Known(saved) = saved else { continue };
            if ran.is_disjoint(&mount.steps) || matches!(*saved, Saved::Unknown(_)) {
                continue;
            }
            let (engine, root, limits) = (engine.clone(), self.root.clone(), self.limits);
            let limit = self.save_limit;
            work.spawn(async move {
                let known = match (&*saved, failed.get()) {
                    (Saved::Artifact(artifact), None) => Some(&**artifact),
                    (Saved::Artifact(kept), Some(error)) => {
                        if !save::is_lost(&engine, &root, kept, error, limit).await {
                            return Some(unreplaced(&mount.target));
                        }
                        // A damaged one would stay in the place of the same content.
                        None
                    }
                    _ => None,
                };
                let outcome = save::save(&engine, &root, &mount, known, limits, limit).await;
                stored(&mount.target, outcome)
            });
        }
        for line in work.join_all().await.into_iter().flatten() {
            display.note(line).await;
        }
    }
}

impl Filling {
    /// Has the engine work on what does not need the mounts until they are filled.
    ///
    /// What it has begun goes on as long as the returned handles are kept.
    pub(super) async fn meanwhile(
        &self,
        bridge: &Bridge,
        compiled: &Compiled,
        staging: &Staging,
        graphs: &Graphs,
    ) -> Vec<AbortOnDropHandle<()>> {
        let mut begun = Vec::new();
        let (failed, mut failure) = mpsc::channel::<()>(1);
        if self.certain {
            for (at, platform) in compiled.platforms.iter().enumerate() {
                let parts =
                    crate::cache::mounts::frontier::ready(&platform.definition, &self.steps);
                for part in parts {
                    let (bridge, imports, failed) =
                        (bridge.clone(), staging.last(at).to_vec(), failed.clone());
                    let part = graphs.of(part);
                    let early = async move {
                        if bridge.solve(part, &imports, true).await.is_err() {
                            let _ = failed.send(()).await;
                        }
                    };
                    begun.push(AbortOnDropHandle::new(tokio::spawn(early)));
                }
            }
        }
        let mut done = self.done.clone();
        tokio::select! {
            _ = done.wait_for(|done| *done) => {}
            // The whole build tells what is wrong.
            Some(()) = failure.recv() => {}
        }
        begun
    }
}

/// What came of filling a mount.
fn restored(target: &str, outcome: &Result<Seeded, MountError>) -> Option<String> {
    match outcome {
        Ok(Seeded::Filled(files, bytes)) => {
            Some(format!("cache mount `{target}`: restored {files} files, {}", megabytes(*bytes)))
        }
        Ok(Seeded::Added(0, _) | Seeded::Kept) => None,
        Ok(Seeded::Added(files, bytes)) => {
            Some(format!("cache mount `{target}`: added {files} files, {}", megabytes(*bytes)))
        }
        Err(error) => Some(format!("cache mount `{target}` is not restored: {}", chain(error))),
    }
}

/// What is said of a mount that the build began without.
fn unreplaced(target: &str) -> String {
    format!(
        "cache mount `{target}` is not saved: what is kept of it could not be restored, and may be more"
    )
}

/// What came of saving a mount.
fn stored(target: &str, outcome: Result<Outcome, MountError>) -> Option<String> {
    match outcome {
        Ok(Outcome::Pushed(content, size)) => {
            let dropped = match content.dropped {
                0 => String::new(),
                bytes => format!(", {} dropped", megabytes(bytes)),
            };
            let (files, bytes) = (content.files, megabytes(content.bytes));
            let size = megabytes(size);
            Some(format!("cache mount `{target}`: saved {files} files, {bytes} as {size}{dropped}"))
        }
        Ok(Outcome::Unchanged | Outcome::Empty) => None,
        Err(error) => Some(format!("cache mount `{target}` is not saved: {}", chain(&error))),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
