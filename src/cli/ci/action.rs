//! `kitwright ci build`: runs `kitwright build` with the inputs of docker/build-push-action.
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use clap::Args;
use serde_json::Value;

use super::context::{Context, Job, stdout};
use crate::ci::action::{ActionError, Arguments};
use crate::cli::report::Failure;
use crate::fault::{Classified, Fault};

/// The variable with the inputs.
const INPUTS: &str = "KITWRIGHT_INPUTS";

/// Build with the inputs of docker/build-push-action, as the composite action does
///
/// The inputs are one JSON object in `KITWRIGHT_INPUTS`. Outputs: digest, imageid, metadata,
/// metadata-file, timeline.
#[derive(Debug, Args)]
pub(super) struct Build {
    #[command(flatten)]
    context: Context,
}

/// The build could not be run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum BuildError {
    #[error("cannot run `kitwright build`")]
    Spawn { source: std::io::Error },
    #[error("`kitwright build` was ended by a signal")]
    Signal,
}

impl Classified for BuildError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Outputs {
    digest: Option<String>,
    imageid: Option<String>,
    metadata: Option<String>,
    metadata_file: PathBuf,
    timeline: PathBuf,
}

impl Build {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        let inputs = std::env::var(INPUTS).map_err(|_| ActionError::NoInputs)?;
        let temp = job.environment.get("RUNNER_TEMP").map(PathBuf::from);
        let temp = temp.unwrap_or_else(std::env::temp_dir);
        let arguments = Arguments::parse(&inputs, &temp, job.environment.server_url())?;
        let files = files(&job, &temp);
        if job.dry_run {
            return stdout(&format!("kitwright build {}\n", arguments.arguments.join(" ")));
        }
        let status = build(&arguments, &files);
        arguments.close()?;
        finish(&job, &files)?;
        match status?.code() {
            Some(0) => Ok(()),
            Some(code) => Err(Failure::silent(fault(code))),
            None => Err(BuildError::Signal.into()),
        }
    }
}

/// Where the build leaves what it has to say. A job may build several times.
fn files(job: &Job, temp: &Path) -> Outputs {
    let run = job.environment.get("GITHUB_ACTION").unwrap_or("build");
    let run: String = run.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let metadata_file = temp.join(format!("kitwright-{run}-metadata.json"));
    let timeline = temp.join(format!("kitwright-{run}-timeline.json"));
    Outputs { digest: None, imageid: None, metadata: None, metadata_file, timeline }
}

fn build(arguments: &Arguments, files: &Outputs) -> Result<ExitStatus, Failure> {
    let failed = |source| Failure::from(BuildError::Spawn { source });
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.env_remove(INPUTS).arg("build");
    command.arg("--metadata-file").arg(&files.metadata_file);
    command.arg("--timeline").arg(&files.timeline);
    command.args(&arguments.arguments).status().map_err(failed)
}

/// Publishes what the build left, also of one that failed.
fn finish(job: &Job, files: &Outputs) -> Result<(), Failure> {
    let text = fs_err::read_to_string(&files.metadata_file).ok();
    let metadata: Option<Value> = text.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let field = |name: &str| Some(metadata.as_ref()?.get(name)?.as_str()?.to_owned());
    job.publish(&Outputs {
        digest: field("containerimage.digest"),
        imageid: field("containerimage.config.digest").or_else(|| field("containerimage.digest")),
        metadata: text,
        metadata_file: files.metadata_file.clone(),
        timeline: files.timeline.clone(),
    })
}

/// The fault that an exit code of ours stands for.
const fn fault(code: i32) -> Fault {
    match code {
        1 => Fault::Build,
        2 => Fault::Usage,
        70 => Fault::Internal,
        130 => Fault::Interrupted,
        _ => Fault::Environment,
    }
}
