//! Git over HTTP: the real `git http-backend` behind the token that GitHub asks for.
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response};
use base64::Engine as _;

use super::{REPOSITORY, TOKEN};

pub async fn serve(
    repository: Option<PathBuf>,
    method: &str,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let refuse = |status: u16| Response::builder().status(status).body(Body::empty()).unwrap();
    let Some(repository) = repository else { return refuse(404) };
    let Some(rest) = path.strip_prefix(&format!("/{REPOSITORY}.git")) else { return refuse(404) };
    let mut given = headers.get_all("authorization").iter();
    let wanted =
        base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{TOKEN}"));
    let right =
        given.next().is_some_and(|it| it.as_bytes() == format!("basic {wanted}").as_bytes());
    // GitHub answers 400 when there are two.
    if given.next().is_some() {
        return refuse(400);
    }
    if !right {
        let response = Response::builder().status(401);
        return response.header("www-authenticate", "Basic").body(Body::empty()).unwrap();
    }
    let text = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_PROJECT_ROOT", &repository)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .envs([("GIT_CONFIG_COUNT", "2"), ("GIT_CONFIG_KEY_0", "http.receivepack")])
        .envs([("GIT_CONFIG_VALUE_0", "true"), ("GIT_CONFIG_KEY_1", "safe.directory")])
        .env("GIT_CONFIG_VALUE_1", "*")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", rest)
        .env("QUERY_STRING", query)
        .env("REMOTE_USER", "x-access-token")
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("git http-backend");
        let mut stdin = child.stdin.take().expect("a pipe");
        let writer = std::thread::spawn(move || drop(stdin.write_all(&body)));
        let output = child.wait_with_output().expect("its output");
        writer.join().expect("a written body");
        output.stdout
    });
    respond(&output.await.expect("git http-backend ran"))
}

/// Turns a CGI answer into an HTTP one.
fn respond(output: &[u8]) -> Response<Body> {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("a CGI head");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().expect("a status")),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output[end + 4..].to_vec())).unwrap()
}
