//! What can be wrong with a Dockerfile before it is compiled.

use miette::Diagnostic;

use super::expand::ExpandError;
use super::source::Located;
use crate::fault::{Classified, Fault};

/// A parse error with the lines it is about.
pub type LocatedParseError = Located<ParseError>;

impl Classified for LocatedParseError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// A word that was probably meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestion(pub Option<String>);

impl std::fmt::Display for Suggestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(word) => write!(f, " (did you mean {word}?)"),
            None => Ok(()),
        }
    }
}

impl From<Option<&str>> for Suggestion {
    fn from(word: Option<&str>) -> Self {
        Self(word.map(str::to_owned))
    }
}

/// Why a Dockerfile, or one of its instructions, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum ParseError {
    /// The file has no byte.
    #[error("the Dockerfile is empty")]
    #[diagnostic(help("a Dockerfile needs at least one FROM instruction"))]
    Empty,
    /// The file has comments only.
    #[error("the Dockerfile has no instructions")]
    #[diagnostic(help("a Dockerfile needs at least one FROM instruction"))]
    NoInstructions,
    /// The file has global `ARG`s only.
    #[error("the Dockerfile has no stages to build")]
    #[diagnostic(help("start a stage with `FROM image`"))]
    NoStages,
    /// A line is longer than BuildKit reads.
    #[error("the line is longer than {max} bytes, the longest that a Dockerfile may have")]
    #[diagnostic(help("break the line with the escape token, or move its content into a file"))]
    LineTooLong {
        /// The longest line.
        max: usize,
    },
    /// A directive is given twice.
    #[error("only one `{name}` parser directive can be used")]
    #[diagnostic(help("remove all but one of the `# {name}=` lines"))]
    RepeatedDirective {
        /// Its name.
        name: String,
    },
    /// `# escape=` names another character.
    #[error("invalid escape token `{token}`: only a backslash or a backquote can be one")]
    InvalidEscape {
        /// What it says.
        token: String,
    },
    /// `# check=` cannot be read.
    #[error("invalid check option `{option}`: {reason}")]
    #[diagnostic(help("write `# check=skip=RuleName,OtherRule;error=true`"))]
    InvalidCheck {
        /// The option.
        option: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An instruction nobody knows.
    #[error("unknown instruction: {instruction}{suggestion}")]
    #[diagnostic(help("if the line belongs to the one above, end that one with the escape token"))]
    UnknownInstruction {
        /// Its keyword.
        instruction: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// An instruction before the first `FROM`.
    #[error("no build stage in current context: {instruction} stands before the first FROM")]
    #[diagnostic(help("only ARG can stand before the first FROM"))]
    NoStage {
        /// Its keyword.
        instruction: String,
    },
    /// A heredoc without its end.
    #[error("unterminated heredoc: no line says `{name}`")]
    #[diagnostic(help("end the heredoc with `{name}` on a line of its own"))]
    UnterminatedHeredoc {
        /// Its terminator.
        name: String,
    },
    /// The name of a heredoc cannot be read.
    #[error("invalid heredoc name")]
    InvalidHeredoc(#[source] ExpandError),
    /// Something takes no heredoc.
    #[error("{instruction} cannot accept a heredoc as {place}")]
    MisplacedHeredoc {
        /// Which instruction.
        instruction: &'static str,
        /// Where it is.
        place: &'static str,
    },
    /// An array in exec form with something else than strings.
    #[error("when using JSON array syntax, arrays must consist of strings only")]
    #[diagnostic(help("put every element into double quotes"))]
    NotStrings,
    /// An instruction that knows only the exec form.
    #[error("{instruction} requires its arguments as a JSON array")]
    #[diagnostic(help("write `{instruction} [\"executable\", \"parameter\"]` with double quotes"))]
    JsonRequired {
        /// Which instruction.
        instruction: &'static str,
    },
    /// `ENV name` and `LABEL name` alone.
    #[error("{instruction} must have two arguments")]
    #[diagnostic(help("write `{instruction} name=value`"))]
    TwoArguments {
        /// Which instruction.
        instruction: &'static str,
    },
    /// A pair without `=` behind others.
    #[error("can't find `=` in `{word}`: it must be of the form name=value")]
    #[diagnostic(help("quote values that have spaces: name=\"a value\""))]
    NoEquals {
        /// The word.
        word: String,
    },
    /// A pair without a name.
    #[error("{instruction} names can not be blank")]
    BlankName {
        /// Which instruction.
        instruction: &'static str,
    },
    /// No argument at all.
    #[error("{instruction} requires at least one argument")]
    AtLeastOneArgument {
        /// Which instruction.
        instruction: &'static str,
    },
    /// None or several arguments.
    #[error("{instruction} requires exactly one argument")]
    ExactlyOneArgument {
        /// Which instruction.
        instruction: &'static str,
    },
    /// A source without a destination.
    #[error(
        "{instruction} requires at least two arguments, but only one was provided: the destination \
         is missing"
    )]
    NoDestination {
        /// Which instruction.
        instruction: &'static str,
    },
    /// A `FROM` with two or more than three words.
    #[error("FROM requires either one or three arguments")]
    #[diagnostic(help("write `FROM image` or `FROM image AS name`"))]
    FromArguments,
    /// A stage name that cannot be one.
    #[error(
        "invalid name for build stage: `{name}`: it must start with a letter and hold only \
             letters, digits and -_."
    )]
    InvalidStageName {
        /// The name.
        name: String,
    },
    /// `ONBUILD ONBUILD`.
    #[error("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    ChainedOnbuild,
    /// A trigger that cannot be one.
    #[error("{instruction} isn't allowed as an ONBUILD trigger")]
    ForbiddenTrigger {
        /// Its keyword.
        instruction: String,
    },
    /// A trigger in an image config that holds several instructions, or none.
    #[error("the ONBUILD trigger `{trigger}` should be a single instruction")]
    TriggerNotSingle {
        /// The trigger.
        trigger: String,
    },
    /// An empty volume.
    #[error("a VOLUME can not be an empty string")]
    EmptyVolume,
    /// `HEALTHCHECK NONE` with more.
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNone,
    /// `HEALTHCHECK CMD` with nothing.
    #[error("missing command after HEALTHCHECK CMD")]
    HealthcheckEmpty,
    /// `HEALTHCHECK` with another first word.
    #[error("unknown type `{kind}` in HEALTHCHECK (try CMD)")]
    HealthcheckKind {
        /// The word.
        kind: String,
    },
    /// An unknown flag.
    #[error("unknown flag: {flag}{suggestion}")]
    UnknownFlag {
        /// The flag with its dashes.
        flag: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// A flag given twice.
    #[error("duplicate flag specified: {flag}")]
    DuplicateFlag {
        /// The flag with its dashes.
        flag: String,
    },
    /// A flag that needs a value.
    #[error("missing a value on flag: {flag}")]
    #[diagnostic(help("write `{flag}=VALUE`"))]
    MissingFlagValue {
        /// The flag with its dashes.
        flag: String,
    },
    /// A flag that is true or false.
    #[error("expecting a boolean value for flag {flag}, not: {value}")]
    NotBoolean {
        /// The flag with its dashes.
        flag: String,
        /// What it says.
        value: String,
    },
    /// A flag whose value is none of the allowed ones.
    #[error("invalid {what} `{value}`{suggestion}")]
    #[diagnostic(help("allowed are: {allowed}"))]
    InvalidChoice {
        /// What the value is.
        what: &'static str,
        /// The value.
        value: String,
        /// What may have been meant.
        suggestion: Suggestion,
        /// The allowed values.
        allowed: &'static str,
    },
    /// A flag whose value cannot be read.
    #[error("invalid value `{value}` for {name}: {reason}")]
    InvalidValue {
        /// The flag or key.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A list that is not CSV.
    #[error("failed to parse `{value}` as comma separated values: {reason}")]
    Csv {
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A mount or device field without `=`.
    #[error("invalid field `{field}`: it must be a key=value pair")]
    FieldWithoutValue {
        /// The field.
        field: String,
    },
    /// A mount or device key nobody knows.
    #[error("unexpected key `{key}` in `{field}`{suggestion}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The field.
        field: String,
        /// What may have been meant.
        suggestion: Suggestion,
    },
    /// A mount key that another type of mount has.
    #[error("unexpected key `{key}` for mount type `{kind}`")]
    KeyOfOtherMount {
        /// The key.
        key: String,
        /// The type of the mount.
        kind: &'static str,
    },
    /// A mount whose options contradict each other.
    #[error("invalid {kind} mount: {reason}")]
    InvalidMount {
        /// The type of the mount.
        kind: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A variable in `from=`.
    #[error("`from` doesn't support variable expansion")]
    #[diagnostic(help(
        "define an alias before the stages, `FROM ${{NAME}} AS alias`, and mount from it"
    ))]
    VariableInFrom,
    /// A device with two names.
    #[error("device name already set to `{name}`")]
    DeviceNamedTwice {
        /// The first name.
        name: String,
    },
    /// A command that is not UTF-8, which no LLB can carry.
    #[error("the command is not valid UTF-8")]
    #[diagnostic(help("save the Dockerfile in UTF-8"))]
    NotUtf8,
    /// A word whose variables cannot be expanded.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Expand(#[from] ExpandError),
}
