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
    closed: bool,
}

impl Requests {
    pub(super) fn push(&self, id: u32) {
        self.lock().ids.push_back(id);
        self.changed.notify_one();
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
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
