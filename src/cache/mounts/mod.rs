//! Cache mounts that outlive their engine.
//!
//! Input: the compiled graph and a repository. Each cache mount of the graph ([`CacheMount`]) is one
//! artifact there ([`artifact`]). Before the build [`seed`] fills the engine's mounts from them, after
//! it [`save`] pushes the changed ones; both run [`program`] in the engine, so that the bytes go
//! between engine and registry and not through the client. Steps and their keys stay as they are:
//! an engine finds a cache mount by its id and its base, and nothing else of the step counts.
//!
//! `docs/cache-mounts.md` describes it for users, `docs/decisions/0060-cache-mounts.md` says why.

pub mod artifact;
pub mod frontier;
pub mod program;
mod run;
pub mod save;
pub mod seed;

use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;
use bytes::Bytes;
use pb::op::Op;

use crate::oci::digest::Digest;
use crate::plan::dockerfile::Compiled;
use crate::plan::llb::{Definition, Vertex};

pub use run::{Engine, MountError};

/// A cache mount of a build: what an engine keeps under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheMount {
    /// Its id on the engine: the namespace, a slash, and the id or target of the Dockerfile.
    pub id: String,
    /// How steps that run at once share it.
    pub sharing: pb::CacheSharingOpt,
    /// What it holds at first; nothing for most.
    pub base: Option<Base>,
    /// Where the first step mounts it, for people.
    pub target: String,
    /// The platforms whose steps use it.
    pub platforms: BTreeSet<String>,
    /// The steps that use it.
    pub steps: BTreeSet<Digest>,
    /// Whether the engine empties it before the build: it does so for steps without cache.
    pub emptied: bool,
}

/// The files that a cache mount starts with.
///
/// An engine tells mounts of one id apart by the result they start from, so whatever fills the mount
/// beforehand has to name the same one. `uid=`, `gid=` and `mode=` make such a base, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// The ops that make it with their names, each after its inputs.
    pub ops: Vec<(Bytes, String)>,
    /// The digest of the last one.
    pub digest: String,
    /// Which of its results.
    pub index: i64,
    /// The folder of it that is mounted.
    pub selector: String,
}

/// The cache mounts of a build, and those that cannot be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Those that can.
    pub mounts: Vec<CacheMount>,
    /// The targets of those that start with files which only this build has.
    pub bound: BTreeSet<String>,
}

/// Lists the cache mounts of a build, in the order of their ids.
#[must_use]
pub fn find(compiled: &Compiled) -> Found {
    let mut bound = BTreeSet::new();
    let mut mounts: BTreeMap<(String, Option<Base>), CacheMount> = BTreeMap::new();
    for platform in &compiled.platforms {
        for vertex in &platform.definition.vertices {
            let op = vertex.op();
            let Some(Op::Exec(exec)) = &op.op else { continue };
            for mount in &exec.mounts {
                let Some(cache) = &mount.cache_opt else { continue };
                let Ok(base) = base(&platform.definition, &op, mount) else {
                    bound.insert(mount.dest.clone());
                    continue;
                };
                let known = mounts.entry((cache.id.clone(), base.clone()));
                let known = known.or_insert_with(|| CacheMount {
                    id: cache.id.clone(),
                    sharing: cache.sharing(),
                    base,
                    target: mount.dest.clone(),
                    platforms: BTreeSet::new(),
                    steps: BTreeSet::new(),
                    emptied: false,
                });
                known.emptied |= vertex.metadata.ignore_cache;
                known.platforms.insert(platform.platform.to_string());
                known.steps.insert(vertex.digest);
            }
        }
    }
    Found { mounts: mounts.into_values().collect(), bound }
}

/// A base that comes from this machine, so that another session would not find it.
struct Bound;

fn base(definition: &Definition, op: &pb::Op, mount: &pb::Mount) -> Result<Option<Base>, Bound> {
    let Some(input) = usize::try_from(mount.input).ok().and_then(|at| op.inputs.get(at)) else {
        return Ok(None);
    };
    let mut needed = BTreeSet::from([input.digest.clone()]);
    let mut ops = Vec::new();
    for Vertex { digest, bytes, metadata, .. } in definition.vertices.iter().rev() {
        if !needed.contains(&digest.to_string()) {
            continue;
        }
        let op = <pb::Op as prost::Message>::decode(bytes.clone()).unwrap_or_default();
        if let Some(Op::Source(source)) = &op.op
            && ["local://", "oci-layout://"].iter().any(|kind| source.identifier.starts_with(kind))
        {
            return Err(Bound);
        }
        needed.extend(op.inputs.into_iter().map(|input| input.digest));
        ops.push((bytes.clone(), metadata.custom_name().unwrap_or_default().to_owned()));
    }
    ops.reverse();
    let selector = mount.selector.clone();
    Ok(Some(Base { ops, digest: input.digest.clone(), index: input.index, selector }))
}

impl CacheMount {
    /// What tells this mount from all others in a repository, as 16 digits.
    ///
    /// Made of the id, the platforms and the base. The engine's own identity leaves platforms out,
    /// but what tools of another architecture have cached is of little use.
    #[must_use]
    pub fn key(&self) -> String {
        let mut text = self.id.clone();
        for platform in &self.platforms {
            text.push('\0');
            text.push_str(platform);
        }
        if let Some(base) = &self.base {
            text.push_str("\0base\0");
            text.push_str(&format!("{}\0{}\0{}", base.digest, base.index, base.selector));
        }
        Digest::of(text.as_bytes()).hex()[..16].to_owned()
    }

    /// The mount as an op has it, at `dest` with the base as its input number `base_input`.
    pub(crate) fn mount(
        &self,
        dest: &str,
        base_input: i64,
        sharing: pb::CacheSharingOpt,
    ) -> pb::Mount {
        pb::Mount {
            input: if self.base.is_some() { base_input } else { -1 },
            selector: self.base.as_ref().map_or_else(String::new, |base| base.selector.clone()),
            dest: dest.to_owned(),
            output: -1,
            mount_type: pb::MountType::Cache.into(),
            cache_opt: Some(pb::CacheOpt { id: self.id.clone(), sharing: sharing.into() }),
            ..pb::Mount::default()
        }
    }
}

#[cfg(test)]
mod tests;
