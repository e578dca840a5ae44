//! The folders in which a benchmark's engines and registry live: held while it runs, and cleared after it.
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{BenchError, failed};
use crate::bench::lab::MEMORY;
use crate::oci::digest::Digest;

/// The folders of one benchmark, which is the only one there.
pub(super) struct Folders<'a> {
    folder: &'a Path,
    memory: &'a Path,
    _lock: File,
}

/// Where the benchmark in `folder` keeps what is to lie in memory.
pub(super) fn in_memory(folder: &Path) -> PathBuf {
    let hex = Digest::of(folder.as_os_str().as_encoded_bytes()).hex();
    Path::new(MEMORY).join(format!("kitwright-bench-{}", &hex[..16]))
}

impl<'a> Folders<'a> {
    /// Makes `folder` anew and holds it, and `memory` with it, which is made by who needs it.
    pub(super) fn hold(folder: &'a Path, memory: &'a Path) -> Result<Self, BenchError> {
        let path = folder.with_extension("lock");
        let above = folder.parent().unwrap_or(folder);
        fs_err::create_dir_all(above).map_err(failed("make", above))?;
        let lock = fs_err::File::create(&path).map_err(failed("open", &path))?.into_parts().0;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(BenchError::Busy(folder.to_owned()));
        }
        for left in [folder, memory] {
            clear(left)?;
        }
        fs_err::create_dir_all(folder).map_err(failed("make", folder))?;
        Ok(Self { folder, memory, _lock: lock })
    }

    /// Removes both.
    pub(super) fn remove(self) -> Result<(), BenchError> {
        [self.folder, self.memory].into_iter().try_for_each(remove)
    }
}

/// Removes what a killed benchmark has left; its engines may still be stopping.
fn clear(folder: &Path) -> Result<(), BenchError> {
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let life = entry.path().join("engine/life.lock");
        if let Ok(file) = fs_err::File::open(&life) {
            flock(file.file(), FlockOperation::LockExclusive)
                .map_err(|error| failed("wait for", &life)(error.into()))?;
        }
    }
    remove(folder)
}

fn remove(folder: &Path) -> Result<(), BenchError> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", folder)(error))
        }
        _ => Ok(()),
    }
}
