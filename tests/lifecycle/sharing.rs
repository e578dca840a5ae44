//! One engine for all builds of a user: shared, kept, stopped, and fitted to what is asked for.
use rustix::process::Signal;

use crate::kit::{Gate, Kit, said, signal, success, text};

#[test]
fn builds_share_one_engine_and_the_last_one_out_stops_it() {
    let Some(kit) = Kit::new() else { return };
    let gate = Gate::new();
    let mut first = kit.build(&format!("FROM {}\nRUN {}\n", kit.base, gate.step()), &[]);
    let open = gate.reached(&mut first);
    let status = kit.status();
    assert_eq!((&status["running"], &status["leases"]), (&true.into(), &1.into()), "{status:#}");
    success(&kit.build_step("echo second"));
    let after = kit.status();
    assert_eq!(after["pid"], status["pid"], "the same engine");
    assert_eq!(after["leases"], 1);
    drop(open);
    success(&first.wait_with_output().expect("an end"));
    assert_eq!(kit.processes(), Default::default(), "nothing is left when the last build returns");
    assert_eq!(kit.status()["running"], false);
}

#[test]
fn state_lasts_from_one_engine_to_the_next() {
    let Some(kit) = Kit::new() else { return };
    let first = kit.build_step("cat /proc/sys/kernel/random/uuid");
    success(&first);
    let second = kit.build_step("cat /proc/sys/kernel/random/uuid");
    success(&second);
    assert!(text(&second.stderr).contains("CACHED"), "{}", text(&second.stderr));
}

#[test]
fn many_builds_at_once_start_one_engine() {
    let Some(kit) = Kit::new() else { return };
    let builds: Vec<_> = (0..6)
        .map(|number| kit.build(&format!("FROM {}\nRUN echo {number}\n", kit.base), &[]))
        .collect();
    for build in builds {
        success(&build.wait_with_output().expect("an end"));
    }
    assert_eq!(kit.processes(), Default::default());
}

#[test]
fn a_kept_engine_outlives_builds_until_it_is_stopped() {
    let Some(kit) = Kit::new() else { return };
    let address = success(&kit.run(&["engine", "start"]));
    let status = kit.status();
    assert_eq!(status["address"], address.trim());
    assert_eq!((&status["kept"], &status["leases"]), (&true.into(), &0.into()), "{status:#}");
    success(&kit.build_step("echo kept"));
    assert_eq!(
        success(&kit.run(&["engine", "start"])),
        address,
        "starting it again changes nothing"
    );
    assert_eq!(kit.status()["pid"], status["pid"]);
    success(&kit.run(&["engine", "stop"]));
    assert_eq!(kit.processes(), Default::default());
    let again = kit.run(&["engine", "stop"]);
    success(&again);
    assert_eq!(text(&again.stderr), "the private engine is not running\n");
}

#[test]
fn stop_waits_for_the_builds_that_run() {
    let Some(kit) = Kit::new() else { return };
    success(&kit.run(&["engine", "start"]));
    let gate = Gate::new();
    let mut build = kit.build(&format!("FROM {}\nRUN {}\n", kit.base, gate.step()), &[]);
    let open = gate.reached(&mut build);
    let mut stop = kit.command(&["engine", "stop"]).spawn().expect("kitwright runs");
    let mut said = std::io::BufReader::new(stop.stderr.take().expect("a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).expect("a line");
    assert_eq!(line, "the engine stops after the build that uses it\n");
    assert_eq!(kit.status()["running"], true);
    drop(open);
    success(&build.wait_with_output().expect("an end"));
    assert!(stop.wait().expect("an end").success());
    assert_eq!(kit.processes(), Default::default());
}

#[test]
fn a_build_that_asks_for_more_than_a_kept_engine_has_is_told_so() {
    let Some(kit) = Kit::new() else { return };
    success(&kit.run(&["engine", "start", "--registry-mirror", "docker.io=first.example"]));
    success(&kit.build_step("echo asks for nothing"));
    let dockerfile = format!("FROM {}\nRUN echo asks\n", kit.base);
    let build = kit.build(&dockerfile, &["--registry-mirror", "docker.io=other.example"]);
    let output = build.wait_with_output().expect("an end");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("lacks the mirror `other.example` for `docker.io`"), "{said}");
    assert!(said.contains("kitwright engine stop"), "{said}");
    let same = kit.build(&dockerfile, &["--registry-mirror", "docker.io=first.example"]);
    success(&same.wait_with_output().expect("an end"));
    success(&kit.run(&["engine", "stop"]));
}

#[test]
fn a_build_that_asks_for_more_waits_for_an_engine_that_will_end() {
    let Some(kit) = Kit::new() else { return };
    let gate = Gate::new();
    let mut first = kit.build(&format!("FROM {}\nRUN {}\n", kit.base, gate.step()), &[]);
    let open = gate.reached(&mut first);
    let dockerfile = format!("FROM {}\nRUN echo second\n", kit.base);
    let mirror = format!("docker.io=http://{}", kit.registry.host);
    let mut second = kit.build(&dockerfile, &["--registry-mirror", &mirror]);
    let mut said = std::io::BufReader::new(second.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("waiting for other builds to end: their engine lacks the mirror") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut said, &mut line).expect("a line");
        assert_ne!(read, 0, "the second build ended without waiting");
    }
    assert_eq!(kit.status()["leases"], 1);
    drop(open);
    success(&first.wait_with_output().expect("an end"));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).expect("the rest");
    assert!(second.wait().expect("an end").success(), "{rest}");
}

#[test]
fn a_mirror_serves_what_docker_hub_would() {
    let Some(kit) = Kit::new() else { return };
    let mirror = format!("docker.io=http://{}", kit.registry.host);
    let build = kit.build("FROM busybox\nRUN echo mirrored\n", &["--registry-mirror", &mirror]);
    success(&build.wait_with_output().expect("an end"));
    assert!(kit.registry.log().contains("/v2/library/busybox/"), "{}", kit.registry.log());
}

#[test]
fn an_interrupted_build_gives_the_engine_back() {
    let Some(kit) = Kit::new() else { return };
    let gate = Gate::new();
    let mut build = kit.build(&format!("FROM {}\nRUN {}\n", kit.base, gate.step()), &[]);
    let open = gate.reached(&mut build);
    signal(build.id(), Signal::INT);
    let output = build.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    crate::kit::closed(open);
    assert_eq!(kit.processes(), Default::default());
}

#[test]
fn an_engine_that_an_image_did_not_need_is_left_by_nobody() {
    let Some(kit) = Kit::new() else { return };
    let dockerfile = format!("FROM {}\nRUN echo cached > /cached\n", kit.base);
    let (cache, name) = (kit.registry.reference("app:cache"), kit.registry.reference("app:x"));
    let export = format!("type=registry,ref={cache}");
    let build =
        |args: &[&str]| said(&kit.build(&dockerfile, args).wait_with_output().expect("an end"));
    build(&["--cache-to", &export, "--strict-cache"]);
    let log = build(&["--cache-from", &cache, "--push", "-t", &name]);
    assert!(log.contains("put together from `"), "{log}");
    loop {
        let left = kit.processes();
        if left.is_empty() {
            break;
        }
        kit.all_gone(left.into_keys());
    }
    assert_eq!(kit.mounts(), [""; 0]);
    success(&kit.build_step("echo again"));
}
