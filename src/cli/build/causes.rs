//! Why steps of a build ran again.
use std::collections::BTreeSet;

use super::planning::Plan;
use super::{Built, Job};
use crate::cli::explaining::{Explaining, Subject};
use crate::cli::report::Failure;
use crate::oci::digest::Digest;

impl Job<'_> {
    /// What will tell why steps ran again.
    pub(super) fn explaining(&self, plan: &Plan) -> Result<Option<Explaining>, Failure> {
        let Plan::Native(compiled, options) = plan else { return Ok(None) };
        let Some(subject) = Subject::new(&self.source, compiled.clone(), options) else {
            return Ok(None);
        };
        let client = self.registry.clone();
        let image = self.request.pushed_name();
        Ok(Some(Explaining::begin(subject, self.args.explain, client, image)))
    }

    /// Says why the steps of `ran` ran.
    pub(super) async fn explain(
        &self,
        explaining: Option<Explaining>,
        built: &Built,
        ran: &BTreeSet<Digest>,
    ) {
        let Some(explaining) = explaining else { return };
        let pushed = self.request.pushed_name().and(built.result.image_digest());
        let pushed = pushed.and_then(|digest| digest.parse().ok());
        explaining.finish(ran, pushed, self.display).await;
    }
}
