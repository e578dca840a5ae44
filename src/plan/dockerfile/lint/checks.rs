//! Rules that the compiler asks for while it expands words.

use std::collections::BTreeSet;

use super::{Finding, Linter};
use crate::plan::dockerfile::expand::Uses;
use crate::plan::dockerfile::instruction::{Origin, Stage};
use crate::plan::dockerfile::source::LineRange;
use crate::plan::dockerfile::suggest::nearest;

/// Build arguments that choose what an SBOM scanner sees; they are never in the environment.
const SBOM_ARGS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

impl Linter {
    /// Checks the variables that an instruction of a stage uses (`UndefinedVar`).
    ///
    /// `declared` tells whether an `ARG` of the stage or of those it is built on names a variable,
    /// with or without a value; `known` are the names in the environment, for suggestions. Call it
    /// for each word that is expanded, also when that fails.
    pub fn undefined_variables<'k>(
        &mut self,
        origin: &Origin,
        uses: &Uses,
        declared: impl Fn(&str) -> bool,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) {
        for name in &uses.unmatched {
            if declared(name) || SBOM_ARGS.contains(&name.as_str()) {
                continue;
            }
            let suggestion = nearest(name, known.clone()).map(str::to_owned);
            self.warn(origin, Finding::UndefinedVar { name: name.clone(), suggestion });
        }
    }

    /// Checks the variables in the base name or the platform of a `FROM` (`UndefinedArgInFrom`).
    ///
    /// `known` are the global arguments: automatic ones, and those that an `ARG` declares.
    pub fn undefined_args_in_from(&mut self, stage: &Stage, uses: &Uses, known: &BTreeSet<&str>) {
        for name in uses.unmatched.iter().filter(|name| !known.contains(name.as_str())) {
            let suggestion = nearest(name, known.iter().copied()).map(str::to_owned);
            let finding = Finding::UndefinedArgInFrom { name: name.clone(), suggestion };
            self.warn(&stage.origin, finding);
        }
    }

    /// Checks the `--platform` of a `FROM` (`RedundantTargetPlatform` and
    /// `FromPlatformFlagConstDisallowed`).
    ///
    /// `value` is the flag after expansion, which used `uses`; `target` is the value of
    /// `TARGETPLATFORM`; `parsed` are the operating system and the architecture of `value`, if it is
    /// a platform.
    pub fn platform_flag(
        &mut self,
        stage: &Stage,
        uses: &Uses,
        value: &str,
        target: Option<&str>,
        parsed: Option<(&str, &str)>,
    ) {
        let only_target = uses.unmatched.is_empty()
            && uses.matched.len() == 1
            && uses.matched.contains("TARGETPLATFORM");
        if only_target && target.unwrap_or_default() == value {
            let platform = stage.platform.clone();
            self.warn(&stage.origin, Finding::RedundantTargetPlatform { platform });
        }
        if uses.matched.is_empty()
            && uses.unmatched.is_empty()
            && let Some((os, architecture)) = parsed
            && !stage.name.contains(os)
            && !stage.name.contains(architecture)
        {
            let platform = value.to_owned();
            self.warn(&stage.origin, Finding::FromPlatformFlagConstDisallowed { platform });
        }
    }

    /// Checks that `CMD`, `ENTRYPOINT` or `HEALTHCHECK` is the only one of its stage
    /// (`MultipleInstructionsDisallowed`).
    ///
    /// `previous` remembers the last one's lines: the finding is about that one.
    pub fn used_once(
        &mut self,
        instruction: &'static str,
        origin: &Origin,
        previous: &mut Option<LineRange>,
    ) {
        if let Some(lines) = previous.replace(origin.lines) {
            self.warn_at(origin, lines, Finding::MultipleInstructionsDisallowed { instruction });
        }
    }

    /// Checks a name that `ARG` or `ENV` sets (`SecretsUsedInArgOrEnv`).
    pub fn secret_name(&mut self, instruction: &'static str, origin: &Origin, key: &str) {
        if is_secret_name(key) {
            let key = key.to_owned();
            self.warn(origin, Finding::SecretsUsedInArgOrEnv { instruction, key });
        }
    }
}

/// Tells whether a variable of this name probably holds a secret.
///
/// One of its words, which underscores separate, names a kind of secret, and none says that it is
/// public, a file or a version.
pub fn is_secret_name(name: &str) -> bool {
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    // The long s and the Kelvin sign fold to ASCII letters.
    let folded = name.replace('\u{17f}', "s").replace('\u{212a}', "k");
    let has = |words: &[&str]| {
        folded.split('_').any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
    };
    has(&SECRET) && !has(&HARMLESS)
}
