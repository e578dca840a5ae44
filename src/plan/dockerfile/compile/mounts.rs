//! `RUN --mount`.
use buildkit_rs_proto::pb;

use super::super::instruction::{Mount, MountKind, Sharing};
use super::super::path;
use super::run::{Extras, tmpfs};
use super::{Command, CompileErrorKind, Compiler, StageId};
use crate::plan::llb::{FileAction, Metadata, Node, NodeId, Op, State, caps};

/// The directory that stands for the root of a cache mount that has an owner or a mode.
const CACHE_ROOT: &str = "/cache";

impl<'a> Compiler<'a> {
    pub(super) fn add_mounts(
        &mut self,
        id: StageId,
        command: &Command<'a>,
        mounts: &[Mount],
        state: &State,
        extras: &mut Extras,
    ) -> Result<(), CompileErrorKind> {
        for (at, mount) in mounts.iter().enumerate() {
            let from = command.sources.get(at).copied();
            match mount.kind {
                MountKind::Secret => self.add_secret(mount, extras)?,
                MountKind::Ssh => self.add_agent(mount, extras)?,
                _ => self.add_mount(id, mount, from, state, extras)?,
            }
        }
        Ok(())
    }

    fn add_mount(
        &mut self,
        id: StageId,
        mount: &Mount,
        from: Option<StageId>,
        state: &State,
        extras: &mut Extras,
    ) -> Result<(), CompileErrorKind> {
        // A cache starts from nothing unless something else is said.
        let uses_context = mount.from.is_empty() && mount.kind != MountKind::Cache;
        let from = from.filter(|_| !uses_context);
        let mut source = match from {
            Some(from) if !self.stage(from).dispatched => {
                return Err(CompileErrorKind::MountFromLater {
                    from: mount.from.clone(),
                    target: mount.target.clone(),
                });
            }
            Some(from) => self.state(from).node,
            None => Some(self.context),
        };
        let target = mount_target(&mount.target, &state.dir)?;
        let mut wire = match mount.kind {
            MountKind::Tmpfs => {
                source = None;
                tmpfs(&target, mount.size)
            }
            // Nothing that is written to a mount is ever a result.
            _ => pb::Mount { dest: target, output: -1, ..pb::Mount::default() },
        };
        wire.readonly = mount.read_only;
        if mount.kind == MountKind::Cache {
            wire.mount_type = pb::MountType::Cache.into();
            wire.cache_opt = Some(self.cache_options(mount));
        }
        let used = path::join("/", &mount.source);
        if used != "/" {
            wire.selector.clone_from(&used);
        } else if mount.uid.is_some() || mount.gid.is_some() || mount.mode.is_some() {
            source = Some(self.graph.add(cache_root(mount, source)));
            CACHE_ROOT.clone_into(&mut wire.selector);
        }
        extras.mounts.push((wire, source));
        match from {
            Some(from) => self.use_path(from, used),
            None => {
                self.context_paths.insert(used);
            }
        }
        let _ = id;
        Ok(())
    }

    fn cache_options(&self, mount: &Mount) -> pb::CacheOpt {
        let name = match &*mount.id {
            "" => path::clean(&mount.target),
            id => id.to_owned(),
        };
        let sharing = match mount.sharing {
            None | Some(Sharing::Shared) => pb::CacheSharingOpt::Shared,
            Some(Sharing::Private) => pb::CacheSharingOpt::Private,
            Some(Sharing::Locked) => pb::CacheSharingOpt::Locked,
        };
        let namespace = self.options.cache_namespace();
        pb::CacheOpt { id: format!("{namespace}/{name}"), sharing: sharing.into() }
    }

    fn add_secret(&mut self, mount: &Mount, extras: &mut Extras) -> Result<(), CompileErrorKind> {
        let id = match (&*mount.source, &*mount.id, &*mount.target) {
            ("", "", "") => return Err(CompileErrorKind::SecretName),
            ("", "", target) => path::base(target).to_owned(),
            ("", id, _) => id.to_owned(),
            (source, _, _) => source.to_owned(),
        };
        let optional = !mount.required;
        self.secrets.entry(id.clone()).or_insert(mount.required);
        let target = match (&*mount.target, &mount.env) {
            ("", None) => Some(format!("/run/secrets/{}", path::base(&id))),
            ("", Some(_)) => None,
            (target, _) => Some(target.to_owned()),
        };
        if let Some(name) = &mount.env {
            extras.secret_env.push(pb::SecretEnv { id: id.clone(), name: name.clone(), optional });
        }
        let Some(dest) = target else { return Ok(()) };
        extras.secrets.push(pb::Mount {
            input: -1,
            dest,
            mount_type: pb::MountType::Secret.into(),
            secret_opt: Some(pb::SecretOpt {
                id,
                uid: mount.uid.unwrap_or(0),
                gid: mount.gid.unwrap_or(0),
                mode: mount.mode.unwrap_or(0o400),
                optional,
            }),
            ..pb::Mount::default()
        });
        Ok(())
    }

    fn add_agent(&mut self, mount: &Mount, extras: &mut Extras) -> Result<(), CompileErrorKind> {
        if !mount.source.is_empty() {
            return Err(CompileErrorKind::SshSource);
        }
        let name = if mount.id.is_empty() { "default" } else { &mount.id };
        self.ssh.entry(name.to_owned()).or_insert(mount.required);
        let dest = match &*mount.target {
            "" => format!("/run/buildkit/ssh_agent.{}", extras.agents.len()),
            target => target.to_owned(),
        };
        extras.agents.push(pb::Mount {
            input: -1,
            dest,
            mount_type: pb::MountType::Ssh.into(),
            ssh_opt: Some(pb::SshOpt {
                id: mount.id.clone(),
                uid: mount.uid.unwrap_or(0),
                gid: mount.gid.unwrap_or(0),
                mode: mount.mode.unwrap_or(0o600),
                optional: !mount.required,
            }),
            ..pb::Mount::default()
        });
        Ok(())
    }
}

/// The absolute place of a mount, as written if it is absolute.
fn mount_target(target: &str, dir: &str) -> Result<String, CompileErrorKind> {
    let target = match target.starts_with('/') {
        true => target.to_owned(),
        false => path::join("/", &format!("{dir}/{target}")),
    };
    match &*target {
        "/" => Err(CompileErrorKind::MountTarget(target)),
        _ => Ok(target),
    }
}

/// A directory with an owner and a mode, as the root of a cache cannot have them itself.
fn cache_root(mount: &Mount, base: Option<NodeId>) -> Node {
    let by_id = |id: Option<u32>| {
        Some(pb::UserOpt { user: Some(pb::user_opt::User::ById(id.unwrap_or(0))) })
    };
    let mkdir = pb::FileActionMkDir {
        path: CACHE_ROOT.to_owned(),
        mode: (mount.mode.unwrap_or(0o755) & 0o777).cast_signed(),
        make_parents: false,
        owner: Some(pb::ChownOpt { user: by_id(mount.uid), group: by_id(mount.gid) }),
        timestamp: -1,
    };
    let action = FileAction { source: None, action: pb::file_action::Action::Mkdir(mkdir) };
    let mut metadata = Metadata::named("[internal] setting cache mount permissions".to_owned());
    metadata.caps.insert(caps::FILE_BASE);
    Node { op: Op::File { base, actions: vec![action] }, metadata, ..Node::default() }
}
