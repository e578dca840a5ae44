//! Packs layers while steps still run, so that the exports find most of their work done.
//!
//! BuildKit packs a layer when an exporter wants it, and exporters begin when every step has ended: a
//! stage that was done early lies there while one core runs the last step of another. A solve that
//! exports what is finished to an image without a name packs the same layers, and the engine keeps
//! them with the steps' results.
//!
//! Input: what has run so far, from the build's [`Watch`]. Output: nothing but packed layers on the
//! engine. The graphs are those of the build itself, whose steps are done or under way: nothing runs
//! because of this, and nothing here can fail a build.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use buildkit_rs_proto::pb;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Plan;
use super::graphs::Graphs;
use super::solving::Solving;
use crate::attributes::is_true;
use crate::cache::watch::Watch;
use crate::engine::client::Client;
use crate::engine::session::SessionBuilder;
use crate::engine::solve::{CacheEntry, Export, ExportTarget, SolveRequest, solve};
use crate::oci::digest::Digest;
use crate::plan::dockerfile::Compiled;
use crate::plan::llb::inputs;

/// How often is looked for finished steps. A build that takes no longer packs nothing ahead.
const PERIOD: Duration = Duration::from_millis(500);
/// Exporters that pack layers.
const IMAGES: [&str; 3] = ["image", "oci", "docker"];
/// Their attributes that decide how.
const PACKING: [&str; 3] = ["compression", "compression-level", "force-compression"];

type Attributes = BTreeMap<String, String>;

/// How the exports will want layers packed.
#[derive(Debug)]
struct Wanted {
    /// Those of the image.
    image: Attributes,
    /// All others, if a cache of all stages is written.
    cache: Option<Attributes>,
}

/// A step whose layer an export will want.
#[derive(Debug, PartialEq, Eq)]
struct Layer {
    platform: usize,
    step: Digest,
    /// Which of the step's results has it.
    output: i64,
    /// The steps that this one's layer lies on.
    below: Vec<Digest>,
    attributes: Attributes,
}

impl Solving<'_> {
    /// Packs what finishes until the returned handle is dropped.
    pub(super) fn pack_ahead(&self, watch: &Watch) -> Option<AbortOnDropHandle<()>> {
        let Plan::Native(compiled, _) = self.plan else { return None };
        // What is packed the engine hashes later than what it has just made, and meanwhile fetches layers
        // that it needs for nothing: decision 80.
        if !self.imports.is_empty() {
            return None;
        }
        let packer = Packer {
            wanted: Wanted::of(&self.exports, &self.job.caches.exports)?,
            compiled: compiled.clone(),
            client: self.client.clone(),
            graphs: self.graphs.clone(),
            entitlements: self.job.request.entitlements.clone(),
            watch: watch.clone(),
        };
        Some(AbortOnDropHandle::new(tokio::spawn(packer.run())))
    }
}

struct Packer {
    wanted: Wanted,
    compiled: std::sync::Arc<Compiled>,
    client: Client,
    graphs: Graphs,
    entitlements: Vec<String>,
    watch: Watch,
}

impl Packer {
    async fn run(self) {
        let mut clock = tokio::time::interval(PERIOD);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock.tick().await;
        clock.tick().await;
        // Most builds have ended by now, and never look at their steps for this.
        let mut layers = layers(&self.compiled, &self.wanted);
        while !layers.is_empty() {
            for layer in take_finished(&mut layers, &self.graphs.originals(self.watch.ran())) {
                // From here on the exporters do it themselves. What they do not find packed as it
                // should be they would pack again, so the first failure is the last.
                if self.watch.is_exporting() || !self.pack(layer).await {
                    return;
                }
            }
            clock.tick().await;
        }
    }

    async fn pack(&self, layer: Layer) -> bool {
        let definition = &self.compiled.platforms[layer.platform].definition;
        let part = self.graphs.of(definition.part(layer.step, layer.output));
        let mut request = SolveRequest::definition(part);
        request.exports = vec![Export {
            kind: "image".into(),
            attributes: layer.attributes,
            target: ExportTarget::Engine,
        }];
        request.internal = true;
        request.entitlements.clone_from(&self.entitlements);
        // Nobody looks at how it goes.
        let (events, _) = mpsc::channel(1);
        let never = CancellationToken::new();
        solve(&self.client, request, SessionBuilder::new(), events, &never).await.is_ok()
    }
}

impl Wanted {
    /// What the exports will want; nothing where they want no layers, or several ways of packing.
    fn of(exports: &[Export], caches: &[CacheEntry]) -> Option<Self> {
        let images = || exports.iter().filter(|export| IMAGES.contains(&export.kind.as_str()));
        let written = || caches.iter().filter(|entry| entry.kind != "inline");
        let rewrites = |export: &Export| {
            export.attributes.get("rewrite-timestamp").is_some_and(|value| is_true(value))
        };
        if images().any(rewrites) {
            return None;
        }
        let cache = written().next().map(|entry| packing(&entry.attributes));
        let mut of_images = images().map(|export| packing(&export.attributes));
        let first = of_images.next();
        if of_images.any(|other| Some(&other) != first.as_ref()) {
            return None;
        }
        let image = first.or_else(|| cache.clone())?;
        let is_whole =
            |entry: &CacheEntry| entry.attributes.get("mode").is_some_and(|mode| mode == "max");
        Some(Self { image, cache: cache.filter(|_| written().any(is_whole)) })
    }
}

/// The layers that the exports will want: of the image first, so that none of them gets packed as
/// the cache wants it.
fn layers(compiled: &Compiled, wanted: &Wanted) -> Vec<Layer> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (platform, compiled) in compiled.platforms.iter().enumerate() {
        let definition = &compiled.definition;
        let ops: Vec<(Digest, pb::Op)> =
            definition.vertices.iter().map(|vertex| (vertex.digest, vertex.op())).collect();
        let own = image_steps(definition.head(), &ops);
        let outputs = outputs(&ops);
        for (step, op) in ops {
            let makes_layer = matches!(op.op, Some(pb::op::Op::Exec(_) | pb::op::Op::File(_)));
            let (true, Some(&output)) = (makes_layer, outputs.get(&step)) else { continue };
            let below = below(&op);
            let layer = |attributes| Layer { platform, step, output, below, attributes };
            match (own.contains(&step), &wanted.cache) {
                (true, _) => first.push(layer(wanted.image.clone())),
                (false, Some(cache)) => second.push(layer(cache.clone())),
                (false, None) => {}
            }
        }
    }
    first.append(&mut second);
    first
}

/// The attributes that decide how layers are packed.
fn packing(attributes: &Attributes) -> Attributes {
    let is_packing = |(name, _): &(&String, &String)| PACKING.contains(&name.as_str());
    let found = attributes.iter().filter(is_packing);
    found.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The steps whose layers the image has, which is what `head` makes.
fn image_steps(head: Option<Digest>, ops: &[(Digest, pb::Op)]) -> BTreeSet<Digest> {
    let mut found = BTreeSet::from_iter(head);
    // Inputs come before those who take them.
    for (step, op) in ops.iter().rev() {
        if found.contains(step) {
            found.extend(below(op));
        }
    }
    found
}

/// Which of a step's results others take; the first one where they take several.
fn outputs(ops: &[(Digest, pb::Op)]) -> BTreeMap<Digest, i64> {
    let mut outputs = BTreeMap::new();
    for (digest, index) in ops.iter().flat_map(|(_, op)| inputs(op)) {
        let known = outputs.entry(digest).or_insert(index);
        *known = index.min(*known);
    }
    outputs
}

/// What an op's layers lie on.
fn below(op: &pb::Op) -> Vec<Digest> {
    let inputs: Vec<i64> = match &op.op {
        Some(pb::op::Op::Exec(exec)) => {
            exec.mounts.iter().filter(|mount| mount.dest == "/").map(|mount| mount.input).collect()
        }
        Some(pb::op::Op::File(file)) => file.actions.iter().map(|action| action.input).collect(),
        Some(pb::op::Op::Merge(merge)) => merge.inputs.iter().map(|input| input.input).collect(),
        _ => Vec::new(),
    };
    // Others are results of earlier actions, or nothing.
    let input = |index: i64| op.inputs.get(usize::try_from(index).ok()?)?.digest.parse().ok();
    inputs.into_iter().filter_map(input).collect()
}

/// Takes out what is in `ran`, and returns what has to be packed for all of it: a layer comes with
/// those that it lies on.
fn take_finished(layers: &mut Vec<Layer>, ran: &BTreeSet<Digest>) -> Vec<Layer> {
    let finished: Vec<Layer> = layers.extract_if(.., |layer| ran.contains(&layer.step)).collect();
    let lower =
        finished.iter().flat_map(|layer| layer.below.iter().map(|b| (*b, &layer.attributes)));
    let covered: BTreeSet<(Digest, &Attributes)> = lower.collect();
    let is_top = |layer: &Layer| !covered.contains(&(layer.step, &layer.attributes));
    let is_top: Vec<bool> = finished.iter().map(is_top).collect();
    finished.into_iter().zip(is_top).filter_map(|(layer, top)| top.then_some(layer)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::dockerfile::{CompileOptions, KnownImages, compile, parse};

    const DOCKERFILE: &str = "FROM scratch AS tool\nRUN one\nRUN two\n\
        FROM scratch AS base\nRUN three\n\
        FROM base\nCOPY --link --from=tool /x /x\nCOPY --link --from=tool /y /y\nRUN four\n";

    fn compiled() -> Compiled {
        let dockerfile = parse(DOCKERFILE.as_bytes(), "Dockerfile").unwrap();
        compile(&dockerfile, &CompileOptions::default(), &KnownImages::default()).unwrap()
    }

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn export(kind: &str, pairs: &[(&str, &str)]) -> Export {
        let (kind, attributes) = (kind.to_owned(), attributes(pairs));
        Export { kind, attributes, target: ExportTarget::Engine }
    }

    fn cache(kind: &str, pairs: &[(&str, &str)]) -> CacheEntry {
        CacheEntry { kind: kind.to_owned(), attributes: attributes(pairs) }
    }

    /// What is packed how: the ends of the steps' names, and a compression.
    fn wanted(exports: &[Export], caches: &[CacheEntry]) -> Vec<(String, String)> {
        let compiled = compiled();
        let name = |layer: &Layer| {
            let vertices = &compiled.platforms[layer.platform].definition.vertices;
            let vertex = vertices.iter().find(|vertex| vertex.digest == layer.step).unwrap();
            let name = vertex.metadata.custom_name().unwrap_or_default();
            name.rsplit(' ').next().unwrap().to_owned()
        };
        let wanted = Wanted::of(exports, caches);
        let layers = wanted.map_or_else(Vec::new, |wanted| layers(&compiled, &wanted));
        let how = |layer: &Layer| layer.attributes.get("compression").cloned().unwrap_or_default();
        layers.iter().map(|layer| (name(layer), how(layer))).collect()
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).into()
    }

    #[test]
    fn layers_are_packed_as_the_export_wants_them_that_comes_first() {
        let image = export("image", &[("push", "true")]);
        let max = cache("registry", &[("mode", "max"), ("compression", "zstd")]);
        let of_image = [("three", ""), ("/x", ""), ("/y", ""), ("four", "")];
        assert_eq!(wanted(std::slice::from_ref(&image), &[]), pairs(of_image));
        let min = cache("registry", &[("compression", "zstd")]);
        assert_eq!(wanted(std::slice::from_ref(&image), &[min]), pairs(of_image));
        let all =
            [("three", ""), ("/x", ""), ("/y", ""), ("four", ""), ("one", "zstd"), ("two", "zstd")];
        assert_eq!(wanted(&[image], std::slice::from_ref(&max)), pairs(all));
        let all = all.map(|(name, _)| (name, "zstd"));
        assert_eq!(wanted(&[export("local", &[])], &[max]), pairs(all));
    }

    #[test]
    fn nothing_is_packed_that_nobody_would_take() {
        assert_eq!(wanted(&[export("local", &[])], &[cache("inline", &[("mode", "max")])]), []);
        assert_eq!(wanted(&[export("image", &[("rewrite-timestamp", "true")])], &[]), []);
        let two = [export("image", &[]), export("oci", &[("compression", "zstd")])];
        assert_eq!(wanted(&two, &[]), []);
    }

    #[test]
    fn a_layer_comes_with_those_that_it_lies_on() {
        let compiled = compiled();
        let max = cache("registry", &[("mode", "max")]);
        let wanted = Wanted::of(&[export("image", &[])], &[max]).unwrap();
        let mut left = layers(&compiled, &wanted);
        let ran: BTreeSet<Digest> =
            left.iter().filter(|layer| layer.attributes.is_empty()).map(|l| l.step).collect();
        assert_eq!(ran.len(), 6);
        let tops = take_finished(&mut left, &ran);
        // `one` lies below `two`; the copies and `three` lie below a merge, which makes no layer.
        assert_eq!((tops.len(), left.len()), (5, 0));
        let two = tops.last().unwrap();
        assert_eq!(two.below.len(), 1);
        assert!(!tops.iter().any(|layer| layer.step == two.below[0]));
        assert_eq!(take_finished(&mut left, &ran), []);
    }
}
