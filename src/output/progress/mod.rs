//! Progress of a build: status events in, something to look at out.
//!
//! [`Board`] keeps what is known of every step; a [`View`] shows it: [`tty`] live on a terminal,
//! [`plain`] as lines, [`rawjson`] as the daemon's own messages. [`timeline`] records the run.

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
    /// When each step began and ended.
    pub timeline: Timeline,
}

/// Runs `view` until the build ends or nobody can tell it anything more.
pub async fn show(mut view: Box<dyn View>, mut news: Receiver<News>) -> Shown {
    let mut board = Board::new();
    let mut timeline = Timeline::new();
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut failed = false;
    loop {
        tokio::select! {
            biased;
            piece = news.recv() => match piece {
                Some(News::Status(event)) => {
                    timeline.record(&event);
                    board.record(&event);
                    view.event(&board, &event);
                }
                Some(News::Cause(step, cause)) => timeline.explain(step, cause),
                Some(News::Note(line)) => view.note(&board, &line),
                Some(News::Phase(phase)) => {
                    view.phase(&phase);
                    timeline.phase(phase);
                }
                Some(News::End { failed: end }) => { failed = end; break; }
                None => break,
            },
            _ = clock.tick() => view.tick(&board),
        }
    }
    view.finish(&board, failed);
    Shown { board, timeline }
}
