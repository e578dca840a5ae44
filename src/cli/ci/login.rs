//! `kitwright ci login`: gives the job's steps a registry's credentials.
use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use crate::ci::login::{LoginError, login};
use crate::cli::report::Failure;

/// Where the password comes from.
const PASSWORD: &str = "KITWRIGHT_REGISTRY_PASSWORD";
/// Where the user's name comes from.
const USERNAME: &str = "KITWRIGHT_REGISTRY_USERNAME";

/// Store a registry's credentials in Docker's configuration
///
/// Reads `KITWRIGHT_REGISTRY_USERNAME` and `KITWRIGHT_REGISTRY_PASSWORD`.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// The registry's host [default: the CI image's]
    registry: Option<String>,
    #[command(flatten)]
    context: Context,
}

impl Login {
    pub(super) fn run(self) -> Result<(), Failure> {
        let get = |name: &'static str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.ok_or(LoginError::Missing(name))
        };
        let (user, password) = (get(USERNAME)?, get(PASSWORD)?);
        let dir = match std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => PathBuf::from(get("HOME")?).join(".docker"),
        };
        let registry = match self.registry {
            Some(registry) => registry,
            None => {
                let job = self.context.job()?;
                let repository = job.environment.repository().unwrap_or_default();
                let image = job.settings.image_repository(repository)?;
                image.registry().to_owned()
            }
        };
        login(&dir, &registry, &user, &password)?;
        eprintln!("kitwright: credentials of `{user}` for `{registry}` are stored");
        Ok(())
    }
}
