//! `ArgAboveUnrelatedStep`.

use std::collections::BTreeMap;

use super::super::{Finding, Linter, is_secret_name};
use super::full_text;
use crate::plan::dockerfile::instruction::{Dockerfile, InstructionKind, Origin, Stage};

/// Arguments that programs look at without being told, or that are the same for all steps.
const IMPLICIT: [&str; 30] = [
    "ALL_PROXY",
    "BUILDKIT_",
    "BUILDARCH",
    "BUILDOS",
    "BUILDPLATFORM",
    "BUILDVARIANT",
    "CARGO_",
    "CC",
    "CFLAGS",
    "CGO_",
    "CXX",
    "DEBIAN_FRONTEND",
    "FTP_PROXY",
    "GO",
    "HOME",
    "HTTP",
    "JAVA_",
    "LANG",
    "LC_",
    "LDFLAGS",
    "MAVEN_",
    "NODE_",
    "NO_PROXY",
    "NPM_CONFIG_",
    "PATH",
    "PIP_",
    "PYTHON",
    "RUST",
    "SOURCE_DATE_EPOCH",
    "TARGET",
];

fn is_implicit(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    upper == "TZ" || upper == "UV" || IMPLICIT.iter().any(|prefix| upper.starts_with(prefix))
}

/// An argument that nothing has named yet.
struct Pending<'f> {
    origin: &'f Origin,
    /// How many `RUN`s stand above it.
    runs_above: usize,
}

/// Checks where `stage` declares its arguments.
pub(super) fn check(stage: &Stage, file: &Dockerfile, linter: &mut Linter) {
    let declares = |kind: &InstructionKind| matches!(kind, InstructionKind::Arg(_));
    if !stage.instructions.iter().any(|instruction| declares(&instruction.kind)) {
        return;
    }
    let mut pending: BTreeMap<&str, Pending<'_>> = BTreeMap::new();
    let mut runs = 0;
    for instruction in &stage.instructions {
        let line = instruction.origin.lines.start;
        let mut mention = |word: &str| {
            let Some(found) = pending.remove(word) else { return };
            let steps = runs - found.runs_above;
            if steps > 0 {
                let (name, used) = (word.to_owned(), Some(line));
                linter.warn(found.origin, Finding::ArgAboveUnrelatedStep { name, steps, used });
            }
        };
        if let InstructionKind::Arg(arg) = &instruction.kind {
            for pair in &arg.args {
                words(pair.value.as_deref().unwrap_or_default()).for_each(&mut mention);
            }
            for pair in arg.args.iter().filter(|pair| !is_implicit(&pair.key)) {
                let found = Pending { origin: &instruction.origin, runs_above: runs };
                pending.insert(&pair.key, found);
            }
            continue;
        }
        words(&full_text(instruction)).for_each(&mut mention);
        runs += usize::from(matches!(instruction.kind, InstructionKind::Run(_)));
    }
    forget_inherited(&mut pending, stage, file);
    for (name, found) in pending {
        let steps = runs - found.runs_above;
        // A secret is read by the program it is for; it has rules of its own.
        if steps > 0 && !is_secret_name(name) {
            let (name, used) = (name.to_owned(), None);
            linter.warn(found.origin, Finding::ArgAboveUnrelatedStep { name, steps, used });
        }
    }
}

/// Removes what stages built on `stage` name: they inherit the values.
fn forget_inherited(pending: &mut BTreeMap<&str, Pending<'_>>, stage: &Stage, file: &Dockerfile) {
    if stage.name.is_empty() || pending.is_empty() {
        return;
    }
    let heirs = file.stages.iter().filter(|other| other.base_name == stage.name);
    for instruction in heirs.flat_map(|heir| &heir.instructions) {
        for word in words(&full_text(instruction)) {
            pending.remove(word);
        }
    }
}

/// Yields the words that could be names of variables.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| !word.is_empty())
}
