//! Tests of predictions on made-up graphs and caches.
use super::super::config::{Link, Record, Stored, UNCOMPRESSED};
use super::super::keys::{self, Input};
use super::*;
use crate::oci::manifest::{Descriptor, media};

/// The files of every directory have this digest.
struct Same(&'static str);

impl Contents for Same {
    fn digest(&self, _: &local::Request, _: &[Selector]) -> Result<Digest, String> {
        match self.0 {
            "" => Err("it is gone".into()),
            content => Ok(Digest::of(content.as_bytes())),
        }
    }
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn input(step: usize) -> Input {
    Input { step, output: 0, selector: String::new(), content: None }
}

fn read(step: usize) -> Input {
    Input { selector: digest("selector").to_string(), content: Some(Vec::new()), ..input(step) }
}

fn step(name: &str, key: Key) -> StepKey {
    StepKey {
        vertex: digest(&format!("vertex {name}")),
        name: name.into(),
        ignore_cache: false,
        key,
    }
}

fn op(name: &str, inputs: Vec<Input>) -> StepKey {
    step(name, Key::Op { digest: digest(name), inputs })
}

fn image(name: &str) -> StepKey {
    step(name, Key::Root(Root::Known(vec![digest(name), digest("another name")])))
}

fn directory() -> StepKey {
    step("files", Key::Root(Root::Local(local::Request::default())))
}

/// A cache, made record by record.
#[derive(Default)]
struct Made(CacheConfig);

impl Made {
    fn record(&mut self, digest: Digest, inputs: Vec<Vec<(usize, Option<&str>)>>) -> usize {
        let link = |(record, selector): (usize, Option<&str>)| Link {
            record,
            selector: selector.map(|s| self::digest(s).to_string()).unwrap_or_default(),
        };
        let inputs = inputs.into_iter().map(|links| links.into_iter().map(link).collect());
        self.0.records.push(Record { digest, inputs: inputs.collect(), results: Vec::new() });
        self.0.records.len() - 1
    }

    fn root(&mut self, name: &str) -> usize {
        self.record(keys::record(&digest(name), 0), Vec::new())
    }

    fn content(&mut self, content: &str) -> usize {
        self.record(keys::content_record(&digest(content)), Vec::new())
    }

    fn op(&mut self, name: &str, inputs: Vec<Vec<(usize, Option<&str>)>>) -> usize {
        self.record(keys::record(&digest(name), 0), inputs)
    }

    /// Gives a record a result of one layer that holds `content`.
    fn result(&mut self, record: usize, content: &str) -> usize {
        let mut layer =
            Descriptor::new(media::OCI_LAYER_ZSTD, digest(&format!("{content}.zst")), 10);
        layer.annotations.insert(UNCOMPRESSED.into(), content.into());
        self.0.layers.push(layer);
        let layers = vec![self.0.layers.len() - 1];
        self.0.records[record].results.push(Stored { layers, created_at: 0 });
        record
    }
}

/// `base -> a -> b`, with the results of those that have a content.
fn chain(a: Option<&str>, b: Option<&str>) -> CacheConfig {
    let mut made = Made::default();
    let base = made.root("base");
    let first = made.op("a", vec![vec![(base, None)]]);
    let second = made.op("b", vec![vec![(first, None)]]);
    a.map(|content| made.result(first, content));
    b.map(|content| made.result(second, content));
    made.0
}

fn chain_steps() -> Vec<StepKey> {
    let result = step("", Key::Result(input(2)));
    vec![image("base"), op("a", vec![input(0)]), op("b", vec![input(1)]), result]
}

fn ask(steps: &[StepKey], configs: &[Option<&CacheConfig>], files: &'static str) -> Prediction {
    let names = ["one", "two", "three"].into_iter().map(str::to_owned);
    let refs: Vec<CacheRef<'_>> =
        names.zip(configs).map(|(name, config)| CacheRef { name, config: *config }).collect();
    predict(steps, &refs, &Same(files))
}

fn told(prediction: &Prediction) -> Vec<String> {
    let named = prediction.steps.iter().filter(|step| !step.name.is_empty());
    named.map(|step| prediction.tell(step)).collect()
}

fn order(prediction: &Prediction) -> Vec<(Vec<usize>, usize)> {
    prediction.imports().into_iter().map(|s| (s.imports, s.vertices.len())).collect()
}

#[test]
fn the_first_cache_that_has_a_step_serves_it_and_nothing_below_is_needed() {
    let (old, new) = (chain(Some("a"), Some("b")), chain(Some("a"), Some("b")));
    let found = ask(&chain_steps(), &[Some(&old), Some(&new)], "");
    assert_eq!(told(&found), ["source", "not needed", "served by one"]);
    assert_eq!(order(&found), [(vec![0], 0)]);
    assert!(found.is_covered() && found.is_certain() && found.pulled() == 0);
}

#[test]
fn an_image_is_known_by_any_of_its_keys() {
    let mut steps = chain_steps();
    let config = chain(Some("a"), Some("b"));
    steps[0].key = Key::Root(Root::Known(vec![digest("moved"), digest("base")]));
    assert!(ask(&steps, &[Some(&config)], "").is_covered());
    steps[0].key = Key::Root(Root::Known(vec![digest("moved")]));
    let found = ask(&steps, &[Some(&config)], "");
    assert_eq!(told(&found)[1], "runs: no cache has it on this `base`");
}

#[test]
fn a_key_without_a_result_leads_on_but_serves_nothing() {
    let found = ask(&chain_steps(), &[Some(&chain(None, Some("b")))], "");
    assert!(found.is_covered());
    let mut steps = chain_steps();
    steps[3].key = Key::Result(input(1));
    let found = ask(&steps, &[Some(&chain(None, Some("b")))], "");
    assert_eq!(told(&found)[1], "runs: the caches know the step but kept no result of it");
}

#[test]
fn a_step_that_runs_pulls_what_it_runs_on() {
    let found = ask(&chain_steps(), &[Some(&chain(Some("a"), None))], "");
    assert_eq!(told(&found)[1..], ["served by one".to_owned(), found.tell(&found.steps[2])]);
    assert_eq!((found.pulled(), found.expected_to_run().len()), (10, 1));
    assert!(found.expected_to_run().contains(&found.steps[2].vertex));
}

#[test]
fn steps_that_ignore_the_cache_run_and_hide_what_is_below() {
    let mut steps = chain_steps();
    steps[1].ignore_cache = true;
    let found = ask(&steps, &[Some(&chain(Some("a"), Some("b")))], "");
    assert_eq!(found.steps[1].outcome, Outcome::Runs(Why::Ignored));
    assert_eq!(found.steps[2].outcome, Outcome::Runs(Why::Input(1)));
}

#[test]
fn without_a_readable_cache_everything_runs_and_the_unreadable_one_is_asked() {
    let found = ask(&chain_steps(), &[], "");
    assert_eq!(found.steps[1].outcome, Outcome::Runs(Why::NoCache));
    assert_eq!(order(&found), [(Vec::new(), 0)]);
    assert_eq!(order(&ask(&chain_steps(), &[None], "")), [(vec![0], 0)]);
    let whole = chain(Some("a"), Some("b"));
    assert_eq!(order(&ask(&chain_steps(), &[Some(&whole), None], "")), [(vec![0], 0)]);
    let half = chain(Some("a"), None);
    let found = ask(&chain_steps(), &[Some(&half), None], "");
    assert_eq!(order(&found), [(vec![0], 1), (vec![1], 0)]);
    assert!(!found.is_certain());
}

/// `base`, files of a directory copied onto nothing, and a command on both.
fn copy_steps() -> Vec<StepKey> {
    vec![
        image("base"),
        directory(),
        op("copy", vec![read(1)]),
        op("run", vec![input(0), read(2)]),
        step("", Key::Result(input(3))),
    ]
}

fn copy_config() -> CacheConfig {
    let mut made = Made::default();
    let (base, files) = (made.root("base"), made.content("files"));
    let copy = made.op("copy", vec![vec![(files, None)]]);
    let made_of = made.content("copied");
    let links = vec![(copy, Some("selector")), (made_of, None)];
    let run = made.op("run", vec![vec![(base, None)], links]);
    made.result(copy, "copied");
    made.result(run, "run");
    made.0
}

#[test]
fn files_count_by_content() {
    let config = copy_config();
    let mut steps = copy_steps();
    assert_eq!(told(&ask(&steps, &[Some(&config)], "files"))[2..], ["not needed", "served by one"]);
    steps[4].key = Key::Result(input(2));
    let found = ask(&steps, &[Some(&config)], "files");
    assert_eq!(found.steps[2].outcome, Outcome::Served { by: 0, by_content: true });
    assert_eq!(found.steps[1].needed, Needed::Yes);
    let found = ask(&steps, &[Some(&config)], "other");
    assert_eq!(found.steps[2].outcome, Outcome::Runs(Why::Files(String::new())));
    let found = ask(&steps, &[Some(&config)], "");
    assert_eq!(found.steps[2].outcome, Outcome::Open { by: 0, input: 1 });
}

#[test]
fn what_hangs_on_content_yet_to_be_made_is_open() {
    let config = copy_config();
    let found = ask(&copy_steps(), &[Some(&config)], "other");
    assert_eq!(found.steps[3].outcome, Outcome::Open { by: 0, input: 2 });
    assert_eq!((found.steps[2].needed, found.steps[0].needed), (Needed::Yes, Needed::Maybe));
    assert_eq!(found.expected_to_run().len(), 2);
    assert!(!found.is_certain());
    // On another base it runs whatever was copied.
    let mut steps = copy_steps();
    steps[0].key = Key::Root(Root::Known(vec![digest("moved")]));
    let found = ask(&steps, &[Some(&config)], "other");
    assert_eq!(found.steps[3].outcome, Outcome::Runs(Why::Input(0)));
}

#[test]
fn a_step_without_inputs_is_found_as_a_source_is() {
    let steps = vec![op("made", vec![]), op("use", vec![read(0)]), step("", Key::Result(input(1)))];
    let mut made = Made::default();
    let root = made.op("made", vec![]);
    let used = made.op("use", vec![vec![(root, Some("selector"))]]);
    made.result(used, "use");
    let found = ask(&steps, &[Some(&made.0)], "");
    assert_eq!(told(&found), ["not needed", "served by one"]);
}

#[test]
fn an_unknown_source_is_never_guessed() {
    let mut steps = chain_steps();
    steps[0].key = Key::Root(Root::Unknown("only the repository knows"));
    let found = ask(&steps, &[Some(&chain(Some("a"), Some("b")))], "");
    assert!(matches!(found.steps[2].outcome, Outcome::Open { by: 0, .. }), "{found:?}");
}

#[test]
fn what_rests_on_a_losing_version_is_built_anew() {
    let (first, later) = (chain(Some("a"), None), chain(Some("another a"), Some("b")));
    let found = ask(&chain_steps(), &[Some(&first), Some(&later)], "");
    assert_eq!(found.steps[1].outcome, Outcome::Served { by: 0, by_content: false });
    assert_eq!(found.steps[2].outcome, Outcome::Runs(Why::Rival(1)));
    assert_eq!(order(&found), [(vec![0], 1), (Vec::new(), 0)]);
    let found = ask(&chain_steps(), &[Some(&later), Some(&first)], "");
    assert_eq!(order(&found), [(vec![0], 0)]);
    // The same content is no rival, however it is compressed.
    let same = chain(Some("a"), Some("b"));
    let found = ask(&chain_steps(), &[Some(&first), Some(&same)], "");
    assert_eq!(order(&found), [(vec![1], 0)]);
}

#[test]
fn caches_that_are_needed_are_asked_one_after_the_other() {
    let mut steps = vec![image("base"), op("a", vec![input(0)]), op("c", vec![input(0)])];
    steps.push(op("join", vec![input(1), input(2)]));
    steps.push(step("", Key::Result(input(3))));
    let mut other = Made::default();
    let base = other.root("base");
    let c = other.op("c", vec![vec![(base, None)]]);
    other.result(c, "c");
    let found = ask(&steps, &[Some(&chain(Some("a"), None)), Some(&other.0)], "");
    assert_eq!(order(&found), [(vec![0], 1), (vec![1], 0)]);
    assert_eq!(found.steps[3].outcome, Outcome::Runs(Why::New));
}

#[test]
fn the_result_is_known_when_all_is_served_and_its_layers_are_undisputed() {
    let full = chain(Some("a"), Some("b"));
    let result = |steps: &[StepKey], config: &CacheConfig| {
        let found = ask(steps, &[None, Some(config)], "");
        found.result().map(|(by, place)| (by, place.layers.clone(), place.records.clone()))
    };
    assert_eq!(result(&chain_steps(), &full), Some((1, vec![1], vec![2])));
    assert_eq!(result(&chain_steps(), &chain(Some("a"), None)), None);
    // The same layers twice are no dispute, others are.
    let mut twice = full.clone();
    let stored = Stored { created_at: 7, ..twice.records[2].results[0].clone() };
    twice.records[2].results.push(stored);
    assert!(result(&chain_steps(), &twice).is_some());
    twice.records[2].results.push(Stored { layers: vec![0], created_at: -1 });
    assert_eq!(result(&chain_steps(), &twice), None);
    let mut steps = chain_steps();
    steps[3].key = Key::Result(Input { output: 1, ..input(2) });
    assert_eq!(result(&steps, &full), None);
    // An image as it is has no step that could be served.
    let steps = vec![image("base"), step("", Key::Result(input(0)))];
    assert_eq!(result(&steps, &full), None);
}

#[test]
fn what_runs_whatever_files_contain_is_told_without_them() {
    let mut made = Made::default();
    let (base, files) = (made.root("base"), made.content("content"));
    let copy = made.op("copy", vec![vec![(base, None)], vec![(files, None)]]);
    made.result(copy, "copied");
    let steps = |after: &str| {
        let copy = op("copy", vec![input(0), read(1)]);
        vec![
            image("base"),
            directory(),
            copy,
            op(after, vec![input(2)]),
            step("", Key::Result(input(3))),
        ]
    };
    let unread = ask(&steps("gone"), &[Some(&made.0)], "");
    assert!(unread.surely_runs());
    let after = made.op("after", vec![vec![(copy, None)]]);
    made.result(after, "more");
    let unread = ask(&steps("after"), &[Some(&made.0)], "");
    assert!(!unread.surely_runs() && unread.result().is_none());
    assert!(ask(&steps("after"), &[Some(&made.0)], "content").result().is_some());
}
