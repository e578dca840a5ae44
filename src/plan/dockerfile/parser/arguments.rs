//! What is behind an instruction's flags, split the way its keyword asks for.

use super::super::error::ParseError;
use super::super::json::{self, Form};
use super::super::text;
use super::{Command, Head};

/// The arguments of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Words, or one text with everything in it.
    Words(Vec<String>),
    /// The exec form.
    Exec(Vec<String>),
    /// `ENV` and `LABEL`: key, value and whether a space is between them.
    Pairs(Vec<(String, String, bool)>),
    /// `HEALTHCHECK`: the first word, and the command behind it with whether it is in exec form.
    Healthcheck(String, Vec<String>, bool),
    /// `ONBUILD`: the trigger's keyword and, unless it is an `ONBUILD` again, the trigger itself.
    Trigger(String, Option<Command>, Box<Self>),
    /// Arguments of an instruction that nobody knows.
    Ignored,
}

impl Arguments {
    /// Reads `rest`, which is trimmed, as the arguments of `command`.
    ///
    /// # Errors
    ///
    /// [`ParseError`] when the text cannot be split as the instruction wants it.
    pub(super) fn read(
        command: Option<Command>,
        rest: &[u8],
        escape: u8,
    ) -> Result<Self, ParseError> {
        let Some(command) = command else { return Ok(Self::Ignored) };
        Ok(match command {
            Command::Arg => Self::Words(owned(words(rest, escape))),
            Command::Expose | Command::From => Self::Words(owned(separated(rest))),
            Command::Maintainer | Command::StopSignal | Command::User | Command::Workdir => {
                Self::Words(whole(rest))
            }
            Command::Cmd | Command::Entrypoint | Command::Run | Command::Shell => {
                maybe_exec(rest, whole)?
            }
            Command::Add | Command::Copy | Command::Volume => {
                maybe_exec(rest, |rest| owned(separated(rest)))?
            }
            Command::Env => Self::Pairs(pairs(rest, "ENV", escape)?),
            Command::Label => Self::Pairs(pairs(rest, "LABEL", escape)?),
            Command::Healthcheck => healthcheck(rest)?,
            Command::Onbuild => trigger(rest, escape)?,
        })
    }

    /// Tells whether heredocs can follow: not behind an exec form.
    pub(super) fn allow_heredocs(&self, command: Option<Command>) -> bool {
        match self {
            Self::Trigger(_, command, arguments) => arguments.allow_heredocs(*command),
            Self::Words(_) => command.is_some_and(Command::takes_heredocs),
            _ => false,
        }
    }
}

fn owned<'l>(words: impl IntoIterator<Item = &'l [u8]>) -> Vec<String> {
    words.into_iter().map(text::to_string).collect()
}

/// Takes everything for one argument.
fn whole(rest: &[u8]) -> Vec<String> {
    if rest.is_empty() { Vec::new() } else { vec![text::to_string(rest)] }
}

/// Splits at blanks, without a thought for quotes.
fn separated(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    rest.split(|byte| text::is_separator(*byte)).filter(|word| !word.is_empty())
}

fn maybe_exec(
    rest: &[u8],
    otherwise: impl FnOnce(&[u8]) -> Vec<String>,
) -> Result<Arguments, ParseError> {
    match json::read(rest) {
        Form::Exec(strings) => Ok(Arguments::Exec(strings)),
        Form::NotStrings => Err(ParseError::NotStrings),
        Form::Shell => Ok(Arguments::Words(otherwise(rest))),
    }
}

fn healthcheck(rest: &[u8]) -> Result<Arguments, ParseError> {
    // As flags, the first word is read byte by byte.
    let space = |byte: &u8| text::is_latin1_space(*byte);
    let end = rest.iter().position(space).unwrap_or(rest.len());
    let (kind, behind) = rest.split_at(end);
    if kind.is_empty() {
        return Ok(Arguments::Words(Vec::new()));
    }
    let blanks = behind.iter().take_while(|byte| space(byte)).count();
    let (command, exec) = match maybe_exec(&behind[blanks..], whole)? {
        Arguments::Exec(strings) => (strings, true),
        Arguments::Words(words) => (words, false),
        _ => (Vec::new(), false),
    };
    Ok(Arguments::Healthcheck(text::to_string(kind), command, exec))
}

/// Reads a trigger. `ONBUILD ONBUILD` is refused later, but what is in it is read as well, since
/// an error inside comes first.
fn trigger(mut rest: &[u8], escape: u8) -> Result<Arguments, ParseError> {
    let mut outermost: Option<(String, Option<Command>)> = None;
    loop {
        if rest.is_empty() {
            return Ok(match outermost {
                Some((keyword, command)) => {
                    Arguments::Trigger(keyword, command, Box::new(Arguments::Ignored))
                }
                None => Arguments::Words(Vec::new()),
            });
        }
        let head = Head::split(rest, escape);
        rest = head.rest;
        let (keyword, command) =
            outermost.unwrap_or_else(|| (head.keyword.into_owned(), head.command));
        if head.command != Some(Command::Onbuild) {
            let arguments = Arguments::read(head.command, rest, escape)?;
            let nested = command == Some(Command::Onbuild);
            let arguments = if nested { Arguments::Ignored } else { arguments };
            return Ok(Arguments::Trigger(keyword, command, Box::new(arguments)));
        }
        outermost = Some((keyword, command));
    }
}

/// Reads pairs of `ENV` or `LABEL`.
fn pairs(
    rest: &[u8],
    instruction: &'static str,
    escape: u8,
) -> Result<Vec<(String, String, bool)>, ParseError> {
    let words = words(rest, escape);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.contains(&b'=') {
        let (key, value) =
            text::split_once_separators(rest).ok_or(ParseError::TwoArguments { instruction })?;
        return Ok(vec![(text::to_string(key), text::to_string(value), true)]);
    }
    let pair = |word: &[u8]| match word.iter().position(|byte| *byte == b'=') {
        Some(at) => Ok((text::to_string(&word[..at]), text::to_string(&word[at + 1..]), false)),
        None => Err(ParseError::NoEquals { word: text::to_string(word) }),
    };
    words.into_iter().map(pair).collect()
}

/// Splits at whitespace outside quotes; quotes and escapes are kept for expansion.
fn words(rest: &[u8], escape: u8) -> Vec<&[u8]> {
    let escape = char::from(escape);
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at += rest.len() - at - text::trim_start(&rest[at..]).len();
        if at == rest.len() {
            return words;
        }
        let start = at;
        let mut end = rest.len();
        let mut quote = None;
        while let Some((c, length)) = text::decode(&rest[at..]) {
            match quote {
                None if c.is_whitespace() => {
                    end = at;
                    break;
                }
                None if matches!(c, '\'' | '"') => quote = Some(c),
                Some(open) if open == c => quote = None,
                _ => {}
            }
            at += length;
            // Nothing can be escaped in single quotes.
            if c == escape && quote != Some('\'') {
                match text::decode(&rest[at..]) {
                    Some((_, length)) => at += length,
                    // At the end of the text the escape token is dropped.
                    None => end = at - length,
                }
            }
        }
        if end > start {
            words.push(&rest[start..end]);
        }
    }
}
