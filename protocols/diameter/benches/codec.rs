//! A CCR-U of 508 octets with two services to typed values, and its CCA,
//! beside the `diameter` crate in the same run:
//! `cargo bench -p linegate-diameter --bench codec`.

#![allow(clippy::unwrap_used, missing_docs)]

mod sample;

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sample::{CCR_LENGTH, ours, theirs};

fn decode(criterion: &mut Criterion) {
    let frame = ours::ccr();
    let dictionary = theirs::dictionary();
    assert_eq!(ours::read(&frame), theirs::read(&frame, &dictionary));
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(CCR_LENGTH as u64));
    group.bench_function("linegate", |bench| bench.iter(|| ours::read(black_box(&frame))));
    group.bench_function("diameter", |bench| bench.iter(|| theirs::read(black_box(&frame), &dictionary)));
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let frame = ours::ccr();
    let (to, origin) = (ours::reply_to(&frame), ours::origin());
    let session_id = std::str::from_utf8(to.session_id().unwrap()).unwrap();
    let dictionary = theirs::dictionary();
    let (mut our_octets, mut their_octets) = (BytesMut::new(), Vec::new());
    ours::write(&to, &origin, &mut our_octets);
    theirs::write(session_id, &dictionary, &mut their_octets);
    assert_eq!(our_octets, their_octets);
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Bytes(our_octets.len() as u64));
    group.bench_function("linegate", |bench| {
        bench.iter(|| {
            our_octets.clear();
            ours::write(black_box(&to), &origin, &mut our_octets);
            black_box(our_octets.len())
        });
    });
    group.bench_function("diameter", |bench| {
        bench.iter(|| {
            their_octets.clear();
            theirs::write(black_box(session_id), &dictionary, &mut their_octets);
            black_box(their_octets.len())
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
