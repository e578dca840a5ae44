//! Two graphs, and what differs between them.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::mark::Basis;
use super::{Graph, Mark, Step, What};
use crate::oci::digest::Digest;

/// Why a step ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The build before had no such step.
    New,
    /// The base image's name is the same and its digest is not.
    BaseMoved(String),
    /// Another image stands there.
    Base {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// A variable has another value.
    Variable {
        /// Whether an `ARG` sets it, else an `ENV` or the base image.
        arg: bool,
        /// Its name.
        name: String,
        /// Before; `None` when it was not set.
        from: Option<String>,
        /// Now.
        to: Option<String>,
    },
    /// A variable whose value is not kept has another one.
    Hidden,
    /// The command has another text.
    Command,
    /// User, folder and the like.
    Setting {
        /// Which.
        name: String,
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// A mount is another one, or has gone or come.
    Mount(String),
    /// The instruction has another text.
    Instruction,
    /// Files have another content: the first, and how many more.
    Files(String, usize),
    /// A URL or Git source is another one.
    Source(String),
    /// A step before it has another result: its lines and name.
    Input(Option<(u32, u32)>, String),
    /// Nothing changed: its result was not there any more.
    Evicted,
}

/// How many causes of one step are named.
const CAUSES_MAX: usize = 3;
/// The longest value that is printed.
const VALUE_MAX: usize = 60;

/// Tells for each step of `now` that ran why it did, seen from the build `before`.
///
/// `ran` are vertices of `now`. Sources are not steps that people look for: what changed in them is
/// told of the steps that use them.
#[must_use]
pub fn explain(
    before: &Graph,
    now: &Graph,
    ran: &BTreeSet<Digest>,
) -> BTreeMap<Digest, (usize, Vec<Cause>)> {
    let known = Known::new(before, now);
    let steps = now.steps.iter().zip(&now.vertices).enumerate();
    let ran = steps.filter(|(_, (step, vertex))| ran.contains(vertex) && step.is_instruction());
    ran.map(|(at, (_, vertex))| (*vertex, (at, causes(&known, now, at)))).collect()
}

/// Tells of each step of `now` that is not as it was `before`.
#[must_use]
pub fn moved(before: &Graph, now: &Graph) -> BTreeMap<Digest, (usize, Vec<Cause>)> {
    let known = Known::new(before, now);
    let vertices = now.vertices.iter().enumerate();
    let changed = vertices.filter(|(at, _)| !known.has(*at)).map(|(_, vertex)| *vertex);
    explain(before, now, &changed.collect())
}

impl Step {
    /// Whether people would call it a step.
    #[must_use]
    pub const fn is_instruction(&self) -> bool {
        matches!(self.what, What::Command { .. } | What::Files { .. })
    }

    /// Where it stands: `[go 2/4] RUN x` is the second step of `go`, however many there are.
    fn place(&self) -> Option<&str> {
        let (label, _) = self.name.strip_prefix('[')?.split_once(']')?;
        Some(label.rsplit_once('/').map_or(label, |(place, _)| place))
    }

    /// The instruction's first word.
    fn keyword(&self) -> &str {
        let text = self.name.split_once("] ").map_or(self.name.as_str(), |(_, text)| text);
        text.split(' ').next().unwrap_or_default()
    }
}

/// The build before, by what steps are found by.
struct Known<'a> {
    graph: &'a Graph,
    /// Keys of its steps.
    keys: BTreeSet<Digest>,
    /// Keys of this build's steps, in their order.
    now: Vec<Digest>,
    /// What this build's steps do.
    still: BTreeSet<&'a str>,
    /// Steps by what they do; equal ones in their order.
    own: BTreeMap<&'a str, Vec<usize>>,
    places: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Known<'a> {
    fn new(graph: &'a Graph, now: &'a Graph) -> Self {
        let mut own: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut places = BTreeMap::new();
        for (at, step) in graph.steps.iter().enumerate() {
            own.entry(&step.own).or_default().push(at);
            if let Some(place) = step.place() {
                places.entry((place, step.keyword())).or_insert(at);
            }
        }
        let basis = Basis::of(graph, now);
        let keys = graph.keys(basis).into_iter().collect();
        let still = now.steps.iter().map(|step| step.own.as_str()).collect();
        Self { graph, keys, now: now.keys(basis), still, own, places }
    }

    /// Whether it had the step of this build at `at`, as it is.
    fn has(&self, at: usize) -> bool {
        self.now.get(at).is_some_and(|key| self.keys.contains(key))
    }

    /// The step that `step` was: the one that does the same, else the one in its place.
    fn counterpart(&self, step: &Step) -> Option<&'a Step> {
        let same = self.own.get(step.own.as_str()).into_iter().flatten();
        let same: Vec<&Step> = same.map(|at| &self.graph.steps[*at]).collect();
        let in_place = same.iter().find(|other| other.place() == step.place());
        if let Some(found) = in_place.or_else(|| same.first()) {
            return Some(found);
        }
        let at = self.places.get(&(step.place()?, step.keyword()))?;
        // One that only moved is still there, and this one is new before it.
        Some(&self.graph.steps[*at]).filter(|before| !self.still.contains(before.own.as_str()))
    }
}

fn causes(known: &Known<'_>, now: &Graph, at: usize) -> Vec<Cause> {
    let step = &now.steps[at];
    if known.has(at) {
        return vec![Cause::Evicted];
    }
    let Some(before) = known.counterpart(step) else { return vec![Cause::New] };
    let mut found = own_causes(before, step);
    found.extend(files(&before.files, &step.files));
    if found.is_empty() {
        found.extend(step.inputs.iter().find_map(|input| input_cause(known, now, *input)));
    }
    if found.is_empty() {
        found.push(if before.own == step.own { Cause::Evicted } else { Cause::Instruction });
    }
    found
}

/// What changed in the op itself.
fn own_causes(before: &Step, now: &Step) -> Vec<Cause> {
    if before.own == now.own {
        return Vec::new();
    }
    let (
        What::Command { command, env, args, settings, mounts },
        What::Command {
            command: old_command,
            env: old_env,
            args: old_args,
            settings: old_settings,
            mounts: old_mounts,
        },
    ) = (&now.what, &before.what)
    else {
        return vec![Cause::Instruction];
    };
    let mut found = Vec::new();
    let names: BTreeSet<&String> = env.keys().chain(old_env.keys()).collect();
    for name in names {
        let (from, to) = (old_env.get(name), env.get(name));
        if from != to {
            let value = |value: Option<&Option<String>>| match value {
                Some(Some(value)) => Some(shortened(value)),
                Some(None) => Some("***".to_owned()),
                None => None,
            };
            let arg = args.contains(name) || old_args.contains(name);
            let (from, to) = (value(from), value(to));
            found.push(Cause::Variable { arg, name: name.clone(), from, to });
        }
    }
    if command != old_command {
        found.push(Cause::Command);
    }
    for (name, to) in settings {
        let from = old_settings.get(name).cloned().unwrap_or_default();
        if from != *to {
            found.push(Cause::Setting { name: name.clone(), from, to: to.clone() });
        }
    }
    let places: BTreeSet<&String> = mounts.keys().chain(old_mounts.keys()).collect();
    let changed = places.into_iter().filter(|place| mounts.get(*place) != old_mounts.get(*place));
    found.extend(changed.map(|place| Cause::Mount(place.clone())));
    if found.is_empty() {
        let hidden = env.values().any(Option::is_none);
        found.push(if hidden { Cause::Hidden } else { Cause::Instruction });
    }
    found
}

fn files(before: &BTreeMap<String, Mark>, now: &BTreeMap<String, Mark>) -> Option<Cause> {
    let paths: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let is_same = |path: &String| match (before.get(path), now.get(path)) {
        (Some(before), Some(now)) => before.is_same(now),
        _ => false,
    };
    let mut changed: Vec<&String> = paths.into_iter().filter(|path| !is_same(path)).collect();
    // A file that changed changes no folder above it; one that comes or goes does not matter more.
    changed.sort_by_key(|path| (!(before.contains_key(*path) && now.contains_key(*path)), *path));
    let (first, more) = changed.split_first()?;
    Some(Cause::Files((*first).clone(), more.len()))
}

/// What is to be said of an input, if it is not as it was.
fn input_cause(known: &Known<'_>, now: &Graph, at: usize) -> Option<Cause> {
    let step = &now.steps[at];
    if known.has(at) {
        return None;
    }
    match &step.what {
        What::Image { reference, .. } => {
            let images = known.graph.steps.iter().filter_map(|step| match &step.what {
                What::Image { reference, .. } => Some(reference),
                _ => None,
            });
            let images: Vec<&String> = images.collect();
            if images.contains(&reference) {
                return Some(Cause::BaseMoved(reference.clone()));
            }
            let from = known.counterpart(step).and_then(|before| match &before.what {
                What::Image { reference, .. } => Some(reference.clone()),
                _ => None,
            });
            // The one image of that name under another tag.
            let name = |text: &str| text.rsplit_once(':').map_or(text, |(name, _)| name).to_owned();
            let same = images.into_iter().find(|other| name(other) == name(reference)).cloned();
            Some(match from.or(same) {
                Some(from) => Cause::Base { from, to: reference.clone() },
                None => Cause::Instruction,
            })
        }
        What::Source { identifier } => Some(Cause::Source(identifier.clone())),
        // Its files are told of the step that reads them.
        What::Local { .. } => None,
        What::Command { .. } | What::Files { .. } => {
            Some(Cause::Input(step.lines, step.name.clone()))
        }
        What::Other => step.inputs.iter().find_map(|input| input_cause(known, now, *input)),
    }
}

fn shortened(value: &str) -> String {
    if value.chars().count() <= VALUE_MAX {
        return value.to_owned();
    }
    value.chars().take(VALUE_MAX - 1).chain(['…']).collect()
}

impl Cause {
    /// All causes of a step in one line.
    #[must_use]
    pub fn line(causes: &[Self]) -> String {
        let mut parts: Vec<String> =
            causes.iter().take(CAUSES_MAX).map(ToString::to_string).collect();
        if causes.len() > CAUSES_MAX {
            parts.push(format!("and {} more", causes.len() - CAUSES_MAX));
        }
        parts.join("; ")
    }

    /// Whether the step is to blame itself, and not one before it.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        !matches!(self, Self::Input(..))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new step"),
            Self::BaseMoved(image) => write!(f, "base image `{}` moved", familiar(image)),
            Self::Base { from, to } => {
                write!(f, "base image {} → {}", familiar(from), familiar(to))
            }
            Self::Variable { arg, name, from, to } => {
                let kind = if *arg { "ARG" } else { "ENV" };
                let value = |value: &Option<String>| match value.as_deref() {
                    Some("") => "\"\"".to_owned(),
                    Some(value) => value.to_owned(),
                    None => "unset".to_owned(),
                };
                write!(f, "{kind} {name} {} → {} in its env", value(from), value(to))
            }
            Self::Hidden => f.write_str("a variable changed whose value is kept secret"),
            Self::Command => f.write_str("command changed"),
            Self::Setting { name, from, to } if from.is_empty() => write!(f, "{name} is now {to}"),
            Self::Setting { name, from, to } => write!(f, "{name} {from} → {to}"),
            Self::Mount(place) => write!(f, "mount `{place}` changed"),
            Self::Instruction => f.write_str("instruction changed"),
            Self::Files(first, 0) => write!(f, "{first} changed"),
            Self::Files(first, more) => write!(f, "{first} and {more} more changed"),
            Self::Source(identifier) => write!(f, "{identifier} changed"),
            Self::Input(Some((line, _)), _) => write!(f, "input step changed: line {line}"),
            Self::Input(None, name) => write!(f, "input step changed: {name}"),
            Self::Evicted => f.write_str("evicted"),
        }
    }
}

/// A reference as people write it.
fn familiar(reference: &str) -> String {
    crate::oci::reference::ImageReference::parse(reference)
        .map_or_else(|_| reference.to_owned(), |parsed| parsed.familiar())
}
