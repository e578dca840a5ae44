//! Puts the session of a build together: everything that the engine may ask the client for.
use super::Build;
use crate::cli::source::Source;
use crate::engine::session::SessionBuilder;

impl Build {
    /// The session's services: contexts, secrets, agents, credentials.
    pub(super) fn session(&self, session: SessionBuilder, source: &Source) -> SessionBuilder {
        let mut session = session.shared_key(source.shared_key.clone());
        for (name, path) in &source.directories {
            session = session.directory(name, path);
        }
        session
    }
}
