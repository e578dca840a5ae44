//! `CacheMountKeepsNothing`.

use std::borrow::Cow;

use super::super::{Finding, Linter};
use super::{command_text, full_text};
use crate::plan::dockerfile::error::ParseError;
use crate::plan::dockerfile::instruction::{
    Instruction, InstructionKind, Mount, MountKind, Origin, Run,
};

/// Commands that empty a cache: what the mount's target contains, the words of the command, and
/// what to do.
const EMPTYING: [(&str, &[&str], &str); 11] = [
    ("/var/cache/apt", &["apt-get", "clean"], "remove `apt-get clean`"),
    ("/var/cache/apt", &["apt", "clean"], "remove `apt clean`"),
    ("/pip", &["pip", "--no-cache-dir"], "remove `--no-cache-dir`"),
    ("/pip", &["pip3", "--no-cache-dir"], "remove `--no-cache-dir`"),
    ("/pip", &["pip", "cache", "purge"], "remove `pip cache purge`"),
    ("/uv", &["uv", "--no-cache"], "remove `--no-cache`"),
    ("/apk", &["apk", "--no-cache"], "remove `--no-cache`"),
    ("npm", &["npm", "cache", "clean"], "remove `npm cache clean`"),
    ("yarn", &["yarn", "cache", "clean"], "remove `yarn cache clean`"),
    ("/mod", &["go", "clean", "-modcache"], "remove `go clean -modcache`"),
    ("go-build", &["go", "clean", "-cache"], "remove `go clean -cache`"),
];

const KEEP: &str = "put `rm -f /etc/apt/apt.conf.d/docker-clean; echo \
                    'Binary::apt::APT::Keep-Downloaded-Packages \"true\";' \
                    > /etc/apt/apt.conf.d/keep-cache` before the first install";

/// Tells whether an instruction stops apt from removing what it downloads, or may do so.
pub(super) fn keeps_packages(instruction: &Instruction) -> bool {
    if !matches!(
        instruction.kind,
        InstructionKind::Run(_) | InstructionKind::Copy(_) | InstructionKind::Add(_)
    ) {
        return false;
    }
    let text = full_text(instruction);
    ["docker-clean", "Keep-Downloaded-Packages", "apt.conf"].iter().any(|sign| text.contains(sign))
}

/// Checks the cache mounts of a `RUN`.
pub(super) fn check(origin: &Origin, run: &Run, keeps: bool, linter: &mut Linter) {
    if run.mount_specs.is_empty() {
        return;
    }
    let parse = |text: &str| Mount::parse(text, &mut as_written).ok();
    let mounts = run.mount_specs.iter().filter_map(|spec| parse(&spec.text));
    let caches: Vec<Mount> = mounts.filter(|mount| mount.kind == MountKind::Cache).collect();
    if caches.is_empty() {
        return;
    }
    let text = command_text(run);
    let commands = commands(&text);
    for mount in caches {
        let target = mount.target.trim_end_matches('/').to_owned();
        if let Some((cause, fix)) = cause(&target, &commands, keeps) {
            linter.warn(origin, Finding::CacheMountKeepsNothing { target, cause, fix });
        }
    }
}

fn as_written(word: &str) -> Result<Cow<'_, str>, ParseError> {
    Ok(Cow::Borrowed(word))
}

/// Says why a mount ends up empty, and what to do.
fn cause(target: &str, commands: &[Vec<&str>], keeps: bool) -> Option<(String, String)> {
    for command in commands {
        for (place, words, fix) in EMPTYING {
            let runs = command.contains(&words[0]);
            if target.contains(place) && runs && words.iter().all(|word| command.contains(word)) {
                return Some((format!("`{}` empties it", words.join(" ")), fix.to_owned()));
            }
        }
        if let Some(path) = removed(command, target) {
            return Some((
                format!("`rm` removes `{path}`"),
                format!("remove the `rm` of `{path}`: a cache mount is not part of the image"),
            ));
        }
    }
    let installs = commands.iter().any(|command| {
        command.contains(&"install") && (command.contains(&"apt-get") || command.contains(&"apt"))
    });
    let archives = target == "/var/cache/apt" || target.starts_with("/var/cache/apt/");
    (archives && installs && !keeps).then(|| {
        let cause =
            "images of Debian and Ubuntu remove packages after each install (`docker-clean`)";
        (cause.to_owned(), KEEP.to_owned())
    })
}

/// Returns the path by which a command removes all of `target`.
fn removed<'c>(command: &[&'c str], target: &str) -> Option<&'c str> {
    if command.first() != Some(&"rm") {
        return None;
    }
    command[1..].iter().copied().filter(|word| word.starts_with('/')).find(|word| {
        let path = word.trim_end_matches('*').trim_end_matches('/');
        let within = target.strip_prefix(path);
        within.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || target == "/var/cache/apt" && path == "/var/cache/apt/archives"
    })
}

/// Splits a shell text roughly into commands of words, without quotes and `sudo`.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let words = |command| {
        let words = str::split_whitespace(command).map(|word| word.trim_matches(['"', '\'']));
        words.skip_while(|word| matches!(*word, "sudo" | "then" | "do" | "exec")).collect()
    };
    let commands = text.split([';', '&', '|', '\n', '(', ')', '{', '}']).map(words);
    commands.filter(|command: &Vec<&str>| !command.is_empty()).collect()
}
