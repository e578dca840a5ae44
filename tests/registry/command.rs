//! `kitwright image inspect|list|promote` as scripts use them.
use std::process::{Command, Output};

use kitwright::oci::digest::Digest;

use crate::image::{client, make, push_index, reference};
use crate::support::{proxy, registry};

fn kitwright(args: &[&str]) -> Output {
    let home = crate::support::watched::shared_folder();
    Command::new(env!("CARGO_BIN_EXE_kitwright"))
        .arg("image")
        .args(args)
        .env_clear()
        .env("HOME", home)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn inspect_prints_bytes_documents_and_lines() {
    let Some(registry) = registry::start() else { return };
    let images = [make(1, "amd64", 100), make(2, "arm64", 100)];
    let name = reference(&registry.host, "app:v1");
    let digest = push_index(&client(), &name, &[&images[0], &images[1]]).await;
    let name = name.to_string();
    let raw = kitwright(&["inspect", "--raw", &name]);
    assert_eq!(Digest::of(&raw.stdout), digest);
    let raw = kitwright(&["inspect", "--raw", "--platform", "linux/arm64", &name]);
    assert_eq!(raw.stdout, images[1].manifest);
    let json = kitwright(&["inspect", "--format", "json", "--platform", "linux/arm64", &name]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(json["digest"], digest.to_string());
    assert_eq!(json["manifestDigest"], images[1].descriptor.digest.to_string());
    assert_eq!(json["config"]["config"]["Env"][0], "SEED=2");
    let text = stdout(&kitwright(&["inspect", &name]));
    assert!(
        text.contains(&format!("linux/arm64          {}", images[1].descriptor.digest)),
        "{text}"
    );
    assert!(text.contains("attestation"), "{text}");
}

#[tokio::test]
async fn list_prints_tags() {
    let Some(registry) = registry::start() else { return };
    for tag in ["b", "a"] {
        make(3, "amd64", 10)
            .push(&client(), &reference(&registry.host, &format!("app:{tag}")))
            .await;
    }
    let repository = reference(&registry.host, "app").to_string();
    assert_eq!(stdout(&kitwright(&["list", &repository])), "a\nb\n");
    let json = stdout(&kitwright(&["list", "--format", "json", &repository]));
    assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn promote_moves_tags_and_says_what_they_held() {
    let Some(registry) = registry::start() else { return };
    let image = make(4, "amd64", 10);
    let digest = image.descriptor.digest;
    for tag in ["pr-7", "key-abc"] {
        image.push(&client(), &reference(&registry.host, &format!("ci:{tag}"))).await;
    }
    let source = reference(&registry.host, "ci:pr-7").to_string();
    let other = reference(&registry.host, "release:v2").to_string();
    let key = ["--expect-key", "abc", "--settle", "0"];
    let args = [&["promote", &source, ":v2", &other], &key[..]].concat();
    let output = kitwright(&args);
    assert_eq!(stdout(&output), format!("{digest}\n"));
    assert!(stderr(&output).contains("release:v2 is new"), "{}", stderr(&output));
    assert_eq!(Digest::of(&registry.manifest("ci", "v2").body), digest);
    assert_eq!(Digest::of(&registry.manifest("release", "v2").body), digest);

    let output = kitwright(&["promote", &source, ":v3", "--expect-key", "other"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("does not have the content key `key-other`"));
    let output = kitwright(&["promote", &source, ":v2", "--replaces", "none"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(registry.manifest("ci", "v3").status, 404);
}

#[tokio::test]
async fn errors_name_the_input_and_have_their_exit_codes() {
    for (args, code, text) in [
        (&["inspect", "Ubuntu"][..], 2, "has upper-case letters in its repository name"),
        (&["promote", "a", ":b", "--expect-digest", "sha256:1"], 2, "64 lower-case hexadecimal"),
        (&["pull", "--platform", "linux/*", "a"], 2, "has a wildcard"),
        (&["inspect", "--registry-mirror", "x", "a"], 2, "`x` is not a registry mirror"),
    ] {
        let output = kitwright(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{args:?}: {}", stderr(&output));
    }
    let name = format!("{}/app:v1", proxy::refusing());
    let output = kitwright(&["inspect", &name]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("cannot connect to"), "{}", stderr(&output));
}

#[tokio::test]
async fn the_environments_proxy_leads_to_a_registry() {
    let Some(registry) = registry::start() else { return };
    let image = make(5, "amd64", 10);
    image.push(&client(), &reference(&registry.host, "app:v1")).await;
    // Nobody knows this host; the proxy leads its requests to the registry.
    let proxy = proxy::start(&registry.host);
    let host = "kitwright-proxied.invalid";
    let run = |exempt: &str| {
        Command::new(env!("CARGO_BIN_EXE_kitwright"))
            .args(["image", "inspect", "--raw", &format!("{host}/app:v1")])
            .args(["--registry-mirror", &format!("{host}=http://{host}")])
            .env_clear()
            .env("HOME", crate::support::watched::shared_folder())
            .env("HTTP_PROXY", format!("http://{}", proxy.host))
            .env("NO_PROXY", exempt)
            .output()
            .unwrap()
    };
    assert_eq!(stdout(&run("")).as_bytes(), image.manifest);
    assert_eq!(proxy.seen("GET", &format!("http://{host}/v2/app/manifests/v1")), 1);
    let output = run(host);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("cannot connect to"), "{}", stderr(&output));
}
