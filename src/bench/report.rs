//! Results of a benchmark as JSON, as Markdown for a pull request, and as a page with plots.
use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::sample::{Contender, Measure, Sample};
use super::stats::{Summary, summarise};

/// Everything that a run of the benchmark found: the results file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Version of this format.
    pub version: u32,
    /// The machine.
    pub machine: Machine,
    /// Names and versions of the programs, such as `buildx 0.36.1`.
    pub programs: Vec<String>,
    /// Whom the others are divided by.
    pub reference: Contender,
    /// Every sample, in the order it was taken.
    pub samples: Vec<Sample>,
    /// What to know when reading the figures, such as noise.
    pub notes: Vec<String>,
}

/// Where samples were taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Logical processors.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Kernel release.
    pub kernel: String,
    /// When the run began, RFC 3339.
    pub date: String,
}

/// The results format that this version writes.
pub const VERSION: u32 = 1;

impl Results {
    /// Results without samples.
    #[must_use]
    pub fn new(machine: Machine, programs: Vec<String>, reference: Contender) -> Self {
        Self {
            version: VERSION,
            machine,
            programs,
            reference,
            samples: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The samples, summarised.
    #[must_use]
    pub fn summaries(&self) -> Vec<Summary> {
        summarise(&self.samples, &self.reference)
    }

    /// The notes, and one for each series whose values lie far apart.
    #[must_use]
    pub fn all_notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        for summary in self.summaries() {
            if let Some(wall) = summary.spreads.get(&Measure::Wall)
                && wall.is_noisy()
            {
                notes.push(format!(
                    "`{}` of {} is noisy: {} to {}",
                    summary.scenario,
                    summary.contender.0,
                    Measure::Wall.format(wall.min),
                    Measure::Wall.format(wall.max),
                ));
            }
        }
        notes
    }

    /// All of it, as the results file holds it.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// A Markdown table, with the machine above it and the notes below.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let reference = &self.reference.0;
        let _ = writeln!(text, "{}\n", self.machine_line());
        let _ = writeln!(
            text,
            "| scenario | client | wall min / median / max | ÷ {reference} | client CPU | ÷ | \
             peak memory | ÷ |\n|---|---|---|---|---|---|---|---|"
        );
        for summary in self.summaries() {
            let spread = |measure: Measure| {
                summary.spreads.get(&measure).map_or_else(String::new, |spread| {
                    [spread.min, spread.median, spread.max].map(|v| measure.format(v)).join(" / ")
                })
            };
            let median = |measure: Measure| {
                let spread = summary.spreads.get(&measure);
                spread.map_or_else(String::new, |spread| measure.format(spread.median))
            };
            let ratio = |measure: Measure| {
                let ratio = summary.ratios.get(&measure);
                ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median))
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                summary.scenario,
                summary.contender.0,
                spread(Measure::Wall),
                ratio(Measure::Wall),
                median(Measure::Cpu),
                ratio(Measure::Cpu),
                median(Measure::Memory),
                ratio(Measure::Memory),
            );
        }
        for note in self.all_notes() {
            let _ = writeln!(text, "\n- {note}");
        }
        text
    }

    fn machine_line(&self) -> String {
        let machine = &self.machine;
        format!(
            "{}, {} × {}, {} GiB, Linux {}; {}",
            machine.date,
            machine.cores,
            machine.processor,
            machine.memory >> 30,
            machine.kernel,
            self.programs.join(", ")
        )
    }

    /// A page that needs nothing else: a plot for each scenario, and the table.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
             <title>kitwright bench</title>\n<style>{STYLE}</style>\n\
             <h1>kitwright bench</h1>\n<p>{}</p>\n",
            escaped(&self.machine_line())
        );
        let summaries = self.summaries();
        let mut seen = BTreeSet::new();
        for summary in &summaries {
            if !seen.insert(&summary.scenario) {
                continue;
            }
            let of = |other: &&Summary| other.scenario == summary.scenario;
            let group: Vec<&Summary> = summaries.iter().filter(of).collect();
            let _ = writeln!(page, "<h2>{}</h2>", escaped(&summary.scenario));
            for measure in Measure::ALL {
                page.push_str(&plot(&group, &self.samples, measure));
            }
        }
        for note in self.all_notes() {
            let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(&note));
        }
        page.push_str("</html>\n");
        page
    }
}

const STYLE: &str = "body{font:14px system-ui,sans-serif;max-width:60rem;margin:2rem auto;\
    padding:0 1rem;color:#1f2328}h2{margin:2rem 0 .5rem}svg{display:block;margin:.5rem 0}\
    .note{color:#9a6700}@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}\
    svg text{fill:#e6edf3}}";

/// A bar up to the median for each contender, with a dot for each sample.
fn plot(group: &[&Summary], samples: &[Sample], measure: Measure) -> String {
    const LEFT: f64 = 130.0;
    const WIDTH: f64 = 560.0;
    const ROW: usize = 26;
    let most = group
        .iter()
        .filter_map(|summary| summary.spreads.get(&measure))
        .map(|spread| spread.max)
        .fold(f64::MIN_POSITIVE, f64::max);
    let height = (group.len() + 1) * ROW;
    let mut svg = format!(
        "<svg width=\"860\" height=\"{height}\" role=\"img\" font-size=\"12\">\
         <text x=\"0\" y=\"14\" font-weight=\"bold\">{}</text>\n",
        measure.name()
    );
    for (row, summary) in group.iter().enumerate() {
        let Some(spread) = summary.spreads.get(&measure) else { continue };
        let top = (row + 1) * ROW;
        let bar = spread.median / most * WIDTH;
        let name = escaped(&summary.contender.0);
        let color = if row == 0 { "#0969da" } else { "#8c959f" };
        let ratio = summary.ratios.get(&measure);
        let ratio = ratio.map_or_else(String::new, |r| format!(" ({:.2}×)", r.median));
        let (text, rect, label) = (top + 14, top + 3, LEFT + WIDTH + 8.0);
        let _ = writeln!(
            svg,
            "<text x=\"0\" y=\"{text}\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{rect}\" width=\"{bar:.1}\" height=\"14\" fill=\"{color}\"/>\
             <text x=\"{label}\" y=\"{text}\">{}{ratio}</text>",
            measure.format(spread.median)
        );
        let own = |sample: &&Sample| {
            sample.scenario == summary.scenario && sample.contender == summary.contender
        };
        for sample in samples.iter().filter(own) {
            let x = LEFT + measure.of(sample) / most * WIDTH;
            let y = top + 10;
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"2.5\" fill=\"#cf222e\"/>");
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn results() -> Results {
        let sample = |who: &str, wall: f64, round| Sample {
            scenario: "noop".into(),
            contender: Contender(who.into()),
            round,
            wall,
            cpu: wall,
            memory: 10 << 20,
            registry: None,
            phases: BTreeMap::new(),
            critical_path: None,
            load: 0.1,
        };
        let machine = Machine {
            processor: "CPU <x>".into(),
            cores: 2,
            memory: 24 << 30,
            kernel: "6.1".into(),
            date: "2026-01-02".into(),
        };
        let reference = Contender("buildx".into());
        let mut results = Results::new(machine, vec!["buildx 0.36.1".into()], reference);
        results.samples = vec![
            sample("kitwright", 0.02, 1),
            sample("buildx", 0.2, 1),
            sample("kitwright", 0.05, 2),
            sample("buildx", 0.25, 2),
        ];
        results
    }

    #[test]
    fn the_table_has_spread_and_ratio() {
        let text = results().markdown();
        assert!(text.contains("2 × CPU <x>, 24 GiB, Linux 6.1; buildx 0.36.1"), "{text}");
        assert!(
            text.contains("| noop | kitwright | 20.0 ms / 35.0 ms / 50.0 ms | 0.15 |"),
            "{text}"
        );
        assert!(text.contains("- `noop` of kitwright is noisy: 20.0 ms to 50.0 ms"), "{text}");
    }

    #[test]
    fn the_page_shows_every_sample() {
        let page = results().html();
        assert_eq!(page.matches("<circle").count(), 4 * Measure::ALL.len());
        assert!(page.contains("CPU &lt;x&gt;"));
    }

    #[test]
    fn results_survive_their_file() {
        let text = serde_json::to_string(&results()).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results());
    }
}
