//! What a build says before the daemon has answered: everything, so that a far daemon costs one way there
//! and back and not four.
use std::io::Read as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::kit::Project;

/// How HTTP/2 begins, before its frames.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// The frames that have arrived as a whole: type, stream, payload.
fn frames(bytes: &[u8]) -> Vec<(u8, u32, &[u8])> {
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some((head, body)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, more)) = body.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        frames.push((head[3], stream, payload));
        rest = more;
    }
    frames
}

/// Reads what comes until it is the beginning of four calls with a message each.
fn flight(mut daemon: UnixStream) -> Vec<u8> {
    // Only what is wrong waits for so long.
    daemon.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let found = frames(&bytes);
        let calls = found.iter().filter(|(kind, ..)| *kind == HEADERS);
        let spoken = |stream| {
            let mut data = found.iter().filter(|(kind, ..)| *kind == DATA);
            data.any(|(_, of, payload)| *of == stream && !payload.is_empty())
        };
        if calls.filter(|(_, stream, _)| spoken(*stream)).count() == 4 {
            return bytes;
        }
        let count = daemon.read(&mut buffer).expect("the rest of the flight");
        assert!(count > 0, "it ended with {:?}", frames(&bytes));
        bytes.extend(&buffer[..count]);
    }
}

#[test]
fn nothing_waits_for_an_answer() {
    let Some(project) = Project::new("FROM scratch\nCOPY f /f\n") else { return };
    project.write("f", "content");
    let socket = project.path("silent.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let bytes = std::thread::spawn(move || flight(listener.accept().expect("a client").0));
    let address = format!("unix://{}", socket.display());
    let said = [&address, "does not answer as a BuildKit daemon does"];
    project.build(&["--builder", &address]).fails(3, &said);
    let bytes = bytes.join().expect("the flight");
    // Among it is the answer to a greeting that the daemon sends once the session is open: an empty
    // gRPC flag, the message's length, its field 1, and in that a frame of settings (type 4).
    let session = frames(&bytes).into_iter().any(|(kind, _, payload)| {
        let inner = payload.get(5..).unwrap_or_default();
        kind == DATA && inner.first() == Some(&0x0a) && {
            let frame = &inner[1..];
            let begin = frame.iter().position(|byte| byte & 0x80 == 0).map_or(0, |at| at + 1);
            frame.get(begin..begin + 9).is_some_and(|head| head[3..] == [4, 0, 0, 0, 0, 0])
        }
    });
    assert!(session, "{:?}", frames(&bytes));
}
