//! The tag table: which image a run uses, and which tags it publishes.
//!
//! | event | uses | publishes |
//! |---|---|---|
//! | pull request | its base branch's tag | nothing |
//! | pull request that touches the image | `pr-N` | `pr-N` |
//! | the same from a fork | what it builds itself | nothing |
//! | push to a branch with a moving tag | that tag | it, and `{branch}-sha-{commit}` |
//! | push to any other branch | `{branch}-sha-{commit}` | the same |
//! | anything else | the default branch's tag | nothing |
//!
//! Pure: the same event, settings and answer to "does it touch the image" give the same plan.
use super::event::{Branch, Event, PullRequest, Subject};
use super::settings::Settings;
use crate::cache::hierarchy::SHARED_TAG;
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;

pub use crate::oci::reference::is_valid_tag;

/// The longest tag that registries accept.
const TAG_MAX: usize = 128;
/// How many digits of a branch name's hash tell apart names that look alike in a tag.
const MARK: usize = 8;

/// The row of the table that an event falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A pull request that leaves the image alone.
    RegularPullRequest,
    /// A pull request that changes the image.
    ImagePullRequest,
    /// A pull request that changes the image and whose run may not publish.
    ForkPullRequest,
    /// A branch whose every push moves a tag.
    MovingBranch,
    /// Any other branch.
    Branch,
    /// An event without an image of its own.
    Other,
}

/// What a consumer of the image does before it can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Use it: it exists.
    Use,
    /// Wait until the build of this very commit has published it.
    Wait,
    /// Build it in the same job: nobody publishes it.
    Build,
}

/// What the table says for one event. Tags are bare: the repository is the settings' part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The row.
    pub rule: Rule,
    /// The tag of the image that the run's other jobs use.
    pub image: String,
    /// What those jobs do first.
    pub action: Action,
    /// The tags that the building workflow publishes, the one to name first in front.
    pub publish: Vec<String>,
    /// Whether the building workflow builds at all.
    pub build: bool,
    /// Whether the building workflow comments on the pull request.
    pub comment: bool,
    /// The commit that the image is built from.
    pub revision: Option<String>,
    /// The pull request.
    pub number: Option<u64>,
}

/// An event for which the table cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic, PartialEq, Eq)]
pub enum TagError {
    /// A comment says nothing about the pull request's head.
    #[error("a comment has no commit: the pull request `{0}` has to be fetched first")]
    Unresolved(u64),
    /// Neither the base branch nor the default branch has an image.
    #[error("neither branch `{branch}` nor the default branch has a tag that its pushes move")]
    #[diagnostic(help("name one in `kitwright.toml`: `[ci.branches]`, `{branch} = \"latest\"`"))]
    NoBranchImage {
        /// The base branch.
        branch: String,
    },
}

impl Classified for TagError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// Reads the table: `touched` tells whether a pull request changes the image.
///
/// # Errors
///
/// [`TagError`] when the event has no commit, or no branch has an image.
pub fn plan(event: &Event, settings: &Settings, touched: bool) -> Result<Plan, TagError> {
    match &event.subject {
        Subject::PullRequest(pull_request) => {
            pull_request_plan(event, pull_request, settings, touched)
        }
        Subject::Branch(branch) => Ok(branch_plan(branch, settings)),
        Subject::Comment(comment) => Err(TagError::Unresolved(comment.number)),
        Subject::Nothing(_) => {
            let (_, tag) = base_image(event, None, settings)?;
            Ok(Plan {
                rule: Rule::Other,
                image: tag,
                action: Action::Use,
                publish: Vec::new(),
                build: false,
                comment: false,
                revision: None,
                number: None,
            })
        }
    }
}

fn pull_request_plan(
    event: &Event,
    pull_request: &PullRequest,
    settings: &Settings,
    touched: bool,
) -> Result<Plan, TagError> {
    let number = pull_request.number;
    let plan = Plan {
        rule: Rule::RegularPullRequest,
        image: base_image(event, Some(&pull_request.base.branch), settings)?.1,
        action: Action::Use,
        publish: Vec::new(),
        build: false,
        comment: false,
        revision: Some(pull_request.head.sha.clone()),
        number: Some(number),
    };
    if !touched || pull_request.action == "closed" {
        return Ok(plan);
    }
    let image = format!("pr-{number}");
    if event.may_publish() {
        let publish = vec![image.clone()];
        let (rule, action) = (Rule::ImagePullRequest, Action::Wait);
        return Ok(Plan { rule, image, action, publish, build: true, comment: true, ..plan });
    }
    let (rule, action) = (Rule::ForkPullRequest, Action::Build);
    Ok(Plan { rule, image, action, build: true, ..plan })
}

fn branch_plan(branch: &Branch, settings: &Settings) -> Plan {
    let commit = commit_tag(&branch.name, &branch.sha, settings.short_sha);
    let moving = settings.branches.get(&branch.name);
    let publish: Vec<String> = moving.into_iter().cloned().chain([commit.clone()]).collect();
    Plan {
        rule: if moving.is_some() { Rule::MovingBranch } else { Rule::Branch },
        image: publish.first().cloned().unwrap_or(commit),
        action: Action::Wait,
        publish,
        build: true,
        comment: false,
        revision: Some(branch.sha.clone()),
        number: None,
    }
}

/// The branch whose image stands for `base`, and its tag.
///
/// A pull request onto a branch that moves no tag (one of a stack) is compared with the default
/// branch and uses its image: whatever the stack changed below counts as changed here.
///
/// # Errors
///
/// [`TagError::NoBranchImage`] when neither has one.
pub fn base_image(
    event: &Event,
    base: Option<&str>,
    settings: &Settings,
) -> Result<(String, String), TagError> {
    let default = event.default_branch.as_deref().unwrap_or("main");
    let candidates = base.into_iter().chain([default]);
    let mut found = candidates.filter_map(|branch| Some((branch, settings.branches.get(branch)?)));
    let (branch, tag) = found
        .next()
        .ok_or_else(|| TagError::NoBranchImage { branch: base.unwrap_or(default).to_owned() })?;
    Ok((branch.to_owned(), tag.clone()))
}

/// The tag of one commit of a branch: `{branch}-sha-{commit}`.
///
/// A branch whose name begins like a cache's tag gets `branch-` and a mark before that: the cache of
/// another branch could have the same. No other tag with a meaning ends in `-sha-` and a commit.
#[must_use]
pub fn commit_tag(branch: &str, sha: &str, digits: usize) -> String {
    let suffix = format!("-sha-{}", sha.get(..digits).unwrap_or(sha));
    let room = TAG_MAX - suffix.len();
    let tag = format!("{}{suffix}", branch_slug(branch, room));
    let is_cache = tag.strip_prefix(SHARED_TAG).is_some_and(|rest| rest.starts_with('-'));
    if !is_cache {
        return tag;
    }
    let mark = &Digest::of(branch.as_bytes()).hex()[..MARK];
    let start = format!("branch-{mark}-");
    format!("{start}{}{suffix}", branch_slug(branch, room - start.len()))
}

/// What a tag means by the way it begins, if that is not up to branches.
#[must_use]
pub fn meaning(tag: &str) -> Option<&'static str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if tag.strip_prefix("pr-").is_some_and(digits) {
        Some("`pr-N` is a pull request's image")
    } else if tag.starts_with("key-") {
        Some("`key-…` is the image of a content key")
    } else if tag == SHARED_TAG || tag.strip_prefix(SHARED_TAG).is_some_and(|t| t.starts_with('-'))
    {
        Some("`buildcache…` is a build cache")
    } else if tag.starts_with("mount-") {
        Some("`mount-…` is a cache mount")
    } else if tag.starts_with("sha256-") {
        Some("`sha256-…` lists what belongs to an image")
    } else {
        None
    }
}

/// Spells a branch name with the characters of a tag, in at most `room` of them.
///
/// A slash becomes a dash, as people expect (`feature/x` is `feature-x`). A name that loses more
/// than that, by other characters or by its length, gets a mark from the whole name's hash, so that
/// `é` and `è`, or two long names with one beginning, stay apart.
pub(crate) fn branch_slug(branch: &str, room: usize) -> String {
    let mut slug = String::with_capacity(branch.len());
    let mut lossy = false;
    for character in branch.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-') {
            slug.push(character);
            continue;
        }
        lossy |= character != '/';
        if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let start = slug.len() - slug.trim_start_matches(['.', '-']).len();
    slug.drain(..start);
    lossy |= start > 0 || slug.is_empty() || slug.len() > room;
    if !lossy {
        return slug;
    }
    slug.truncate(room - MARK - 1);
    slug.truncate(slug.trim_end_matches('-').len());
    let mark = &Digest::of(branch.as_bytes()).hex()[..MARK];
    if slug.is_empty() { mark.to_owned() } else { format!("{slug}-{mark}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "abc1230000000000000000000000000000000000";

    fn tag(branch: &str) -> String {
        let tag = commit_tag(branch, SHA, 7);
        assert!(is_valid_tag(&tag), "`{tag}` for `{branch}`");
        tag
    }

    #[test]
    fn plain_names_and_slashes_stay_readable() {
        assert_eq!(tag("v2"), "v2-sha-abc1230");
        assert_eq!(tag("feature/Login_2.0"), "feature-Login_2.0-sha-abc1230");
    }

    #[test]
    fn names_that_lose_something_are_told_apart() {
        assert_ne!(tag("fix-é"), tag("fix-è"));
        assert_ne!(tag("功能"), tag("特性"));
        assert_ne!(tag(&"x".repeat(200)), tag(&"x".repeat(201)));
        assert_eq!(tag(&"x".repeat(200)).len(), 128);
        assert_eq!(tag(&"x".repeat(116)), format!("{}-sha-abc1230", "x".repeat(116)));
        assert_ne!(tag(".hidden"), tag("hidden"));
        assert_ne!(tag("-"), tag("."));
    }

    #[test]
    fn a_branch_takes_no_tag_that_means_something_else() {
        for name in ["buildcache", "buildcache-x", "buildcache/x"] {
            let tag = tag(name);
            assert!(meaning(&tag).is_none(), "{tag}");
            let slug = name.replace('/', "-");
            assert!(tag.starts_with("branch-") && tag.ends_with(&format!("-{slug}-sha-abc1230")));
        }
        assert_ne!(tag("buildcache-x"), tag("buildcache/x"));
        for name in ["buildcaches", "pr-7", "key-00", "mount-x"] {
            assert_eq!(tag(name), format!("{name}-sha-abc1230"));
        }
    }

    #[test]
    fn a_whole_commit_fits_too() {
        let tag = commit_tag(&"y".repeat(300), SHA, 40);
        assert!(is_valid_tag(&tag) && tag.ends_with(SHA), "{tag}");
    }
}
