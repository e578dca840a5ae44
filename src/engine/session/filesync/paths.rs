//! The paths that were announced to the daemon, kept so that it can ask for a file by number.
//!
//! The daemon names a file by its place in the sequence of announcements. A context has many
//! files, so an entry is twelve bytes and its name, whatever its depth, and only regular files
//! keep one.

/// Marks an announcement that is no regular file.
const NOT_A_FILE: u16 = 0;
/// The number of the root directory.
pub(super) const ROOT: u32 = 0;

/// All announced paths.
#[derive(Debug)]
pub(super) struct Paths {
    names: Vec<u8>,
    directories: Vec<Entry>,
    announced: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    directory: u32,
    at: u32,
    length: u16,
}

impl Paths {
    pub(super) fn new() -> Self {
        let root = Entry { directory: ROOT, at: 0, length: 0 };
        Self { names: Vec::new(), directories: vec![root], announced: Vec::new() }
    }

    /// Keeps a directory's name and returns its number.
    pub(super) fn add_directory(&mut self, directory: u32, name: &[u8]) -> u32 {
        let entry = self.entry(directory, name);
        self.directories.push(entry);
        count(self.directories.len() - 1)
    }

    /// Takes note of an announcement that nobody can ask for.
    pub(super) fn announce_other(&mut self) {
        self.announced.push(Entry { directory: ROOT, at: 0, length: NOT_A_FILE });
    }

    /// Takes note of an announced regular file.
    pub(super) fn announce_file(&mut self, directory: u32, name: &[u8]) {
        let entry = self.entry(directory, name);
        self.announced.push(entry);
    }

    /// Appends the path of announcement `id` to `path`, and returns its directory's number and
    /// where its name begins; `None` when it is no file that was announced.
    pub(super) fn file(&self, id: u32, path: &mut Vec<u8>) -> Option<(u32, usize)> {
        let entry = self.announced.get(usize::try_from(id).ok()?)?;
        if entry.length == NOT_A_FILE {
            return None;
        }
        self.write_directory(entry.directory, path);
        let name = path.len();
        path.extend_from_slice(self.name(*entry));
        Some((entry.directory, name))
    }

    fn write_directory(&self, number: u32, path: &mut Vec<u8>) {
        if number == ROOT {
            return;
        }
        if let Some(entry) = self.directories.get(number as usize) {
            self.write_directory(entry.directory, path);
            path.extend_from_slice(self.name(*entry));
            path.push(b'/');
        }
    }

    fn name(&self, entry: Entry) -> &[u8] {
        let at = entry.at as usize;
        &self.names[at..at + usize::from(entry.length)]
    }

    fn entry(&mut self, directory: u32, name: &[u8]) -> Entry {
        let at = count(self.names.len());
        self.names.extend_from_slice(name);
        // Linux ends names at 255 bytes.
        Entry { directory, at, length: u16::try_from(name.len()).unwrap_or(u16::MAX) }
    }
}

/// A position as it is kept: four billion entries and four gigabytes of names are beyond memory.
fn count(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_place_in_the_sequence() {
        let mut paths = Paths::new();
        paths.announce_file(ROOT, b"a");
        let lib = paths.add_directory(ROOT, b"lib");
        paths.announce_other();
        let deep = paths.add_directory(lib, b"deep");
        paths.announce_other();
        paths.announce_file(deep, b"b.rs");
        let mut path = Vec::new();
        assert_eq!(paths.file(3, &mut path), Some((deep, 9)));
        assert_eq!(path, b"lib/deep/b.rs");
        path.clear();
        assert_eq!(paths.file(0, &mut path), Some((ROOT, 0)));
        assert_eq!(path, b"a");
        assert_eq!(paths.file(1, &mut path), None);
        assert_eq!(paths.file(4, &mut path), None);
    }
}
