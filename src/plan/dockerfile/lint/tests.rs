use super::*;
use crate::plan::dockerfile::expand::Uses;
use crate::plan::dockerfile::parse;

fn file(text: &str) -> Dockerfile {
    parse(text.as_bytes(), "Dockerfile").unwrap_or_else(|error| panic!("{error}"))
}

fn found(text: &str) -> Vec<(&'static str, u32)> {
    let file = file(text);
    let mut linter = Linter::new(Options::of(&file, None).unwrap());
    check_file(&file, true, &mut linter);
    names(&linter)
}

fn advice(text: &str) -> Vec<(&'static str, u32)> {
    let file = file(text);
    let mut linter = Linter::default();
    check_advice(&file, |name| name == "ctx", &mut linter);
    names(&linter)
}

fn names(linter: &Linter) -> Vec<(&'static str, u32)> {
    let warnings = linter.warnings().iter();
    warnings.map(|warning| (warning.rule().name(), warning.lines.start)).collect()
}

#[test]
fn rules_are_known_by_their_names() {
    for rule in Rule::ALL {
        assert_eq!(format!("{rule:?}"), rule.name());
        assert_eq!(Rule::ALL.iter().filter(|other| other.name() == rule.name()).count(), 1);
    }
    let url = Rule::JSONArgsRecommended.url();
    assert_eq!(
        url.as_deref(),
        Some("https://docs.docker.com/go/dockerfile/rule/json-args-recommended/")
    );
    assert_eq!(Rule::UnpinnedBaseImage.url(), None);
}

#[test]
fn options_are_read() {
    let options = Options::parse(" skip=A, B ;experimental=all;error=1").unwrap();
    assert_eq!(options.skip.iter().collect::<Vec<_>>(), ["A", "B"]);
    assert!(options.experimental_all && options.error && !options.skip_all);
    assert!(Options::parse("skip=all").unwrap().skip_all);
    for text in ["skip", "error=yes", "skp=all", "error=true;;"] {
        assert!(Options::parse(text).is_err(), "{text}");
    }
    let error = Options::of(&file("# check=error=maybe\nFROM a"), None).unwrap_err();
    assert_eq!(error.lines, LineRange::line(1));
    assert_eq!(Options::of(&file("# check=error=maybe\nFROM a"), Some("")), Ok(Options::default()));
}

#[test]
fn the_text_alone_shows_these() {
    assert_eq!(found("FROM a AS Build"), [("StageNameCasing", 1)]);
    assert_eq!(
        found("FROM a as b\nfrom c AS d\nfrom e"),
        [("FromAsCasing", 1), ("FromAsCasing", 2), ("ConsistentInstructionCasing", 1)]
    );
    assert_eq!(found("FROM a\nRUN b \\\n\n c"), [("NoEmptyContinuation", 4)]);
    assert_eq!(
        found("FROM a\nmaintainer b\nRuN c"),
        [
            ("MaintainerDeprecated", 2),
            ("ConsistentInstructionCasing", 2),
            ("ConsistentInstructionCasing", 3)
        ]
    );
    assert_eq!(
        found("FROM a AS x\nFROM b AS x\nFROM c AS scratch"),
        [("DuplicateStageName", 2), ("ReservedStageName", 3)]
    );
}

#[test]
fn descriptions_are_checked_when_asked_for() {
    let text = "# other\nARG a\n# b is good\nFROM x AS b\n# none\nARG c d";
    assert_eq!(found(text), []);
    let asked = format!("# check=experimental=InvalidDefinitionDescription\n{text}");
    let rule = "InvalidDefinitionDescription";
    assert_eq!(found(&asked), [(rule, 3), (rule, 7)]);
}

#[test]
fn rules_are_switched_off() {
    assert_eq!(found("# check=skip=StageNameCasing\nFROM a AS B"), []);
    assert_eq!(found("# check=skip=all\nFROM a AS B"), []);
    assert_eq!(
        found("\n# check=skip=StageNameCasing\nFROM a AS B\nFROM c AS D"),
        [("StageNameCasing", 4)]
    );
    // A mistake in a comment switches nothing off.
    assert_eq!(found("\n# check=skip\nFROM a AS B"), [("StageNameCasing", 3)]);
}

#[test]
fn findings_are_fatal_when_told() {
    let file = file("# check=error=true\nFROM a AS B\nFROM c AS D");
    let mut linter = Linter::new(Options::of(&file, None).unwrap());
    check_advice(&file, |_| false, &mut linter);
    assert!(!linter.warnings().is_empty() && linter.fatal_rules().is_empty());
    check_file(&file, true, &mut linter);
    assert_eq!(linter.fatal_rules().into_iter().collect::<Vec<_>>(), ["StageNameCasing"]);
}

#[test]
fn the_compiler_asks_for_these() {
    let file = file("FROM --platform=linux/amd64 a AS b\nCMD c\nCMD d");
    let stage = &file.stages[0];
    let mut linter = Linter::default();
    let mut uses = Uses { unmatched: ["PTH".to_owned(), "X".to_owned()].into(), ..Uses::default() };
    linter.undefined_variables(&stage.origin, &uses, |name| name == "X", ["PATH", "HOME"]);
    linter.undefined_args_in_from(stage, &uses, &["X"].into());
    linter.platform_flag(stage, &Uses::default(), "linux/amd64", None, Some(("linux", "amd64")));
    uses = Uses { matched: ["TARGETPLATFORM".to_owned()].into(), ..Uses::default() };
    linter.platform_flag(stage, &uses, "linux/arm64", Some("linux/arm64"), None);
    let mut last = None;
    for command in &stage.instructions {
        linter.used_once("CMD", &command.origin, &mut last);
    }
    assert_eq!(
        names(&linter),
        [
            ("UndefinedVar", 1),
            ("UndefinedArgInFrom", 1),
            ("FromPlatformFlagConstDisallowed", 1),
            ("RedundantTargetPlatform", 1),
            ("MultipleInstructionsDisallowed", 2)
        ]
    );
    let message = linter.warnings()[0].finding.to_string();
    assert_eq!(message, "variable `$PTH` is not defined (did you mean `PATH`?)");
}

#[test]
fn secret_names_are_told() {
    for name in ["API_KEY", "github_token", "PASSWORD", "my_secret_x", "AWS_AUTH"] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in ["KEYBOARD", "PUBLIC_KEY", "TOKEN_FILE", "key_version", "MONKEY", "A-KEY"] {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
fn args_above_unrelated_steps_are_advised_on() {
    let rule = "ArgAboveUnrelatedStep";
    assert_eq!(advice("FROM a:1\nARG V\nRUN x\nRUN y $V"), [(rule, 2)]);
    assert_eq!(advice("FROM a:1\nARG V\nRUN x $V\nRUN y"), []);
    assert_eq!(advice("FROM a:1\nARG V\nCOPY x y\nRUN <<E\necho ${V}\nE"), []);
    assert_eq!(advice("FROM a:1\nRUN x\nARG V"), []);
    assert_eq!(advice("FROM a:1\nARG V W\nRUN x $W\nRUN y"), [(rule, 2)]);
    assert_eq!(advice("FROM a:1\nARG TARGETARCH NODE_ENV NPM_TOKEN\nRUN x"), []);
    assert_eq!(advice("FROM a:1 AS b\nARG V\nRUN x\nFROM b\nRUN y $V"), []);
}

#[test]
fn empty_cache_mounts_are_advised_on() {
    let rule = "CacheMountKeepsNothing";
    let apt = "RUN --mount=type=cache,target=/var/cache/apt";
    assert_eq!(
        advice(&format!("FROM a:1\n{apt} apt-get update && apt-get install -y x")),
        [(rule, 2)]
    );
    assert_eq!(
        advice(&format!(
            "FROM a:1\nRUN rm -f /etc/apt/apt.conf.d/docker-clean\n{apt} apt-get install x"
        )),
        []
    );
    assert_eq!(
        advice(&format!(
            "FROM a:1 AS b\nRUN rm -f /etc/apt/apt.conf.d/docker-clean\nFROM b\n{apt} apt-get install x && apt-get clean"
        )),
        [(rule, 4)]
    );
    let lists = "RUN --mount=type=cache,target=/var/lib/apt/lists";
    assert_eq!(
        advice(&format!("FROM a:1\n{lists} apt-get update && rm -rf /var/lib/apt/lists/*")),
        [(rule, 2)]
    );
    assert_eq!(advice(&format!("FROM a:1\n{lists} apt-get update && rm -rf /tmp/*")), []);
    let pip = "RUN --mount=type=cache,target=/root/.cache/pip";
    assert_eq!(advice(&format!("FROM a:1\n{pip} pip install --no-cache-dir x")), [(rule, 2)]);
    assert_eq!(advice(&format!("FROM a:1\n{pip} pip install x")), []);
}

#[test]
fn unpinned_images_are_advised_on() {
    let rule = "UnpinnedBaseImage";
    assert_eq!(advice("FROM a"), [(rule, 1)]);
    assert_eq!(advice("FROM h:5000/a:latest"), [(rule, 1)]);
    assert_eq!(advice("FROM h:5000/a"), [(rule, 1)]);
    assert_eq!(advice("ARG V=latest\nFROM a:$V"), [(rule, 2)]);
    assert_eq!(advice("ARG V\nFROM a:$V"), []);
    assert_eq!(advice("FROM a:1 AS b\nFROM b\nFROM scratch\nFROM ctx\nFROM a@sha256:0"), []);
    assert_eq!(
        advice("FROM a:1\nCOPY --from=q/b x y\nCOPY --from=b x y\nCOPY --from=0 x y"),
        [(rule, 2)]
    );
}

#[test]
fn written_secrets_are_advised_on() {
    let rule = "SecretValueInArgOrEnv";
    assert_eq!(advice("FROM a:1\nENV X=ghp_0123456789abcdefghij"), [(rule, 2)]);
    assert_eq!(advice("ARG U=https://me:hunter2@host/x\nFROM a:1"), [(rule, 1)]);
    assert_eq!(advice("FROM a:1\nENV U=https://me:$P@host/x X=ghp_$T npm_=1"), []);
    let mut linter = Linter::default();
    check_advice(&file("FROM a:1\nENV X=ghp_0123456789abcdefghij"), |_| false, &mut linter);
    let finding = &linter.warnings()[0].finding;
    assert!(!finding.to_string().contains("0123"), "{finding}");
    assert!(finding.fix().contains("--mount=type=secret,id=X"));
}
