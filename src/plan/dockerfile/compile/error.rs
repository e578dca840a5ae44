//! Why a Dockerfile that parses cannot be compiled.
use miette::Diagnostic;

use super::super::error::{ParseError, Suggestion};
use super::super::expand::ExpandError;
use super::super::git_ref::GitRefError;
use super::super::resolver::{ImageQuery, ResolveError};
use super::super::source::{LineRange, Located, Source};
use crate::fault::{Classified, Fault};
use crate::oci::platform::PlatformError;
use crate::oci::reference::ReferenceError;

/// The outcome of a compilation that gave no definition.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Images that must be looked up first; then compile again.
    #[error("{} image(s) have not been looked up", .0.len())]
    Unresolved(Vec<ImageQuery>),
    /// An instruction is at fault.
    #[error(transparent)]
    At(Box<Located<CompileErrorKind>>),
    /// An option is at fault.
    #[error(transparent)]
    Option(Box<CompileErrorKind>),
}

/// What is wrong.
#[derive(Debug, Clone, thiserror::Error, Diagnostic)]
pub enum CompileErrorKind {
    /// A word whose variables cannot be expanded.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Expand(#[from] ExpandError),
    /// An instruction that cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Parse(#[from] ParseError),
    /// An image that cannot be looked up.
    #[error("{error}{suggestion}")]
    Resolve {
        /// Why.
        error: ResolveError,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// The config of an image is none.
    #[error("the config of image `{reference}` cannot be read: {reason}")]
    Config {
        /// The image.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A base that is no image reference.
    #[error("failed to parse stage name `{name}`")]
    BaseName {
        /// The name with its variables expanded.
        name: String,
        /// Why it is none.
        #[source]
        source: ReferenceError,
    },
    /// A base whose variables leave nothing.
    #[error("base name ({name}) should not be blank")]
    #[diagnostic(help(
        "give the variable a value: `--build-arg NAME=VALUE`, or `ARG NAME=default` before the first FROM"
    ))]
    BlankBaseName {
        /// The name as written.
        name: String,
    },
    /// A platform whose variables leave nothing.
    #[error("empty platform value from expression {text}{suggestion}")]
    BlankPlatform {
        /// The platform as written.
        text: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// A platform that is none.
    #[error("failed to parse platform {text}{suggestion}")]
    Platform {
        /// The platform as written.
        text: String,
        /// What may have been meant.
        suggestion: Suggestion,
        /// Why it is none.
        #[source]
        source: PlatformError,
    },
    /// A target that is no stage.
    #[error("target stage `{name}` could not be found{suggestion}")]
    NoTarget {
        /// The target.
        name: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// A number that is no stage.
    #[error("invalid stage index {0}")]
    #[diagnostic(help("stages are counted from 0; name the stage with `AS` instead"))]
    StageIndex(i64),
    /// A variable in `--from`.
    #[error("variable expansion is not supported for --from")]
    #[diagnostic(help(
        "define a stage before this one, `FROM ${{NAME}} AS alias`, and copy from it"
    ))]
    VariableInFrom,
    /// Stages that need each other.
    #[error("circular dependency detected on stage: {0}")]
    Cycle(String),
    /// A stage that comes later.
    #[error(
        "cannot copy from stage `{from}`, it needs to be defined before current stage `{stage}`"
    )]
    CopyFromLater {
        /// The stage copied from.
        from: String,
        /// The stage copied to.
        stage: String,
    },
    /// A stage that comes later.
    #[error(
        "cannot mount from stage `{from}` to `{target}`, stage needs to be defined before current command"
    )]
    MountFromLater {
        /// The stage mounted.
        from: String,
        /// Where it is mounted.
        target: String,
    },
    /// A mount over the root.
    #[error("invalid mount target `{0}`")]
    MountTarget(String),
    /// A secret without a name.
    #[error("one of source, target required")]
    SecretName,
    /// An SSH mount with a source.
    #[error("ssh does not support source")]
    SshSource,
    /// A heredoc that is not a shell command.
    #[error("a heredoc needs a command in shell form")]
    HeredocCommand,
    /// A mode that is none.
    #[error("invalid chmod parameter: `{0}`. it should be octal string and between 0 and 07777")]
    ChmodOctal(String),
    /// A symbolic mode that is none.
    #[error("invalid chmod parameter: `{0}`: invalid syntax")]
    #[diagnostic(help(
        "write it as an octal number such as 0755, or as chmod(1) takes it, such as u+x,go-w"
    ))]
    ChmodSymbolic(String),
    /// `COPY --checksum`.
    #[error("checksum can't be specified for COPY")]
    ChecksumForCopy,
    /// `ADD --checksum` with several sources.
    #[error("checksum can't be specified for multiple sources")]
    ChecksumForSeveral,
    /// `ADD --checksum` of a path.
    #[error("checksum requires HTTP(S) or Git sources")]
    ChecksumForPath,
    /// A checksum that is none.
    #[error("invalid checksum `{0}`")]
    #[diagnostic(help("write it as `sha256:` and 64 lower-case hexadecimal digits"))]
    Checksum(String),
    /// A URL that has another checksum than the flag.
    #[error("checksum mismatch `{flag}` != `{url}`")]
    ChecksumMismatch {
        /// That of the flag.
        flag: String,
        /// That of the URL.
        url: String,
    },
    /// A URL that contradicts `--keep-git-dir`.
    #[error("inconsistent keep-git-dir configuration")]
    KeepGitDir,
    /// `COPY` of a repository.
    #[error("source can't be a git ref for COPY")]
    #[diagnostic(help("use ADD"))]
    GitForCopy,
    /// `COPY` of a URL.
    #[error("source can't be a URL for COPY")]
    #[diagnostic(help("use ADD"))]
    UrlForCopy,
    /// A URL that names a file in bytes that are no text.
    #[error("the file name in the URL `{0}` is no text when it is decoded")]
    UrlFilename(String),
    /// A Git reference that makes no sense.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] GitRefError),
    /// A port that is none.
    #[error("invalid port `{port}`: {reason}")]
    Port {
        /// The port.
        port: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A signal that is none.
    #[error("invalid signal: {0}")]
    #[diagnostic(help("name it as in SIGTERM, or by its number"))]
    Signal(String),
    /// An empty volume.
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// A time that is none.
    #[error("invalid SOURCE_DATE_EPOCH: {0}")]
    #[diagnostic(help(
        "it takes seconds since 1970, `context`, or the name of a context or stage"
    ))]
    Epoch(String),
    /// A time that has no place in an image config.
    #[error("SOURCE_DATE_EPOCH {0} is not in the years 0 to 9999")]
    EpochRange(i64),
    /// A name that cannot be that of a context.
    #[error("invalid context name {name}")]
    ContextName {
        /// The name.
        name: String,
        /// Why it cannot be one.
        #[source]
        source: ReferenceError,
    },
    /// A named context that cannot be understood.
    #[error("named context `{name}` has the invalid source `{source_text}`: {reason}")]
    #[diagnostic(help(
        "it takes docker-image://, oci-layout://, a directory, a Git or an HTTP URL"
    ))]
    Context {
        /// Its name.
        name: String,
        /// Where it should come from.
        source_text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A `.dockerignore` pattern that is malformed.
    #[error("the build context's ignore file cannot be used: {0}")]
    Ignore(String),
    /// An exec form without a command.
    #[error("arguments are required")]
    #[diagnostic(help("name the command: `RUN [\"executable\", \"argument\"]`"))]
    NoArguments,
    /// `RUN --device` outside the experimental channel.
    #[error("device feature is only supported in Dockerfile frontend 1.14.0-labs or later")]
    #[diagnostic(help("build with `# syntax=docker/dockerfile:labs` in the first line"))]
    Device,
    /// A stage that is to give a time and does more.
    #[error("SOURCE_DATE_EPOCH stage {0}")]
    #[diagnostic(help("a stage that gives the time is `FROM scratch` and one ADD of a URL"))]
    EpochStage(&'static str),
    /// Checks that the Dockerfile makes errors.
    #[error("lint violation found for rules: {}", .0.join(", "))]
    Lint(Vec<String>),
    /// Something that only the engine's own frontend can do.
    #[error("{0} is not supported by the built-in compiler")]
    #[diagnostic(help("hand the Dockerfile to the engine: `--frontend dockerfile.v0`"))]
    Unsupported(&'static str),
}

impl CompileErrorKind {
    /// This error, caused by `lines` of `source`.
    pub(super) fn at(self, source: &Source, lines: LineRange) -> CompileError {
        CompileError::At(Box::new(Located { source: source.clone(), lines, error: self }))
    }
}

impl From<CompileErrorKind> for CompileError {
    fn from(kind: CompileErrorKind) -> Self {
        Self::Option(Box::new(kind))
    }
}

impl CompileError {
    /// What is wrong, unless images are missing.
    #[must_use]
    pub fn kind(&self) -> Option<&CompileErrorKind> {
        match self {
            Self::Unresolved(_) => None,
            Self::At(located) => Some(&located.error),
            Self::Option(kind) => Some(kind),
        }
    }

    /// What only the engine's own frontend can do, if that is all that is wrong.
    #[must_use]
    pub fn unsupported(&self) -> Option<&'static str> {
        match self.kind() {
            Some(CompileErrorKind::Unsupported(what)) => Some(what),
            _ => None,
        }
    }

    /// The lines at fault, if a line is.
    #[must_use]
    pub fn lines(&self) -> Option<LineRange> {
        match self {
            Self::At(located) => Some(located.lines),
            _ => None,
        }
    }

    fn inner(&self) -> Option<&dyn Diagnostic> {
        match self {
            Self::Unresolved(_) => None,
            Self::At(located) => Some(&**located),
            Self::Option(kind) => Some(&**kind),
        }
    }
}

impl Diagnostic for CompileError {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.inner()?.code()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        if let Some(CompileErrorKind::Resolve { error, .. }) = self.kind() {
            return error.help();
        }
        self.inner()?.help()
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.inner()?.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        self.inner()?.labels()
    }
}

impl Classified for CompileError {
    fn fault(&self) -> Fault {
        match self.kind() {
            None => Fault::Internal,
            Some(CompileErrorKind::Resolve { error, .. }) if error.environment => {
                Fault::Environment
            }
            Some(CompileErrorKind::Lint(_)) => Fault::Build,
            Some(_) => Fault::Usage,
        }
    }
}
