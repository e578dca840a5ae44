//! The phases of a build that are told apart, and which vertex belongs to which.

/// The phase in which the image is exported.
pub const IMAGE_EXPORT: &str = "image export";

/// The phase in which an engine is started, by the client or for it.
pub const BOOT: &str = "boot";

/// The names of all phases, in their usual order.
pub const PHASES: [&str; 11] = [
    Phase::Boot.name(),
    Phase::Plan.name(),
    Phase::Probe.name(),
    Phase::Submit.name(),
    Phase::Import.name(),
    Phase::Context.name(),
    Phase::Steps.name(),
    Phase::ImageExport.name(),
    Phase::CacheExport.name(),
    Phase::LookUp.name(),
    Phase::End.name(),
];

/// A part of a build that is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Boot,
    Plan,
    Probe,
    Submit,
    Import,
    Context,
    Steps,
    ImageExport,
    CacheExport,
    LookUp,
    End,
}

impl Phase {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Boot => BOOT,
            Self::Plan => "plan",
            Self::Probe => "probe",
            Self::Submit => "submit",
            Self::Import => "import",
            Self::Context => "context",
            Self::Steps => "steps",
            Self::ImageExport => IMAGE_EXPORT,
            Self::CacheExport => "cache export",
            Self::LookUp => "look-up",
            Self::End => "end",
        }
    }

    /// The phase of a vertex of this name.
    pub(super) fn of(name: &str) -> Self {
        let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        if begins(&["importing cache"]) {
            Self::Import
        } else if begins(&[
            "exporting cache",
            "exporting to GitHub Actions Cache",
            "preparing build cache",
        ]) {
            Self::CacheExport
        } else if begins(&[
            "exporting",
            "pushing",
            "sending tarball",
            "copying files",
            "importing to",
        ]) {
            Self::ImageExport
        } else if begins(&["[internal] load build context", "[context "])
            || name.ends_with("load from client")
        {
            Self::Context
        } else if begins(&["[internal]", "resolve image config"]) {
            Self::Plan
        } else {
            Self::Steps
        }
    }
}
