//! Rules that need nothing but the parsed file.

use std::collections::BTreeSet;

use super::{Finding, Linter};
use crate::plan::dockerfile::instruction::{Arg, Dockerfile, InstructionKind, Origin, Stage};
use crate::plan::dockerfile::text::{lower, upper};

/// Checks what the text shows before anything is compiled.
///
/// Of a file with an error, pass what [`parse_partially`](super::super::parse_partially) returned
/// and `complete` as false: rules about the file as a whole need all of it.
pub fn check_file(file: &Dockerfile, complete: bool, linter: &mut Linter) {
    for lines in &file.empty_continuations {
        linter.warn_file(*lines, Finding::NoEmptyContinuation);
    }
    for global in &file.global_args {
        describe_arg(&global.origin, &global.arg, linter);
    }
    for stage in &file.stages {
        check_from(stage, linter);
        for instruction in &stage.instructions {
            match &instruction.kind {
                InstructionKind::Maintainer(_) => {
                    linter.warn(&instruction.origin, Finding::MaintainerDeprecated);
                }
                InstructionKind::Arg(arg) => describe_arg(&instruction.origin, arg, linter),
                _ => {}
            }
        }
    }
    if complete {
        check_stage_names(file, linter);
        check_casing(file, linter);
    }
}

fn describe_arg(origin: &Origin, arg: &Arg, linter: &mut Linter) {
    let names: Vec<&str> = arg.args.iter().map(|pair| pair.key.as_str()).collect();
    describe("ARG", &names, origin, linter);
}

fn describe(instruction: &'static str, names: &[&str], origin: &Origin, linter: &mut Linter) {
    let (Some(comment), Some(first)) = (origin.comments.last(), names.first()) else { return };
    let word = comment.split(' ').next().unwrap_or_default();
    if !names.contains(&word) {
        let name = if names.len() > 1 { "<arg_key>" } else { first }.to_owned();
        linter.warn(origin, Finding::InvalidDefinitionDescription { instruction, name });
    }
}

fn check_from(stage: &Stage, linter: &mut Linter) {
    let (keyword, name) = &stage.written_name;
    if name.is_empty() {
        return;
    }
    if *name != lower(name) {
        linter.warn(&stage.origin, Finding::StageNameCasing { name: name.clone() });
    }
    let from = &stage.origin.keyword;
    // FROM in mixed case is left to the rule about casing.
    let matching = match (*from == lower(from), *from == upper(from)) {
        (true, _) => *keyword == lower(keyword),
        (_, true) => *keyword == upper(keyword),
        _ => true,
    };
    if !matching {
        let (from, keyword) = (from.clone(), keyword.clone());
        linter.warn(&stage.origin, Finding::FromAsCasing { from, keyword });
    }
    describe("FROM", &[&stage.name], &stage.origin, linter);
}

fn check_stage_names(file: &Dockerfile, linter: &mut Linter) {
    let mut seen = BTreeSet::new();
    for stage in file.stages.iter().filter(|stage| !stage.name.is_empty()) {
        let (name, lines) = (stage.name.clone(), stage.origin.lines);
        if matches!(name.as_str(), "context" | "scratch") {
            linter.warn_file(lines, Finding::ReservedStageName { name: name.clone() });
        }
        if !seen.insert(stage.name.as_str()) {
            linter.warn_file(lines, Finding::DuplicateStageName { name });
        }
    }
}

fn origins(file: &Dockerfile) -> impl Iterator<Item = &Origin> {
    file.stages.iter().flat_map(|stage| {
        let instructions = stage.instructions.iter().map(|instruction| &instruction.origin);
        std::iter::once(&stage.origin).chain(instructions)
    })
}

fn check_casing(file: &Dockerfile, linter: &mut Linter) {
    let (mut lower_count, mut upper_count) = (0, 0);
    for origin in origins(file) {
        if origin.keyword == lower(&origin.keyword) {
            lower_count += 1;
        } else if origin.keyword == upper(&origin.keyword) {
            upper_count += 1;
        }
    }
    let mostly_lower = lower_count > upper_count;
    for origin in origins(file) {
        let wanted = match mostly_lower {
            true => lower(&origin.keyword),
            false => upper(&origin.keyword),
        };
        if origin.keyword != wanted {
            let keyword = origin.keyword.clone();
            let finding = Finding::ConsistentInstructionCasing { keyword, lower: mostly_lower };
            linter.warn_file(origin.lines, finding);
        }
    }
}
