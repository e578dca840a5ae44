//! Statistics of samples: smallest, median and largest, and ratios pair by pair.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::sample::{Contender, Measure, Sample, Traffic};
use super::trace::IMAGE_EXPORT;

/// Where a series of values lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest value.
    pub min: f64,
    /// The middle value, or the mean of the two in the middle.
    pub median: f64,
    /// The largest value.
    pub max: f64,
    /// How many values there are.
    pub count: usize,
}

impl Spread {
    /// Computes the spread of `values`; none without values.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = count / 2;
        let median = if count % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { min, median, max, count })
    }

    /// Whether the values lie so far apart that their median says little: the largest is more than
    /// one and a half times the smallest.
    #[must_use]
    pub fn is_noisy(&self) -> bool {
        self.count > 1 && self.max > self.min * 1.5
    }
}

/// How one contender did in a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The scenario.
    pub scenario: String,
    /// The contender.
    pub contender: Contender,
    /// The spread of each measure.
    pub spreads: BTreeMap<Measure, Spread>,
    /// The spread of this contender's value divided by the reference's in the same round.
    pub ratios: BTreeMap<Measure, Spread>,
    /// The spread of seconds by phase.
    pub phases: BTreeMap<String, Spread>,
    /// The spread of the longest chain of steps, in seconds.
    pub critical_path: Option<Spread>,
    /// The spread of the wall time divided by that chain and the export of the image after it: one
    /// means that nothing could have been done at the same time as something else that was not.
    pub closeness: Option<Spread>,
    /// The median of what the engine and the client received from the registry and sent to it.
    pub registry: Option<Traffic>,
    /// The median of what package servers have sent to the steps.
    pub packages: Option<u64>,
}

/// Summarises samples by scenario, in their order of appearance, and contender.
///
/// Ratios are taken pair by pair against `reference`: what slows the machine down for a while slows
/// both of a pair.
#[must_use]
pub fn summarise(samples: &[Sample], reference: &Contender) -> Vec<Summary> {
    let mut groups: Vec<(&str, &Contender)> = Vec::new();
    for sample in samples {
        let group = (sample.scenario.as_str(), &sample.contender);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let order: Vec<&str> = groups.iter().map(|(scenario, _)| *scenario).collect();
    groups.sort_by_key(|(scenario, _)| order.iter().position(|known| known == scenario));
    groups.into_iter().map(|(scenario, who)| summary(samples, scenario, who, reference)).collect()
}

fn summary(
    samples: &[Sample],
    scenario: &str,
    contender: &Contender,
    reference: &Contender,
) -> Summary {
    let of = |who: &Contender| -> BTreeMap<u32, &Sample> {
        let matching = |sample: &&Sample| sample.scenario == scenario && sample.contender == *who;
        samples.iter().filter(matching).map(|sample| (sample.round, sample)).collect()
    };
    let (own, other) = (of(contender), of(reference));
    let paired: BTreeSet<u32> =
        own.keys().copied().filter(|round| other.contains_key(round)).collect();
    let mut spreads = BTreeMap::new();
    let mut ratios = BTreeMap::new();
    for measure in Measure::ALL {
        let values = own.values().map(|sample| measure.of(sample)).collect();
        if let Some(spread) = Spread::of(values) {
            spreads.insert(measure, spread);
        }
        let quotients = paired
            .iter()
            .map(|round| measure.of(own[round]) / measure.of(other[round]).max(f64::MIN_POSITIVE))
            .collect();
        if let Some(spread) = Spread::of(quotients) {
            ratios.insert(measure, spread);
        }
    }
    let own: Vec<&Sample> = own.into_values().collect();
    Summary {
        scenario: scenario.to_owned(),
        contender: contender.clone(),
        spreads,
        ratios,
        phases: phases(&own),
        critical_path: Spread::of(own.iter().filter_map(|sample| sample.critical_path).collect()),
        closeness: Spread::of(own.iter().filter_map(|sample| closeness(sample)).collect()),
        registry: traffic(&own),
        packages: median(own.iter().filter_map(|sample| sample.packages)),
    }
}

fn phases(samples: &[&Sample]) -> BTreeMap<String, Spread> {
    let names: BTreeSet<&String> = samples.iter().flat_map(|sample| sample.phases.keys()).collect();
    let values = |name: &String| {
        samples.iter().map(|sample| sample.phases.get(name).copied().unwrap_or(0.0)).collect()
    };
    names.into_iter().filter_map(|name| Some((name.clone(), Spread::of(values(name))?))).collect()
}

fn closeness(sample: &Sample) -> Option<f64> {
    let export = sample.phases.get(IMAGE_EXPORT).copied().unwrap_or(0.0);
    Some(sample.wall / (sample.critical_path? + export))
}

fn traffic(samples: &[&Sample]) -> Option<Traffic> {
    let all = || samples.iter().filter_map(|sample| sample.registry);
    let (down, up) = (all().map(|traffic| traffic.down), all().map(|traffic| traffic.up));
    Some(Traffic { down: median(down)?, up: median(up)? })
}

fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// A scenario that has become slower than it was, beyond what is tolerated.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// The scenario.
    pub scenario: String,
    /// The measure.
    pub measure: Measure,
    /// The median ratio to the reference then.
    pub before: f64,
    /// The median ratio to the reference now.
    pub now: f64,
}

/// Compares the ratios to the reference with those of a baseline.
///
/// Absolute times of two machines, or of one on two days, cannot be compared; the ratio to a
/// reference command that ran right beside each sample can.
#[must_use]
pub fn regressions(now: &[Summary], baseline: &[Summary], tolerance: f64) -> Vec<Regression> {
    let mut found = Vec::new();
    for summary in now {
        let same =
            |old: &&Summary| old.scenario == summary.scenario && old.contender == summary.contender;
        let Some(old) = baseline.iter().find(same) else { continue };
        for (measure, ratio) in &summary.ratios {
            let Some(before) = old.ratios.get(measure) else { continue };
            if ratio.median > before.median * (1.0 + tolerance) {
                found.push(Regression {
                    scenario: summary.scenario.clone(),
                    measure: *measure,
                    before: before.median,
                    now: ratio.median,
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(scenario: &str, who: &str, round: u32, wall: f64) -> Sample {
        Sample {
            scenario: scenario.into(),
            contender: Contender(who.into()),
            round,
            wall,
            cpu: wall / 2.0,
            memory: 1 << 20,
            registry: None,
            packages: None,
            phases: BTreeMap::new(),
            critical_path: None,
            steps: None,
            load: 0.0,
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of(vec![5.0, 1.0, 3.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max, spread.count), (1.0, 3.0, 5.0, 3));
        assert!(spread.is_noisy());
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let samples = [
            sample("noop", "kitwright", 1, 1.0),
            sample("noop", "buildx", 1, 4.0),
            sample("noop", "buildx", 2, 40.0),
            sample("noop", "kitwright", 2, 10.0),
            sample("noop", "kitwright", 3, 99.0),
        ];
        let summaries = summarise(&samples, &Contender("buildx".into()));
        let ratio = summaries[0].ratios[&Measure::Wall];
        assert_eq!((ratio.min, ratio.max, ratio.count), (0.25, 0.25, 2));
        assert_eq!(summaries[0].spreads[&Measure::Wall].count, 3);
        assert_eq!(summaries[1].ratios[&Measure::Memory].median, 1.0);
    }

    #[test]
    fn a_regression_is_one_of_the_ratio() {
        let run = |mine: f64, theirs: f64| {
            let samples =
                [sample("noop", "kitwright", 1, mine), sample("noop", "buildx", 1, theirs)];
            summarise(&samples, &Contender("buildx".into()))
        };
        let baseline = run(1.0, 10.0);
        assert_eq!(regressions(&run(5.0, 50.0), &baseline, 0.1), []);
        let found = regressions(&run(1.2, 10.0), &baseline, 0.1);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].measure, Measure::Wall);
    }
}
