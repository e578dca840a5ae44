//! What was built before a sample: images, caches and cache mounts in the registry, and the names
//! that clients are told of them.
use std::collections::BTreeSet;

use super::{RunError, Runner};
use crate::bench::client::{Client, Task};
use crate::bench::refs::{BUILDCACHE, GITHUB, Refs, is_broken};
use crate::bench::scenario::{Scenario, Storage};
use crate::bench::work::Work;

/// What scenarios want to find of one work.
#[derive(Debug, Default)]
struct Wanted {
    /// Caches, by name.
    caches: BTreeSet<String>,
    mounts: bool,
    reuse: bool,
}

impl Runner<'_> {
    /// Fills in the references that the scenario wants.
    pub(super) async fn refer(
        &mut self,
        task: &mut Task<'_>,
        scenario: &Scenario,
        repository: usize,
        number: usize,
    ) -> Result<(), RunError> {
        let nothing = scenario.cache_to.is_empty() && !scenario.needs_registry_state();
        if nothing && !scenario.push {
            return Ok(());
        }
        let mut refs = self.refs(repository).await?;
        task.cache_mounts = scenario.cache_mounts.then(|| refs.mounts());
        if scenario.cache_from.is_empty() && !scenario.reuse {
            // Nothing of it has ever been pushed.
            let host = self.registry().await?.host();
            refs.repository = format!("{host}/bench/sample-{number}");
        }
        if scenario.change.is_some() {
            // What changed must not be found by the next sample.
            refs.suffix = format!("-{number}");
        }
        if scenario.cache_from.names().any(is_broken) {
            let broken = self.broken().await?;
            (refs.dead, refs.silent) = (broken.dead(), broken.silent());
        }
        task.push = scenario.push.then(|| refs.image("image"));
        task.cache_from = scenario.cache_from.names().map(|name| refs.import(name)).collect();
        task.cache_to = scenario.cache_to.names().map(|name| refs.export(name)).collect();
        Ok(())
    }

    async fn refs(&mut self, repository: usize) -> Result<Refs, RunError> {
        let host = self.registry().await?.host();
        Ok(Refs { repository: format!("{host}/bench/work-{repository}"), ..Refs::default() })
    }

    /// Puts what scenarios want of the unchanged work into the registry, as the build before.
    ///
    /// Once for all of them. The first build has an engine on which nothing was built where cache
    /// mounts are kept: only what a step has written is saved.
    pub(super) async fn prime(&mut self, work: &Work) -> Result<(), RunError> {
        let repository = self.repository(work);
        if !self.primed.insert(repository) {
            return Ok(());
        }
        let wanted = self.wanted(work)?;
        let refs = self.refs(repository).await?;
        let service = match wanted.caches.contains(GITHUB) {
            true => self.service().await?,
            false => Vec::new(),
        };
        let (engine, own) = match wanted.mounts {
            true => self
                .start_lab(None, Storage::Disk)
                .await
                .map(|(number, lab)| (number, Some(lab)))?,
            false => (self.shared(None).await?.0, None),
        };
        let shared = self.shared.as_ref().map(|(_, _, lab)| lab);
        let address = own.as_ref().or(shared).map(|lab| lab.address().to_owned());
        let mut task = Task::new(work, address.as_deref());
        task.service = &service;
        task.compression = self.plan.compression;
        task.reuse = wanted.reuse;
        task.push = Some(refs.image("image"));
        task.cache_mounts = wanted.mounts.then(|| refs.mounts());
        let is_whole = |name: &&String| [BUILDCACHE, GITHUB].contains(&name.as_str());
        task.cache_to =
            wanted.caches.iter().filter(is_whole).map(|name| refs.export(name)).collect();
        (self.told)("preparing the image and the caches of the build before");
        self.build_before(&task, engine).await?;
        task.cache_mounts = None;
        task.reuse = false;
        for tag in wanted.caches.iter().filter(|name| !is_whole(name)) {
            task.push = Some(refs.image(tag));
            task.cache_to = vec![refs.export(tag)];
            self.build_before(&task, engine).await?;
        }
        match own {
            Some(lab) => Ok(lab.end().await?),
            None => Ok(()),
        }
    }

    async fn build_before(&self, task: &Task<'_>, engine: usize) -> Result<(), RunError> {
        let own = Client::own(self.plan.program.clone());
        let invocation = self.invocation(&own, task, engine)?;
        self.call("the build before", &own, &invocation, "before").await.map(drop)
    }

    /// What all scenarios together want to find of `work`.
    fn wanted(&self, work: &Work) -> Result<Wanted, RunError> {
        let mut wanted = Wanted::default();
        for scenario in &self.plan.scenarios {
            let unknown = scenario.cache_from.has_github() && self.plan.service.is_none();
            if unknown || !scenario.needs_registry_state() || self.work(scenario)? != *work {
                continue;
            }
            let there = scenario.cache_from.names().filter(|name| !is_broken(name));
            wanted.caches.extend(there.map(str::to_owned));
            wanted.mounts |= scenario.cache_mounts;
            wanted.reuse |= scenario.reuse;
        }
        Ok(wanted)
    }
}
