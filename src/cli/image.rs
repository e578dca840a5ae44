//! `kitwright image`: images at registries and in the local image store.
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use super::report::{Failure, StdoutError};
use crate::engine::state::StateDir;
use crate::oci::platform::{Platform, PlatformError};
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::oci::registry::{Client, Options};
use crate::oci::store::Store;

mod inspect;
mod list;
mod local;
mod promote;
mod pull;

/// Inspect, pull, promote and list images
#[derive(Debug, Args)]
pub(super) struct Image {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::Inspect),
    Pull(pull::Pull),
    Promote(promote::Promote),
    #[command(visible_alias = "ls")]
    List(list::List),
    Push(local::Push),
    Import(local::Import),
    Export(local::Export),
    #[command(visible_alias = "rm")]
    Remove(local::Remove),
    Prune(local::Prune),
}

impl Image {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Inspect(command) => command.run(),
            Command::Pull(command) => command.run(),
            Command::Promote(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Push(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Remove(command) => command.run(),
            Command::Prune(command) => command.run(),
        }
    }
}

/// How registries are reached.
#[derive(Debug, Args)]
struct RegistryArgs {
    /// Read from a mirror first, written `HOST=MIRROR`; HOST may be `*`, MIRROR may begin with
    /// `http://`
    #[arg(long, value_name = "HOST=MIRROR")]
    registry_mirror: Vec<String>,
}

impl RegistryArgs {
    fn client(&self) -> Result<Client, Failure> {
        let mut options = Options::from_env();
        for mirror in &self.registry_mirror {
            options.add_mirror(mirror)?;
        }
        Ok(Client::new(options))
    }
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// Opens the local image store.
pub(super) fn local_store() -> Result<Store, Failure> {
    let state = StateDir::from_env(|name| std::env::var_os(name))?;
    Ok(Store::open(&state.root().join("images"))?)
}

fn reference(text: &str) -> Result<ImageReference, ReferenceError> {
    ImageReference::parse(text).map(ImageReference::tag_name_only)
}

fn platform(text: &str) -> Result<Platform, PlatformError> {
    Platform::from_str(text)
}

/// Writes data to stdout.
fn stdout(bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|source| StdoutError { source }.into())
}

/// Writes a document to stdout.
fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| StdoutError { source: std::io::Error::other(error) })?;
    text.push(b'\n');
    stdout(&text)
}
