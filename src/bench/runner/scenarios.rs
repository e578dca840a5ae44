//! Which scenarios are measured, and what each builds.
use super::{RunError, Runner};
use crate::bench::generated;
use crate::bench::scenario::{INCREMENTAL, Scenario};
use crate::bench::work::{Work, WorkError};

impl Runner<'_> {
    /// The scenarios, with one for each stage in place of `incremental`.
    pub(super) fn expanded(&self) -> Result<Vec<Scenario>, RunError> {
        let mut all = Vec::new();
        for scenario in &self.plan.scenarios {
            let wanted = match scenario.name.strip_prefix(INCREMENTAL) {
                Some("") => None,
                Some(rest) if rest.starts_with(':') => Some(&rest[1..]),
                _ => {
                    all.push(scenario.clone());
                    continue;
                }
            };
            let work = self.work(scenario)?;
            let before = all.len();
            for (stage, change) in work.stage_changes()? {
                let chosen = self.plan.stages.is_empty() || self.plan.stages.contains(&stage);
                if wanted.map_or(chosen, |wanted| wanted == stage) {
                    let name = format!("{INCREMENTAL}:{stage}");
                    all.push(Scenario { name, change: Some(change), ..scenario.clone() });
                }
            }
            match (wanted, all.len() == before) {
                (_, false) => {}
                // Noted when its turn comes.
                (None, true) => all.push(scenario.clone()),
                (Some(stage), true) => {
                    let (stage, dockerfile) = (stage.to_owned(), work.dockerfile);
                    return Err(WorkError::Stage { dockerfile, stage }.into());
                }
            }
        }
        Ok(all)
    }

    /// What a scenario builds, before any change.
    pub(super) fn work(&self, scenario: &Scenario) -> Result<Work, WorkError> {
        if let Some(what) = scenario.generate {
            let name = format!("{what:?}").replace(['(', ')'], "-").to_lowercase();
            return generated::make(what, &self.plan.folder.join("generated").join(name));
        }
        let mut work = self.plan.work.clone();
        if let Some(dockerfile) = &scenario.dockerfile {
            work.dockerfile.clone_from(dockerfile);
        }
        if let Some(target) = &scenario.target {
            work.target = Some(target.clone());
        }
        for (name, value) in &scenario.build_args {
            work.build_args.retain(|(known, _)| known != name);
            work.build_args.push((name.clone(), value.clone()));
        }
        Ok(work)
    }
}
