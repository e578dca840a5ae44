//! References to Git repositories: URLs, scp-style addresses, and their options.
//!
//! `https://host/repo.git#ref:subdir`, `git@host:repo?ref=v1&subdir=a`, `ssh://…`, `git://…`, and for
//! build contexts only, `github.com/owner/repo`.
use super::options::parse_bool;
use super::url::{Url, query_pairs, strict_query_pairs};

/// A Git repository and what to take of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitRef {
    /// The repository, without options.
    pub remote: String,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// Commit that the reference must be; empty when it does not matter.
    pub checksum: String,
    /// Directory inside the repository; empty for all of it.
    pub subdir: String,
    /// Whether the text could as well be a path (`github.com/owner/repo`).
    pub may_be_path: bool,
    /// Whether `.git` is kept.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched.
    pub submodules: Option<bool>,
    /// Which times files get: `checkout` or `commit`; empty for the engine's choice.
    pub mtime: String,
    /// Whether the commit is fetched itself, whatever the reference is.
    pub fetch_by_commit: bool,
}

/// A text that is a Git reference with options that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("git reference `{text}`: {problem}")]
pub struct GitRefError {
    /// The whole reference.
    pub text: String,
    /// What is wrong.
    pub problem: String,
}

/// Whether `text` is meant as a Git reference, be its options right or wrong.
#[must_use]
pub fn is_git(text: &str) -> bool {
    !matches!(GitRef::parse(text), Ok(None))
}

/// The address of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub scheme: String,
    pub host: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub fragment: String,
    /// The address without options.
    pub text: String,
}

impl Remote {
    /// Reads a URL of a protocol that Git speaks, or an scp-style address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let protocol = text.split_once("://").map(|(protocol, _)| protocol);
        match protocol.filter(|p| !p.is_empty() && p.bytes().all(|c| c.is_ascii_alphanumeric())) {
            Some(protocol) => {
                let known = ["http", "https", "ssh", "git"];
                if !known.contains(&protocol.to_lowercase().as_str()) {
                    return None;
                }
                Url::parse(text).map(|url| Self::from_url(&url))
            }
            None => Self::parse_scp(text),
        }
    }

    fn from_url(url: &Url) -> Self {
        Self {
            scheme: url.scheme.clone(),
            host: url.host.clone(),
            path: url.path.clone(),
            query: query_pairs(&url.query),
            fragment: url.fragment.clone(),
            text: url.without_options(),
        }
    }

    /// `user@host:path?query#fragment`.
    fn parse_scp(text: &str) -> Option<Self> {
        let (user, rest) = text.split_once('@')?;
        let (host, rest) = rest.split_once(':')?;
        let word = |text: &str, more: &[u8]| {
            !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
        };
        if !word(user, b"-_") || !word(host, b"-.") || rest.contains('\n') {
            return None;
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some(Self {
            scheme: "ssh".to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            query: strict_query_pairs(query)?,
            fragment: fragment.to_owned(),
            text: format!("{user}@{host}:{path}"),
        })
    }
}

impl GitRef {
    /// Reads `text`; `None` when it is no Git reference.
    ///
    /// # Errors
    ///
    /// [`GitRefError`] for options that are unknown, contradict each other or have bad values.
    pub fn parse(text: &str) -> Result<Option<Self>, GitRefError> {
        if text.starts_with("./") || text.starts_with("../") {
            return Ok(None);
        }
        let may_be_path = text.starts_with("github.com/");
        let remote = if may_be_path {
            Remote::parse(&format!("https://{text}"))
        } else {
            let is_repository = |remote: &Remote| match remote.scheme.as_str() {
                "http" | "https" => remote.path.ends_with(".git"),
                _ => true,
            };
            Remote::parse(text).filter(is_repository)
        };
        let Some(remote) = remote else { return Ok(None) };
        let mut git = Self { may_be_path, remote: remote.text, ..Self::default() };
        if may_be_path && let Some((_, rest)) = git.remote.split_once("://") {
            git.remote = rest.to_owned();
        }
        if !remote.fragment.is_empty() {
            let (reference, subdir) =
                remote.fragment.split_once(':').unwrap_or((&remote.fragment, ""));
            git.reference = reference.to_owned();
            git.subdir = super::path::join("/", subdir)[1..].to_owned();
        }
        git.read_query(&remote.query)
            .map_err(|problem| GitRefError { text: text.to_owned(), problem })?;
        Ok(Some(git))
    }

    fn read_query(&mut self, query: &[(String, String)]) -> Result<(), String> {
        let (mut tag, mut branch) = (String::new(), String::new());
        for (at, (key, value)) in query.iter().enumerate() {
            if query[..at].iter().any(|(other, _)| other == key) {
                return Err(format!("`{key}` is given more than once"));
            }
            let is_flag = matches!(&**key, "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !is_flag {
                return Err(format!("`{key}` has no value"));
            }
            let flag = || match &**value {
                "" => Ok(true),
                value => parse_bool(value)
                    .ok_or_else(|| format!("`{key}` takes a boolean, not `{value}`")),
            };
            match &**key {
                "ref" => set_once("ref", &mut self.reference, value)?,
                "tag" => tag.clone_from(value),
                "branch" => branch.clone_from(value),
                "subdir" => set_once("subdir", &mut self.subdir, value)?,
                "checksum" | "commit" => self.checksum.clone_from(value),
                "keep-git-dir" => self.keep_git_dir = Some(flag()?),
                "submodules" => self.submodules = Some(flag()?),
                "fetch-by-commit" => self.fetch_by_commit = flag()?,
                "mtime" if matches!(&**value, "checkout" | "commit") => {
                    self.mtime.clone_from(value);
                }
                "mtime" => return Err(format!("`mtime` is `checkout` or `commit`, not `{value}`")),
                other => return Err(format!("`{other}` is no option of a git reference")),
            }
        }
        self.set_full_ref("refs/tags/", &tag)?;
        if !branch.is_empty() && !tag.is_empty() {
            return Err("`branch` and `tag` contradict each other".to_owned());
        }
        self.set_full_ref("refs/heads/", &branch)
    }

    fn set_full_ref(&mut self, prefix: &str, name: &str) -> Result<(), String> {
        match name {
            "" => Ok(()),
            full if full.starts_with(prefix) => set_once("ref", &mut self.reference, full),
            short => set_once("ref", &mut self.reference, &format!("{prefix}{short}")),
        }
    }
}

fn set_once(key: &str, field: &mut String, value: &str) -> Result<(), String> {
    if !field.is_empty() && field != value {
        return Err(format!("`{key}` is both `{field}` and `{value}`"));
    }
    value.clone_into(field);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> GitRef {
        GitRef::parse(text).unwrap().unwrap()
    }

    #[test]
    fn reads_all_forms() {
        let git = parse("https://github.com/moby/buildkit.git#v1:a/../b");
        assert_eq!(git.remote, "https://github.com/moby/buildkit.git");
        assert_eq!((&*git.reference, &*git.subdir), ("v1", "b"));
        let git = parse("git@github.com:moby/buildkit.git?tag=v1&subdir=x&keep-git-dir");
        assert_eq!(git.remote, "git@github.com:moby/buildkit.git");
        assert_eq!((&*git.reference, &*git.subdir), ("refs/tags/v1", "x"));
        assert_eq!(git.keep_git_dir, Some(true));
        let git = parse("github.com/moby/buildkit#main");
        assert_eq!((&*git.remote, git.may_be_path), ("github.com/moby/buildkit", true));
        assert_eq!(parse("ssh://git@host:22/repo").remote, "ssh://git@host:22/repo");
    }

    #[test]
    fn paths_and_other_urls_are_no_repositories() {
        for text in ["a", "./a@b:c", "/a", "https://host/a.tar", "ftp://host/a.git", "a b@c:d", ""]
        {
            assert_eq!(GitRef::parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn options_that_make_no_sense_are_errors() {
        for query in ["x=1", "ref", "ref=a&ref=b", "tag=a&branch=b", "mtime=now", "submodules=2"] {
            let text = format!("https://host/a.git?{query}");
            assert!(GitRef::parse(&text).is_err(), "{query}");
            assert!(is_git(&text));
        }
        assert!(GitRef::parse("https://host/a.git?ref=x#y").is_err());
    }
}
