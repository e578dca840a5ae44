//! Connections through a command's stdin and stdout: `ssh`, `docker exec` and their like.
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, Join, join};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::address::Address;
use super::client::RpcError;
use super::connect::ConnectError;

/// How much of the command's stderr an error shows.
const STDERR_LIMIT: u64 = 4 << 10;
/// How long a command that failed may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A running command whose stdin and stdout lead to the daemon.
pub(super) struct Dialled {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

/// Starts the command.
pub(super) fn spawn(
    address: &Address,
    program: &str,
    arguments: &[String],
) -> Result<Dialled, ConnectError> {
    let failed = |problem: String| ConnectError::Command {
        address: address.to_string(),
        command: command_line(program, arguments),
        problem,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => failed(format!("`{program}` is not installed")),
            _ => failed(error.to_string()),
        })?;
    match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok(Dialled { child, stdin, stdout, stderr }),
        _ => Err(failed("its standard streams are not open".to_owned())),
    }
}

impl Dialled {
    /// The connection, and what will explain its failure.
    pub(super) fn split(self) -> (Join<ChildStdout, ChildStdin>, LastWords) {
        let Self { mut child, stdin, stdout, mut stderr } = self;
        let reader = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = (&mut stderr).take(STDERR_LIMIT).read_to_end(&mut text).await;
            // The rest is read and dropped, or the command would block on a full pipe.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            let _ = child.wait().await;
            text
        });
        (join(stdout, stdin), LastWords(reader))
    }
}

/// The command's stderr, for when the connection fails.
pub(super) struct LastWords(JoinHandle<Vec<u8>>);

impl LastWords {
    /// The error to show for a connection whose first call failed with `error`.
    pub(super) async fn explain(
        self,
        address: &Address,
        program: &str,
        arguments: &[String],
        error: &RpcError,
    ) -> ConnectError {
        let said = tokio::time::timeout(LAST_WORDS, self.0).await.ok().and_then(Result::ok);
        let said = said.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        ConnectError::Command {
            address: address.to_string(),
            command: command_line(program, arguments),
            problem: said.filter(|text| !text.is_empty()).unwrap_or_else(|| error.to_string()),
        }
    }
}

fn command_line(program: &str, arguments: &[String]) -> String {
    format!("{program} {}", arguments.join(" "))
}
