//! The numbers of the files that the daemon has asked for and nobody has read yet.
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue that several readers take from; its length is bounded by the announcements.
#[derive(Debug, Default)]
pub(super) struct Requests {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ids: VecDeque<u32>,
    /// Readers, and those of them that wait and have not been woken.
    readers: usize,
    idle: usize,
    closed: bool,
}

/// Readers of one transfer: one reads while the other waits for a slow disk.
const READERS: usize = 2;

impl Requests {
    /// Adds a request; whether there is so much to do that the caller should start a reader.
    ///
    /// Mostly the daemon has every file already, and asks for none.
    pub(super) fn push(&self, id: u32) -> bool {
        let mut state = self.lock();
        state.ids.push_back(id);
        let is_worth = state.readers < READERS && state.ids.len() > state.idle;
        state.readers += usize::from(is_worth);
        let is_awaited = state.idle > 0;
        state.idle -= usize::from(is_awaited);
        drop(state);
        // To wake nobody is a system call, too.
        if is_awaited {
            self.changed.notify_one();
        }
        is_worth
    }

    /// Says that no more will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next request, if there is one.
    pub(super) fn next_now(&self) -> Option<u32> {
        self.lock().ids.pop_front()
    }

    /// Waits for the next request; `None` when no more will come.
    pub(super) fn next(&self) -> Option<u32> {
        let mut state = self.lock();
        loop {
            match state.ids.pop_front() {
                Some(id) => return Some(id),
                None if state.closed => return None,
                None => {
                    // Whoever wakes it counts it out.
                    state.idle += 1;
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_started_when_there_is_more_to_read_than_they_can_take() {
        let requests = Requests::default();
        assert!(requests.push(1));
        assert!(requests.push(2));
        assert!(!requests.push(3));
        let requests = Requests::default();
        assert!(requests.push(1));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| (requests.next(), requests.next(), requests.next()));
            while requests.lock().idle == 0 {
                std::thread::yield_now();
            }
            assert!(!requests.push(2));
            requests.close();
            assert_eq!(reader.join().unwrap(), (Some(1), Some(2), None));
        });
    }
}
