//! `RUN`.
use std::borrow::Cow;

use buildkit_rs_proto::pb;

use super::super::error::ParseError;
use super::super::expand::{Lexer, Variables};
use super::super::heredoc;
use super::super::instruction::{CommandLine, Mount, MountKind, Network, Run, Security};
use super::context::internal;
use super::{Command, CompileErrorKind, Compiler, StageId, location, text};
use crate::plan::llb::metadata::{COMMAND, CUSTOM_NAME};
use crate::plan::llb::{EnvList, FileAction, Metadata, Node, NodeId, Op, State, caps};

/// Where a heredoc that is a script of its own is mounted.
const PIPES: &str = "/dev/pipes/";

/// What a `RUN` asks for beyond its command.
#[derive(Default)]
pub(super) struct Extras {
    /// Mounts with what they hold, in the order in which they were added.
    pub mounts: Vec<(pb::Mount, Option<NodeId>)>,
    /// Mounts of secrets and agents, which come after all others.
    pub secrets: Vec<pb::Mount>,
    pub agents: Vec<pb::Mount>,
    pub secret_env: Vec<pb::SecretEnv>,
}

impl<'a> Compiler<'a> {
    pub(super) fn dispatch_run(
        &mut self,
        id: StageId,
        command: &Command<'a>,
        run: &Run,
    ) -> Result<(), CompileErrorKind> {
        let state = self.state(id);
        // A command may look at any file.
        self.use_path(id, "/".to_owned());
        let mounts = self.expand_mounts(id, command, run, &state)?;
        let mut extras = Extras::default();
        let (line, summary) = self.command_line(run, &mut extras)?;
        let args = self.with_shell(id, &line);
        if args.is_empty() {
            return Err(CompileErrorKind::NoArguments);
        }
        if !run.devices.is_empty() {
            return Err(CompileErrorKind::Device);
        }
        self.add_mounts(id, command, &mounts, &state, &mut extras)?;
        if self.options.shm_size > 0 {
            extras.mounts.push((tmpfs("/dev/shm", self.options.shm_size), None));
        }
        let metadata = self.run_metadata(id, command, &mounts, &summary, &state);
        let message = self.run_message(id, &args, &state.env);
        let node = self.exec_node(command, run, args, &state, extras, metadata);
        let node = self.graph.add(node);
        self.set_state(id, |state| state.node = Some(node));
        self.commit(id, message, true);
        Ok(())
    }

    fn expand_mounts(
        &mut self,
        id: StageId,
        command: &Command<'a>,
        run: &Run,
        state: &State,
    ) -> Result<Vec<Mount>, CompileErrorKind> {
        let (origin, lexer) = (&command.instruction.origin, self.lexer);
        run.mounts(&mut |word| self.expand_word(id, origin, lexer, word, &state.env))
    }

    /// The command with its heredocs, and what its name says of them.
    fn command_line(
        &mut self,
        run: &Run,
        extras: &mut Extras,
    ) -> Result<(CommandLine, String), CompileErrorKind> {
        let [first, ..] = &run.files[..] else { return Ok((run.command.clone(), String::new())) };
        let [words] = &run.command.args[..] else { return Err(CompileErrorKind::HeredocCommand) };
        if !run.command.shell_form {
            return Err(CompileErrorKind::HeredocCommand);
        }
        let shell = |args: String| CommandLine { args: vec![args], shell_form: true };
        if heredoc::head(words).ok().flatten().is_none() {
            // The shell itself reads the heredocs.
            let mut script = words.clone();
            for file in &run.files {
                script.push('\n');
                script.push_str(as_text(&file.data)?);
                script.push_str(&file.name);
            }
            return Ok((shell(script), String::new()));
        }
        let summary = format!(" ({})", text::summarize(as_text(&first.data)?));
        let data = first.chomped();
        let data = as_text(&data)?;
        if !data.starts_with("#!") {
            return Ok((shell(data.to_owned()), summary));
        }
        let file = inline_file(&first.name, data.as_bytes(), 0o755);
        let source = self.graph.add(file);
        extras.mounts.push((
            pb::Mount {
                dest: PIPES.to_owned(),
                selector: "/".to_owned(),
                readonly: true,
                output: -1,
                ..pb::Mount::default()
            },
            Some(source),
        ));
        let path = super::super::path::join(PIPES, &first.name);
        Ok((shell(path), summary))
    }

    fn run_metadata(
        &mut self,
        id: StageId,
        command: &Command<'a>,
        mounts: &[Mount],
        summary: &str,
        state: &State,
    ) -> Metadata {
        let code = &command.instruction.origin.code;
        let named = format!("{code}{summary}");
        // What is not set stays as it is written: the shell may well know it.
        let lexer = Lexer { raw_quotes: true, skip_unset: true, ..self.lexer };
        let masked = Masked { env: &state.env, mounts };
        let expanded = lexer.expand(&named, &masked).unwrap_or(Cow::Borrowed(&named));
        let name = text::uppercase_first_word(&expanded);
        let platform = state.platform.as_ref();
        let name = self.name_step(id, &name, platform, &state.env, command.is_trigger);
        let mut metadata = Metadata::default();
        metadata.description.insert(CUSTOM_NAME, name);
        metadata.description.insert(COMMAND, code.clone());
        metadata.ignore_cache = self.stage(id).ignore_cache;
        metadata.linux_resources = self.options.linux_resources.clone().map(Box::new);
        metadata
    }

    /// The history entry: declared build arguments, then the command.
    fn run_message(&self, id: StageId, args: &[String], env: &EnvList) -> String {
        let mut declared: Vec<(&str, &str)> = Vec::new();
        for (key, value) in &self.stage(id).build_args {
            let value = env.get(key).or(value.as_deref()).unwrap_or_default();
            match declared.iter_mut().find(|(other, _)| other == key) {
                Some(entry) => entry.1 = value,
                None => declared.push((key, value)),
            }
        }
        let mut message = String::from("RUN ");
        if !declared.is_empty() {
            message.push_str(&format!("|{} ", declared.len()));
        }
        for (key, value) in declared {
            message.push_str(&format!("{key}={value} "));
        }
        message.push_str(&args.join(" "));
        message.push_str(" # buildkit");
        message
    }

    fn exec_node(
        &self,
        command: &Command<'a>,
        run: &Run,
        args: Vec<String>,
        state: &State,
        mut extras: Extras,
        mut metadata: Metadata,
    ) -> Node {
        let root = pb::Mount { dest: "/".to_owned(), ..pb::Mount::default() };
        extras.mounts.insert(0, (root, state.node));
        // Stable, as BuildKit's sort is for lists of usual length.
        extras.mounts.sort_by(|(a, _), (b, _)| a.dest.cmp(&b.dest));
        let mut env = state.env.clone();
        if let Some(agent) = extras.agents.first().filter(|_| env.get("SSH_AUTH_SOCK").is_none()) {
            env.set("SSH_AUTH_SOCK", &agent.dest);
        }
        let network = match run.network {
            Network::Default => state.network,
            Network::None => pb::NetMode::None,
            Network::Host => pb::NetMode::Host,
        };
        let security = match run.security {
            Security::Sandbox => pb::SecurityMode::Sandbox,
            Security::Insecure => pb::SecurityMode::Insecure,
        };
        let (mounts, sources): (Vec<_>, Vec<_>) = extras.mounts.into_iter().unzip();
        let mut op = pb::ExecOp {
            meta: Some(self.exec_meta(args, state)),
            mounts,
            network: network.into(),
            security: security.into(),
            secretenv: extras.secret_env,
            cdi_devices: self.options.devices.clone(),
        };
        add_exec_caps(&mut metadata, &op, &sources, !extras.secrets.is_empty(), &extras.agents);
        op.mounts.append(&mut extras.secrets);
        op.mounts.append(&mut extras.agents);
        Node {
            op: Op::Exec { op: Box::new(op), env, sources },
            platform: state.platform.clone(),
            metadata,
            locations: vec![location(command.lines)],
        }
    }

    fn exec_meta(&self, args: Vec<String>, state: &State) -> pb::Meta {
        pb::Meta {
            args,
            cwd: state.dir.to_string(),
            user: state.user.to_string(),
            proxy_env: self.proxy.clone(),
            extra_hosts: self.options.extra_hosts.clone(),
            hostname: state.hostname.to_string(),
            ulimit: self.options.ulimits.clone(),
            cgroup_parent: self.options.cgroup_parent.clone(),
            remove_mount_stubs_recursive: true,
            ..pb::Meta::default()
        }
    }
}

/// Environment in which variables that hold secrets show as stars.
struct Masked<'a> {
    env: &'a EnvList,
    mounts: &'a [Mount],
}

impl Variables for Masked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let is_secret =
            |mount: &Mount| mount.kind == MountKind::Secret && mount.env.as_deref() == Some(name);
        if self.mounts.iter().any(is_secret) {
            return Some("****");
        }
        self.env.get(name)
    }
}

/// A file op that makes one file in an empty directory.
pub(super) fn inline_file(name: &str, data: &[u8], mode: i32) -> Node {
    let mkfile = pb::FileActionMkFile {
        path: super::super::path::join("/", name),
        mode,
        data: data.to_vec().into(),
        owner: None,
        timestamp: -1,
    };
    let action = FileAction { source: None, action: pb::file_action::Action::Mkfile(mkfile) };
    let mut metadata = internal("preparing inline document");
    metadata.caps.insert(caps::FILE_BASE);
    Node { op: Op::File { base: None, actions: vec![action] }, metadata, ..Node::default() }
}

/// A file system in memory.
pub(super) fn tmpfs(target: &str, size: i64) -> pb::Mount {
    pb::Mount {
        dest: target.to_owned(),
        output: -1,
        mount_type: pb::MountType::Tmpfs.into(),
        tmpfs_opt: Some(pb::TmpfsOpt { size }),
        ..pb::Mount::default()
    }
}

/// Commands travel as text.
fn as_text(data: &[u8]) -> Result<&str, CompileErrorKind> {
    std::str::from_utf8(data).map_err(|_| CompileErrorKind::Parse(ParseError::NotUtf8))
}

fn add_exec_caps(
    metadata: &mut Metadata,
    op: &pb::ExecOp,
    sources: &[Option<NodeId>],
    has_secret_mounts: bool,
    agents: &[pb::Mount],
) {
    let mut need = |cap: &'static str, is_needed: bool| {
        if is_needed {
            metadata.caps.insert(cap);
        }
    };
    let meta = op.meta.as_ref();
    need(caps::EXEC_META_BASE, true);
    need(caps::EXEC_META_PROXY, meta.is_some_and(|meta| meta.proxy_env.is_some()));
    need(caps::EXEC_META_ULIMIT, meta.is_some_and(|meta| !meta.ulimit.is_empty()));
    need(caps::EXEC_META_NETWORK, op.network != i32::from(pb::NetMode::Unset));
    need(caps::EXEC_META_SECURITY, op.security != i32::from(pb::SecurityMode::Sandbox));
    need(caps::EXEC_META_CDI, !op.cdi_devices.is_empty());
    need(caps::EXEC_SECRET_ENV, !op.secretenv.is_empty());
    need(caps::EXEC_MOUNT_SECRET, has_secret_mounts || !op.secretenv.is_empty());
    need(caps::EXEC_MOUNT_SSH, !agents.is_empty());
    for (mount, source) in op.mounts.iter().zip(sources) {
        need(caps::EXEC_MOUNT_SELECTOR, !mount.selector.is_empty());
        if mount.cache_opt.is_some() {
            need(caps::EXEC_MOUNT_CACHE, true);
            need(caps::EXEC_MOUNT_CACHE_SHARING, true);
        } else if let Some(tmpfs) = &mount.tmpfs_opt {
            need(caps::EXEC_MOUNT_TMPFS, true);
            need(caps::EXEC_MOUNT_TMPFS_SIZE, tmpfs.size > 0);
        } else {
            need(caps::EXEC_MOUNT_BIND, source.is_some());
        }
    }
    if metadata.linux_resources.is_some() {
        metadata.caps.insert(caps::EXEC_META_LINUX_RESOURCES);
    }
}
