//! The state in which samples are taken: engines, the registry, and what was built before.
use std::path::{Path, PathBuf};

use super::{Place, RunError, Runner, empty_task};
use crate::bench::client::{Client, OWN, Task};
use crate::bench::lab::{Lab, LabError, Registry};
use crate::bench::scenario::{Empty, Engine, Scenario};
use crate::bench::work::Work;
use crate::engine::asks::Asks;
use crate::engine::state::StateError;

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
    ) -> Result<(usize, Lab), RunError> {
        self.labs += 1;
        let folder = self.folder(format!("engine-{}", self.labs))?;
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
            let (number, lab) = self.start_lab(parallelism).await?;
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

    /// The number of the work's repository.
    pub(super) fn repository(&mut self, work: &Work) -> usize {
        let found = self.works.iter().position(|known| known == work);
        found.unwrap_or_else(|| {
            self.works.push(work.clone());
            self.works.len() - 1
        })
    }

    /// Fills in the references that the scenario wants.
    pub(super) async fn refer(
        &mut self,
        task: &mut Task<'_>,
        scenario: &Scenario,
        repository: usize,
        number: usize,
    ) -> Result<(), RunError> {
        if !(scenario.push || scenario.cache_to || scenario.cache_from) {
            return Ok(());
        }
        let host = self.registry().await?.host();
        let shared = scenario.needs_registry_state();
        let repository = match shared {
            true => format!("{host}/bench/work-{repository}"),
            // Nothing of it has ever been pushed.
            false => format!("{host}/bench/sample-{number}"),
        };
        // What changed must not be found by the next sample.
        let suffix = match scenario.change {
            Some(_) => format!("-{number}"),
            None => String::new(),
        };
        task.push = scenario.push.then(|| format!("{repository}:image{suffix}"));
        task.cache_to = scenario.cache_to.then(|| format!("{repository}:cache{suffix}"));
        task.cache_from = scenario.cache_from.then(|| format!("{repository}:cache"));
        Ok(())
    }

    /// Puts the image and the cache of the unchanged work into the registry, as the build before.
    pub(super) async fn prime(&mut self, work: &Work, reuse: bool) -> Result<(), RunError> {
        let repository = self.repository(work);
        if !self.primed.insert((repository, reuse)) {
            return Ok(());
        }
        let (engine, lab) = self.shared(None).await?;
        let address = lab.address().to_owned();
        let earlier = Scenario {
            name: "the build before".into(),
            push: true,
            cache_to: true,
            cache_from: true,
            ..Scenario::default()
        };
        let mut task = empty_task(work, Some(&address));
        self.refer(&mut task, &earlier, repository, 0).await?;
        task.cache_from = None;
        task.reuse = reuse;
        let own = Client::own(self.plan.program.clone());
        let invocation = self.invocation(&own, &task, engine)?;
        (self.told)("preparing the image and the cache of the build before");
        self.call(&earlier.name, &own, &invocation, "before").await.map(drop)
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
                let (engine, lab) = self.start_lab(scenario.max_parallelism).await?;
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
            Some(Empty::All) => Ok(lab.prune(&[]).await?),
            Some(Empty::Mounts) => Ok(lab.prune(&["type==exec.cachemount"]).await?),
        }
    }
}
