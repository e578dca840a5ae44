//! The small languages inside a build, compared text by text: image names, Git references, ignore patterns.
use kitwright::oci::reference::ImageReference;
use kitwright::plan::dockerfile::expand::{Lexer, Uses};
use kitwright::plan::dockerfile::git_ref::GitRef;
use kitwright::plan::pattern::Patterns;
use serde_json::{Value, json};

use crate::mutate::{Random, mutate, rounds};
use crate::oracle;

/// Seeds, and `usual` texts made from them.
fn texts(seed: u64, usual: usize, seeds: &[&str], dictionary: &[&str]) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut texts: Vec<String> = seeds.iter().map(|&text| text.to_owned()).collect();
    for _ in 0..rounds(usual) {
        let from = random.pick(seeds);
        let text = mutate(&mut random, from, dictionary);
        texts.push(text);
    }
    texts
}

/// Fails with the first few texts on which the two sides differ.
fn report(what: &str, total: usize, differing: &[(String, String, String)]) {
    let equal = total - differing.len();
    println!("{what}: {total} texts, {equal} equal");
    let shown: Vec<String> = differing
        .iter()
        .take(10)
        .map(|(text, ours, theirs)| format!("{text:?}\n    ours:   {ours}\n    theirs: {theirs}"))
        .collect();
    assert!(differing.is_empty(), "{what}: {} differ:\n{}", differing.len(), shown.join("\n"));
}

#[test]
fn image_names() {
    if !oracle::available() {
        return;
    }
    let sum = format!("alpine@sha256:{}", "0123456789abcdef".repeat(4));
    let long = "a".repeat(260);
    let id = "0123456789abcdef".repeat(4);
    let seeds = [
        "alpine",
        "alpine:3.19",
        "library/alpine",
        "docker.io/alpine",
        "index.docker.io/library/alpine:1",
        "localhost/x",
        "localhost:5000/x/y:z",
        "ghcr.io/owner/repo:v1.2.3_x-y",
        "a.b.c/d__e/f-g/h.i:1",
        "127.0.0.1:80/x",
        "[::1]:5000/img",
        "Host.Example/x",
        "UPPER/x",
        "x:5000",
        "registry/x@y",
        &sum,
        &long,
        &id,
        "user/img",
        "a--b/c",
        "docker.io/localhost/x",
        "example.com/0123",
        "_x",
        "x_",
        "a/b/c/d/e:f",
        "host:1/x:y@z",
        "",
        "a b",
        "a\tb",
        "é/x",
        "xn--bcher-kva.example/x",
        "docker.io",
        "docker.io/",
        "/x",
        "x/",
        "x:",
        "x@",
    ];
    let dictionary = [
        "/",
        ":",
        "@",
        ".",
        "_",
        "__",
        "-",
        "--",
        "A",
        "a",
        "0",
        "localhost",
        "docker.io/",
        "index.docker.io/",
        "library/",
        ":5000",
        "[",
        "]",
        "::",
        "sha256:",
        " ",
        "é",
        "latest",
        "@sha512:",
        "%",
        "\n",
    ];
    let texts = texts(1, 5000, &seeds, &dictionary);
    let answer = &oracle::ask(&[json!({"mode": "reference", "names": texts})])[0]["names"];
    let mut differing = Vec::new();
    for (text, theirs) in texts.iter().zip(answer.as_array().unwrap()) {
        let ours = match ImageReference::parse(text) {
            Ok(name) => json!({
                "name": name.to_string(),
                "tagged": name.clone().tag_name_only().to_string(),
                "familiar": name.familiar(),
            }),
            Err(_) => Value::Null,
        };
        let mut theirs = match theirs.get("error") {
            Some(_) => Value::Null,
            None => theirs.clone(),
        };
        // Go's short form of `docker.io/localhost/x` is `localhost/x`, which names another image,
        // and that of an official image named like an image ID is such an ID.
        let short = theirs["familiar"].as_str().unwrap_or_default();
        let same =
            ImageReference::parse(short).is_ok_and(|name| theirs["name"] == name.to_string());
        if !theirs.is_null() && !same {
            theirs["familiar"] = ours["familiar"].clone();
        }
        if ours != theirs {
            differing.push((text.clone(), ours.to_string(), theirs.to_string()));
        }
    }
    report("image names", texts.len(), &differing);
}

#[test]
fn git_references() {
    if !oracle::available() {
        return;
    }
    let seeds = [
        "https://github.com/a/b.git",
        "https://github.com/a/b.git#main",
        "https://github.com/a/b.git#main:sub/dir",
        "https://github.com/a/b",
        "github.com/a/b",
        "github.com/a/b#x:y",
        "git://host/x",
        "git@github.com:a/b.git",
        "ssh://git@host:22/a/b.git#ref",
        "http://host/x.git?branch=b&subdir=s",
        "https://u:p@host/x.git?tag=v1",
        "https://host/x.git?ref=refs/heads/a&checksum=abcdef0&keep-git-dir=1&submodules=false&mtime=commit",
        "https://host/x.git?checksum=0123456789012345678901234567890123456789&fetch-by-commit=true",
        "./git@x:y",
        "../a.git",
        "host:path",
        "user@host:path#ref:dir",
        "https://host/x.git?",
        "https://host/x.git?a=b",
        "https://host/x.git?ref=a#b",
        "https://host/x.git#:/../..//x",
        "https://host/x.git?subdir=../x",
        "",
        "file:///x.git",
        "ftp://x/y.git",
        "https://host:443/x.git#a?b",
        "git@host/x",
        "a@b:c?branch=d",
        "HTTPS://H/x.git",
        "https://host/x.git%20y",
        "https://[::1]/x.git",
        "git://host/x?keep-git-dir",
        "https://dev.azure.com/o/p/_git/r",
        "git@ssh.dev.azure.com:v3/o/p/r",
        "https://host/x.git?branch=&tag=",
        "ssh://host/~user/x",
        "x@y",
    ];
    let dictionary = [
        "#",
        ":",
        "?",
        "&",
        "=",
        "@",
        "/",
        "//",
        ".git",
        "..",
        "%",
        "%2F",
        "%zz",
        "+",
        "ref=",
        "tag=",
        "branch=",
        "subdir=",
        "checksum=",
        "keep-git-dir=",
        "submodules=",
        "mtime=",
        "fetch-by-commit=",
        "true",
        "0",
        "commit",
        "git@",
        "ssh://",
        "https://",
        "git://",
        "http://",
        "a",
        " ",
        "é",
        "refs/",
        "\t",
        ";",
    ];
    let texts = texts(2, 5000, &seeds, &dictionary);
    let answer = &oracle::ask(&[json!({"mode": "git", "names": texts})])[0]["git"];
    let mut differing = Vec::new();
    for (text, theirs) in texts.iter().zip(answer.as_array().unwrap()) {
        let ours = match GitRef::parse(text) {
            Ok(None) => json!("not git"),
            Err(_) => json!("bad git"),
            Ok(Some(git)) => json!({
                "remote": git.remote, "ref": git.reference, "checksum": git.checksum, "subdir": git.subdir,
                "path": git.may_be_path, "keep": git.keep_git_dir, "submodules": git.submodules, "mtime": git.mtime,
                "by_commit": git.fetch_by_commit,
            }),
        };
        let git = &theirs["ref"];
        let theirs = match (theirs["is_git"].as_bool().unwrap(), theirs.get("error")) {
            (false, _) => json!("not git"),
            (true, Some(_)) => json!("bad git"),
            (true, None) => json!({
                "remote": git["Remote"], "ref": git["Ref"], "checksum": git["Checksum"], "subdir": git["SubDir"],
                "path": git["IndistinguishableFromLocal"], "keep": git["KeepGitDir"], "submodules": git["Submodules"],
                "mtime": git["MTime"], "by_commit": git["FetchByCommit"],
            }),
        };
        // Bytes that are no text: the marshalling of either side refuses them.
        if ours != theirs && !theirs.to_string().contains('\u{fffd}') {
            differing.push((text.clone(), ours.to_string(), theirs.to_string()));
        }
    }
    report("git references", texts.len(), &differing);
}

#[test]
fn ignore_patterns() {
    if !oracle::available() {
        return;
    }
    let seeds = [
        "node_modules",
        "**/*.log",
        "!keep.log",
        "*.md\n!README.md",
        "a/*/c",
        "a/**/c",
        "**",
        "/a",
        "./a",
        "a/",
        "a/../b",
        "[a-c]x",
        "[^a]y",
        "a?c",
        "\\*",
        "a\\b",
        "*/b",
        "**/b/**",
        "a**b",
        "!**/c",
        "dir\n!dir/keep\ndir/keep/not",
        "*",
        "*\n!a/b\n",
        ".",
        "/",
        "..",
        "#comment\na",
        "  spaced  ",
        "a\n\n\nb",
        "[]a]",
        "[a",
        "a]",
        "é*",
        "**/",
        "!/a",
        "! a",
        "a/b/c\n!a/b",
        "**/a\n!**/a/keep",
        ".git*",
        "a.b+c",
        "(x|y)",
        "{x,y}",
        "x$",
        "^x",
        "a/**",
        "/**/x",
    ];
    let dictionary = [
        "*", "**", "/", "!", "?", "[", "]", "-", "^", "\\", ".", "..", "\n", "a", "b", "c", "x",
        " ", "#", "é", "+", "$", "(", ")", "|", "{", "}", "**/", "/**", "\n!", "keep",
    ];
    let paths = [
        "a",
        "b",
        "c",
        "a/b",
        "a/c",
        "a/b/c",
        "a/x/c",
        "a/x/y/c",
        "b/a",
        "x/b",
        "x/b/y",
        "node_modules",
        "src/node_modules/x",
        "x.log",
        "a/x.log",
        "keep.log",
        "README.md",
        "docs/x.md",
        "dir",
        "dir/keep",
        "dir/keep/not",
        "dir/other",
        "é",
        "éa",
        "*",
        "a*b",
        "axb",
        "ax/b",
        ".git",
        ".gitignore",
        "a.b+c",
        "(x|y)",
        "{x,y}",
        "x$",
        "^x",
        "[a",
        "]",
        "-",
        "#comment",
        "\\",
        "a\\b",
        " spaced",
        "x",
        "y",
        "xy",
        "ax",
        "bx",
        "dy",
        "keep",
        "a/keep",
        "a/b/keep",
    ];
    let texts = texts(3, 3000, &seeds, &dictionary);
    let questions: Vec<Value> = texts
        .iter()
        .map(|text| {
            use base64::Engine as _;
            let patterns = base64::engine::general_purpose::STANDARD.encode(text);
            json!({"mode": "ignore", "patterns": patterns, "paths": &paths[..]})
        })
        .collect();
    let mut differing = Vec::new();
    for (text, answer) in texts.iter().zip(oracle::ask(&questions)) {
        let theirs = answer["ignore"].clone();
        let lines: Vec<String> =
            list(&theirs["patterns"]).map(|line| line.as_str().unwrap().to_owned()).collect();
        // A file that cannot be read has no patterns to compare.
        let unreadable = answer.get("error").is_some();
        if unreadable {
            continue;
        }
        let ours = match Patterns::parse(&lines) {
            Ok(patterns) => json!(paths.map(|path| patterns.matches(path.as_bytes()))[..]),
            Err(_) => Value::Null,
        };
        let theirs = theirs["walked"].clone();
        // A bad pattern is found out only when it is asked, which one that takes back, or one behind
        // another that matches everything, may never be. We refuse it in any case.
        let is_late = ours.is_null() && lines.iter().any(|line| line.starts_with(['!', '*']));
        if ours != theirs && !is_late {
            let differ: Vec<&str> = paths
                .iter()
                .enumerate()
                .filter(|(at, _)| ours[at] != theirs[at])
                .map(|(_, path)| *path)
                .collect();
            differing.push((text.clone(), format!("{ours} at {differ:?}"), theirs.to_string()));
        }
    }
    report("ignore patterns", texts.len(), &differing);
}

#[test]
fn expansion() {
    if !oracle::available() {
        return;
    }
    let env: std::collections::BTreeMap<String, String> = [
        ("A", "one"),
        ("B", "two words"),
        ("EMPTY", ""),
        ("P", "path/to/file.tar.gz"),
        ("Q", "a\"b'c"),
        ("U", "äöü"),
        ("D", "$A"),
        ("S", "a*b?c[d]"),
        ("A_1", "under"),
        ("BS", "a\\b"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let seeds = [
        "$A",
        "${A}",
        "x$A.y",
        "${A:-d}",
        "${X:-d}",
        "${X-d}",
        "${EMPTY:-d}",
        "${EMPTY-d}",
        "${A:+d}",
        "${X+d}",
        "${A:?m}",
        "${X:?m}",
        "${X?m}",
        "${P#*/}",
        "${P##*/}",
        "${P%.*}",
        "${P%%.*}",
        "${P/o/0}",
        "${P//t/T}",
        "${U#?}",
        "${U//ö/o}",
        "$1",
        "$",
        "$$",
        "${",
        "${}",
        "${A",
        "${A:}",
        "${A@Q}",
        "'$A'",
        "\"$A\"",
        "\\$A",
        "\"\\$A\"",
        "a\\ b",
        "'unclosed",
        "\"unclosed",
        "a\"b c\"d 'e f'",
        "$B",
        "\"$B\"",
        "${X:-${Y:-$A}}",
        "${X:-\"a b\"}",
        "${S#a\\*}",
        "${S/\\?/q}",
        "${S//[/x}",
        "${A_1}",
        "$A_1",
        "${A:2}",
        "${P/\\//_}",
        "${P#[a-z]}",
        "${P//[a-f]/-}",
        "",
        " ",
        "é$U",
        "\t$A\n",
        "${BS}",
        "${A:-}}",
        "${A:+{}",
        "${X:-'}'}",
        "$\"A\"",
        "${A}${B}",
        "`$A`",
        "~",
        "${P///x}",
        "${P//\\//|}",
        "${A/n}",
        "${A//n/}",
        "$-",
        "${-}",
        "${?}",
        "${A:-a:b}",
        "${P%/*/*}",
        "${S%%]*}",
    ];
    let dictionary = [
        "$", "{", "}", ":", "-", "+", "?", "#", "##", "%", "%%", "/", "//", "'", "\"", "\\", "`",
        "A", "X", "P", "${A}", "${X", ":-", " ", "*", "[", "]", "^", "é", "_", "1", "@", "\n",
        "\t", "!", "U",
    ];
    let texts = texts(4, 20000, &seeds, &dictionary);
    let modes: [(&str, &[&str]); 6] = [
        ("\\", &[]),
        ("`", &[]),
        ("\\", &["skip-quotes"]),
        ("\\", &["raw-quotes", "skip-unset"]),
        ("\\", &["raw-quotes", "raw-escapes", "skip-unset"]),
        ("`", &["raw-quotes", "skip-unset"]),
    ];
    let questions = modes.map(|(escape, flags)| {
        json!({"mode": "expand", "words": texts, "env": env, "escape": escape, "flags": flags})
    });
    let mut differing = Vec::new();
    for ((escape, flags), answer) in modes.iter().zip(oracle::ask(&questions)) {
        let lexer = Lexer {
            escape: escape.chars().next().unwrap(),
            raw_quotes: flags.contains(&"raw-quotes"),
            raw_escapes: flags.contains(&"raw-escapes"),
            skip_quotes: flags.contains(&"skip-quotes"),
            skip_unset: flags.contains(&"skip-unset"),
        };
        for (text, theirs) in texts.iter().zip(list(&answer["words"])) {
            let mut uses = Uses::default();
            let ours = match (lexer.expand_noting(text, &env, &mut uses), lexer.words(text, &env)) {
                (Ok(result), Ok(words)) => json!([result, words, uses.unmatched]),
                _ => Value::Null,
            };
            let theirs = match theirs.get("error") {
                Some(_) => Value::Null,
                None => json!([
                    theirs["result"],
                    theirs.get("words").unwrap_or(&json!([])),
                    theirs.get("unmatched").unwrap_or(&json!([])),
                ]),
            };
            if ours != theirs {
                differing.push((
                    format!("{text} {flags:?} {escape}"),
                    ours.to_string(),
                    theirs.to_string(),
                ));
            }
        }
    }
    report("expansion", texts.len() * modes.len(), &differing);
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}
