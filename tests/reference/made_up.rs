//! Dockerfiles made up at random from the cases, through both compilers.
use crate::case::{self, Case};
use crate::cases::answer;
use crate::compare::compare;
use crate::mutate::{Random, mutate, rounds};
use crate::oracle;
use crate::outcome::Outcome;
use crate::parsing::DICTIONARY;

/// How often BuildKit is asked before its answer counts: stages are resolved at the same time there, and the
/// first of several errors is the one that came first.
const TRIES: usize = 4;

#[test]
fn compilers_agree() {
    if !oracle::available() {
        return;
    }
    let mut random = Random::new(6);
    let seeds: Vec<Case> = case::all()
        .into_iter()
        .filter(|case| !case.name.contains("windows") && !case.options.contains_key("requestid"))
        .filter(|case| case.workers.is_empty() && !case.options.contains_key("cmdline"))
        // Whether the ignore file or the Dockerfile is found bad first makes no difference.
        .filter(|case| !case.name.contains("dockerignore-b"))
        .collect();
    let total = rounds(3000);
    let (mut equal, mut vertices, mut refused) = (0, 0, 0);
    let mut differing = Vec::new();
    for start in (0..total).step_by(1000) {
        let cases: Vec<Case> = (start..total.min(start + 1000))
            .map(|round| make_up(&mut random, &seeds, round))
            .collect();
        let questions: Vec<_> = cases.iter().map(|case| case.question(true)).collect();
        for (case, theirs) in cases.iter().zip(oracle::ask(&questions)) {
            let theirs = Outcome::of_answer(&theirs);
            refused += usize::from(theirs.error.is_some());
            match difference(case, &theirs) {
                Ok(count) => {
                    equal += 1;
                    vertices += count;
                }
                Err(text) => differing.push(format!(
                    "{}:\n{}\n{:?}\n{text}",
                    case.name,
                    String::from_utf8_lossy(&case.dockerfile),
                    case.options,
                )),
            }
        }
    }
    println!(
        "made up: {total} files, {equal} equal; {refused} refused by BuildKit; {vertices} vertices equal"
    );
    let shown =
        std::env::var("KITWRIGHT_SHOW").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let text: Vec<&str> = differing.iter().take(shown).map(String::as_str).collect();
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), text.join("\n\n"));
}

/// One case with the text of another mixed in, or only a little changed.
fn make_up(random: &mut Random, seeds: &[Case], round: usize) -> Case {
    let mut case = random.pick(seeds).clone();
    let mut text = String::from_utf8_lossy(&case.dockerfile).into_owned();
    let mixed = random.below(4);
    for _ in 0..mixed {
        let other = random.pick(seeds);
        let other = String::from_utf8_lossy(&other.dockerfile).into_owned();
        let lines: Vec<&str> = other.split_inclusive('\n').collect();
        let at = random.below(lines.len());
        let end = (at + 1 + random.below(6)).min(lines.len());
        let places: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        let place = if places.is_empty() { text.len() } else { *random.pick(&places) };
        text.insert_str(place, &lines[at.min(end)..end].concat());
    }
    if mixed == 0 || random.below(3) == 0 {
        text = mutate(random, &text, DICTIONARY);
    }
    case.name = format!("{} changed in round {round}", case.name);
    case.dockerfile = text.into_bytes();
    case.options.remove("build-arg:SOURCE_DATE_EPOCH");
    case
}

/// The number of vertices that are equal, or what differs from all of BuildKit's answers.
fn difference(case: &Case, theirs: &Outcome) -> Result<usize, String> {
    let ours = answer(case)?;
    if ours
        .error
        .as_ref()
        .is_some_and(|error| error.message.contains("is not supported by the built-in"))
    {
        return Ok(0);
    }
    // Of several bases that cannot be used BuildKit reports the one it happens to come to first.
    if ours
        .error
        .iter()
        .chain(&theirs.error)
        .filter(|error| is_about_a_base(&error.message))
        .count()
        == 2
    {
        return Ok(0);
    }
    // BuildKit finds this out when it marshals, after all other errors.
    if ours.error.as_ref().is_some_and(|error| error.message == "arguments are required")
        && theirs.error.is_some()
    {
        return Ok(0);
    }
    let mut last = match compare(&ours, theirs) {
        (count, Ok(())) => return Ok(count.vertices),
        (_, Err(text)) => text,
    };
    for _ in 1..TRIES {
        let theirs = Outcome::of_answer(&oracle::ask(&[case.question(true)])[0]);
        match compare(&ours, &theirs) {
            (count, Ok(())) => return Ok(count.vertices),
            (_, Err(text)) => last = text,
        }
    }
    Err(last)
}

fn is_about_a_base(message: &str) -> bool {
    [
        "failed to parse stage name",
        "cannot resolve image",
        ": not found",
        "named context",
        "unsupported context source",
    ]
    .iter()
    .any(|part| message.contains(part))
}
