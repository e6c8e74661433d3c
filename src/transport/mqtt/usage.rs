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
        starts: Some(Timestamp(record.start_ms)),
        ends: Timestamp(record.end_ms),
        received,
        groups: vec![GroupRequest {
            rating_group: record.rating_group,
            services: Vec::new(),
            used: Some(Used::octets(record.octets_up.saturating_add(record.octets_down))),
            wanted: Wanted::Nothing,
            is_final: false,
        }],
    }
}

/// What tells a modem that records are durable: one receipt for each boot, or more
/// where its numbers have many gaps; `max` at most, those of the oldest boots, and
/// how many more there would be.
pub fn receipts(records: &[payload::UsageRecord], max: usize) -> (Vec<Bytes>, usize) {
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
        let receipt = |some: &[SeqRange]| payload::Receipt { epoch, boot, ranges: some.to_vec() };
        ranges.chunks(RANGES_MAX).map(receipt).collect::<Vec<_>>()
    };
    let receipts: Vec<_> = boots.into_iter().flat_map(receipts).collect();
    let payloads = receipts.iter().take(max).map(|receipt| receipt.encode(ContentType::Json)).collect();
    (payloads, receipts.len().saturating_sub(max))
}

/// A usage record under an enrolment epoch that the device was never given. Its key
/// is not the record's own, which a later enrolment may bring into use.
pub fn above_enrolment(
    device: &DeviceId,
    record: &payload::UsageRecord,
    enrolled: u32,
    received: Timestamp,
) -> UsageRecord {
    let payload::UsageRecord { epoch, boot, seq, .. } = record;
    UsageRecord {
        rating_group: record.rating_group,
        apn: Some(Apn::new(&record.apn)),
        starts: Timestamp(record.start_ms),
        ends: Timestamp(record.end_ms),
        octets: record.octets_up.saturating_add(record.octets_down),
        ..bad_record(
            device,
            format!("epoch/{device}/{epoch}/{boot}/{seq}"),
            format!("usage under epoch {epoch}, the device is enrolled under {enrolled}"),
            received,
        )
    }
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
    bad_record(device, format!("unreadable/{device}/{digest}"), detail, received)
}

fn bad_record(device: &DeviceId, key: String, detail: String, received: Timestamp) -> UsageRecord {
    UsageRecord {
        key: RecordKey::File(key),
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
        detail: Some(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(boot: u32, seq: u64) -> payload::UsageRecord {
        payload::UsageRecord {
            epoch: 1,
            boot,
            seq,
            start_ms: 0,
            end_ms: 1,
            apn: "iot.example".into(),
            rating_group: 1,
            octets_up: 1,
            octets_down: 2,
            imei: None,
        }
    }

    #[test]
    fn a_message_of_many_boots_has_receipts_for_the_oldest() {
        let records: Vec<_> = (0..100).rev().map(|boot| record(boot, 7)).collect();
        let (payloads, left_out) = receipts(&records, 64);
        let boots: Vec<u32> = payloads.iter().map(|p| payload::Receipt::decode(p, None).unwrap().boot).collect();
        assert_eq!((boots, left_out), ((0..64).collect(), 36));
    }

    #[test]
    fn a_record_of_an_unknown_epoch_names_both_and_leaves_its_key_free() {
        let suspended = above_enrolment(&"m".into(), &record(4, 9), 0, Timestamp(5));
        assert_eq!(suspended.detail.as_deref(), Some("usage under epoch 1, the device is enrolled under 0"));
        assert_eq!(suspended.key, RecordKey::File("epoch/m/1/4/9".into()));
        assert_eq!((suspended.octets, suspended.ends), (3, Timestamp(1)));
    }
}
