//! Files that tools write at each run about what they have cached.
//!
//! They are kept with the rest of a mount, but are no reason to save it again: whatever is worth that
//! comes as another file, which counts. The list is of files that were seen to change in builds that
//! fetched nothing.
use alloc::vec::Vec;

/// What of a file tells whether a mount has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Its path, size, mode and content.
    Content,
    /// All but its content.
    Size,
    /// Nothing.
    Nothing,
}

/// Files: the folder that they are in, unless that is the mount itself, and their name.
const FILES: [(&[u8], &[u8]); 6] = [
    // apt's view of its lists, with the times of files in it.
    (b"apt", b"pkgcache.bin"),
    (b"apt", b"srcpkgcache.bin"),
    // What Cargo knows of the compiler, in no order.
    (b"target", b".rustc_info.json"),
    // When Cargo last used what.
    (b"cargo", b".global-cache"),
    // When Go last looked for old entries, and when it last forgot tests.
    (b"go-build", b"trim.txt"),
    (b"go-build", b"testexpire.txt"),
];

/// Folders, in the same way: all that is below them.
const FOLDERS: [(&[u8], &[u8]); 3] = [
    // npm appends to its index what it knows already; content lies elsewhere.
    (b"_cacache", b"index-v5"),
    (b".npm", b"_logs"),
    // When pip last looked for a newer pip.
    (b"pip", b"selfcheck"),
];

/// What of the file at `path` in a mount tells whether the mount has changed.
pub fn counted(path: &[u8]) -> Counted {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let Some((name, folders)) = parts.split_last() else { return Counted::Content };
    // Whether the part `at` is `known` in a folder called `place`, or in a mount of that folder.
    let is = |at: usize, (place, known): &(&[u8], &[u8])| {
        parts[at] == *known && (at == 0 || parts[at - 1] == *place)
    };
    if FILES.iter().any(|file| is(folders.len(), file))
        || (0..folders.len()).any(|at| FOLDERS.iter().any(|folder| is(at, folder)))
    {
        return Counted::Nothing;
    }
    if is_pip_answer(folders, name) || is_go_action(folders, name) {
        return Counted::Size;
    }
    Counted::Content
}

/// Whether this holds the date at which a server last told pip something: all of `http/a/b/c/d/e/abcde…`,
/// and of `http-v2/a/b/c/d/e/abcde…` what is not the `.body`.
fn is_pip_answer(folders: &[&[u8]], name: &[u8]) -> bool {
    let [.., kind, a, b, c, d, e] = folders else { return false };
    let digits = [a, b, c, d, e].into_iter().zip(name).all(|(folder, digit)| *folder == [*digit]);
    digits && (*kind == b"http" || *kind == b"http-v2" && !name.ends_with(b".body"))
}

/// Whether this says of a step of Go what came of it, and when: `ab/ab…-a`, with 64 digits.
fn is_go_action(folders: &[&[u8]], name: &[u8]) -> bool {
    let Some((digits, b"-a")) = name.split_at_checked(64) else { return false };
    folders.last().is_some_and(|folder| folder.len() == 2 && digits.starts_with(folder))
        && digits.iter().all(u8::is_ascii_hexdigit)
}
