//! Which caches serve which step of what a command compiles.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::source::Source;
use crate::cache::hierarchy;
use crate::cache::keys::content::Tree;
use crate::cache::keys::{self, ImageChains, Selector, StepKey, local};
use crate::cache::predict::{CacheRef, Contents, Prediction, predict};
use crate::cache::probe::Answer;
use crate::engine::state::StateDir;
use crate::key::memory::Memory;
use crate::oci::digest::Digest;
use crate::plan::dockerfile::{Compiled, CompiledPlatform};

/// The folder in the state folder that remembers the engine's digests of files.
const MEMORY: &str = "engine-files";

/// Predicts every platform of `compiled`, with the caches in order.
pub(super) fn of(source: &Source, compiled: &Compiled, refs: &[CacheRef<'_>]) -> Vec<Prediction> {
    let mut subject = Subject::new(source, compiled);
    let predictions = subject.predict(refs);
    subject.remember();
    predictions
}

/// What is predicted, perhaps of several sets of caches: keys are computed and files read once.
pub(super) struct Subject<'a> {
    source: &'a Source,
    platforms: Vec<Vec<StepKey>>,
    files: Option<Files<'a>>,
    /// The bytes of files that are read at most of a directory.
    limit: Option<u64>,
}

impl<'a> Subject<'a> {
    /// Computes the keys of every platform of `compiled`.
    pub(super) fn new(source: &'a Source, compiled: &Compiled) -> Self {
        let keys = |platform: &CompiledPlatform| keys::of(&platform.definition, &chains(platform));
        let platforms = compiled.platforms.iter().map(keys).collect();
        Self { source, platforms, files: None, limit: None }
    }

    /// Has no more than so many bytes read of a directory, whose content is unknown beyond that.
    pub(super) const fn limit(&mut self, bytes: u64) {
        self.limit = Some(bytes);
    }

    /// Predicts every platform.
    pub(super) fn predict(&mut self, refs: &[CacheRef<'_>]) -> Vec<Prediction> {
        let files = self.files.get_or_insert_with(|| Files::of(self.source, self.limit));
        self.platforms.iter().map(|keys| predict(keys, refs, files)).collect()
    }

    /// The same without a look at any file.
    pub(super) fn predict_unread(&self, refs: &[CacheRef<'_>]) -> Vec<Prediction> {
        self.platforms.iter().map(|keys| predict(keys, refs, &Unread)).collect()
    }

    /// Keeps the digests of files that were read; if that fails, the next run reads them again.
    pub(super) fn remember(self) {
        if let Some(files) = self.files {
            files.remember();
        }
    }
}

/// Directories of which nothing is known.
struct Unread;

impl Contents for Unread {
    fn digest(&self, _: &local::Request, _: &[Selector]) -> Result<Digest, String> {
        Err("its files have not been read".to_owned())
    }
}

/// The caches that answered, as far as they can be read.
///
/// One that cannot be read before the engine does counts as one that may hold anything.
pub(super) fn refs(answers: &[Answer]) -> Vec<CacheRef<'_>> {
    answers.iter().filter_map(cache_ref).collect()
}

fn cache_ref(answer: &Answer) -> Option<CacheRef<'_>> {
    match answer {
        Answer::Ready(probed) => {
            Some(CacheRef { name: probed.name.clone(), config: Some(&probed.config) })
        }
        Answer::Unprobed(entry) => Some(CacheRef { name: hierarchy::name(entry), config: None }),
        Answer::Dropped { .. } => None,
    }
}

fn chains(platform: &CompiledPlatform) -> ImageChains {
    let images = platform.images.iter();
    images
        .filter_map(|image| Some(((image.digest, image.platform.normalize()), image.chain_id?)))
        .collect()
}

/// The directories of a command, each read once for all steps.
struct Files<'a> {
    directories: &'a BTreeMap<String, PathBuf>,
    trees: RefCell<BTreeMap<local::Request, Result<Tree, String>>>,
    memory: RefCell<Memory>,
    limit: Option<u64>,
}

impl<'a> Files<'a> {
    fn of(source: &'a Source, limit: Option<u64>) -> Self {
        // Without a state folder every file is read.
        let state = StateDir::from_env(|name| std::env::var_os(name));
        let memory =
            state.map_or_else(|_| Memory::empty(), |state| Memory::open(state.root().join(MEMORY)));
        Self {
            directories: &source.directories,
            trees: RefCell::default(),
            memory: RefCell::new(memory),
            limit,
        }
    }

    fn remember(self) {
        let _ = self.memory.into_inner().save();
    }
}

impl Contents for Files<'_> {
    fn digest(&self, directory: &local::Request, selectors: &[Selector]) -> Result<Digest, String> {
        let mut trees = self.trees.borrow_mut();
        let tree = trees.entry(directory.clone()).or_insert_with(|| {
            let Some(root) = self.directories.get(&directory.name) else {
                return Err("it is not part of the build".to_owned());
            };
            let root = std::path::absolute(root).unwrap_or_else(|_| root.clone());
            local::tree(&root, directory, &mut self.memory.borrow_mut(), self.limit)
                .map_err(|error| error.to_string())
        });
        let tree = tree.as_ref().map_err(Clone::clone)?;
        tree.digest(selectors).map_err(|error| error.to_string())
    }
}
