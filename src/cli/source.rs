//! What a command compiles: the Dockerfile, its contexts, and the frontend options that go with them.
//!
//! The options are kept in the `key=value` form in which buildx sends them, so that one text serves
//! kitwright's own compiler and, with `--frontend`, the engine's.
mod ignored;
mod layout;
mod named;
mod options;
mod stdin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::SourceArgs;
use crate::fault::{Classified, Fault};
use crate::plan::dockerfile::ignore::IgnoreError;
use options::options;
use stdin::{is_archive, read_stdin, unpack};

pub(super) use options::byte_size;

/// The Dockerfile and everything it is compiled with.
#[derive(Debug)]
pub(super) struct Source {
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// The main context, when it is a directory; the option `context` names any other.
    pub context: Option<PathBuf>,
    /// Directories that steps read, by the name under which the session offers them.
    pub directories: BTreeMap<String, PathBuf>,
    /// OCI layouts that stand for images, by the name under which the session offers them.
    pub layouts: BTreeMap<String, PathBuf>,
    /// What tells this context apart from others in the engine's memory of transfers.
    pub shared_key: String,
    /// The frontend options.
    pub options: BTreeMap<String, String>,
    /// Holds an unpacked context until the build has ended.
    _unpacked: Option<tempfile::TempDir>,
}

/// A Dockerfile as read.
#[derive(Debug)]
pub(super) struct DockerfileText {
    /// Its file name, as the engine's frontend would be told it.
    pub name: String,
    /// Where it was read from; none for stdin and for remote contexts.
    pub path: Option<PathBuf>,
    /// Its text; none when it lies in a remote context.
    pub text: Option<Vec<u8>>,
}

/// Input that cannot be compiled.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum SourceError {
    #[error("build context `{0}` is not a directory, and no Git or HTTP URL")]
    #[diagnostic(help(
        "give the directory whose files the Dockerfile copies, e.g. `kitwright build .`"
    ))]
    NoContext(String),
    #[error("cannot read Dockerfile `{}`", path.display())]
    #[diagnostic(help("name the file with `--file PATH`"))]
    Dockerfile { path: PathBuf, source: std::io::Error },
    #[error("cannot read ignore file `{}`", path.display())]
    IgnoreFile { path: PathBuf, source: std::io::Error },
    #[error("cannot use ignore file `{}`", path.display())]
    IgnorePattern { path: PathBuf, source: IgnoreError },
    #[error("cannot read stdin")]
    Stdin { source: std::io::Error },
    #[error("stdin cannot be both build context and Dockerfile")]
    StdinTwice,
    #[error("the build context on stdin is not a tar archive that can be unpacked")]
    #[diagnostic(help(
        "archives are plain tar, tar.gz or tar.zst; a Dockerfile goes to `--file -`"
    ))]
    Archive { source: std::io::Error },
    #[error("cannot make a temporary folder")]
    Unpack { source: std::io::Error },
    #[error("`{flag} {value}`: {reason}")]
    Flag { flag: &'static str, value: String, reason: String },
    #[error("build context `{name}` points to `{value}`, which cannot be used")]
    NamedContext { name: String, value: String, source: std::io::Error },
}

impl Classified for SourceError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

fn flag(flag: &'static str, value: &str, reason: impl Into<String>) -> SourceError {
    SourceError::Flag { flag, value: value.to_owned(), reason: reason.into() }
}

impl Source {
    /// Reads the Dockerfile and checks every flag that decides the LLB.
    ///
    /// # Errors
    ///
    /// [`SourceError`], which names the flag or file.
    pub(super) fn read(args: &SourceArgs) -> Result<Self, SourceError> {
        let mut source = Self {
            dockerfile: DockerfileText { name: String::new(), path: None, text: None },
            context: None,
            directories: BTreeMap::new(),
            layouts: BTreeMap::new(),
            shared_key: String::new(),
            options: options(args)?,
            _unpacked: None,
        };
        source.find_context(args)?;
        source.find_dockerfile(args)?;
        for context in &args.build_context {
            source.named_context(context)?;
        }
        Ok(source)
    }

    fn find_context(&mut self, args: &SourceArgs) -> Result<(), SourceError> {
        let context = args.context.as_str();
        if context == "-" {
            if args.file.as_deref() == Some("-") {
                return Err(SourceError::StdinTwice);
            }
            return self.context_from_stdin(args);
        }
        if Path::new(context).is_dir() {
            self.set_context(PathBuf::from(context));
            return Ok(());
        }
        if is_remote(context) {
            self.options.insert("context".into(), context.to_owned());
            return Ok(());
        }
        Err(SourceError::NoContext(context.to_owned()))
    }

    fn set_context(&mut self, path: PathBuf) {
        self.shared_key = base_name(&path);
        self.directories.insert("context".into(), path.clone());
        self.context = Some(path);
    }

    /// Stdin holds either an archive or, as `docker build -` has it, a Dockerfile without context.
    fn context_from_stdin(&mut self, args: &SourceArgs) -> Result<(), SourceError> {
        let bytes = read_stdin()?;
        let folder = tempfile::tempdir().map_err(|source| SourceError::Unpack { source })?;
        if is_archive(&bytes) {
            unpack(&bytes, folder.path()).map_err(|source| SourceError::Archive { source })?;
        } else if args.file.is_some() {
            let source = std::io::Error::other("it has no header of a tar archive");
            return Err(SourceError::Archive { source });
        } else {
            self.dockerfile =
                DockerfileText { name: "Dockerfile".into(), path: None, text: Some(bytes) };
        }
        self.set_context(folder.path().to_owned());
        self._unpacked = Some(folder);
        Ok(())
    }

    fn find_dockerfile(&mut self, args: &SourceArgs) -> Result<(), SourceError> {
        if self.dockerfile.text.is_some() {
            return Ok(());
        }
        let path = match (args.file.as_deref(), &self.context) {
            (Some("-"), _) => {
                let text = Some(read_stdin()?);
                self.dockerfile = DockerfileText { name: "Dockerfile".into(), path: None, text };
                return Ok(());
            }
            (Some(file), Some(context)) if args.context == "-" => context.join(file),
            (Some(file), Some(_)) => PathBuf::from(file),
            (Some(file), None) if Path::new(file).is_absolute() => PathBuf::from(file),
            (None, Some(context)) => lower_case(context.join("Dockerfile")),
            (file, None) => {
                let name = file.unwrap_or("Dockerfile").to_owned();
                self.options.insert("filename".into(), name.clone());
                self.dockerfile = DockerfileText { name, path: None, text: None };
                return Ok(());
            }
        };
        let text = fs_err::read(&path)
            .map_err(|source| SourceError::Dockerfile { path: path.clone(), source })?;
        let name = base_name(&path);
        self.options.insert("filename".into(), name.clone());
        self.dockerfile = DockerfileText { name, path: Some(path), text: Some(text) };
        Ok(())
    }

    /// Whether the directories will still be there for the next build.
    pub(super) const fn keeps_directories(&self) -> bool {
        self._unpacked.is_none()
    }

    /// A folder with a copy of the Dockerfile and its ignore file, for a frontend that the engine
    /// runs; none when the Dockerfile lies in a remote context.
    pub(super) fn dockerfile_directory(&self) -> Result<Option<tempfile::TempDir>, SourceError> {
        let Some(text) = &self.dockerfile.text else { return Ok(None) };
        let failed = |source| SourceError::Unpack { source };
        let folder = tempfile::tempdir().map_err(failed)?;
        let copy = folder.path().join(&self.dockerfile.name);
        fs_err::write(copy, text).map_err(failed)?;
        if let Some(beside) = self.ignore_file_beside() {
            let name = format!("{}.dockerignore", self.dockerfile.name);
            match fs_err::copy(&beside, folder.path().join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(SourceError::IgnoreFile { path: beside, source: error });
                }
                _ => {}
            }
        }
        Ok(Some(folder))
    }
}

fn is_remote(text: &str) -> bool {
    const SCHEMES: [&str; 6] = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

fn base_name(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned())
}

/// `dockerfile` where there is no `Dockerfile`.
fn lower_case(path: PathBuf) -> PathBuf {
    let lower = path.with_file_name("dockerfile");
    if !path.exists() && lower.exists() { lower } else { path }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        source: SourceArgs,
    }

    fn args(line: &[&str]) -> SourceArgs {
        Flags::parse_from(std::iter::once("test").chain(line.iter().copied())).source
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
        folder
    }

    #[test]
    fn flags_become_frontend_options() {
        let folder = folder();
        let path = folder.path().to_str().unwrap();
        let context = format!("src={path}");
        let read = Source::read(&args(&[
            path,
            "--target=a",
            "--platform=linux/amd64,linux/arm64",
            "--build-arg=A=b=c",
            "--label=l=m",
            "--add-host=h:10.0.0.1",
            "--shm-size=64m",
            "--ulimit=nofile=1:2",
            "--network=host",
            "--pull",
            "--build-context",
            &context,
            "--build-context=docker.io/library/golang:1.2=docker-image://x",
        ]))
        .unwrap();
        let expected = [
            ("add-hosts", "h=10.0.0.1"),
            ("build-arg:A", "b=c"),
            ("context:golang:1.2", "docker-image://x"),
            ("context:src", "local:src"),
            ("filename", "Dockerfile"),
            ("force-network-mode", "host"),
            ("image-resolve-mode", "pull"),
            ("label:l", "m"),
            ("platform", "linux/amd64,linux/arm64"),
            ("sharedkey:localdir:src", folder.path().file_name().unwrap().to_str().unwrap()),
            ("shm-size", "67108864"),
            ("target", "a"),
            ("ulimit", "nofile=1:2"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(read.options, BTreeMap::from(expected));
        assert_eq!(read.directories.keys().collect::<Vec<_>>(), ["context", "src"]);
        assert_eq!(read.dockerfile.text.as_deref(), Some(&b"FROM scratch\n"[..]));
    }

    #[test]
    fn the_ignore_file_beside_the_dockerfile_comes_first() {
        let folder = folder();
        let ignored = || {
            let read = Source::read(&args(&[folder.path().to_str().unwrap()])).unwrap();
            read.ignored_patterns().unwrap()
        };
        assert!(ignored().is_empty());
        fs_err::write(folder.path().join(".dockerignore"), "a").unwrap();
        assert_eq!(ignored(), ["a"]);
        fs_err::write(folder.path().join("Dockerfile.dockerignore"), "b").unwrap();
        assert_eq!(ignored(), ["b"]);
    }

    #[test]
    fn wrong_flags_are_named() {
        let folder = folder();
        let path = folder.path().to_str().unwrap();
        for (line, part) in [
            (vec!["no/such/dir"], "build context `no/such/dir`"),
            (vec![path, "--file=nope"], "cannot read Dockerfile `nope`"),
            (vec![path, "--shm-size=big"], "--shm-size big"),
            (vec![path, "--add-host=h"], "--add-host h"),
            (vec![path, "--ulimit=x=1"], "--ulimit x=1"),
            (vec![path, "--network=bridge"], "--network bridge"),
            (vec![path, "--build-context=x"], "--build-context x"),
            (vec![path, "--build-context=x=no/such"], "build context `x`"),
            (vec![path, "--build-context=x=oci-layout://no/such"], "oci-layout://no/such"),
        ] {
            let message = Source::read(&args(&line)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
