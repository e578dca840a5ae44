//! What the client does for each file, pattern and status message of a build.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use buildkit_rs_proto::moby::buildkit::v1 as control;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kitwright::engine::session::filesync::listing::{framed, list};
use kitwright::engine::status::events;
use kitwright::key::ContentKey;
use kitwright::key::files::Directory;
use kitwright::key::memory::Memory;
use kitwright::oci::digest::Digest;
use kitwright::plan::dockerfile::{
    CompileOptions, ImageQuery, ImageResolver, ResolveError, ResolvedImage, compile, parse,
};
use kitwright::plan::pattern::{Matched, Patterns};
use prost::Message as _;

/// Files of the context.
const FILES: usize = 10_000;
const FILES_A_FOLDER: usize = 100;

struct Registry;

impl ImageResolver for Registry {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        let digest = Digest::of(query.reference.as_bytes());
        let config = Bytes::from_static(br#"{"architecture":"amd64","os":"linux"}"#);
        Ok(Some(ResolvedImage { reference: None, digest, config }))
    }
}

fn fill(root: &Path) {
    for number in 0..FILES {
        let folder = root.join(format!("folder-{:03}", number / FILES_A_FOLDER));
        if number % FILES_A_FOLDER == 0 {
            std::fs::create_dir_all(&folder).unwrap();
        }
        std::fs::write(folder.join(format!("file-{number:06}.txt")), number.to_string()).unwrap();
    }
}

/// The content key of a build that copies the context: files never seen before, and the same again.
fn key_hashing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let file = parse(b"FROM debian\nCOPY . /src\nRUN make\n", "Dockerfile").unwrap();
    let compiled = compile(&file, &CompileOptions::default(), &Registry).unwrap();
    let context = Directory { root: folder.path().to_owned(), exclude: Vec::new() };
    let contexts = BTreeMap::from([("context".to_owned(), context)]);
    let options = BTreeMap::new();
    let compute =
        |memory: &mut Memory| ContentKey::compute(&compiled, &contexts, &options, memory).unwrap();
    let mut group = criterion.benchmark_group("content key of 10,000 files");
    group.throughput(Throughput::Elements(FILES as u64)).sample_size(20);
    group.bench_function("first", |bencher| bencher.iter(|| compute(&mut Memory::empty())));
    let mut memory = Memory::empty();
    compute(&mut memory);
    group.bench_function("again", |bencher| bencher.iter(|| compute(&mut memory)));
    group.finish();
}

/// A repository's ignore file against paths of which a tenth is ignored.
fn ignore_matching(criterion: &mut Criterion) {
    let patterns = Patterns::parse([
        "**/node_modules",
        ".git",
        "*.log",
        "**/*.tmp",
        "target",
        "docs/**/*.png",
        "!docs/keep.png",
        "build-*",
        "**/.DS_Store",
        "vendor/*/testdata",
    ])
    .unwrap();
    let paths: Vec<(Vec<u8>, Vec<u8>)> = (0..FILES)
        .map(|number| {
            let folder = format!("src/module-{}/part-{}", number / 100, number / 10 % 10);
            let end = if number % 10 == 0 { "tmp" } else { "rs" };
            (folder.clone().into_bytes(), format!("{folder}/file-{number}.{end}").into_bytes())
        })
        .collect();
    let mut group = criterion.benchmark_group("ignore matching");
    group.throughput(Throughput::Elements(FILES as u64));
    group.bench_function("10,000 paths", |bencher| {
        bencher.iter(|| paths.iter().filter(|(_, path)| patterns.matches(path)).count());
    });
    group.bench_function("10,000 paths, directory by directory", |bencher| {
        bencher.iter(|| {
            let mut ignored = 0;
            for folder in paths.chunks(10) {
                let (_, below) = patterns.descend(&folder[0].0, &Matched::default());
                let matched = |path: &&(Vec<u8>, Vec<u8>)| patterns.matches_below(&path.1, &below);
                ignored += folder.iter().filter(matched).count();
            }
            ignored
        });
    });
    group.finish();
}

/// From the directory to the packets that announce it.
fn filesync_framing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let listed = list(folder.path(), Vec::new(), Vec::new()).unwrap();
    let mut packets = Vec::new();
    framed(&listed, &mut packets);
    let mut group = criterion.benchmark_group("filesync of 10,000 files");
    group.throughput(Throughput::Elements(FILES as u64));
    group.bench_function("list", |bencher| {
        bencher.iter(|| list(folder.path(), Vec::new(), Vec::new()).unwrap());
    });
    group.throughput(Throughput::Bytes(packets.len() as u64));
    group.bench_function("frame", |bencher| {
        bencher.iter(|| {
            packets.clear();
            framed(black_box(&listed), &mut packets);
        });
    });
    group.finish();
}

/// Status messages as a busy build sends them: vertices, progress and logs together.
fn status_decoding(criterion: &mut Criterion) {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 500 });
    let mut group = criterion.benchmark_group("status decoding");
    for vertices in [10, 1_000, 10_000] {
        let digest = |number: i64| Digest::of(&number.to_le_bytes()).to_string();
        let message = control::StatusResponse {
            vertexes: (0..vertices)
                .map(|number| control::Vertex {
                    digest: digest(number),
                    inputs: vec![digest(number - 1)],
                    name: format!("[stage {number}/{vertices}] RUN make step-{number}"),
                    started: at(number),
                    completed: at(number + 1),
                    ..Default::default()
                })
                .collect(),
            statuses: (0..vertices)
                .map(|number| control::VertexStatus {
                    id: format!("layer {number}"),
                    vertex: digest(number),
                    current: number,
                    total: vertices,
                    timestamp: at(number),
                    ..Default::default()
                })
                .collect(),
            logs: (0..vertices)
                .map(|number| control::VertexLog {
                    vertex: digest(number),
                    timestamp: at(number),
                    stream: 1,
                    msg: Bytes::from_static(b"compiling a module of the project\n"),
                })
                .collect(),
            warnings: Vec::new(),
        };
        let bytes = Bytes::from(message.encode_to_vec());
        group.throughput(Throughput::Elements(vertices.cast_unsigned() * 3));
        group.bench_with_input(BenchmarkId::new("vertices", vertices), &bytes, |bencher, bytes| {
            bencher.iter(|| {
                let message = control::StatusResponse::decode(bytes.clone()).unwrap();
                events(message).map(black_box).count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, key_hashing, ignore_matching, filesync_framing, status_decoding);
criterion_main!(benches);
