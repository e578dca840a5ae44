//! The parts that tests stand on do what they say.
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::support::proxy::{Fault, Rule};
use crate::support::{base, engine, http, proxy, registry, tool};

#[test]
fn the_shared_engine_builds_from_the_pushed_base_image() {
    let Some(engine) = engine::shared() else { return };
    let (Some(registry), Some(base)) = (registry::start(), base::busybox()) else { return };
    let Some([buildctl]) = tool::need(["buildctl"]) else { return };
    let reference = base.push(&registry, "busybox", "latest");
    let context = tempfile::tempdir().expect("a folder");
    let dockerfile = format!("FROM {reference}\nRUN echo built > /proof\n");
    std::fs::write(context.path().join("Dockerfile"), dockerfile).expect("a written file");
    let target = registry.reference("app:latest");
    let output = Command::new(buildctl)
        .args(["--addr", &engine.address, "build", "--frontend", "dockerfile.v0"])
        .arg("--local")
        .arg(format!("context={}", context.path().display()))
        .arg("--local")
        .arg(format!("dockerfile={}", context.path().display()))
        .arg("--output")
        .arg(format!("type=image,name={target},push=true"))
        .output()
        .expect("buildctl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest = registry.manifest("app", "latest").json();
    assert!(manifest.get("layers").or_else(|| manifest.get("manifests")).is_some(), "{manifest}");
}

#[test]
fn a_registry_with_a_password_refuses_strangers() {
    let (Some(registry), Some(base)) = (registry::start_with_password(), base::busybox()) else {
        return;
    };
    base.push(&registry, "busybox", "latest");
    let path = "/v2/busybox/manifests/latest";
    assert_eq!(http::request(&registry.host, None, "GET", path, &[], b"").status, 401);
    assert_eq!(registry.manifest("busybox", "latest").status, 200);
    assert_eq!(base::digest(&registry.manifest("busybox", "latest").body), base.digest);
}

/// A server that answers every request with the same body.
fn serve(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let host = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    host
}

fn fetch(host: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(b"GET /v2/x HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn each_fault_of_the_proxy_reaches_the_client() {
    let proxy = proxy::start(&serve(b"0123456789"));
    let hit = |fault: Fault| {
        proxy.clear();
        proxy.add(Rule::new("GET", "/v2/").times(1).fault(fault));
        fetch(&proxy.host)
    };
    assert!(hit(Fault::TruncateAfter(4)).unwrap().ends_with(b"\r\n\r\n0123"));
    assert!(hit(Fault::CorruptAt(4)).unwrap().ends_with(b"0123\xcb56789"));
    assert_eq!(hit(Fault::ResetAfter(4)).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let limited = Fault::Status(429, vec![("Retry-After".into(), "1".into())], "slow down".into());
    let limited = String::from_utf8(hit(limited).unwrap()).unwrap();
    assert!(
        limited.starts_with("HTTP/1.1 429 ") && limited.contains("Retry-After: 1\r\n"),
        "{limited}"
    );
    assert!(fetch(&proxy.host).unwrap().ends_with(b"0123456789"), "a rule ends after its times");
    assert_eq!(proxy.seen("GET", "/v2/x"), 2);
    assert!(proxy.bytes_down() > 10);
}

#[test]
fn a_stalled_answer_stays_open_until_the_thaw() {
    let proxy = proxy::start(&serve(b"0123456789"));
    proxy.add(Rule::new("", "").fault(Fault::StallAfter(4)));
    let mut stream = TcpStream::connect(&proxy.host).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a sent request");
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n0123") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the bytes before the stall");
        seen.extend(byte);
    }
    stream.set_nonblocking(true).expect("a socket option");
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).expect("a socket option");
    proxy.thaw();
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
}

#[test]
fn a_refusing_address_refuses() {
    assert!(TcpStream::connect(proxy::refusing()).is_err());
}
