//! `SOURCE_DATE_EPOCH`: the time that all files and the image get.
//!
//! It is a number, or names what has a time: the build context (`context`), a named context, or a
//! stage that only adds one remote source. A directory has no time, so naming one sets none. The time
//! of a commit or of a download is known to an engine alone.
use super::super::git_ref::GitRef;
use super::super::instruction::{Add, Instruction, InstructionKind, Stage};
use super::super::options::{CONTEXT_NAME, MainContext};
use super::super::text::equal_fold;
use super::copy::is_http;
use super::stages::SCRATCH;
use super::{CompileError, CompileErrorKind, Compiler};
use crate::plan::llb::EnvList;

/// The build argument.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The times of the years 0 to 9999, which JSON texts can hold.
const EPOCHS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

impl Compiler<'_> {
    /// Reads the time, and gives it its canonical spelling everywhere.
    pub(super) fn read_epoch(&mut self) -> Result<(), CompileError> {
        let given = self.build_args.get(SOURCE_DATE_EPOCH);
        let from_file =
            || self.global_args.get(SOURCE_DATE_EPOCH).filter(|value| !value.is_empty());
        let Some(text) = given.map(String::as_str).or_else(from_file).map(str::to_owned) else {
            return Ok(());
        };
        let seconds = match text.parse() {
            _ if text.is_empty() => None,
            Ok(seconds) if EPOCHS.contains(&seconds) => Some(seconds),
            Ok(seconds) => return Err(CompileErrorKind::EpochRange(seconds).into()),
            Err(_) => self.epoch_of_source(&text)?,
        };
        self.epoch = seconds;
        let in_build_args = self.build_args.contains_key(SOURCE_DATE_EPOCH);
        let Some(seconds) = seconds else {
            if in_build_args {
                self.build_args.to_mut().remove(SOURCE_DATE_EPOCH);
            }
            self.global_args.remove(SOURCE_DATE_EPOCH);
            return Ok(());
        };
        if in_build_args {
            self.build_args.to_mut().insert(SOURCE_DATE_EPOCH.to_owned(), seconds.to_string());
        }
        if self.global_args.get(SOURCE_DATE_EPOCH).is_some() {
            self.global_args.set(SOURCE_DATE_EPOCH, &seconds.to_string());
        }
        Ok(())
    }

    /// The time of what `name` stands for; `None` for what has none.
    fn epoch_of_source(&self, name: &str) -> Result<Option<i64>, CompileError> {
        let unknown = || CompileErrorKind::Unsupported("a SOURCE_DATE_EPOCH of a remote source");
        if name == CONTEXT_NAME {
            return match self.options.context {
                MainContext::Local(_) => Ok(None),
                MainContext::Git(_) | MainContext::Http { .. } => Err(unknown().into()),
            };
        }
        if let Some(context) = self.named_context(name, None)? {
            return if context.is_remote() { Err(unknown().into()) } else { Ok(None) };
        }
        match self.file.stages.iter().find(|stage| equal_fold(&stage.name, name)) {
            Some(stage) => {
                let lines = stage.origin.lines;
                self.check_source_stage(stage).map_err(|kind| self.error(kind, lines))?;
                Err(self.error(unknown(), lines))
            }
            None => Err(CompileErrorKind::Epoch(name.to_owned()).into()),
        }
    }

    /// Whether `stage` does nothing but add one remote source.
    fn check_source_stage(&self, stage: &Stage) -> Result<(), CompileErrorKind> {
        let mut args = self.global_args.clone();
        args.remove(SOURCE_DATE_EPOCH);
        if self.lexer.expand(&stage.base_name, &args)? != SCRATCH {
            return Err(CompileErrorKind::EpochStage("must start FROM scratch"));
        }
        let mut found = false;
        for Instruction { kind, .. } in &stage.instructions {
            match kind {
                InstructionKind::Arg(arg) => {
                    for pair in &arg.args {
                        let value = match (self.build_args.get(&pair.key), &pair.value) {
                            (Some(value), _) => value.clone(),
                            (None, Some(value)) => self.lexer.expand(value, &args)?.into_owned(),
                            (None, None) => continue,
                        };
                        args.set(&pair.key, &value);
                    }
                }
                InstructionKind::Add(_) if found => {
                    return Err(CompileErrorKind::EpochStage("must have one ADD only"));
                }
                InstructionKind::Add(add) => {
                    self.check_source_add(add, &args)?;
                    found = true;
                }
                _ => return Err(CompileErrorKind::EpochStage("may hold only ARG and ADD")),
            }
        }
        match found {
            true => Ok(()),
            false => Err(CompileErrorKind::EpochStage("must have one ADD of a remote source")),
        }
    }

    fn check_source_add(&self, add: &Add, args: &EnvList) -> Result<(), CompileErrorKind> {
        const NOT_REMOTE: CompileErrorKind =
            CompileErrorKind::EpochStage("must ADD one Git reference or HTTP(S) URL");
        let ([source], []) = (&add.files.paths[..], &add.files.contents[..]) else {
            return Err(NOT_REMOTE);
        };
        let source = self.lexer.expand(source, args)?;
        if is_http(&source) {
            return Ok(());
        }
        match GitRef::parse(&source)? {
            Some(git) if !git.may_be_path => Ok(()),
            _ => Err(NOT_REMOTE),
        }
    }
}
