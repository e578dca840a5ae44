use super::*;

fn parse(inputs: &serde_json::Value) -> Result<Arguments, ActionError> {
    Arguments::parse(&inputs.to_string(), &std::env::temp_dir(), "https://github.example.com/")
}

#[test]
fn inputs_become_flags_and_the_context_comes_last() {
    let inputs = serde_json::json!({
        "context": "", "file": "gen.Dockerfile", "push": "true", "load": "false",
        "tags": "r/a:1,r/a:2\nr/a:3", "build-args": "A=1,2\nB=3\n",
        "platforms": "linux/amd64, linux/arm64", "labels": "\"a=x\ny\"",
        "cache-from": "type=registry,ref=r/a:cache", "provenance": "false", "sbom": "",
    });
    assert_eq!(
        parse(&inputs).unwrap().arguments,
        [
            "--build-arg=A=1,2",
            "--build-arg=B=3",
            "--cache-from=type=registry,ref=r/a:cache",
            "--file=gen.Dockerfile",
            "--label=a=x\ny",
            "--platform=linux/amd64,linux/arm64",
            "--provenance=false",
            "--push",
            "--tag=r/a:1",
            "--tag=r/a:2",
            "--tag=r/a:3",
            "--",
            ".",
        ]
    );
}

#[test]
fn a_secret_is_a_file_and_never_an_argument() {
    use std::os::unix::fs::PermissionsExt as _;
    let inputs = serde_json::json!({
        "secrets": "\"key=line 1\nline \"\"2\"\"\n\"\r\ntoken=s3cret",
        "secret-envs": "a=A,b=B", "secret-files": "f=./x,y",
    });
    let arguments = parse(&inputs).unwrap();
    let text = arguments.arguments.join(" ");
    assert!(!text.contains("s3cret") && !text.contains("line"), "{text}");
    let path = |at: usize| {
        let argument: &String = &arguments.arguments[at];
        PathBuf::from(argument.split_once("src=").unwrap().1)
    };
    assert_eq!(std::fs::read_to_string(path(0)).unwrap(), "line 1\nline \"2\"\n");
    assert_eq!(std::fs::read_to_string(path(1)).unwrap(), "s3cret");
    let mode = std::fs::metadata(path(1)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(arguments.arguments[2..4], ["--secret=id=a,env=A", "--secret=id=b,env=B"]);
    assert_eq!(arguments.arguments[4], "--secret=id=f,\"src=./x,y\"");
    let file = path(1);
    arguments.close().unwrap();
    assert!(!file.exists());
}

#[test]
fn the_token_goes_to_its_own_server_alone() {
    let of = |context: &str, secrets: &str| {
        let inputs = serde_json::json!({
            "context": context, "github-token": "ghs_x", "secrets": secrets,
        });
        parse(&inputs).unwrap().arguments
    };
    assert_eq!(of(".", ""), ["--", "."]);
    let own = of("https://github.example.com/a/b.git#main", "");
    let secret = "--secret=id=GIT_AUTH_TOKEN.github.example.com,src=";
    assert!(own[0].starts_with(secret), "{own:?}");
    for other in ["https://other.example.com/a.git", "https://github.example.com.evil.org/a.git"] {
        assert_eq!(of(other, ""), ["--", other]);
    }
    let given = of("https://github.example.com/a/b.git", "GIT_AUTH_TOKEN=mine");
    assert_eq!(given.len(), 3, "the user's own is enough: {given:?}");
}

#[test]
fn contexts_and_outputs_are_written_as_there() {
    let inputs = serde_json::json!({
        "build-contexts": "src={{defaultContext}}:lib\nbase=docker-image://x",
        "outputs": "type=image,\"name=r/a:1,r/a:2\",push=true\n\"type=oci\",dest=a.tar",
    });
    assert_eq!(
        parse(&inputs).unwrap().arguments,
        [
            "--build-context=src=./lib",
            "--build-context=base=docker-image://x",
            "--output=type=image,\"name=r/a:1,r/a:2\",push=true",
            "--output=\"type=oci\",dest=a.tar",
            "--",
            ".",
        ]
    );
}

#[test]
fn bad_inputs_are_named_and_never_quoted() {
    assert_eq!(context("{{defaultContext}}:docker"), "./docker");
    let error = |inputs| parse(&inputs).expect_err("bad inputs").to_string();
    assert_eq!(error(serde_json::json!({ "tag": "x" })), "there is no input `tag`");
    assert!(error(serde_json::json!({ "push": "yes" })).contains("neither `true` nor"));
    assert!(error(serde_json::json!({ "call": "outline" })).contains("`outline`"));
    let secret = error(serde_json::json!({ "secrets": "ok=1\ns3cret" }));
    assert_eq!(secret, "item 2 of the input `secrets` is not written as `name=value`");
    assert!(error(serde_json::json!({ "secrets": "\"a=b" })).contains("is not closed"));
    assert!(!error(serde_json::json!({ "secrets": ["s3cret"] })).contains("s3cret"));
}
