//! BuildKit's cache keys of the ops of a definition.
//!
//! Input: a [`Definition`] and what is known of its images. Output: for each op its [`StepKey`]: the
//! digest that BuildKit's solver looks up (`CacheMap.Digest`), and for each input the selector and
//! which of its files count by content (`ComputeDigestFunc`). It follows `solver/llbsolver/ops` of
//! BuildKit v0.32. What only running something can tell is [`Root::Unknown`]; nothing is guessed.
//!
//! The digest of a file op or command says nothing of its inputs: a cache holds that it was run *on*
//! certain keys. [`super::predict`] follows those links.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;
use pb::file_action::Action;
use pb::op::Op;
use pb::user_opt::User;

use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::plan::llb::{Definition, Vertex};

pub mod content;
pub mod local;
mod op_json;
mod select;
mod source;

pub use content::Selector;
use select::{Selectors, deduplicate, deduplicate_paths};

/// `MountType` of the contract: bind.
const MOUNT_BIND: i32 = 0;
/// Mount types without an input: secret, ssh and tmpfs.
const MOUNTS_WITHOUT_INPUT: [i32; 3] = [1, 2, 4];
/// The output of a mount whose content is thrown away.
const SKIP_OUTPUT: i64 = -1;
/// The input of a mount that starts empty.
const EMPTY: i64 = -1;

/// The diff IDs of images, by their digest and platform: their chain is a key too.
pub type ImageChains = BTreeMap<(Digest, Platform), Digest>;

/// The cache key of one op, without the keys of its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepKey {
    /// The op in its definition.
    pub vertex: Digest,
    /// What people call it.
    pub name: String,
    /// Whether the cache is not to be asked.
    pub ignore_cache: bool,
    /// What the solver looks up.
    pub key: Key,
}

/// What the solver looks up for an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A source: there are no inputs.
    Root(Root),
    /// A command, file op, merge or diff.
    Op {
        /// Its own digest.
        digest: Digest,
        /// Its inputs.
        inputs: Vec<Input>,
    },
    /// An op of a kind that is not understood.
    Other {
        /// Its inputs.
        inputs: Vec<Input>,
    },
    /// The last op of a definition, which only names the result.
    Result(Input),
}

/// The key of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// One of these digests.
    Known(Vec<Digest>),
    /// A directory of the client: it has no key, its files count by content.
    Local(local::Request),
    /// Only the engine can tell.
    Unknown(&'static str),
}

/// An input of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The op it comes from, as an index into the definition.
    pub step: usize,
    /// Which of that op's outputs it is.
    pub output: i64,
    /// The part that is read, as a digest of its paths; empty for all.
    pub selector: String,
    /// What counts by its content too; `None` where BuildKit does not look at it.
    pub content: Option<Vec<Selector>>,
}

/// The keys of all ops, in the definition's order.
///
/// `chains` are chain IDs of images by digest and platform; without one an image has one key less.
#[must_use]
pub fn of(definition: &Definition, chains: &ImageChains) -> Vec<StepKey> {
    let mut positions: BTreeMap<String, usize> = BTreeMap::new();
    let mut keys = Vec::with_capacity(definition.vertices.len());
    for vertex in &definition.vertices {
        keys.push(step(vertex, &positions, chains));
        positions.insert(vertex.digest.to_string(), keys.len() - 1);
    }
    keys
}

fn step(vertex: &Vertex, positions: &BTreeMap<String, usize>, chains: &ImageChains) -> StepKey {
    let op = vertex.op();
    let inputs: Vec<Input> = op
        .inputs
        .iter()
        .filter_map(|input| {
            let step = *positions.get(&input.digest)?;
            Some(Input { step, output: input.index, selector: String::new(), content: None })
        })
        .collect();
    let platform = op.platform.as_ref().map(platform);
    let key = match &op.op {
        // A graph that names an op it does not contain is not understood.
        _ if inputs.len() != op.inputs.len() => Key::Other { inputs },
        Some(Op::Source(source)) => Key::Root(source::root(source, platform.as_ref(), chains)),
        Some(Op::Exec(exec)) => match platform {
            Some(platform) => command(exec, &platform, inputs),
            None => Key::Other { inputs },
        },
        Some(Op::File(file)) => file_op(file, inputs),
        Some(Op::Merge(merge)) => Key::Op { digest: Digest::of(&op_json::merge(merge)), inputs },
        Some(Op::Diff(diff)) => Key::Op { digest: Digest::of(&op_json::diff(diff)), inputs },
        None if inputs.len() == 1 => match inputs.into_iter().next() {
            Some(input) => Key::Result(input),
            None => Key::Other { inputs: Vec::new() },
        },
        _ => Key::Other { inputs },
    };
    StepKey {
        vertex: vertex.digest,
        name: vertex.metadata.description.get("llb.customname").cloned().unwrap_or_default(),
        ignore_cache: vertex.metadata.ignore_cache,
        key,
    }
}

/// The key of an image.
pub(super) fn image(source: &pb::SourceOp, platform: &Platform) -> Root {
    source::root(source, Some(platform), &ImageChains::default())
}

/// The platform of an op, as the engine understands it.
pub(super) fn platform(platform: &pb::Platform) -> Platform {
    let platform = Platform {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os_version: platform.os_version.clone(),
        os_features: platform.os_features.clone(),
    };
    // The engine does so to every op before it looks at it.
    platform.normalize()
}

/// A command: its arguments, environment and mounts, without what differs between machines.
fn command(exec: &pb::ExecOp, platform: &Platform, mut inputs: Vec<Input>) -> Key {
    let mut op = exec.clone();
    if let Some(meta) = &mut op.meta {
        meta.proxy_env = None;
        meta.extra_hosts.iter_mut().for_each(|host| host.ip.clear());
    }
    for mount in &mut op.mounts {
        mount.selector.clear();
        if keeps_no_cache_id(mount)
            && let Some(cache) = &mut mount.cache_opt
        {
            cache.id.clear();
            cache.sharing = 0;
        }
    }
    // One plain root mount is left out: that is the key of engines from before mounts counted.
    if let [only] = &op.mounts[..]
        && is_plain_root(only)
    {
        op.mounts.clear();
    }
    let digest = Digest::of(&op_json::exec(&op, platform));
    mount_inputs(exec, &mut inputs);
    Key::Op { digest, inputs }
}

/// Whether a cache mount's id and sharing do not count: those that differ from the defaults do not.
fn keeps_no_cache_id(mount: &pb::Mount) -> bool {
    let Some(cache) = &mount.cache_opt else { return false };
    let is_default = cache.id == mount.dest
        || cache.id.split_once('/').is_some_and(|(_, rest)| rest == mount.dest);
    !(is_default && cache.sharing == 0)
}

fn is_plain_root(mount: &pb::Mount) -> bool {
    mount.dest == "/"
        && mount.selector.is_empty()
        && !mount.readonly
        && mount.mount_type == MOUNT_BIND
        && mount.cache_opt.is_none()
        && mount.ssh_opt.is_none()
        && mount.secret_opt.is_none()
        && mount.result_id.is_empty()
}

/// Notes what a command's mounts read of its inputs.
fn mount_inputs(exec: &pb::ExecOp, inputs: &mut [Input]) {
    let mut paths: Vec<Vec<String>> = vec![Vec::new(); inputs.len()];
    let mut by_content = vec![false; inputs.len()];
    for mount in &exec.mounts {
        if MOUNTS_WITHOUT_INPUT.contains(&mount.mount_type) || mount.input == EMPTY {
            continue;
        }
        let Some(at) = usize::try_from(mount.input).ok().filter(|at| *at < inputs.len()) else {
            continue;
        };
        let path = select::absolute(&mount.selector);
        // What is not all of the input and can be changed would leave the rest uncounted.
        let safe = mount.output == SKIP_OUTPUT || mount.readonly || path == "/";
        by_content[at] = match mount.content_cache {
            1 => safe,
            2 => false,
            _ => safe && mount.dest != "/",
        };
        paths[at].push(path);
    }
    for ((input, paths), by_content) in inputs.iter_mut().zip(paths).zip(by_content) {
        if !paths.is_empty() {
            input.selector = Digest::of(paths.join("\0").as_bytes()).to_string();
        }
        if by_content {
            let paths = deduplicate_paths(&paths);
            let all = paths.iter().any(|path| path == "/");
            let selectors = paths.into_iter().map(|path| Selector::followed(&path));
            input.content = Some(if all { Vec::new() } else { selectors.collect() });
        }
    }
}

/// A file op: its actions, each without the directory that it copies from.
fn file_op(file: &pb::FileOp, mut inputs: Vec<Input>) -> Key {
    let mut selectors = Selectors::default();
    let mut actions = Vec::with_capacity(file.actions.len());
    let mut indexes = Vec::with_capacity(file.actions.len());
    for action in &file.actions {
        indexes.push([action.input, action.secondary_input, action.output]);
        selectors.changed(action.input);
        let mut made = action.action.clone();
        match &mut made {
            Some(Action::Copy(copy)) => {
                owner_files(copy.owner.as_ref(), &mut selectors);
                let from = usize::try_from(action.secondary_input).ok();
                if let Some(from) = from.filter(|from| *from < inputs.len()) {
                    selectors.read(from, Selector::copied(copy));
                    copy.src = crate::plan::dockerfile::path::base(&copy.src).to_owned();
                }
            }
            Some(Action::Mkfile(file)) => owner_files(file.owner.as_ref(), &mut selectors),
            Some(Action::Mkdir(dir)) => owner_files(dir.owner.as_ref(), &mut selectors),
            Some(Action::Rm(_) | Action::Symlink(_)) | None => {}
        }
        actions.push(made.as_ref().map(op_json::action).unwrap_or_default());
    }
    let indexes = (!are_default(&indexes)).then_some(indexes);
    let digest = Digest::of(&op_json::file(&actions, indexes));
    for (at, read) in selectors.unchanged() {
        let Some(input) = inputs.get_mut(at) else { return Key::Other { inputs } };
        let mut paths: Vec<&str> = read.iter().map(|selector| selector.path.as_str()).collect();
        paths.sort_unstable();
        paths.reverse();
        input.selector = Digest::of(paths.join("\0").as_bytes()).to_string();
        input.content = Some(deduplicate(read));
    }
    Key::Op { digest, inputs }
}

/// Notes the files in which the names of an owner are looked up.
fn owner_files(owner: Option<&pb::ChownOpt>, selectors: &mut Selectors) {
    let Some(owner) = owner else { return };
    for (who, path) in [(&owner.user, "/etc/passwd"), (&owner.group, "/etc/group")] {
        let user = who.as_ref().and_then(|who| who.user.as_ref());
        if let Some(User::ByName(named)) = user
            && let Ok(at) = usize::try_from(named.input)
        {
            selectors.read(at, Selector::followed(path));
        }
    }
}

/// Whether every action works on the one before: then the indexes do not count, as in old engines.
fn are_default(indexes: &[[i64; 3]]) -> bool {
    let count = indexes.len() as i64;
    !indexes.is_empty()
        && indexes.iter().zip(0_i64..).all(|([input, secondary, output], at)| {
            let expected_input = if at == 0 { 0 } else { count + at - 1 };
            let expected_output = if at == count - 1 { 0 } else { -1 };
            *input == expected_input && matches!(secondary, -1 | 1) && *output == expected_output
        })
}

/// The digest under which a cache knows the output of an op.
#[must_use]
pub fn record(digest: &Digest, output: i64) -> Digest {
    Digest::of(format!("{digest}@{output}").as_bytes())
}

/// The record of an input that counts by content.
#[must_use]
pub fn content_record(content: &Digest) -> Digest {
    record(content, -1)
}
