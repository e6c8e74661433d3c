//! Gy (RFC 8506, TS 32.299 section 6) in and out of charging's own words.

use bytes::BytesMut;
use linegate_diameter::ResultCode;
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::List;
use linegate_diameter::apps::gy::{
    CcAnswer, CcRequest, CcRequestType, CcSessionFailover, FailureHandling, FinalUnit, FinalUnitAction, Grant,
    ReportingReason, ServiceAnswer, ServiceRequest, Subscriber, Units, UsedUnit,
};
use linegate_diameter::codec::AvpError;

use crate::domain::ids::{Apn, SessionId};
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, GroupAnswer, GroupRequest, Outcome, Phase, Wanted};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, RecordKey};

/// What the answer needs of its request.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    request_type: CcRequestType,
    request_number: u32,
    /// Units came in Multiple-Services-Credit-Control, and go back in it.
    in_groups: bool,
}

impl Asked {
    /// Of a request.
    pub fn of(request: &CcRequest<'_>) -> Self {
        Self {
            request_type: request.request_type,
            request_number: request.request_number,
            in_groups: !request.services.is_empty(),
        }
    }
}

/// A CCR as charging understands it. `Ok(None)` for an EVENT, which has no
/// session and is not served.
pub fn charge_request(request: &CcRequest<'_>, received: Timestamp) -> Result<Option<ChargeRequest>, AvpError> {
    let phase = match request.request_type {
        CcRequestType::Initial => Phase::Initial,
        CcRequestType::Update => Phase::Update,
        CcRequestType::Termination => Phase::Terminate,
        CcRequestType::Event => return Ok(None),
    };
    let mut groups = Vec::with_capacity(2);
    for service in request.services.iter() {
        groups.push(group(&service?, phase)?);
    }
    if groups.is_empty() {
        groups.push(single_service(request, phase)?);
    }
    let session = SessionId::new(request.route.session_id);
    Ok(Some(ChargeRequest {
        key: RecordKey::Gy(session.clone(), request.request_number),
        phase,
        session: Some(session),
        peer: Some(request.route.origin_host.to_owned()),
        subscribers: subscribers(&request.subscriber),
        apn: request.apn().map(Apn::new),
        starts: None,
        ends: request.event_timestamp.map_or(received, |t| Timestamp::from_secs(t.unix_seconds())),
        received,
        groups,
    }))
}

/// IMSI first: a number may be ported, a SIM is what it is.
pub fn subscribers(subscriber: &Subscriber<'_>) -> Vec<Identifier> {
    let imsi = subscriber.imsi.map(|t| Identifier::Imsi(t.to_owned()));
    let msisdn = subscriber.msisdn.map(|t| Identifier::Msisdn(t.trim_start_matches('+').to_owned()));
    imsi.into_iter().chain(msisdn).collect()
}

fn group(service: &ServiceRequest<'_>, phase: Phase) -> Result<GroupRequest, AvpError> {
    let mut is_final = phase == Phase::Terminate || service.reporting_reason == Some(ReportingReason::Final);
    let used_octets = sum_used(&service.used, &mut is_final)?;
    Ok(GroupRequest {
        rating_group: service.rating_group.unwrap_or(0),
        used_octets,
        wanted: wanted(service.requested, phase),
        is_final,
    })
}

fn single_service(request: &CcRequest<'_>, phase: Phase) -> Result<GroupRequest, AvpError> {
    let mut is_final = phase == Phase::Terminate;
    let used_octets = sum_used(&request.used, &mut is_final)?;
    Ok(GroupRequest { rating_group: 0, used_octets, wanted: wanted(request.requested, phase), is_final })
}

/// Every Used-Service-Unit counts: before and after a tariff change alike.
fn sum_used(used: &List<'_, UsedUnit>, is_final: &mut bool) -> Result<Option<u64>, AvpError> {
    let mut sum: Option<u64> = None;
    for unit in used.iter() {
        let unit = unit?;
        *is_final |= unit.reporting_reason == Some(ReportingReason::Final);
        sum = Some(sum.unwrap_or(0).saturating_add(octets(&unit.units)));
    }
    Ok(sum)
}

fn octets(units: &Units) -> u64 {
    units
        .total_octets
        .unwrap_or_else(|| units.input_octets.unwrap_or(0).saturating_add(units.output_octets.unwrap_or(0)))
}

fn wanted(requested: Option<Units>, phase: Phase) -> Wanted {
    match requested {
        None => Wanted::Nothing,
        Some(_) if phase == Phase::Terminate => Wanted::Nothing,
        Some(units) => match octets(&units) {
            0 => Wanted::AsMuchAsWeGive,
            octets => Wanted::Octets(octets),
        },
    }
}

/// The result code of an outcome; `foreign_apn` is a setting.
pub fn result_code(outcome: Outcome, foreign_apn: u32) -> ResultCode {
    match outcome {
        Outcome::Success => ResultCode::SUCCESS,
        Outcome::UnknownSubscriber => ResultCode::USER_UNKNOWN,
        Outcome::UnknownSession => ResultCode::UNKNOWN_SESSION_ID,
        Outcome::ServiceDenied => ResultCode::END_USER_SERVICE_DENIED,
        Outcome::ForeignApn => ResultCode(foreign_apn),
        Outcome::CreditLimitReached => ResultCode::CREDIT_LIMIT_REACHED,
        Outcome::RatingFailed => ResultCode::RATING_FAILED,
    }
}

/// Writes the CCA; gives the result code of the command.
pub fn encode_answer(
    asked: Asked,
    answer: &ChargeAnswer,
    foreign_apn: u32,
    to: &ReplyTo,
    origin: &Origin,
    out: &mut BytesMut,
) -> ResultCode {
    // Without groups to carry it, the one service's outcome is the command's.
    let outcome = match (asked.in_groups, answer.outcome, answer.groups.first()) {
        (false, Outcome::Success, Some(single)) => single.outcome,
        _ => answer.outcome,
    };
    let code = result_code(outcome, foreign_apn);
    let services: Vec<ServiceAnswer<'_>> = answer.groups.iter().map(|g| service_answer(g, foreign_apn)).collect();
    let mut cca = CcAnswer::new(code.into(), asked.request_type, asked.request_number);
    if asked.in_groups {
        cca.services = List::from(&services);
    } else if let Some(single) = services.first() {
        cca.granted = single.granted;
        cca.validity_time = single.validity_time;
        cca.final_unit = single.final_unit;
    }
    if asked.request_type == CcRequestType::Initial {
        // Sessions live in the store, not on a connection; without us, the
        // client tries another gateway and then ends the service.
        cca.session_failover = Some(CcSessionFailover::Supported);
        cca.failure_handling = Some(FailureHandling::RetryAndTerminate);
    }
    cca.encode(to, origin, out);
    code
}

fn service_answer(group: &GroupAnswer, foreign_apn: u32) -> ServiceAnswer<'static> {
    let mut answer = ServiceAnswer {
        result_code: Some(result_code(group.outcome, foreign_apn)),
        rating_group: Some(group.rating_group),
        ..ServiceAnswer::default()
    };
    if let Some(grant) = group.grant {
        answer.granted = Some(Grant { units: Units::octets(grant.octets), tariff_time_change: None });
        answer.validity_time = Some(grant.validity_s);
        answer.volume_threshold =
            (grant.threshold_octets > 0).then(|| u32::try_from(grant.threshold_octets).unwrap_or(u32::MAX));
        answer.quota_holding_time = (grant.holding_s > 0).then_some(grant.holding_s);
        answer.final_unit = grant.is_final.then(|| FinalUnit::new(FinalUnitAction::Terminate));
    }
    answer
}
