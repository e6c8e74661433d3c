//! Requests into charging's words and answers out of them, over real octets.

use linegate_diameter::Message;
use linegate_diameter::apps::Route;
use linegate_diameter::apps::gy::{PsInformation, ServiceInformation};
use linegate_diameter::dictionary::{Strictness, check, key};

use super::*;
use crate::domain::money::Currency;
use crate::domain::rating::request::Grant as Quota;
use crate::domain::tariff::{FinalUnit as Then, RedirectTo, RestrictTo};

const TERMS: Terms<'static> = Terms {
    settings: &GySettings { session_failover: true, failure_handling: FailureHandlingSetting::RetryAndTerminate },
    foreign_apn: 5003,
    origin_state_id: 7,
};

fn request(kind: CcRequestType) -> CcRequest<'static> {
    let route = Route {
        session_id: "pgw;1;2",
        origin_host: "pgw.example",
        origin_realm: "example",
        destination_host: None,
        destination_realm: "linegate.example",
    };
    CcRequest::new(route, "32251@3gpp.org", kind, 3)
}

fn wire(request: &CcRequest<'_>) -> Message {
    let mut out = BytesMut::new();
    request.encode(&CcRequest::header(), &mut out);
    Message::decode(out.freeze()).unwrap()
}

fn charge(request: &CcRequest<'_>) -> (Asked, ChargeRequest) {
    let message = wire(request);
    charge_request(&CcRequest::parse(&message).unwrap(), Timestamp(0)).unwrap()
}

/// The answer as the client gets it, in its grammar.
fn answered(request: &CcRequest<'_>, answer: &ChargeAnswer) -> (ResultCode, Message) {
    let message = wire(request);
    let (asked, _) = charge_request(&CcRequest::parse(&message).unwrap(), Timestamp(0)).unwrap();
    let mut out = BytesMut::new();
    let origin = Origin::new("gateway.example", "example");
    let code = encode_answer(&asked, answer, TERMS, &ReplyTo::new(&message), &origin, &mut out);
    let answer = Message::decode(out.freeze()).unwrap();
    let report = check(&answer, Strictness::Strict);
    assert_eq!(report.result_code(), None, "{report:?}");
    (code, answer)
}

fn quota(octets: u64, final_unit: Option<Then>) -> Quota {
    Quota {
        octets,
        tariff_change: None,
        validity_s: 3600,
        threshold_octets: octets / 5,
        holding_s: 0,
        final_unit,
        throttle: None,
    }
}

fn group(rating_group: u32, grant: Option<Quota>) -> GroupAnswer {
    GroupAnswer { grant, ..GroupAnswer::bare(rating_group, Outcome::Success) }
}

fn success(groups: Vec<GroupAnswer>) -> ChargeAnswer {
    ChargeAnswer { groups, ..ChargeAnswer::bare(Outcome::Success) }
}

#[test]
fn units_become_what_charging_can_price_or_refuse() {
    let octets = Units::octets;
    let time = Units { time: Some(60), ..Units::default() };
    let both = Units { input_octets: Some(3), output_octets: Some(4), time: Some(60), ..Units::default() };
    let specific = Units { service_specific: Some(1), ..Units::default() };
    let money = Units { money: Some(WireMoney { digits: 5, exponent: 1, currency: Some(410) }), ..Units::default() };
    let asked = MoneyAsked { digits: 5, exponent: 1, currency: Some(410) };
    let (update, event) = (CcRequestType::Update, CcRequestType::Event);
    let table = [
        (update, None, Wanted::Nothing),
        (update, Some(Units::default()), Wanted::AsMuchAsWeGive),
        (update, Some(octets(0)), Wanted::AsMuchAsWeGive),
        (update, Some(octets(9)), Wanted::Octets(9)),
        (update, Some(both), Wanted::Octets(7)),
        (update, Some(time), Wanted::Unpriced),
        (update, Some(specific), Wanted::Unpriced),
        (event, Some(octets(0)), Wanted::Octets(0)),
        (event, Some(both), Wanted::Octets(7)),
        (event, Some(money), Wanted::Money(asked)),
        (event, Some(Units::default()), Wanted::AsMuchAsWeGive),
        (CcRequestType::Termination, Some(octets(9)), Wanted::Nothing),
    ];
    for (kind, requested, expected) in table {
        let action = Some(RequestedAction::DirectDebiting);
        let (_, charge) = charge(&CcRequest { requested, requested_action: action, ..request(kind) });
        assert_eq!(charge.groups[0].wanted, expected, "{kind:?} {requested:?}");
    }
}

#[test]
fn reports_keep_both_sides_of_a_tariff_change_and_octets_win_over_time() {
    let unit = |units, side| UsedUnit { units, tariff_change_usage: side, reporting_reason: None };
    let sum = |either| Volume { either, ..Volume::default() };
    let parts = |total, input, output| Units {
        total_octets: total,
        input_octets: input,
        output_octets: output,
        ..Units::default()
    };
    let by_direction = |up, down, either| Some(Used::volume(Volume { up, down, either }));
    let time = |seconds| Units { time: Some(seconds), ..Units::default() };
    let timed = Units { time: Some(60), ..Units::octets(5) };
    let (before, after) = (Some(TariffChangeUsage::Before), Some(TariffChangeUsage::After));
    let table = [
        (vec![], None),
        (vec![unit(Units::octets(5), None)], Some(Used::octets(5))),
        (
            vec![unit(Units::octets(5), before), unit(Units::octets(7), after)],
            Some(Used::Octets(Octets { before: sum(5), after: sum(7), ..Octets::default() })),
        ),
        (vec![unit(Units::octets(5), Some(TariffChangeUsage::Indeterminate))], Some(Used::octets(5))),
        (vec![unit(parts(None, Some(5), Some(7)), None)], by_direction(5, 7, 0)),
        (vec![unit(parts(None, None, Some(7)), None)], by_direction(0, 7, 0)),
        (vec![unit(parts(Some(12), Some(5), Some(7)), None)], by_direction(5, 7, 0)),
        (vec![unit(parts(Some(15), Some(5), Some(7)), None)], by_direction(5, 7, 3)),
        (vec![unit(parts(Some(11), Some(5), Some(7)), None)], by_direction(0, 0, 11)),
        (vec![unit(timed, None)], Some(Used::octets(5))),
        (vec![unit(time(60), None), unit(time(2), None)], Some(Used::Seconds(62))),
        (vec![unit(Units { service_specific: Some(3), ..Units::default() }, None)], Some(Used::ServiceUnits(3))),
        (vec![unit(time(0), None)], Some(Used::octets(0))),
    ];
    for (units, expected) in table {
        let service = ServiceRequest { rating_group: Some(1), used: List::from(&units), ..ServiceRequest::default() };
        let (_, charge) = charge(&CcRequest { services: List::from(&[service]), ..request(CcRequestType::Update) });
        assert_eq!(charge.groups[0].used, expected, "{units:?}");
    }
}

#[test]
fn the_serving_network_is_read_where_it_names_one() {
    for (text, network) in [("45008", Plmn::parse("450-08")), ("310410", Plmn::parse("310-410")), ("x", None)] {
        let ps = PsInformation { sgsn_mcc_mnc: Some(text), ..PsInformation::default() };
        let service_information = Some(ServiceInformation { ps: Some(ps), ..ServiceInformation::default() });
        let (_, charge) = charge(&CcRequest { service_information, ..request(CcRequestType::Initial) });
        assert_eq!(charge.network, network, "{text}");
    }
}

#[test]
fn an_event_names_its_action_and_belongs_to_no_session() {
    for (wire_action, action) in [
        (RequestedAction::DirectDebiting, Action::Debit),
        (RequestedAction::RefundAccount, Action::Refund),
        (RequestedAction::CheckBalance, Action::CheckBalance),
        (RequestedAction::PriceEnquiry, Action::EnquirePrice),
    ] {
        let event = CcRequest { requested_action: Some(wire_action), ..request(CcRequestType::Event) };
        let (_, charge) = charge(&event);
        assert_eq!((charge.phase, charge.session), (Phase::OneTime(action), None));
        assert_eq!(charge.key, RecordKey::Gy("pgw;1;2".into(), 3));
    }
    let message = wire(&request(CcRequestType::Event));
    let error = charge_request(&CcRequest::parse(&message).unwrap(), Timestamp(0)).unwrap_err();
    assert_eq!((error.result_code(), error.code), (ResultCode::MISSING_AVP, dict::REQUESTED_ACTION.code));
}

#[test]
fn groups_are_answered_by_the_names_they_came_with() {
    let services = [
        ServiceRequest { rating_group: Some(20), ..ServiceRequest::default() },
        ServiceRequest { service_identifiers: List::from(&[7, 8]), ..ServiceRequest::default() },
        ServiceRequest { rating_group: Some(10), service_identifiers: List::from(&[1]), ..ServiceRequest::default() },
        ServiceRequest { rating_group: Some(10), ..ServiceRequest::default() },
    ];
    let ccr = CcRequest { services: List::from(&services), ..request(CcRequestType::Update) };
    let answer = success(vec![
        group(20, Some(quota(7, None))),
        group(0, Some(quota(5, None))),
        group(10, None),
        group(10, Some(quota(9, None))),
    ]);
    let (_, message) = answered(&ccr, &answer);
    let cca = CcAnswer::parse(&message).unwrap();
    let names: Vec<(Option<u32>, Vec<u32>)> = cca
        .services
        .iter()
        .map(|s| s.unwrap())
        .map(|s| (s.rating_group, s.service_identifiers.iter().map(|id| id.unwrap()).collect()))
        .collect();
    assert_eq!(names, [(Some(20), vec![]), (None, vec![7, 8]), (Some(10), vec![1]), (Some(10), vec![])]);
    let report = cca.services.iter().nth(2).unwrap().unwrap();
    assert_eq!((report.granted, report.validity_time), (None, None), "a report alone gets neither quota nor its time");
    assert_eq!(cca.origin_state_id, Some(7));
    assert_eq!((cca.session_failover, cca.failure_handling), (None, None), "the first answer has said it");
}

#[test]
fn a_slow_line_is_told_its_bit_rates_and_a_fast_one_none() {
    let slow = BitRates { up_bps: 128_000, down_bps: 256_000 };
    for throttle in [Some(slow), None] {
        let services = [ServiceRequest { rating_group: Some(1), ..ServiceRequest::default() }];
        let ccr = CcRequest { services: List::from(&services), ..request(CcRequestType::Update) };
        let (_, message) = answered(&ccr, &success(vec![group(1, Some(Quota { throttle, ..quota(5, None) }))]));
        let cca = CcAnswer::parse(&message).unwrap();
        let rates = MaxBitRates { uplink: Some(128_000), downlink: Some(256_000) };
        assert_eq!(cca.services.iter().next().unwrap().unwrap().qos, throttle.map(|_| rates));
    }
}

#[test]
fn a_final_unit_carries_its_action() {
    let redirect = RedirectTo { address_type: AddressType::Url, address: "https://pay.example/".to_owned() };
    let restrict = RestrictTo {
        filter_ids: vec!["top-up".to_owned()],
        rules: vec!["permit out ip from 192.0.2.1 to any".to_owned()],
    };
    for then in [Then::Terminate, Then::Redirect(redirect), Then::Restrict(restrict)] {
        let services = [ServiceRequest { rating_group: Some(1), ..ServiceRequest::default() }];
        let ccr = CcRequest { services: List::from(&services), ..request(CcRequestType::Initial) };
        let (_, message) = answered(&ccr, &success(vec![group(1, Some(quota(5, Some(then.clone()))))]));
        let cca = CcAnswer::parse(&message).unwrap();
        let final_unit = cca.services.iter().next().unwrap().unwrap().final_unit.unwrap();
        let text = |list: List<'_, &str>| list.iter().map(|t| t.unwrap().to_owned()).collect::<Vec<_>>();
        let read = match final_unit.action {
            FinalUnitAction::Terminate => Then::Terminate,
            FinalUnitAction::Redirect => {
                let to = final_unit.redirect.unwrap();
                assert_eq!(to.kind, RedirectAddressType::Url);
                Then::Redirect(RedirectTo { address_type: AddressType::Url, address: to.address.to_owned() })
            }
            FinalUnitAction::RestrictAccess => Then::Restrict(RestrictTo {
                filter_ids: text(final_unit.filter_ids),
                rules: text(final_unit.filter_rules),
            }),
        };
        assert_eq!(read, then);
        assert_eq!(cca.failure_handling, Some(FailureHandling::RetryAndTerminate));
    }
}

#[test]
fn a_report_gives_its_grant_back_where_it_is_final_or_the_quota_has_lapsed() {
    use ReportingReason::{Final, ForcedReauthorisation, QuotaExhausted, QuotaHoldingTime, Threshold, ValidityTime};
    // the reason, and whether the grant goes back without a wish for more, and with one
    let table = [
        (None, false, false),
        (Some(Threshold), false, false),
        (Some(QuotaExhausted), false, false),
        (Some(ForcedReauthorisation), false, false),
        (Some(Final), true, true),
        (Some(QuotaHoldingTime), true, false),
        (Some(ValidityTime), true, false),
    ];
    for (reason, alone, with_wish) in table {
        for (requested, expected) in [(None, alone), (Some(Units::default()), with_wish)] {
            let unit = UsedUnit { units: Units::octets(5), tariff_change_usage: None, reporting_reason: reason };
            let (in_unit, beside) = ([unit], [UsedUnit { reporting_reason: None, ..unit }]);
            let service = ServiceRequest { rating_group: Some(1), requested, ..ServiceRequest::default() };
            let services = [
                ServiceRequest { used: List::from(&in_unit), ..service },
                ServiceRequest { used: List::from(&beside), reporting_reason: reason, ..service },
            ];
            let ccr = CcRequest { services: List::from(&services), ..request(CcRequestType::Update) };
            let finals: Vec<bool> = charge(&ccr).1.groups.iter().map(|g| g.is_final).collect();
            assert_eq!(finals, [expected; 2], "{reason:?}, {requested:?}");
        }
    }
}

#[test]
fn a_grant_says_how_long_it_holds_and_when_to_ask_again() {
    // validity, threshold and holding time of the grant; 0 leaves each out
    for (validity_s, threshold_octets, holding_s) in [(60, 200, 30), (60, 0, 0), (0, 0, 0)] {
        let services = [ServiceRequest { rating_group: Some(1), ..ServiceRequest::default() }];
        let ccr = CcRequest { services: List::from(&services), ..request(CcRequestType::Update) };
        let grant = Quota { validity_s, threshold_octets, holding_s, ..quota(1000, None) };
        let (_, message) = answered(&ccr, &success(vec![group(1, Some(grant))]));
        let cca = CcAnswer::parse(&message).unwrap();
        let service = cca.services.iter().next().unwrap().unwrap();
        let said = |value: u32| (value > 0).then_some(value);
        assert_eq!(service.validity_time, said(validity_s));
        assert_eq!(service.quota_holding_time, said(holding_s));
        assert_eq!(service.volume_threshold, said(u32::try_from(threshold_octets).unwrap()));
    }
}

#[test]
fn a_grant_over_a_change_of_price_carries_its_time() {
    for change in [None, Some(Timestamp::from_secs(1_793_491_200))] {
        let services = [ServiceRequest { rating_group: Some(1), ..ServiceRequest::default() }];
        let ccr = CcRequest { services: List::from(&services), ..request(CcRequestType::Initial) };
        let grant = Quota { tariff_change: change, ..quota(5, None) };
        let (_, message) = answered(&ccr, &success(vec![group(1, Some(grant))]));
        let cca = CcAnswer::parse(&message).unwrap();
        let granted = cca.services.iter().next().unwrap().unwrap().granted.unwrap();
        assert_eq!(granted.tariff_time_change.map(|t| Timestamp::from_secs(t.unix_seconds())), change);
    }
}

#[test]
fn an_event_is_answered_with_what_it_moved_found_or_would_cost() {
    let cost = |minor| Some(Money::new(minor, Currency::USD));
    let moved = |octets: u64, minor| GroupAnswer {
        cost: cost(minor),
        ..group(0, Some(Quota { validity_s: 0, threshold_octets: 0, ..quota(octets, None) }))
    };
    let wire_cost = |digits| Some(WireMoney { digits, exponent: -2, currency: Some(840) });
    let in_money = GroupAnswer { cost: cost(250), ..group(0, None) };
    let checked = |covered| ChargeAnswer { covered: Some(covered), ..success(vec![group(0, None)]) };
    use RequestedAction::{CheckBalance, DirectDebiting, PriceEnquiry, RefundAccount};
    let money = |digits| Units { money: wire_cost(digits), ..Units::default() };
    let table = [
        (DirectDebiting, success(vec![moved(9, 250)]), Some(Units::octets(9)), wire_cost(250), None),
        (DirectDebiting, success(vec![in_money.clone()]), Some(money(250)), wire_cost(250), None),
        (RefundAccount, success(vec![moved(9, 250)]), Some(Units::octets(9)), None, None),
        (RefundAccount, success(vec![in_money.clone()]), Some(money(250)), None, None),
        (CheckBalance, checked(true), None, None, Some(CheckBalanceResult::EnoughCredit)),
        (CheckBalance, checked(false), None, None, Some(CheckBalanceResult::NoCredit)),
        (PriceEnquiry, success(vec![in_money]), None, wire_cost(250), None),
    ];
    for (action, answer, granted, cost, balance) in table {
        let event = CcRequest { requested_action: Some(action), ..request(CcRequestType::Event) };
        let (code, message) = answered(&event, &answer);
        let cca = CcAnswer::parse(&message).unwrap();
        assert_eq!(code, ResultCode::SUCCESS);
        assert_eq!((cca.granted.map(|g| g.units), cca.cost, cca.check_balance), (granted, cost, balance), "{action:?}");
        assert_eq!((cca.validity_time, cca.request_type), (None, CcRequestType::Event));
    }
}

#[test]
fn a_refused_event_says_why() {
    for (outcome, code, explains) in [
        (Outcome::CreditLimitReached, 4012, false),
        (Outcome::ServiceDenied, 4010, true),
        (Outcome::RatingFailed, 5031, true),
        (Outcome::RefundTooLarge, 5012, true),
        (Outcome::UnknownSubscriber, 5030, false),
        (Outcome::NoRoom, 3004, false),
    ] {
        let event =
            CcRequest { requested_action: Some(RequestedAction::DirectDebiting), ..request(CcRequestType::Event) };
        let (got, message) = answered(&event, &success(vec![GroupAnswer::bare(0, outcome)]));
        assert_eq!(got, ResultCode(code));
        assert_eq!(message.find(key::ERROR_MESSAGE).is_some(), explains, "{outcome:?}");
        assert_eq!(message.header.is_error(), code == 3004);
    }
}
