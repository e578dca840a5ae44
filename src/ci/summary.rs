//! The job's page: the image, the build's timeline as a chart, and notes on Dockerfile lines.
use std::fmt::Write as _;

use super::markdown::{code, one_line, seconds};
use super::publish::Annotation;
use super::record::{Metadata, Record, Step};

/// How many causes the page names.
const CAUSES_MAX: usize = 20;
/// How many steps the chart shows: more would be too small to read.
const CHART_MAX: usize = 40;

/// Renders the job's summary.
#[must_use]
pub fn render(record: &Record, metadata: Option<&Metadata>) -> String {
    let mut text = "### Image build\n\n| | |\n|---|---|\n".to_owned();
    if let Some(metadata) = metadata {
        for name in metadata.name.iter().flat_map(|names| names.split(',')) {
            let _ = writeln!(text, "| Image | {} |", code(name.trim()));
        }
        if let Some(digest) = &metadata.digest {
            let _ = writeln!(text, "| Digest | {} |", code(digest));
        }
    }
    let steps: Vec<&Step> = record.steps.iter().filter(|step| step.is_instruction()).collect();
    let cached = steps.iter().filter(|step| step.cached).count();
    let failed: Vec<&&Step> = steps.iter().filter(|step| step.error.is_some()).collect();
    if record.steps.is_empty() && metadata.is_some() {
        text.push_str("| Build | found by its content key, not built |\n");
        return text;
    }
    let _ = writeln!(text, "| Time | {} |", seconds(record.wall_seconds()));
    let ran = steps.len() - cached;
    let _ = writeln!(text, "| Steps | {ran} ran, {cached} from the cache |");
    for step in failed {
        let _ = writeln!(text, "| Failed | {} |", code(&step.name));
    }
    chart(&mut text, record, &steps);
    causes(&mut text, &steps);
    text
}

/// Why steps ran again, where the build could tell.
fn causes(text: &mut String, steps: &[&Step]) {
    let known = steps.iter().filter_map(|step| Some((step.name.as_str(), step.cause.as_deref()?)));
    let known: Vec<_> = known.take(CAUSES_MAX).collect();
    if known.is_empty() {
        return;
    }
    text.push_str("\n| Step that ran again | Why |\n|---|---|\n");
    for (name, cause) in known {
        let _ = writeln!(text, "| {} | {} |", code(name), code(cause));
    }
}

/// A chart of when each step ran: the longest ones, in the order of starting.
fn chart(text: &mut String, record: &Record, steps: &[&Step]) {
    let Some(start) = record.steps.iter().filter_map(|step| step.started).min() else { return };
    let mut longest: Vec<&&Step> = steps.iter().filter(|step| step.completed.is_some()).collect();
    longest.sort_by(|a, b| b.seconds().total_cmp(&a.seconds()));
    longest.truncate(CHART_MAX);
    longest.sort_by(|a, b| (a.started, &a.name).cmp(&(b.started, &b.name)));
    if longest.is_empty() {
        return;
    }
    text.push_str("\n```mermaid\ngantt\n  dateFormat x\n  axisFormat %M:%S\n");
    for step in longest {
        let (Some(from), Some(to)) = (step.started, step.completed) else { continue };
        let at = |time: jiff::Timestamp| time.duration_since(start).as_millis().max(0);
        let kind = match (&step.error, step.cached) {
            (Some(_), _) => "crit, ",
            (None, true) => "done, ",
            (None, false) => "",
        };
        let (from, to) = (at(from), at(to).max(at(from) + 1));
        let _ = writeln!(text, "  {} :{kind}{from}, {to}", chart_name(&step.name));
    }
    text.push_str("```\n");
}

/// A step's name without what the chart's own language means something by.
fn chart_name(name: &str) -> String {
    let tame = |character: char| match character {
        ':' | ';' | ',' | '#' | '`' | '%' | '<' | '>' | '{' | '}' => ' ',
        other => other,
    };
    let name: String = one_line(name).chars().map(tame).take(60).collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() { "step".to_owned() } else { name }
}

/// Notes on the Dockerfile's lines: what the engine warned of, and the step that failed.
#[must_use]
pub fn annotations(record: &Record, file: &str, dockerfile: &str) -> Vec<Annotation> {
    let warnings = record.warnings.iter().map(|warning| Annotation {
        error: false,
        file: file.to_owned(),
        lines: warning.lines,
        title: "Dockerfile".to_owned(),
        message: warning.message.clone(),
    });
    let failures = record.steps.iter().filter_map(|step| {
        let error = step.error.as_deref()?;
        Some(Annotation {
            error: true,
            file: file.to_owned(),
            lines: lines_of(&step.name, dockerfile),
            title: "The image does not build".to_owned(),
            message: format!("{}\n{error}", step.name),
        })
    });
    warnings.chain(failures).collect()
}

/// The lines of the instruction that a step's name quotes, if there is just one.
///
/// A step is called `[stage 2/5] RUN make`, with the instruction's words after expansion. So an
/// instruction with a variable is not found, which is better than a wrong line.
fn lines_of(step: &str, dockerfile: &str) -> Option<(u32, u32)> {
    let (_, instruction) = step.split_once("] ")?;
    let wanted = words(instruction);
    let mut found = None;
    let mut current = String::new();
    let mut first = 0;
    for (number, line) in (1..).zip(dockerfile.lines()) {
        if current.is_empty() {
            first = number;
        }
        if line.trim_start().starts_with('#') {
            continue;
        }
        let line = line.trim_end();
        let goes_on = line.ends_with('\\');
        current.push_str(line.trim_end_matches('\\'));
        current.push(' ');
        if goes_on {
            continue;
        }
        if words(&current) == wanted && found.replace((first, number)).is_some() {
            return None;
        }
        current.clear();
    }
    found
}

/// An instruction's words without its flags, which a step's name leaves out.
fn words(instruction: &str) -> String {
    let mut words = instruction.split_whitespace();
    let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
    let rest = words.skip_while(|word| word.starts_with("--"));
    std::iter::once(keyword.as_str()).chain(rest).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = "FROM scratch\n\nRUN --mount=type=cache,target=/x \\\n    # why\n    \
                              make   all\nrun ls\nRUN ls\n";

    #[test]
    fn a_failed_step_is_found_in_the_dockerfile() {
        assert_eq!(lines_of("[gen 2/3] RUN make all", DOCKERFILE), Some((3, 5)));
        assert_eq!(lines_of("[gen 1/3] FROM scratch", DOCKERFILE), Some((1, 1)));
        assert_eq!(lines_of("[gen 3/3] RUN ls", DOCKERFILE), None, "there are two");
        assert_eq!(lines_of("exporting", DOCKERFILE), None);
    }

    #[test]
    fn a_summary_shows_the_image_and_the_chart() {
        let start = jiff::Timestamp::UNIX_EPOCH;
        let step = Step {
            digest: "d".into(),
            name: "[go 1/2] RUN a: b".into(),
            started: Some(start),
            completed: Some(start + jiff::SignedDuration::from_millis(1500)),
            cached: false,
            error: None,
            cause: Some("`x` changed".into()),
        };
        let record = Record { steps: vec![step], warnings: Vec::new() };
        let metadata =
            Metadata { digest: Some("sha256:0".into()), name: Some("r/a:1,r/a:2".into()) };
        let text = render(&record, Some(&metadata));
        assert!(text.contains("| Image | `r/a:1` |\n| Image | `r/a:2` |"), "{text}");
        assert!(text.contains("  [go 1/2] RUN a b :0, 1500\n"), "{text}");
        assert!(text.contains("| `[go 1/2] RUN a: b` | `` `x` changed `` |"), "{text}");
        let found = render(&Record::default(), Some(&metadata));
        assert!(found.ends_with("| Build | found by its content key, not built |\n"), "{found}");
    }
}
