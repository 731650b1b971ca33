//! The library beside the bare operation that bounds it. `cargo xtask bench` runs this and prints the ratios.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use memchr::memmem::Finder;
use papaya::HashMap;
use tokio::runtime::{Builder, Runtime};
use vaultref::{Context, Engine, Environment, Reference, Secret, scan};
use vaultref_backends::REGISTRY;

/// The text for scanning and rendering.
const TEXT_BYTES: usize = 256 * 1024 * 1024;
/// One reference per so many bytes of it.
const REFERENCE_EVERY: usize = 4096;
/// How many references are in the cache.
const ENTRIES: usize = 10_000;

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    targets = parse, get, text
}
criterion_main!(benches);

fn parse(criterion: &mut Criterion) {
    const INNER: &str = "vault://hcv/prod/db/password?ttl=60#2";
    let reference = format!("{{{INNER}}}");
    let mut group = criterion.benchmark_group("parse");
    group.bench_function("url", |b| b.iter(|| url::Url::parse(black_box(INNER))));
    group.bench_function("reference", |b| b.iter(|| Reference::parse(black_box(&reference))));
    group.finish();
}

/// An engine with this many variables in its `env` vault, and the references to them.
fn engine(entries: usize) -> (Runtime, Engine, Vec<Reference>) {
    let environment =
        Environment::from_iter((0..entries).map(|n| (format!("SECRET_{n:03}"), format!("value of {n:03}"))));
    let context = Context::new(environment);
    let engine = Engine::builder(REGISTRY).context(context).build().expect("no entities, no faults");
    let references: Vec<Reference> = (0..entries)
        .map(|n| {
            Reference::parse(&format!("{{vault://env/secret_{n:03}}}")).expect("the text is a reference")
        })
        .collect();
    let runtime =
        Builder::new_current_thread().enable_time().build().expect("a runtime without I/O always starts");
    (runtime, engine, references)
}

fn get(criterion: &mut Criterion) {
    let (runtime, engine, references) = engine(ENTRIES);
    // The short path is laid from the second get on.
    runtime.block_on(engine.resolve_many(&references));
    let results = runtime.block_on(engine.resolve_many(&references));
    assert!(references.iter().all(|reference| engine.cached(reference).is_some()));
    let map: HashMap<Reference, Secret, foldhash::fast::RandomState> = HashMap::default();
    for (reference, secret) in references.iter().zip(results) {
        map.pin().insert(reference.clone(), secret.expect("it is in the cache"));
    }
    // Not in the order of insertion: the processor would guess the next one.
    let order: Vec<&Reference> = (0..ENTRIES).map(|n| &references[n * 7919 % ENTRIES]).collect();
    let mut group = criterion.benchmark_group("get");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    group.bench_function("papaya", |b| {
        b.iter(|| order.iter().for_each(|reference| drop(black_box(map.pin().get(*reference).cloned()))));
    });
    group.bench_function("cached", |b| {
        b.iter(|| order.iter().for_each(|reference| drop(black_box(engine.cached(reference)))));
    });
    group.bench_function("resolve", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for reference in &order {
                    drop(black_box(engine.resolve(reference).await));
                }
            });
        });
    });
    group.finish();
}

/// How many different references the text has.
const DISTINCT: usize = 1000;

/// A text like YAML with a reference in every block.
fn yaml() -> Vec<u8> {
    let filler =
        "  some_setting: some value of it # and a remark {not a reference}\n".repeat(REFERENCE_EVERY / 60);
    let mut text = Vec::with_capacity(TEXT_BYTES);
    for block in 0..TEXT_BYTES / REFERENCE_EVERY {
        text.extend_from_slice(
            format!("  password: \"{{vault://env/secret_{:03}}}\"\n", block % DISTINCT).as_bytes(),
        );
        let rest = (block + 1) * REFERENCE_EVERY - text.len();
        text.extend_from_slice(&filler.as_bytes()[..rest]);
    }
    text
}

fn text(criterion: &mut Criterion) {
    let (runtime, engine, _) = engine(DISTINCT);
    let text = yaml();
    let finder = Finder::new(scan::OPENING);
    let expected = TEXT_BYTES / REFERENCE_EVERY;
    let mut group = criterion.benchmark_group("text");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(20);
    group.bench_function("memmem", |b| b.iter(|| assert_eq!(finder.find_iter(&text).count(), expected)));
    group.bench_function("scan", |b| b.iter(|| assert_eq!(scan::scan(&text).count(), expected)));
    group.bench_function("render", |b| {
        b.iter(|| {
            let mut written = Counter(0);
            runtime
                .block_on(engine.render_stream(text.as_slice(), &mut written))
                .expect("all references are known");
            assert_eq!(
                written.0,
                TEXT_BYTES - expected * ("{vault://env/secret_007}".len() - "value of 007".len())
            );
        });
    });
    group.bench_function("copy", |b| {
        b.iter(|| {
            io::copy(&mut text.as_slice().take(TEXT_BYTES as u64), &mut Counter(0))
                .expect("memory can be read")
        });
    });
    group.finish();
}

/// Counts what is written to it.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += black_box(bytes).len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
