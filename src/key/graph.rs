//! A definition without what differs between machines and sessions.
//!
//! A local source's op holds the session's id and the patterns of the transfer, so its digest and
//! that of everything built on it differ from run to run. Here such a source counts by its name only;
//! what an op reads from it is listed as [`Read`]s, whose content is digested apart.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;
use pb::file_action::Action;
use pb::op::Op;

use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::plan::llb::{Definition, wire};

/// Files of a local source that an op reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// The source's name: `context`, or that of a named context.
    pub source: String,
    /// Path below the source, absolute and cleaned.
    pub path: String,
    /// Whether `*`, `?` and `[` in the path are wildcards.
    pub wildcard: bool,
    /// Patterns relative to the path; empty for all.
    pub include: Vec<String>,
    /// Patterns relative to the path.
    pub exclude: Vec<String>,
}

impl Read {
    fn all(source: &str) -> Self {
        Self::at(source, "/")
    }

    fn at(source: &str, path: &str) -> Self {
        let path = if path.is_empty() { "/" } else { path };
        Self {
            source: source.to_owned(),
            path: path.to_owned(),
            wildcard: false,
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

/// A graph of which no key can be made.
#[derive(Clone, Debug, thiserror::Error, miette::Diagnostic, PartialEq, Eq)]
pub enum GraphError {
    /// A source whose content its op does not fix.
    #[error("`{source_id}` does not say which content it means")]
    #[diagnostic(help("{help}"))]
    Unpinned {
        /// The source's identifier.
        source_id: String,
        /// How to pin it.
        help: &'static str,
    },
    /// An op of a kind that a Dockerfile does not make.
    #[error("the graph has an op of a kind that has no content key")]
    Kind,
}

impl Classified for GraphError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// A definition as far as it is the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StableGraph {
    /// For each op in topological order, its digest with stable inputs.
    pub ops: Vec<Digest>,
    /// What is read from local sources, each with the ops (indexes into `ops`) that read it.
    pub reads: BTreeMap<Read, Vec<usize>>,
}

/// Takes the session and the local files out of a definition.
///
/// # Errors
///
/// [`GraphError`] when the result does not depend on the definition and local files alone.
pub fn stabilise(definition: &Definition) -> Result<StableGraph, GraphError> {
    let mut stable: BTreeMap<String, String> = BTreeMap::new();
    let mut locals: BTreeMap<String, String> = BTreeMap::new();
    let mut graph = StableGraph { ops: Vec::new(), reads: BTreeMap::new() };
    for vertex in &definition.vertices {
        let mut op = vertex.op();
        for read in reads(&op, &locals) {
            graph.reads.entry(read).or_default().push(graph.ops.len());
        }
        for input in &mut op.inputs {
            if let Some(known) = stable.get(&input.digest) {
                input.digest.clone_from(known);
            }
        }
        if let Some(Op::Source(source)) = &mut op.op {
            check_pinned(source)?;
            if let Some(name) = source.identifier.strip_prefix("local://") {
                locals.insert(vertex.digest.to_string(), name.to_owned());
                source.attrs.clear();
            }
            // The session's names for itself and for a layout that it offers.
            source.attrs.remove("oci.session");
            source.attrs.remove("oci.store");
        }
        if matches!(op.op, Some(Op::Build(_) | Op::Passthrough(_))) {
            return Err(GraphError::Kind);
        }
        let digest = Digest::of(&wire::encode_op(&op));
        stable.insert(vertex.digest.to_string(), digest.to_string());
        graph.ops.push(digest);
    }
    Ok(graph)
}

fn check_pinned(source: &mut pb::SourceOp) -> Result<(), GraphError> {
    let unpinned = |help| Err(GraphError::Unpinned { source_id: source.identifier.clone(), help });
    let Some((scheme, rest)) = source.identifier.split_once("://") else {
        return Err(GraphError::Kind);
    };
    match scheme {
        "local" => Ok(()),
        "docker-image" if rest.contains('@') => Ok(()),
        "docker-image" => unpinned("add the image's digest: `NAME:TAG@sha256:…`"),
        "oci-layout" => {
            // The name before the digest is the session's name for the layout.
            let digest = rest.split_once('@').map(|(_, digest)| digest.to_owned());
            match digest {
                Some(digest) => source.identifier = format!("oci-layout://@{digest}"),
                None => return unpinned("add the image's digest: `DIR@sha256:…`"),
            }
            Ok(())
        }
        "git" if source.attrs.contains_key("git.checksum") || is_commit(rest) => Ok(()),
        "git" => unpinned("name a commit after `#`, or add `--checksum`"),
        "http" | "https" if source.attrs.contains_key("http.checksum") => Ok(()),
        "http" | "https" => unpinned("add `--checksum=sha256:…`"),
        _ => Err(GraphError::Kind),
    }
}

/// Whether a Git source's fragment begins with a whole commit id.
fn is_commit(rest: &str) -> bool {
    let fragment = rest.split_once('#').map_or("", |(_, fragment)| fragment);
    let commit = fragment.split(':').next().unwrap_or_default();
    matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What `op` reads from the local sources among its inputs; `locals` are their names by digest.
#[must_use]
pub fn reads(op: &pb::Op, locals: &BTreeMap<String, String>) -> Vec<Read> {
    let source = |index: i64| {
        let input = op.inputs.get(usize::try_from(index).ok()?)?;
        locals.get(&input.digest).map(String::as_str)
    };
    match &op.op {
        Some(Op::Exec(exec)) => {
            let read = |mount: &pb::Mount| Some(Read::at(source(mount.input)?, &mount.selector));
            exec.mounts.iter().filter_map(read).collect()
        }
        Some(Op::File(file)) => file.actions.iter().flat_map(|a| file_reads(a, &source)).collect(),
        // Merge, diff, or the reference to the result: whole inputs.
        _ => op.inputs.iter().filter_map(|i| locals.get(&i.digest)).map(|s| Read::all(s)).collect(),
    }
}

fn file_reads<'a>(action: &pb::FileAction, source: &impl Fn(i64) -> Option<&'a str>) -> Vec<Read> {
    let base = source(action.input).map(Read::all);
    let copied = source(action.secondary_input).map(|name| match &action.action {
        Some(Action::Copy(copy)) => Read {
            wildcard: copy.allow_wildcard,
            include: copy.include_patterns.clone(),
            exclude: copy.exclude_patterns.clone(),
            ..Read::at(name, &copy.src)
        },
        _ => Read::all(name),
    });
    base.into_iter().chain(copied).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::llb::Vertex;

    fn definition(ops: Vec<pb::Op>) -> Definition {
        let vertex = |op: pb::Op| {
            let bytes = wire::encode_op(&op);
            Vertex {
                digest: Digest::of(&bytes),
                bytes: bytes.into(),
                metadata: Default::default(),
                locations: Vec::new(),
            }
        };
        Definition { vertices: ops.into_iter().map(vertex).collect(), source: None }
    }

    fn local(session: &str) -> pb::Op {
        source("local://context", &[("local.session", session)])
    }

    fn source(identifier: &str, attrs: &[(&str, &str)]) -> pb::Op {
        let attrs = attrs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let source = pb::SourceOp { identifier: identifier.into(), attrs };
        pb::Op { op: Some(Op::Source(source)), ..Default::default() }
    }

    fn copy(from: &pb::Op, src: &str) -> pb::Op {
        let copy = pb::FileActionCopy {
            src: src.into(),
            dest: "/".into(),
            allow_wildcard: true,
            exclude_patterns: vec!["*.md".into()],
            ..Default::default()
        };
        let action = pb::FileAction {
            input: -1,
            secondary_input: 0,
            action: Some(Action::Copy(copy)),
            ..Default::default()
        };
        let digest = Digest::of(&wire::encode_op(from)).to_string();
        pb::Op {
            inputs: vec![pb::Input { digest, index: 0 }],
            op: Some(Op::File(pb::FileOp { actions: vec![action] })),
            ..Default::default()
        }
    }

    fn stable(session: &str, src: &str) -> StableGraph {
        let source = local(session);
        let file = copy(&source, src);
        stabilise(&definition(vec![source, file])).unwrap()
    }

    #[test]
    fn the_session_does_not_count_and_the_copied_path_does() {
        assert_eq!(stable("one", "/a"), stable("two", "/a"));
        assert_ne!(stable("one", "/a").ops, stable("one", "/b").ops);
    }

    #[test]
    fn a_copy_reads_its_path_with_its_patterns() {
        let reads = stable("s", "/a*").reads;
        let read =
            Read { wildcard: true, exclude: vec!["*.md".into()], ..Read::at("context", "/a*") };
        assert_eq!(reads, BTreeMap::from([(read, vec![1])]));
    }

    #[test]
    fn sources_must_be_pinned() {
        let commit = "a".repeat(40);
        for good in [
            source("docker-image://docker.io/library/x:1@sha256:ab", &[]),
            source(&format!("git://host/repo#{commit}:sub"), &[]),
            source("git://host/repo#main", &[("git.checksum", "abc")]),
            source("https://host/file", &[("http.checksum", "sha256:ab")]),
        ] {
            assert!(stabilise(&definition(vec![good])).is_ok());
        }
        for bad in ["docker-image://docker.io/library/x:1", "git://h/r#main", "https://h/f"] {
            let error = stabilise(&definition(vec![source(bad, &[])])).unwrap_err();
            assert!(matches!(error, GraphError::Unpinned { .. }), "{bad}: {error:?}");
        }
    }

    #[test]
    fn a_layouts_session_name_does_not_count() {
        let of = |store: &str| {
            let identifier = format!("oci-layout://{store}@sha256:ab");
            let op = source(&identifier, &[("oci.store", store), ("oci.session", store)]);
            stabilise(&definition(vec![op])).unwrap()
        };
        assert_eq!(of("one"), of("two"));
    }
}
