//! An image whose every step is served by caches: put together from their layers, without a solve.
//!
//! What a build will come to is predicted ([`prediction`]): where everything that the result needs is
//! served for certain, and the layers are in the repository that is pushed to, all that is missing is
//! a config and a manifest. In every other case, and after every failure, the engine builds.
mod conditions;
mod events;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::native;
use super::planning::Plan;
use super::reuse::Reuse;
use super::{Built, Job, result};
use crate::cache::predict::{CacheRef, Prediction};
use crate::cache::probe::{Answer, Place};
use crate::cache::{hierarchy, inline};
use crate::cli::explaining::Explaining;
use crate::cli::prediction::{self, Subject};
use crate::cli::report::Failure;
use crate::engine::solve::SolveResult;
use crate::fault::chain;
use crate::oci::assembly::{self, Assembled, Settings};
use crate::oci::digest::Digest;
use crate::oci::reference::ImageReference;
use crate::oci::registry::{Precondition, RegistryError};
use crate::output::exporter::Output;
use crate::plan::dockerfile::{Compiled, CompiledPlatform};
use conditions::{annotations, is_understood, layers, needs_no_rights};

/// Requests for layers that are on their way at once.
const PARALLEL: usize = 16;
/// The bytes of the context that are read to find out, which takes some hundredths of a second: the engine may have to
/// be sent files after all.
const READ_LIMIT: u64 = 64 << 20;

/// Whether an image may be put together without the engine
#[derive(Debug, Args)]
pub(super) struct AssembleArgs {
    /// Push an image whose steps the caches hold without a solve, made of the caches' layers
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, env = "KITWRIGHT_ASSEMBLE")]
    assemble: When,
}

/// When an image is put together without the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum When {
    /// Where the caches hold all of it for certain
    #[default]
    Auto,
    /// In no case
    Never,
}

/// An image that can be put together.
pub(super) struct Assembly {
    image: Assembled,
    /// Its layers as the cache has them.
    layers: Vec<Digest>,
    /// Where the cache is, if that is a registry.
    origin: Option<ImageReference>,
    /// What the exporter calls the image.
    name: String,
    tags: Vec<ImageReference>,
    /// The cache that it is made of.
    served_by: String,
    /// The caches that would be written and hold all of it already.
    held: Vec<String>,
}

/// What is known of a build before the engine is asked.
#[derive(Default)]
pub(super) struct Foreseen {
    /// What the caches serve, if that was worth finding out.
    pub predictions: Option<Vec<Prediction>>,
    /// The image, if all of it is there.
    pub assembly: Option<Assembly>,
}

impl Job<'_> {
    /// Finds out whether the image can be put together from what `answers` hold.
    ///
    /// The context is read last, and only when nothing but its files could be in the way.
    pub(super) fn foresee(&self, plan: &Plan, answers: &[Answer]) -> Foreseen {
        let nothing = Foreseen::default();
        let Plan::Native(compiled, _) = plan else { return nothing };
        let (Some(output), false) = (self.assembled_output(), answers.is_empty()) else {
            return nothing;
        };
        if native::needs_gateway(compiled) || !compiled.platforms.iter().all(needs_no_rights) {
            return nothing;
        }
        let mut subject = Subject::new(&self.source, compiled);
        let refs = prediction::refs(answers);
        if subject.predict_unread(&refs).iter().any(Prediction::surely_runs) {
            return nothing;
        }
        // Else what is read now is read for the order of the caches all the same.
        if refs.len() == 1 && !self.args.mounts.are_kept() {
            subject.limit(READ_LIMIT);
        }
        let predictions = subject.predict(&refs);
        let assembly =
            self.assembly(compiled, (answers, &refs), &predictions, output, &mut subject);
        subject.remember();
        Foreseen { predictions: Some(predictions), assembly }
    }

    /// The one output, where it is a push of which everything is understood and all else may be left out.
    fn assembled_output(&self) -> Option<&Output> {
        let [output] = &self.request.outputs[..] else { return None };
        let is_plain = self.args.assemble.assemble == When::Auto
            && self.request.attestations.is_empty()
            && !self.args.history.keeps_record();
        (is_plain && output.pushes() && is_understood(output)).then_some(output)
    }

    fn assembly(
        &self,
        compiled: &Compiled,
        (answers, refs): (&[Answer], &[CacheRef<'_>]),
        predictions: &[Prediction],
        output: &Output,
        subject: &mut Subject<'_>,
    ) -> Option<Assembly> {
        let ([platform], [predicted]) = (&compiled.platforms[..], predictions) else { return None };
        let (by, place) = predicted.result()?;
        let served = refs.get(by)?;
        let layers = layers(served.config?, &place.layers)?;
        let mut held = Vec::new();
        for entry in self.caches.exports.iter().filter(|entry| entry.kind != "inline") {
            let name = hierarchy::name(entry);
            let one = refs.iter().find(|one| one.name == name && one.config.is_some())?;
            let holds =
                |prediction: &Prediction| prediction.is_certain() && prediction.is_covered();
            if refs.len() > 1 && !subject.predict(std::slice::from_ref(one)).iter().all(holds) {
                return None;
            }
            held.push(name);
        }
        let settings = Settings {
            base: platform.base_config.as_ref(),
            epoch: platform.epoch,
            annotations: annotations(output),
            inline_cache: match self.inline_caches(std::iter::once(&output.attributes)).is_empty() {
                true => None,
                false => Some(STANDARD.encode(inline::records(served.config?, place)?)),
            },
        };
        let image = assembly::assemble(&platform.config, &layers, settings)?;
        let name = output.attributes.get("name")?.clone();
        let tags =
            name.split(',').map(ImageReference::parse).collect::<Result<Vec<_>, _>>().ok()?;
        if tags.is_empty() || tags.iter().any(|tag| tag.digest().is_some()) {
            return None;
        }
        let origin = answers.iter().find_map(|answer| match answer {
            Answer::Ready(probed) if probed.name == served.name => match &probed.place {
                Place::Registry { reference, .. } => Some(reference.clone()),
                Place::Github(_) => None,
            },
            _ => None,
        });
        let mut seen = BTreeSet::new();
        Some(Assembly {
            image,
            layers: layers.iter().map(|l| l.blob.digest).filter(|d| seen.insert(*d)).collect(),
            origin,
            name,
            served_by: served.name.clone(),
            tags: tags.into_iter().map(ImageReference::tag_name_only).collect(),
            held,
        })
    }

    /// Builds without an engine what was found to need none; `None` when the engine has to build.
    pub(super) async fn without_engine(
        &self,
        plan: &Plan,
        foreseen: &Foreseen,
        solve_ref: &str,
        (reuse, explaining): &mut (Option<Box<Reuse>>, Option<Explaining>),
    ) -> Option<Result<Built, Failure>> {
        let (Plan::Native(compiled, _), Some(assembly)) = (plan, &foreseen.assembly) else {
            return None;
        };
        let [platform] = &compiled.platforms[..] else { return None };
        let began = Timestamp::now();
        match self.interruptible(async { Ok(self.push_assembled(assembly).await) }).await {
            Err(interrupted) => return Some(Err(interrupted)),
            Ok(Ok(true)) => {}
            // A layer that the registry has not got the engine brings there.
            Ok(Ok(false)) => return None,
            Ok(Err(why)) => {
                let line = format!("not put together from caches, but built: {why}");
                self.display.note(line).await;
                return None;
            }
        }
        self.tell(events::of(platform, assembly, began, Timestamp::now())).await;
        let from = &assembly.served_by;
        self.display.note(format!("put together from `{from}`, which holds every step")).await;
        let result = SolveResult { exporter_response: response(platform, assembly) };
        let built = Built { solve_ref: solve_ref.to_owned(), result };
        if let Err(failure) = self.deliver(&built, reuse.as_deref()).await {
            return Some(Err(failure));
        }
        self.explain(explaining.take(), &built, &BTreeSet::new()).await;
        let held = assembly.held.iter().map(|name| super::caching::held_line(name));
        self.display.notes(held).await;
        self.keep_cache(reuse.as_deref(), &[]).await;
        Some(Ok(built))
    }

    /// Pushes config and manifest if all layers are there or can be brought there by the registry itself.
    ///
    /// A tag moves last. Whatever goes wrong, the engine can still build.
    async fn push_assembled(&self, assembly: &Assembly) -> Result<bool, String> {
        let limit = self.args.cache.cache_timeout;
        let repositories = repositories(&assembly.tags);
        let ready = async {
            for repository in repositories {
                let config = &assembly.image.config;
                let bytes = Bytes::from(config.bytes.clone());
                let (layers, config) = tokio::join!(
                    self.has_layers(assembly, repository),
                    self.registry.push_blob(repository, &config.descriptor, &bytes, None),
                );
                if !layers? {
                    return Ok::<_, RegistryError>(false);
                }
                config?;
            }
            Ok(true)
        };
        match tokio::time::timeout(limit, ready).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(false),
            Ok(Err(error)) => return Err(chain(&error)),
            Err(_) => {
                return Err(format!("the registry took longer than {} s", limit.as_secs_f32()));
            }
        }
        let manifest = &assembly.image.manifest;
        for tag in &assembly.tags {
            let bytes = Bytes::from(manifest.bytes.clone());
            let kind = &manifest.descriptor.media_type;
            let put = self.registry.put_manifest(tag, kind, bytes, Precondition::None);
            put.await.map_err(|error| chain(&error))?;
        }
        Ok(true)
    }

    /// Whether all layers are in `repository`, if need be taken over from the cache's.
    async fn has_layers(
        &self,
        assembly: &Assembly,
        repository: &ImageReference,
    ) -> Result<bool, RegistryError> {
        let origin = assembly.origin.as_ref().filter(|origin| {
            origin.registry() == repository.registry() && !origin.same_repository(repository)
        });
        let has = async |layer: &Digest| {
            if self.registry.has_blob(repository, *layer).await? {
                return Ok(true);
            }
            match origin {
                Some(origin) => self.registry.mount_blob(repository, *layer, origin).await,
                None => Ok(false),
            }
        };
        let asked = stream::iter(assembly.layers.iter().map(has)).buffer_unordered(PARALLEL);
        asked.try_all(async |is_there| is_there).await
    }
}

/// One reference of each repository that `tags` are in.
fn repositories(tags: &[ImageReference]) -> Vec<&ImageReference> {
    let mut found: Vec<&ImageReference> = Vec::new();
    for tag in tags {
        if !found.iter().any(|known| known.same_repository(tag)) {
            found.push(tag);
        }
    }
    found
}

/// What the exporter would answer.
fn response(platform: &CompiledPlatform, assembly: &Assembly) -> BTreeMap<String, String> {
    let Assembled { config, manifest } = &assembly.image;
    let mut descriptor = manifest.descriptor.clone();
    descriptor.platform = Some(platform.config.platform().normalize());
    result::response(&descriptor, Some(config.descriptor.digest), assembly.name.clone())
}
