//! Tells why steps run again, from what is kept of the build before.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use buildkit_rs_proto::pb::op::Op;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::display::Display;
use super::keys;
use super::source::Source;
use crate::cache::explain::{self, Cause, Graph, Reading, keep};
use crate::cache::watch::Watch;
use crate::engine::state::StateDir;
use crate::fault::chain;
use crate::key::files::{Detail, Directory};
use crate::key::memory::Memory;
use crate::oci::digest::Digest;
use crate::oci::reference::ImageReference;
use crate::oci::registry::Client;
use crate::output::progress::News;
use crate::plan::dockerfile::{CompileOptions, Compiled};
use crate::plan::llb::Vertex;

/// Without `--explain` causes are printed only when there are no more than these.
const FEW: usize = 5;
/// How long after the build a registry may take to tell what the build before was made of.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest part of a step's name that is printed.
const NAME_MAX: usize = 60;

/// What a build or a plan is made of, not yet taken down.
#[derive(Clone)]
pub(super) struct Subject {
    compiled: Arc<Compiled>,
    directories: Arc<BTreeMap<String, Directory>>,
    dockerfile: String,
    /// Where the graph of the build before is.
    place: PathBuf,
    /// Where digests of files are remembered.
    memory: PathBuf,
}

/// A build that will be explained.
pub(super) struct Explaining {
    subject: Subject,
    /// Whether the user asked for it.
    asked: bool,
    before: Option<JoinHandle<Option<Graph>>>,
    now: Option<JoinHandle<Graph>>,
    /// A solve, and what takes the graph down once a step of it runs.
    watched: Option<(Watch, AbortOnDropHandle<Option<Graph>>)>,
    client: Client,
    image: Option<ImageReference>,
}

/// What is said of a step.
pub(super) struct Told {
    /// The step's vertex.
    pub vertex: Digest,
    /// All causes in one line.
    pub cause: String,
    /// With file, line and name, for people.
    pub line: String,
    /// Whether the step itself changed, and not one before it.
    is_root: bool,
}

impl Subject {
    /// What `source` compiled to; `None` without a state folder.
    pub(super) fn new(
        source: &Source,
        compiled: Arc<Compiled>,
        options: &CompileOptions,
    ) -> Option<Self> {
        let state = StateDir::from_env(|name| std::env::var_os(name)).ok()?;
        let file = source.dockerfile.path.as_ref().and_then(|path| std::path::absolute(path).ok());
        let context = source.context.as_ref().and_then(|path| std::path::absolute(path).ok());
        let platforms: Vec<String> =
            compiled.platforms.iter().map(|platform| platform.platform.to_string()).collect();
        // Arguments are left out: what they change is what is to be told.
        let identity = format!("{file:?}\n{context:?}\n{:?}\n{platforms:?}", options.target);
        let hex = Digest::of(identity.as_bytes()).hex();
        Some(Self {
            compiled,
            directories: Arc::new(keys::directories(source, options)),
            dockerfile: source.dockerfile.name.clone(),
            place: state.root().join("graphs").join(&hex[..32]),
            memory: state.root().join("context-digests"),
        })
    }

    /// Takes the graph down; looks at the files that its steps use.
    fn graph(&self, detail: Detail) -> Graph {
        let mut memory = Memory::open(self.memory.clone());
        let mut reading = Reading::new(&self.directories, &mut memory, detail);
        let graph = explain::record(&self.compiled, &self.dockerfile, &mut reading);
        // Without it the next run reads the files again.
        let _ = memory.save();
        graph
    }

    /// Whether a step is among `vertices` that says something by having run.
    ///
    /// Sources are looked at in every build, and a step that takes nothing is never told to be cached.
    fn has_step_in(&self, vertices: &BTreeSet<Digest>) -> bool {
        let own = self.compiled.platforms.iter().flat_map(|p| &p.definition.vertices);
        let mut ran = own.filter(|vertex| vertices.contains(&vertex.digest)).map(Vertex::op);
        ran.any(|op| !op.inputs.is_empty() && matches!(op.op, Some(Op::Exec(_) | Op::File(_))))
    }

    /// What changed since the last build on this machine; `None` if there was none.
    pub(super) fn moved(&self) -> Option<Vec<Told>> {
        let before = keep::load(&self.place)?;
        let now = self.graph(Detail::Times);
        let found = explain::moved(&before, &now);
        Some(told(&now, found))
    }
}

impl Explaining {
    /// Looks for what the build before was made of: here, and if `asked` at the registry of `image`.
    pub(super) fn begin(
        subject: Subject,
        asked: bool,
        client: Client,
        image: Option<ImageReference>,
    ) -> Self {
        // Unasked, nothing is read before a step has run again: most often none does.
        let now = asked.then(|| take_down(&subject, Detail::Contents));
        let remote = || image.clone().map(|image| (client.clone(), image));
        let before = asked.then(|| look_back(&subject, remote()));
        Self { subject, asked, before, now, watched: None, client, image }
    }

    /// Takes the graph down as soon as a step of the solve that `watch` sees runs: the engine is busy then, and
    /// the build would have to wait for it later.
    pub(super) fn beside(&mut self, watch: &Watch) {
        let known = self.watched.as_ref().is_some_and(|(watch, _)| watch.has_stepped());
        if known || self.now.is_some() {
            return;
        }
        let (subject, stepping) = (self.subject.clone(), watch.clone());
        let task = tokio::spawn(async move {
            stepping.stepping().await;
            take_down(&subject, Detail::Times).await.ok()
        });
        self.watched = Some((watch.clone(), AbortOnDropHandle::new(task)));
    }

    /// Says why the steps of `ran` ran, and keeps what they were made of.
    ///
    /// `pushed` is the digest of the image, if it was pushed.
    pub(super) async fn finish(
        self,
        ran: &BTreeSet<Digest>,
        pushed: Option<Digest>,
        display: &Display,
    ) {
        let Self { subject, asked, before, now, watched, client, image } = self;
        if !asked && !subject.has_step_in(ran) {
            return;
        }
        let before = before.unwrap_or_else(|| look_back(&subject, None));
        let now = match (now, watched) {
            (Some(now), _) => now.await.ok(),
            (None, Some((watch, task))) if watch.has_stepped() => task.await.ok().flatten(),
            (None, _) => take_down(&subject, Detail::Times).await.ok(),
        };
        let Some(now) = now else { return };
        let before = tokio::time::timeout(PATIENCE, before).await;
        match before.ok().and_then(Result::ok).flatten() {
            Some(before) => {
                tell(told(&now, explain::explain(&before, &now, ran)), asked, display).await
            }
            None if asked => {
                display.note("nothing to explain: no build before is known").await;
            }
            None => {}
        }
        if let Err(error) = keep::store(&subject.place, &now)
            && asked
        {
            display.note(format!("cannot keep the build's graph: {error}")).await;
        }
        if let (true, Some(image), Some(digest)) = (asked, image, pushed)
            && let Err(error) = keep::push(&client, &image, digest, &now).await
        {
            let why = chain(&error);
            display.note(format!("cannot keep the build's graph beside the image: {why}")).await;
        }
    }
}

fn take_down(subject: &Subject, detail: Detail) -> JoinHandle<Graph> {
    let subject = subject.clone();
    tokio::task::spawn_blocking(move || subject.graph(detail))
}

/// Looks for the graph of the build before: here, else beside the image in its registry.
fn look_back(
    subject: &Subject,
    remote: Option<(Client, ImageReference)>,
) -> JoinHandle<Option<Graph>> {
    let place = subject.place.clone();
    tokio::spawn(async move {
        let local = tokio::task::spawn_blocking(move || keep::load(&place)).await;
        match (local.ok().flatten(), remote) {
            (None, Some((registry, image))) => keep::fetch(&registry, &image).await.ok().flatten(),
            (local, _) => local,
        }
    })
}

/// In the order of the steps.
fn told(now: &Graph, found: BTreeMap<Digest, (usize, Vec<Cause>)>) -> Vec<Told> {
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, (at, _))| *at);
    let told = |(vertex, (at, causes)): (Digest, (usize, Vec<Cause>))| {
        let step = &now.steps[at];
        let cause = Cause::line(&causes);
        let line = step.lines.map(|(line, _)| format!(":{line}")).unwrap_or_default();
        let name = step.name.replace('\n', " ");
        let name = match name.chars().count() {
            0..=NAME_MAX => name,
            _ => name.chars().take(NAME_MAX - 1).chain(['…']).collect(),
        };
        let line = format!("{}{line} {name}: {cause}", now.dockerfile);
        Told { vertex, cause, line, is_root: causes.iter().any(Cause::is_root) }
    };
    found.into_iter().map(told).collect()
}

async fn tell(told: Vec<Told>, asked: bool, display: &Display) {
    let news = display.news();
    let roots = told.iter().filter(|told| told.is_root).count();
    for Told { vertex, cause, line, is_root } in told {
        // A display that has ended has nowhere to say it.
        let _ = news.send(News::Cause(vertex, cause)).await;
        if asked || is_root && roots <= FEW {
            display.note(format!("ran again: {line}")).await;
        }
    }
}
