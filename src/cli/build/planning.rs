//! What a build is to solve: graphs of our own, or what a frontend of the engine makes.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::again::Again;
use super::{Job, check};
use crate::cli::compilation::{self, ENGINE_FRONTEND, Frontend};
use crate::cli::locking;
use crate::cli::report::Failure;
use crate::plan::dockerfile::{CompileOptions, Compiled};

/// What the engine is to solve.
pub(super) enum Plan {
    /// Our own definitions, and what they were compiled with.
    Native(Arc<Compiled>, Box<CompileOptions>),
    /// A frontend that the engine runs, by its name.
    Frontend(String, BTreeMap<String, String>),
}

impl Job<'_> {
    /// Compiles the Dockerfile, or leaves that to a frontend of the engine.
    pub(super) async fn plan(&self, session: &str, again: &mut Again) -> Result<Plan, Failure> {
        let (frontend, note) = Frontend::choose(&self.args.frontend, &self.source);
        if let Some(note) = note {
            self.display.note(note).await;
        }
        match frontend {
            Frontend::Native => {}
            Frontend::Engine(name) => return Ok(self.engine_frontend(&name)),
            Frontend::Image(image) => {
                let mut options = self.frontend_options(&image);
                options.insert("source".into(), image);
                return Ok(Plan::Frontend("gateway.v0".into(), options));
            }
        }
        let dockerfile = compilation::parse_source(&self.source)?;
        let mut options = compilation::options(&self.source, session)?;
        options.local_sessions = again.sessions(&self.source);
        let arguments = &self.args.source;
        let mut images = locking::images(arguments, &self.source, arguments.locked)?;
        let compiled = compilation::compile_source(&dockerfile, &options, &mut images).await;
        let compiled = match compiled {
            Err(error)
                if !arguments.locked
                    && let Some(what) = error.unsupported() =>
            {
                let note =
                    format!("{what} is not built in: the engine's `{ENGINE_FRONTEND}` compiles");
                self.display.note(note).await;
                return Ok(self.engine_frontend(ENGINE_FRONTEND));
            }
            ended => ended?,
        };
        let compiled = match again.holds(&compiled, &self.source).await {
            true => compiled,
            false => {
                options.local_sessions.clear();
                compilation::compile_source(&dockerfile, &options, &mut images).await?
            }
        };
        self.display.notes(check::summary(&compiled.warnings)).await;
        let notes = self.actions.map(|actions| actions.warnings(&compiled.warnings));
        self.display.notes(notes.unwrap_or_default()).await;
        Ok(Plan::Native(Arc::new(compiled), Box::new(options)))
    }

    fn engine_frontend(&self, name: &str) -> Plan {
        Plan::Frontend(name.to_owned(), self.frontend_options(name))
    }

    /// Options for a frontend of the engine; `name` is given for a command line, without which it
    /// would look for a `# syntax=` itself.
    fn frontend_options(&self, name: &str) -> BTreeMap<String, String> {
        let mut options = self.source.options.clone();
        options.extend(self.request.attestations.clone());
        options.insert("cmdline".into(), name.to_owned());
        options
    }
}
