//! Gy: credit control.

use linegate_diameter::apps::gy::*;
use linegate_diameter::apps::{List, base::TerminationCause};
use linegate_diameter::codec::{AvpError, Header, Message};
use linegate_diameter::dictionary as dict;
use linegate_diameter::{Outcome, ResultCode};

use super::kind::{
    Kind, answer_again, answer_built, answerer, asked, encoded, numbered, passes, request_again, request_built,
    same_again,
};
use super::{Source, kind};

/// Filters in the notation of RFC 6733 section 4.3.1.
const FILTER_RULES: [&str; 3] = [
    "permit in ip from any to 10.0.0.1",
    "deny out ip from any to any",
    "permit out 17 from 2001:db8::/32 53 to assigned frag",
];

/// CCR and CCA.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "CCR",
        header: CcRequest::header,
        again: |message| request_again!(message, CcRequest, readable_request),
        build: build_request,
    },
    Kind {
        name: "CCA",
        header: answer_header,
        again: |message| answer_again!(message, CcAnswer, readable_answer),
        build: build_answer,
    },
];

/// The target.
pub fn run(input: &[u8]) {
    kind::run(KINDS, input);
}

fn answer_header() -> Header {
    CcRequest::header().answer()
}

fn readable_request(request: &CcRequest<'_>) -> bool {
    request.used.iter().all(|used| used.is_ok())
        && are_readable(request.service_information)
        && request.services.iter().all(|service| {
            service.is_ok_and(|service| {
                service.used.iter().all(|used| used.is_ok())
                    && service.pools.iter().all(|pool| pool.is_ok())
                    && service.trigger.is_none_or(|trigger| trigger.iter().all(|kind| kind.is_ok()))
                    && service.service_identifiers.iter().all(|identifier| identifier.is_ok())
            })
        })
}

fn readable_answer(answer: &CcAnswer<'_>) -> bool {
    let readable_final = |unit: Option<FinalUnit<'_>>| {
        unit.is_none_or(|unit| {
            unit.filter_rules.iter().all(|rule| rule.is_ok()) && unit.filter_ids.iter().all(|id| id.is_ok())
        })
    };
    readable_final(answer.final_unit)
        && answer.services.iter().all(|service| {
            service.is_ok_and(|service| {
                service.service_identifiers.iter().all(|identifier| identifier.is_ok())
                    && service.pools.iter().all(|pool| pool.is_ok())
                    && service.trigger.is_none_or(|trigger| trigger.iter().all(|kind| kind.is_ok()))
                    && readable_final(service.final_unit)
            })
        })
}

fn money(source: &mut Source<'_>) -> Money {
    Money { digits: source.u64() as i64, exponent: source.i32(), currency: source.option(Source::u32) }
}

/// A cost or balance always has its currency.
fn price(source: &mut Source<'_>) -> Money {
    Money { currency: Some(source.u32()), ..money(source) }
}

fn pool(source: &mut Source<'_>) -> PoolReference {
    PoolReference {
        identifier: source.u32(),
        unit_type: source.pick(CcUnitType::ALL),
        digits: source.u64() as i64,
        exponent: source.i32(),
    }
}

fn units(source: &mut Source<'_>) -> Units {
    Units {
        time: source.option(Source::u32),
        total_octets: source.option(Source::u64),
        input_octets: source.option(Source::u64),
        output_octets: source.option(Source::u64),
        service_specific: source.option(Source::u64),
        money: source.option(money),
    }
}

fn used(source: &mut Source<'_>) -> UsedUnit {
    UsedUnit {
        units: units(source),
        reporting_reason: source.option(|source| source.pick(ReportingReason::ALL)),
        tariff_change_usage: source.option(|source| source.pick(TariffChangeUsage::ALL)),
    }
}

fn subscriber<'a>(source: &mut Source<'a>) -> Subscriber<'a> {
    Subscriber { msisdn: source.option(Source::text), imsi: source.option(Source::text) }
}

fn address(source: &mut Source<'_>) -> std::net::IpAddr {
    if source.flag() {
        std::net::Ipv4Addr::from(source.u32()).into()
    } else {
        std::net::Ipv6Addr::from(u128::from(source.u64()) << 64 | u128::from(source.u64())).into()
    }
}

/// Whether every volume of a Service-Information can be read.
pub(super) fn are_readable(information: Option<ServiceInformation<'_>>) -> bool {
    information.and_then(|information| information.ps).is_none_or(|ps| {
        ps.traffic.iter().all(|volume| volume.is_ok()) && ps.service_data.iter().all(|volume| volume.is_ok())
    })
}

/// What [`information`] lists.
pub(super) struct Volumes {
    traffic: Vec<TrafficVolume>,
    service_data: Vec<ServiceData>,
}

pub(super) fn volumes(source: &mut Source<'_>) -> Volumes {
    let traffic = source.list(|source| TrafficVolume {
        input_octets: source.option(Source::u64),
        output_octets: source.option(Source::u64),
        qci: source.option(Source::i32),
        change_condition: source.option(Source::i32),
        change_time: source.option(Source::time),
    });
    let service_data = source.list(|source| ServiceData {
        rating_group: source.option(Source::u32),
        service_identifier: source.option(Source::u32),
        input_octets: source.option(Source::u64),
        output_octets: source.option(Source::u64),
        time_usage: source.option(Source::u32),
        change_time: source.option(Source::time),
    });
    Volumes { traffic, service_data }
}

/// Service-Information with the volumes given.
pub(super) fn information<'a, 's: 'a>(source: &mut Source<'s>, volumes: &'a Volumes) -> ServiceInformation<'a> {
    ServiceInformation {
        subscriber: subscriber(source),
        ps: source.option(|source| PsInformation {
            called_station_id: source.option(Source::text),
            charging_id: source.option(Source::octets),
            sgsn_mcc_mnc: source.option(Source::text),
            imsi_mcc_mnc: source.option(Source::text),
            rat_type: source.option(Source::octets),
            user_location: source.option(Source::octets),
            charging_characteristics: source.option(Source::text),
            pdp_address: source.option(address),
            sgsn_address: source.option(address),
            ggsn_address: source.option(address),
            traffic: List::from(&volumes.traffic),
            service_data: List::from(&volumes.service_data),
        }),
    }
}

fn build_request(source: &mut Source<'_>) -> Message {
    let volumes = volumes(source);
    let whole = source.list(used);
    let listed = source.list(|source| (source.list(Source::u32), source.list(used)));
    let (pools, triggers) = (source.list(pool), source.list(Source::i32));
    let services: Vec<_> = listed
        .iter()
        .map(|(identifiers, used)| ServiceRequest {
            rating_group: source.option(Source::u32),
            service_identifiers: identifiers.into(),
            requested: source.option(units),
            used: used.into(),
            reporting_reason: source.option(|source| source.pick(ReportingReason::ALL)),
            pools: (&pools).into(),
            trigger: source.option(|_| (&triggers).into()),
            refund_information: source.option(Source::octets),
        })
        .collect();
    let kind = source.pick(CcRequestType::ALL);
    let request = CcRequest {
        user_name: source.option(Source::text),
        sub_session_id: source.option(Source::u64),
        correlation_id: source.option(Source::octets),
        origin_state_id: source.option(Source::u32),
        event_timestamp: source.option(Source::time),
        subscriber: subscriber(source),
        user_equipment: source
            .option(|source| UserEquipment { kind: source.pick(UserEquipmentType::ALL), value: source.octets() }),
        requested_action: source.option(|source| source.pick(RequestedAction::ALL)),
        termination_cause: source.option(|source| TerminationCause(source.i32())),
        multiple_services: source.flag(),
        services: (&services).into(),
        service_identifier: source.option(Source::u32),
        requested: source.option(units),
        used: (&whole).into(),
        service_information: source.flag().then(|| information(source, &volumes)),
        ..CcRequest::new(source.route(false), source.text(), kind, source.u32())
    };
    request_built!(request, CcRequest, CcRequest::header())
}

fn grant(source: &mut Source<'_>) -> Grant {
    Grant { units: units(source), tariff_time_change: source.option(Source::time) }
}

fn final_unit<'a, 's: 'a>(source: &mut Source<'s>, rules: &'a [&'a str], ids: &'a [&'a str]) -> FinalUnit<'a> {
    FinalUnit {
        action: source.pick(FinalUnitAction::ALL),
        redirect: source
            .option(|source| RedirectServer { kind: source.pick(RedirectAddressType::ALL), address: source.text() }),
        filter_rules: rules.into(),
        filter_ids: ids.into(),
    }
}

fn build_answer(source: &mut Source<'_>) -> Message {
    let (rules, ids) = (source.list(|source| source.pick(&FILTER_RULES)), source.list(Source::text));
    let identifiers = source.list(|source| source.list(Source::u32));
    let (pools, triggers) = (source.list(pool), source.list(Source::i32));
    let services: Vec<_> = identifiers
        .iter()
        .map(|identifiers| ServiceAnswer {
            result_code: source.option(|source| ResultCode(source.u32())),
            rating_group: source.option(Source::u32),
            service_identifiers: identifiers.into(),
            granted: source.option(grant),
            validity_time: source.option(Source::u32),
            quota_holding_time: source.option(Source::u32),
            volume_threshold: source.option(Source::u32),
            time_threshold: source.option(Source::u32),
            unit_threshold: source.option(Source::u32),
            final_unit: source.flag().then(|| final_unit(source, &rules, &ids)),
            tariff_change_usage: source.option(|source| source.pick(TariffChangeUsage::ALL)),
            pools: (&pools).into(),
            trigger: source.option(|_| (&triggers).into()),
            quota_consumption_time: source.option(Source::u32),
            refund_information: source.option(Source::octets),
            qos: source.option(|source| MaxBitRates {
                uplink: source.option(Source::u32),
                downlink: source.option(Source::u32),
            }),
        })
        .collect();
    let missing = source.list(|source| AvpError::missing(source.pick(dict::AVPS)));
    let failed: Vec<_> = missing.iter().map(FailedAvp::from).collect();
    let kind = source.pick(CcRequestType::ALL);
    let outcome: Outcome = source.result();
    let cost = source.option(price);
    let answer = CcAnswer {
        origin_state_id: source.option(Source::u32),
        services: (&services).into(),
        granted: source.option(grant),
        validity_time: source.option(Source::u32),
        final_unit: source.flag().then(|| final_unit(source, &rules, &ids)),
        cost,
        check_balance: source.option(|source| source.pick(CheckBalanceResult::ALL)),
        session_failover: source.option(|source| source.pick(CcSessionFailover::ALL)),
        failure_handling: source.option(|source| source.pick(FailureHandling::ALL)),
        debiting_failure_handling: source.option(|source| source.pick(DebitingFailureHandling::ALL)),
        cost_unit: cost.and_then(|_| source.option(Source::text)),
        remaining_balance: source.option(price),
        low_balance: source.option(Source::flag),
        failed_avps: (&failed).into(),
        ..CcAnswer::new(outcome, kind, source.u32())
    };
    answer_built!(source, answer, CcAnswer, CcRequest::header())
}
