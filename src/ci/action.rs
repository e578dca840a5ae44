//! The inputs of docker/build-push-action, as flags of `kitwright build`.
//!
//! A workflow that builds with `docker/build-push-action` replaces that one line and keeps its `with:`.
//! The inputs arrive as one JSON object in the environment, never in a shell's words. Values of secrets
//! leave it for files that only this user reads, and the build sees their paths alone.
//!
//! Lists are written as that action reads them: a line each, commas too where an item cannot hold one,
//! and an item in double quotes may have line ends inside.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::fault::{Classified, Fault};

mod list;
mod secret;

use list::{boolean, lines, list, pairs, secrets};
use secret::{Secrets, secret};

/// How an input becomes flags.
#[derive(Clone, Copy)]
enum Kind {
    /// The flag once, with the value.
    Text,
    /// The flag once for each item; commas divide items too.
    Words,
    /// The flag once for each line.
    Lines,
    /// The same, with quotes left to the flag's own grammar.
    Verbatim,
    /// The same as [`Lines`](Self::Lines), for contexts.
    Contexts,
    /// The flag alone, when the value is true.
    Switch,
    /// The flag once, with the items joined by commas.
    Joined,
}

/// Inputs that are flags of the same meaning.
const FLAGS: &[(&str, &str, Kind)] = &[
    ("add-hosts", "--add-host", Kind::Words),
    ("allow", "--allow", Kind::Words),
    ("annotations", "--annotation", Kind::Lines),
    ("attests", "--attest", Kind::Lines),
    ("build-args", "--build-arg", Kind::Lines),
    ("build-contexts", "--build-context", Kind::Contexts),
    ("builder", "--builder", Kind::Text),
    ("cache", "--cache", Kind::Text),
    ("cache-from", "--cache-from", Kind::Lines),
    ("cache-mounts", "--cache-mounts", Kind::Text),
    ("cache-mounts-readonly", "--cache-mounts-readonly", Kind::Switch),
    ("cache-to", "--cache-to", Kind::Lines),
    ("cgroup-parent", "--cgroup-parent", Kind::Text),
    ("explain", "--explain", Kind::Switch),
    ("file", "--file", Kind::Text),
    ("history", "--history", Kind::Switch),
    ("labels", "--label", Kind::Lines),
    ("load", "--load", Kind::Switch),
    ("locked", "--locked", Kind::Switch),
    ("network", "--network", Kind::Text),
    ("no-cache", "--no-cache", Kind::Switch),
    ("no-cache-filters", "--no-cache-filter", Kind::Words),
    ("outputs", "--output", Kind::Verbatim),
    ("platforms", "--platform", Kind::Joined),
    ("provenance", "--provenance", Kind::Text),
    ("pull", "--pull", Kind::Switch),
    ("push", "--push", Kind::Switch),
    ("reuse", "--reuse", Kind::Switch),
    ("sbom", "--sbom", Kind::Text),
    ("shm-size", "--shm-size", Kind::Text),
    ("ssh", "--ssh", Kind::Words),
    ("tags", "--tag", Kind::Words),
    ("target", "--target", Kind::Text),
    ("ulimit", "--ulimit", Kind::Lines),
];
/// Inputs that have no flag of their own.
const OTHERS: &[&str] =
    &["call", "context", "github-token", "install-only", "secret-envs", "secret-files", "secrets"];

/// The names of all inputs.
pub fn inputs() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(name, _, _)| *name).chain(OTHERS.iter().copied())
}

/// The secret with which BuildKit fetches from Git servers; for one of them with its host behind.
const GIT_TOKEN: &str = "GIT_AUTH_TOKEN";

/// The arguments of `kitwright build`, and the secrets that live as long as it runs.
#[derive(Debug)]
pub struct Arguments {
    /// The flags and the context.
    pub arguments: Vec<String>,
    /// The folder of the secrets' files.
    secrets: Option<tempfile::TempDir>,
}

/// Inputs that make no build.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ActionError {
    /// The environment has no inputs.
    #[error("`KITWRIGHT_INPUTS` is not set")]
    #[diagnostic(help(
        "the composite action sets it: `KITWRIGHT_INPUTS: ${{{{ toJSON(inputs) }}}}`"
    ))]
    NoInputs,
    /// The inputs are not an object of texts. The cause would quote them, and there are secrets.
    #[error("`KITWRIGHT_INPUTS` is not a JSON object of strings")]
    Inputs,
    /// There is no such input.
    #[error("there is no input `{0}`")]
    #[diagnostic(help("the inputs are those of docker/build-push-action; see docs/ci.md"))]
    Unknown(String),
    /// The input is known and cannot be obeyed.
    #[error("the input `{input}` cannot be obeyed: {why}")]
    Unsupported {
        /// The input.
        input: &'static str,
        /// Why.
        why: String,
    },
    /// A value that is to be true or false is neither.
    #[error("the input `{input}` is `{value}`, neither `true` nor `false`")]
    NotBoolean {
        /// The input.
        input: &'static str,
        /// Its value.
        value: String,
    },
    /// An item is not `name=value`. The item is not shown: it may be a secret.
    #[error("item {item} of the input `{input}` is not written as `name=value`")]
    NotAPair {
        /// The input.
        input: &'static str,
        /// Which item, from 1.
        item: usize,
    },
    /// A quotation does not end.
    #[error("a double quote in the input `{0}` is not closed")]
    Quote(&'static str),
    /// A secret's file cannot be written.
    #[error("cannot write a secret into `{}`", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Classified for ActionError {
    fn fault(&self) -> Fault {
        match self {
            Self::Write { .. } => Fault::Environment,
            _ => Fault::Usage,
        }
    }
}

impl Arguments {
    /// Reads the inputs' JSON; secrets' files go into a folder below `temp`.
    ///
    /// `server_url` is the GitHub that `github-token` belongs to.
    ///
    /// # Errors
    ///
    /// An [`ActionError`] that names the input, and never a secret.
    pub fn parse(inputs: &str, temp: &Path, server_url: &str) -> Result<Self, ActionError> {
        let inputs: BTreeMap<String, String> =
            serde_json::from_str(inputs).map_err(|_| ActionError::Inputs)?;
        let known = |name: &String| {
            FLAGS.iter().any(|(input, ..)| input == name) || OTHERS.contains(&name.as_str())
        };
        if let Some(unknown) = inputs.keys().find(|name| !known(name)) {
            return Err(ActionError::Unknown(unknown.clone()));
        }
        let get = |name: &str| inputs.get(name).map(|value| value.trim()).unwrap_or_default();
        let mut arguments = Vec::new();
        for (input, flag, kind) in FLAGS {
            flags(&mut arguments, input, flag, *kind, get(input))?;
        }
        match get("call") {
            "" | "build" => {}
            "check" => arguments.push("--check".to_owned()),
            other => {
                let why = format!("`{other}` is neither `build` nor `check`");
                return Err(ActionError::Unsupported { input: "call", why });
            }
        }
        let mut files = Secrets { temp, dir: None };
        let given = secrets(inputs.get("secrets").map(String::as_str).unwrap_or_default())?;
        for (name, value) in &given {
            files.add(&mut arguments, name, value)?;
        }
        for (name, variable) in pairs("secret-envs", get("secret-envs"), true)? {
            secret(&mut arguments, &name, "env", &variable);
        }
        for (name, file) in pairs("secret-files", get("secret-files"), false)? {
            secret(&mut arguments, &name, "src", &file);
        }
        let context = context(get("context"));
        let own = given.iter().any(|(name, _)| name.starts_with(GIT_TOKEN));
        if let (Some(host), false) = (host_of(server_url, &context), own)
            && !get("github-token").is_empty()
        {
            files.add(&mut arguments, &format!("{GIT_TOKEN}.{host}"), get("github-token"))?;
        }
        // After `--`: a context that begins with a dash is no flag.
        arguments.extend(["--".to_owned(), context]);
        Ok(Self { arguments, secrets: files.dir })
    }

    /// Removes the secrets' files.
    ///
    /// # Errors
    ///
    /// [`ActionError::Write`] when the system does not let us.
    pub fn close(self) -> Result<(), ActionError> {
        let Some(dir) = self.secrets else { return Ok(()) };
        let path = dir.path().to_owned();
        dir.close().map_err(|source| ActionError::Write { path, source })
    }
}

/// The context to build: the work tree unless it says otherwise.
///
/// `{{defaultContext}}` is the repository at GitHub for that action. The job has checked it out, and
/// what it has changed since is meant.
fn context(input: &str) -> String {
    match input.strip_prefix("{{defaultContext}}") {
        None if input.is_empty() => ".".to_owned(),
        None => input.to_owned(),
        Some(rest) => format!("./{}", rest.trim_start_matches(':')),
    }
}

/// A named context, with the same meaning of `{{defaultContext}}`.
fn named_context(item: &str) -> String {
    match item.split_once('=') {
        Some((name, place)) => format!("{name}={}", context(place)),
        None => item.to_owned(),
    }
}

/// GitHub's host, if `context` is fetched from there: no other server is told the job's token.
fn host_of<'a>(server_url: &'a str, context: &str) -> Option<&'a str> {
    let (_, host) = server_url.trim_end_matches('/').split_once("://")?;
    let place = context.strip_prefix("https://").or_else(|| context.strip_prefix("http://"))?;
    let rest = place.strip_prefix(host)?;
    (rest.starts_with('/') && !host.is_empty()).then_some(host)
}

fn flags(
    arguments: &mut Vec<String>,
    input: &'static str,
    flag: &str,
    kind: Kind,
    value: &str,
) -> Result<(), ActionError> {
    let items = match kind {
        Kind::Switch => {
            if boolean(input, value)? {
                arguments.push(flag.to_owned());
            }
            return Ok(());
        }
        Kind::Text if value.is_empty() => Vec::new(),
        Kind::Text => vec![value.to_owned()],
        Kind::Lines => list(input, value, false)?,
        Kind::Verbatim => lines(value),
        Kind::Contexts => {
            list(input, value, false)?.iter().map(|item| named_context(item)).collect()
        }
        Kind::Words => list(input, value, true)?,
        Kind::Joined => {
            let items = list(input, value, true)?;
            if items.is_empty() { items } else { vec![items.join(",")] }
        }
    };
    arguments.extend(items.into_iter().map(|item| format!("{flag}={item}")));
    Ok(())
}

#[cfg(test)]
mod tests;
