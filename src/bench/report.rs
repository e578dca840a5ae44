//! Results of a benchmark as JSON, as Markdown for a pull request, and as a page with plots.
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::sample::{Contender, Measure, Sample};
use super::stats::{Summary, summarise};
use super::trace::PHASES;

mod page;

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

    /// All of it, as the results file holds it.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The notes, one on the machine's load, and one for each series whose values lie far apart.
    #[must_use]
    pub fn all_notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        let load = self.samples.iter().map(|sample| sample.load).fold(0.0, f64::max);
        let cores = self.machine.cores;
        #[expect(clippy::cast_precision_loss, reason = "no machine has that many")]
        if load > cores as f64 {
            notes.push(format!(
                "the machine was busy with other things: load average up to {load:.1} on {cores} \
                 cores; trust the ratios, not the times"
            ));
        }
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

    /// Markdown tables, costs and where the time went, with the machine above and notes below; one more
    /// where it was counted what package servers sent.
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
        let summaries = self.summaries();
        for summary in &summaries {
            text.push_str(&cost_row(summary));
        }
        let _ = writeln!(
            text,
            "\n| scenario | client | phases (median) | critical path | wall ÷ (critical path + image \
             export) | registry received / sent |\n|---|---|---|---|---|---|"
        );
        for summary in &summaries {
            text.push_str(&phase_row(summary));
        }
        text.push_str(&packages_table(&summaries));
        let notes = self.all_notes();
        if !notes.is_empty() {
            text.push('\n');
        }
        for note in notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }

    pub(super) fn machine_line(&self) -> String {
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
}

fn cost_row(summary: &Summary) -> String {
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
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
        summary.scenario,
        summary.contender.0,
        spread(Measure::Wall),
        ratio(Measure::Wall),
        median(Measure::Cpu),
        ratio(Measure::Cpu),
        median(Measure::Memory),
        ratio(Measure::Memory),
    )
}

/// The medians of the phases that took any time, in their usual order.
pub(super) fn phases(summary: &Summary) -> Vec<(&'static str, f64)> {
    let median = |name: &'static str| Some((name, summary.phases.get(name)?.median));
    PHASES.into_iter().filter_map(median).filter(|(_, seconds)| *seconds >= 5e-4).collect()
}

pub(super) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return format!("{value:.*} {unit}", usize::from(unit != "B"));
        }
        value /= 1024.0;
    }
    format!("{value:.2} GiB")
}

fn phase_row(summary: &Summary) -> String {
    let seconds = |value: f64| Measure::Wall.format(value);
    let phases = phases(summary).into_iter();
    let phases: Vec<_> = phases.map(|(name, value)| format!("{name} {}", seconds(value))).collect();
    let critical = summary.critical_path.map(|spread| seconds(spread.median));
    let closeness = summary.closeness.map(|spread| format!("{:.2}", spread.median));
    let registry =
        summary.registry.map(|traffic| format!("{} / {}", bytes(traffic.down), bytes(traffic.up)));
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        summary.scenario,
        summary.contender.0,
        phases.join(", "),
        critical.unwrap_or_default(),
        closeness.unwrap_or_default(),
        registry.unwrap_or_default(),
    )
}

/// What package servers sent, where that was counted.
fn packages_table(summaries: &[Summary]) -> String {
    let mut table = String::new();
    for summary in summaries {
        let Some(packages) = summary.packages else { continue };
        if table.is_empty() {
            table.push_str("\n| scenario | client | package servers sent |\n|---|---|---|\n");
        }
        let (scenario, client) = (&summary.scenario, &summary.contender.0);
        let _ = writeln!(table, "| {scenario} | {client} | {} |", bytes(packages));
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bench::sample::Traffic;

    fn results() -> Results {
        let sample = |who: &str, wall: f64, round| Sample {
            scenario: "noop".into(),
            contender: Contender(who.into()),
            round,
            wall,
            cpu: wall,
            memory: 10 << 20,
            registry: Some(Traffic { down: 3 << 20, up: 100 }),
            packages: Some(5 << 20),
            phases: BTreeMap::from([("steps".into(), wall / 2.0), ("end".into(), 0.0)]),
            critical_path: Some(wall / 2.0),
            steps: None,
            load: 3.5,
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
        assert!(
            text.contains("| noop | buildx | steps 112.5 ms | 112.5 ms | 2.00 | 3.0 MiB / 100 B |"),
            "{text}"
        );
        assert!(text.contains("\n\n| scenario | client | package servers sent |\n"), "{text}");
        assert!(text.contains("\n| noop | buildx | 5.0 MiB |\n"), "{text}");
        assert!(text.contains("- `noop` of kitwright is noisy: 20.0 ms to 50.0 ms"), "{text}");
        assert!(text.contains("load average up to 3.5 on 2 cores"), "{text}");
    }

    #[test]
    fn the_page_shows_every_sample() {
        let page = results().html();
        assert_eq!(page.matches("<circle").count(), 4 * Measure::ALL.len());
        assert!(page.contains("CPU &lt;x&gt;"));
        assert!(page.contains("<th>steps<"), "{page}");
        assert!(page.contains("<th>package servers ↓<") && page.contains("<td>5.0 MiB<"), "{page}");
    }

    #[test]
    fn results_survive_their_file() {
        let text = serde_json::to_string(&results()).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results());
    }
}
