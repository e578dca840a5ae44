//! Why a step ran again.
//!
//! Input: the graph of the last build ([`Graph`], as [`keep`] has it from the state folder or from the
//! registry), that of this build, and the steps that ran. Output: a [`Cause`] for each of them.
//!
//! A graph is kept without anything that differs between machines and sessions, and without
//! anything that could be a secret: commands and file contents are digests, and values of variables
//! whose name or form says that they are secret are left out.

mod compare;
pub mod keep;
mod mark;
mod record;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oci::digest::Digest;

pub use compare::{Cause, explain, moved};
pub use mark::Mark;
pub use record::{Reading, record};

/// The version of the document.
pub const VERSION: u32 = 1;

/// What a build was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// [`VERSION`].
    pub version: u32,
    /// The Dockerfile's name.
    pub dockerfile: String,
    /// The steps, each after its inputs; those of further platforms after those of the first.
    pub steps: Vec<Step>,
    /// The digests of the steps' vertices in this build's session, in the order of the steps. They
    /// tell which step a status event is about; another build has others, so they are not kept.
    #[serde(skip)]
    pub vertices: Vec<Digest>,
}

/// One op.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The lines of the Dockerfile that it comes from, first and last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<(u32, u32)>,
    /// The steps whose results it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<usize>,
    /// What it does.
    pub what: What,
    /// Stands for everything in the op itself.
    pub own: String,
    /// The files that it reads from local directories, by their paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Mark>,
}

impl Graph {
    /// The same without what only this machine knows of files, where the rest says as much.
    #[must_use]
    pub fn portable(&self) -> Self {
        let mut graph = self.clone();
        graph
            .steps
            .iter_mut()
            .flat_map(|step| step.files.values_mut())
            .for_each(Mark::forget_times);
        graph
    }

    /// For each step what stands for all that its result depends on, the state of files included.
    ///
    /// Only keys of the same `basis` compare.
    fn keys(&self, basis: mark::Basis) -> Vec<Digest> {
        let mut keys: Vec<Digest> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let mut whole = step.own.clone().into_bytes();
            for input in &step.inputs {
                whole.extend_from_slice(keys[*input].as_bytes());
            }
            for (path, mark) in &step.files {
                whole.extend_from_slice(format!("\n{path} {}", mark.by(basis)).as_bytes());
            }
            keys.push(Digest::of(&whole));
        }
        keys
    }
}

/// What an op does, as far as people ask about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Runs a command.
    Command {
        /// Stands for the command and its arguments.
        command: String,
        /// Its environment; values that could be secret are missing.
        env: BTreeMap<String, Option<String>>,
        /// The names of the environment that `ARG` sets.
        args: Vec<String>,
        /// User, folder, network and the like.
        settings: BTreeMap<String, String>,
        /// The mounts by their places.
        mounts: BTreeMap<String, String>,
    },
    /// Changes files.
    Files {
        /// Stands for each change.
        actions: Vec<String>,
    },
    /// Starts from an image.
    Image {
        /// Its reference without the digest.
        reference: String,
        /// Its digest.
        digest: String,
    },
    /// Takes files from a directory of the client.
    Local {
        /// The directory's name.
        name: String,
    },
    /// Takes files from somewhere else.
    Source {
        /// From where, without credentials.
        identifier: String,
    },
    /// Something that no instruction makes by itself, such as laying trees over each other.
    #[default]
    Other,
}

#[cfg(test)]
mod tests;
