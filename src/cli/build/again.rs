//! Directories whose files have not changed since the engine received them: it is asked for what it
//! made of them then, and no file is looked at twice.
//!
//! The engine knows the files of a local source by the session that it names and by nothing else, and
//! keeps what it made of them as any other result. A build whose files are those of an earlier one names
//! the session of that one; if the engine has lost the result it asks for the files, and they are sent.
//! The files are looked at while the Dockerfile is compiled, which names that session on trial.
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::Args;
use tokio::task::JoinHandle;

use super::Build;
use crate::cache::contexts::{Place, Received};
use crate::cli::caching::Caches;
use crate::cli::source::Source;
use crate::engine::session::SessionBuilder;
use crate::engine::session::filesync::fingerprint::{Fingerprint, Synced, Wanted, fingerprint};
use crate::engine::state::StateDir;
use crate::fault::Fault;
use crate::plan::dockerfile::{Compiled, LocalContext};

/// So many files are looked at without a thread.
const FEW: u64 = 256;

/// The flag that has files compared in any case.
#[derive(Debug, Args)]
pub(super) struct AgainArgs {
    /// Have the engine compare the files of the build context with its copy, even if they have not changed since the
    /// last build
    #[arg(long, env = "KITWRIGHT_ALWAYS_SYNC")]
    always_sync: bool,
}

/// What is known of the files that the engine has received before.
#[derive(Default)]
pub(super) struct Again {
    /// Where that is kept; nowhere if it is not to be used.
    place: Option<Place>,
    /// What is kept, and whether it is still true.
    received: Option<(Received, Looking)>,
    /// What is kept and true.
    unchanged: Option<Received>,
    /// What this build asks of the directories, once that is known.
    wanted: BTreeSet<Wanted>,
    /// What is sent in this build.
    synced: Synced,
}

impl Again {
    /// Begins to look at the files that the last build has sent.
    pub(super) fn begin(args: &Build, source: &Source, caches: &Caches) -> Self {
        // Caches that are written tell of files by their content, which the engine must have looked at.
        let writes = !caches.exports.is_empty() || caches.inline.is_some();
        let runs_anew = args.source.no_cache || !args.source.no_cache_filter.is_empty();
        if args.again.always_sync || writes || runs_anew || !source.keeps_directories() {
            return Self::default();
        }
        let Ok(state) = StateDir::from_env(|name| std::env::var_os(name)) else {
            return Self::default();
        };
        let place = place(&state, args, source);
        let received = place.read().map(|received| {
            let looking = Looking::begin(&received, source);
            (received, looking)
        });
        Self { place: Some(place), received, ..Self::default() }
    }

    /// The sessions that the Dockerfile is compiled with on trial, by the names of directories.
    pub(super) fn sessions(&self, source: &Source) -> BTreeMap<String, String> {
        let Some((received, _)) = &self.received else { return BTreeMap::new() };
        source.directories.keys().map(|name| (name.clone(), received.session.clone())).collect()
    }

    /// Whether what was compiled on trial can be built.
    pub(super) async fn holds(&mut self, compiled: &Compiled, source: &Source) -> bool {
        let locals = compiled.platforms.iter().flat_map(|platform| &platform.locals);
        self.wanted = locals.map(wanted).collect();
        let Some((received, looking)) = self.received.take() else { return true };
        if self.wanted.iter().eq(received.files.keys()) && looking.meets(&received, source).await {
            self.unchanged = Some(received);
        }
        self.unchanged.is_some()
    }

    /// Whether the engine has the files from an earlier build.
    pub(super) const fn is_unchanged(&self) -> bool {
        self.unchanged.is_some()
    }

    /// Has the files served under the session of the build that sent them, if they are asked for.
    pub(super) fn offered(&self, session: SessionBuilder) -> SessionBuilder {
        if self.place.is_none() || self.wanted.is_empty() {
            return session;
        }
        let earlier = self.unchanged.as_ref().map(|received| received.session.clone());
        session.noting(self.synced.clone()).in_place_of(earlier)
    }

    /// Keeps what the engine has received in the build that has ended, whose session was `session` and which failed
    /// by `fault`.
    pub(super) fn keep(self, session: &str, fault: Option<Fault>) {
        let Some(place) = self.place.filter(|_| !self.wanted.is_empty()) else { return };
        let sent = self.synced.taken();
        if let Some(received) = &self.unchanged {
            // If the engine has asked for them after all, what it has now must be what it had. Should it be
            // confused about an old session, the next build does not name that.
            let same = fault.is_none_or(|fault| fault != Fault::Environment)
                && sent.iter().all(|(wanted, now)| received.files.get(wanted) == now.as_ref());
            if !same {
                place.forget();
            }
            return;
        }
        let files: Option<BTreeMap<_, _>> = self
            .wanted
            .into_iter()
            .map(|wanted| sent.get(&wanted).copied().flatten().map(|print| (wanted, print)))
            .collect();
        match files {
            // Without it the next build sends them again.
            Some(files) => drop(place.keep(session, files)),
            None => place.forget(),
        }
    }
}

/// The look at the files.
enum Looking {
    /// There are few: it takes less time than to start a thread, and is done when it is needed.
    Later,
    /// It has begun.
    Begun(JoinHandle<bool>),
}

impl Looking {
    fn begin(received: &Received, source: &Source) -> Self {
        if received.files.values().map(|print| print.entries).sum::<u64>() <= FEW {
            return Self::Later;
        }
        let (files, directories) = (received.files.clone(), source.directories.clone());
        Self::Begun(tokio::task::spawn_blocking(move || are_same(&files, &directories)))
    }

    async fn meets(self, received: &Received, source: &Source) -> bool {
        match self {
            Self::Later => are_same(&received.files, &source.directories),
            Self::Begun(looking) => looking.await.unwrap_or(false),
        }
    }
}

fn are_same(
    files: &BTreeMap<Wanted, Fingerprint>,
    directories: &BTreeMap<String, PathBuf>,
) -> bool {
    files.iter().all(|(wanted, known)| {
        let root = directories.get(&wanted.name);
        root.is_some_and(|root| fingerprint(root, wanted).is_ok_and(|now| now == *known))
    })
}

fn wanted(local: &LocalContext) -> Wanted {
    Wanted {
        name: local.name.clone(),
        include: Vec::new(),
        exclude: local.exclude_patterns.clone(),
        follow: local.follow_paths.clone(),
    }
}

/// Where it is kept what the engine has received for builds like this one.
fn place(state: &StateDir, args: &Build, source: &Source) -> Place {
    let absolute = |path| std::path::absolute(path).unwrap_or_default();
    let mut parts = vec![args.engine.builder.clone().unwrap_or_default().into_bytes()];
    parts.push(args.source.target.clone().unwrap_or_default().into_bytes());
    parts.push(args.source.platform.join(",").into_bytes());
    let dockerfile = source.dockerfile.path.as_ref().map(absolute).unwrap_or_default();
    parts.push(dockerfile.as_os_str().as_bytes().to_vec());
    for (name, path) in &source.directories {
        parts.push(name.clone().into_bytes());
        parts.push(absolute(path).as_os_str().as_bytes().to_vec());
    }
    Place::of(&state.root().join("contexts"), parts.iter().map(Vec::as_slice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::digest::Digest;

    fn files(text: &str) -> BTreeMap<Wanted, Fingerprint> {
        let wanted = Wanted { name: "context".into(), ..Wanted::default() };
        BTreeMap::from([(wanted, Fingerprint { digest: Digest::of(text.as_bytes()), entries: 1 })])
    }

    /// The session that the next build names, after one that named `earlier` and sent `sent`.
    fn next(sent: &BTreeMap<Wanted, Option<Fingerprint>>, fault: Option<Fault>) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let place = || Place::of(folder.path(), [&b"build"[..]]);
        place().keep("earlier", files("one")).unwrap();
        let unchanged = place().read();
        assert!(unchanged.is_some());
        let again = Again {
            place: Some(place()),
            unchanged,
            wanted: files("one").into_keys().collect(),
            synced: Synced::of(sent.clone()),
            ..Again::default()
        };
        again.keep("own", fault);
        place().read().map(|received| received.session)
    }

    #[test]
    fn a_session_is_not_named_again_when_other_files_were_sent_for_it() {
        let sent = |text| files(text).into_iter().map(|(wanted, print)| (wanted, Some(print)));
        let earlier = Some("earlier".to_owned());
        assert_eq!(next(&BTreeMap::new(), None), earlier, "nobody asked");
        assert_eq!(next(&sent("one").collect(), None), earlier);
        assert_eq!(next(&sent("two").collect(), None), None);
        let vague = files("one").into_keys().map(|wanted| (wanted, None)).collect();
        assert_eq!(next(&vague, None), None, "they could change unnoticed");
        // A step that failed has the same files; an engine that failed may be confused.
        assert_eq!(next(&sent("one").collect(), Some(Fault::Build)), earlier);
        assert_eq!(next(&sent("one").collect(), Some(Fault::Environment)), None);
    }
}
