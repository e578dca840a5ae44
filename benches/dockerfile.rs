//! From the text of a Dockerfile to marshalled LLB.
//!
//! The generated files have 20 instructions a stage, stages built on and copying from each other; time
//! for 10,000 instructions should be ten times that for 1,000.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kitwright::oci::digest::Digest;
use kitwright::plan::dockerfile::{
    CompileOptions, Compiled, ImageQuery, ImageResolver, ResolveError, ResolvedImage, compile,
    parse,
};

/// The config of an official image: about as many variables and steps as those have.
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","LANG=C.UTF-8","VERSION=1.2.3"],"Cmd":["bash"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:01"]},"history":[{"created":"2024-01-01T00:00:00Z","created_by":"RUN /bin/sh -c set -eux; apt-get update; apt-get install -y --no-install-recommends ca-certificates curl"},{"created":"2024-01-01T00:00:00Z","created_by":"ENV LANG=C.UTF-8","empty_layer":true},{"created":"2024-01-01T00:00:00Z","created_by":"CMD [\"bash\"]","empty_layer":true}]}"#;

struct Registry;

impl ImageResolver for Registry {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        let digest = Digest::of(query.reference.as_bytes());
        let config = Bytes::from_static(CONFIG.as_bytes());
        Ok(Some(ResolvedImage { reference: None, digest, config }))
    }
}

fn build(text: &[u8]) -> Compiled {
    let file = parse(text, "Dockerfile").unwrap();
    let compiled = compile(&file, &CompileOptions::default(), &Registry).unwrap();
    black_box(compiled.platforms[0].config_json());
    compiled
}

/// A file of `instructions` instructions in stages of 20.
fn generate(instructions: usize) -> String {
    let mut text = String::from("ARG VERSION=1\n");
    for stage in 0..instructions / 20 {
        match stage {
            0 => text.push_str("FROM debian:bookworm AS s0\n"),
            _ if stage % 5 == 0 => {
                let _ = writeln!(text, "FROM s{} AS s{stage}", stage - 5);
            }
            _ => {
                let _ = writeln!(text, "FROM debian:bookworm AS s{stage}");
            }
        }
        let _ = writeln!(text, "ARG VERSION\nENV STAGE={stage} HOME_$STAGE=/home\nWORKDIR /src");
        for step in 0..12 {
            let _ = writeln!(
                text,
                "RUN --mount=type=cache,target=/cache make step-{step} STAGE=$STAGE \\\n    && test"
            );
        }
        let from = stage.saturating_sub(1);
        if stage > 0 {
            let _ = writeln!(text, "COPY --link --from=s{from} /src/out-{from} /src/in");
        }
        let _ = writeln!(text, "COPY a-{stage} b /src/\nLABEL stage={stage}\nCMD [\"run\"]");
    }
    text
}

fn own_image(criterion: &mut Criterion) {
    let text = include_bytes!("../gen.Dockerfile");
    let mut group = criterion.benchmark_group("gen.Dockerfile");
    group.bench_function("parse", |bencher| bencher.iter(|| parse(text, "Dockerfile").unwrap()));
    group.bench_function("parse+compile+marshal", |bencher| bencher.iter(|| build(text)));
    group.finish();
}

fn generated(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("generated");
    group.sample_size(20);
    for instructions in [1_000, 5_000, 10_000] {
        let text = generate(instructions);
        group.throughput(Throughput::Elements(instructions as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(instructions),
            &text,
            |bencher, text| {
                bencher.iter(|| build(text.as_bytes()));
            },
        );
        let compiled = build(text.as_bytes());
        let definition = &compiled.platforms[0].definition;
        group.bench_function(BenchmarkId::new("wire form", instructions), |bencher| {
            bencher.iter(|| definition.marshal());
        });
    }
    group.finish();
}

criterion_group!(benches, own_image, generated);
criterion_main!(benches);
