//! What clients are told for a sample, and their builds before the first one.
use super::{Place, RunError, Runner};
use crate::bench::client::{Client, Invocation, Kind, Task};
use crate::bench::scenario::{Empty, Engine, Scenario};
use crate::bench::work::Work;

impl Runner<'_> {
    /// Has every client build on the engine that its samples find, each once.
    ///
    /// All of them before the first sample: an engine that has done a build twice does it more quickly the
    /// third time than the second, so whoever is measured first would be at a disadvantage.
    pub(super) async fn warm(
        &mut self,
        scenario: &Scenario,
        work: &Work,
        place: &Place,
        number: usize,
    ) -> Result<(), RunError> {
        if scenario.engine == Engine::New || scenario.empty == Some(Empty::All) {
            return Ok(());
        }
        let plan = self.plan;
        for client in plan.clients.iter().filter(|client| takes_part(scenario, client)) {
            if self.warmed.insert((scenario.name.clone(), client.name.clone()))
                && let Some(invocation) =
                    self.command(scenario, client, work, place, number).await?
            {
                self.call(&scenario.name, client, &invocation, "warm").await?;
            }
        }
        Ok(())
    }

    /// What `client` runs to build `work`; none when it cannot.
    pub(super) async fn command(
        &mut self,
        scenario: &Scenario,
        client: &Client,
        work: &Work,
        place: &Place,
        number: usize,
    ) -> Result<Option<Invocation>, RunError> {
        let repository = self.repository(&self.work(scenario)?);
        let flags = scenario.flags.get(&client.name).cloned().unwrap_or_default();
        let mut task = Task::new(work, place.address.as_deref());
        task.flags = &flags;
        task.compression = self.plan.compression;
        task.reuse = scenario.reuse;
        task.export =
            scenario.export.then(|| self.plan.folder.join(format!("{}.tar", client.name)));
        let service = match scenario.has_github() {
            true => self.service().await?,
            false => Vec::new(),
        };
        task.service = &service;
        if scenario.count_packages {
            task.proxies = self.proxy().await?.arguments().into();
        }
        self.refer(&mut task, scenario, repository, number).await?;
        match scenario.engine {
            Engine::Own => self.with_own_engine(client, &task),
            Engine::Same | Engine::New => Ok(Some(self.invocation(client, &task, place.engine)?)),
        }
    }
}

/// Whether samples of a client are taken, as far as the scenario tells.
pub(super) fn takes_part(scenario: &Scenario, client: &Client) -> bool {
    // buildctl would want the token of GitHub's service on its command line.
    let is_told = !(scenario.has_github() && client.kind == Kind::Buildctl);
    is_told && scenario.includes(&client.name)
}
