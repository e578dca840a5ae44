//! What steps are given: contexts, secrets, build arguments.
use crate::kit::{Project, files_of};
use crate::support::registry;

#[test]
fn a_secret_reaches_its_step_and_nothing_else() {
    let Some(project) = Project::new(
        "FROM busybox\nARG WANTED=f52fbd32\n\
         RUN --mount=type=secret,id=token sha256sum /run/secrets/token | grep -q ^$WANTED\n\
         RUN --mount=type=secret,id=token,env=TOKEN printf %s $TOKEN | sha256sum | grep -q ^$WANTED\n",
    ) else {
        return;
    };
    project.write("token", "hunter2");
    let flags =
        ["--secret", "id=token,src=token", "--metadata-file", "m", "-o", "type=oci,dest=x.tar"];
    let ended = project.build(&flags).ok();
    assert!(!ended.stderr.contains("hunter2") && !project.read("m").contains("hunter2"));
    for (path, content) in files_of(&project.path("x.tar")) {
        assert!(!String::from_utf8_lossy(&content).contains("hunter2"), "{path}");
    }
    project.build(&["--no-cache"]).fails(1, &["token"]);
}

#[test]
fn named_contexts_are_directories_and_layouts() {
    let Some(project) = Project::new(
        "FROM busybox\nCOPY --from=src a /a\nRUN test \"$(cat /a)\" = named && test ! -e /skipped\n\
         COPY --from=src . /\n",
    ) else {
        return;
    };
    project.write("other/a", "named");
    project.write("other/skipped", "");
    project.write("other/.dockerignore", "skipped\n");
    project.build(&["--build-context", "src=other", "-o", "out"]).ok();
    assert!(project.path("out/a").exists() && !project.path("out/skipped").exists());
}

#[test]
fn what_the_context_ignores_is_not_copied() {
    let Some(project) = Project::new("FROM scratch\nCOPY . /\n") else { return };
    for file in ["kept", "secret.key", "node_modules/x", "node_modules/keep"] {
        project.write(file, "");
    }
    project.write(".dockerignore", "*.key\nnode_modules/*\n!node_modules/keep\n.home\nout\n");
    project.build(&["-o", "out"]).ok();
    assert!(project.path("out/kept").exists() && project.path("out/node_modules/keep").exists());
    assert!(
        !project.path("out/secret.key").exists() && !project.path("out/node_modules/x").exists()
    );
}

#[test]
fn credentials_of_the_docker_config_reach_the_registry() {
    let Some(project) = Project::new("FROM busybox\n") else { return };
    let Some(registry) = registry::start_with_password() else { return };
    let name = registry.reference("app:one");
    project.build(&["--push", "-t", &name]).fails(3, &[&registry.host]);
    assert_eq!(registry.manifest("app", "one").status, 404);
    use base64::Engine as _;
    let user = format!("{}:{}", registry::USER, registry::PASSWORD);
    let user = base64::engine::general_purpose::STANDARD.encode(user);
    let config = serde_json::json!({ "auths": { registry.host.clone(): { "auth": user } } });
    project.write(".home/.docker/config.json", &config.to_string());
    project.build(&["--push", "-t", &name]).ok();
    assert_eq!(registry.manifest("app", "one").status, 200);
}

#[test]
fn several_platforms_make_an_index() {
    let Some(project) = Project::new("FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\n") else {
        return;
    };
    let Some(registry) = registry::start() else { return };
    project.write("f", "");
    let name = registry.reference("app:multi");
    let flags = ["--platform", "linux/amd64,linux/arm64", "--push", "-t", &name];
    project.build(&flags).ok();
    let index = registry.manifest("app", "multi").json();
    let platforms: Vec<_> = index["manifests"].as_array().expect("an index").iter().collect();
    assert_eq!(platforms.len(), 2, "{index}");
    assert_eq!(platforms[1]["platform"]["architecture"], "arm64");
}

#[test]
fn a_time_that_only_the_engine_finds_out_is_left_to_its_frontend() {
    let web = date_server("Thu, 02 Jan 2020 03:04:05 GMT");
    let dockerfile = format!("FROM scratch AS src\nADD http://{web}/f /\nFROM busybox\nCOPY f /\n");
    let Some(project) = Project::new(&dockerfile) else { return };
    project.write("f", "content");
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=src", "-o", "type=oci,dest=image.tar"];
    let ended = project.build(&epoch).ok();
    assert!(ended.stderr.contains("the engine's `dockerfile.v0` compiles"), "{}", ended.stderr);
    let files = files_of(&project.path("image.tar"));
    let dated = |text: &str| text.contains("\"created\":\"2020-01-02T03:04:05Z\"");
    assert!(files.values().any(|file| dated(&String::from_utf8_lossy(file))));
    // Without an engine it is refused.
    let base = format!("busybox=oci-layout://{}:latest", project.base.layout.display());
    let compile = ["compile", ".", "--build-context", &base, epoch[0], epoch[1]];
    project.kitwright(&compile).fails(2, &["SOURCE_DATE_EPOCH", "--frontend dockerfile.v0"]);
}

/// Serves an empty file that was modified at `date`, at the address that is returned.
fn date_server(date: &str) -> std::net::SocketAddr {
    use std::io::{BufRead as _, BufReader, Write as _};
    let answer = format!(
        "HTTP/1.1 200 OK\r\nLast-Modified: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    address
}
