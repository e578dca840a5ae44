//! `kitwright bench`: every client on the same engine, saved, resumed, compared, shown.
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use kitwright::bench::report::{Machine, Results};
use kitwright::bench::sample::{Contender, Sample, Steps, Traffic};

use crate::interop::buildx;
use crate::kit::{Ended, Project};
use crate::support::tool;

mod caches;

const DOCKERFILE: &str = "FROM busybox AS tools\n\
    COPY tools.txt /tools.txt\n\
    RUN --mount=type=cache,target=/c cat /tools.txt >/out && head -c 300000 /dev/urandom >/big\n\
    FROM busybox AS other\n\
    RUN echo other >/other\n\
    FROM busybox\n\
    COPY --from=tools /out /big /\n\
    COPY --from=other /other /\n";

const SETTINGS: &str = "[bench]\nstages = [\"tools\"]\ncompression = \"zstd\"\n\
    [[bench.scenario]]\nname = \"one at a time\"\nengine = \"new\"\nmax-parallelism = 1\nrounds = 1\n\
    clients = [\"kitwright\"]\n\
    [[bench.scenario]]\nname = \"in memory\"\nengine = \"new\"\nengine-state = \"memory\"\nrounds = 1\n\
    clients = [\"kitwright\"]\n";

/// A project, and the `PATH` on which its benchmark finds the engine and the clients.
struct Bench {
    project: Project,
    path: String,
    against: String,
}

impl Bench {
    fn new() -> Option<Self> {
        let [buildkitd, buildctl, _] = tool::need(["buildkitd", "buildctl", "docker-registry"])?;
        let buildx = buildx()?;
        let project = Project::new(DOCKERFILE)?;
        project.write("tools.txt", "one\n");
        project.write("kitwright.toml", SETTINGS);
        project.write(".dockerignore", ".state\n.home\nresults*\n");
        let folder = buildkitd.parent().expect("a folder").display();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let against = format!("buildctl={},buildx={}", buildctl.display(), buildx.display());
        Some(Self { project, path, against })
    }

    fn arguments<'a>(&'a self, base: &'a str, args: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["bench", ".", "--build-context", base];
        all.extend(args);
        all
    }

    fn run(&self, args: &[&str]) -> Ended {
        let base = self.base();
        self.project.with_env(&self.arguments(&base, args), &[("PATH", &self.path)])
    }

    /// The same, to be started.
    fn command(&self, args: &[&str]) -> Command {
        let base = self.base();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kitwright"));
        command.args(self.arguments(&base, args)).current_dir(self.project.path(""));
        command.env("PATH", &self.path).env("KITWRIGHT_STATE_DIR", self.project.path(".state"));
        command
    }

    fn base(&self) -> String {
        format!("busybox=oci-layout://{}:latest", self.project.base.layout.display())
    }

    fn results(&self, folder: &str) -> Results {
        serde_json::from_str(&self.project.read(&format!("{folder}/results.json")))
            .expect("results")
    }
}

fn samples<'a>(results: &'a Results, scenario: &str) -> Vec<&'a Sample> {
    results.samples.iter().filter(|sample| sample.scenario == scenario).collect()
}

#[test]
fn clients_are_measured_in_turns_in_the_state_that_a_scenario_names() {
    let Some(bench) = Bench::new() else { return };
    let names = "cold,fresh,incremental,noop,reuse,one at a time";
    let args = ["--against", &bench.against, "--scenario", names, "-n", "2", "-o", "results"];
    let ended = bench.run(&args).ok();
    assert!(ended.stdout.contains("| cold | kitwright |"), "{}", ended.stdout);
    let results = bench.results("results");
    assert_eq!(results.reference.0, "buildctl");
    assert!(results.programs.iter().any(|program| program.starts_with("buildkitd ")));
    for scenario in ["cold", "fresh", "incremental:tools", "noop", "reuse"] {
        let taken = samples(&results, scenario);
        let order: Vec<&str> = taken.iter().map(|sample| sample.contender.0.as_str()).collect();
        let round = ["kitwright", "buildctl", "buildx"];
        assert_eq!(order, [round, round].concat(), "{scenario}");
        for sample in taken {
            check(scenario, sample);
        }
    }
    // What the command line says goes before what the scenario says.
    assert_eq!(samples(&results, "one at a time").len(), 2);
    assert_eq!(bench.project.read("tools.txt"), "one\n");
    let left: Vec<_> = std::fs::read_dir(bench.project.path(".state")).expect("a folder").collect();
    assert_eq!(left.iter().flatten().filter(|entry| entry.file_name() == "bench").count(), 0);
}

/// Checks that a sample was taken in its scenario's state: by what ran and what the registry saw.
fn check(scenario: &str, sample: &Sample) {
    let Steps { ran, cached } = sample.steps.expect("steps");
    let traffic = sample.registry.unwrap_or_default();
    let own = sample.contender.0 == "kitwright";
    let said = format!("{scenario}: {sample:?}");
    match scenario {
        // Random bytes do not compress: layer and cache hold them once.
        "cold" => assert!(cached == 0 && ran > 3 && traffic.up > 300_000, "{said}"),
        "incremental:tools" => assert!(ran >= 2 && traffic.up > 300_000, "{said}"),
        "fresh" => {
            assert!(traffic.up < 300_000 && traffic.down > 500 && cached > 3, "{said}");
            assert!(ran == 0 || !own, "no source is looked at for what is put together: {said}");
        }
        "reuse" if own => {
            assert!(ran + cached == 0 && !sample.phases.contains_key("steps"), "{said}")
        }
        "reuse" => assert!(traffic.up < 300_000 && traffic.down > 500, "{said}"),
        _ => assert!(cached > 3 && traffic.up == 0, "{said}"),
    }
    assert!(sample.wall > 0.0 && sample.cpu > 0.0 && sample.memory > 1 << 20, "{said}");
    if scenario == "cold" {
        assert_eq!(own, sample.phases.contains_key("submit"), "{said}");
        let phases = ["boot", "plan", "steps", "image export", "cache export"];
        assert!(phases.iter().all(|phase| sample.phases[*phase] > 0.0), "{said}");
        assert!(sample.critical_path.is_some_and(|path| path < sample.wall), "{said}");
    }
    // Where the cache has all of it, kitwright puts the image together without an engine's import.
    let imports = scenario == "fresh" && !own || cached_import(sample);
    assert_eq!(sample.phases.contains_key("import"), imports, "{said}");
}

/// Whether the scenario imports a cache into the engine of this sample.
fn cached_import(sample: &Sample) -> bool {
    let own = sample.contender.0 == "kitwright";
    sample.scenario.starts_with("incremental") || (sample.scenario == "reuse" && !own)
}

#[test]
fn a_killed_benchmark_goes_on_with_the_samples_it_has() {
    let Some(bench) = Bench::new() else { return };
    let args = ["--against", &bench.against, "--scenario", "noop", "-n", "3", "-o", "results"];
    let mut command = bench.command(&args);
    let mut running = command.stderr(Stdio::piped()).spawn().expect("kitwright starts");
    let lines = BufReader::new(running.stderr.take().expect("a pipe")).lines();
    let taken = lines.map_while(Result::ok).filter(|line| line.starts_with("noop ")).nth(3);
    assert!(taken.is_some(), "it ended by itself");
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    let before = bench.project.read("results/samples.jsonl");
    let mut again = args.to_vec();
    again.push("--resume");
    let changed = [&again[..], &["--build-arg", "A=b"]].concat();
    bench.run(&changed).fails(2, &["cannot be resumed", "what is built, or a scenario"]);
    bench.run(&again).ok();
    let after = bench.project.read("results/samples.jsonl");
    // The last line may have been written in part.
    let (whole, _) = before.rsplit_once('\n').expect("lines");
    assert!(whole.lines().count() > 4 && after.starts_with(whole), "{before}\n{after}");
    assert_eq!(samples(&bench.results("results"), "noop").len(), 9);
}

#[test]
fn an_engine_in_memory_leaves_nothing_there() {
    let Some(bench) = Bench::new() else { return };
    let mut command = bench.command(&["--scenario", "in memory", "-o", "results"]);
    let mut running = command.stdout(Stdio::null()).spawn().expect("kitwright starts");
    let mut seen = std::collections::BTreeSet::new();
    let status = loop {
        if let Some(status) = running.try_wait().expect("it runs") {
            break status;
        }
        let entries = std::fs::read_dir("/dev/shm").expect("a folder").flatten();
        let folders = entries.map(|entry| entry.path());
        seen.extend(folders.filter(|path| path.join("engine-1/engine/root").exists()));
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(status.success());
    assert_eq!(samples(&bench.results("results"), "in memory").len(), 1);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(!seen.iter().any(|folder| folder.exists()), "{seen:?}");
}

#[test]
fn a_build_that_got_slower_than_its_baseline_fails() {
    let Some(bench) = Bench::new() else { return };
    let measure = |output: &str, more: &[&str]| {
        let args = ["--against", &bench.against, "--scenario", "noop", "-n", "1", "-o", output];
        bench.run(&[&args[..], more].concat())
    };
    measure("results", &[]).ok();
    let mut faster = bench.results("results");
    for sample in faster.samples.iter_mut().filter(|sample| sample.contender.0 == "kitwright") {
        sample.wall /= 50.0;
    }
    bench.project.write("results/faster.json", &faster.json());
    for sample in faster.samples.iter_mut().filter(|sample| sample.contender.0 == "kitwright") {
        sample.wall *= 2500.0;
        sample.cpu *= 50.0;
        sample.memory *= 50;
    }
    bench.project.write("results/slower.json", &faster.json());
    let against = |file| ["--baseline", file, "--fail-over", "10%"];
    measure("results-2", &against("results/faster.json"))
        .fails(1, &["slower than the baseline", "`noop`, wall:"]);
    // Buildx, which did not change, may come out slower than it did by chance.
    measure("results-3", &["--baseline", "results/slower.json", "--fail-over", "900%"]).ok();
    bench
        .run(&["--scenario", "noop", "--baseline", "results/faster.json", "-o", "results-4"])
        .fails(2, &["there is no other client", "--against buildctl"]);
    let other = ["--reference", "buildx", "--baseline", "results/faster.json"];
    measure("results-5", &other).fails(2, &["the baseline divides by buildctl"]);
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is() {
    let Some(bench) = Bench::new() else { return };
    bench.run(&["--scenario", "nope"]).fails(2, &["there is no scenario `nope`", "cold"]);
    bench.run(&["--against", "podman"]).fails(2, &["only `buildx`, `buildx-defaults`"]);
    bench.run(&["--no-cache"]).fails(2, &["`--no-cache` cannot be measured"]);
    bench.run(&["-o", "inside"]).fails(2, &["lies in the build context"]);
    bench.run(&["--scenario", "incremental:nope"]).fails(2, &["has no stage `nope`"]);
    let failing = ["--scenario", "noop", "--build-arg", "X=1", "--target", "nope"];
    bench.run(&failing).fails(1, &["`noop` of kitwright ended with exit code", "nope"]);
}

/// A page with everything that can be in it, checked by the browser that shows it.
#[test]
fn the_page_is_shown_by_a_browser() {
    let Some([chromium]) = tool::need(["chromium"]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("results.html");
    let checked = page_of_samples().html().replace("</body>", &format!("{CHECK}</body>"));
    std::fs::write(&page, checked).expect("a written page");
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-sync"]);
    command.args(["--disable-component-update", "--window-size=1100,900", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    command.arg(format!("file://{}", page.display()));
    let output = command.stderr(Stdio::null()).output().expect("chromium starts");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = shown.split_once("<pre id=\"check\">").expect(&shown).1;
    let found = found.split_once("</pre>").expect("an end").0;
    // Two scenarios, three plots each, two clients with three samples.
    assert_eq!(found, "plots=6 circles=36 bars=12 tables=2 outside=0 overlapping=0 wide=false");
}

/// Counts what is shown, and what does not lie where it should.
const CHECK: &str = r#"<script>
const all = (selector) => [...document.querySelectorAll(selector)];
let outside = 0, overlapping = 0, bars = 0;
for (const svg of all('svg')) {
  const frame = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll('text')].map((text) => text.getBoundingClientRect());
  const rects = [...svg.querySelectorAll('rect')].filter((bar) => bar.getBBox().width > 0);
  bars += rects.length;
  boxes.push(...rects.map((bar) => bar.getBoundingClientRect()));
  for (const [at, box] of boxes.entries()) {
    if (box.right > frame.right || box.left < frame.left || box.bottom > frame.bottom + 1) outside++;
    overlapping += boxes.slice(at + 1).filter((other) => box.left < other.right &&
      other.left < box.right && box.top < other.bottom - 1 && other.top < box.bottom - 1).length;
  }
}
const pre = document.createElement('pre');
pre.id = 'check';
pre.textContent = `plots=${all('svg').length} circles=${all('circle').length} bars=${bars} ` +
  `tables=${all('table').length} outside=${outside} overlapping=${overlapping} ` +
  `wide=${document.documentElement.scrollWidth > innerWidth}`;
document.body.append(pre);
</script>"#;

fn page_of_samples() -> Results {
    let machine = Machine { processor: "CPU <&>".into(), cores: 2, ..Machine::default() };
    let reference = Contender("buildctl".into());
    let mut results = Results::new(machine, vec!["buildctl 0.32.2".into()], reference.clone());
    let phases = ["boot", "plan", "import", "context", "steps", "image export", "cache export"];
    for scenario in ["cold", "incremental:a-stage"] {
        for round in 1..=3 {
            for name in ["kitwright-of-another-version", "buildctl"] {
                let wall = f64::from(round) * if name == "buildctl" { 100.0 } else { 0.1 };
                results.samples.push(Sample {
                    scenario: scenario.into(),
                    contender: Contender(name.into()),
                    round,
                    wall,
                    cpu: wall / 2.0,
                    memory: 12_345_678 * u64::from(round),
                    registry: Some(Traffic { down: 5 << 30, up: 7 << 20 }),
                    packages: None,
                    phases: phases.iter().map(|phase| ((*phase).to_owned(), wall / 7.0)).collect(),
                    critical_path: Some(wall / 2.0),
                    steps: Some(Steps { ran: 3, cached: 4 }),
                    load: 9.0,
                });
            }
        }
    }
    results
}
