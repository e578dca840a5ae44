//! The one comment about the image on a pull request.
//!
//! It is known by a hidden marker and by its author, so that nobody's quotation of it is taken for
//! it. A second hidden line carries the build's times and the run that wrote it: the next build shows
//! its own beside them, and a run that was overtaken leaves the newer text alone.
//!
//! GitHub has no "create unless there is one". Two runs that find none both create, look again, and
//! agree: the oldest comment stays, whoever made another deletes it and writes into that one.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::github::{ApiError, Client, IssueComment};
use super::markdown::{bytes, code, seconds};
use super::record::Record;

/// The hidden line that the comment begins with.
pub const MARKER: &str = "<!-- kitwright:ci-image -->";
/// The beginning of the hidden line with the build's data.
const DATA: &str = "<!-- kitwright:data ";
/// How many steps the comment lists.
const STEPS_MAX: usize = 25;
/// How many changed files it lists.
const PATHS_MAX: usize = 20;

/// What the comment tells of a build.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// The image's reference.
    pub image: String,
    /// Its digest.
    pub digest: Option<String>,
    /// The size of what a pull downloads.
    pub size: Option<u64>,
    /// The commit it was built from.
    pub revision: String,
    /// The image's files that the pull request changes.
    pub paths: Vec<String>,
    /// The build's steps.
    pub record: Record,
    /// Where the build's run is.
    pub run_url: Option<String>,
    /// What to run to try it.
    pub try_it: String,
    /// The run that speaks: its id and attempt, to tell a newer one from an older.
    pub run: (u64, u64),
}

/// What the hidden line carries to the next build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// The run's id.
    pub run: u64,
    /// Its attempt.
    pub attempt: u64,
    /// The commit.
    pub revision: String,
    /// The whole build, in seconds.
    pub total: f64,
    /// Seconds by step, of when it last ran.
    pub steps: BTreeMap<String, f64>,
}

/// What happened to the comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// There was none.
    Created,
    /// The one there was has the new text.
    Updated,
    /// The one there was is a later run's.
    Superseded,
}

/// Writes the comment, new or in place.
///
/// # Errors
///
/// An [`ApiError`] that names the endpoint.
pub async fn upsert(
    client: &Client,
    number: u64,
    author: &str,
    content: &Content,
) -> Result<(Outcome, IssueComment), ApiError> {
    let mut known = ours(client, number, author).await?;
    let created = if known.is_empty() {
        let comment = client.create_comment(number, &render(content, None)).await?;
        // Another run may have done the same just now. A list that is not up to date yet may lack
        // our own.
        known = ours(client, number, author).await?;
        if known.iter().all(|other| other.id != comment.id) {
            known.push(comment.clone());
            known.sort_by_key(|comment| comment.id);
        }
        Some(comment)
    } else {
        None
    };
    // The oldest comment stays; the newest data among all of them is what we are compared with.
    let Some(oldest) = known.first().cloned() else {
        return Err(ApiError::Field { endpoint: "comments".to_owned(), field: "id" });
    };
    let newest = known
        .iter()
        .filter(|comment| created.as_ref().is_none_or(|created| created.id != comment.id))
        .filter_map(|comment| Some((data(&comment.body)?, comment)))
        .max_by_key(|(data, _)| (data.run, data.attempt));
    for extra in &known[1..] {
        client.delete_comment(extra.id).await?;
    }
    match newest {
        Some((data, comment)) if (data.run, data.attempt) > content.run => {
            if comment.id == oldest.id {
                return Ok((Outcome::Superseded, oldest));
            }
            let comment = client.update_comment(oldest.id, &comment.body).await?;
            Ok((Outcome::Superseded, comment))
        }
        _ if created.as_ref().is_some_and(|created| created.id == oldest.id) => {
            Ok((Outcome::Created, oldest))
        }
        newest => {
            let previous = newest.map(|(data, _)| data);
            let body = render(content, previous.as_ref());
            Ok((Outcome::Updated, client.update_comment(oldest.id, &body).await?))
        }
    }
}

/// The comments of ours, oldest first.
async fn ours(client: &Client, number: u64, author: &str) -> Result<Vec<IssueComment>, ApiError> {
    let mut comments = client.comments(number).await?;
    comments.retain(|comment| comment.author == author && comment.body.starts_with(MARKER));
    comments.sort_by_key(|comment| comment.id);
    Ok(comments)
}

/// The hidden data of a comment, if it has any that can be read.
#[must_use]
pub fn data(body: &str) -> Option<Data> {
    let line = body.lines().find_map(|line| line.strip_prefix(DATA)?.strip_suffix(" -->"))?;
    serde_json::from_slice(&STANDARD.decode(line).ok()?).ok()
}

/// Renders the comment, beside the data of the build before.
#[must_use]
pub fn render(content: &Content, previous: Option<&Data>) -> String {
    let mut text = format!("{MARKER}\n### The CI image of this pull request\n\n");
    facts(&mut text, content, previous);
    if !content.paths.is_empty() {
        let shown = content.paths.iter().take(PATHS_MAX).map(|path| format!("- {}\n", code(path)));
        let shown: String = shown.collect();
        let _ = write!(text, "\n**What changed**\n\n{shown}");
        if content.paths.len() > PATHS_MAX {
            let _ = writeln!(text, "- and {} more", content.paths.len() - PATHS_MAX);
        }
    }
    steps(&mut text, &content.record, previous);
    let _ = write!(text, "\n**Try it**\n\n```sh\n{}\n```\n", content.try_it);
    let own = own_data(content, previous);
    let json = serde_json::to_vec(&own).unwrap_or_default();
    let _ = writeln!(text, "{DATA}{} -->", STANDARD.encode(json));
    text
}

fn facts(text: &mut String, content: &Content, previous: Option<&Data>) {
    text.push_str("| | |\n|---|---|\n");
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "| {name} | {value} |");
    };
    row("Image", &code(&content.image));
    if let Some(digest) = &content.digest {
        row("Digest", &code(digest));
    }
    if let Some(size) = content.size {
        row("Size", &format!("{} to pull", bytes(size)));
    }
    row("Commit", content.revision.get(..12).unwrap_or(&content.revision));
    let total = content.record.wall_seconds();
    let mut build = if content.record.steps.is_empty() {
        "found by its content, not built".to_owned()
    } else {
        seconds(total)
    };
    if let Some(previous) = previous.filter(|previous| previous.total > 0.0) {
        let _ = write!(build, " (the build before: {})", seconds(previous.total));
    }
    if let Some(url) = &content.run_url {
        let _ = write!(build, ", [run]({url})");
    }
    row("Build", &build);
}

/// The table of the steps that ran, the slowest first.
fn steps(text: &mut String, record: &Record, previous: Option<&Data>) {
    let all: Vec<_> = record.steps.iter().filter(|step| step.is_instruction()).collect();
    let mut ran: Vec<_> = all.iter().filter(|step| !step.cached).collect();
    if all.is_empty() {
        return;
    }
    let (cached, count) = (all.len() - ran.len(), ran.len());
    let _ = writeln!(text, "\n**Steps**: {count} ran, {cached} came from the cache.");
    if ran.is_empty() {
        return;
    }
    ran.sort_by(|a, b| b.seconds().total_cmp(&a.seconds()).then_with(|| a.name.cmp(&b.name)));
    text.push_str("\n| Step that ran | Time | Build before | Why |\n|---|---|---|---|\n");
    for step in ran.iter().take(STEPS_MAX) {
        let before = match previous.map(|previous| previous.steps.get(&step.name)) {
            None => "–".to_owned(),
            Some(None) => "new, or cached".to_owned(),
            Some(Some(before)) => seconds(*before),
        };
        let cause = step.cause.as_deref().map_or_else(|| "–".to_owned(), code);
        let time = seconds(step.seconds());
        let _ = writeln!(text, "| {} | {time} | {before} | {cause} |", code(&step.name));
    }
    if count > STEPS_MAX {
        let _ = writeln!(text, "\n{} shorter steps are left out.", count - STEPS_MAX);
    }
}

/// What the next comment will need: of what did not run now, the times of when it did.
fn own_data(content: &Content, previous: Option<&Data>) -> Data {
    let record = &content.record;
    let mut data = Data {
        run: content.run.0,
        attempt: content.run.1,
        revision: content.revision.clone(),
        total: record.wall_seconds(),
        steps: BTreeMap::new(),
    };
    if let (true, Some(previous)) = (record.steps.is_empty(), previous) {
        data.total = previous.total;
        data.steps.clone_from(&previous.steps);
    }
    for step in record.steps.iter().filter(|step| step.is_instruction()) {
        let before = previous.and_then(|previous| previous.steps.get(&step.name).copied());
        let time = if step.cached { before } else { Some(step.seconds()) };
        data.steps.extend(time.map(|time| (step.name.clone(), time)));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ci::record::Step;

    fn step(name: &str, seconds: i64, cached: bool) -> Step {
        let start = jiff::Timestamp::UNIX_EPOCH;
        Step {
            digest: name.to_owned(),
            name: name.to_owned(),
            started: Some(start),
            completed: Some(start + jiff::SignedDuration::from_secs(seconds)),
            cached,
            error: None,
            cause: None,
        }
    }

    fn content() -> Content {
        let steps = vec![
            step("[internal] load build definition", 1, false),
            step("[go 1/2] RUN a", 7, false),
            step("[node 1/2] COPY x", 0, true),
        ];
        Content {
            image: "ghcr.io/a/b/ci:pr-7".to_owned(),
            digest: Some("sha256:00".to_owned()),
            size: Some(1_500_000),
            revision: "abc1230000000000000000000000000000000000".to_owned(),
            paths: vec!["gen.Dockerfile".to_owned()],
            record: Record { steps, warnings: Vec::new() },
            run_url: Some("https://github.com/a/b/actions/runs/5".to_owned()),
            try_it: "make docker-pull gen DOCKER_CI_IMAGE=ghcr.io/a/b/ci:pr-7".to_owned(),
            run: (5, 1),
        }
    }

    #[test]
    fn the_comment_carries_its_own_data() {
        let body = render(&content(), None);
        assert!(body.starts_with(MARKER));
        let data = data(&body).expect("data");
        assert_eq!((data.run, data.attempt), (5, 1));
        assert_eq!(data.steps, BTreeMap::from([("[go 1/2] RUN a".to_owned(), 7.0)]));
    }

    #[test]
    fn times_stand_beside_those_of_the_build_before() {
        let mut previous = data(&render(&content(), None)).expect("data");
        previous.steps = BTreeMap::from([("[go 1/2] RUN a".to_owned(), 90.0)]);
        previous.total = 95.0;
        let body = render(&content(), Some(&previous));
        assert!(body.contains("| `[go 1/2] RUN a` | 7.0 s | 1 min 30 s | – |"), "{body}");
        assert!(body.contains("7.0 s (the build before: 1 min 35 s)"), "{body}");
        assert!(body.contains("1 ran, 1 came from the cache"), "{body}");
    }

    #[test]
    fn what_did_not_run_keeps_its_times() {
        let first = data(&render(&content(), None)).expect("data");
        let found = Content { record: Record::default(), run: (6, 1), ..content() };
        let found = data(&render(&found, Some(&first))).expect("data");
        assert_eq!((found.run, found.total, &found.steps), (6, first.total, &first.steps));
        let mut cached = content();
        cached.record.steps[1].cached = true;
        let cached = data(&render(&cached, Some(&first))).expect("data");
        assert_eq!(cached.steps, first.steps);
        assert_eq!(data(&render(&content(), None)), Some(first), "a cached step has no time yet");
    }

    #[test]
    fn a_step_says_why_it_ran_again() {
        let timeline = r#"{"version": 1, "steps": [{"digest": "sha256:a", "name": "[go 1/2] RUN a",
            "inputs": [], "started": "2026-01-01T00:00:00Z",
            "completed": "2026-01-01T00:00:07Z", "cached": false,
            "cause": "`go.mod` changed | @all"}]}"#;
        let record = Record::parse(timeline).unwrap();
        let body = render(&Content { record, ..content() }, None);
        let row = "| `[go 1/2] RUN a` | 7.0 s | – | `` `go.mod` changed \\| @all `` |";
        assert!(body.contains(row), "{body}");
    }

    #[test]
    fn a_step_name_cannot_break_out() {
        let mut hostile = content();
        hostile.record.steps[1].name = "[a] RUN `x` | --> <!-- @all\n".to_owned();
        let body = render(&hostile, None);
        assert!(body.contains("| ``[a] RUN `x` \\| --> <!-- @all`` |"), "{body}");
        assert_eq!(body.lines().filter(|line| line.starts_with(DATA)).count(), 1);
    }

    #[test]
    fn data_of_another_kind_is_no_data() {
        assert_eq!(data(&format!("{MARKER}\n{DATA}AAAA -->\n")), None);
        assert_eq!(data("no data"), None);
    }
}
