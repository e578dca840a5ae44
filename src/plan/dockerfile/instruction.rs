//! Typed instructions: what the parser's nodes mean, before any variable is expanded.
//!
//! [`parse`](super::parse) returns a [`Dockerfile`]: the `ARG`s before the first `FROM`, then the
//! stages with their instructions. Words still hold their `$VAR`s: the environment is known only
//! while a stage is compiled. The compiler expands an instruction right before it uses it:
//!
//! 1. [`InstructionKind::expand`] passes every word that BuildKit expands through a callback that
//!    the compiler backs with [`Lexer::expand`](super::expand::Lexer::expand) and the
//!    environment of the state at that point. `ARG` is left alone: a build argument may replace its
//!    default, which is then never expanded.
//! 2. [`InstructionKind::expand_raw`] does the same for heredoc contents (`COPY <<EOF`); its lexer
//!    has the escape token `\` whatever the file says, and `skip_quotes` set.
//! 3. [`Run::mounts`] expands and checks the `--mount` options.
//! 4. `EXPOSE` splits into words while expanding: use
//!    [`Lexer::words`](super::expand::Lexer::words) on each of [`Expose::ports`].

use std::borrow::Cow;

use super::directives::Directives;
use super::source::{LineRange, Source};

mod csv;
pub mod device;
mod duration;
mod expansion;
mod flags;
mod healthcheck;
pub mod mount;
mod read;
mod size;
mod sources;

pub(super) use read::{Statement, read};

pub use device::Device;
pub use expansion::Expander;
pub use mount::{Mount, MountKind, MountSpec, Sharing};

/// A parsed Dockerfile.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    /// The text everything was read from.
    pub source: Source,
    /// The `# syntax=`, `# escape=` and `# check=` lines at the top.
    pub directives: Directives,
    /// The escape token, `\` or a backquote; a lexer for this file needs it.
    pub escape: char,
    /// The `ARG`s before the first `FROM`, in order.
    pub global_args: Vec<GlobalArg>,
    /// The stages, in order. Never empty.
    pub stages: Vec<Stage>,
    /// Instructions with an empty line inside a continuation, by the line where each ends.
    pub empty_continuations: Vec<LineRange>,
}

/// An `ARG` before the first `FROM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalArg {
    /// Where and how it was written.
    pub origin: Origin,
    /// What it declares.
    pub arg: Arg,
}

/// A `FROM` and the instructions up to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The `FROM` instruction: its line is the stage's.
    pub origin: Origin,
    /// The name behind `AS`, in lower case; empty without one.
    pub name: String,
    /// The word `AS` and the name as they are written; empty without.
    pub written_name: (String, String),
    /// The base: an image, a stage or `scratch`, with variables as written.
    pub base_name: String,
    /// The value of `--platform`, with variables as written; empty without one.
    pub platform: String,
    /// The description in the comment above, if its first word is the stage's name.
    pub doc_comment: String,
    /// What the stage does, in order.
    pub instructions: Vec<Instruction>,
}

/// How an instruction was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The instruction's keyword as written: `RUN`, `run`, `Run`.
    pub keyword: String,
    /// The whole instruction with continuation lines joined and no comments, trimmed; without
    /// heredoc contents. Progress names and history entries are made of it.
    pub code: String,
    /// The lines it covers, heredocs included.
    pub lines: LineRange,
    /// The comment lines directly above, without `#`. They may hold a `check=` directive.
    pub comments: Vec<String>,
}

/// One instruction of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Where and how it was written.
    pub origin: Origin,
    /// What it says.
    pub kind: InstructionKind,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its type")]
pub enum InstructionKind {
    Add(Add),
    Arg(Arg),
    Cmd(CommandLine),
    Copy(Copy),
    Entrypoint(CommandLine),
    Env(Vec<KeyValue>),
    Expose(Expose),
    Healthcheck(Healthcheck),
    Label(Vec<KeyValue>),
    Maintainer(String),
    Onbuild(Onbuild),
    Run(Run),
    Shell(Vec<String>),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

/// A pair of `ENV` or `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The name; never empty before expansion.
    pub key: String,
    /// The value, quotes as written.
    pub value: String,
    /// Whether the pair was written as `ENV key value`, without `=`.
    pub legacy: bool,
}

/// The names one `ARG` declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// At least one.
    pub args: Vec<ArgPair>,
}

/// One name of an `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgPair {
    /// The variable's name, never expanded.
    pub key: String,
    /// Its default, quotes as written; `None` without `=`.
    pub value: Option<String>,
    /// The description in the comment above, if its first word is the name.
    pub doc_comment: String,
}

/// The sources and the destination of `ADD` and `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcesAndDest {
    /// Sources that are paths or URLs.
    pub paths: Vec<String>,
    /// Sources that are heredocs.
    pub contents: Vec<SourceContent>,
    /// Where they go.
    pub dest: String,
}

/// A heredoc used as a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceContent {
    /// The heredoc's name, the name of the file.
    pub path: String,
    /// The contents, `<<-` tabs removed. Bytes: a Dockerfile need not be UTF-8.
    pub data: Vec<u8>,
    /// Whether variables inside are expanded, which a quoted name forbids.
    pub expand: bool,
}

/// `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// What is added, and where.
    pub files: SourcesAndDest,
    /// `--chown`, empty without.
    pub chown: String,
    /// `--chmod`, empty without.
    pub chmod: String,
    /// `--link`.
    pub link: bool,
    /// Every `--exclude`, never expanded.
    pub exclude: Vec<String>,
    /// `--keep-git-dir`, `None` without.
    pub keep_git_dir: Option<bool>,
    /// `--checksum`, empty without.
    pub checksum: String,
    /// `--unpack`, `None` without.
    pub unpack: Option<bool>,
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What is copied, and where.
    pub files: SourcesAndDest,
    /// `--from`, empty without; never expanded.
    pub from: String,
    /// `--chown`, empty without.
    pub chown: String,
    /// `--chmod`, empty without.
    pub chmod: String,
    /// `--link`.
    pub link: bool,
    /// Every `--exclude`, never expanded.
    pub exclude: Vec<String>,
    /// `--parents`.
    pub parents: bool,
}

/// A command in shell or exec form, of `CMD`, `ENTRYPOINT` and `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Exec form: the arguments. Shell form: one string, or nothing.
    pub args: Vec<String>,
    /// Whether it is the shell form, so that the stage's `SHELL` goes in front.
    pub shell_form: bool,
}

/// A heredoc of a `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    /// The heredoc's name, its terminator.
    pub name: String,
    /// The contents as written, `<<-` tabs kept (see [`chomped`](Self::chomped)).
    pub data: Vec<u8>,
    /// Whether it was written with `<<-`.
    pub chomp: bool,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command.
    pub command: CommandLine,
    /// The heredocs, in order.
    pub files: Vec<InlineFile>,
    /// The `--mount` options as written; see [`mounts`](Self::mounts).
    pub mount_specs: Vec<MountSpec>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// Every `--device`.
    pub devices: Vec<Device>,
}

/// The value of `RUN --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as written")]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// The value of `RUN --security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as written")]
pub enum Security {
    #[default]
    Sandbox,
    Insecure,
}

/// `EXPOSE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expose {
    /// The ports as written, sorted; each may expand to several words.
    pub ports: Vec<String>,
}

/// `HEALTHCHECK`. Durations are nanoseconds; zero means not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", …]`.
    pub test: Vec<String>,
    /// `--interval`.
    pub interval: i64,
    /// `--timeout`.
    pub timeout: i64,
    /// `--start-period`.
    pub start_period: i64,
    /// `--start-interval`.
    pub start_interval: i64,
    /// `--retries`.
    pub retries: i32,
}

/// `ONBUILD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The trigger: what the image config keeps, heredocs included. [`super::parse_trigger`] reads
    /// it back.
    pub expression: String,
}

impl InlineFile {
    /// Returns the contents as the command sees them, `<<-` tabs removed.
    pub fn chomped(&self) -> Cow<'_, [u8]> {
        match self.chomp {
            true => Cow::Owned(super::heredoc::chomp(&self.data)),
            false => Cow::Borrowed(&self.data),
        }
    }
}

impl InstructionKind {
    /// Returns the instruction's name in upper case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}
