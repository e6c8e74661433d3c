//! This crate.

use bytes::{Bytes, BytesMut};
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::Route;
use linegate_diameter::apps::gy::*;
use linegate_diameter::codec::{Header, Message, Time};
use linegate_diameter::dictionary::{self, Strictness};
use linegate_diameter::{Outcome, ResultCode};

use super::{CCR_LENGTH, Seen};

/// The request: two services with what was used and what is asked for, two
/// Subscription-Ids, the equipment and where it is.
pub fn ccr() -> Bytes {
    let used = [10_485_760, 524_288].map(|octets| [UsedUnit { units: Units::octets(octets), ..UsedUnit::default() }]);
    let services = [
        ServiceRequest {
            rating_group: Some(10),
            requested: Some(Units::default()),
            used: (&used[0]).into(),
            reporting_reason: Some(ReportingReason::QuotaExhausted),
            ..ServiceRequest::default()
        },
        ServiceRequest {
            rating_group: Some(20),
            requested: Some(Units::default()),
            used: (&used[1]).into(),
            ..ServiceRequest::default()
        },
    ];
    let route = Route {
        session_id: "pgw1.example;7;42",
        origin_host: "pgw1.example",
        origin_realm: "example",
        destination_host: None,
        destination_realm: "linegate.example",
    };
    let request = CcRequest {
        event_timestamp: Time::from_unix_seconds(1_790_000_000),
        subscriber: Subscriber { msisdn: Some("821012345678"), imsi: Some("450050000000001") },
        services: (&services).into(),
        user_equipment: Some(UserEquipment { kind: UserEquipmentType::Imeisv, value: b"35209900" }),
        service_information: Some(ServiceInformation {
            ps: Some(PsInformation {
                called_station_id: Some("iot"),
                charging_id: Some(&[0, 0, 16, 9]),
                sgsn_mcc_mnc: Some("45005"),
                rat_type: Some(&[6]),
                ..PsInformation::default()
            }),
            ..ServiceInformation::default()
        }),
        ..CcRequest::new(route, "32251@3gpp.org", CcRequestType::Update, 7)
    };
    let mut out = BytesMut::new();
    let header = Header { hop_by_hop: 0x1234_5678, end_to_end: 0x9abc_def0, ..CcRequest::header() };
    request.encode(&header, &mut out);
    assert_eq!(out.len(), CCR_LENGTH);
    out.freeze()
}

/// Octets to typed values: decoded, checked against the grammar, every
/// service and used unit read.
#[inline(never)]
pub fn read(frame: &Bytes) -> Seen {
    let message = Message::decode(frame.clone()).unwrap();
    let report = dictionary::check(&message, Strictness::Strict);
    assert!(report.result_code().is_none());
    let request = CcRequest::parse(&message).unwrap();
    let mut seen = Seen {
        text_octets: text_octets(&request),
        header_numbers: request.request_type.value() as u64
            + u64::from(request.request_number)
            + request.event_timestamp.map_or(0, |time| time.unix_seconds() as u64),
        ..Seen::default()
    };
    for service in request.services.iter() {
        let service = service.unwrap();
        seen.unit_numbers += u64::from(service.rating_group.unwrap_or(0));
        seen.unit_numbers += service.reporting_reason.map_or(0, |reason| reason.value() as u64);
        if let Some(units) = service.requested {
            seen.requested += 1;
            seen.unit_numbers += octets(&units);
        }
        for used in service.used.iter() {
            seen.unit_numbers += octets(&used.unwrap().units);
        }
    }
    seen
}

fn text_octets(request: &CcRequest<'_>) -> usize {
    let route = &request.route;
    let ps = request.service_information.and_then(|information| information.ps).unwrap_or_default();
    route.session_id.len()
        + route.origin_host.len()
        + route.origin_realm.len()
        + route.destination_realm.len()
        + request.service_context_id.len()
        + request.subscriber.imsi.map_or(0, str::len)
        + request.subscriber.msisdn.map_or(0, str::len)
        + request.user_equipment.map_or(0, |equipment| equipment.value.len())
        + ps.called_station_id.map_or(0, str::len)
        + ps.sgsn_mcc_mnc.map_or(0, str::len)
        + ps.rat_type.map_or(0, <[u8]>::len)
        + ps.charging_id.map_or(0, <[u8]>::len)
}

fn octets(units: &Units) -> u64 {
    units.total_octets.unwrap_or(0) + units.input_octets.unwrap_or(0) + units.output_octets.unwrap_or(0)
}

/// Who answers.
pub fn origin() -> Origin {
    Origin::new("gateway.linegate.example", "linegate.example")
}

/// The request, as its answer needs it.
pub fn reply_to(frame: &Bytes) -> ReplyTo {
    ReplyTo::new(&Message::decode(frame.clone()).unwrap())
}

/// Appends the CCA: both services granted, with thresholds and validity.
#[inline(never)]
pub fn write(to: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
    let service = |rating_group, octets| ServiceAnswer {
        result_code: Some(ResultCode::SUCCESS),
        rating_group: Some(rating_group),
        granted: Some(Grant { units: Units::octets(octets), tariff_time_change: None }),
        validity_time: Some(3600),
        volume_threshold: Some(200_000),
        quota_holding_time: Some(600),
        ..ServiceAnswer::default()
    };
    let services = [service(10, 10_000_000), service(20, 1_000_000)];
    let answer = CcAnswer { services: (&services).into(), ..CcAnswer::new(Outcome::SUCCESS, CcRequestType::Update, 7) };
    answer.encode(to, origin, out);
}
