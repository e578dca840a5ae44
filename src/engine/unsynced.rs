//! An engine whose state need not outlive the machine: `fsync` does nothing for it and its steps.
//!
//! BuildKit syncs its databases several times for every layer that it comes to know, and waits for the disk
//! each time. On a machine that is thrown away after the job, nobody will ever read what that keeps safe.
//! The kernel answers the system calls of the daemon and its children itself, by a seccomp filter.
//!
//! Nothing is lost by a killed process: what it wrote is in the kernel. After a crash of the machine the
//! state may be torn, so it is marked with the boot that wrote it, and another boot throws it away.
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::state::{StateError, replace_file};

/// The variable that asks for such an engine when it is `false`.
pub(super) const VARIABLE: &str = "KITWRIGHT_ENGINE_SYNC";
/// The first argument of a process that becomes the daemon within its user namespace.
const BECOME: &str = "become-daemon";
/// Tells such a process to have syncs answered.
const SYNC_NOTHING: &str = "sync-nothing";
/// Where the kernel tells which boot this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Whether the environment asks for an engine that syncs nothing.
pub(super) fn is_wanted() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == "false" || value == "0")
}

/// What stands before the daemon's own command line in a user namespace: nobody has the right to a filter, or to
/// the files of subordinate users, before that has been made.
pub(super) fn within_namespace(own: PathBuf, engine: &Path, unsynced: bool) -> Vec<OsString> {
    let torn = torn(engine);
    if !unsynced && !torn.exists() {
        return Vec::new();
    }
    let syncs = if unsynced { SYNC_NOTHING } else { "" };
    vec![own.into(), BECOME.into(), torn.into(), syncs.into()]
}

/// Becomes the program that the last arguments name, if the first one says so.
#[must_use]
pub fn run_as_launcher() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != OsStr::new(BECOME) {
        return None;
    }
    let (torn, syncs, program) = (arguments.next()?, arguments.next()?, arguments.next()?);
    // What stays is tried again at the next start.
    let _ = fs_err::remove_dir_all(Path::new(&torn));
    if syncs == SYNC_NOTHING {
        answer_syncs();
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("kitwright {BECOME}: cannot run `{}`: {error}", program.display());
    Some(ExitCode::from(crate::fault::Fault::Environment.exit_code()))
}

/// Makes sure that the state below `engine` can be trusted, and marks it if it will not be synced.
///
/// # Errors
///
/// When what another boot has left cannot be removed, or the mark not be written.
pub(super) fn prepare(engine: &Path, root: &Path, unsynced: bool) -> Result<(), StateError> {
    let mark = mark(engine);
    let boot = fs_err::read_to_string(BOOT).unwrap_or_default();
    let marked = fs_err::read_to_string(&mark).ok();
    if let Some(marked) = &marked {
        if *marked != boot || boot.is_empty() {
            let torn = torn(engine);
            fs_err::create_dir_all(&torn).map_err(StateError::io("create the folder", &torn))?;
            let place = torn.join(super::identity::random());
            fs_err::rename(root, &place).map_err(StateError::io("move away", root))?;
            fs_err::create_dir_all(root).map_err(StateError::io("create the folder", root))?;
            // An ordinary user cannot: the daemon's own namespace does it.
            let _ = fs_err::remove_dir_all(&torn);
            sync(engine).map_err(StateError::io("sync", engine))?;
        } else if !unsynced {
            sync(root).map_err(StateError::io("sync", root))?;
        }
    }
    match unsynced {
        true if marked.as_ref() == Some(&boot) => Ok(()),
        true => {
            replace_file(&mark, boot.as_bytes())?;
            let safe = fs_err::File::open(&mark).and_then(|file| file.sync_all());
            let safe = safe.and_then(|()| fs_err::File::open(engine)?.sync_all());
            safe.map_err(StateError::io("sync", &mark))
        }
        false if marked.is_some() => {
            fs_err::remove_file(&mark).map_err(StateError::io("remove", &mark))
        }
        false => Ok(()),
    }
}

fn mark(engine: &Path) -> PathBuf {
    engine.join("unsynced")
}

/// Where state goes that is not to be used any more.
fn torn(engine: &Path) -> PathBuf {
    engine.join("torn")
}

/// Has everything on the file system of `path` written out.
fn sync(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs_err::File::open(path)?)?)
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// On others nothing is filtered.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: u32 = 0;

/// Has the kernel answer `fsync`, `fdatasync` and `syncfs` of this process and its children with success.
///
/// It takes the right to administrate the system, which the root user of a machine or of a user namespace
/// has; without it nothing changes. Makes system calls only, as what runs between `fork` and `exec` must.
pub(super) fn answer_syncs() {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // Where `seccomp_data` has the number and the architecture.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const ALLOW: u32 = 0x7fff_0000;
    // An error of number 0, which is none.
    const SUCCESS: u32 = 0x0005_0000;
    const SET_FILTER: libc::c_int = 1;
    // A filter would else slow the process down, as a mitigation for those that distrust themselves.
    const KEEP_SPECULATION: libc::c_int = 4;
    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code, jt, jf, k }
    }
    let mut filter = [
        op(LOAD, 0, 0, ARCH),
        op(EQUAL, 0, 4, ARCHITECTURE),
        op(LOAD, 0, 0, NUMBER),
        op(EQUAL, 3, 0, libc::SYS_fsync as u32),
        op(EQUAL, 2, 0, libc::SYS_fdatasync as u32),
        op(EQUAL, 1, 0, libc::SYS_syncfs as u32),
        op(RETURN, 0, 0, ALLOW),
        op(RETURN, 0, 0, SUCCESS),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its instructions live until the call, which copies them, has returned.
    unsafe { libc::syscall(libc::SYS_seccomp, SET_FILTER, KEEP_SPECULATION, &raw const program) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_boots_state_is_thrown_away_and_this_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, root) = (folder.path(), folder.path().join("root"));
        let content = root.join("cache.db");
        let fill = || {
            fs_err::create_dir_all(&root).unwrap();
            fs_err::write(&content, "x").unwrap();
        };
        fill();
        prepare(engine, &root, false).unwrap();
        assert!(content.exists() && !mark(engine).exists());
        prepare(engine, &root, true).unwrap();
        prepare(engine, &root, true).unwrap();
        assert!(content.exists() && mark(engine).exists());
        // It is safe from now on.
        prepare(engine, &root, false).unwrap();
        assert!(content.exists() && !mark(engine).exists());
        for unsynced in [true, false] {
            fill();
            fs_err::write(mark(engine), "another boot\n").unwrap();
            prepare(engine, &root, unsynced).unwrap();
            assert!(root.is_dir() && !content.exists() && !torn(engine).exists());
            assert_eq!(mark(engine).exists(), unsynced);
        }
    }
}
