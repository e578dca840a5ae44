//! The table of what can go wrong with a cache's registry, and where: what the user is told in each cell.
//!
//! The build succeeds in every cell. The tests of [`faults`](super::faults) take a column each; a row
//! or a cell that is missing does not compile.
use crate::support::proxy::{Fault, Rule};

use super::kit::Lab;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Refused,
    Unauthorized,
    Missing,
    TooMany,
    Broken,
    Reset,
    Truncated,
    WrongDigest,
    Stall,
}

/// Where it goes wrong: the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Probe,
    ImportManifest,
    ImportBlob,
    ExportBlob,
    ExportManifest,
}

/// What is told in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// `no cache from …`, with these words.
    LeftOut(&'static str),
    /// `building on without the cache …`.
    BuiltAnew,
    /// `WARNING: no cache was exported to …`.
    NotExported,
    /// Nothing has to be, for this reason; what is told all the same is right.
    Nothing(&'static str),
}

use Kind::{Broken, Missing, Refused, Reset, Stall, TooMany, Truncated, Unauthorized, WrongDigest};
use Told::{BuiltAnew, LeftOut, NotExported, Nothing};

/// The engine reads documents without looking at their digest.
const UNCHECKED: Told = Nothing("a document that can still be read is taken, another is told of");
/// The engine asks for the rest of what it has begun to read.
const RESUMED: Told = Nothing("the engine asks for the rest, and needs nobody's help");

/// Every kind at every place, in the order of [`Place`].
pub(crate) const TABLE: [(Kind, [Told; 5]); 9] = [
    (Refused, [LeftOut("cannot connect"), LeftOut(""), BuiltAnew, NotExported, NotExported]),
    (Unauthorized, [LeftOut("refuses access"), LeftOut(""), BuiltAnew, NotExported, NotExported]),
    (Missing, [LeftOut("not"), LeftOut(""), BuiltAnew, NotExported, NotExported]),
    (TooMany, [LeftOut("429"), LeftOut(""), BuiltAnew, NotExported, NotExported]),
    (Broken, [LeftOut("500"), LeftOut(""), BuiltAnew, NotExported, NotExported]),
    (Reset, [LeftOut("broke"), LeftOut(""), BuiltAnew, NotExported, NotExported]),
    (Truncated, [LeftOut("broke"), RESUMED, RESUMED, NotExported, NotExported]),
    (WrongDigest, [LeftOut("digest"), UNCHECKED, BuiltAnew, NotExported, NotExported]),
    (Stall, [LeftOut("no answer within 1 s"), BuiltAnew, BuiltAnew, NotExported, NotExported]),
];

/// The kinds with what is told of each at `place`.
pub(crate) fn column(place: Place) -> impl Iterator<Item = (Kind, Told)> {
    TABLE.into_iter().map(move |(kind, row)| (kind, row[place as usize]))
}

/// One way to bring a cell about.
pub(crate) struct Attack {
    pub(crate) name: String,
    /// What the proxy does; without a rule nothing listens there any more.
    pub(crate) rule: Option<Rule>,
}

/// All ways that are tried in a cell, on the cache `c` of the lab.
pub(crate) fn attacks(kind: Kind, place: Place, lab: &Lab) -> Vec<Attack> {
    let attack = |name: &str, rule: Rule| Attack { name: name.to_owned(), rule: Some(rule) };
    let gone = || Attack { name: "gone".into(), rule: None };
    let reads = |rule: Rule, name: &str, at: u64| -> Vec<Attack> {
        answers(kind, at)
            .into_iter()
            .map(|(way, fault)| attack(&format!("{name} {way}"), rule.clone().fault(fault)))
            .collect()
    };
    let engine = |method: &str, path: &str| Rule::new(method, path).by("buildkit");
    match (place, kind) {
        (Place::Probe, Kind::Refused) => {
            vec![gone(), attack("config", Rule::new("GET", "/manifests/").fault(Fault::LastAnswer))]
        }
        (Place::Probe, _) => {
            let documents = [("manifest", "/manifests/"), ("config", "/blobs/")];
            let of = |(name, path)| reads(Rule::new("", path).by("kitwright"), name, 100);
            documents.into_iter().flat_map(of).collect()
        }
        (Place::ImportManifest, Kind::Refused) => {
            let last = |rule: Rule| rule.fault(Fault::LastAnswer);
            vec![
                attack("manifest", last(Rule::new("GET", "/blobs/").by("kitwright"))),
                attack("config", last(engine("GET", "/manifests/"))),
            ]
        }
        (Place::ImportManifest, _) => {
            let config = lab.config("c");
            let documents = [("manifest", "/manifests/"), ("config", config.as_str())];
            documents
                .into_iter()
                .flat_map(|(name, path)| reads(engine("", path), name, 100))
                .collect()
        }
        (Place::ImportBlob, Kind::Refused) => {
            vec![attack("layer", engine("GET", &lab.config("c")).fault(Fault::LastAnswer))]
        }
        (Place::ImportBlob, _) => reads(engine("GET", &lab.layer("c")), "layer", 1000),
        (Place::ExportBlob, Kind::Refused) => {
            let last = Rule::new("POST", "/blobs/uploads/").fault(Fault::LastAnswer);
            vec![gone(), attack("upload", last)]
        }
        (Place::ExportManifest, Kind::Refused) => {
            vec![attack("manifest", Rule::new("HEAD", "/manifests/").fault(Fault::LastAnswer))]
        }
        (Place::ExportBlob, _) => uploads(kind, "/blobs/uploads/", 1000),
        (Place::ExportManifest, _) => uploads(kind, "/manifests/", 200),
    }
}

/// What an answer suffers, `at` this byte of its body.
fn answers(kind: Kind, at: u64) -> Vec<(&'static str, Fault)> {
    match kind {
        Kind::Refused => unreachable!("no answer is needed for that"),
        Kind::Unauthorized => vec![("401", status(401))],
        Kind::Missing => vec![("404", status(404))],
        Kind::TooMany => vec![("429", status(429))],
        Kind::Broken => vec![("500", status(500))],
        Kind::Reset => vec![("reset", Fault::ResetAfter(at))],
        Kind::Truncated => vec![("cut", Fault::TruncateAfter(at))],
        Kind::WrongDigest => vec![("corrupt", Fault::CorruptAt(at))],
        Kind::Stall => vec![("stall", Fault::StallAfter(at)), ("silence", Fault::NoAnswer)],
    }
}

/// What an upload suffers: its body, as the registry gets it, or the registry's answer.
fn uploads(kind: Kind, path: &str, at: u64) -> Vec<Attack> {
    let body = Rule::new("PUT", path);
    let any = Rule::new(if path == "/manifests/" { "PUT" } else { "" }, path);
    let faults = match kind {
        Kind::Refused | Kind::Unauthorized | Kind::Missing | Kind::TooMany | Kind::Broken => {
            answers(kind, 0)
                .into_iter()
                .map(|(name, fault)| (name, any.clone().fault(fault)))
                .collect()
        }
        Kind::Reset => vec![
            ("body reset", body.clone().fault(Fault::ResetUploadAfter(at))),
            ("answer reset", any.fault(Fault::ResetHead)),
        ],
        Kind::Truncated => vec![
            ("body cut", body.fault(Fault::TruncateUploadAfter(at))),
            ("answer cut", any.fault(Fault::CutHead)),
        ],
        Kind::WrongDigest => vec![
            ("body corrupt", body.clone().fault(Fault::CorruptUploadAt(at))),
            ("answer of another digest", body.fault(Fault::ClaimOtherDigest)),
        ],
        Kind::Stall => vec![
            ("body stall", body.fault(Fault::StallUploadAfter(at))),
            ("silence", any.fault(Fault::NoAnswer)),
        ],
    };
    let attack = |(name, rule): (&str, Rule)| Attack { name: name.to_owned(), rule: Some(rule) };
    faults.into_iter().map(attack).collect()
}

fn status(code: u16) -> Fault {
    let headers = match code {
        429 => vec![("Retry-After".to_owned(), "60".to_owned())],
        _ => Vec::new(),
    };
    Fault::Status(code, headers, String::new())
}
