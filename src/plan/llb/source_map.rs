//! Where in a source file a vertex comes from.
use buildkit_rs_proto::pb;
use bytes::Bytes;

/// A place in a file: a line, counted from 1, and a character, counted from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, counted from 1.
    pub line: u32,
    /// Character within the line, counted from 0.
    pub character: u32,
}

/// A stretch of a file; both ends belong to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first place.
    pub start: Position,
    /// The last place.
    pub end: Position,
}

impl Range {
    /// Whole lines.
    #[must_use]
    pub const fn lines(first: u32, last: u32) -> Self {
        Self {
            start: Position { line: first, character: 0 },
            end: Position { line: last, character: 0 },
        }
    }

    fn to_pb(self) -> pb::Range {
        let position = |at: Position| pb::Position {
            line: at.line.cast_signed(),
            character: at.character.cast_signed(),
        };
        pb::Range { start: Some(position(self.start)), end: Some(position(self.end)) }
    }
}

/// The ranges of one instruction in the definition's source file.
pub type Location = Vec<Range>;

/// The file that the locations of a definition point into.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceFile {
    /// Its name as the user gave it.
    pub filename: String,
    /// Its language, such as `Dockerfile`.
    pub language: String,
    /// Its text.
    pub data: Bytes,
    /// How an engine gets the file itself, when it can.
    pub definition: Option<pb::Definition>,
}

impl SourceFile {
    /// The wire form.
    #[must_use]
    pub fn to_pb(&self) -> pb::SourceInfo {
        pb::SourceInfo {
            filename: self.filename.clone(),
            data: self.data.clone(),
            definition: self.definition.clone(),
            language: self.language.clone(),
        }
    }
}

/// The wire form of all locations of one vertex.
pub(super) fn locations_to_pb(locations: &[Location]) -> pb::Locations {
    let location = |ranges: &Location| pb::Location {
        source_index: 0,
        ranges: ranges.iter().map(|range| range.to_pb()).collect(),
    };
    pb::Locations { locations: locations.iter().map(location).collect() }
}
