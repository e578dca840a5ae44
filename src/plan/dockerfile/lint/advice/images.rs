//! `UnpinnedBaseImage`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Finding, Linter};
use crate::plan::dockerfile::expand::{Lexer, Uses};
use crate::plan::dockerfile::instruction::{Dockerfile, InstructionKind};

/// Checks the images that `file` builds on or copies from.
pub(super) fn check(file: &Dockerfile, is_context: &dyn Fn(&str) -> bool, linter: &mut Linter) {
    let defaults = default_args(file);
    let lexer = Lexer::new(file.escape);
    let mut stages = BTreeSet::new();
    for stage in &file.stages {
        let mut uses = Uses::default();
        let base = lexer.expand_noting(&stage.base_name, &defaults, &mut uses);
        if let (Ok(base), true) = (&base, uses.unmatched.is_empty())
            && is_unpinned(base)
            && base != "scratch"
            && !stages.contains(base.as_ref())
            && !is_context(base)
            && !is_context(&stage.name)
        {
            let image = base.as_ref().to_owned();
            linter.warn(&stage.origin, Finding::UnpinnedBaseImage { image });
        }
        for instruction in &stage.instructions {
            let mut check = |image: &str| {
                // A bare word may well be a stage or a context.
                if image.contains(['/', ':']) && is_unpinned(image) && !is_context(image) {
                    let image = image.to_owned();
                    linter.warn(&instruction.origin, Finding::UnpinnedBaseImage { image });
                }
            };
            match &instruction.kind {
                InstructionKind::Copy(copy) => check(&copy.from),
                InstructionKind::Run(run) => {
                    run.mount_specs.iter().for_each(|spec| check(&spec.from));
                }
                _ => {}
            }
        }
        stages.insert(stage.name.as_str());
    }
}

/// Returns the global arguments as they are without build arguments.
fn default_args(file: &Dockerfile) -> BTreeMap<String, String> {
    let mut defaults = BTreeMap::new();
    let lexer = Lexer::new(file.escape);
    for pair in file.global_args.iter().flat_map(|global| &global.arg.args) {
        let Some(value) = &pair.value else { continue };
        if let Ok(value) = lexer.expand(value, &defaults).map(std::borrow::Cow::into_owned) {
            defaults.insert(pair.key.clone(), value);
        }
    }
    defaults
}

/// Tells whether an image has neither a version nor a digest.
fn is_unpinned(image: &str) -> bool {
    if image.is_empty() || image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}
