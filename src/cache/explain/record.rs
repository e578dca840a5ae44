//! From a compiled Dockerfile to the graph that is kept.
use std::collections::{BTreeMap, BTreeSet};

use buildkit_rs_proto::pb;
use pb::op::Op;
use prost::Message as _;

use super::{Graph, Mark, Step, VERSION, What};
use crate::key::files::{self, Detail, Directory, Each};
use crate::key::graph::{Read, reads};
use crate::key::memory::Memory;
use crate::oci::digest::Digest;
use crate::plan::dockerfile::Compiled;
use crate::plan::dockerfile::lint::{is_secret_name, looks_secret};
use crate::plan::llb::{Definition, Vertex, wire};

/// Of a read of more files only one digest is kept for all of them.
const FILES_MAX: usize = 2000;

/// The longest part of an instruction that is kept.
const NAME_MAX: usize = 200;

/// Words in the name of a variable whose value is nobody's business.
const SECRET_NAMES: [&str; 9] =
    ["auth", "credential", "key", "pass", "private", "pwd", "secret", "token", "cookie"];

/// Reads the files that the steps use.
pub struct Reading<'a> {
    directories: &'a BTreeMap<String, Directory>,
    memory: &'a mut Memory,
    detail: Detail,
    known: BTreeMap<Read, BTreeMap<String, Mark>>,
}

impl<'a> Reading<'a> {
    /// Reads from `directories`, and from `memory` what has not changed.
    pub fn new(
        directories: &'a BTreeMap<String, Directory>,
        memory: &'a mut Memory,
        detail: Detail,
    ) -> Self {
        Self { directories, memory, detail, known: BTreeMap::new() }
    }

    /// Marks of what `read` selects, by path; one for all if they are many.
    fn marks(&mut self, read: Read) -> BTreeMap<String, Mark> {
        if let Some(known) = self.known.get(&read) {
            return known.clone();
        }
        let directory = self.directories.get(&read.source);
        let found = directory.and_then(|directory| {
            files::digest_each(directory, &read, self.detail, FILES_MAX, self.memory).ok()
        });
        let marks = match found {
            // What the build could not read either: it says so itself.
            None => BTreeMap::new(),
            Some(Each::Many(trace)) => {
                let folder = format!("{}/", read.path.trim_matches('/'));
                BTreeMap::from([(folder, trace.into())])
            }
            Some(Each::Files(files)) => {
                files.into_iter().map(|(path, trace)| (path, trace.into())).collect()
            }
        };
        self.known.insert(read, marks.clone());
        marks
    }
}

/// Takes down what a build is made of.
pub fn record(compiled: &Compiled, dockerfile: &str, reading: &mut Reading<'_>) -> Graph {
    let mut graph = Graph {
        version: VERSION,
        dockerfile: dockerfile.to_owned(),
        steps: Vec::new(),
        vertices: Vec::new(),
    };
    for platform in &compiled.platforms {
        add(&mut graph, &platform.definition, reading);
    }
    graph
}

fn add(graph: &mut Graph, definition: &Definition, reading: &mut Reading<'_>) {
    let text = definition.source.as_ref().map(|file| String::from_utf8_lossy(&file.data));
    let text = text.unwrap_or_default();
    let args = arguments(&text);
    let text: Vec<&str> = text.lines().collect();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut locals: BTreeMap<String, String> = BTreeMap::new();
    // The last op only refers to the result.
    let vertices = definition.vertices.split_last().map_or(&[][..], |(_, vertices)| vertices);
    for vertex in vertices {
        let op = vertex.op();
        let mut files = BTreeMap::new();
        for read in reads(&op, &locals) {
            files.extend(reading.marks(read));
        }
        if let Some(Op::Source(source)) = &op.op
            && let Some(name) = source.identifier.strip_prefix("local://")
        {
            locals.insert(vertex.digest.to_string(), name.to_owned());
        }
        let inputs: Vec<usize> =
            op.inputs.iter().filter_map(|input| places.get(&input.digest).copied()).collect();
        let mut step = step(vertex, op, inputs, files, &args);
        step.name = name(vertex.metadata.custom_name().unwrap_or_default(), step.lines, &text);
        places.insert(vertex.digest.to_string(), graph.steps.len());
        graph.steps.push(step);
        graph.vertices.push(vertex.digest);
    }
}

fn step(
    vertex: &Vertex,
    mut op: pb::Op,
    inputs: Vec<usize>,
    files: BTreeMap<String, Mark>,
    args: &BTreeSet<String>,
) -> Step {
    op.inputs.iter_mut().for_each(|input| input.digest.clear());
    if let Some(Op::Source(source)) = &mut op.op {
        if source.identifier.starts_with("local://") {
            source.attrs.clear();
        }
        if let Some(rest) = source.identifier.strip_prefix("oci-layout://") {
            let digest = rest.split_once('@').map_or(rest, |(_, digest)| digest);
            source.identifier = format!("oci-layout://@{digest}");
        }
        source.attrs.remove("oci.session");
        source.attrs.remove("oci.store");
    }
    let own = Digest::of(&wire::encode_op(&op)).to_string();
    let lines = vertex.locations.first().and_then(|ranges| {
        Some((ranges.first()?.start.line, ranges.iter().map(|range| range.end.line).max()?))
    });
    Step { name: String::new(), lines, inputs, what: what(&op, vertex, args), own, files }
}

/// The step's name with the Dockerfile's own words: the engine's name has the values of variables.
fn name(shown: &str, lines: Option<(u32, u32)>, text: &[&str]) -> String {
    let Some((first, last)) = lines else { return shown.to_owned() };
    let label = shown.strip_prefix('[').and_then(|name| name.split_once(']'));
    let label = label.map(|(label, _)| format!("[{label}] ")).unwrap_or_default();
    let lines = (first.max(1)..=last).filter_map(|line| text.get(line as usize - 1));
    let words = lines.flat_map(|line| line.trim_end_matches('\\').split_whitespace());
    let words: String = words.collect::<Vec<_>>().join(" ").chars().take(NAME_MAX).collect();
    format!("{label}{words}")
}

fn what(op: &pb::Op, vertex: &Vertex, args: &BTreeSet<String>) -> What {
    match &op.op {
        Some(Op::Exec(exec)) => command(exec, args),
        Some(Op::File(file)) => {
            let action = |action: &pb::FileAction| Digest::of(&action.encode_to_vec()).to_string();
            What::Files { actions: file.actions.iter().map(action).collect() }
        }
        Some(Op::Source(source)) => from(&source.identifier, vertex),
        _ => What::Other,
    }
}

fn from(identifier: &str, vertex: &Vertex) -> What {
    let (scheme, rest) = identifier.split_once("://").unwrap_or(("", identifier));
    match scheme {
        "local" => What::Local { name: rest.to_owned() },
        "docker-image" | "oci-layout" => {
            let (reference, digest) = rest.split_once('@').unwrap_or((rest, ""));
            // A layout is known by what the Dockerfile calls it.
            let reference = match reference.is_empty() {
                true => named_context(vertex.metadata.custom_name().unwrap_or_default()),
                false => reference,
            };
            What::Image { reference: reference.to_owned(), digest: digest.to_owned() }
        }
        _ => What::Source { identifier: without_credentials(identifier) },
    }
}

/// `NAME` of `[context NAME] OCI load from client`.
fn named_context(name: &str) -> &str {
    let label = name.strip_prefix('[').and_then(|name| name.split_once(']'));
    label.map_or(name, |(label, _)| label.trim_start_matches("context "))
}

fn command(exec: &pb::ExecOp, args: &BTreeSet<String>) -> What {
    let meta = exec.meta.clone().unwrap_or_default();
    let mut env = BTreeMap::new();
    let mut hidden: Vec<&str> = Vec::new();
    for pair in &meta.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let secret = is_secret(name, value);
        hidden.extend((secret && !value.is_empty()).then_some(value));
        env.insert(name.to_owned(), (!secret).then(|| value.to_owned()));
    }
    for value in env.values_mut() {
        // Made of another one, such as `ENV URL=https://$TOKEN@host`.
        *value = value.take().filter(|text| !hidden.iter().any(|secret| text.contains(secret)));
    }
    let mut settings = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        // An instruction can have put the value of a variable there.
        let value = hidden.iter().fold(value, |text, secret| text.replace(secret, "***"));
        if !value.is_empty() {
            settings.insert(name.to_owned(), value);
        }
    };
    set("user", meta.user.clone());
    set("working directory", meta.cwd.clone());
    set("host name", meta.hostname.clone());
    set("network", exec.network().as_str_name().to_lowercase());
    set("security mode", exec.security().as_str_name().to_lowercase());
    let hosts = meta.extra_hosts.iter().map(|host| format!("{}={}", host.host, host.ip));
    set("extra hosts", hosts.collect::<Vec<_>>().join(","));
    let mounts = exec.mounts.iter().filter(|mount| mount.dest != "/");
    let mounts = mounts.map(|mount| {
        let mut plain = mount.clone();
        plain.input = plain.input.min(0);
        (mount.dest.clone(), Digest::of(&plain.encode_to_vec()).hex()[..16].to_owned())
    });
    let mounts = mounts.collect();
    let args = env.keys().filter(|name| args.contains(*name)).cloned().collect();
    let command = Digest::of(meta.args.join("\0").as_bytes()).to_string();
    What::Command { command, env, args, settings, mounts }
}

fn is_secret(name: &str, value: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let named = SECRET_NAMES.iter().any(|word| lower.contains(word)) || is_secret_name(name);
    named || looks_secret(value)
}

/// The URL without what stands before an `@` in its host, and without a query.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split('?').next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

/// The names that a Dockerfile declares by `ARG`.
fn arguments(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("arg")) {
            let name = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
            names.extend(words.map(name));
        }
    }
    names
}
