//! Extended attributes of the files of a context.
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;

/// What macOS keeps to itself.
const LEFT_OUT: &[u8] = b"com.apple.";

/// Reads extended attributes, one file after the other, into the same memory.
pub struct Xattrs {
    /// The root and the path below it.
    path: Vec<u8>,
    root: usize,
    names: Vec<u8>,
    found: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Xattrs {
    /// A reader below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let mut path = root.as_os_str().as_bytes().to_vec();
        path.push(b'/');
        Self { root: path.len(), path, names: Vec::with_capacity(1 << 10), found: Vec::new() }
    }

    /// The attributes of the file at `path` below the root; of a link itself, not of its target.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn read(&mut self, path: &[u8]) -> Result<&[(Vec<u8>, Vec<u8>)], Errno> {
        self.found.clear();
        self.path.truncate(self.root);
        self.path.extend_from_slice(path);
        self.path.push(0);
        let file = std::ffi::CStr::from_bytes_until_nul(&self.path).unwrap_or_default();
        match list(file, &mut self.names) {
            Ok(()) => {}
            // A file system without attributes, or a file that has just gone.
            Err(Errno::OPNOTSUPP | Errno::NOENT | Errno::NOTDIR) => return Ok(&[]),
            Err(error) => return Err(error),
        }
        for name in self.names.split(|byte| *byte == 0) {
            if name.is_empty() || name.starts_with(LEFT_OUT) {
                continue;
            }
            // One that may not be read is left out, as every client of BuildKit does.
            if let Ok(value) = value(file, name) {
                self.found.push((name.to_vec(), value));
            }
        }
        Ok(&self.found)
    }
}

/// Reads the names, each ending with a zero byte.
fn list(file: &std::ffi::CStr, names: &mut Vec<u8>) -> Result<(), Errno> {
    names.clear();
    loop {
        match rustix::fs::llistxattr(file, rustix::buffer::spare_capacity(names)) {
            Ok(_) => return Ok(()),
            Err(Errno::RANGE) => names.reserve(names.capacity() * 2),
            Err(error) => return Err(error),
        }
    }
}

fn value(file: &std::ffi::CStr, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = Vec::with_capacity(256);
    loop {
        match rustix::fs::lgetxattr(file, name, rustix::buffer::spare_capacity(&mut value)) {
            Ok(_) => return Ok(value),
            Err(Errno::RANGE) => value.reserve(value.capacity() * 2),
            Err(error) => return Err(error),
        }
    }
}
