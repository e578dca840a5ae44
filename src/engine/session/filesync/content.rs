//! Reads the files that the daemon asked for.
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::buffers::{Buffer, Buffers, SIZE};
use super::packet::{self, DATA_HEADER, END_OF_FILE};
use super::paths::Paths;
use super::requests::Requests;
use super::send::Outlet;
use crate::engine::session::SessionError;

/// Space below which a buffer is sent rather than filled further.
const WORTH_FILLING: usize = DATA_HEADER + END_OF_FILE + (4 << 10);

/// Reads requested files until no more requests can come.
///
/// Several files share a buffer where they fit; a buffer waits for more only as long as more
/// requests are there.
pub(super) fn serve(
    root: &Path,
    paths: &Mutex<Paths>,
    requests: &Requests,
    buffers: &Buffers,
    outlet: &Outlet,
) -> Result<(), SessionError> {
    let mut reader = Reader { root, paths, directory: None, path: Vec::new() };
    let mut buffer: Option<Buffer> = None;
    loop {
        let id = match (requests.next_now(), buffer.take()) {
            (Some(id), held) => {
                buffer = held;
                id
            }
            (None, Some(held)) => {
                if outlet.send(held).is_err() {
                    return Ok(());
                }
                continue;
            }
            (None, None) => match requests.next() {
                Some(id) => id,
                None => return Ok(()),
            },
        };
        let file = reader.open(id)?;
        let mut at = buffer.take().unwrap_or_else(|| buffers.take());
        loop {
            if SIZE - at.bytes.len() < WORTH_FILLING {
                if outlet.send(at).is_err() {
                    return Ok(());
                }
                at = buffers.take();
            }
            let read = match &file {
                Some(file) => append(&mut at, file, id).map_err(|error| reader.failed(error))?,
                None => Read::End,
            };
            if matches!(read, Read::End) {
                packet::end_of_file(&mut at.bytes, id);
                break;
            }
        }
        buffer = Some(at);
    }
}

enum Read {
    More,
    End,
}

/// Reads as much of the file as the buffer holds.
fn append(buffer: &mut Buffer, file: &OwnedFd, id: u32) -> Result<Read, Errno> {
    let bytes = &mut buffer.bytes;
    let start = bytes.len();
    bytes.resize(start + DATA_HEADER, 0);
    let mut end = false;
    // A short read says nothing; the end of the file is a read of nothing.
    while bytes.len() < bytes.capacity() {
        match rustix::io::read(file, rustix::buffer::spare_capacity(bytes)) {
            Ok(0) => {
                end = true;
                break;
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    let length = bytes.len() - start - DATA_HEADER;
    if length == 0 {
        bytes.truncate(start);
    } else if let Some(header) = bytes[start..].first_chunk_mut() {
        packet::data_header(header, id, u32::try_from(length).unwrap_or(u32::MAX));
    }
    // Without room for the packet that ends the file, the next buffer finds the end again.
    let room = bytes.capacity() - bytes.len() >= END_OF_FILE;
    Ok(if end && room { Read::End } else { Read::More })
}

/// Opens files, keeping the directory of the last one at hand.
struct Reader<'a> {
    root: &'a Path,
    paths: &'a Mutex<Paths>,
    directory: Option<(u32, OwnedFd)>,
    path: Vec<u8>,
}

impl Reader<'_> {
    /// The file of announcement `id`; `None` when it is something that has no content.
    fn open(&mut self, id: u32) -> Result<Option<OwnedFd>, SessionError> {
        self.path.clear();
        let found = {
            let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
            paths.file(id, &mut self.path)
        };
        let Some((directory, name)) = found else {
            let problem = format!("it asks for file {id}, which was not announced");
            return Err(SessionError::Protocol { problem });
        };
        if self.directory.as_ref().is_none_or(|(number, _)| *number != directory) {
            let path = self.root.join(OsStr::from_bytes(&self.path[..name]));
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let handle = rustix::fs::openat(CWD, &path, flags, Mode::empty());
            self.directory = Some((directory, handle.map_err(|error| self.failed(error))?));
        }
        let Some((_, handle)) = &self.directory else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat(handle, &self.path[name..], flags, Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            // A socket, which was announced as an empty file.
            Err(Errno::NXIO) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: Errno) -> SessionError {
        let path = self.root.join(OsStr::from_bytes(&self.path));
        SessionError::Context { path, source: io::Error::from(error) }
    }
}
