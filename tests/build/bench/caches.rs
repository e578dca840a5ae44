//! Scenarios that name their caches: every client finds what was built before, and nothing else.
use super::{Bench, samples};
use crate::cache::gha::{Service, runner, token};
use crate::cache::kit::shared_registry;

const DOCKERFILE: &str = "FROM busybox AS tools\n\
    RUN --mount=type=cache,target=/c test -s /c/kept || head -c 2000000 /dev/urandom >/c/kept\n\
    RUN head -c 300000 /dev/urandom >/big\n\
    FROM busybox\n\
    COPY tools.txt /tools.txt\n\
    COPY --from=tools /big /\n";

const SETTINGS: &str = r#"
[bench]
rounds = 1

[[bench.scenario]]
name = "nothing"
engine = "new"
push = true

[[bench.scenario]]
name = "all stages"
engine = "new"
push = true
cache-from = ["buildcache"]

[[bench.scenario]]
name = "image"
engine = "new"
push = true
cache-from = ["pr-7"]

[[bench.scenario]]
name = "service"
engine = "new"
push = true
cache-from = ["gha"]

[[bench.scenario]]
name = "written"
engine = "new"
cache-from = ["buildcache"]
cache-to = ["gha"]
change = { file = "tools.txt" }

[[bench.scenario]]
name = "mounts"
engine = "new"
push = true
cache-mounts = true
"#;

fn bench() -> Option<Bench> {
    let bench = Bench::new()?;
    bench.project.write("Dockerfile", DOCKERFILE);
    bench.project.write("kitwright.toml", SETTINGS);
    Some(bench)
}

#[test]
fn clients_find_the_caches_that_a_scenario_names() {
    let Some(bench) = bench() else { return };
    let job = "main,own=refs/heads/main,default=refs/heads/main";
    let Some(service) = Service::second(&[job]) else { return };
    let token = token(&["refs/heads/main"]);
    let mut env = runner(&service.urls[0], &token);
    env.push(("PATH", bench.path.clone()));
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let base = bench.base();
    let args = bench.arguments(&base, &["--against", &bench.against, "-o", "results"]);
    let ended = bench.project.with_env(&args, &env).ok();
    let results = bench.results("results");
    let all = format!("{results:?}{}{}", ended.stdout, ended.stderr);
    assert!(!all.contains(&token), "{all}");

    let both = ["kitwright", "buildx"];
    let three = ["kitwright", "buildctl", "buildx"];
    for (scenario, clients) in [
        ("nothing", &three[..]),
        ("all stages", &three),
        ("image", &three),
        ("service", &both),
        ("written", &both),
        ("mounts", &three),
    ] {
        let taken = samples(&results, scenario);
        let order: Vec<&str> = taken.iter().map(|sample| sample.contender.0.as_str()).collect();
        assert_eq!(order, clients, "{scenario}");
        for sample in taken {
            let own = sample.contender.0 == "kitwright";
            let traffic = sample.registry.expect("counted");
            let said = format!("{scenario}: {sample:?}");
            // Random bytes are others each time, and what the registry has is not sent again.
            match scenario {
                "nothing" => assert!(traffic.up > 300_000 && traffic.down < 300_000, "{said}"),
                // The layers are read from the registry; the service has all but the new one.
                "written" => {
                    assert!(traffic.down > 300_000 && traffic.up < 300_000, "{said}");
                    assert!(sample.phases["cache export"] > 0.0, "{said}");
                }
                "mounts" if own => assert!(traffic.down > 2_000_000, "{said}"),
                "mounts" => assert!(traffic.up > 300_000 && traffic.down < 300_000, "{said}"),
                _ => assert!(traffic.up < 300_000 && traffic.down > 500, "{said}"),
            }
        }
    }
}

#[test]
fn without_a_service_its_scenarios_are_left_out() {
    let Some(bench) = bench() else { return };
    let ended = bench.run(&["--scenario", "service,image", "-o", "results"]).ok();
    assert!(ended.stdout.contains("the environment names no GitHub cache"), "{}", ended.stdout);
    let results = bench.results("results");
    assert_eq!((samples(&results, "service").len(), samples(&results, "image").len()), (0, 1));
    bench.project.write("kitwright.toml", &SETTINGS.replace(r#"["gha"]"#, r#"["a:b"]"#));
    bench.run(&[]).fails(2, &["`cache-from` takes `buildcache`, `gha`, `dead`, `silent` and tags"]);
}

const UNREACHABLE: &str = r#"
[bench]
rounds = 1

[[bench.scenario]]
name = "counted"
engine = "new"
count-packages = true

[[bench.scenario]]
name = "dead"
engine = "new"
cache-from = ["buildcache", "dead"]

[[bench.scenario]]
name = "silent"
engine = "new"
cache-from = ["buildcache", "silent"]
clients = ["kitwright"]
"#;

#[test]
fn caches_that_cannot_be_had_and_package_servers_are_measured() {
    let Some(bench) = Bench::new() else { return };
    let Some(server) = shared_registry() else { return };
    let download = format!("FROM busybox\nRUN wget -q -O /x http://{}/v2/\n", server.host);
    bench.project.write("Dockerfile", &download);
    bench.project.write("kitwright.toml", UNREACHABLE);
    let ended = bench.run(&["--against", &bench.against, "-o", "results"]).ok();
    let results = bench.results("results");
    for (scenario, clients, ran) in [("counted", 3, true), ("dead", 3, false), ("silent", 1, false)]
    {
        let taken = samples(&results, scenario);
        assert_eq!(taken.len(), clients, "{scenario}");
        for sample in taken {
            let said = format!("{scenario}: {sample:?}");
            // The answer of a registry is two bytes long, its head some hundred.
            let counted = sample.packages.map(|bytes| (100..2000).contains(&bytes));
            assert_eq!(counted, ran.then_some(true), "{said}");
            // The good cache serves beside the bad one.
            let steps = sample.steps.expect("steps");
            assert!(if ran { steps.cached == 0 } else { steps.cached > 0 }, "{said}");
            if scenario != "counted" && sample.contender.0 == "kitwright" {
                assert!(sample.phases["probe"] > 0.0, "{said}");
            }
        }
    }
    assert!(ended.stdout.contains("| counted | buildx | "), "{}", ended.stdout);
    assert!(ended.stdout.contains("package servers sent"), "{}", ended.stdout);
}
