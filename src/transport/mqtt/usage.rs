//! Turns what modems, charging clients and files report into requests to
//! charging, and what cannot be read into suspense.

use std::collections::BTreeMap;

use bytes::Bytes;
use linegate_mqtt::ContentType;
use linegate_mqtt::payload::{self, Payload, RANGES_MAX, SeqRange};
use sha2::{Digest, Sha256};

use crate::domain::ids::{Apn, DeviceId};
use crate::domain::rating::request::{ChargeRequest, GroupRequest, Phase, Used, Wanted};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, RecordKey, SuspenseReason, UsageOutcome, UsageRecord};

/// Text of an unreadable payload that is kept, bytes.
const DETAIL_BYTES_MAX: usize = 1024;

/// One usage record of a modem.
pub fn from_modem(device: &DeviceId, record: &payload::UsageRecord, received: Timestamp) -> ChargeRequest {
    ChargeRequest {
        key: RecordKey::Modem(device.clone(), record.epoch, record.boot, record.seq),
        phase: Phase::Event,
        session: None,
        peer: None,
        subscribers: vec![Identifier::Device(device.clone())],
        apn: Some(Apn::new(&record.apn)),
        network: None,
        starts: Some(Timestamp(record.start_ms)),
        ends: Timestamp(record.end_ms),
        received,
        groups: vec![GroupRequest {
            rating_group: record.rating_group,
            services: Vec::new(),
            used: Some(Used::both_ways(record.octets_up, record.octets_down)),
            wanted: Wanted::Nothing,
            is_final: false,
        }],
    }
}

/// What tells a modem that records are durable: one receipt for each boot, or more
/// where its numbers have many gaps.
pub fn receipts(records: &[payload::UsageRecord]) -> Vec<Bytes> {
    let mut boots: BTreeMap<(u32, u32), Vec<u64>> = BTreeMap::new();
    for record in records {
        boots.entry((record.epoch, record.boot)).or_default().push(record.seq);
    }
    let receipts = |((epoch, boot), mut seqs): ((u32, u32), Vec<u64>)| {
        seqs.sort_unstable();
        let mut ranges: Vec<SeqRange> = Vec::new();
        for seq in seqs {
            match ranges.last_mut() {
                Some(range) if seq <= range.to.saturating_add(1) => range.to = seq,
                _ => ranges.push(SeqRange { from: seq, to: seq }),
            }
        }
        let receipt =
            |some: &[SeqRange]| payload::Receipt { epoch, boot, ranges: some.to_vec() }.encode(ContentType::Json);
        ranges.chunks(RANGES_MAX).map(receipt).collect::<Vec<_>>()
    };
    boots.into_iter().flat_map(receipts).collect()
}

/// A usage payload that could not be read. Its key is its own digest: the same
/// bytes sent again are the same record.
pub fn unreadable_from_modem(device: &DeviceId, payload: &[u8], reason: &str, received: Timestamp) -> UsageRecord {
    let digest = hex::encode(&Sha256::digest(payload)[..16]);
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(DETAIL_BYTES_MAX / 2)]).into_owned();
    let mut detail = format!("{reason}: {shown}");
    let mut end = detail.len().min(DETAIL_BYTES_MAX);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    detail.truncate(end);
    UsageRecord {
        key: RecordKey::File(format!("unreadable/{device}/{digest}")),
        rating_group: 0,
        outcome: UsageOutcome::Suspense(SuspenseReason::BadRecord),
        line: None,
        account: None,
        cycle: None,
        late_for: None,
        plan: None,
        tariff_version: 0,
        apn: None,
        subscriber: Some(Identifier::Device(device.clone())),
        starts: received,
        ends: received,
        received,
        octets: 0,
        amount: 0,
        postings: Vec::new(),
        crossed: Vec::new(),
        detail: Some(detail),
    }
}
