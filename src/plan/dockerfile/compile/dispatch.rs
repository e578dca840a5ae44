//! The instructions of a stage, one by one.
use std::borrow::Cow;
use std::collections::BTreeSet;

use buildkit_rs_proto::pb;

use super::super::expand::{Lexer, Uses};
use super::super::instruction::{Arg, CommandLine, Instruction, InstructionKind, KeyValue, Origin};
use super::super::lint::Finding;
use super::super::path;
use super::super::source::LineRange;
use super::image::key_value;
use super::{Command, CompileError, CompileErrorKind, Compiler, StageId, StageState, text};
use super::{expose, location, signal};
use crate::oci::config::{DEFAULT_PATH, Empty, Healthcheck};
use crate::oci::platform::Platform;
use crate::plan::llb::{EnvList, FileAction, Metadata, Node, Op, State, base_input, caps};

/// Build arguments that say what to scan, and stay out of the environment.
const SCAN_CONTEXT: &str = "BUILDKIT_SBOM_SCAN_CONTEXT";
const SCAN_STAGE: &str = "BUILDKIT_SBOM_SCAN_STAGE";

impl<'a> Compiler<'a> {
    /// Runs the instructions of all stages that are needed, in their order.
    pub(super) fn dispatch_stages(
        &mut self,
        needed: &BTreeSet<StageId>,
    ) -> Result<(), CompileError> {
        for id in (0..self.stages.len()).map(StageId) {
            let is_due = needed.contains(&id) && !self.stage(id).dispatched;
            if !is_due && !self.options.all_stages {
                continue;
            }
            self.dispatch_stage(id)?;
        }
        Ok(())
    }

    fn dispatch_stage(&mut self, id: StageId) -> Result<(), CompileError> {
        self.inherit(id);
        self.stage_mut(id).dispatched = true;
        self.start_stage(id);
        let commands = std::mem::take(&mut self.stage_mut(id).commands);
        for command in &commands {
            self.dispatch(id, command).map_err(|kind| self.error(kind, command.lines))?;
        }
        self.stage_mut(id).commands = commands;
        if self.stage(id).platform.is_none() {
            self.stage_mut(id).platform = Some(self.target_platform.clone());
        }
        self.read_scan_arguments(id);
        Ok(())
    }

    /// Gives a stage what the config of its image says of commands.
    fn start_stage(&mut self, id: StageId) {
        let mut state = self.state(id);
        let (hostname, network) = (self.options.effective_hostname(), self.options.network);
        let stage = self.stage_mut(id);
        let config = &mut stage.image.config.config;
        if !config.env.iter().any(|entry| key_value(entry).0 == "PATH") {
            config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for entry in &config.env {
            let (key, value) = key_value(entry);
            state.env.set(key, value);
        }
        if !hostname.is_empty() {
            state.hostname = hostname.into();
        }
        if !config.working_dir.is_empty() {
            let dir = path::normalize("/", &config.working_dir, false);
            state.dir = dir.as_str().into();
            config.working_dir = dir;
        }
        if !config.user.is_empty() {
            state.user = config.user.as_str().into();
        }
        state.network = network;
        stage.state = Some(state);
    }

    fn read_scan_arguments(&mut self, id: StageId) {
        let shown_name = self.stage(id).shown_name.clone();
        let enabled = |name: &str, stage: &StageState<'_>| {
            let values = stage.build_args.iter().filter(|(key, _)| key == name);
            let last = values.filter_map(|(_, value)| value.as_deref()).next_back();
            let value = last.or_else(|| self.global_args.get(name));
            value.is_some_and(|value| is_enabled_for(&shown_name, value))
        };
        let stage = self.stage(id);
        let (context, scan) = (enabled(SCAN_CONTEXT, stage), enabled(SCAN_STAGE, stage));
        let stage = self.stage_mut(id);
        stage.scan_context |= context;
        stage.scan_stage |= scan;
    }

    fn dispatch(&mut self, id: StageId, command: &Command<'a>) -> Result<(), CompileErrorKind> {
        let kind = self.expand_instruction(id, &command.instruction)?;
        let origin = &command.instruction.origin;
        match kind {
            InstructionKind::Maintainer(author) => {
                self.commit(id, format!("MAINTAINER {author}"), false);
                self.stage_mut(id).image.config.author = author;
            }
            InstructionKind::Env(pairs) => self.dispatch_env(id, origin, &pairs),
            InstructionKind::Run(run) => self.dispatch_run(id, command, &run)?,
            InstructionKind::Workdir(dir) => self.dispatch_workdir(id, command, &dir),
            InstructionKind::Add(add) => self.dispatch_add(id, command, add)?,
            InstructionKind::Copy(copy) => self.dispatch_copy(id, command, copy)?,
            InstructionKind::Label(pairs) => self.dispatch_label(id, origin, pairs),
            InstructionKind::Onbuild(onbuild) => {
                self.stage_mut(id).image.config.config.on_build.push(onbuild.expression);
            }
            InstructionKind::Cmd(line) => self.dispatch_cmd(id, origin, &line),
            InstructionKind::Entrypoint(line) => self.dispatch_entrypoint(id, origin, &line),
            InstructionKind::Healthcheck(check) => self.dispatch_healthcheck(id, origin, check),
            InstructionKind::Expose(expose) => self.dispatch_expose(id, origin, &expose.ports)?,
            InstructionKind::User(user) => {
                self.commit(id, format!("USER {user}"), false);
                self.set_state(id, |state| state.user = user.as_str().into());
                self.stage_mut(id).image.config.config.user = user;
            }
            InstructionKind::Volume(volumes) => self.dispatch_volume(id, volumes)?,
            InstructionKind::StopSignal(name) => {
                if !signal::is_signal(&name) {
                    return Err(CompileErrorKind::Signal(name));
                }
                self.commit(id, format!("STOPSIGNAL {name}"), false);
                self.stage_mut(id).image.config.config.stop_signal = name;
            }
            InstructionKind::Shell(shell) => {
                self.commit(id, format!("SHELL {}", text::list(&shell)), false);
                self.stage_mut(id).image.config.config.shell = shell;
            }
            InstructionKind::Arg(arg) => self.dispatch_arg(id, origin, &arg)?,
        }
        Ok(())
    }

    /// The instruction with its variables expanded, apart from those that expand them themselves.
    fn expand_instruction(
        &mut self,
        id: StageId,
        instruction: &Instruction,
    ) -> Result<InstructionKind, CompileErrorKind> {
        let mut kind = instruction.kind.clone();
        let env = self.state(id).env;
        let origin = &instruction.origin;
        let lexer = self.lexer;
        kind.expand(&mut |word| self.expand_word(id, origin, lexer, word, &env))?;
        let raw = Lexer::heredoc();
        kind.expand_raw(&mut |word| self.expand_word(id, origin, raw, word, &env))?;
        Ok(kind)
    }

    /// A word with its variables expanded, reporting those that nothing declares.
    pub(super) fn expand_word<'w>(
        &mut self,
        id: StageId,
        origin: &Origin,
        lexer: Lexer,
        word: &'w str,
        env: &EnvList,
    ) -> Result<Cow<'w, str>, CompileErrorKind> {
        let mut uses = Uses::default();
        let expanded = lexer.expand_noting(word, env, &mut uses);
        if !uses.unmatched.is_empty() {
            let declared = &self.stages[id.0].build_args;
            let is_declared = |name: &str| declared.iter().any(|(key, _)| key == name);
            let known: Vec<&str> = env.keys().collect();
            self.linter.undefined_variables(origin, &uses, is_declared, known);
        }
        Ok(expanded?)
    }

    /// Adds a step to the history of a stage's image.
    pub(super) fn commit(&mut self, id: StageId, created_by: String, makes_layer: bool) {
        let epoch = self.epoch;
        self.stage_mut(id).image.commit(created_by, makes_layer, epoch);
    }

    pub(super) fn set_state(&mut self, id: StageId, change: impl FnOnce(&mut State)) {
        change(self.stage_mut(id).state.get_or_insert_with(State::scratch));
    }

    fn dispatch_env(&mut self, id: StageId, origin: &Origin, pairs: &[KeyValue]) {
        let mut message = String::from("ENV");
        for pair in pairs {
            self.warn_legacy("ENV", origin, pair);
            self.linter.secret_name("ENV", origin, &pair.key);
            message.push_str(&format!(" {}={}", pair.key, pair.value));
            self.set_state(id, |state| state.env.set(&pair.key, &pair.value));
            self.stage_mut(id).image.set_env(&pair.key, &pair.value);
        }
        self.commit(id, message, false);
    }

    fn warn_legacy(&mut self, instruction: &'static str, origin: &Origin, pair: &KeyValue) {
        if pair.legacy {
            let key = pair.key.clone();
            self.linter.warn(origin, Finding::LegacyKeyValueFormat { instruction, key });
        }
    }

    fn dispatch_label(&mut self, id: StageId, origin: &Origin, pairs: Vec<KeyValue>) {
        let mut message = String::from("LABEL");
        for pair in pairs {
            self.warn_legacy("LABEL", origin, &pair);
            message.push_str(&format!(" {}={}", pair.key, pair.value));
            self.stage_mut(id).image.config.config.labels.insert(pair.key, pair.value);
        }
        self.commit(id, message, false);
    }

    fn dispatch_workdir(&mut self, id: StageId, command: &Command<'a>, dir: &str) {
        if !self.stage(id).workdir_set && !dir.starts_with('/') {
            let finding = Finding::WorkdirRelativePath { path: dir.to_owned() };
            self.linter.warn(&command.instruction.origin, finding);
        }
        let current = self.stage(id).image.config.config.working_dir.clone();
        let current = path::join("/", &current);
        let dir = path::normalize(&current, dir, false);
        let stage = self.stage_mut(id);
        stage.workdir_set = true;
        stage.image.config.config.working_dir.clone_from(&dir);
        self.set_state(id, |state| state.dir = dir.as_str().into());
        let makes_layer = dir != "/";
        if makes_layer {
            self.make_workdir(id, command, &dir);
        }
        self.commit(id, format!("WORKDIR {dir}"), makes_layer);
    }

    fn make_workdir(&mut self, id: StageId, command: &Command<'a>, dir: &str) {
        let state = self.state(id);
        let name = self.command_name(id, command, &command.instruction.origin.code, &state);
        let user = &self.stage(id).image.config.config.user;
        let owner =
            Some(&**user).filter(|user| !user.is_empty()).map(|user| owner(user, state.node));
        let mkdir = pb::FileActionMkDir {
            path: path::clean(dir),
            mode: 0o755,
            make_parents: true,
            owner,
            timestamp: self.epoch.map_or(-1, |seconds| seconds.wrapping_mul(1_000_000_000)),
        };
        let action = FileAction { source: None, action: pb::file_action::Action::Mkdir(mkdir) };
        let op = Op::File { base: state.node, actions: vec![action] };
        let node = file_node(op, Metadata::named(name), command.lines);
        let node = self.graph.add(node);
        self.set_state(id, |state| state.node = Some(node));
    }

    /// The name of the step that `command` is, with its variables expanded as far as that goes.
    pub(super) fn command_name(
        &mut self,
        id: StageId,
        command: &Command<'a>,
        code: &str,
        state: &State,
    ) -> String {
        let expanded = self.lexer.expand(code, &state.env);
        let name = text::uppercase_first_word(expanded.as_deref().unwrap_or(code));
        let platform = self.stage(id).platform.clone().unwrap_or_default();
        self.name_step(id, &name, Some(&platform), &state.env, command.is_trigger)
    }

    /// A command line with the shell in front if it is in shell form.
    pub(super) fn with_shell(&self, id: StageId, line: &CommandLine) -> Vec<String> {
        if !line.shell_form {
            return line.args.clone();
        }
        let mut args = match &self.stage(id).image.config.config.shell[..] {
            [] => vec!["/bin/sh".to_owned(), "-c".to_owned()],
            shell => shell.to_vec(),
        };
        args.push(line.args.join(" "));
        args
    }

    fn warn_shell_form(
        &mut self,
        id: StageId,
        instruction: &'static str,
        origin: &Origin,
        line: &CommandLine,
    ) {
        if line.shell_form && self.stage(id).image.config.config.shell.is_empty() {
            self.linter.warn(origin, Finding::JSONArgsRecommended { instruction });
        }
    }

    fn dispatch_cmd(&mut self, id: StageId, origin: &Origin, line: &CommandLine) {
        self.linter.used_once("CMD", origin, &mut self.stages[id.0].cmd);
        self.warn_shell_form(id, "CMD", origin, line);
        let args = self.with_shell(id, line);
        self.commit(id, format!("CMD {}", text::quoted_list(&args)), false);
        let stage = self.stage_mut(id);
        stage.image.config.config.cmd = args;
        stage.image.config.config.args_escaped = true;
    }

    fn dispatch_entrypoint(&mut self, id: StageId, origin: &Origin, line: &CommandLine) {
        self.linter.used_once("ENTRYPOINT", origin, &mut self.stages[id.0].entrypoint);
        self.warn_shell_form(id, "ENTRYPOINT", origin, line);
        let args = self.with_shell(id, line);
        self.commit(id, format!("ENTRYPOINT {}", text::quoted_list(&args)), false);
        let stage = self.stage_mut(id);
        stage.image.config.config.entrypoint = args;
        if stage.cmd.is_none() {
            stage.image.config.config.cmd.clear();
        }
    }

    fn dispatch_healthcheck(
        &mut self,
        id: StageId,
        origin: &Origin,
        check: super::super::instruction::Healthcheck,
    ) {
        self.linter.used_once("HEALTHCHECK", origin, &mut self.stages[id.0].healthcheck);
        let message = format!(
            "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
            text::list(&check.test),
            text::duration(check.interval),
            text::duration(check.timeout),
            text::duration(check.start_period),
            text::duration(check.start_interval),
            check.retries,
        );
        self.commit(id, message, false);
        self.stage_mut(id).image.config.config.healthcheck = Some(Healthcheck {
            test: check.test,
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: i64::from(check.retries),
        });
    }

    fn dispatch_expose(
        &mut self,
        id: StageId,
        origin: &Origin,
        ports: &[String],
    ) -> Result<(), CompileErrorKind> {
        let env = self.state(id).env;
        let mut words = Vec::new();
        for port in ports {
            words.extend(self.lexer.words(port, &env)?);
        }
        let mut exposed = Vec::new();
        for word in &words {
            exposed.extend(expose::parse_port(word, |finding| self.linter.warn(origin, finding))?);
        }
        self.commit(id, format!("EXPOSE {}", text::list(&exposed)), false);
        let ports = &mut self.stage_mut(id).image.config.config.exposed_ports;
        ports.extend(exposed.into_iter().map(|port| (port, Empty {})));
        Ok(())
    }

    fn dispatch_volume(
        &mut self,
        id: StageId,
        volumes: Vec<String>,
    ) -> Result<(), CompileErrorKind> {
        if volumes.iter().any(String::is_empty) {
            return Err(CompileErrorKind::EmptyVolume);
        }
        self.commit(id, format!("VOLUME {}", text::list(&volumes)), false);
        let set = &mut self.stage_mut(id).image.config.config.volumes;
        set.extend(volumes.into_iter().map(|volume| (volume, Empty {})));
        Ok(())
    }

    fn dispatch_arg(
        &mut self,
        id: StageId,
        origin: &Origin,
        arg: &Arg,
    ) -> Result<(), CompileErrorKind> {
        let mut message = String::from("ARG");
        for pair in &arg.args {
            self.linter.secret_name("ARG", origin, &pair.key);
            let value = match (self.build_args.get(&pair.key), &pair.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let env = self.state(id).env;
                    Some(self.expand_word(id, origin, self.lexer, default, &env)?.into_owned())
                }
                (None, None) => self.global_args.get(&pair.key).map(str::to_owned),
            };
            message.push(' ');
            message.push_str(&pair.key);
            if let Some(value) = &value {
                message.push('=');
                message.push_str(value);
                if ![SCAN_CONTEXT, SCAN_STAGE].contains(&&*pair.key) {
                    self.set_state(id, |state| state.env.set(&pair.key, value));
                }
            }
            self.stage_mut(id).build_args.push((pair.key.clone(), value));
        }
        self.commit(id, message, false);
        Ok(())
    }
}

/// A file op of an instruction.
pub(super) fn file_node(op: Op, mut metadata: Metadata, lines: LineRange) -> Node {
    metadata.caps.insert(caps::FILE_BASE);
    Node { op, metadata, locations: vec![location(lines)], ..Node::default() }
}

/// The owner `user[:group]` of files that are made on top of `base`.
///
/// A name is looked up in the base's own files; a number, and root, need no looking up.
pub(super) fn owner(text: &str, base: Option<crate::plan::llb::NodeId>) -> pb::ChownOpt {
    let user = |name: &str| {
        let by_id = match name {
            "" | "root" => Some(0),
            name => name.parse::<i32>().ok().map(i32::cast_unsigned),
        };
        let user = match by_id {
            Some(id) => pb::user_opt::User::ById(id),
            None => pb::user_opt::User::ByName(pb::NamedUserOpt {
                name: name.to_owned(),
                input: base_input(base),
            }),
        };
        pb::UserOpt { user: Some(user) }
    };
    match text.split_once(':') {
        Some((name, group)) => pb::ChownOpt { user: Some(user(name)), group: Some(user(group)) },
        None => pb::ChownOpt { user: Some(user(text)), group: None },
    }
}

/// Whether a value, a boolean or a list of stages, covers `stage`.
fn is_enabled_for(stage: &str, value: &str) -> bool {
    super::super::options::parse_bool(value)
        .unwrap_or_else(|| value.split(',').any(|name| name == stage))
}

/// The platform that file ops of a stage are named with.
pub(super) fn platform_or_default(stage: &StageState<'_>) -> Platform {
    stage.platform.clone().unwrap_or_default()
}
