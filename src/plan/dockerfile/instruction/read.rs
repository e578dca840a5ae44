//! Nodes to instructions.

use super::flags::{Flags, Known, Takes};
use super::healthcheck::healthcheck;
use super::sources::{sources_and_dest, split_sources};
use super::{
    Add, Arg, ArgPair, CommandLine, Copy, Device, Expose, InlineFile, InstructionKind, KeyValue,
    MountSpec, Network, Onbuild, Origin, Run, Security, Stage,
};
use crate::plan::dockerfile::error::ParseError;
use crate::plan::dockerfile::heredoc::Heredoc;
use crate::plan::dockerfile::parser::{Arguments, Command, Node};
use crate::plan::dockerfile::suggest::nearest_keyword;
use crate::plan::dockerfile::text;

/// What a node means.
#[derive(Debug)]
pub(in crate::plan::dockerfile) enum Statement {
    /// `FROM`, with no instructions yet.
    Stage(Stage),
    /// Anything else.
    Instruction(Origin, InstructionKind),
}

type Outcome<T> = Result<T, ParseError>;

/// Reads what `node` means.
///
/// # Errors
///
/// [`ParseError`] for an unknown keyword, and for arguments or flags that it does not take.
pub(in crate::plan::dockerfile) fn read(node: Node<'_>) -> Outcome<Statement> {
    let Some(command) = node.command else { return Err(unknown(node.keyword)) };
    let Node { keyword, original, flags, arguments, heredocs, lines, comments, .. } = node;
    let code = text::to_string(text::trim(&original));
    let origin = Origin { keyword, code, lines, comments };
    let kind = match command {
        Command::From => return from(origin, arguments, &flags).map(Statement::Stage),
        Command::Add => add(arguments, &flags, heredocs)?,
        Command::Copy => copy(arguments, &flags, heredocs)?,
        Command::Run => {
            let shell_form = matches!(arguments, Arguments::Words(_));
            let run = run(arguments, &flags, heredocs)?;
            if shell_form && std::str::from_utf8(&original).is_err() {
                return Err(ParseError::NotUtf8);
            }
            run
        }
        Command::Onbuild => onbuild(arguments, &flags, &original, &heredocs)?,
        Command::Healthcheck => healthcheck(arguments, &flags)?,
        Command::Arg => arg(arguments, &origin.comments)?,
        Command::Env => {
            no_flags(&flags)?;
            InstructionKind::Env(pairs(arguments, "ENV")?)
        }
        Command::Label => {
            no_flags(&flags)?;
            InstructionKind::Label(pairs(arguments, "LABEL")?)
        }
        Command::Cmd => {
            no_flags(&flags)?;
            InstructionKind::Cmd(command_line(arguments))
        }
        Command::Entrypoint => {
            no_flags(&flags)?;
            InstructionKind::Entrypoint(command_line(arguments))
        }
        Command::Shell => shell(arguments, &flags)?,
        Command::Expose => expose(arguments, &flags)?,
        Command::Volume => volume(arguments, &flags)?,
        Command::Maintainer => InstructionKind::Maintainer(one(arguments, &flags, "MAINTAINER")?),
        Command::User => InstructionKind::User(one(arguments, &flags, "USER")?),
        Command::Workdir => InstructionKind::Workdir(one(arguments, &flags, "WORKDIR")?),
        // Flags of STOPSIGNAL, as those of ARG, are not looked at.
        Command::StopSignal => InstructionKind::StopSignal(one(arguments, &[], "STOPSIGNAL")?),
    };
    Ok(Statement::Instruction(origin, kind))
}

fn unknown(instruction: String) -> ParseError {
    let keywords = Command::ALL.map(|(_, keyword)| keyword);
    let suggestion = super::super::error::Suggestion(nearest_keyword(&instruction, &keywords));
    ParseError::UnknownInstruction { instruction, suggestion }
}

fn no_flags(flags: &[String]) -> Outcome<()> {
    Flags::read(flags, &[]).map(drop)
}

/// Returns the words of arguments that are words, in whichever form.
fn words(arguments: Arguments) -> Vec<String> {
    match arguments {
        Arguments::Words(words) | Arguments::Exec(words) => words,
        _ => Vec::new(),
    }
}

fn one(arguments: Arguments, flags: &[String], instruction: &'static str) -> Outcome<String> {
    let mut words = words(arguments);
    match (words.pop(), words.is_empty()) {
        (Some(word), true) => no_flags(flags).map(|()| word),
        _ => Err(ParseError::ExactlyOneArgument { instruction }),
    }
}

fn pairs(arguments: Arguments, instruction: &'static str) -> Outcome<Vec<KeyValue>> {
    let Arguments::Pairs(pairs) = arguments else { return Ok(Vec::new()) };
    if pairs.is_empty() {
        return Err(ParseError::AtLeastOneArgument { instruction });
    }
    if pairs.iter().any(|(key, ..)| key.is_empty()) {
        return Err(ParseError::BlankName { instruction });
    }
    Ok(pairs.into_iter().map(|(key, value, legacy)| KeyValue { key, value, legacy }).collect())
}

fn arg(arguments: Arguments, comments: &[String]) -> Outcome<InstructionKind> {
    let words = words(arguments);
    if words.is_empty() {
        return Err(ParseError::AtLeastOneArgument { instruction: "ARG" });
    }
    let pair = |word: String| {
        let (key, value) = match word.split_once('=') {
            Some(("", _)) => return Err(ParseError::BlankName { instruction: "ARG" }),
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let doc_comment = doc_comment(comments, &key);
        Ok(ArgPair { key, value, doc_comment })
    };
    let args = words.into_iter().map(pair).collect::<Outcome<Vec<_>>>()?;
    Ok(InstructionKind::Arg(Arg { args }))
}

/// Returns the text behind `name` in the first comment that starts with it.
fn doc_comment(comments: &[String], name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let text = |comment: &String| Some(comment.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
    comments.iter().find_map(text).unwrap_or_default()
}

fn from(origin: Origin, arguments: Arguments, flags: &[String]) -> Outcome<Stage> {
    let mut words = words(arguments).into_iter();
    let (base_name, keyword, written) = match (words.next(), words.next(), words.next()) {
        (Some(base), None, None) => (base, String::new(), String::new()),
        (Some(base), Some(keyword), Some(name)) if text::equal_fold(&keyword, "as") => {
            (base, keyword, name)
        }
        _ => return Err(ParseError::FromArguments),
    };
    if words.next().is_some() {
        return Err(ParseError::FromArguments);
    }
    let name = text::lower(&written).into_owned();
    if !written.is_empty() && !is_stage_name(&name) {
        return Err(ParseError::InvalidStageName { name: written });
    }
    let flags = Flags::read(flags, &[("platform", Takes::Value)])?;
    Ok(Stage {
        doc_comment: doc_comment(&origin.comments, &name),
        origin,
        name,
        written_name: (keyword, written),
        base_name,
        platform: flags.text("platform"),
        instructions: Vec::new(),
    })
}

fn is_stage_name(name: &str) -> bool {
    let rest =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(rest)
}

fn command_line(arguments: Arguments) -> CommandLine {
    let shell_form = !matches!(arguments, Arguments::Exec(_));
    CommandLine { args: words(arguments), shell_form }
}

const RUN_FLAGS: Known = &[
    ("device", Takes::Values),
    ("mount", Takes::Values),
    ("network", Takes::Value),
    ("security", Takes::Value),
];

fn run(arguments: Arguments, flags: &[String], heredocs: Vec<Heredoc>) -> Outcome<InstructionKind> {
    let flags = Flags::read(flags, RUN_FLAGS)?;
    let inline = |heredoc: Heredoc| InlineFile {
        name: heredoc.name,
        data: heredoc.content,
        chomp: heredoc.chomp,
    };
    let choice = |what, value: &str, allowed| {
        let (value, suggestion) = (value.to_owned(), Default::default());
        ParseError::InvalidChoice { what, value, suggestion, allowed }
    };
    Ok(InstructionKind::Run(Run {
        command: command_line(arguments),
        files: heredocs.into_iter().map(inline).collect(),
        devices: flags.values("device").map(Device::parse).collect::<Outcome<_>>()?,
        mount_specs: flags.values("mount").map(MountSpec::parse).collect::<Outcome<_>>()?,
        network: match flags.value("network") {
            None | Some("default") => Network::Default,
            Some("none") => Network::None,
            Some("host") => Network::Host,
            Some(other) => return Err(choice("network mode", other, "default, none, host")),
        },
        security: match flags.value("security") {
            None | Some("sandbox") => Security::Sandbox,
            Some("insecure") => Security::Insecure,
            Some(other) => return Err(choice("security mode", other, "sandbox, insecure")),
        },
    }))
}

const ADD_FLAGS: Known = &[
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Value),
    ("unpack", Takes::Bool),
    ("exclude", Takes::Values),
];

fn add(arguments: Arguments, flags: &[String], heredocs: Vec<Heredoc>) -> Outcome<InstructionKind> {
    let (sources, dest) = split_sources(words(arguments), "ADD")?;
    let flags = Flags::read(flags, ADD_FLAGS)?;
    Ok(InstructionKind::Add(Add {
        files: sources_and_dest(sources, dest, heredocs, "ADD")?,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.truth("link").unwrap_or_default(),
        exclude: flags.values("exclude").map(str::to_owned).collect(),
        keep_git_dir: flags.truth("keep-git-dir"),
        checksum: flags.text("checksum"),
        unpack: flags.truth("unpack"),
    }))
}

const COPY_FLAGS: Known = &[
    ("chown", Takes::Value),
    ("from", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("exclude", Takes::Values),
    ("parents", Takes::Bool),
];

fn copy(
    arguments: Arguments,
    flags: &[String],
    heredocs: Vec<Heredoc>,
) -> Outcome<InstructionKind> {
    let (sources, dest) = split_sources(words(arguments), "COPY")?;
    let flags = Flags::read(flags, COPY_FLAGS)?;
    Ok(InstructionKind::Copy(Copy {
        files: sources_and_dest(sources, dest, heredocs, "COPY")?,
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.truth("link").unwrap_or_default(),
        exclude: flags.values("exclude").map(str::to_owned).collect(),
        parents: flags.truth("parents").unwrap_or_default(),
    }))
}

fn onbuild(
    arguments: Arguments,
    flags: &[String],
    original: &[u8],
    heredocs: &[Heredoc],
) -> Outcome<InstructionKind> {
    let Arguments::Trigger(keyword, ..) = arguments else {
        return Err(ParseError::AtLeastOneArgument { instruction: "ONBUILD" });
    };
    no_flags(flags)?;
    match text::upper(&keyword).as_ref() {
        "ONBUILD" => return Err(ParseError::ChainedOnbuild),
        "MAINTAINER" | "FROM" => {
            return Err(ParseError::ForbiddenTrigger {
                instruction: text::upper(&keyword).into_owned(),
            });
        }
        _ => {}
    }
    let mut expression = without_onbuild(original).to_vec();
    for heredoc in heredocs {
        expression.push(b'\n');
        expression.extend_from_slice(&heredoc.content);
        expression.extend_from_slice(heredoc.name.as_bytes());
    }
    Ok(InstructionKind::Onbuild(Onbuild { expression: text::to_string(&expression) }))
}

/// Cuts `ONBUILD` and the spaces around it off.
fn without_onbuild(original: &[u8]) -> &[u8] {
    let trimmed = trim_ascii_spaces(original);
    match trimmed.split_at_checked(b"ONBUILD".len()) {
        Some((keyword, rest)) if keyword.eq_ignore_ascii_case(b"ONBUILD") => {
            trim_ascii_spaces(rest)
        }
        _ => original,
    }
}

fn trim_ascii_spaces(bytes: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ');
    let start = bytes.iter().position(|byte| !space(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn expose(arguments: Arguments, flags: &[String]) -> Outcome<InstructionKind> {
    let mut ports = words(arguments);
    if ports.is_empty() {
        return Err(ParseError::AtLeastOneArgument { instruction: "EXPOSE" });
    }
    no_flags(flags)?;
    ports.sort_unstable();
    Ok(InstructionKind::Expose(Expose { ports }))
}

fn volume(arguments: Arguments, flags: &[String]) -> Outcome<InstructionKind> {
    let words = words(arguments);
    if words.is_empty() {
        return Err(ParseError::AtLeastOneArgument { instruction: "VOLUME" });
    }
    no_flags(flags)?;
    let volumes: Vec<String> = words.iter().map(|word| word.trim().to_owned()).collect();
    if volumes.iter().any(String::is_empty) {
        return Err(ParseError::EmptyVolume);
    }
    Ok(InstructionKind::Volume(volumes))
}

fn shell(arguments: Arguments, flags: &[String]) -> Outcome<InstructionKind> {
    no_flags(flags)?;
    match arguments {
        Arguments::Exec(shell) if !shell.is_empty() => Ok(InstructionKind::Shell(shell)),
        Arguments::Words(words) if !words.is_empty() => {
            Err(ParseError::JsonRequired { instruction: "SHELL" })
        }
        _ => Err(ParseError::AtLeastOneArgument { instruction: "SHELL" }),
    }
}
