//! The state in which samples are taken: engines, the registry, and what was built before.
use std::path::{Path, PathBuf};

use super::{Place, RunError, Runner};
use crate::bench::actions::Actions;
use crate::bench::broken::Broken;
use crate::bench::client::{Client, OWN};
use crate::bench::lab::{self, Lab, LabError, Registry};
use crate::bench::packages::Proxy;
use crate::bench::sample::Traffic;
use crate::bench::scenario::{Empty, Engine, Scenario, Storage};
use crate::bench::work::Work;
use crate::engine::asks::Asks;
use crate::engine::state::StateError;
use crate::oci::secret::Secret;

impl Runner<'_> {
    pub(super) fn folder(&self, name: impl AsRef<Path>) -> Result<PathBuf, RunError> {
        let path = self.plan.folder.join(name);
        fs_err::create_dir_all(&path).map_err(StateError::io("make", &path))?;
        Ok(path)
    }

    /// A new engine and its number.
    pub(super) async fn start_lab(
        &mut self,
        max_parallelism: Option<u32>,
        storage: Storage,
    ) -> Result<(usize, Lab), RunError> {
        self.labs += 1;
        let name = format!("engine-{}", self.labs);
        let folder = match storage {
            Storage::Disk => self.folder(name)?,
            Storage::Memory => lab::in_memory(&self.plan.memory)?.join(name),
        };
        let asks = Asks { max_parallelism, ..self.plan.asks.clone() };
        Ok((self.labs, Lab::start(folder, &self.plan.programs, asks).await?))
    }

    /// The engine that scenarios share; another one is ended first.
    pub(super) async fn shared(
        &mut self,
        parallelism: Option<u32>,
    ) -> Result<(usize, &Lab), RunError> {
        if self.shared.as_ref().is_some_and(|(known, ..)| *known != parallelism)
            && let Some((_, _, lab)) = self.shared.take()
        {
            lab.end().await?;
            self.warmed.clear();
        }
        if self.shared.is_none() {
            let (number, lab) = self.start_lab(parallelism, Storage::Disk).await?;
            self.shared = Some((parallelism, number, lab));
        }
        match &self.shared {
            Some((_, number, lab)) => Ok((*number, lab)),
            None => Err(LabError::NoRegistry.into()),
        }
    }

    pub(super) async fn registry(&mut self) -> Result<&Registry, RunError> {
        let registry = match self.registry.take() {
            Some(registry) => registry,
            None => {
                let folder = self.folder("registry")?;
                Registry::start(self.plan.registry.as_deref(), &folder).await?
            }
        };
        Ok(self.registry.insert(registry))
    }

    /// The variables with which clients find GitHub's cache service.
    pub(super) async fn service(&mut self) -> Result<Vec<(String, Secret)>, RunError> {
        let Some(service) = &self.plan.service else { return Ok(Vec::new()) };
        let actions = match self.actions.take() {
            Some(actions) => actions,
            None => Actions::start(service).await.map_err(LabError::Forward)?,
        };
        Ok(self.actions.insert(actions).variables.clone())
    }

    /// What package servers have sent so far, where the scenario wants to know.
    pub(super) fn packages(&self, scenario: &Scenario) -> Option<u64> {
        self.packages.as_ref().filter(|_| scenario.count_packages).map(Proxy::received)
    }

    /// The proxy before package servers.
    pub(super) async fn proxy(&mut self) -> Result<&Proxy, RunError> {
        let proxy = match self.packages.take() {
            Some(proxy) => proxy,
            None => Proxy::start().await.map_err(LabError::Port)?,
        };
        Ok(self.packages.insert(proxy))
    }

    /// Registries that do not work.
    pub(super) async fn broken(&mut self) -> Result<&Broken, RunError> {
        let broken = match self.broken.take() {
            Some(broken) => broken,
            None => Broken::start().await.map_err(LabError::Port)?,
        };
        Ok(self.broken.insert(broken))
    }

    /// What has passed between engines and registry or cache service so far.
    pub(super) fn traffic(&self) -> Option<Traffic> {
        let registry = self.registry.as_ref().map(Registry::traffic);
        let actions = self.actions.as_ref().and_then(Actions::traffic);
        (registry.is_some() || actions.is_some()).then(|| registry.into_iter().chain(actions).sum())
    }

    /// The number of the work's repository.
    pub(super) fn repository(&mut self, work: &Work) -> usize {
        let found = self.works.iter().position(|known| known == work);
        found.unwrap_or_else(|| {
            self.works.push(work.clone());
            self.works.len() - 1
        })
    }

    /// Chooses or starts the engine.
    pub(super) async fn place(
        &mut self,
        scenario: &Scenario,
        client: &Client,
    ) -> Result<Place, RunError> {
        let needs_none = scenario.reuse && client.name == OWN;
        match scenario.engine {
            Engine::Own => Ok(Place { address: None, engine: 0, lab: None }),
            Engine::New if needs_none => Ok(Place { address: None, engine: 0, lab: None }),
            Engine::New => {
                let Scenario { max_parallelism, engine_state, .. } = scenario;
                let (engine, lab) = self.start_lab(*max_parallelism, *engine_state).await?;
                Ok(Place { address: Some(lab.address().to_owned()), engine, lab: Some(lab) })
            }
            Engine::Same => {
                let (engine, lab) = self.shared(scenario.max_parallelism).await?;
                Ok(Place { address: Some(lab.address().to_owned()), engine, lab: None })
            }
        }
    }

    /// Removes from the engine what the scenario says.
    pub(super) async fn empty(&self, scenario: &Scenario, place: &Place) -> Result<(), RunError> {
        let shared = self.shared.as_ref().map(|(_, _, lab)| lab);
        let Some(lab) = place.lab.as_ref().or(shared) else { return Ok(()) };
        match scenario.empty {
            None => Ok(()),
            Some(Empty::All) => {
                lab.prune(&[]).await?;
                // What that and the last sample left to write is not for the next one to wait for; if the
                // task cannot be joined, it just waits.
                let _ = tokio::task::spawn_blocking(rustix::fs::sync).await;
                Ok(())
            }
            Some(Empty::Mounts) => Ok(lab.prune(&["type==exec.cachemount"]).await?),
        }
    }
}
