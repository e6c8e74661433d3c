//! Gy (RFC 8506, TS 32.299 section 6) in and out of charging's own words.

use bytes::BytesMut;
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::List;
use linegate_diameter::apps::gy::{
    CcAnswer, CcRequest, CcRequestType, CcSessionFailover, CheckBalanceResult, FailureHandling, FinalUnit,
    FinalUnitAction, Grant, MaxBitRates, Money as WireMoney, RedirectAddressType, RedirectServer, ReportingReason,
    RequestedAction, ServiceAnswer, ServiceRequest, Subscriber, TariffChangeUsage, Units, UsedUnit,
};
use linegate_diameter::codec::{AvpError, Time};
use linegate_diameter::dictionary::{self as dict, application};
use linegate_diameter::{Outcome as WireOutcome, ResultCode};
use serde::Deserialize;

use crate::domain::ids::{Apn, SessionId};
use crate::domain::money::Money;
use crate::domain::network::Plmn;
use crate::domain::rating::request::{
    Action, ChargeAnswer, ChargeRequest, GroupAnswer, GroupRequest, MoneyAsked, Octets, Outcome, Phase, Used, Volume,
    Wanted,
};
use crate::domain::tariff::{self, AddressType, BitRates, RestrictTo};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, RecordKey};

/// `[diameter.gy]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GySettings {
    /// CC-Session-Failover: sessions live in the store, so another gateway can go on with them.
    pub session_failover: bool,
    /// Credit-Control-Failure-Handling: what a client does without us.
    pub failure_handling: FailureHandlingSetting,
}

/// Credit-Control-Failure-Handling as the settings name it (RFC 8506 section 8.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureHandlingSetting {
    /// Ends the service.
    Terminate,
    /// Goes on without credit control.
    Continue,
    /// Tries another server, then ends the service.
    RetryAndTerminate,
}

impl Default for GySettings {
    fn default() -> Self {
        Self { session_failover: true, failure_handling: FailureHandlingSetting::RetryAndTerminate }
    }
}

/// What answers say that does not come from the request or the account.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Failover and failure handling.
    pub settings: &'a GySettings,
    /// Result code for an APN that is not the line's own.
    pub foreign_apn: u32,
    /// Our Origin-State-Id.
    pub origin_state_id: u32,
}

/// What the answer needs of its request.
#[derive(Debug, Clone)]
pub struct Asked {
    request_type: CcRequestType,
    request_number: u32,
    /// Of a one-time event.
    action: Option<Action>,
    /// Whether the units came in Multiple-Services-Credit-Controls, and go back in them.
    in_groups: bool,
    /// How the request calls its groups, in their order. Empty where a Rating-Group
    /// alone is the name of each.
    names: Vec<Name>,
}

/// What a Multiple-Services-Credit-Control is for; the answer's repeats it as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    rating_group: Option<u32>,
    services: Vec<u32>,
}

/// A CCR as charging understands it, and what its answer needs of it. An EVENT
/// without Requested-Action gives 5005 (RFC 8506 section 6).
pub fn charge_request(request: &CcRequest<'_>, received: Timestamp) -> Result<(Asked, ChargeRequest), AvpError> {
    let phase = match request.request_type {
        CcRequestType::Initial => Phase::Initial,
        CcRequestType::Update => Phase::Update,
        CcRequestType::Termination => Phase::Terminate,
        CcRequestType::Event => Phase::OneTime(action(request)?),
    };
    let in_groups = !request.services.is_empty();
    let mut names = Vec::new();
    let mut groups = Vec::with_capacity(request.services.len().max(1));
    for service in request.services.iter() {
        let service = service?;
        let group = group(&service, phase)?;
        if !names.is_empty() || service.rating_group.is_none() || !group.services.is_empty() {
            // those before it need names only now
            names.extend(groups[names.len()..].iter().map(Name::of_rating_group));
            names.push(Name { rating_group: service.rating_group, services: group.services.clone() });
        }
        groups.push(group);
    }
    if !in_groups {
        groups.push(single_service(request, phase)?);
    }
    let session = SessionId::new(request.route.session_id);
    let ps = request.service_information.as_ref().and_then(|information| information.ps.as_ref());
    let one_time = matches!(phase, Phase::OneTime(_));
    let charge = ChargeRequest {
        key: RecordKey::Gy(session.clone(), request.request_number),
        phase,
        session: (!one_time).then_some(session),
        peer: Some(request.route.origin_host.into()),
        subscribers: subscribers(&request.subscriber),
        apn: ps.and_then(|ps| ps.called_station_id).map(Apn::new),
        network: network(ps.and_then(|ps| ps.sgsn_mcc_mnc)),
        starts: None,
        ends: request.event_timestamp.map_or(received, |t| Timestamp::from_secs(t.unix_seconds())),
        received,
        groups,
    };
    let action = match phase {
        Phase::OneTime(action) => Some(action),
        _ => None,
    };
    let (request_type, request_number) = (request.request_type, request.request_number);
    Ok((Asked { request_type, request_number, action, in_groups, names }, charge))
}

fn action(request: &CcRequest<'_>) -> Result<Action, AvpError> {
    match request.requested_action {
        Some(RequestedAction::DirectDebiting) => Ok(Action::Debit),
        Some(RequestedAction::RefundAccount) => Ok(Action::Refund),
        Some(RequestedAction::CheckBalance) => Ok(Action::CheckBalance),
        Some(RequestedAction::PriceEnquiry) => Ok(Action::EnquirePrice),
        None => Err(AvpError::missing(&dict::REQUESTED_ACTION)),
    }
}

/// IMSI first: a number may be ported, a SIM is what it is.
pub fn subscribers(subscriber: &Subscriber<'_>) -> Vec<Identifier> {
    let mut names = Vec::with_capacity(2);
    names.extend(subscriber.imsi.map(Identifier::imsi));
    names.extend(subscriber.msisdn.map(|t| Identifier::msisdn(t.trim_start_matches('+'))));
    names
}

/// 3GPP-SGSN-MCC-MNC; what names no network is passed over, like an absent one.
pub fn network(mcc_mnc: Option<&str>) -> Option<Plmn> {
    mcc_mnc.and_then(Plmn::parse)
}

impl Name {
    fn of_rating_group(group: &GroupRequest) -> Self {
        Self { rating_group: Some(group.rating_group), services: Vec::new() }
    }
}

fn group(service: &ServiceRequest<'_>, phase: Phase) -> Result<GroupRequest, AvpError> {
    let asks = service.requested.is_some();
    let mut is_final = phase == Phase::Terminate || gives_back(service.reporting_reason, asks);
    let used = used(&service.used, asks, &mut is_final)?;
    Ok(GroupRequest {
        rating_group: service.rating_group.unwrap_or(0),
        services: service.service_identifiers.iter().collect::<Result<_, _>>()?,
        used,
        wanted: wanted(service.requested, phase),
        is_final,
    })
}

fn single_service(request: &CcRequest<'_>, phase: Phase) -> Result<GroupRequest, AvpError> {
    let mut is_final = phase == Phase::Terminate;
    let used = used(&request.used, request.requested.is_some(), &mut is_final)?;
    let services = request.service_identifier.into_iter().collect();
    Ok(GroupRequest { rating_group: 0, services, used, wanted: wanted(request.requested, phase), is_final })
}

/// Whether a report gives back what is left of the grant: the group ends, or its quota
/// has lapsed (Quota-Holding-Time, Validity-Time) and no more is asked for.
fn gives_back(reason: Option<ReportingReason>, asks: bool) -> bool {
    match reason {
        Some(ReportingReason::Final) => true,
        Some(ReportingReason::QuotaHoldingTime | ReportingReason::ValidityTime) => !asks,
        _ => false,
    }
}

/// Every Used-Service-Unit counts, each on its side of a tariff change. Where
/// any of them has octets, time and the like only accompany them.
fn used(list: &List<'_, UsedUnit>, asks: bool, is_final: &mut bool) -> Result<Option<Used>, AvpError> {
    let (mut octets, mut seconds, mut service_units) = (Octets::default(), 0u64, 0u64);
    let (mut reported, mut counted, mut money) = (false, false, None);
    for unit in list.iter() {
        let unit = unit?;
        *is_final |= gives_back(unit.reporting_reason, asks);
        reported = true;
        if let Some(volume) = volume(&unit.units) {
            counted = true;
            let side = match unit.tariff_change_usage {
                Some(TariffChangeUsage::Before) => &mut octets.before,
                Some(TariffChangeUsage::After) => &mut octets.after,
                Some(TariffChangeUsage::Indeterminate) | None => &mut octets.whole,
            };
            side.add(volume);
        }
        seconds = seconds.saturating_add(u64::from(unit.units.time.unwrap_or(0)));
        service_units = service_units.saturating_add(unit.units.service_specific.unwrap_or(0));
        money = money.or(unit.units.money.filter(|money| money.digits != 0));
    }
    Ok(match money.map(money_asked) {
        _ if !reported => None,
        _ if counted => Some(Used::Octets(octets)),
        _ if seconds > 0 => Some(Used::Seconds(seconds)),
        _ if service_units > 0 => Some(Used::ServiceUnits(service_units)),
        Some(money) => Some(Used::Money(money)),
        None => Some(Used::octets(0)),
    })
}

/// Octets by direction, where any came. The total counts where it comes with parts
/// that are more; what it is more than its parts has no direction.
fn volume(units: &Units) -> Option<Volume> {
    let (up, down) = (units.input_octets.unwrap_or(0), units.output_octets.unwrap_or(0));
    match (units.total_octets, units.input_octets.or(units.output_octets)) {
        (None, None) => None,
        (None, Some(_)) => Some(Volume { up, down, either: 0 }),
        (Some(total), _) => Some(match total.checked_sub(up.saturating_add(down)) {
            Some(either) => Volume { up, down, either },
            None => Volume { up: 0, down: 0, either: total },
        }),
    }
}

fn wanted(requested: Option<Units>, phase: Phase) -> Wanted {
    let Some(units) = requested.filter(|_| phase != Phase::Terminate) else { return Wanted::Nothing };
    let others = units.time.unwrap_or(0) > 0 || units.service_specific.unwrap_or(0) > 0;
    match (volume(&units).map(Volume::total), units.money) {
        (Some(octets), _) if octets > 0 || matches!(phase, Phase::OneTime(_)) => Wanted::Octets(octets),
        (_, Some(money)) => Wanted::Money(money_asked(money)),
        (None, None) if others => Wanted::Unpriced,
        _ => Wanted::AsMuchAsWeGive,
    }
}

fn money_asked(money: WireMoney) -> MoneyAsked {
    MoneyAsked { digits: money.digits, exponent: money.exponent, currency: money.currency }
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
        Outcome::RefundTooLarge => ResultCode::UNABLE_TO_COMPLY,
        Outcome::NoRoom => ResultCode::TOO_BUSY,
    }
}

/// What a person at the client reads of a one-time event that was refused.
const fn why(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::RatingFailed => Some("only octets and money in the tariff's currency have a price here"),
        Outcome::RefundTooLarge => Some("more than the open cycle has charged"),
        Outcome::ServiceDenied => Some("the line is not in service"),
        Outcome::ForeignApn => Some("the APN is not the line's own"),
        _ => None,
    }
}

/// Writes the CCA; gives the result code of the command.
pub fn encode_answer(
    asked: &Asked,
    answer: &ChargeAnswer,
    terms: Terms<'_>,
    to: &ReplyTo,
    origin: &Origin,
    out: &mut BytesMut,
) -> ResultCode {
    // Without groups to carry it, the one service's outcome is the command's.
    let outcome = match (asked.in_groups, answer.outcome, answer.groups.first()) {
        (false, Outcome::Success, Some(single)) => single.outcome,
        _ => answer.outcome,
    };
    let code = result_code(outcome, terms.foreign_apn);
    if asked.action.is_some() && outcome != Outcome::Success {
        refuse_event(asked, code, why(outcome), to, origin, out);
        return code;
    }
    let lists = Lists::of_all(&answer.groups);
    let service = |(at, group)| service_answer(group, asked.names.get(at), lists.get(at), asked.action, terms);
    let (in_groups, alone) = match asked.in_groups {
        true => (answer.groups.as_slice(), None),
        false => (Default::default(), answer.groups.first()),
    };
    let mut cca = CcAnswer::new(code.into(), asked.request_type, asked.request_number);
    cca.origin_state_id = Some(terms.origin_state_id);
    if let Some(single) = alone.map(|group| service((0, group))) {
        cca.granted = single.granted;
        cca.validity_time = single.validity_time;
        cca.final_unit = single.final_unit;
    }
    cca.cost = cost(asked.action, &answer.groups);
    cca.check_balance = answer.covered.map(|covered| match covered {
        true => CheckBalanceResult::EnoughCredit,
        false => CheckBalanceResult::NoCredit,
    });
    if asked.request_type == CcRequestType::Initial {
        cca.session_failover = Some(match terms.settings.session_failover {
            true => CcSessionFailover::Supported,
            false => CcSessionFailover::NotSupported,
        });
        cca.failure_handling = Some(match terms.settings.failure_handling {
            FailureHandlingSetting::Terminate => FailureHandling::Terminate,
            FailureHandlingSetting::Continue => FailureHandling::Continue,
            FailureHandlingSetting::RetryAndTerminate => FailureHandling::RetryAndTerminate,
        });
    }
    cca.encode_with(in_groups.iter().enumerate().map(service), to, origin, out);
    code
}

/// An event's refusal says why; 3004 has the generic grammar.
fn refuse_event(asked: &Asked, code: ResultCode, why: Option<&str>, to: &ReplyTo, origin: &Origin, out: &mut BytesMut) {
    let mut writer = to.begin(WireOutcome::from(code), origin, out);
    if !code.is_protocol_error() {
        writer
            .u32(&dict::AUTH_APPLICATION_ID, application::CREDIT_CONTROL)
            .i32(&dict::CC_REQUEST_TYPE, asked.request_type.value())
            .u32(&dict::CC_REQUEST_NUMBER, asked.request_number);
    }
    if let Some(why) = why {
        writer.text(&dict::ERROR_MESSAGE, why);
    }
    writer.finish();
}

/// What a debit cost or a price enquiry found, all groups together.
fn cost(action: Option<Action>, groups: &[GroupAnswer]) -> Option<WireMoney> {
    if !matches!(action, Some(Action::Debit | Action::EnquirePrice)) {
        return None;
    }
    let costs = groups.iter().filter_map(|g| g.cost);
    costs.reduce(|sum, next| Money { minor: sum.minor.saturating_add(next.minor), ..sum }).map(wire_money)
}

fn wire_money(money: Money) -> WireMoney {
    let digits = i32::try_from(money.currency.digits()).unwrap_or(0);
    WireMoney { digits: money.minor, exponent: -digits, currency: Some(money.currency.number()) }
}

/// What a final unit's restriction names, in the form that the codec takes.
#[derive(Default)]
struct Lists<'a> {
    rules: Vec<&'a str>,
    filter_ids: Vec<&'a str>,
}

impl<'a> Lists<'a> {
    /// Of each group; empty where none is restricted.
    fn of_all(groups: &'a [GroupAnswer]) -> Vec<Self> {
        match groups.iter().any(|group| restriction(group).is_some()) {
            true => groups.iter().map(|group| restriction(group).map_or_else(Self::default, Self::of)).collect(),
            false => Vec::new(),
        }
    }

    fn of(to: &'a RestrictTo) -> Self {
        Self {
            rules: to.rules.iter().map(String::as_str).collect(),
            filter_ids: to.filter_ids.iter().map(String::as_str).collect(),
        }
    }
}

fn restriction(group: &GroupAnswer) -> Option<&RestrictTo> {
    match group.grant.as_ref()?.final_unit.as_ref()? {
        tariff::FinalUnit::Restrict(to) => Some(to),
        tariff::FinalUnit::Terminate | tariff::FinalUnit::Redirect(_) => None,
    }
}

fn service_answer<'a>(
    group: &'a GroupAnswer,
    name: Option<&'a Name>,
    lists: Option<&'a Lists<'a>>,
    action: Option<Action>,
    terms: Terms<'_>,
) -> ServiceAnswer<'a> {
    let mut answer = ServiceAnswer {
        result_code: Some(result_code(group.outcome, terms.foreign_apn)),
        rating_group: name.map_or(Some(group.rating_group), |name| name.rating_group),
        service_identifiers: name.map_or(List::EMPTY, |name| List::from(&name.services)),
        ..ServiceAnswer::default()
    };
    if let Some(grant) = &group.grant {
        answer.granted =
            Some(Grant { units: Units::octets(grant.octets), tariff_time_change: grant.tariff_change.and_then(time) });
        answer.validity_time = (grant.validity_s > 0).then_some(grant.validity_s);
        answer.volume_threshold =
            (grant.threshold_octets > 0).then(|| u32::try_from(grant.threshold_octets).unwrap_or(u32::MAX));
        answer.quota_holding_time = (grant.holding_s > 0).then_some(grant.holding_s);
        answer.final_unit = grant.final_unit.as_ref().map(|action| final_unit(action, lists));
        let rates = |slow: BitRates| MaxBitRates { uplink: Some(slow.up_bps), downlink: Some(slow.down_bps) };
        answer.qos = grant.throttle.map(rates);
    } else if let (Some(moved), true) = (group.cost, action.is_some_and(Action::moves)) {
        let units = Units { money: Some(wire_money(moved)), ..Units::default() };
        answer.granted = Some(Grant { units, tariff_time_change: None });
    }
    answer
}

fn time(at: Timestamp) -> Option<Time> {
    Time::from_unix_seconds(at.millis().div_euclid(1000))
}

fn final_unit<'a>(action: &'a tariff::FinalUnit, lists: Option<&'a Lists<'a>>) -> FinalUnit<'a> {
    match action {
        tariff::FinalUnit::Terminate => FinalUnit::new(FinalUnitAction::Terminate),
        tariff::FinalUnit::Redirect(to) => {
            let kind = match to.address_type {
                AddressType::Ipv4 => RedirectAddressType::Ipv4,
                AddressType::Ipv6 => RedirectAddressType::Ipv6,
                AddressType::Url => RedirectAddressType::Url,
                AddressType::SipUri => RedirectAddressType::SipUri,
            };
            let redirect = Some(RedirectServer { kind, address: &to.address });
            FinalUnit { redirect, ..FinalUnit::new(FinalUnitAction::Redirect) }
        }
        tariff::FinalUnit::Restrict(_) => FinalUnit {
            filter_rules: lists.map_or(List::EMPTY, |lists| List::from(&lists.rules)),
            filter_ids: lists.map_or(List::EMPTY, |lists| List::from(&lists.filter_ids)),
            ..FinalUnit::new(FinalUnitAction::RestrictAccess)
        },
    }
}

#[cfg(test)]
mod tests;
