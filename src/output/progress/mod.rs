//! Progress of a build: status events in, something to look at out.
//!
//! [`Board`] keeps what is known of every step; a [`View`] shows it: [`tty`] live on a terminal,
//! [`plain`] as lines, [`rawjson`] as the daemon's own messages. [`timeline`] draws the run.

pub mod board;
pub mod plain;
pub mod rawjson;
pub mod timeline;
pub mod tty;

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;

use crate::engine::status::StatusEvent;
use crate::oci::digest::Digest;
use board::Board;
use timeline::Timeline;

/// So much news is shown before anything is flushed: lines that come together leave together.
const AT_ONCE: usize = 256;

/// Shows a build that is under way.
pub trait View: Send {
    /// Shows `event`, which `board` has already taken in.
    fn event(&mut self, board: &Board, event: &StatusEvent);
    /// Shows that time has passed.
    fn tick(&mut self, _board: &Board) {}
    /// Shows a line that comes from kitwright itself.
    fn note(&mut self, board: &Board, line: &str);
    /// Shows how long kitwright itself was busy with something.
    fn phase(&mut self, _phase: &Phase) {}
    /// Lets everything be seen that was shown, because nothing more is known for now.
    fn flush(&mut self) {}
    /// Shows the last of it; `failed` tells how the build ended.
    fn finish(&mut self, board: &Board, failed: bool);
}

/// A view that shows nothing.
pub struct Quiet;

impl View for Quiet {
    fn event(&mut self, _: &Board, _: &StatusEvent) {}
    fn note(&mut self, _: &Board, _: &str) {}
    fn finish(&mut self, _: &Board, _: bool) {}
}

/// Something that kitwright did before the daemon could begin.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Phase {
    /// What it is: `plan`, `boot` or `probe`.
    pub name: &'static str,
    /// When it began.
    pub started: Timestamp,
    /// When it was done.
    pub completed: Timestamp,
}

/// What the display is told.
#[derive(Debug)]
pub enum News {
    /// The daemon sent something.
    Status(StatusEvent),
    /// Kitwright has something to say, such as a cache ref that it leaves out.
    Note(String),
    /// Why a step ran again.
    Cause(Digest, String),
    /// Kitwright has done its part.
    Phase(Phase),
    /// The build ended.
    End {
        /// Whether it failed.
        failed: bool,
    },
}

/// What the display knew when the build ended.
pub struct Shown {
    /// Every step.
    pub board: Board,
    /// What kitwright did itself.
    pub phases: Vec<Phase>,
}

impl Shown {
    /// When each step began and ended.
    #[must_use]
    pub fn timeline(&self) -> Timeline<'_> {
        Timeline::of(&self.board, &self.phases)
    }
}

/// Runs `view` until the build ends or nobody can tell it anything more.
pub async fn show(mut view: Box<dyn View>, mut news: Receiver<News>) -> Shown {
    let mut board = Board::new();
    let mut phases = Vec::new();
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut failed = None;
    let mut pieces = Vec::with_capacity(AT_ONCE);
    while failed.is_none() {
        tokio::select! {
            biased;
            count = news.recv_many(&mut pieces, AT_ONCE) => {
                if count == 0 {
                    break;
                }
                for piece in pieces.drain(..) {
                    match piece {
                        News::Status(event) => {
                            board.record(&event);
                            view.event(&board, &event);
                        }
                        News::Cause(step, cause) => board.explain(step, cause),
                        News::Note(line) => view.note(&board, &line),
                        News::Phase(phase) => {
                            view.phase(&phase);
                            phases.push(phase);
                        }
                        News::End { failed: end } => failed = Some(end),
                    }
                }
                view.flush();
            }
            _ = clock.tick() => view.tick(&board),
        }
    }
    view.finish(&board, failed.unwrap_or_default());
    Shown { board, phases }
}

#[cfg(test)]
mod tests {
    use std::io::{BufWriter, Write};
    use std::sync::{Arc, Mutex};

    use super::plain::Plain;
    use super::*;
    use crate::engine::status::VertexStatus;

    /// Every piece that was written.
    #[derive(Clone, Default)]
    struct Pieces(Arc<Mutex<Vec<String>>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn cached(number: u8) -> News {
        News::Status(StatusEvent::Vertex(VertexStatus {
            digest: Digest::from_bytes([number; 32]),
            inputs: Vec::new(),
            name: format!("step {number}"),
            cached: true,
            started: Some(Timestamp::UNIX_EPOCH),
            completed: Some(Timestamp::UNIX_EPOCH),
            error: None,
            group: None,
        }))
    }

    #[tokio::test]
    async fn lines_that_come_together_are_written_together_and_none_waits() {
        let pieces = Pieces::default();
        let (news, received) = tokio::sync::mpsc::channel(200);
        for number in 0..100 {
            news.send(cached(number)).await.unwrap();
        }
        let out = BufWriter::with_capacity(64 << 10, pieces.clone());
        let task = tokio::spawn(show(Box::new(Plain::new(out)), received));
        // Nothing follows for now: what is there must be seen.
        while pieces.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let seen = pieces.0.lock().unwrap().clone();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].ends_with("#100 CACHED\n"), "{}", seen[0]);
        news.send(News::End { failed: false }).await.unwrap();
        task.await.unwrap();
    }
}
