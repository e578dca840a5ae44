//! The paths that were announced to the daemon, kept so that it can ask for a file by number.
//!
//! The daemon names a file by its place in the sequence of announcements. A context has many files,
//! and a name begins mostly as the one before it: what is kept of a file is what differs, and three
//! bytes. So that a name is put together from few others, they are kept in short runs.

/// The number of the root directory.
pub(super) const ROOT: u32 = 0;
/// Announcements in one run at most.
const RUN: u32 = 32;
/// Bytes before what differs: how many bytes are as before, and the length of the others.
const HEADER: usize = 3;

/// All announced paths.
#[derive(Debug)]
pub(super) struct Paths {
    directories: Vec<Directory>,
    directory_names: Vec<u8>,
    /// How many announcements there were.
    announced: u32,
    runs: Vec<Run>,
    /// What differs in the names of the runs.
    differences: Vec<u8>,
    /// The last name of the last run.
    last: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Directory {
    parent: u32,
    at: u32,
    length: u16,
}

/// Announcements that follow each other in one directory.
#[derive(Clone, Copy, Debug)]
struct Run {
    directory: u32,
    /// The number of its first announcement.
    first: u32,
    /// Where its differences begin.
    at: u32,
}

impl Paths {
    pub(super) fn new() -> Self {
        Self {
            directories: vec![Directory { parent: ROOT, at: 0, length: 0 }],
            directory_names: Vec::new(),
            announced: 0,
            runs: Vec::new(),
            differences: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Keeps a directory's name and returns its number.
    pub(super) fn add_directory(&mut self, parent: u32, name: &[u8]) -> u32 {
        let at = count(self.directory_names.len());
        self.directory_names.extend_from_slice(name);
        self.directories.push(Directory { parent, at, length: length(name) });
        count(self.directories.len() - 1)
    }

    /// Takes note of an announcement that nobody can ask for.
    pub(super) fn announce_other(&mut self) {
        let directory = self.runs.last().map_or(ROOT, |run| run.directory);
        self.begin_run_for(directory);
        self.announce(0, &[]);
    }

    /// Takes note of an announced regular file.
    pub(super) fn announce_file(&mut self, directory: u32, name: &[u8]) {
        self.begin_run_for(directory);
        // At least one byte differs: nothing stands for no file.
        let most = name.len().saturating_sub(1).min(u8::MAX.into());
        let pairs = self.last.iter().zip(name).take(most);
        let same = pairs.take_while(|(one, other)| one == other).count();
        self.last.truncate(same);
        self.last.extend_from_slice(&name[same..]);
        self.announce(u8::try_from(same).unwrap_or(u8::MAX), &name[same..]);
    }

    /// Appends the path of announcement `id` to `path`, and returns its directory's number and
    /// where its name begins; `None` when it is no file that was announced.
    pub(super) fn file(&self, id: u32, path: &mut Vec<u8>) -> Option<(u32, usize)> {
        let run = self.runs.partition_point(|run| run.first <= id).checked_sub(1)?;
        let Run { directory, first, at } = self.runs[run];
        self.write_directory(directory, path);
        let begin = path.len();
        let mut unread = self.differences.get(at as usize..)?;
        for number in first..=id {
            let ([same, length @ ..], rest) = unread.split_first_chunk::<HEADER>()?;
            let (different, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
            unread = rest;
            if !different.is_empty() {
                path.truncate(begin + usize::from(*same));
                path.extend_from_slice(different);
            } else if number == id {
                return None;
            }
        }
        Some((directory, begin))
    }

    /// Adds an announcement to the last run.
    fn announce(&mut self, same: u8, different: &[u8]) {
        self.announced = self.announced.saturating_add(1);
        self.differences.push(same);
        self.differences.extend_from_slice(&length(different).to_le_bytes());
        self.differences.extend_from_slice(different);
    }

    /// Begins a run unless the last one is of this directory and has room.
    fn begin_run_for(&mut self, directory: u32) {
        let has_room = |run: &Run| run.directory == directory && self.announced - run.first < RUN;
        if !self.runs.last().is_some_and(has_room) {
            let at = count(self.differences.len());
            self.runs.push(Run { directory, first: self.announced, at });
            self.last.clear();
        }
    }

    fn write_directory(&self, number: u32, path: &mut Vec<u8>) {
        if number == ROOT {
            return;
        }
        if let Some(directory) = self.directories.get(number as usize) {
            self.write_directory(directory.parent, path);
            let at = directory.at as usize;
            let name = &self.directory_names[at..at + usize::from(directory.length)];
            path.extend_from_slice(name);
            path.push(b'/');
        }
    }
}

/// A position as it is kept: four billion entries and four gigabytes of names are beyond memory.
fn count(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The length of a name; Linux ends them at 255 bytes.
fn length(name: &[u8]) -> u16 {
    u16::try_from(name.len()).unwrap_or(u16::MAX)
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

    #[test]
    fn names_that_begin_alike_are_told_apart_across_runs() {
        let mut paths = Paths::new();
        let lib = paths.add_directory(ROOT, b"lib");
        paths.announce_other();
        let mut expected = vec![None];
        for number in 0..4 * RUN {
            // Files, what is none, another directory in between, and the end of a run at each of them.
            let name = match number % 7 {
                0 => "x".repeat(300 + number as usize),
                1 => format!("x{number}"),
                _ => format!("a-long-beginning-{}", number * 37 % 101),
            };
            if number % 5 == 3 {
                paths.announce_other();
                expected.push(None);
            }
            let directory = if number % 11 == 4 { ROOT } else { lib };
            paths.announce_file(directory, name.as_bytes());
            let above = if directory == ROOT { "" } else { "lib/" };
            expected.push(Some((directory, format!("{above}{name}"))));
        }
        for (id, expected) in (0..).zip(&expected) {
            let mut path = Vec::new();
            let found = paths.file(id, &mut path).map(|(directory, _)| directory);
            let found = found.map(|directory| (directory, String::from_utf8(path).unwrap()));
            assert_eq!(&found, expected, "{id}");
        }
        assert_eq!(paths.file(count(expected.len()), &mut Vec::new()), None);
        assert_eq!(paths.file(u32::MAX, &mut Vec::new()), None);
    }
}
