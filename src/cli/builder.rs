//! The BuildKit daemon that a command works with: the one it was told, or a private one.
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::args::EngineArgs;
use super::report::Failure;
use crate::engine::address::Address;
use crate::engine::asks::{Asks, MirrorRule};
use crate::engine::client::Client;
use crate::engine::connect::{Proof, connect_private, reach};
use crate::engine::failure::SolveError;
use crate::engine::host_ca;
use crate::engine::private::{self, Lease, PrivateError};
use crate::engine::state::StateDir;
use crate::fault::{Classified, Fault};

/// A connected daemon.
pub(super) struct Builder {
    /// The connection.
    pub client: Client,
    /// Whether it is a daemon, if that is not known.
    proof: Option<Proof>,
    /// The right to use the private engine, if it is that.
    lease: Option<Lease>,
    /// When it was first asked for, and when it was there.
    pub booted: (Timestamp, Timestamp),
}

/// What a daemon cannot be asked for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum BuilderError {
    #[error("`--host-ca` needs the private engine, but the builder is `{0}`")]
    #[diagnostic(help("leave `--builder` and `BUILDKIT_HOST` out"))]
    HostCa(String),
    #[error("`--host-ca`: this machine has no bundle of CA certificates")]
    #[diagnostic(help("install `ca-certificates`, or name the bundle in `SSL_CERT_FILE`"))]
    NoBundle,
    #[error("the private engine was not brought up")]
    Task { source: tokio::task::JoinError },
}

impl Classified for BuilderError {
    fn fault(&self) -> Fault {
        match self {
            Self::HostCa(_) => Fault::Usage,
            Self::NoBundle => Fault::Environment,
            Self::Task { .. } => Fault::Internal,
        }
    }
}

/// A daemon that is being reached while the command does other things.
pub(super) struct Starting(JoinHandle<Result<Builder, Failure>>);

impl Starting {
    /// Waits for the daemon.
    ///
    /// # Errors
    ///
    /// Why it cannot be reached or started.
    pub(super) async fn ready(self) -> Result<Builder, Failure> {
        self.reached().await?.proven().await
    }

    /// Waits until something is there to work with, which a failed build is to ask [`Builder::why`].
    ///
    /// # Errors
    ///
    /// Why nothing can be reached or started.
    pub(super) async fn reached(self) -> Result<Builder, Failure> {
        self.0.await.map_err(|source| BuilderError::Task { source })?
    }

    /// Gives the daemon up before it is ready; a private one that nobody uses stops by itself.
    pub(super) fn abandon(self) {
        self.0.abort();
    }
}

/// Begins to reach the daemon: checks the flags at once, then connects or boots in the background.
///
/// # Errors
///
/// Flags that are wrong.
pub(super) fn start(args: &EngineArgs, mirrors: &[String]) -> Result<Starting, Failure> {
    let began = Timestamp::now();
    let named = args.builder.as_deref().filter(|builder| !builder.is_empty());
    if let Some(builder) = named {
        if args.host_ca {
            return Err(BuilderError::HostCa(builder.to_owned()).into());
        }
        let address: Address = builder.parse()?;
        return Ok(Starting(tokio::spawn(async move {
            let (client, proof) = reach(&address).await?;
            Ok(Builder {
                client,
                proof: Some(proof),
                lease: None,
                booted: (began, Timestamp::now()),
            })
        })));
    }
    let mut options = private::Options::new(StateDir::from_env(|name| std::env::var_os(name))?);
    options.asks = asks(args, mirrors)?;
    options.notice = |line| eprintln!("{line}");
    Ok(Starting(tokio::spawn(async move {
        let lease = private::acquire(options).await?;
        let address: Address = lease.address().parse()?;
        Ok(Builder {
            client: connect_private(&address).await?,
            proof: None,
            lease: Some(lease),
            booted: (began, Timestamp::now()),
        })
    })))
}

fn asks(args: &EngineArgs, mirrors: &[String]) -> Result<Asks, Failure> {
    let mut asks = Asks::default();
    if args.host_ca {
        asks.host_ca = Some(host_ca::bundle().ok_or(BuilderError::NoBundle)?);
    }
    let mut rules: Vec<MirrorRule> = Vec::new();
    for mirror in mirrors {
        rules.push(mirror.parse()?);
    }
    asks.add_mirrors(&rules, []);
    Ok(asks)
}

impl Builder {
    /// Whether it is the private engine.
    pub(super) const fn is_private(&self) -> bool {
        self.lease.is_some()
    }

    /// Waits for the private engine's death, for good if it is not one.
    pub(super) async fn lost(&mut self) -> PrivateError {
        match &mut self.lease {
            Some(lease) => lease.lost().await,
            None => std::future::pending().await,
        }
    }

    /// Why a private engine is gone, after its connection broke; `None` if it is not.
    async fn cause_of_death(&mut self) -> Option<PrivateError> {
        tokio::time::timeout(Duration::from_secs(1), self.lost()).await.ok()
    }

    /// Waits for the proof that it is a daemon.
    ///
    /// # Errors
    ///
    /// That it is none.
    pub(super) async fn proven(mut self) -> Result<Self, Failure> {
        match &mut self.proof {
            Some(proof) => proof.refuted().await.map_or(Ok(self), |error| Err(error.into())),
            None => Ok(self),
        }
    }

    /// What lies behind the failure of a build: something else than a daemon, a private engine's death.
    pub(super) async fn why(&mut self, error: &SolveError) -> Option<Failure> {
        if matches!(error, SolveError::Cancelled) {
            return None;
        }
        if let Some(proof) = &mut self.proof
            && let Some(refuted) = proof.refuted().await
        {
            return Some(refuted.into());
        }
        match error {
            // Its supervisor knows better why the connection broke.
            SolveError::Lost { .. } => Some(self.cause_of_death().await?.into()),
            _ => None,
        }
    }

    /// Gives a private engine back and waits for its end, so that the next one is another.
    pub(super) async fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release().await;
        }
    }

    /// Ends the use of the daemon; waits for a private one to stop if nobody else uses it.
    pub(super) async fn release(self) {
        drop(self.client);
        if let Some(lease) = self.lease {
            lease.release().await;
        }
    }
}
