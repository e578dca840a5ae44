//! `RUN --mount`.
//!
//! The options are read twice. When the Dockerfile is parsed, only `from` is: it decides which
//! stages the `RUN` depends on, and cannot hold variables. Everything else is read while the stage
//! is compiled, with its variables expanded; only then are mistakes found, so that a stage which
//! nothing needs cannot fail a build.

use std::borrow::Cow;

use super::{Expander, Run, csv};
use crate::plan::dockerfile::error::ParseError;
use crate::plan::dockerfile::suggest::nearest;
use crate::plan::dockerfile::text::lower;

/// One `--mount` as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    /// The value of the flag.
    pub text: String,
    /// The image or stage it names in `from`; empty without one.
    pub from: String,
}

/// The `type` of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as written")]
pub enum MountKind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl MountKind {
    /// Returns the name as written in `type=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }

    const ALL: [Self; 5] = [Self::Bind, Self::Cache, Self::Tmpfs, Self::Secret, Self::Ssh];
}

/// The `sharing` of a cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as written")]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// A mount with its variables expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// `type`, a bind mount without.
    pub kind: MountKind,
    /// `from`, empty without.
    pub from: String,
    /// `source`, empty without.
    pub source: String,
    /// `target`, empty without.
    pub target: String,
    /// Whether it is read-only; without `ro` or `rw`, cache and tmpfs mounts are not.
    pub read_only: bool,
    /// `size` in bytes, of a tmpfs mount.
    pub size: i64,
    /// `id`, empty without.
    pub id: String,
    /// `sharing`, `None` without.
    pub sharing: Option<Sharing>,
    /// `required`, of a secret or ssh mount.
    pub required: bool,
    /// `env`, the variable a secret is put into; an empty name stands for the default one.
    pub env: Option<String>,
    /// `mode`, written in octal.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
}

/// The keys of a mount, the usual spelling of each first.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

impl MountSpec {
    /// Reads the value of one `--mount` as far as that is possible without its variables.
    ///
    /// # Errors
    ///
    /// [`ParseError`] for a value that is not CSV and for a variable in `from`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut from = String::new();
        for field in csv::fields(text)? {
            let Some((key, value)) = field.split_once('=') else { continue };
            if lower(key) != "from" {
                continue;
            }
            if value.find('$').is_some_and(|at| at != value.len() - 1) {
                return Err(ParseError::VariableInFrom);
            }
            value.clone_into(&mut from);
        }
        // Secrets, ssh and tmpfs mounts have no source either way; which type it is may depend on
        // a variable.
        Ok(Self { text: text.to_owned(), from })
    }
}

impl Run {
    /// Expands and checks the `--mount` options, in the order of
    /// [`mount_specs`](Self::mount_specs).
    ///
    /// # Errors
    ///
    /// The first error of `expander`, or a [`ParseError`] when an option is unknown, has a bad value
    /// or does not go with the type.
    pub fn mounts<E: From<ParseError>>(
        &self,
        expander: &mut Expander<'_, E>,
    ) -> Result<Vec<Mount>, E> {
        self.mount_specs.iter().map(|spec| Mount::parse(&spec.text, expander)).collect()
    }
}

impl Mount {
    /// Reads the value of one `--mount`, passing every value through `expander`.
    ///
    /// # Errors
    ///
    /// As [`Run::mounts`].
    pub fn parse<E: From<ParseError>>(
        text: &str,
        expander: &mut Expander<'_, E>,
    ) -> Result<Self, E> {
        let mut mount = Self::default();
        let mut read_only = None;
        for field in csv::fields(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (lower(key), Some(expander(value)?)),
                None => (lower(&field), None),
            };
            match value {
                Some(value) => mount.set(&key, value, &field, &mut read_only)?,
                None => mount.set_bare(&key, &field, &mut read_only)?,
            }
        }
        mount.read_only =
            read_only.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
        mount.check()?;
        Ok(mount)
    }

    fn set_bare(
        &mut self,
        key: &str,
        field: &str,
        read_only: &mut Option<bool>,
    ) -> Result<(), ParseError> {
        match key {
            "readonly" | "ro" => *read_only = Some(true),
            "readwrite" | "rw" => *read_only = Some(false),
            "required" => {
                self.allow(key, &[MountKind::Secret, MountKind::Ssh])?;
                self.required = true;
            }
            _ => return Err(ParseError::FieldWithoutValue { field: field.to_owned() }),
        }
        Ok(())
    }

    fn set(
        &mut self,
        key: &str,
        value: Cow<'_, str>,
        field: &str,
        read_only: &mut Option<bool>,
    ) -> Result<(), ParseError> {
        match key {
            "type" => self.kind = parse_kind(&value)?,
            "from" => self.from = value.into_owned(),
            "source" | "src" => self.source = value.into_owned(),
            "target" | "dst" | "destination" => self.target = value.into_owned(),
            "readonly" | "ro" => *read_only = Some(parse_bool(key, &value)?),
            "readwrite" | "rw" => *read_only = Some(!parse_bool(key, &value)?),
            "required" => {
                self.allow(key, &[MountKind::Secret, MountKind::Ssh])?;
                self.required = parse_bool(key, &value)?;
            }
            "size" => {
                self.allow(key, &[MountKind::Tmpfs])?;
                self.size = super::size::parse(&value)?;
            }
            "id" => self.id = value.into_owned(),
            "sharing" => self.sharing = Some(parse_sharing(&value)?),
            "mode" => self.mode = Some(parse_number(key, &value, 8)?),
            "uid" => self.uid = Some(parse_number(key, &value, 10)?),
            "gid" => self.gid = Some(parse_number(key, &value, 10)?),
            "env" => self.env = Some(value.into_owned()),
            _ => {
                let suggestion = nearest(key, KEYS).into();
                let (key, field) = (key.to_owned(), field.to_owned());
                return Err(ParseError::UnknownKey { key, field, suggestion });
            }
        }
        Ok(())
    }

    /// Refuses a key that only other types of mounts have. The type counts that was read so far.
    fn allow(&self, key: &str, kinds: &[MountKind]) -> Result<(), ParseError> {
        match kinds.contains(&self.kind) {
            true => Ok(()),
            false => {
                Err(ParseError::KeyOfOtherMount { key: key.to_owned(), kind: self.kind.name() })
            }
        }
    }

    fn check(&self) -> Result<(), ParseError> {
        let fail = |reason| Err(ParseError::InvalidMount { kind: self.kind.name(), reason });
        if matches!(self.kind, MountKind::Bind | MountKind::Tmpfs) {
            if self.mode.is_some() {
                return fail("`mode` is not allowed");
            }
            if self.uid.is_some() {
                return fail("`uid` is not allowed");
            }
            if self.gid.is_some() {
                return fail("`gid` is not allowed");
            }
        }
        if self.kind == MountKind::Secret {
            if !self.from.is_empty() {
                return fail("it should not have a `from`");
            }
            if self.sharing.is_some() {
                return fail("it should not define `sharing`");
            }
            if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
                return fail("one of `id`, `source` and `target` is required");
            }
            if !self.source.is_empty() && !self.id.is_empty() {
                return fail("`source` and `id` can't both be set");
            }
        }
        if self.sharing.is_some() && self.kind != MountKind::Cache {
            return fail("only a cache mount can define `sharing`");
        }
        Ok(())
    }
}

fn parse_kind(value: &str) -> Result<MountKind, ParseError> {
    let lowered = lower(value);
    MountKind::ALL.into_iter().find(|kind| kind.name() == lowered).ok_or_else(|| {
        let suggestion = nearest(value, MountKind::ALL.map(MountKind::name)).into();
        let allowed = "bind, cache, tmpfs, secret, ssh";
        ParseError::InvalidChoice {
            what: "mount type",
            value: value.to_owned(),
            suggestion,
            allowed,
        }
    })
}

fn parse_sharing(value: &str) -> Result<Sharing, ParseError> {
    match lower(value).as_ref() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => {
            let suggestion = nearest(value, ["shared", "private", "locked"]).into();
            let allowed = "shared, private, locked";
            let value = value.to_owned();
            Err(ParseError::InvalidChoice { what: "sharing", value, suggestion, allowed })
        }
    }
}

fn parse_number(key: &str, value: &str, radix: u32) -> Result<u32, ParseError> {
    let invalid = |reason: &str| ParseError::InvalidValue {
        name: key.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    if value.starts_with('+') {
        return Err(invalid("it has a sign"));
    }
    u32::from_str_radix(value, radix).map_err(|error| match radix {
        8 => invalid(&format!("it is no octal number: {error}")),
        _ => invalid(&format!("it is no number: {error}")),
    })
}

/// Reads a truth value in the spellings that BuildKit takes.
pub(super) fn parse_bool(key: &str, value: &str) -> Result<bool, ParseError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ParseError::InvalidValue {
            name: key.to_owned(),
            value: value.to_owned(),
            reason: "it is neither true nor false".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
