//! Looks for a finished image before anything is built, and says what came of it.
use super::{Reuse, age, reaches_network, spoken};
use crate::cli::build::Job;
use crate::cli::build::planning::Plan;
use crate::cli::report::Failure;
use crate::engine::solve::SolveResult;

/// What came of looking for a finished image.
pub(in crate::cli::build) enum Found {
    /// It is there and bears the build's tags now.
    Image(SolveResult),
    /// It is not; what is built gets the key.
    Nothing(Box<Reuse>),
}

impl Job<'_> {
    /// Looks for a finished image with the plan's content key.
    pub(in crate::cli::build) async fn look_for(
        &self,
        plan: &Plan,
    ) -> Result<Option<Found>, Failure> {
        let Plan::Native(compiled, options) = plan else {
            self.display
                .note("nothing to reuse: only kitwright's own compiler knows the key")
                .await;
            return Ok(None);
        };
        let client = self.registry.clone();
        let reuse = match Reuse::new(client, &self.request, &self.source, compiled, options)? {
            Ok(reuse) => reuse,
            Err(unfixed) => {
                self.display.note(format!("nothing to reuse: {unfixed}")).await;
                return Ok(None);
            }
        };
        let tag = reuse.key.tag();
        if let Some(output) = reuse.needs_build() {
            self.display.note(format!("nothing is reused: `{output}` takes a build")).await;
            return Ok(Some(Found::Nothing(Box::new(reuse))));
        }
        let ages = reaches_network(compiled);
        let Some(hit) = reuse.find(ages).await? else {
            self.display.note(format!("no image `{tag}` yet: building")).await;
            return Ok(Some(Found::Nothing(Box::new(reuse))));
        };
        let built = match hit.created.map(age) {
            Some(age) => format!(", built {} ago", spoken(age)),
            None if ages => ", built at an unknown time".to_owned(),
            None => String::new(),
        };
        if ages && hit.is_stale(self.args.reuse_max_age) {
            let line = format!("image `{tag}`{built}: too old, building");
            self.display.note(line).await;
            return Ok(Some(Found::Nothing(Box::new(reuse))));
        }
        let (exporter_response, told) = reuse.take(&hit).await?;
        let digest = hit.digest();
        self.display.note(format!("reused `{tag}`{built}: {digest}")).await;
        self.display.notes(told).await;
        if let Some(home) = &self.caches.home {
            self.display.notes(reuse.take_cache(home).await).await;
        }
        Ok(Some(Found::Image(SolveResult { exporter_response })))
    }
}
