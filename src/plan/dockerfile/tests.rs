use super::instruction::{CommandLine, InstructionKind, Network};
use super::*;

fn parsed(text: &str) -> Dockerfile {
    parse(text.as_bytes(), "Dockerfile").unwrap_or_else(|error| panic!("{error}"))
}

fn kinds(text: &str) -> Vec<InstructionKind> {
    let dockerfile = parsed(&format!("FROM scratch\n{text}"));
    dockerfile.stages[0].instructions.iter().map(|found| found.kind.clone()).collect()
}

fn refused(text: &str) -> String {
    parse(text.as_bytes(), "Dockerfile").unwrap_err().to_string()
}

#[test]
fn stages_hold_their_instructions() {
    let dockerfile = parsed(
        "# syntax=docker/dockerfile:1\nARG V=1\n\n# build compiles\nFROM --platform=$P golang:$V aS Build\nRUN make\nfrom scratch\n",
    );
    assert_eq!(dockerfile.global_args[0].arg.args[0].key, "V");
    let [build, last] = dockerfile.stages.as_slice() else { panic!("two stages") };
    assert_eq!((build.name.as_str(), build.base_name.as_str()), ("build", "golang:$V"));
    assert_eq!((build.platform.as_str(), build.doc_comment.as_str()), ("$P", "compiles"));
    assert_eq!(build.written_name, ("aS".into(), "Build".into()));
    assert_eq!(build.instructions[0].origin.code, "RUN make");
    assert_eq!(build.instructions[0].origin.lines, LineRange::line(6));
    assert_eq!(last.origin.keyword, "from");
}

#[test]
fn continuations_and_comments_are_joined() {
    let dockerfile = parsed("FROM a\nRUN one \\\n # comment\n\n  two \\  \n && three\n");
    let run = &dockerfile.stages[0].instructions[0];
    assert_eq!(run.origin.code, "RUN one   two  && three");
    assert_eq!(run.origin.lines, LineRange::new(2, 6));
    assert_eq!(dockerfile.empty_continuations, [LineRange::line(6)]);
}

#[test]
fn a_backquote_can_escape() {
    let dockerfile = parsed("# escape=`\nFROM a\nRUN dir c:\\ `\n x\n");
    assert_eq!(dockerfile.escape, '`');
    assert_eq!(dockerfile.stages[0].instructions[0].origin.code, "RUN dir c:\\  x");
}

#[test]
fn commands_have_two_forms() {
    let exec = CommandLine { args: vec!["a".into(), "b c".into()], shell_form: false };
    let shell = CommandLine { args: vec!["[\"a\", 'b']".into()], shell_form: true };
    assert_eq!(
        kinds("CMD [\"a\", \"b c\"]\nENTRYPOINT [\"a\", 'b']"),
        [InstructionKind::Cmd(exec), InstructionKind::Entrypoint(shell)]
    );
}

#[test]
fn heredocs_are_read() {
    let text =
        "RUN --network=none <<A cat <<-B\na $x\nA\n\tb\n\tB\nCOPY <<\"C\" <<D /x/\nc\nC\nD\n";
    let kinds = kinds(text);
    let InstructionKind::Run(run) = &kinds[0] else { panic!("a RUN") };
    assert_eq!(run.network, Network::None);
    assert_eq!(run.files[0].data, b"a $x\n");
    assert_eq!(run.files[1].data, b"\tb\n");
    assert_eq!(run.files[1].chomped().as_ref(), b"b\n");
    let InstructionKind::Copy(copy) = &kinds[1] else { panic!("a COPY") };
    assert_eq!(copy.files.dest, "/x/");
    let contents = copy.files.contents.iter();
    let contents: Vec<_> =
        contents.map(|file| (file.path.as_str(), &file.data, file.expand)).collect();
    assert_eq!(contents, [("C", &b"c\n".to_vec(), false), ("D", &Vec::new(), true)]);
}

#[test]
fn triggers_keep_their_text() {
    let kinds = kinds("ONBUILD RUN <<E\na\nE\nonbuild  env a=b\nONBUILD COPY --chown=x a b");
    let texts: Vec<_> = kinds
        .iter()
        .map(|kind| match kind {
            InstructionKind::Onbuild(onbuild) => onbuild.expression.as_str(),
            _ => panic!("an ONBUILD"),
        })
        .collect();
    assert_eq!(texts, ["RUN <<E\na\nE", "env a=b", "COPY --chown=x a b"]);
    let trigger = parse_trigger(texts[0], LineRange::line(7)).unwrap();
    let InstructionKind::Run(run) = trigger.kind else { panic!("a RUN") };
    assert_eq!(
        (run.files[0].data.as_slice(), trigger.origin.lines),
        (&b"a\n"[..], LineRange::line(7))
    );
    assert!(parse_trigger("RUN a\nRUN b", LineRange::line(1)).is_err());
    assert!(parse_trigger("FROM a", LineRange::line(1)).is_err());
}

#[test]
fn mistakes_are_refused_where_they_stand() {
    for (text, message) in [
        ("", "Dockerfile: the Dockerfile is empty"),
        ("# nothing\n", "Dockerfile:1: the Dockerfile has no instructions"),
        ("ARG a", "Dockerfile: the Dockerfile has no stages to build"),
        ("FORM a", "Dockerfile:1: unknown instruction: FORM (did you mean FROM?)"),
        ("FROM a\nrn b", "Dockerfile:2: unknown instruction: rn (did you mean run?)"),
        (
            "RUN a\nFROM b",
            "Dockerfile:1: no build stage in current context: RUN stands before the first FROM",
        ),
        (
            "FROM a AS 1b",
            "Dockerfile:1: invalid name for build stage: `1b`: it must start with a letter and hold only letters, digits and -_.",
        ),
        ("FROM a b", "Dockerfile:1: FROM requires either one or three arguments"),
        ("FROM a\nBAD\nENV x", "Dockerfile:3: ENV must have two arguments"),
        (
            "FROM a\n\nCOPY \\\n x",
            "Dockerfile:3: COPY requires at least two arguments, but only one was provided: the destination is missing",
        ),
        (
            "FROM a\nRUN [1]",
            "Dockerfile:2: when using JSON array syntax, arrays must consist of strings only",
        ),
        ("FROM a\nRUN <<E\nx", "Dockerfile:2: unterminated heredoc: no line says `E`"),
        (
            "# escape=x\nFROM a",
            "Dockerfile:1: invalid escape token `x`: only a backslash or a backquote can be one",
        ),
        (
            "FROM a\nONBUILD ONBUILD RUN x",
            "Dockerfile:2: chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        ("FROM a\nRUN --mout=x y", "Dockerfile:2: unknown flag: --mout (did you mean --mount?)"),
        (
            "FROM a\nHEALTHCHECK --retries=-1 CMD x",
            "Dockerfile:2: invalid value `-1` for --retries: it cannot be negative",
        ),
        ("FROM a\nSHELL sh -c", "Dockerfile:2: SHELL requires its arguments as a JSON array"),
    ] {
        assert_eq!(refused(text), message, "{text:?}");
    }
}

#[test]
fn a_long_line_is_refused() {
    let line = |length: usize| format!("FROM a\nRUN {}\n", "x".repeat(length - 4));
    assert!(parse(line(65_535).as_bytes(), "Dockerfile").is_ok());
    let error = refused(&line(65_536));
    assert!(error.starts_with("Dockerfile:2: the line is longer than 65535 bytes"), "{error}");
}

#[test]
fn errors_show_the_lines() {
    let error = parse(b"FROM a\nCOPY \\\n x\nRUN y\n", "Dockerfile").unwrap_err();
    let labels: Vec<_> = miette::Diagnostic::labels(&error).into_iter().flatten().collect();
    assert_eq!((labels[0].offset(), labels[0].len()), (7, 9));
}
