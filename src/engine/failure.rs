//! How a build fails: the daemon's typed error details, decoded into one of ours.
//!
//! BuildKit puts JSON into the details of a gRPC status: the vertex that failed, the op, the exit
//! code, and the places in the Dockerfile that it came from. Those decide whether the user's step,
//! the user's input or the environment is at fault, and what excerpt a report shows.
mod details;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use buildkit_rs_proto::google::rpc;
use buildkit_rs_proto::pb;
use bytes::Bytes;
use miette::{LabeledSpan, NamedSource, SourceCode};
use prost::Message as _;
use tonic::Code;

use super::client::Client;
use super::session::SessionError;
use super::status::{SourceFile, StatusEvent};
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use details::Details;

/// A build that did not succeed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SolveError {
    /// A step ran and failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Step(Box<StepError>),
    /// A frontend on the daemon refused its input, such as a Dockerfile.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Input(Box<StepError>),
    /// Something outside the build failed: a registry, a network, the daemon's disk.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Environment(Box<StepError>),
    /// The connection to the daemon was lost.
    #[error("the builder at `{address}` went away during the build: {message}")]
    #[diagnostic(help("look at the daemon's log, then start it and build again"))]
    Lost {
        /// Where it listened.
        address: String,
        /// What the connection says.
        message: String,
    },
    /// One of the client's own services failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Session(SessionError),
    /// The user or the caller stopped the build.
    #[error("the build was cancelled")]
    Cancelled,
}

impl Classified for SolveError {
    fn fault(&self) -> Fault {
        match self {
            Self::Step(_) => Fault::Build,
            Self::Input(_) => Fault::Usage,
            Self::Environment(_) | Self::Lost { .. } => Fault::Environment,
            Self::Session(error) => error.fault(),
            Self::Cancelled => Fault::Interrupted,
        }
    }
}

/// What the daemon tells of a failure.
#[derive(Debug, Default)]
pub struct StepError {
    /// The daemon's message without the wrapping that the client's own report repeats.
    pub message: String,
    /// The vertex that failed.
    pub vertex: Option<Digest>,
    /// The name the client gave that vertex, such as `[2/3] RUN make`.
    pub name: Option<String>,
    /// The exit code of the command that failed.
    pub exit_code: Option<u32>,
    /// What the step's op does.
    pub op: Option<OpKind>,
    /// The place in the source that the step came from; the outermost first.
    pub sources: Vec<Place>,
    excerpt: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
}

/// What kind of op a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// A command.
    Exec,
    /// A file operation, such as `COPY`.
    File,
    /// A source: an image, a Git repository, a URL, a local directory.
    Source,
    /// Merge, diff or build.
    Other,
}

/// Lines of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: SourceFile,
    /// First and last line of each range, counted from one.
    pub lines: Vec<(u32, u32)>,
}

impl std::fmt::Display for StepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) if !self.message.contains(name.as_str()) => {
                write!(f, "`{name}` failed: {}", self.message)
            }
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for StepError {}

impl miette::Diagnostic for StepError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty())
            .then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = _>>)
    }
}

impl StepError {
    /// Shows the first place whose file is known as the report's excerpt.
    fn with_excerpt(mut self) -> Self {
        let Some(place) = self.sources.iter().find(|place| !place.file.text.is_empty()) else {
            return self;
        };
        let text = &place.file.text;
        self.labels = place
            .lines
            .iter()
            .filter_map(|&(first, last)| line_span(text, first, last))
            .map(|(offset, length)| LabeledSpan::new(None, offset, length))
            .collect();
        self.excerpt = Some(NamedSource::new(&place.file.name, text.clone()));
        self
    }
}

/// Byte offset and length of lines `first..=last` without the last line's end.
fn line_span(text: &str, first: u32, last: u32) -> Option<(usize, usize)> {
    let mut offset = 0;
    let mut start = None;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if number == first {
            start = Some(offset);
        }
        if number == last {
            let end = offset + line.trim_end().len();
            return start.map(|start| (start, end.saturating_sub(start)));
        }
        offset += line.len();
    }
    None
}

/// What the client knows of a build beside the daemon's status.
///
/// The daemon names the vertex that failed by its digest alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The graph in its wire form; it is only looked at when the build fails.
    definition: Bytes,
    failed: Arc<Mutex<Option<(Digest, String)>>>,
}

impl Known {
    /// Keeps a definition.
    pub(crate) fn new(definition: Option<Bytes>) -> Self {
        Self { definition: definition.unwrap_or_default(), ..Self::default() }
    }

    /// Remembers the name of a vertex that failed.
    pub(crate) fn watch(&self, event: &StatusEvent) {
        if let StatusEvent::Vertex(vertex) = event
            && vertex.error.is_some()
        {
            *self.lock() = Some((vertex.digest, vertex.name.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Digest, String)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, vertex: Option<Digest>) -> Option<String> {
        let (digest, name) = self.lock().clone()?;
        vertex.is_none_or(|vertex| vertex == digest).then_some(name)
    }

    fn op(&self, vertex: Digest) -> Option<OpKind> {
        let ops = pb::Definition::decode(self.definition.clone()).ok()?.def;
        let bytes = ops.into_iter().find(|bytes| Digest::of(bytes) == vertex)?;
        match pb::Op::decode(bytes).ok()?.op? {
            pb::op::Op::Exec(_) => Some(OpKind::Exec),
            pb::op::Op::File(_) => Some(OpKind::File),
            pb::op::Op::Source(_) => Some(OpKind::Source),
            _ => Some(OpKind::Other),
        }
    }
}

/// Decodes the status of a failed solve.
pub(crate) fn decode(client: &Client, known: &Known, status: tonic::Status) -> SolveError {
    if is_transport(&status) {
        return SolveError::Lost {
            address: client.address().to_string(),
            message: transport_message(&status),
        };
    }
    let mut details = Details::default();
    if let Ok(full) = rpc::Status::decode(status.details()) {
        full.details.iter().for_each(|detail| details.add(detail));
    }
    let mut error = details.error(status.message());
    error.op = error.op.or_else(|| known.op(error.vertex?));
    error.name = error.name.or_else(|| known.name(error.vertex));
    let error = Box::new(error);
    match error.fault(status.code()) {
        Fault::Build => SolveError::Step(error),
        Fault::Usage => SolveError::Input(error),
        _ => SolveError::Environment(error),
    }
}

impl StepError {
    /// Tells a failed step, bad input and the environment apart by what the daemon says.
    fn fault(&self, code: Code) -> Fault {
        let name = self.name.as_deref().unwrap_or_default();
        let fetches = self.op == Some(OpKind::Source)
            || name.starts_with("[internal] load metadata")
            || name.contains("] FROM ");
        let missing = self.op != Some(OpKind::Exec) && self.message.ends_with("not found");
        match (self.vertex, self.op) {
            _ if self.exit_code.is_some() => Fault::Build,
            (Some(_), _) if fetches => Fault::Environment,
            // A file that `COPY` names and the context does not have.
            (Some(_), _) if missing => Fault::Usage,
            (Some(_), Some(_)) => Fault::Build,
            (Some(_), None) if !self.sources.is_empty() => Fault::Build,
            (None, _) if !self.sources.is_empty() => Fault::Usage,
            _ if code == Code::InvalidArgument => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}

/// Whether the status was made on this side because the connection failed.
fn is_transport(status: &tonic::Status) -> bool {
    std::error::Error::source(status).is_some()
}

fn transport_message(status: &tonic::Status) -> String {
    let mut innermost: &dyn std::error::Error = status;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_outside_the_text_is_none() {
        assert_eq!(line_span("a\nb", 2, 2), Some((2, 1)));
        assert_eq!(line_span("a\nb", 3, 3), None);
        assert_eq!(line_span("", 1, 1), None);
    }
}
