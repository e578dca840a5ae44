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
pub(crate) mod path;
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
use parser::{Node, Parser};
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
    let error = match source.text().is_empty() {
        true => Some(Located { source, lines: LineRange::default(), error: ParseError::Empty }),
        false => fill(&mut dockerfile, &source).err(),
    };
    (dockerfile, error)
}

fn fill(dockerfile: &mut Dockerfile, source: &Source) -> Result<(), LocatedParseError> {
    let located = |lines, error| Located { source: source.clone(), lines, error };
    let mut parser = Parser::new(source);
    let mut refused: Option<LocatedParseError> = None;
    // BuildKit notices only when it encodes the command: any other error comes before.
    let mut not_utf8 = None;
    loop {
        let node = match parser.next() {
            Ok(Some(node)) => node,
            Ok(None) => break,
            Err(error) => {
                // A line that cannot be split hides everything else, also what is wrong above it.
                dockerfile.global_args.clear();
                dockerfile.stages.clear();
                return Err(error);
            }
        };
        if refused.is_some() {
            continue;
        }
        let lines = node.lines;
        match add(dockerfile, node) {
            Ok(()) => {}
            Err(ParseError::NotUtf8) => not_utf8 = not_utf8.or(Some(lines)),
            Err(error) => refused = Some(located(lines, error)),
        }
    }
    dockerfile.escape = parser.escape();
    dockerfile.empty_continuations = parser.empty_continuations;
    match (refused, not_utf8) {
        (Some(error), _) => Err(error),
        _ if dockerfile.stages.is_empty() => {
            Err(located(LineRange::default(), ParseError::NoStages))
        }
        (None, Some(lines)) => Err(located(lines, ParseError::NotUtf8)),
        (None, None) => Ok(()),
    }
}

/// Reads a node and adds what it means to the end of the file.
fn add(dockerfile: &mut Dockerfile, node: Node<'_>) -> Result<(), ParseError> {
    let statement = match (instruction::read(node), dockerfile.stages.is_empty()) {
        (Err(ParseError::NotUtf8), true) => {
            return Err(ParseError::NoStage { instruction: "RUN".to_owned() });
        }
        (statement, _) => statement?,
    };
    match (statement, dockerfile.stages.last_mut()) {
        (Statement::Stage(stage), _) => dockerfile.stages.push(stage),
        (Statement::Instruction(origin, kind), Some(stage)) => {
            stage.instructions.push(Instruction { origin, kind });
        }
        (Statement::Instruction(origin, InstructionKind::Arg(arg)), None) => {
            dockerfile.global_args.push(GlobalArg { origin, arg });
        }
        (Statement::Instruction(_, kind), None) => {
            return Err(ParseError::NoStage { instruction: kind.name().to_owned() });
        }
    }
    Ok(())
}

/// Parses an `ONBUILD` trigger of a base image's config, as the instruction at `lines`, those of
/// the `FROM` that brought it.
///
/// # Errors
///
/// [`ParseError`] for what is no single instruction.
pub fn parse_trigger(trigger: &str, lines: LineRange) -> Result<Instruction, ParseError> {
    let source = Source::new("ONBUILD", trigger.as_bytes());
    let mut parser = Parser::new(&source);
    let mut next = || parser.next().map_err(|located| located.error);
    let (Some(mut node), None) = (next()?, next()?) else {
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
