//! The parser, compared instruction by instruction: what it reads, what it refuses, and the lines it blames.
use base64::Engine as _;
use kitwright::plan::dockerfile::{instruction, parse};
use serde_json::{Value, json};

use crate::case;
use crate::mutate::{Random, mutate, rounds};
use crate::oracle;

/// What Dockerfiles are made of.
pub const DICTIONARY: &[&str] = &[
    "\n",
    "\\\n",
    "\r\n",
    " ",
    "\t",
    "#",
    "# ",
    "\"",
    "'",
    "\\",
    "`",
    "$",
    "${",
    "}",
    "$A",
    "${A:-b}",
    "<<EOF",
    "<<-EOF",
    "\nEOF\n",
    "<<\"E\"",
    "[",
    "]",
    "[\"a\"]",
    ",",
    "=",
    ":",
    "--",
    "--from=0",
    "--mount=type=",
    "cache",
    "bind",
    "--chown=1",
    "--link",
    "--chmod=u+x",
    "--exclude=a",
    "--platform=",
    "FROM ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "LABEL ",
    "WORKDIR ",
    "USER ",
    "EXPOSE ",
    "VOLUME ",
    "CMD ",
    "ENTRYPOINT ",
    "HEALTHCHECK ",
    "ONBUILD ",
    "SHELL ",
    "STOPSIGNAL ",
    "MAINTAINER ",
    " AS ",
    "scratch",
    "alpine",
    "# escape=`\n",
    "# check=skip=all\n",
    "é",
    "\u{feff}",
    "\u{a0}",
    "https://x/y.git#z",
    "http://x/y",
    "/",
    ".",
    "..",
    "*",
    "0",
    "80/tcp",
    "a b",
    "A=1",
];

#[test]
fn parsers_agree() {
    if !oracle::available() {
        return;
    }
    let cases = case::all();
    let mut files: Vec<(String, Vec<u8>)> =
        cases.iter().map(|case| (case.name.clone(), case.dockerfile.clone())).collect();
    let mut random = Random::new(5);
    for round in 0..rounds(5000) {
        let case = random.pick(&cases);
        let Ok(text) = std::str::from_utf8(&case.dockerfile) else { continue };
        let text = mutate(&mut random, text, DICTIONARY);
        files.push((format!("{} changed in round {round}", case.name), text.into_bytes()));
    }
    let questions: Vec<Value> = files
        .iter()
        .map(|(_, text)| {
            json!({"mode": "parse", "dockerfile": base64::engine::general_purpose::STANDARD.encode(text)})
        })
        .collect();
    let mut differing = Vec::new();
    for ((name, text), answer) in files.iter().zip(oracle::ask(&questions)) {
        let (ours, theirs) = (ours(text), theirs(text, &answer));
        if std::str::from_utf8(text).is_err() && theirs.get("refused").is_none() {
            // BuildKit finds out later that bytes are no text, when it marshals.
            continue;
        }
        if ours != theirs {
            differing.push(format!(
                "{name}:\n{}\n  ours:   {ours}\n  theirs: {theirs}\n  message: {}",
                String::from_utf8_lossy(text),
                answer["error"]["message"],
            ));
        }
    }
    println!("parser: {} files, {} equal", files.len(), files.len() - differing.len());
    let shown: Vec<&str> = differing.iter().take(8).map(String::as_str).collect();
    assert!(differing.is_empty(), "{} files differ:\n{}", differing.len(), shown.join("\n\n"));
}

fn ours(text: &[u8]) -> Value {
    let file = match parse(text, "Dockerfile") {
        Ok(file) => file,
        Err(error) => return json!({"refused": error.lines.start}),
    };
    let command = |origin: &instruction::Origin, name: &str| {
        json!([
            name.to_lowercase(),
            origin.code,
            [origin.lines.start, origin.lines.end],
            origin.comments
        ])
    };
    json!({
        "args": file.global_args.iter().map(|arg| command(&arg.origin, "arg")).collect::<Vec<_>>(),
        "stages": file.stages.iter().map(|stage| json!([
            stage.name, stage.base_name, stage.platform, stage.doc_comment, command(&stage.origin, "from"),
            stage.instructions.iter().map(|one| command(&one.origin, one.kind.name())).collect::<Vec<_>>(),
        ])).collect::<Vec<_>>(),
    })
}

fn theirs(text: &[u8], answer: &Value) -> Value {
    if let Some(error) = answer.get("error") {
        // The frontend refuses an empty file before it parses.
        let blamed =
            if text.is_empty() { 0 } else { error["ranges"][0][0][0].as_i64().unwrap_or(0) };
        return json!({"refused": blamed + directive_offset(&error["message"])});
    }
    let parsed = &answer["parsed"];
    let command = |value: &Value, name: &Value| {
        json!([
            name.as_str().unwrap().to_lowercase(),
            value["code"],
            value["lines"],
            value.get("comments").unwrap_or(&json!([])),
        ])
    };
    let commands =
        |value: &Value| list(value).map(|one| command(one, &one["name"])).collect::<Vec<_>>();
    json!({
        "args": commands(&parsed["args"]),
        "stages": list(&parsed["stages"]).map(|stage| json!([
            stage["name"], stage["base"], stage["platform"], stage["doc"], command(stage, &json!("from")),
            commands(&stage["commands"]),
        ])).collect::<Vec<_>>(),
    })
}

/// BuildKit counts the lines of bad parser directives from 0, all others from 1.
pub fn directive_offset(message: &Value) -> i64 {
    let message = message.as_str().unwrap_or_default();
    i64::from(
        message.starts_with("invalid escape token")
            || message.ends_with("parser directive can be used"),
    )
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}
