//! `SecretValueInArgOrEnv`.

use super::super::{Finding, Linter};
use crate::plan::dockerfile::instruction::{Arg, KeyValue, Origin};

/// How secrets begin, how long they are at least, and what they are.
const MARKS: [(&str, usize, &str); 16] = [
    ("ghp_", 20, "a GitHub token"),
    ("gho_", 20, "a GitHub token"),
    ("ghs_", 20, "a GitHub token"),
    ("ghu_", 20, "a GitHub token"),
    ("github_pat_", 30, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("AKIA", 20, "an AWS access key"),
    ("ASIA", 20, "an AWS access key"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
    ("sk_live_", 20, "a Stripe key"),
    ("npm_", 36, "an npm token"),
    ("pypi-AgEI", 40, "a PyPI token"),
    ("dckr_pat_", 20, "a Docker Hub token"),
    ("-----BEGIN", 30, "a private key"),
    ("eyJ", 60, "a JSON web token"),
];

/// Checks the defaults of an `ARG`.
pub(super) fn check_arg(origin: &Origin, arg: &Arg, linter: &mut Linter) {
    for pair in &arg.args {
        check("ARG", &pair.key, pair.value.as_deref().unwrap_or_default(), origin, linter);
    }
}

/// Checks the values of an `ENV`.
pub(super) fn check_env(origin: &Origin, pairs: &[KeyValue], linter: &mut Linter) {
    for pair in pairs {
        check("ENV", &pair.key, &pair.value, origin, linter);
    }
}

fn check(instruction: &'static str, key: &str, value: &str, origin: &Origin, linter: &mut Linter) {
    let value = value.trim_matches(['"', '\'']);
    if let Some(kind) = kind(value) {
        let key = key.to_owned();
        linter.warn(origin, Finding::SecretValueInArgOrEnv { instruction, key, kind });
    }
}

/// Says what kind of secret `value` seems to be.
pub(super) fn kind(value: &str) -> Option<&'static str> {
    let token = |value: &str| !value.contains([' ', '$', '/', '<']);
    for (start, length, kind) in MARKS {
        let found = value.starts_with(start) && value.len() >= length;
        let fits = match start {
            "-----BEGIN" => value.contains("PRIVATE KEY"),
            "eyJ" => value.matches('.').count() == 2 && token(value),
            _ => token(value),
        };
        if found && fits {
            return Some(kind);
        }
    }
    has_password(value).then_some("a URL with a password")
}

/// Tells whether a URL carries a password that is written out.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    let Some((_, password)) = user.split_once(':') else { return false };
    !password.is_empty() && !password.contains(['$', '<', '{'])
}
