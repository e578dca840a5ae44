//! Dockerfiles: parsing, expansion, stages, linting, and compilation to LLB.
//!
//! ```text
//! bytes --parser--> nodes --instruction--> typed instructions --compile--> LLB
//! ```
//!
//! What is read and refused equals BuildKit v0.32 (Dockerfile syntax 1.26, stable channel).
//! [`parse`] does the first half without looking at any environment; words keep their variables
//! until a stage is compiled, which expands them with [`expand::Lexer`].

pub mod compile;
pub mod compiled;
pub mod directives;
pub mod error;
pub mod expand;
pub mod git_ref;
mod heredoc;
pub mod ignore;
pub mod instruction;
mod json;
pub mod lint;
pub mod options;
mod parser;
mod path;
pub mod resolver;
pub mod source;
pub mod suggest;
mod text;
mod url;

pub use compile::{CheckError, Checked, CompileError, CompileErrorKind, check, compile};
pub use compiled::{Compiled, CompiledPlatform, LocalContext, UsedImage};
pub use options::CompileOptions;
pub use resolver::{ImageQuery, ImageResolver, KnownImages, ResolveError, ResolvedImage};

use directives::Directives;
use error::{LocatedParseError, ParseError};
use instruction::{Dockerfile, GlobalArg, Instruction, InstructionKind, Statement};
use source::{LineRange, Located, Source};

/// Parses the Dockerfile `text`, which messages call `name`.
///
/// # Errors
///
/// The first [`ParseError`] and its lines. A line that cannot be split at all comes before an
/// instruction that makes no sense, wherever they stand.
pub fn parse(text: &[u8], name: &str) -> Result<Dockerfile, LocatedParseError> {
    let (dockerfile, error) = parse_partially(Source::new(name, text));
    error.map_or(Ok(dockerfile), Err)
}

/// Parses as far as the first error, and returns what was read up to there beside it.
///
/// Lint rules report on the part above an error too.
pub fn parse_partially(source: Source) -> (Dockerfile, Option<LocatedParseError>) {
    let mut dockerfile = Dockerfile {
        directives: Directives::read(source.text()),
        source,
        escape: '\\',
        global_args: Vec::new(),
        stages: Vec::new(),
        empty_continuations: Vec::new(),
    };
    let source = dockerfile.source.clone();
    let error = fill(&mut dockerfile, &source).err();
    (dockerfile, error)
}

fn fill(dockerfile: &mut Dockerfile, source: &Source) -> Result<(), LocatedParseError> {
    let located = |lines, error| Located { source: source.clone(), lines, error };
    if source.text().is_empty() {
        return Err(located(LineRange::default(), ParseError::Empty));
    }
    let parsed = parser::parse(source)?;
    dockerfile.escape = parsed.escape;
    dockerfile.empty_continuations = parsed.empty_continuations;
    let mut not_utf8 = None;
    for node in parsed.nodes {
        let lines = node.lines;
        let statement = match instruction::read(node) {
            Err(ParseError::NotUtf8) if dockerfile.stages.is_empty() => {
                let instruction = "RUN".to_owned();
                return Err(located(lines, ParseError::NoStage { instruction }));
            }
            // BuildKit notices only when it encodes the command: any other error comes before.
            Err(ParseError::NotUtf8) => {
                not_utf8.get_or_insert(lines);
                continue;
            }
            statement => statement.map_err(|error| located(lines, error))?,
        };
        match statement {
            Statement::Stage(stage) => dockerfile.stages.push(stage),
            Statement::Instruction(origin, kind) => match (dockerfile.stages.last_mut(), kind) {
                (Some(stage), kind) => stage.instructions.push(Instruction { origin, kind }),
                (None, InstructionKind::Arg(arg)) => {
                    dockerfile.global_args.push(GlobalArg { origin, arg });
                }
                (None, kind) => {
                    let instruction = kind.name().to_owned();
                    return Err(located(lines, ParseError::NoStage { instruction }));
                }
            },
        }
    }
    match not_utf8 {
        _ if dockerfile.stages.is_empty() => {
            Err(located(LineRange::default(), ParseError::NoStages))
        }
        Some(lines) => Err(located(lines, ParseError::NotUtf8)),
        None => Ok(()),
    }
}

/// Parses an `ONBUILD` trigger of a base image's config, as the instruction at `lines`, those of
/// the `FROM` that brought it.
///
/// # Errors
///
/// [`ParseError`] for what is no single instruction.
pub fn parse_trigger(trigger: &str, lines: LineRange) -> Result<Instruction, ParseError> {
    let source = Source::new("ONBUILD", trigger.as_bytes());
    let mut nodes = parser::parse(&source).map_err(|located| located.error)?.nodes;
    let (Some(mut node), true) = (nodes.pop(), nodes.is_empty()) else {
        return Err(ParseError::TriggerNotSingle { trigger: trigger.to_owned() });
    };
    node.lines = lines;
    match instruction::read(node)? {
        Statement::Instruction(origin, kind) => Ok(Instruction { origin, kind }),
        Statement::Stage(_) => Err(ParseError::ForbiddenTrigger { instruction: "FROM".to_owned() }),
    }
}

#[cfg(test)]
mod tests;
