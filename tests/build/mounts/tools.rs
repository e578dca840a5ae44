//! Real package managers and the servers that this machine may ask: what a kept mount saves of bytes.
use std::path::Path;
use std::process::Command;

use crate::support::tool;

/// The least part of a server's bytes that kept mounts save, for each package manager and server.
const SAVED: f64 = 0.95;

/// `benches/package-bytes` builds `gen.Dockerfile` on two engines that are thrown away, behind a proxy that
/// counts. Its steps take what a lock file or an exact version names from their mounts and ask no
/// server about it, so the limit holds on any server; apt alone has to ask for the lists' signatures.
#[test]
fn package_servers_send_next_to_nothing_twice() {
    let needed = ["buildkitd", "runc", "docker-registry", "python3", "openssl", "apt-get"];
    let Some([buildkitd, ..]) = tool::need(needed) else { return };
    if !has_package_servers() {
        return tool::skip("no package server can be reached");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = buildkitd.parent().expect("a folder").display();
    // Stand-ins of base images are kept from run to run.
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package-bytes");
    let output = Command::new(root.join("benches/package-bytes"))
        .args(["--requests", "--json"])
        .env("KITWRIGHT", env!("CARGO_BIN_EXE_kitwright"))
        .env("KITWRIGHT_STATE_DIR", state)
        .env(
            "PATH",
            format!("{programs}:{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()),
        )
        .output()
        .expect("benches/package-bytes runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for manager in ["apt", "go", "npm", "pip", "cargo"] {
        let sums = &told["tools"][manager];
        let [first, second] = [0, 1].map(|at| sums[at].as_f64().unwrap_or_default());
        // Less is no whole download of a list of packages.
        assert!(first > 500_000.0, "{manager} has fetched {first} bytes:\n{told:#}\n{log}");
        let saved = 1.0 - second / first;
        assert!(saved >= SAVED, "{manager}: {first} then {second} bytes\n{told:#}\n{log}");
    }
    let notes = |build: usize, kind: &str| {
        let notes = told["builds"][build]["notes"].as_array().expect("notes").clone();
        let mut mounts: Vec<String> = notes
            .iter()
            .filter_map(|note| note.as_str()?.split_once(kind).map(|(mount, _)| mount.to_owned()))
            .collect();
        mounts.sort();
        mounts
    };
    let saved = notes(0, ": saved ");
    assert!(saved.len() >= 8, "{told:#}\n{log}");
    assert_eq!(notes(1, ": restored "), saved, "{log}");
    // The tools have written about their caches again, and fetched nothing of worth.
    assert_eq!(notes(1, ": saved "), Vec::<String>::new(), "{log}");
    assert_eq!(notes(1, " is not "), Vec::<String>::new(), "{log}");
}

/// Whether one of apt's own servers answers at all.
fn has_package_servers() -> bool {
    let listed = Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]).output();
    let Ok(listed) = listed else { return false };
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.lines().any(|address| {
        let Some((scheme, rest)) = address.split_once("://") else { return false };
        let host = rest.split('/').next().unwrap_or_default();
        let port = if scheme == "https" { 443 } else { 80 };
        let (host, port) = host
            .split_once(':')
            .map_or((host, port), |(host, own)| (host, own.parse().unwrap_or(port)));
        std::net::TcpStream::connect((host, port)).is_ok()
    })
}
