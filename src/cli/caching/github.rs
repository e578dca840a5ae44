//! What GitHub's environment says about caches: where its service is, and what the run may write.
use std::collections::BTreeMap;
use std::path::Path;

use super::CacheArgs;
use crate::attributes::is_true;
use crate::cache::hierarchy::{Situation, Writer};
use crate::ci::environment::Environment;
use crate::ci::event::{Event, Subject};
use crate::ci::settings::Settings;
use crate::ci::tags;
use crate::cli::report::Failure;
use crate::engine::solve::CacheEntry;

/// Branches on which GitHub tests one entry of a merge queue: nobody builds on them again.
const QUEUE: &str = "gh-readonly-queue/";
/// The longest part of a tag that a branch's name becomes.
const BRANCH_ROOM: usize = 100;

/// Fills in what the runner's environment knows of its cache service.
pub(super) fn fill(attributes: &mut BTreeMap<String, String>) {
    fill_from(attributes, |name| std::env::var(name).ok());
}

/// The same from these variables: as buildx does it, and what lists the service's content besides.
///
/// `ACTIONS_RESULTS_URL` is there on runners whose service has no version 2, too: for artifacts.
fn fill_from(attributes: &mut BTreeMap<String, String>, variable: impl Fn(&str) -> Option<String>) {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    let is_second = match attributes.get("version") {
        Some(version) => version == "2",
        None => variable("ACTIONS_CACHE_SERVICE_V2").is_some_and(|value| is_true(&value)),
    };
    let results = variable("ACTIONS_RESULTS_URL");
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            attributes.entry(key.to_owned()).or_insert(value);
        }
    };
    add("token", variable("ACTIONS_RUNTIME_TOKEN"));
    add("url_v2", results.clone().filter(|_| is_second));
    add("url", variable("ACTIONS_CACHE_URL").or(results));
    if is_githubs_own(attributes) {
        for (key, name) in [("repository", "GITHUB_REPOSITORY"), ("ghtoken", "GITHUB_TOKEN")] {
            if let (false, Some(value)) = (attributes.contains_key(key), variable(name)) {
                attributes.insert(key.to_owned(), value);
            }
        }
    }
}

/// Whether the service is that of github.com, whose content the engine can list with a token.
///
/// The engine asks api.github.com whatever the service: another server's token would go there, and
/// what is listed there would be taken for what another service holds.
fn is_githubs_own(attributes: &BTreeMap<String, String>) -> bool {
    let url = attributes.get("url_v2").or_else(|| attributes.get("url"));
    let url = url.and_then(|url| url::Url::parse(url).ok());
    url.is_some_and(|url| {
        url.host_str().is_some_and(|host| host.ends_with(".actions.githubusercontent.com"))
    })
}

/// Whether it is known how to reach the service.
pub(super) fn is_reachable(entry: &CacheEntry) -> bool {
    let has = |key: &str| entry.attributes.contains_key(key);
    has("token") && (has("url") || has("url_v2"))
}

/// The service as a cache of `repository`'s image, if the runner has one.
fn service(repository: &str) -> Option<CacheEntry> {
    // Two images of one repository at GitHub have two caches.
    let mut attributes = BTreeMap::from([("scope".to_owned(), repository.replace('/', "-"))]);
    fill(&mut attributes);
    let entry = CacheEntry { kind: "gha".into(), attributes };
    is_reachable(&entry).then_some(entry)
}

/// Reads the event and the settings; what cannot be read takes rights away, and is told.
pub(super) fn situation(
    args: &CacheArgs,
    repository: &str,
    work_tree: &Path,
    notes: &mut Vec<String>,
) -> Result<Situation, Failure> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment = Environment::from_variables(variables);
    let settings = Settings::load(work_tree)?;
    let event = match environment.event_path().map(|_| Event::load(&environment)) {
        Some(Ok(event)) => Some(event),
        Some(Err(error)) => {
            notes.push(format!("the cache is read only: {error}"));
            None
        }
        None => None,
    };
    let mut situation = match &event {
        Some(event) => of_event(event, &settings),
        None => Situation { stable_tags: all_tags(&settings), ..Situation::default() },
    };
    if let Some(tag) = args.cache_stable.as_ref().filter(|tag| !tag.is_empty()) {
        situation.stable_tags = vec![tag.clone()];
    }
    match args.cache_write.as_str() {
        "auto" | "" => {}
        "none" => situation.writer = Writer::Nobody,
        "shared" => situation.writer = Writer::Shared,
        own => situation.writer = Writer::Own(own.to_owned()),
    }
    situation.github = service(repository);
    Ok(situation)
}

/// Every tag that a branch moves: outside CI nobody says which of them is near.
fn all_tags(settings: &Settings) -> Vec<String> {
    let mut tags: Vec<String> = settings.branches.values().cloned().collect();
    tags.sort();
    tags.dedup();
    tags
}

fn of_event(event: &Event, settings: &Settings) -> Situation {
    let mut situation = Situation::default();
    let mut base = None;
    let mut own_tag = None;
    let writer = match &event.subject {
        Subject::PullRequest(pull_request) => {
            situation.pull_request = Some(pull_request.number);
            base = Some(pull_request.base.branch.as_str());
            match pull_request.open {
                true => Writer::Own(format!("pr-{}", pull_request.number)),
                false => Writer::Nobody,
            }
        }
        Subject::Branch(branch) if branch.name.starts_with(QUEUE) => Writer::Nobody,
        Subject::Branch(branch) => match settings.branches.get(&branch.name) {
            Some(tag) => {
                own_tag = Some(tag.clone());
                Writer::Shared
            }
            None => Writer::Own(format!("branch-{}", tags::branch_slug(&branch.name, BRANCH_ROOM))),
        },
        Subject::Comment(_) | Subject::Nothing(_) => Writer::Nobody,
    };
    if event.may_publish() {
        situation.writer = writer;
    }
    let stable = || tags::base_image(event, base, settings).ok().map(|(_, tag)| tag);
    situation.stable_tags = own_tag.or_else(stable).into_iter().collect();
    situation
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "abc1230000000000000000000000000000000000";

    fn situation(name: &str, payload: &serde_json::Value) -> Situation {
        let environment = Environment::default().with("GITHUB_EVENT_NAME", Some(name));
        let event = Event::parse(&payload.to_string(), &environment).unwrap();
        of_event(&event, &Settings::default())
    }

    fn pull_request(head: &str) -> serde_json::Value {
        serde_json::json!({
            "action": "synchronize",
            "repository": { "full_name": "o/r", "default_branch": "main" },
            "pull_request": {
                "number": 7, "state": "open",
                "head": { "sha": SHA, "ref": "feature", "repo": { "full_name": head } },
                "base": { "sha": SHA, "ref": "v2", "repo": { "full_name": "o/r" } },
            },
        })
    }

    fn push(branch: &str) -> Situation {
        let payload = serde_json::json!({
            "ref": format!("refs/heads/{branch}"), "before": SHA, "after": SHA,
            "repository": { "full_name": "o/r", "default_branch": "main" },
        });
        situation("push", &payload)
    }

    #[test]
    fn the_service_is_the_one_that_the_runner_names() {
        let filled = |flag: &[(&str, &str)], variables: &[(&str, &str)]| {
            let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
                pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
            };
            let (mut attributes, variables) = (owned(flag), owned(variables));
            fill_from(&mut attributes, |name| variables.get(name).cloned());
            let parts: Vec<_> = attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
            parts.join(" ")
        };
        let hosted = "https://results-receiver.actions.githubusercontent.com/";
        let runner = [
            ("ACTIONS_RUNTIME_TOKEN", "t"),
            ("ACTIONS_RESULTS_URL", hosted),
            ("ACTIONS_CACHE_SERVICE_V2", "True"),
            ("GITHUB_REPOSITORY", "o/r"),
            ("GITHUB_TOKEN", "g"),
        ];
        assert_eq!(
            filled(&[], &runner),
            format!("ghtoken=g repository=o/r token=t url={hosted} url_v2={hosted}")
        );
        assert_eq!(
            filled(&[("token", "own"), ("url_v2", "https://me/"), ("url", "https://me/")], &runner),
            "token=own url=https://me/ url_v2=https://me/"
        );
        assert!(!filled(&[("version", "1")], &runner).contains("url_v2"));
        // A server of one's own: results for artifacts, caches in version 1, and a token of its own.
        let own = [
            ("ACTIONS_RUNTIME_TOKEN", "t"),
            ("ACTIONS_CACHE_URL", "https://ghes/cache/"),
            ("ACTIONS_RESULTS_URL", "https://ghes/results/"),
            ("ACTIONS_CACHE_SERVICE_V2", ""),
            ("GITHUB_REPOSITORY", "o/r"),
            ("GITHUB_TOKEN", "g"),
        ];
        assert_eq!(filled(&[], &own), "token=t url=https://ghes/cache/");
        assert_eq!(
            filled(&[("version", "2")], &own),
            "token=t url=https://ghes/cache/ url_v2=https://ghes/results/ version=2"
        );
        assert_eq!(filled(&[], &[]), "");
    }

    #[test]
    fn pull_requests_write_their_own_and_forks_nothing() {
        let own = situation("pull_request", &pull_request("o/r"));
        assert_eq!(own.writer, Writer::Own("pr-7".into()));
        assert_eq!((own.pull_request, &own.stable_tags[..]), (Some(7), &["v2".to_owned()][..]));
        for name in ["pull_request", "pull_request_target"] {
            let fork = situation(name, &pull_request("somebody/r"));
            assert_eq!((fork.writer, fork.pull_request), (Writer::Nobody, Some(7)), "{name}");
        }
    }

    #[test]
    fn branches_write_by_what_they_move() {
        let tags = |situation: &Situation| situation.stable_tags.join(" ");
        let main = push("main");
        assert_eq!((main.writer.clone(), &*tags(&main)), (Writer::Shared, "latest"));
        let stable = push("v2");
        assert_eq!((stable.writer.clone(), &*tags(&stable)), (Writer::Shared, "v2"));
        let other = push("feature/x");
        let own = Writer::Own("branch-feature-x".into());
        assert_eq!((other.writer.clone(), &*tags(&other)), (own, "latest"));
        assert_eq!(push("gh-readonly-queue/main/pr-7-abc").writer, Writer::Nobody);
        let tag = serde_json::json!({
            "ref": "refs/tags/v1", "before": SHA, "after": SHA,
            "repository": { "full_name": "o/r", "default_branch": "main" },
        });
        assert_eq!(situation("push", &tag).writer, Writer::Nobody);
    }

    #[test]
    fn dependabot_reads_only() {
        let environment = Environment::default()
            .with("GITHUB_EVENT_NAME", Some("pull_request"))
            .with("GITHUB_ACTOR", Some("dependabot[bot]"));
        let event = Event::parse(&pull_request("o/r").to_string(), &environment).unwrap();
        assert_eq!(of_event(&event, &Settings::default()).writer, Writer::Nobody);
    }
}
