//! The stages of a file, what they depend on, and which of them a target needs.
use std::collections::BTreeSet;

use super::super::expand::Uses;
use super::super::instruction::{InstructionKind, Stage};
use super::super::source::LineRange;
use super::super::suggest::nearest;
use super::{Command, CompileError, CompileErrorKind, Compiler, StageId, StageState, Written};
use crate::oci::platform::Platform;

/// The base of a stage that starts from nothing.
pub(super) const SCRATCH: &str = "scratch";

impl<'a> Compiler<'a> {
    /// Adds all stages of the file with their bases.
    pub(super) fn add_stages(&mut self) -> Result<(), CompileError> {
        for (at, parsed) in self.file.stages.iter().enumerate() {
            let lines = parsed.origin.lines;
            let base_name = self.expand_base_name(parsed)?;
            let platform = self.expand_platform(parsed)?;
            let paths = self.new_paths();
            let mut stage = StageState {
                parsed: Some(parsed),
                lines,
                base_name,
                shown_name: parsed.name.clone(),
                platform,
                paths: Some(paths),
                ..StageState::default()
            };
            if !parsed.name.is_empty()
                && let Some(context) = self.named_context(&parsed.name, stage.platform.as_ref())?
            {
                stage.named_context = Some(context);
                let id = self.add_stage(stage);
                self.stage_mut(id).base = None;
                continue;
            }
            if parsed.name.is_empty() {
                stage.shown_name = format!("stage-{at}");
            }
            stage.ignore_cache = self.options.no_cache.covers(&parsed.name);
            let id = self.add_stage(stage);
            let stage = self.stage_mut(id);
            let has_image = stage.base_name != SCRATCH && stage.base.is_none();
            stage.steps = usize::from(has_image)
                + parsed.instructions.iter().filter(|i| is_step(&i.kind)).count();
        }
        Ok(())
    }

    fn expand_base_name(&mut self, parsed: &Stage) -> Result<String, CompileError> {
        let lines = parsed.origin.lines;
        let mut uses = Uses::default();
        let name = self.lexer.expand_noting(&parsed.base_name, &self.global_args, &mut uses);
        self.warn_undefined_args(parsed, &uses);
        let name = name.map_err(|error| self.error(error.into(), lines))?;
        if name.is_empty() {
            let name = parsed.base_name.clone();
            return Err(self.error(CompileErrorKind::BlankBaseName { name }, lines));
        }
        Ok(name.into_owned())
    }

    fn warn_undefined_args(&mut self, parsed: &Stage, uses: &Uses) {
        if uses.unmatched.is_empty() {
            return;
        }
        let declared = self.file.global_args.iter().flat_map(|global| &global.arg.args);
        let declared = declared.map(|arg| &*arg.key);
        let known = self.global_args.keys().chain(declared).collect();
        self.linter.undefined_args_in_from(parsed, uses, &known);
    }

    fn expand_platform(&mut self, parsed: &Stage) -> Result<Option<Platform>, CompileError> {
        if parsed.platform.is_empty() {
            return Ok(None);
        }
        let lines = parsed.origin.lines;
        let mut uses = Uses::default();
        let text = self.lexer.expand_noting(&parsed.platform, &self.global_args, &mut uses);
        self.warn_undefined_args(parsed, &uses);
        let text = text.map_err(|error| self.error(error.into(), lines))?;
        let platform = Platform::parse(&text);
        let parts = platform.as_ref().ok().map(|p| (&*p.os, &*p.architecture));
        let target = self.global_args.get("TARGETPLATFORM");
        self.linter.platform_flag(parsed, &uses, &text, target, parts);
        let suggestion = || {
            let near = |name: &String| nearest(name, self.global_args.keys());
            uses.unmatched.iter().find_map(near).into()
        };
        let written = || parsed.platform.clone();
        if text.is_empty() {
            let kind =
                CompileErrorKind::BlankPlatform { text: written(), suggestion: suggestion() };
            return Err(self.error(kind, lines));
        }
        let platform = platform.map_err(|source| {
            let suggestion = suggestion();
            self.error(CompileErrorKind::Platform { text: written(), suggestion, source }, lines)
        })?;
        Ok(Some(platform))
    }

    /// Appends a stage; its base is a stage before it that has the name of its base.
    fn add_stage(&mut self, mut stage: StageState<'a>) -> StageId {
        let id = StageId(self.stages.len());
        stage.base = self.by_name.get(&stage.base_name).copied();
        if let Some(name) = stage.parsed.map(|parsed| &parsed.name).filter(|n| !n.is_empty()) {
            self.by_name.insert(name.to_lowercase(), id);
        }
        self.stages.push(stage);
        id
    }

    fn find_stage(&self, name: &str) -> Option<StageId> {
        self.by_name.get(&*name.to_lowercase()).copied()
    }

    /// The names that progress output shows, as suggestions for mistyped ones.
    pub(super) fn shown_names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| &*stage.shown_name).filter(|name| !name.is_empty())
    }

    /// The stage to build.
    pub(super) fn find_target(&self) -> Result<StageId, CompileError> {
        let Some(name) = &self.options.target else { return Ok(StageId(self.stages.len() - 1)) };
        self.find_stage(name).ok_or_else(|| {
            let suggestion = nearest(name, self.shown_names()).into();
            CompileErrorKind::NoTarget { name: name.clone(), suggestion }.into()
        })
    }

    /// Finds out what the instructions of all stages depend on.
    pub(super) fn add_commands(&mut self) -> Result<(), CompileError> {
        for at in 0..self.stages.len() {
            let Some(parsed) = self.stages[at].parsed else { continue };
            let mut commands = Vec::with_capacity(parsed.instructions.len());
            for instruction in &parsed.instructions {
                let lines = instruction.origin.lines;
                let instruction = Written::Here(instruction);
                commands.push(self.command(StageId(at), instruction, lines, false)?);
            }
            self.stages[at].commands = commands;
        }
        self.check_cycles()?;
        if let [only] = &mut self.stages[..] {
            only.shown_name.clear();
        }
        Ok(())
    }

    /// Makes a command of an instruction of stage `id`, adding what it depends on.
    pub(super) fn command(
        &mut self,
        id: StageId,
        instruction: Written<'a>,
        lines: LineRange,
        is_trigger: bool,
    ) -> Result<Command<'a>, CompileError> {
        let sources = match &instruction.kind {
            InstructionKind::Copy(copy) if !copy.from.is_empty() => {
                vec![self.copy_source(&copy.from, lines)?]
            }
            InstructionKind::Run(run) => {
                let from = |spec: &super::super::instruction::MountSpec| spec.from.clone();
                let names: Vec<String> = run.mount_specs.iter().map(from).collect();
                names.iter().map(|name| self.mount_source(name, lines)).collect()
            }
            _ => Vec::new(),
        };
        for source in &sources {
            self.stage_mut(id).dependencies.insert(*source, lines);
        }
        Ok(Command { instruction, sources, is_trigger, lines })
    }

    fn copy_source(&mut self, from: &str, lines: LineRange) -> Result<StageId, CompileError> {
        let expanded =
            self.lexer.expand(from, &()).map_err(|error| self.error(error.into(), lines))?;
        if expanded != from {
            return Err(self.error(CompileErrorKind::VariableInFrom, lines));
        }
        if let Ok(index) = from.parse::<i64>() {
            return usize::try_from(index)
                .ok()
                .filter(|index| *index < self.stages.len())
                .map(StageId)
                .ok_or_else(|| self.error(CompileErrorKind::StageIndex(index), lines));
        }
        Ok(self.find_stage(from).unwrap_or_else(|| self.add_image(from, lines, false)))
    }

    /// A mount without `from` counts as one from scratch here, also if it has another source.
    fn mount_source(&mut self, from: &str, lines: LineRange) -> StageId {
        let from = if from.is_empty() { SCRATCH } else { from };
        self.find_stage(from).unwrap_or_else(|| self.add_image(from, lines, true))
    }

    /// Adds an image that is no stage.
    fn add_image(&mut self, name: &str, lines: LineRange, is_mount: bool) -> StageId {
        let paths = self.new_paths();
        self.add_stage(StageState {
            lines,
            base_name: name.to_owned(),
            paths: Some(paths),
            is_mount,
            ..StageState::default()
        })
    }

    fn check_cycles(&self) -> Result<(), CompileError> {
        let mut visited = vec![false; self.stages.len()];
        for start in 0..self.stages.len() {
            if let Some(lines) = self.find_cycle(StageId(start), &mut visited) {
                let name = self.stages[start].shown_name.clone();
                return Err(self.error(CompileErrorKind::Cycle(name), lines));
            }
        }
        Ok(())
    }

    /// The lines of an instruction that closes a circle, walking from `start`.
    fn find_cycle(&self, start: StageId, visited: &mut [bool]) -> Option<LineRange> {
        if std::mem::replace(&mut visited[start.0], true) {
            return None;
        }
        let mut on_path = BTreeSet::from([start]);
        let mut path = vec![(start, self.stage(start).dependencies.iter())];
        while let Some((id, dependencies)) = path.last_mut() {
            let Some((next, lines)) = dependencies.next() else {
                on_path.remove(id);
                path.pop();
                continue;
            };
            if on_path.contains(next) {
                return Some(*lines);
            }
            if !std::mem::replace(&mut visited[next.0], true) {
                on_path.insert(*next);
                path.push((*next, self.stage(*next).dependencies.iter()));
            }
        }
        None
    }

    /// All stages that `target` needs, itself included.
    pub(super) fn needed_stages(&self, target: StageId) -> BTreeSet<StageId> {
        let mut needed = BTreeSet::new();
        let mut open = vec![target];
        while let Some(id) = open.pop() {
            if needed.insert(id) {
                let stage = self.stage(id);
                open.extend(stage.base);
                open.extend(stage.dependencies.keys());
            }
        }
        needed
    }
}

/// Whether progress output counts an instruction.
const fn is_step(kind: &InstructionKind) -> bool {
    matches!(
        kind,
        InstructionKind::Add(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Run(_)
            | InstructionKind::Workdir(_)
    )
}
