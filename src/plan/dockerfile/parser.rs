//! Bytes to nodes: lines joined at continuations, split into keyword, flags and arguments.
//!
//! What arguments are depends on the keyword alone; whether they make sense is for
//! [`instruction`](super::instruction) to say. Nothing is copied that can be borrowed.

use std::borrow::Cow;

use super::directives::{Name, Read, Reader};
use super::error::{LocatedParseError, ParseError};
use super::heredoc::{self, Heredoc};
use super::source::{LineRange, Located, Source};
use super::text;

mod arguments;
mod flags;
mod lines;

pub(crate) use arguments::Arguments;
use lines::Lines;

/// The longest line, without its end, that BuildKit reads.
pub(crate) const MAX_LINE: usize = 64 * 1024 - 1;

/// One instruction, not yet understood.
#[derive(Debug)]
pub(crate) struct Node<'s> {
    /// The first word.
    pub keyword: String,
    /// Which instruction that is, if any.
    pub command: Option<Command>,
    /// Everything but heredoc contents, as one line.
    pub original: Cow<'s, [u8]>,
    /// The words with `--` in front of the arguments.
    pub flags: Vec<String>,
    /// What is behind the flags.
    pub arguments: Arguments,
    /// The heredocs, in order.
    pub heredocs: Vec<Heredoc>,
    /// Where it stands.
    pub lines: LineRange,
    /// The comments directly above.
    pub comments: Vec<String>,
}

/// The instructions that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
}

impl Command {
    /// All instructions with their keywords.
    pub(crate) const ALL: [(Self, &'static str); 18] = [
        (Self::Add, "ADD"),
        (Self::Arg, "ARG"),
        (Self::Cmd, "CMD"),
        (Self::Copy, "COPY"),
        (Self::Entrypoint, "ENTRYPOINT"),
        (Self::Env, "ENV"),
        (Self::Expose, "EXPOSE"),
        (Self::From, "FROM"),
        (Self::Healthcheck, "HEALTHCHECK"),
        (Self::Label, "LABEL"),
        (Self::Maintainer, "MAINTAINER"),
        (Self::Onbuild, "ONBUILD"),
        (Self::Run, "RUN"),
        (Self::Shell, "SHELL"),
        (Self::StopSignal, "STOPSIGNAL"),
        (Self::User, "USER"),
        (Self::Volume, "VOLUME"),
        (Self::Workdir, "WORKDIR"),
    ];

    fn new(keyword: &str) -> Option<Self> {
        let lowered = text::lower(keyword);
        let same = |name: &str| name.eq_ignore_ascii_case(&lowered);
        Self::ALL.into_iter().find(|(_, name)| same(name)).map(|(command, _)| command)
    }

    const fn takes_heredocs(self) -> bool {
        matches!(self, Self::Add | Self::Copy | Self::Run)
    }
}

/// Reads one node after another.
pub(crate) struct Parser<'s> {
    source: &'s Source,
    lines: Lines<'s>,
    directives: Reader,
    escape: u8,
    comments: Vec<String>,
    any: bool,
    /// Instructions with an empty line inside a continuation, by the line where each ends.
    pub empty_continuations: Vec<LineRange>,
}

/// What is wrong, and where.
type Failed = (LineRange, ParseError);

impl<'s> Parser<'s> {
    /// Starts at the top of `source`.
    pub fn new(source: &'s Source) -> Self {
        Self {
            source,
            lines: Lines::new(source.text()),
            directives: Reader::default(),
            escape: b'\\',
            comments: Vec::new(),
            any: false,
            empty_continuations: Vec::new(),
        }
    }

    /// Returns the escape token, as far as it is known.
    pub const fn escape(&self) -> char {
        self.escape as char
    }

    /// Reads the next node; `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// [`ParseError`] for a line that cannot be split, and for a file without instructions.
    pub fn next(&mut self) -> Result<Option<Node<'s>>, LocatedParseError> {
        let source = self.source;
        self.next_node().map_err(|(lines, error)| Located { source: source.clone(), lines, error })
    }

    fn next_node(&mut self) -> Result<Option<Node<'s>>, Failed> {
        while let Some(line) = self.lines.next() {
            let start = self.lines.number;
            if is_comment(line) {
                self.add_comment(line);
            }
            let line = text::trim_start(lines::trim_line_end(line));
            if self.directive(line)? {
                // A directive is no comment.
                self.comments.pop();
            }
            if line.first().is_none_or(|first| *first == b'#') {
                continue;
            }
            let original = self.logical_line(line);
            let fail = |error, end| (LineRange::new(start, end), error);
            let mut node =
                node(original, self.escape).map_err(|error| fail(error, self.lines.number))?;
            node.comments = std::mem::take(&mut self.comments);
            self.heredocs(&mut node).map_err(|error| fail(error, self.lines.number))?;
            node.lines = LineRange::new(start, self.lines.number);
            self.any = true;
            return Ok(Some(node));
        }
        if self.lines.too_long {
            let beyond = LineRange::line(self.lines.number + 1);
            return Err((beyond, ParseError::LineTooLong { max: MAX_LINE }));
        }
        match self.any {
            true => Ok(None),
            false => Err((LineRange::line(self.lines.number), ParseError::NoInstructions)),
        }
    }

    fn add_comment(&mut self, line: &[u8]) {
        // Only the first byte is cut off, so that an indented comment keeps its `#`.
        let comment = text::trim(&line[1..]);
        if comment.is_empty() {
            self.comments.clear();
        } else {
            self.comments.push(text::to_string(comment));
        }
    }

    /// Takes `line` for a directive if it is one.
    fn directive(&mut self, line: &[u8]) -> Result<bool, Failed> {
        let here = LineRange::line(self.lines.number);
        match self.directives.read(line, b"#") {
            Read::Nothing => Ok(false),
            Read::Repeated(name) => {
                Err((here, ParseError::RepeatedDirective { name: name.text().to_owned() }))
            }
            Read::Directive(Name::Escape, token) => match token.as_str() {
                "\\" | "`" => {
                    self.escape = token.as_bytes()[0];
                    Ok(true)
                }
                _ => Err((here, ParseError::InvalidEscape { token })),
            },
            Read::Directive(..) => Ok(true),
        }
    }

    /// Joins `first` with the lines that continue it.
    fn logical_line(&mut self, first: &'s [u8]) -> Cow<'s, [u8]> {
        let Some(first) = lines::trim_continuation(first, self.escape) else {
            return Cow::Borrowed(first);
        };
        let mut joined = Cow::Borrowed(first);
        let mut empty_line = false;
        while let Some(line) = self.lines.next() {
            let line = lines::trim_line_end(line);
            if is_comment(line) {
                continue;
            }
            if text::trim_start(line).is_empty() {
                empty_line = true;
                continue;
            }
            match lines::trim_continuation(line, self.escape) {
                Some(line) => joined.to_mut().extend_from_slice(line),
                None => {
                    joined.to_mut().extend_from_slice(line);
                    break;
                }
            }
        }
        if empty_line {
            self.empty_continuations.push(LineRange::line(self.lines.number));
        }
        joined
    }

    /// Reads the heredocs that `node` announces from the lines below it.
    fn heredocs(&mut self, node: &mut Node<'_>) -> Result<(), ParseError> {
        if !node.arguments.allow_heredocs(node.command)
            || !node.original.windows(2).any(|two| two == b"<<")
        {
            return Ok(());
        }
        node.heredocs = heredoc::heads(&node.original).map_err(ParseError::InvalidHeredoc)?;
        for heredoc in &mut node.heredocs {
            let from = self.lines.offset();
            loop {
                let to = self.lines.offset();
                let Some(line) = self.lines.next() else {
                    return Err(ParseError::UnterminatedHeredoc { name: heredoc.name.clone() });
                };
                let mut terminator = lines::trim_line_end(line);
                if heredoc.chomp {
                    let tabs = terminator.iter().take_while(|byte| **byte == b'\t').count();
                    terminator = &terminator[tabs..];
                }
                if terminator == heredoc.name.as_bytes() {
                    heredoc.content = self.lines.text()[from..to].to_vec();
                    break;
                }
            }
        }
        Ok(())
    }
}

fn is_comment(line: &[u8]) -> bool {
    text::trim_start(line).first() == Some(&b'#')
}

/// Splits a joined line into keyword, flags and arguments.
fn node(original: Cow<'_, [u8]>, escape: u8) -> Result<Node<'_>, ParseError> {
    let head = Head::split(&original, escape);
    let arguments = Arguments::read(head.command, head.rest, escape)?;
    let (keyword, command, flags) = (head.keyword.into_owned(), head.command, head.flags);
    Ok(Node {
        keyword,
        command,
        original,
        flags,
        arguments,
        heredocs: Vec::new(),
        lines: LineRange::default(),
        comments: Vec::new(),
    })
}

/// The front of an instruction.
pub(crate) struct Head<'l> {
    keyword: Cow<'l, str>,
    command: Option<Command>,
    flags: Vec<String>,
    /// What is behind the flags, trimmed.
    rest: &'l [u8],
}

impl<'l> Head<'l> {
    fn split(line: &'l [u8], escape: u8) -> Self {
        let line = text::trim(line);
        let (keyword, rest) = text::split_once_separators(line).unwrap_or((line, &[]));
        let (flags, rest) = flags::split(rest, escape);
        let keyword = text::to_str(keyword);
        let command = Command::new(&keyword);
        Self { keyword, command, flags, rest: text::trim(rest) }
    }
}

#[cfg(test)]
mod tests;
