//! Takes the samples: client after client, round after round, each in the state that its scenario
//! wants.
//!
//! The clients of a round run right after each other (A B A B), so that what slows the machine down
//! for a while slows all of them.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::actions::{Actions, Service};
use super::broken::Broken;
use super::client::{Client, Invocation, OWN, Task};
use super::journal::{Journal, JournalError};
use super::lab::{Lab, LabError, Registry};
use super::machine;
use super::measure::{Cost, MeasureError, last_words, measure};
use super::packages::Proxy;
use super::sample::{Contender, Sample, Steps};
use super::scenario::{INCREMENTAL, Scenario};
use super::trace;
use super::work::{Work, WorkError};
use crate::engine::asks::Asks;
use crate::engine::programs::Programs;
use crate::engine::state::{StateDir, StateError};
use crate::fault::{Classified, Fault};
use crate::oci::compression::Compression;
use crate::plan::pattern::Patterns;

mod prime;
mod scenarios;
mod state;
mod warm;

use warm::takes_part;

/// What is measured.
#[derive(Debug)]
pub struct Plan {
    /// The project's build.
    pub work: Work,
    /// What its context leaves out.
    pub ignored: Patterns,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// The stages that `incremental` changes; all when empty.
    pub stages: Vec<String>,
    /// The clients, in the order of each round.
    pub clients: Vec<Client>,
    /// Rounds of scenarios that do not say.
    pub rounds: u32,
    /// How layers are compressed, if clients are told.
    pub compression: Option<Compression>,
    /// What the engines must have.
    pub asks: Asks,
    /// The engine's programs.
    pub programs: Programs,
    /// GitHub's cache service, if there is one.
    pub service: Option<Service>,
    /// The registry's program, if not `docker-registry` from `PATH`.
    pub registry: Option<PathBuf>,
    /// Where engines, registry and generated contexts lie; removed in the end by whoever made it.
    pub folder: PathBuf,
    /// The same in memory, for engines whose state a scenario wants there.
    pub memory: PathBuf,
    /// This program, which launches the clients.
    pub program: PathBuf,
}

/// Why samples could not be taken.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RunError {
    /// An engine or the registry failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lab(#[from] LabError),
    /// A client could not be started.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Measure(#[from] MeasureError),
    /// The work could not be prepared.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Work(#[from] WorkError),
    /// A sample could not be kept.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// A folder could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// A client failed to do what it was asked.
    #[error("`{scenario}` of {client} ended with exit code {exit}:\n{tail}")]
    #[diagnostic(help("its command was: {command}"))]
    Failed {
        /// The scenario.
        scenario: String,
        /// The client.
        client: String,
        /// The exit code.
        exit: u8,
        /// The end of its output.
        tail: String,
        /// Its command line.
        command: String,
    },
    /// The measuring task ended without a result.
    #[error("the measuring task ended without a result")]
    Task {
        /// Why.
        source: tokio::task::JoinError,
    },
}

impl Classified for RunError {
    fn fault(&self) -> Fault {
        match self {
            Self::Lab(error) => error.fault(),
            Self::Measure(error) => error.fault(),
            Self::Work(error) => error.fault(),
            Self::Journal(error) => error.fault(),
            Self::State(error) => error.fault(),
            Self::Failed { .. } => Fault::Build,
            Self::Task { .. } => Fault::Internal,
        }
    }
}

/// Takes every sample of `plan` that `journal` lacks; `told` hears a line about each.
///
/// # Errors
///
/// What failed first; the samples so far are kept.
pub async fn run(
    plan: &Plan,
    journal: &mut Journal,
    told: &(dyn Fn(&str) + Sync),
) -> Result<(), RunError> {
    let mut runner = Runner {
        plan,
        told,
        registry: None,
        actions: None,
        broken: None,
        packages: None,
        shared: None,
        labs: 0,
        works: Vec::new(),
        primed: BTreeSet::new(),
        warmed: BTreeSet::new(),
    };
    let result = runner.scenarios(journal).await;
    let ended = match runner.shared.take() {
        Some((_, _, lab)) => lab.end().await,
        None => Ok(()),
    };
    result?;
    Ok(ended?)
}

struct Runner<'a> {
    plan: &'a Plan,
    told: &'a (dyn Fn(&str) + Sync),
    registry: Option<Registry>,
    actions: Option<Actions>,
    broken: Option<Broken>,
    packages: Option<Proxy>,
    /// The engine that scenarios share, its parallelism and its number.
    shared: Option<(Option<u32>, usize, Lab)>,
    /// How many engines have been started.
    labs: usize,
    /// What has been built, each with a repository of its own.
    works: Vec<Work>,
    /// Works whose images and caches are where the scenarios find them.
    primed: BTreeSet<usize>,
    /// Scenarios that a client has gone through once on the engine that it finds again.
    warmed: BTreeSet<(String, String)>,
}

/// Where a sample's client builds.
struct Place {
    address: Option<String>,
    /// The number of its engine.
    engine: usize,
    /// The engine that lives for this sample alone.
    lab: Option<Lab>,
}

impl Runner<'_> {
    async fn scenarios(&mut self, journal: &mut Journal) -> Result<(), RunError> {
        for scenario in self.expanded()? {
            if scenario.name == INCREMENTAL {
                journal.note("`incremental` is not measured: no stage runs anything".to_owned())?;
                continue;
            }
            if scenario.has_github() && self.plan.service.is_none() {
                journal.note(format!(
                    "`{}` is not measured: the environment names no GitHub cache",
                    scenario.name
                ))?;
                continue;
            }
            let rounds = scenario.rounds.unwrap_or(self.plan.rounds);
            for round in 1..=rounds {
                for client in &self.plan.clients {
                    if !scenario.includes(&client.name)
                        || journal.has(&scenario.name, &client.name, round)
                    {
                        continue;
                    }
                    let number = journal.results.samples.len() + 1;
                    match self.sample(&scenario, client, round, number).await? {
                        Ok((sample, notes)) => {
                            journal.add(sample.clone())?;
                            self.tell(&sample, rounds);
                            for note in notes {
                                journal.note(note)?;
                            }
                        }
                        Err(note) => journal.note(note)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn tell(&self, sample: &Sample, rounds: u32) {
        let Sample { scenario, round, contender, .. } = sample;
        let (wall, cpu) = (sample.wall, sample.cpu);
        (self.told)(&format!(
            "{scenario} {round}/{rounds} {}: {wall:.3} s, CPU {cpu:.3} s, {:.1} MiB",
            contender.0,
            super::sample::Measure::Memory.of(sample) / f64::from(1 << 20),
        ));
    }

    fn invocation(
        &self,
        client: &Client,
        task: &Task<'_>,
        engine: usize,
    ) -> Result<Invocation, RunError> {
        let folder = self.plan.folder.join("clients").join(format!("{}-{engine}", client.name));
        if let Some(address) = task.address
            && !folder.is_dir()
            && let Some(registration) = client.registration(address, &folder)
        {
            self.run_unmeasured(client, &registration)?;
        }
        fs_err::create_dir_all(&folder).map_err(StateError::io("make", &folder))?;
        Ok(client.invocation(task, &folder))
    }

    fn run_unmeasured(&self, client: &Client, invocation: &Invocation) -> Result<(), RunError> {
        let log = self.folder("logs")?.join("registration.log");
        let cost = measure(&self.plan.program, &invocation.command, &invocation.environment, &log)?;
        checked("preparation", client, invocation, &cost, &log)
    }

    /// Runs a client and checks that it succeeded; returns what it cost and what it said.
    async fn call(
        &self,
        scenario: &str,
        client: &Client,
        invocation: &Invocation,
        name: &str,
    ) -> Result<(Cost, String), RunError> {
        let log = self.folder("logs")?.join(format!("{}-{name}.log", client.name));
        let (program, own, path) = (self.plan.program.clone(), invocation.clone(), log.clone());
        // The forwarder works meanwhile.
        let measured = tokio::task::spawn_blocking(move || {
            measure(&program, &own.command, &own.environment, &path)
        });
        let cost = measured.await.map_err(|source| RunError::Task { source })??;
        checked(scenario, client, invocation, &cost, &log)?;
        let said = fs_err::read(&log).map_err(StateError::io("read", &log))?;
        Ok((cost, String::from_utf8_lossy(&said).into_owned()))
    }

    /// Takes a sample and the notes on it; a note alone when the client cannot take part.
    async fn sample(
        &mut self,
        scenario: &Scenario,
        client: &Client,
        round: u32,
        number: usize,
    ) -> Result<Result<(Sample, Vec<String>), String>, RunError> {
        let unchanged = self.work(scenario)?;
        if !takes_part(scenario, client) {
            let name = &scenario.name;
            return Ok(Err(format!(
                "`{name}` is not measured for buildctl: it reads no runner's variables"
            )));
        }
        if scenario.needs_registry_state() {
            self.prime(&unchanged).await?;
        }
        let repository = self.repository(&unchanged);
        let mut work = unchanged.clone();
        if let Some(change) = &scenario.change {
            let folder = self.folder(format!("changed-{repository}"))?;
            work = unchanged.changed(change, number, &folder, &self.plan.ignored)?;
        }
        let place = self.place(scenario, client).await?;
        let invocation = self.command(scenario, client, &work, &place, number).await?;
        let Some(invocation) = invocation else {
            let (name, client) = (&scenario.name, &client.name);
            return Ok(Err(format!("`{name}` is not measured for {client}: it runs no engine")));
        };
        self.warm(scenario, &unchanged, &place, number).await?;
        self.empty(scenario, &place).await?;
        let before = self.traffic();
        let packages_before = self.packages(scenario);
        let load = machine::load();
        let name = format!("{}-{round}", scenario.name.replace([':', ' ', ','], "-"));
        let (cost, said) = self.call(&scenario.name, client, &invocation, &name).await?;
        let mut trace = trace::read(&said, cost.began, cost.began + cost.wall);
        let mut notes = Vec::new();
        if scenario.reuse && client.name == OWN && trace.steps != Steps::default() {
            notes.push("kitwright found no image with the same content key in `reuse`".to_owned());
        }
        if let Some(lab) = place.lab {
            trace.phases.insert(trace::BOOT.to_owned(), lab.boot);
            lab.end().await?;
        }
        let after = self.traffic();
        let registry = before.zip(after).map(|(before, after)| after.since(before));
        let sample = Sample {
            scenario: scenario.name.clone(),
            contender: Contender(client.name.clone()),
            round,
            wall: cost.wall,
            cpu: cost.cpu,
            memory: cost.memory,
            registry,
            packages: packages_before
                .zip(self.packages(scenario))
                .map(|(before, after)| after - before),
            phases: trace.phases,
            critical_path: trace.critical_path,
            steps: Some(trace.steps),
            load,
        };
        Ok(Ok((sample, notes)))
    }

    fn with_own_engine(
        &self,
        client: &Client,
        task: &Task<'_>,
    ) -> Result<Option<Invocation>, RunError> {
        let folder = self.folder(format!("own-{}", client.name))?;
        let state = StateDir::at(folder.clone());
        state.create_engine()?;
        self.plan.programs.save(&state)?;
        Ok(client.with_own_engine(task, &folder, &self.plan.programs.buildkitd.path))
    }
}

fn checked(
    scenario: &str,
    client: &Client,
    invocation: &Invocation,
    cost: &Cost,
    log: &Path,
) -> Result<(), RunError> {
    if cost.exit == 0 {
        return Ok(());
    }
    let command = invocation.command.iter().map(|word| word.to_string_lossy());
    Err(RunError::Failed {
        scenario: scenario.to_owned(),
        client: client.name.clone(),
        exit: cost.exit,
        tail: last_words(&fs_err::read(log).unwrap_or_default()),
        command: command.collect::<Vec<_>>().join(" "),
    })
}
