//! Choosing an image out of an index for a platform.
//!
//! The order is containerd's, so that kitwright and the engine take the same image: the platform
//! itself, then what it can run as well, best first (`linux/arm64` runs `linux/arm/v7`,
//! `linux/amd64` runs `linux/386`). Ties keep the index's order.
use super::super::platform::Platform;
use super::Descriptor;

/// The entries that run on `wanted`, best first.
///
/// Entries without a platform come last: only their config can tell. Attestations are never
/// images, whatever platform they name.
#[must_use]
pub fn candidates<'a>(manifests: &'a [Descriptor], wanted: &Platform) -> Vec<&'a Descriptor> {
    let order = compatible(wanted);
    let mut found: Vec<(usize, &Descriptor)> = manifests
        .iter()
        .filter(|entry| !entry.is_attestation())
        .filter_map(|entry| match &entry.platform {
            Some(platform) => {
                order.iter().position(|able| runs(able, platform)).map(|rank| (rank, entry))
            }
            None => Some((usize::MAX, entry)),
        })
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, entry)| entry).collect()
}

/// The platforms whose images run on `wanted`, itself first.
#[must_use]
pub fn compatible(wanted: &Platform) -> Vec<Platform> {
    let wanted = wanted.normalize();
    let like = |architecture: &str, variant: String| {
        Platform { architecture: architecture.to_owned(), variant, ..wanted.clone() }.normalize()
    };
    match wanted.architecture.as_str() {
        "amd64" => {
            let mut all = vec![wanted.clone()];
            let version = number(&wanted.variant).unwrap_or(1);
            all.extend((1..version).rev().map(|n| like("amd64", format!("v{n}"))));
            all.push(like("386", String::new()));
            all
        }
        "arm" => {
            let mut all = vec![wanted.clone()];
            let version = number(&wanted.variant).unwrap_or(0);
            all.extend((5..version).rev().map(|n| like("arm", format!("v{n}"))));
            all
        }
        "arm64" => {
            let mut all = arm64_variants(&wanted.variant)
                .into_iter()
                .map(|variant| like("arm64", variant))
                .collect::<Vec<_>>();
            all.extend((5..=8).rev().map(|n| like("arm", format!("v{n}"))));
            all
        }
        _ => vec![wanted],
    }
}

/// The 64-bit Arm versions that a CPU of `variant` runs: 9.N runs 8.(N+5) and all below each.
fn arm64_variants(variant: &str) -> Vec<String> {
    let version = variant.strip_prefix('v').unwrap_or("8");
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let minor: u32 = minor.parse().unwrap_or(0);
    let below = |major: u32, minor: u32| {
        (0..=minor).rev().map(move |minor| match minor {
            0 => format!("v{major}"),
            _ => format!("v{major}.{minor}"),
        })
    };
    match major {
        "8" => below(8, minor.min(9)).collect(),
        "9" => below(9, minor.min(7)).chain(below(8, (minor + 5).min(9))).collect(),
        _ => vec![variant.to_owned()],
    }
}

fn number(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse().ok()
}

/// Whether a machine of platform `able` runs images of platform `image`.
fn runs(able: &Platform, image: &Platform) -> bool {
    let image = image.normalize();
    able.os == image.os
        && able.architecture == image.architecture
        && able.variant == image.variant
        && image.os_features.iter().all(|feature| able.os_features.contains(feature))
        && (able.os != "windows" || same_windows(&able.os_version, &image.os_version))
}

/// Windows images run on the build they were made for: `10.0.20348` of `10.0.20348.1970`.
fn same_windows(able: &str, image: &str) -> bool {
    let build = |version: &str| version.split('.').take(3).map(str::to_owned).collect::<Vec<_>>();
    able.is_empty() || image.is_empty() || build(able) == build(image)
}
