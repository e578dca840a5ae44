//! A tap on an engine's socket: what passes is kept, to see what a client really sends.
//!
//! gRPC lies in HTTP/2 streams, whose data nobody compresses here: the messages can be read without
//! being a server oneself.
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use buildkit_rs_proto::moby::buildkit::v1::BytesMessage;
use prost::Message as _;

/// What an HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame's head: three bytes of length, type, flags, four bytes of stream.
const HEAD: usize = 9;

type Recorded = Arc<Mutex<Vec<u8>>>;

/// A running tap.
#[derive(Debug)]
pub struct Tap {
    /// What `--builder` takes.
    pub address: String,
    connections: Arc<Mutex<Vec<Recorded>>>,
}

impl Tap {
    /// Listens at `socket` and passes all on to the engine at `address`, a `unix://` one.
    pub fn start(socket: &Path, address: &str) -> Self {
        let engine = PathBuf::from(address.trim_start_matches("unix://"));
        let listener = UnixListener::bind(socket).expect("a socket");
        let connections: Arc<Mutex<Vec<Recorded>>> = Arc::default();
        let all = Arc::clone(&connections);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = UnixStream::connect(&engine).expect("the engine");
                let recorded = Recorded::default();
                all.lock().expect("no thread died").push(Arc::clone(&recorded));
                pass(&client, &server, Some(recorded));
                pass(&server, &client, None);
            }
        });
        Self { address: format!("unix://{}", socket.display()), connections }
    }

    /// All that clients have sent so far.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        let connections = self.connections.lock().expect("no thread died");
        connections.iter().map(|sent| sent.lock().expect("no thread died").clone()).collect()
    }

    /// The first message of each stream.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.sent().iter().flat_map(|sent| first_messages(sent)).collect()
    }

    /// How many sessions were opened.
    pub fn sessions(&self) -> usize {
        // Who opens one is the server in it, which begins with its settings.
        let is_session = |message: &Vec<u8>| {
            let message = BytesMessage::decode(&message[..]).unwrap_or_default();
            message.data.get(3..HEAD) == Some(&[4, 0, 0, 0, 0, 0])
        };
        self.messages().iter().filter(|message| is_session(message)).count()
    }
}

fn pass(from: &UnixStream, to: &UnixStream, recorded: Option<Recorded>) {
    let (mut from, mut to) = (from.try_clone().expect("a socket"), to.try_clone().expect("one"));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if let Some(recorded) = &recorded {
                recorded.lock().expect("no thread died").extend(&buffer[..read]);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn first_messages(sent: &[u8]) -> Vec<Vec<u8>> {
    let mut streams: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut rest = sent.strip_prefix(PREFACE).unwrap_or_default();
    while rest.len() >= HEAD {
        let (head, body) = rest.split_at(HEAD);
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some(body) = body.get(..length) else { break };
        // A frame of data; nobody pads them.
        if head[3] == 0 {
            let stream = u32::from_be_bytes(head[5..9].try_into().expect("four bytes"));
            streams.entry(stream).or_default().extend(body);
        }
        rest = &rest[HEAD + length..];
    }
    // A message's head: whether it is compressed, four bytes of length.
    let message = |data: Vec<u8>| {
        let length = u32::from_be_bytes(data.get(1..5)?.try_into().ok()?);
        (data[0] == 0).then(|| data.get(5..5 + length as usize).map(<[u8]>::to_vec))?
    };
    streams.into_values().filter_map(message).collect()
}
