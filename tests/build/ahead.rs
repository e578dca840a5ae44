//! Layers that are packed while other steps still run.
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::kit::{Project, files_of};
use crate::support::engine::{self, Options};

/// Bytes that no compression shrinks.
const SIZE: u64 = 3_000_000;

#[test]
fn a_finished_stage_is_packed_while_another_one_runs() {
    let Some(engine) = engine::start(Options::default()) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let Some(project) = Project::new(&format!(
        "FROM busybox AS quick\nRUN head -c {SIZE} /dev/urandom >/quick\n\
         FROM busybox AS slow\nRUN wget -q -O /slow http://{address}/\n\
         FROM busybox\nCOPY --link --from=quick /quick /\nCOPY --link --from=slow /slow /\n"
    )) else {
        return;
    };
    let blobs = engine.root.join("runc-overlayfs/content/blobs/sha256");
    let large = || {
        let entries = std::fs::read_dir(&blobs).into_iter().flatten().flatten();
        let mut large = entries.filter(|entry| {
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            (SIZE..SIZE + 100_000).contains(&size)
        });
        large.next().map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let base = format!("busybox=oci-layout://{}:latest", project.base.layout.display());
    let arguments = ["build", ".", "--builder", &engine.address, "--build-context", &base];
    let arguments = [&arguments[..], &["--output", "type=oci,dest=out.tar"]].concat();
    let packed = std::thread::scope(|scope| {
        let build = scope.spawn(|| project.kitwright(&arguments));
        // The slow step waits for an answer. It gets none before the other stage's layer is there.
        let (mut slow, _) = listener.accept().expect("the slow step asks");
        let deadline = Instant::now() + Duration::from_secs(60);
        let packed = loop {
            match large() {
                Some(packed) => break Some(packed),
                None if Instant::now() > deadline => break None,
                None => std::thread::yield_now(),
            }
        };
        let mut request = [0; 16];
        let _ = slow.read(&mut request).expect("a request");
        slow.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("an answer");
        drop(slow);
        build.join().expect("kitwright ran").ok();
        packed
    });
    let packed = packed.expect("a packed layer while the slow step ran");
    // What was packed is what the image has.
    let files = files_of(&project.path("out.tar"));
    assert!(files.contains_key(&format!("blobs/sha256/{packed}")), "{:?}", files.keys());
}
