//! `kitwright ci tags`, `image` and `wait`: which image, which tags, and is it there yet.
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::context::{Context, Job, block_on, duration};
use super::key;
use crate::ci::detect::Detection;
use crate::ci::event::{Event, Subject};
use crate::ci::image::{self, Patience, Request, Sources};
use crate::ci::report::Report;
use crate::ci::tags::Action;
use crate::cli::report::Failure;

/// Say which tags this run publishes, and whether it builds
///
/// Outputs: rule, build, push, comment, tags, labels, image, action, touched, paths, revision, …
#[derive(Debug, Args)]
pub(super) struct Tags {
    #[command(flatten)]
    context: Context,
    #[command(flatten)]
    subject: SubjectArgs,
}

/// Say which image the run's jobs use, and wait for it if asked to
///
/// Outputs as `tags`, and digest, pinned (the image with its digest), run.
#[derive(Debug, Args)]
pub(super) struct Image {
    #[command(flatten)]
    context: Context,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Wait for the build of this very commit where the image is its
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Wait until the image of this very commit is published
///
/// The same as `image --wait`: returns at once when there is nothing to wait for.
#[derive(Debug, Args)]
pub(super) struct Wait {
    #[command(flatten)]
    context: Context,
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    patience: PatienceArgs,
}

#[derive(Debug, Args)]
struct SubjectArgs {
    /// Ask about this pull request instead of the event's
    #[arg(long, value_name = "NUMBER")]
    pr: Option<u64>,
    /// Fail unless the pull request's head is this commit
    #[arg(long, value_name = "COMMIT")]
    sha: Option<String>,
    /// Whether the pull request touches the image
    #[arg(long, value_enum, default_value = "auto", value_name = "ANSWER")]
    touched: Touched,
    /// The content key of the commit, or `auto` to compute it, or `none`: where its image exists, it
    /// is used
    #[arg(long, value_name = "KEY", default_value = "auto", value_parser = key_source)]
    key: Key,
}

/// Where the content key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// From the commit's files.
    Auto,
    /// There is none to be used.
    None,
    /// From the command line.
    Given(String),
}

fn key_source(text: &str) -> Result<Key, std::convert::Infallible> {
    Ok(match text {
        "auto" => Key::Auto,
        "none" | "" => Key::None,
        key => Key::Given(key.to_owned()),
    })
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Touched {
    /// Ask git
    Auto,
    /// It does
    True,
    /// It does not
    False,
}

#[derive(Debug, Args)]
struct PatienceArgs {
    /// How long between two looks at the build
    #[arg(
        long,
        value_parser = duration,
        default_value = "20s",
        value_name = "TIME",
        env = "KITWRIGHT_CI_INTERVAL"
    )]
    interval: Duration,
    /// How long to wait in all
    #[arg(
        long,
        value_parser = duration,
        default_value = "20m",
        value_name = "TIME",
        env = "KITWRIGHT_CI_TIMEOUT"
    )]
    timeout: Duration,
    /// How long until the build must have been started
    #[arg(
        long,
        value_parser = duration,
        default_value = "5m",
        value_name = "TIME",
        env = "KITWRIGHT_CI_APPEAR"
    )]
    appear: Duration,
}

impl Tags {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        let report = block_on(answer(&job, &self.subject, None, false))?;
        job.publish(&report)
    }
}

impl Image {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        let patience = self.wait.then(|| self.patience.patience());
        let report = block_on(answer(&job, &self.subject, patience, true))?;
        job.publish(&report)
    }
}

impl Wait {
    pub(super) fn run(self) -> Result<(), Failure> {
        let job = self.context.job()?;
        let patience = Some(self.patience.patience());
        let report = block_on(answer(&job, &self.subject, patience, true))?;
        job.publish(&report)
    }
}

impl PatienceArgs {
    const fn patience(&self) -> Patience {
        Patience { interval: self.interval, timeout: self.timeout, appear: self.appear }
    }
}

async fn answer(
    job: &Job,
    subject: &SubjectArgs,
    patience: Option<Patience>,
    find: bool,
) -> Result<Report, Failure> {
    let event = event(job, subject).await?;
    let mut request = Request {
        settings: &job.settings,
        touched: match subject.touched {
            Touched::Auto => None,
            Touched::True => Some(true),
            Touched::False => Some(false),
        },
        key: match &subject.key {
            Key::Given(key) => Some(key),
            Key::Auto | Key::None => None,
        },
        server_url: job.environment.server_url(),
        dry_run: job.dry_run,
    };
    let (git, registry) = (job.git(), job.registry());
    let mut sources =
        Sources { git: &git, client: None, registry: &registry, notices: &job.notices };
    let detection = detection(job, &event, sources, &request, subject.key == Key::Auto).await?;
    let decision = image::decide(&event, detection, sources, &request).await?;
    explain(job, &event, &decision);
    if !find {
        let image::Decision { plan, repository, detection, .. } = &decision;
        let detection = detection.as_ref();
        let report = Report::new(&event, plan.clone(), repository, detection, request.server_url)?;
        let locked = job.path(&format!("{}.lock", job.settings.dockerfile)).exists();
        let outputs = report.push.then(|| job.settings.output());
        return Ok(Report { locked, outputs, ..report });
    }
    // Only what is waited for is worth a look at the commit's files.
    let waits = decision.plan.action == Action::Wait && subject.key == Key::Auto;
    let computed = match key::commit(&event).filter(|_| waits) {
        Some(sha) => key::of(job, &git, &event, sha).await,
        None => None,
    };
    request.key = request.key.or(computed.as_deref());
    let client = match patience {
        Some(_) => Some(job.client(&event.repository)?),
        None => None,
    };
    sources.client = client.as_ref();
    let found = image::find(&event, &decision, sources, &request, patience);
    Ok(found.await?)
}

/// What changes of the image: by its files, else by its content key if `by_key`.
pub(super) async fn detection(
    job: &Job,
    event: &Event,
    sources: Sources<'_>,
    request: &Request<'_>,
    by_key: bool,
) -> Result<Option<Detection>, Failure> {
    let mut detection = image::detection(event, sources, request).await?;
    if let Some(detection) = &mut detection
        && by_key
        && !detection.touched
        && key::differs(job, sources.git, event, detection).await
    {
        (job.notices)("no file of the image changed, but its content key did");
        detection.touched = true;
    }
    Ok(detection)
}

/// The event, with the pull request fetched where the payload does not have it.
async fn event(job: &Job, subject: &SubjectArgs) -> Result<Event, Failure> {
    let event = job.event()?;
    let needs_client = subject.pr.is_some() || matches!(event.subject, Subject::Comment(_));
    let client = if needs_client { Some(job.client(&event.repository)?) } else { None };
    Ok(image::resolve(event, client.as_ref(), subject.pr, subject.sha.as_deref()).await?)
}

fn explain(job: &Job, event: &Event, decision: &image::Decision) {
    if let Subject::Nothing(why) = event.subject {
        (job.notices)(why);
    }
    let Some(detection) = &decision.detection else { return };
    let line = match (detection.touched, detection.paths.as_slice()) {
        (false, _) => "the pull request leaves the image alone".to_owned(),
        (true, []) => "the pull request touches the image".to_owned(),
        (true, [one]) => format!("the pull request touches the image: {one}"),
        (true, [first, rest @ ..]) => {
            format!("the pull request touches the image: {first} and {} more", rest.len())
        }
    };
    (job.notices)(&line);
}
