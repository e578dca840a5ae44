//! What a file was like: by its content, by its times, or by both.
//!
//! Reading every file of a large context only to be able to tell later which of them changed would
//! cost more than most builds. Where nobody asked, the times of large files and of many stand for
//! their content; where somebody did, both are kept, so that a graph compares with either kind.
use serde::{Deserialize, Serialize};

use super::Graph;
use crate::key::files::Trace;

/// What stands before the digest of what is known without reading.
const TIMES: &str = "times:";

/// The state of a file, or of many.
///
/// As text: its digests, apart by a space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Mark {
    content: Option<String>,
    times: Option<String>,
}

/// By what files are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// By content.
    Content,
    /// By times where there are some.
    Times,
}

impl Basis {
    /// What both graphs know of all files.
    pub(super) fn of(one: &Graph, other: &Graph) -> Self {
        let mut marks =
            [one, other].into_iter().flat_map(|g| &g.steps).flat_map(|step| step.files.values());
        if marks.all(|mark| mark.content.is_some()) { Self::Content } else { Self::Times }
    }
}

impl Mark {
    /// Whether nothing is known that tells them apart, and something that does not.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            (Some(one), Some(other)) => one == other,
            _ => self.times.is_some() && self.times == other.times,
        }
    }

    /// The digest by which it is compared.
    pub(super) fn by(&self, basis: Basis) -> &str {
        let (first, second) = match basis {
            Basis::Content => (&self.content, &self.times),
            Basis::Times => (&self.times, &self.content),
        };
        first.as_ref().or(second.as_ref()).map_or("", String::as_str)
    }

    /// Leaves the times out, if that leaves anything.
    pub(super) fn forget_times(&mut self) {
        if self.content.is_some() {
            self.times = None;
        }
    }
}

impl From<Trace> for Mark {
    fn from(trace: Trace) -> Self {
        Self {
            content: trace.content.map(|digest| digest.to_string()),
            times: trace.times.map(|digest| digest.hex()),
        }
    }
}

impl From<String> for Mark {
    fn from(text: String) -> Self {
        let mut mark = Self::default();
        for part in text.split(' ') {
            match part.strip_prefix(TIMES) {
                Some(times) => mark.times = Some(times.to_owned()),
                None => mark.content = Some(part.to_owned()),
            }
        }
        mark
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        let times = mark.times.map(|times| format!("{TIMES}{times}"));
        let parts: Vec<Self> = mark.content.into_iter().chain(times).collect();
        parts.join(" ")
    }
}
