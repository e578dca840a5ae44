//! Chooses how progress is shown and runs the display beside the work that it shows.
use std::io::{BufWriter, IsTerminal as _};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::args::{ProgressArgs, ProgressMode};
use crate::output::progress::plain::Plain;
use crate::output::progress::rawjson::RawJson;
use crate::output::progress::tty::Tty;
use crate::output::progress::{News, Phase, Quiet, Shown, View, show};

/// How many status events may wait to be shown before the daemon's stream is held back.
const WAITING_EVENTS: usize = 1024;

/// A display that runs in a task of its own.
pub(super) struct Display {
    news: mpsc::Sender<News>,
    task: JoinHandle<Shown>,
}

impl Display {
    /// Starts showing; `title` says what is built.
    pub(super) fn start(args: &ProgressArgs, title: String) -> Self {
        let (news, received) = mpsc::channel(WAITING_EVENTS);
        let task = tokio::spawn(show(view(args, title), received));
        Self { news, task }
    }

    /// Says something in kitwright's own name.
    pub(super) async fn note(&self, line: impl Into<String>) {
        // A display that has ended has nowhere to say it.
        let _ = self.news.send(News::Note(line.into())).await;
    }

    /// Says that a part of kitwright's own work is done.
    pub(super) async fn phase(&self, name: &'static str, started: Timestamp, completed: Timestamp) {
        let _ = self.news.send(News::Phase(Phase { name, started, completed })).await;
    }

    /// Says several things.
    pub(super) async fn notes(&self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            self.note(line).await;
        }
    }

    /// Where others say something while the build runs.
    pub(super) fn news(&self) -> mpsc::Sender<News> {
        self.news.clone()
    }

    /// Shows the end and returns what was seen; `None` if the display itself broke down.
    pub(super) async fn end(self, failed: bool) -> Option<Shown> {
        let _ = self.news.send(News::End { failed }).await;
        drop(self.news);
        self.task.await.ok()
    }
}

fn view(args: &ProgressArgs, title: String) -> Box<dyn View> {
    let stderr = std::io::stderr();
    let mode = match args.progress {
        _ if args.quiet => ProgressMode::Quiet,
        ProgressMode::Auto if stderr.is_terminal() => ProgressMode::Tty,
        ProgressMode::Auto => ProgressMode::Plain,
        mode => mode,
    };
    match mode {
        ProgressMode::Quiet => Box::new(Quiet),
        // A line is many small writes, and stderr would make a system call of each. The view flushes.
        ProgressMode::Rawjson => Box::new(RawJson::new(BufWriter::new(stderr))),
        ProgressMode::Tty => {
            let color = std::env::var_os("NO_COLOR").is_none();
            Box::new(Tty::new(stderr, title, color, terminal_size))
        }
        ProgressMode::Plain | ProgressMode::Auto => Box::new(Plain::new(BufWriter::new(stderr))),
    }
}

/// Columns and rows of the terminal.
fn terminal_size() -> (usize, usize) {
    let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
    (usize::from(columns).max(40), usize::from(rows).max(6))
}
