//! The graphs that fill, list and copy a cache mount: one command each, on an empty root file system.
//!
//! The command's program is part of the graph itself, so nothing has to be in any image, and nothing
//! is sent but the graph. `build.rs` compiles it from `helper/`.
use buildkit_rs_proto::pb;
use bytes::Bytes;
use pb::op::Op;

use super::CacheMount;
use crate::engine::identity;
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::plan::llb::metadata::CUSTOM_NAME;
use crate::plan::llb::wire;

/// The program; empty where it could not be built for this machine.
pub(super) static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/mounts-helper"));

/// Its place in the root file system.
const PATH: &str = "/kitwright-mounts";
/// Where the cache mount is.
const MOUNT: &str = "/cache";
/// Where saved content is.
const SAVED: &str = "/saved";
/// Where the ledger is.
const LEDGER: &str = "/ledger";
/// Where results are written.
const OUT: &str = "/out";
/// The folder of an artifact's layer that holds the mount's files.
const CONTENT: &str = "/mount";

/// What of a mount may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What was not used for so many seconds is dropped; 0 keeps all.
    pub max_age: u64,
    /// The most bytes, uncompressed; 0 for any number.
    pub max_size: u64,
}

/// Whether this kitwright can work in an engine's cache mounts at all.
#[must_use]
pub fn is_available() -> bool {
    !PROGRAM.is_empty()
}

/// The graph that fills `mount` from the image `saved` (`HOST/NAME@DIGEST`).
///
/// Content that was changed at `date` or later (seconds since 1970) is left alone.
#[must_use]
pub fn seed(mount: &CacheMount, saved: &str, date: i64) -> pb::Definition {
    let mut graph = Ops::default();
    let source =
        pb::SourceOp { identifier: format!("docker-image://{saved}"), ..Default::default() };
    let source = graph.add(Vec::new(), Op::Source(source), Some(platform()), "");
    let saved = Part {
        input: Some((source, 0)),
        mount: pb::Mount {
            selector: CONTENT.to_owned(),
            dest: SAVED.to_owned(),
            readonly: true,
            output: -1,
            ..Default::default()
        },
    };
    let args = ["seed", SAVED, MOUNT, &date.to_string()].map(str::to_owned);
    let name = format!("[internal] fill cache mount {}", mount.target);
    let command = graph.command(mount, &args, vec![saved], mount.sharing, &name);
    graph.finish(command, 0)
}

/// The graph whose result has a file `report` about what of `mount` is worth keeping.
#[must_use]
pub fn survey(mount: &CacheMount, ledger: &str, now: i64, limits: Limits) -> pb::Definition {
    outgoing("survey", mount, ledger, now, limits)
}

/// The graph whose result has the same file, and what is worth keeping in the folder `mount`.
#[must_use]
pub fn collect(mount: &CacheMount, ledger: &str, now: i64, limits: Limits) -> pb::Definition {
    outgoing("collect", mount, ledger, now, limits)
}

fn outgoing(
    verb: &str,
    mount: &CacheMount,
    ledger: &str,
    now: i64,
    limits: Limits,
) -> pb::Definition {
    let mut graph = Ops::default();
    let known = graph.file("/known", 0o644, Bytes::copy_from_slice(ledger.as_bytes()));
    let ledger = Part {
        input: Some((known, 0)),
        mount: pb::Mount {
            dest: LEDGER.to_owned(),
            readonly: true,
            output: -1,
            ..Default::default()
        },
    };
    let out = Part {
        input: None,
        mount: pb::Mount { input: -1, dest: OUT.to_owned(), output: 1, ..Default::default() },
    };
    let (age, size) = (limits.max_age.to_string(), limits.max_size.to_string());
    let known = format!("{LEDGER}/known");
    let args = [verb, MOUNT, OUT, &known, &now.to_string(), &age, &size].map(str::to_owned);
    let name = format!("[internal] {verb} cache mount {}", mount.target);
    // The engine's cleaning holds a mount for a moment after a build, and whoever does not wait for
    // the lock is given an empty one in its place.
    let sharing = pb::CacheSharingOpt::Locked;
    let command = graph.command(mount, &args, vec![ledger, out], sharing, &name);
    graph.finish(command, 1)
}

/// The platform that the program is for, which is that of the engine and not that of the step.
fn platform() -> pb::Platform {
    pb::Platform::from(&Platform::host())
}

/// What an op with this name says about itself.
fn named(name: &str) -> pb::OpMetadata {
    let mut metadata = pb::OpMetadata::default();
    if !name.is_empty() {
        metadata.description.insert(CUSTOM_NAME.to_owned(), name.to_owned());
    }
    metadata
}

/// A mount of a command, and the result that it shows.
struct Part {
    input: Option<(Digest, i64)>,
    mount: pb::Mount,
}

/// A graph that is put together op by op.
#[derive(Default)]
struct Ops(pb::Definition);

impl Ops {
    fn push(&mut self, bytes: Bytes) {
        if !self.0.def.contains(&bytes) {
            self.0.def.push(bytes);
        }
    }

    fn add(
        &mut self,
        inputs: Vec<pb::Input>,
        op: Op,
        platform: Option<pb::Platform>,
        name: &str,
    ) -> Digest {
        let constraints = Some(pb::WorkerConstraints::default());
        let op = pb::Op { inputs, op: Some(op), platform, constraints };
        let bytes = Bytes::from(wire::encode_op(&op));
        let digest = Digest::of(&bytes);
        self.push(bytes);
        self.0.metadata.insert(digest.to_string(), named(name));
        digest
    }

    /// A root file system with one file.
    fn file(&mut self, path: &str, mode: i32, data: Bytes) -> Digest {
        let make =
            pb::FileActionMkFile { path: path.to_owned(), mode, data, owner: None, timestamp: -1 };
        let action = pb::FileAction {
            input: -1,
            secondary_input: -1,
            output: 0,
            action: Some(pb::file_action::Action::Mkfile(make)),
        };
        self.add(Vec::new(), Op::File(pb::FileOp { actions: vec![action] }), None, "")
    }

    /// The program with `args`, the cache mount, and further mounts.
    fn command(
        &mut self,
        mount: &CacheMount,
        args: &[String],
        parts: Vec<Part>,
        sharing: pb::CacheSharingOpt,
        name: &str,
    ) -> Digest {
        let program = self.file(PATH, 0o755, Bytes::from_static(PROGRAM));
        let input = |digest: &Digest, index| pb::Input { digest: digest.to_string(), index };
        let mut inputs = vec![input(&program, 0)];
        let mut mounts = vec![pb::Mount { dest: "/".to_owned(), ..Default::default() }];
        if let Some(base) = &mount.base {
            for (op, name) in &base.ops {
                self.push(op.clone());
                self.0.metadata.insert(Digest::of(op).to_string(), named(name));
            }
            inputs.push(pb::Input { digest: base.digest.clone(), index: base.index });
        }
        mounts.push(mount.mount(MOUNT, 1, sharing));
        for Part { input: shown, mut mount } in parts {
            if let Some((digest, index)) = shown {
                mount.input = inputs.len() as i64;
                inputs.push(input(&digest, index));
            }
            mounts.push(mount);
        }
        let meta = pb::Meta {
            args: std::iter::once(PATH.to_owned()).chain(args.iter().cloned()).collect(),
            // What is in a cache mount is in no key, so each run needs a key of its own. Leaving the
            // cache out (`ignore_cache`) would not do: it makes the engine empty the mount first.
            env: vec![format!("RUN={}", identity::random())],
            cwd: "/".to_owned(),
            remove_mount_stubs_recursive: true,
            ..Default::default()
        };
        let exec = pb::ExecOp {
            meta: Some(meta),
            mounts,
            network: pb::NetMode::None.into(),
            ..Default::default()
        };
        self.add(inputs, Op::Exec(exec), Some(platform()), name)
    }

    /// The graph whose result is one of `last`'s.
    fn finish(mut self, last: Digest, index: i64) -> pb::Definition {
        let input = pb::Input { digest: last.to_string(), index };
        let head = pb::Op { inputs: vec![input], ..Default::default() };
        self.0.def.push(wire::encode_op(&head).into());
        self.0
    }
}
