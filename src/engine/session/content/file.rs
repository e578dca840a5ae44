//! Reads blobs that are files, a message at a time.
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;

use buildkit_rs_proto::containerd::services::content::v1::ReadContentResponse;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio_stream::Stream;
use tonic::Status;

/// Bytes of a blob in one message.
///
/// The daemon reads many blobs side by side, and of each there are some messages under way.
const CHUNK: usize = 64 << 10;

/// The messages of a part of a file; without a size all that follows, and less where the file ends before.
pub(super) fn messages(
    file: File,
    offset: i64,
    size: i64,
) -> impl Stream<Item = Result<ReadContentResponse, Status>> + Send {
    let start = u64::try_from(offset).unwrap_or(0);
    let size = u64::try_from(size).ok().filter(|size| *size > 0).unwrap_or(u64::MAX);
    let part = start..start.saturating_add(size);
    futures_util::stream::try_unfold((Arc::new(file), part), |(file, part)| async move {
        let data = next(&file, &part).await;
        let data = data.map_err(|error| Status::aborted(error.to_string()))?;
        if data.is_empty() {
            return Ok(None);
        }
        let rest = part.start + data.len() as u64..part.end;
        let offset = i64::try_from(part.start).unwrap_or(i64::MAX);
        let message = ReadContentResponse { offset, data: data.into() };
        Ok(Some((message, (file, rest))))
    })
}

/// The next bytes of a part.
///
/// What the system has in memory is taken at once: another thread, woken for each message, would cost more than
/// the copying does.
async fn next(file: &Arc<File>, part: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = usize::try_from(part.end - part.start).unwrap_or(CHUNK).min(CHUNK);
    let mut data = vec![0; length];
    let at_hand = fill(file, part.start, &mut data, ReadWriteFlags::NOWAIT);
    let read = match at_hand {
        Ok(read) => read,
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            let (file, start) = (file.clone(), part.start);
            let waiting = move || {
                let read = fill(&file, start, &mut data, ReadWriteFlags::empty());
                (data, read)
            };
            let (returned, read) = tokio::task::spawn_blocking(waiting).await?;
            data = returned;
            read?
        }
        Err(error) => return Err(error.into()),
    };
    data.truncate(read);
    Ok(data)
}

/// Reads from `at` on until `data` is full or the file ends; how much it was.
fn fill(file: &File, at: u64, data: &mut [u8], flags: ReadWriteFlags) -> Result<usize, Errno> {
    let mut read = 0;
    while read < data.len() {
        let rest = &mut [IoSliceMut::new(&mut data[read..])];
        match preadv2(file, rest, at + read as u64, flags) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
