//! SSH agents: steps talk to the user's agent, or to one that holds the given keys.
//!
//! Only what signing needs is passed on, listing keys and signing: a build step must not add,
//! remove or lock the user's keys.
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use buildkit_rs_proto::moby::sshforward::v1 as wire;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::ssh_server::SshServer;

use super::attachable::{Attachable, ResponseFuture, serve};
use super::{Scope, SessionError};

/// The agent that a mount without an id means.
const DEFAULT_ID: &str = "default";
/// The agent protocol's messages that are passed on, and the answer to all others.
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const FAILURE: u8 = 5;
/// The largest message, as OpenSSH's agent has it.
const MESSAGE_LIMIT: u32 = 256 << 10;

/// The agents of a build by their ids.
#[derive(Clone, Debug, Default)]
pub struct SshAgents(BTreeMap<String, Arc<Agent>>);

#[derive(Debug)]
enum Agent {
    Socket(PathBuf),
    /// Keys, and the agent that holds them once a step has asked.
    Keys {
        files: Vec<PathBuf>,
        started: OnceCell<Keyring>,
    },
}

/// A running agent with the given keys; it ends with the session.
#[derive(Debug)]
struct Keyring {
    socket: PathBuf,
    _folder: tempfile::TempDir,
    _agent: Child,
}

impl SshAgents {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an agent: one socket, or key files.
    ///
    /// # Errors
    ///
    /// [`SessionError::Ssh`] when a path is missing, or sockets and keys are mixed.
    pub fn add(&mut self, id: &str, paths: Vec<PathBuf>) -> Result<(), SessionError> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        let failed = |problem: String| SessionError::Ssh { id: id.to_owned(), problem };
        if paths.is_empty() {
            return Err(failed("no agent is running: `SSH_AUTH_SOCK` is not set".to_owned()));
        }
        let mut sockets = Vec::new();
        for path in &paths {
            let found = fs_err::metadata(path).map_err(|error| failed(error.to_string()))?;
            if found.file_type().is_socket() {
                sockets.push(path.clone());
            }
        }
        let agent = match (sockets.as_slice(), paths.len()) {
            ([socket], 1) => Agent::Socket(socket.clone()),
            ([], _) => Agent::Keys { files: paths, started: OnceCell::new() },
            _ => return Err(failed("give one agent's socket or key files, not both".to_owned())),
        };
        if self.0.insert(id.to_owned(), Arc::new(agent)).is_some() {
            return Err(failed("it is given twice".to_owned()));
        }
        Ok(())
    }
}

impl Agent {
    async fn connect(&self) -> Result<UnixStream, String> {
        let socket = match self {
            Self::Socket(socket) => socket,
            Self::Keys { files, started } => {
                &started.get_or_try_init(|| Keyring::start(files)).await?.socket
            }
        };
        let connection = UnixStream::connect(socket).await;
        connection.map_err(|error| format!("`{}`: {error}", socket.display()))
    }
}

impl Keyring {
    async fn start(files: &[PathBuf]) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = tempfile::Builder::new().prefix("kitwright-ssh-").tempdir().map_err(text)?;
        let private = std::fs::Permissions::from_mode(0o700);
        fs_err::set_permissions(folder.path(), private).map_err(text)?;
        let socket = folder.path().join("agent");
        let mut agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start `ssh-agent`: {error}"))?;
        // It prints where it listens once it does.
        if let Some(mut stdout) = agent.stdout.take() {
            let _ = stdout.read(&mut [0; 256]).await;
        }
        for file in files {
            add_key(&socket, file).await?;
        }
        Ok(Self { socket, _folder: folder, _agent: agent })
    }
}

async fn add_key(socket: &Path, file: &Path) -> Result<(), String> {
    let output = Command::new("ssh-add")
        .arg("-q")
        .arg(file)
        .env("SSH_AUTH_SOCK", socket)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("cannot run `ssh-add`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("ssh-add failed");
    Err(format!("`{}` is no usable key: {last}", file.display()))
}

impl Attachable for SshAgents {
    fn methods(&self) -> &'static [&'static str] {
        &["/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"]
    }

    fn call(&self, request: http::Request<Incoming>, scope: &Scope) -> ResponseFuture {
        serve(SshServer::new(Service { agents: self.clone(), scope: scope.clone() }), request)
    }
}

struct Service {
    agents: SshAgents,
    scope: Scope,
}

impl Service {
    fn agent(&self, id: &str) -> Result<(String, Arc<Agent>), Status> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        match self.agents.0.get(id) {
            Some(agent) => Ok((id.to_owned(), agent.clone())),
            // The daemon decides whether the step can do without.
            None => Err(Status::not_found(format!("SSH agent {id} is not part of the build"))),
        }
    }
}

#[tonic::async_trait]
impl wire::ssh_server::Ssh for Service {
    async fn check_agent(
        &self,
        request: Request<wire::CheckAgentRequest>,
    ) -> Result<Response<wire::CheckAgentResponse>, Status> {
        self.agent(&request.into_inner().id)?;
        Ok(Response::new(wire::CheckAgentResponse {}))
    }

    type ForwardAgentStream = ReceiverStream<Result<wire::BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<wire::BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get("buildkit.ssh.id").and_then(|id| id.to_str().ok());
        let (id, agent) = self.agent(id.unwrap_or_default())?;
        let connection = agent
            .connect()
            .await
            .map_err(|problem| self.scope.failures().record(SessionError::Ssh { id, problem }))?;
        let (answers, stream) = mpsc::channel(1);
        self.scope.spawn(async move {
            let conversation = Conversation {
                step: request.into_inner(),
                unread: BytesMut::new(),
                agent: connection,
            };
            // Either side may hang up at any time; that ends the conversation and nothing else.
            let _ = conversation.run(&answers).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Requests of a step and answers of the agent, one after the other.
struct Conversation {
    step: Streaming<wire::BytesMessage>,
    unread: BytesMut,
    agent: UnixStream,
}

impl Conversation {
    async fn run(
        mut self,
        answers: &mpsc::Sender<Result<wire::BytesMessage, Status>>,
    ) -> std::io::Result<()> {
        while let Some(request) = self.request().await? {
            let answer = match request.get(4) {
                Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)) => self.ask(&request).await?,
                _ => Bytes::from_static(&[0, 0, 0, 1, FAILURE]),
            };
            if answers.send(Ok(wire::BytesMessage { data: answer })).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The next request with its length before it.
    async fn request(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            if let Some(mut length) = self.unread.get(..4) {
                let length = checked(length.get_u32())? + 4;
                if self.unread.len() >= length {
                    return Ok(Some(self.unread.split_to(length).freeze()));
                }
            }
            match self.step.message().await.map_err(std::io::Error::other)? {
                Some(message) => self.unread.extend_from_slice(&message.data),
                None => return Ok(None),
            }
        }
    }

    async fn ask(&mut self, request: &[u8]) -> std::io::Result<Bytes> {
        self.agent.write_all(request).await?;
        let length = self.agent.read_u32().await?;
        let mut answer = BytesMut::with_capacity(checked(length)? + 4);
        answer.put_u32(length);
        answer.resize(checked(length)? + 4, 0);
        self.agent.read_exact(&mut answer[4..]).await?;
        Ok(answer.freeze())
    }
}

fn checked(length: u32) -> std::io::Result<usize> {
    if length > MESSAGE_LIMIT {
        return Err(std::io::Error::other("a message of the SSH agent is too long"));
    }
    Ok(length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_keys_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, key) = (folder.path().join("s"), folder.path().join("k"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        fs_err::write(&key, "").unwrap();
        let mut agents = SshAgents::default();
        let error = agents.add("", vec![socket.clone(), key.clone()]).unwrap_err().to_string();
        assert!(error.contains("not both"), "{error}");
        agents.add("", vec![socket.clone()]).unwrap();
        let error = agents.add("default", vec![socket]).unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
        let error = agents.add("x", vec!["/none".into()]).unwrap_err().to_string();
        assert!(error.contains("`x`") && error.contains("/none"), "{error}");
        let error = agents.add("y", Vec::new()).unwrap_err().to_string();
        assert!(error.contains("SSH_AUTH_SOCK"), "{error}");
    }
}
