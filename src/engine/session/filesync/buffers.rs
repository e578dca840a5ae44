//! A fixed set of buffers between the threads that read files and the connection.
//!
//! A buffer is filled, travels through HTTP/2 as it is, and comes back when its bytes have been
//! written out. Whoever wants one while all are under way waits: that bounds the memory of a
//! transfer, whatever its size, and holds the reading back to the pace of the daemon.
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of a buffer.
///
/// Threads and tasks wake each other once a buffer, so large ones cost less.
pub(super) const SIZE: usize = 128 << 10;
/// Buffers of a transfer.
const COUNT: usize = 5;

/// The buffers of one transfer.
#[derive(Clone, Debug)]
pub(super) struct Buffers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    free: Vec<Vec<u8>>,
    /// How many have not been made yet.
    unmade: usize,
}

impl Buffers {
    pub(super) fn new() -> Self {
        let state = State { free: Vec::new(), unmade: COUNT };
        Self(Arc::new(Shared { state: Mutex::new(state), returned: Condvar::new() }))
    }

    /// Takes an empty buffer, waiting for one to come back if need be.
    pub(super) fn take(&self) -> Buffer {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(mut bytes) = state.free.pop() {
                bytes.clear();
                return Buffer { bytes, home: self.clone() };
            }
            if state.unmade > 0 {
                state.unmade -= 1;
                return Buffer { bytes: Vec::with_capacity(SIZE), home: self.clone() };
            }
            state = self.0.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One buffer; it comes back when the last reference to its bytes is gone.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    home: Buffers,
}

impl Buffer {
    /// The buffer's content on its way to the connection.
    pub(super) fn send(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut state = self.home.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free.push(bytes);
        drop(state);
        self.home.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_finds_none_waits_for_one_to_come_back() {
        let buffers = Buffers::new();
        let mut out: Vec<_> = (0..COUNT).map(|_| buffers.take()).collect();
        out[0].bytes.push(1);
        let waiting = std::thread::spawn({
            let buffers = buffers.clone();
            move || buffers.take().bytes.len()
        });
        drop(out.swap_remove(0).send());
        assert_eq!(waiting.join().unwrap(), 0, "comes back empty");
    }
}
