//! The instructions of a stage, one by one.
use std::borrow::Cow;
use std::collections::BTreeSet;

use super::super::expand::{Lexer, Uses};
use super::super::instruction::{CommandLine, Instruction, InstructionKind, KeyValue, Origin};
use super::super::lint::Finding;
use super::super::path;
use super::image::key_value;
use super::{Command, CompileError, CompileErrorKind, Compiler, StageId, signal, text};
use crate::oci::config::DEFAULT_PATH;
use crate::plan::llb::{EnvList, State};

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

    pub(super) fn warn_legacy(
        &mut self,
        instruction: &'static str,
        origin: &Origin,
        pair: &KeyValue,
    ) {
        if pair.legacy {
            let key = pair.key.clone();
            self.linter.warn(origin, Finding::LegacyKeyValueFormat { instruction, key });
        }
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
}
