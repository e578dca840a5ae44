//! What a build is asked to leave behind: the values of `--output`, `--push` and `--load`.
//!
//! The grammar is buildx's: `type=…,dest=…,key=value…`, a bare path for `type=local`, `-` for a tar
//! archive on stdout. <https://docs.docker.com/build/exporters/> names the attributes, which go to
//! BuildKit as they are.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::attributes::{self, AttributesError};
use crate::fault::{Classified, Fault};

/// Exporter attributes that say where an image goes, not what it is.
const PLACES: [&str; 8] = [
    "name",
    "push",
    "unpack",
    "store",
    "push-by-digest",
    "registry.insecure",
    "dangling-name-prefix",
    "name-canonical",
];

/// What the exporter makes of a build's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExporterKind {
    /// An image in the engine's store, pushed with `push=true`.
    Image,
    /// An OCI image layout, as tar archive or (`tar=false`) directory.
    Oci,
    /// An archive for `docker load`, or the image loaded at once.
    Docker,
    /// The root file system as tar archive.
    Tar,
    /// The root file system as directory.
    Local,
    /// Nothing: the result stays in the build cache.
    CacheOnly,
}

/// Where an exporter's data goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// It stays in the engine or goes from there to a registry.
    Engine,
    /// A file, written under another name first and renamed when it is whole.
    File(PathBuf),
    /// A directory.
    Directory(PathBuf),
    /// Standard output.
    Stdout,
    /// A local image store.
    ImageStore(ImageStore),
}

/// The image store that an image is loaded into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageStore {
    /// Docker's if its daemon answers, else Podman's if it is installed, else kitwright's own.
    #[default]
    Found,
    /// Docker's.
    Docker,
    /// Podman's.
    Podman,
    /// Kitwright's own.
    Own,
}

/// One output of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exporter.
    pub kind: ExporterKind,
    /// Where its data goes.
    pub destination: Destination,
    /// Attributes for BuildKit.
    pub attributes: BTreeMap<String, String>,
}

/// An output that cannot be.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OutputError {
    /// Not an attribute list.
    #[error("invalid output `{value}`")]
    Syntax {
        /// As typed.
        value: String,
        /// Why.
        source: AttributesError,
    },
    /// No `type=`.
    #[error("output `{0}` has no `type`")]
    #[diagnostic(help("write e.g. `--output type=local,dest=out`"))]
    NoType(String),
    /// A type that neither BuildKit nor kitwright has.
    #[error("output type `{0}` is unknown")]
    #[diagnostic(help(
        "types are `image`, `registry`, `oci`, `docker`, `tar`, `local` and `cacheonly`"
    ))]
    UnknownType(String),
    /// The exporter writes files, but where to is not said.
    #[error("output `{0}` needs a destination")]
    #[diagnostic(help("add `,dest=PATH`"))]
    NoDestination(String),
    /// A directory cannot be written to stdout.
    #[error("output `{0}` writes a directory and cannot go to stdout")]
    #[diagnostic(help("add `,dest=DIRECTORY`"))]
    DirectoryToStdout(String),
    /// A file is where a directory should be, or the reverse.
    #[error("destination `{}` is {found}, but output `{value}` writes {wanted}", path.display())]
    WrongKind {
        /// As typed.
        value: String,
        /// The destination.
        path: PathBuf,
        /// What is there.
        found: &'static str,
        /// What the exporter writes.
        wanted: &'static str,
    },
    /// Two outputs write to stdout.
    #[error("more than one output writes to stdout")]
    StdoutTwice,
    /// Binary data would go to a terminal.
    #[error("output `{0}` would write an archive to the terminal")]
    #[diagnostic(help("add `,dest=FILE` or redirect stdout"))]
    Terminal(String),
    /// A push without a name.
    #[error("the image has no name to push to")]
    #[diagnostic(help("add `--tag REGISTRY/NAME:TAG`"))]
    PushWithoutName,
}

impl Classified for OutputError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Output {
    /// Parses one value of `--output`.
    ///
    /// # Errors
    ///
    /// Any [`OutputError`] but those about several outputs.
    pub fn parse(value: &str) -> Result<Self, OutputError> {
        let syntax = |source| OutputError::Syntax { value: value.to_owned(), source };
        let fields = attributes::fields(value).map_err(syntax)?;
        if fields.len() == 1 && fields[0] == value && !value.starts_with("type=") {
            return match value {
                "-" => Ok(Self::new(ExporterKind::Tar, Destination::Stdout)),
                path => Self::directory(ExporterKind::Local, value, path),
            };
        }
        let mut attributes = attributes::parse(value).map_err(syntax)?;
        let kind =
            attributes.remove("type").ok_or_else(|| OutputError::NoType(value.to_owned()))?;
        let destination = attributes.remove("dest");
        let mut output = Self::of_kind(&kind, value, destination.as_deref(), &mut attributes)?;
        output.attributes.append(&mut attributes);
        Ok(output)
    }

    fn new(kind: ExporterKind, destination: Destination) -> Self {
        Self { kind, destination, attributes: BTreeMap::new() }
    }

    fn of_kind(
        kind: &str,
        value: &str,
        destination: Option<&str>,
        attributes: &mut BTreeMap<String, String>,
    ) -> Result<Self, OutputError> {
        let no_destination = || OutputError::NoDestination(value.to_owned());
        match kind {
            "image" => Ok(Self::new(ExporterKind::Image, Destination::Engine)),
            "registry" => {
                attributes.insert("push".into(), "true".into());
                attributes.entry("unpack".into()).or_insert_with(|| "false".into());
                Ok(Self::new(ExporterKind::Image, Destination::Engine))
            }
            "local" => {
                let path = destination.ok_or_else(no_destination)?;
                Self::directory(ExporterKind::Local, value, path)
            }
            "tar" => Self::file(ExporterKind::Tar, value, destination.unwrap_or("-")),
            "oci" if is_false(attributes.get("tar")) => {
                Self::directory(ExporterKind::Oci, value, destination.ok_or_else(no_destination)?)
            }
            "oci" => Self::file(ExporterKind::Oci, value, destination.unwrap_or("-")),
            "docker" if is_false(attributes.get("tar")) => Self::directory(
                ExporterKind::Docker,
                value,
                destination.ok_or_else(no_destination)?,
            ),
            "docker" => match destination {
                Some(path) => Self::file(ExporterKind::Docker, value, path),
                None => {
                    Ok(Self::new(ExporterKind::Docker, Destination::ImageStore(ImageStore::Found)))
                }
            },
            "cacheonly" => Ok(Self::new(ExporterKind::CacheOnly, Destination::Engine)),
            other => Err(OutputError::UnknownType(other.to_owned())),
        }
    }

    fn directory(kind: ExporterKind, value: &str, path: &str) -> Result<Self, OutputError> {
        if path == "-" {
            return Err(OutputError::DirectoryToStdout(value.to_owned()));
        }
        let path = destination_path(value, path, "a directory", |found| !found.is_dir())?;
        Ok(Self::new(kind, Destination::Directory(path)))
    }

    fn file(kind: ExporterKind, value: &str, path: &str) -> Result<Self, OutputError> {
        if path == "-" {
            return Ok(Self::new(kind, Destination::Stdout));
        }
        let path = destination_path(value, path, "a file", Path::is_dir)?;
        Ok(Self::new(kind, Destination::File(path)))
    }

    /// Whether the image goes to a registry.
    #[must_use]
    pub fn pushes(&self) -> bool {
        self.kind == ExporterKind::Image && is_true(self.attributes.get("push"))
    }

    /// The attributes that shape the image: all but those that say where it goes.
    pub fn shape(&self) -> impl Iterator<Item = (&String, &String)> {
        self.attributes.iter().filter(|(name, _)| !PLACES.contains(&name.as_str()))
    }

    /// Whether the exporter makes an image, with a config and names, and not a bare file tree.
    #[must_use]
    pub const fn makes_image(&self) -> bool {
        matches!(self.kind, ExporterKind::Image | ExporterKind::Oci | ExporterKind::Docker)
    }
}

impl ExporterKind {
    /// BuildKit's name of the exporter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Oci => "oci",
            Self::Docker => "docker",
            Self::Tar => "tar",
            Self::Local => "local",
            Self::CacheOnly => "cacheonly",
        }
    }
}

fn destination_path(
    value: &str,
    path: &str,
    wanted: &'static str,
    is_wrong: impl Fn(&Path) -> bool,
) -> Result<PathBuf, OutputError> {
    let path = PathBuf::from(path);
    if path.exists() && is_wrong(&path) {
        let found = if path.is_dir() { "a directory" } else { "a file" };
        return Err(OutputError::WrongKind { value: value.to_owned(), path, found, wanted });
    }
    Ok(path)
}

fn is_true(value: Option<&String>) -> bool {
    value.is_some_and(|value| attributes::is_true(value))
}

/// The other half of [`attributes::is_true`].
fn is_false(value: Option<&String>) -> bool {
    value.is_some_and(|v| matches!(v.as_str(), "0" | "f" | "F" | "false" | "FALSE" | "False"))
}

/// Puts the outputs of a build together from `--output`, `--push`, `--load` and `--tag`.
///
/// As in buildx, `--push` turns the one image output there is into one that pushes, and stands for
/// `type=registry` where there is none; every image output takes its names from the tags.
///
/// # Errors
///
/// What [`Output::parse`] refuses, two outputs on stdout, archives for a terminal, a push without a
/// name.
pub fn outputs(
    values: &[String],
    push: bool,
    load: Option<ImageStore>,
    tags: &[String],
    stdout_is_terminal: bool,
) -> Result<Vec<Output>, OutputError> {
    let mut outputs = Vec::new();
    for value in values.iter().filter(|value| !value.is_empty()) {
        let output = Output::parse(value)?;
        if output.destination == Destination::Stdout && stdout_is_terminal {
            return Err(OutputError::Terminal(value.clone()));
        }
        outputs.push(output);
    }
    if outputs.iter().filter(|output| output.destination == Destination::Stdout).count() > 1 {
        return Err(OutputError::StdoutTwice);
    }
    if push {
        match outputs.iter_mut().find(|output| output.kind == ExporterKind::Image) {
            Some(image) => {
                image.attributes.insert("push".into(), "true".into());
            }
            None => outputs.push(Output::parse("type=registry")?),
        }
    }
    if let Some(store) = load {
        let loads = |output: &&mut Output| matches!(output.destination, Destination::ImageStore(_));
        let destination = Destination::ImageStore(store);
        match outputs.iter_mut().find(loads) {
            Some(output) => output.destination = destination,
            None => outputs.push(Output::new(ExporterKind::Docker, destination)),
        }
    }
    for output in outputs.iter_mut().filter(|output| output.makes_image()) {
        if !tags.is_empty() {
            output.attributes.insert("name".into(), tags.join(","));
        }
        let named = output.attributes.get("name").is_some_and(|name| !name.is_empty());
        if output.pushes() && !named {
            return Err(OutputError::PushWithoutName);
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Output {
        Output::parse(value).unwrap()
    }

    #[test]
    fn reads_every_form_of_an_output() {
        let dir = || Destination::Directory("new/out".into());
        assert_eq!(parsed("new/out"), Output::new(ExporterKind::Local, dir()));
        assert_eq!(parsed("-"), Output::new(ExporterKind::Tar, Destination::Stdout));
        assert_eq!(parsed("type=local,dest=new/out"), Output::new(ExporterKind::Local, dir()));
        assert_eq!(parsed("type=docker").destination, Destination::ImageStore(ImageStore::Found));
        assert_eq!(parsed("type=oci").destination, Destination::Stdout);
        assert_eq!(parsed("type=oci,tar=false,dest=new/out").destination, dir());
        let pushed = parsed("type=registry,\"name=a/b,c/d\"");
        assert!(pushed.pushes());
        assert_eq!(pushed.attributes["name"], "a/b,c/d");
        assert_eq!(pushed.attributes["unpack"], "false");
    }

    #[test]
    fn refuses_what_cannot_be() {
        let message = |value: &str| Output::parse(value).unwrap_err().to_string();
        assert_eq!(message("dest=x,push=true"), "output `dest=x,push=true` has no `type`");
        assert_eq!(message("type=zip"), "output type `zip` is unknown");
        assert_eq!(message("type=local"), "output `type=local` needs a destination");
        assert!(message("type=local,dest=-").contains("cannot go to stdout"));
        assert!(message("type=tar,dest=src").contains("is a directory"));
        assert!(message("type=local,dest=Cargo.toml").contains("is a file"));
    }

    #[test]
    fn push_and_load_add_to_the_outputs() {
        let tags = ["a/b:c".to_owned()];
        let pushed = outputs(&["type=image".into()], true, None, &tags, false).unwrap();
        assert_eq!(pushed.len(), 1);
        assert!(pushed[0].pushes());
        assert_eq!(pushed[0].attributes["name"], "a/b:c");
        let both = outputs(&[], true, Some(ImageStore::Found), &tags, false).unwrap();
        assert_eq!(both.len(), 2);
        let one = outputs(&["type=docker".into()], false, Some(ImageStore::Own), &tags, false);
        let one = one.unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].destination, Destination::ImageStore(ImageStore::Own));
        assert!(matches!(outputs(&[], true, None, &[], false), Err(OutputError::PushWithoutName)));
        let twice = ["-".to_owned(), "type=oci".to_owned()];
        assert!(matches!(outputs(&twice, false, None, &[], false), Err(OutputError::StdoutTwice)));
        assert!(matches!(outputs(&twice, false, None, &[], true), Err(OutputError::Terminal(_))));
    }
}
