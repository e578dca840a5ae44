//! The page: plots of every sample and tables, in one file that needs nothing else.
use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Results, bytes, phases};
use crate::bench::sample::{Measure, Sample};
use crate::bench::stats::Summary;

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;max-width:62rem;margin:2rem auto;\
    padding:0 1rem;color:#1f2328;background:#fff}h2{margin:2.5rem 0 .5rem;border-bottom:1px solid \
    #d1d9e0}svg{display:block;margin:.5rem 0;max-width:100%;height:auto}svg text{fill:currentColor}\
    table{border-collapse:collapse;margin:.75rem 0}th,td{padding:.2rem .7rem;text-align:right;\
    border-bottom:1px solid #d1d9e0}th:first-child,td:first-child{text-align:left}\
    .note{color:#9a6700}@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}\
    h2,th,td{border-color:#3d444d}.note{color:#d29922}}";

impl Results {
    /// A page that needs nothing else: for each scenario a plot of each measure, and where the time
    /// went.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>kitwright bench</title>\n<style>{STYLE}</style></head>\n<body>\n\
             <h1>kitwright bench</h1>\n<p>{}</p>\n\
             <p>Bars end at the median, dots are samples. Numbers in brackets are medians of the \
             ratio to {}, taken within each round.</p>\n",
            escaped(&self.machine_line()),
            escaped(&self.reference.0),
        );
        for note in self.all_notes() {
            let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(&note));
        }
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
            page.push_str(&time_table(&group));
        }
        page.push_str("</body>\n</html>\n");
        page
    }
}

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
        "<svg viewBox=\"0 0 860 {height}\" width=\"860\" height=\"{height}\" role=\"img\" \
         aria-label=\"{0}\" font-size=\"12\">\
         <text x=\"0\" y=\"14\" font-weight=\"bold\">{0}</text>\n",
        measure.name()
    );
    for (row, summary) in group.iter().enumerate() {
        let Some(spread) = summary.spreads.get(&measure) else { continue };
        let top = (row + 1) * ROW;
        let bar = spread.median / most * WIDTH;
        let name = escaped(&shortened(&summary.contender.0));
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
            let value = measure.format(measure.of(sample));
            let _ = write!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"2.5\" fill=\"#cf222e\"><title>round {}: \
                 {value}</title></circle>",
                sample.round
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The phases of each contender, its critical path, and what the registry saw.
fn time_table(group: &[&Summary]) -> String {
    let of = |summary: &Summary| phases(summary);
    let used: BTreeSet<&str> =
        group.iter().flat_map(|summary| of(summary)).map(|(name, _)| name).collect();
    let names: Vec<&str> = super::PHASES.into_iter().filter(|name| used.contains(name)).collect();
    let mut table = String::from("<table><tr><th></th>");
    for name in &names {
        let _ = write!(table, "<th>{name}</th>");
    }
    table.push_str("<th>critical path</th><th>wall ÷ (path + export)</th><th>registry ↓ / ↑</th>");
    let counts_packages = group.iter().any(|summary| summary.packages.is_some());
    if counts_packages {
        table.push_str("<th>package servers ↓</th>");
    }
    table.push_str("</tr>\n");
    for summary in group {
        let _ = write!(table, "<tr><td>{}</td>", escaped(&summary.contender.0));
        let own = of(summary);
        for name in &names {
            let value = own.iter().find(|(known, _)| known == name);
            let value = value.map_or_else(String::new, |(_, value)| Measure::Wall.format(*value));
            let _ = write!(table, "<td>{value}</td>");
        }
        let critical = summary.critical_path.map(|spread| Measure::Wall.format(spread.median));
        let closeness = summary.closeness.map(|spread| format!("{:.2}", spread.median));
        let registry = summary
            .registry
            .map(|traffic| format!("{} / {}", bytes(traffic.down), bytes(traffic.up)));
        let packages = counts_packages.then(|| summary.packages.map(bytes).unwrap_or_default());
        let cells = [critical, closeness, registry].map(Option::unwrap_or_default);
        for cell in cells.into_iter().chain(packages) {
            let _ = write!(table, "<td>{cell}</td>");
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</table>\n");
    table
}

/// As much of a name as there is room for.
fn shortened(name: &str) -> String {
    const ROOM: usize = 18;
    if name.chars().count() <= ROOM {
        return name.to_owned();
    }
    name.chars().take(ROOM - 1).chain(['…']).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
