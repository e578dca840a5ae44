//! Our own rules: what makes builds slow, unrepeatable or leaky.

use std::collections::BTreeMap;

use super::Linter;
use crate::plan::dockerfile::instruction::{Dockerfile, Instruction, InstructionKind, Run};
use crate::plan::dockerfile::text;

mod args;
mod images;
mod mounts;
mod secrets;

/// Whether `value` has the form of a secret, such as a token or a URL with a password.
#[must_use]
pub fn looks_secret(value: &str) -> bool {
    secrets::kind(value).is_some()
}

/// Checks `file` against our own rules.
///
/// `is_context` tells which names are named contexts, and so neither images nor stages. All of a
/// file is looked at in one pass over its text.
pub fn check_advice(file: &Dockerfile, is_context: impl Fn(&str) -> bool, linter: &mut Linter) {
    images::check(file, &is_context, linter);
    for global in &file.global_args {
        secrets::check_arg(&global.origin, &global.arg, linter);
    }
    // What a stage sets up for apt holds in the stages built on it.
    let mut keeping: BTreeMap<&str, bool> = BTreeMap::new();
    for stage in &file.stages {
        let mut keeps = keeping.get(stage.base_name.as_str()).copied().unwrap_or_default();
        args::check(stage, file, linter);
        for instruction in &stage.instructions {
            keeps |= mounts::keeps_packages(instruction);
            match &instruction.kind {
                InstructionKind::Run(run) => {
                    mounts::check(&instruction.origin, run, keeps, linter);
                }
                InstructionKind::Arg(arg) => secrets::check_arg(&instruction.origin, arg, linter),
                InstructionKind::Env(pairs) => {
                    secrets::check_env(&instruction.origin, pairs, linter);
                }
                _ => {}
            }
        }
        if !stage.name.is_empty() {
            keeping.insert(&stage.name, keeps);
        }
    }
}

/// Returns everything that an instruction says, its heredocs included.
fn full_text(instruction: &Instruction) -> String {
    let mut text = instruction.origin.code.clone();
    let contents: Vec<&[u8]> = match &instruction.kind {
        InstructionKind::Run(run) => run.files.iter().map(|file| file.data.as_slice()).collect(),
        InstructionKind::Add(add) => add.files.contents.iter().map(|file| &file.data[..]).collect(),
        InstructionKind::Copy(copy) => {
            copy.files.contents.iter().map(|file| &file.data[..]).collect()
        }
        _ => Vec::new(),
    };
    for content in contents {
        text.push('\n');
        text.push_str(&text::to_str(content));
    }
    text
}

/// Returns the commands of a `RUN` as one text.
fn command_text(run: &Run) -> String {
    let mut text = run.command.args.join(" ");
    for file in &run.files {
        text.push('\n');
        text.push_str(&text::to_str(&file.data));
    }
    text
}
