//! Whether the daemon keeps a record of the build.
use clap::Args;

/// The flags of the daemon's build history.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Have the daemon keep a record of the build, for `docker buildx history` and Docker Desktop's Builds view; the
    /// private engine never keeps one. The default where `KITWRIGHT_HISTORY` is `true`
    #[arg(long, overrides_with = "no_history")]
    history: bool,
    /// Have the daemon keep no record of the build
    #[arg(long, overrides_with = "history")]
    no_history: bool,
    // A flag with a variable of its own would be in conflict with its opposite.
    #[arg(long, env = "KITWRIGHT_HISTORY", hide = true)]
    history_by_default: bool,
}

impl HistoryArgs {
    /// Whether a record is asked for.
    ///
    /// The daemon writes and syncs one before a build may begin and again before it may end.
    pub(super) const fn keeps_record(&self) -> bool {
        (self.history || self.history_by_default) && !self.no_history
    }
}
