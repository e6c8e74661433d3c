//! Typed requests and answers survive the wire, and pass the strict check.

use linegate_diameter::answer::ReplyTo;
use linegate_diameter::apps::base::{
    AbortSessionRequest, Application, Capabilities, DisconnectCause, DisconnectPeer, PlainAnswer, ReAuthRequest,
    ReAuthRequestType, TerminationCause,
};
use linegate_diameter::apps::gy::*;
use linegate_diameter::apps::rf::{AccountingAnswer, AccountingRequest, RecordType};
use linegate_diameter::apps::s6a::*;
use linegate_diameter::apps::{Answered, List, lp};
use linegate_diameter::codec::{Message, Time};
use linegate_diameter::dictionary::{Report, Strictness, application, check};
use linegate_diameter::{Outcome, ResultCode};

use crate::{message, numbered, origin, route};

#[track_caller]
fn passes(message: &Message) {
    assert_eq!(check(message, Strictness::Strict), Report::default());
}

fn time() -> Option<Time> {
    Time::from_unix_seconds(1_790_000_000)
}

const FLOWS: &[ServiceData] = &[ServiceData {
    rating_group: Some(10),
    service_identifier: Some(7),
    input_octets: Some(1),
    output_octets: Some(2),
    time_usage: Some(60),
    change_time: None,
}];

fn information<'a>(traffic: &'a [TrafficVolume]) -> ServiceInformation<'a> {
    ServiceInformation {
        subscriber: Subscriber { msisdn: Some("821012345678"), imsi: Some("450050000000001") },
        ps: Some(PsInformation {
            called_station_id: Some("iot.example"),
            charging_id: Some(&[0, 0, 0, 9]),
            sgsn_mcc_mnc: Some("45005"),
            imsi_mcc_mnc: Some("45005"),
            rat_type: Some(&[6]),
            user_location: Some(&[1, 2, 3]),
            charging_characteristics: Some("0800"),
            pdp_address: Some("10.0.0.1".parse().unwrap()),
            sgsn_address: Some("10.0.0.2".parse().unwrap()),
            ggsn_address: Some("2001:db8::1".parse().unwrap()),
            traffic: List::from(traffic),
            // The other library knows no flows, and reads what comes without volumes.
            service_data: if traffic.is_empty() { List::EMPTY } else { List::from(FLOWS) },
        }),
    }
}

/// A credit-control request with everything in it.
pub fn with_full_ccr(use_it: impl FnOnce(&CcRequest<'_>)) {
    let units = Units {
        time: Some(60),
        total_octets: Some(3),
        input_octets: Some(1),
        output_octets: Some(2),
        service_specific: Some(7),
        money: Some(Money { digits: -5, exponent: -2, currency: Some(410) }),
    };
    let used = [
        UsedUnit {
            units,
            reporting_reason: Some(ReportingReason::Final),
            tariff_change_usage: Some(TariffChangeUsage::Before),
        },
        UsedUnit { units: Units::octets(u64::MAX), ..UsedUnit::default() },
    ];
    let identifiers = [5];
    let pools = [PoolReference { identifier: 1, unit_type: CcUnitType::TotalOctets, digits: 12, exponent: -1 }];
    let triggers = [2, 4];
    let services = [
        ServiceRequest {
            rating_group: Some(10),
            service_identifiers: (&identifiers).into(),
            requested: Some(Units::default()),
            used: (&used).into(),
            reporting_reason: Some(ReportingReason::ValidityTime),
            pools: (&pools).into(),
            trigger: Some((&triggers).into()),
            refund_information: Some(b"debit 7"),
        },
        ServiceRequest { rating_group: Some(20), ..ServiceRequest::default() },
    ];
    let request = CcRequest {
        user_name: Some("450050000000001"),
        sub_session_id: Some(u64::MAX),
        correlation_id: Some(b"delivery 1"),
        origin_state_id: Some(3),
        event_timestamp: time(),
        subscriber: Subscriber { msisdn: Some("821012345678"), imsi: Some("450050000000001") },
        user_equipment: Some(UserEquipment { kind: UserEquipmentType::Imeisv, value: b"3520990017614823" }),
        termination_cause: Some(TerminationCause::LOGOUT),
        multiple_services: true,
        services: (&services).into(),
        service_information: Some(information(&[])),
        ..CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Termination, 4)
    };
    use_it(&request);
}

#[test]
fn a_credit_control_request_survives_the_wire() {
    with_full_ccr(|request| {
        let message = message(|out| request.encode(&numbered(CcRequest::header()), out));
        passes(&message);
        let got = CcRequest::parse(&message).unwrap();
        assert_eq!(&got, request);
        assert_eq!(got.apn(), Some("iot.example"));
        let requested: Vec<_> = got.services.iter().map(|service| service.unwrap().requested).collect();
        // empty means that the server decides, absent that nothing is asked
        assert_eq!(requested, [Some(Units::default()), None]);
    });
}

#[test]
fn an_event_without_groups_survives_the_wire() {
    let used = [UsedUnit { units: Units { time: Some(1), ..Units::default() }, ..UsedUnit::default() }];
    let request = CcRequest {
        requested_action: Some(RequestedAction::DirectDebiting),
        service_identifier: Some(8),
        requested: Some(Units { service_specific: Some(1), ..Units::default() }),
        used: (&used).into(),
        ..CcRequest::new(route(), "32274@3gpp.org", CcRequestType::Event, 0)
    };
    let message = message(|out| request.encode(&numbered(CcRequest::header()), out));
    passes(&message);
    assert_eq!(CcRequest::parse(&message), Ok(request));
}

/// The answer that `write` gives to the request.
fn answer_to(request: &Message, write: impl FnOnce(&ReplyTo, &mut bytes::BytesMut)) -> Message {
    let reply = ReplyTo::new(request);
    let answer = message(|out| write(&reply, out));
    assert_eq!(answer.header.hop_by_hop, request.header.hop_by_hop);
    assert_eq!(answer.header.end_to_end, request.header.end_to_end);
    passes(&answer);
    answer
}

fn ccr() -> Message {
    let request = CcRequest::new(route(), "32251@3gpp.org", CcRequestType::Update, 4);
    message(|out| request.encode(&numbered(CcRequest::header()), out))
}

#[test]
fn a_credit_control_answer_survives_the_wire() {
    let rules = ["permit in ip from any to 10.0.0.1"];
    let ids = ["walled-garden"];
    let pools = [
        PoolReference { identifier: 1, unit_type: CcUnitType::Money, digits: 12, exponent: -1 },
        PoolReference { identifier: 2, unit_type: CcUnitType::Time, digits: 1, exponent: 0 },
    ];
    // a User-Name of the IETF's without a value
    let failed = [FailedAvp(&[0, 0, 0, 1, 0x40, 0, 0, 8])];
    let identifiers = [1, 2];
    let services = [
        ServiceAnswer {
            result_code: Some(ResultCode::SUCCESS),
            rating_group: Some(10),
            service_identifiers: (&identifiers).into(),
            granted: Some(Grant { units: Units::octets(1_000_000), tariff_time_change: time() }),
            validity_time: Some(3600),
            quota_holding_time: Some(0),
            volume_threshold: Some(200_000),
            time_threshold: Some(10),
            unit_threshold: Some(1),
            final_unit: Some(FinalUnit {
                action: FinalUnitAction::RestrictAccess,
                redirect: Some(RedirectServer {
                    kind: RedirectAddressType::Url,
                    address: "https://my.linegate.example/",
                }),
                filter_rules: (&rules).into(),
                filter_ids: (&ids).into(),
            }),
            tariff_change_usage: Some(TariffChangeUsage::After),
            pools: (&pools).into(),
            trigger: Some(List::EMPTY),
            quota_consumption_time: Some(2),
            refund_information: Some(b"debit 7"),
            qos: Some(MaxBitRates { uplink: Some(128_000), downlink: Some(256_000) }),
        },
        ServiceAnswer {
            rating_group: Some(20),
            result_code: Some(ResultCode::CREDIT_LIMIT_REACHED),
            ..ServiceAnswer::default()
        },
    ];
    let answer = CcAnswer {
        origin_state_id: Some(2),
        services: (&services).into(),
        granted: Some(Grant { units: Units::octets(1), tariff_time_change: None }),
        validity_time: Some(9),
        final_unit: Some(FinalUnit::new(FinalUnitAction::Terminate)),
        cost: Some(Money { digits: 100, exponent: 0, currency: Some(410) }),
        check_balance: Some(CheckBalanceResult::NoCredit),
        session_failover: Some(CcSessionFailover::Supported),
        failure_handling: Some(FailureHandling::RetryAndTerminate),
        debiting_failure_handling: Some(DebitingFailureHandling::Continue),
        cost_unit: Some("day"),
        remaining_balance: Some(Money { digits: 9_900, exponent: 0, currency: Some(410) }),
        low_balance: Some(true),
        failed_avps: (&failed).into(),
        ..CcAnswer::new(Outcome::SUCCESS, CcRequestType::Update, 4)
    };
    let message = answer_to(&ccr(), |to, out| answer.encode(to, &origin(), out));
    assert_eq!(CcAnswer::parse(&message), Ok(answer));
    let answered = Answered::parse(&message).unwrap();
    assert_eq!(answered.session_id, Some("pgw.example;1;2"));
    assert_eq!(answered.origin_host, "gateway.linegate.example");
}

#[test]
fn accounting_survives_the_wire() {
    let traffic = [
        TrafficVolume {
            input_octets: Some(1),
            output_octets: Some(u64::MAX),
            qci: Some(9),
            change_condition: Some(0),
            change_time: time(),
        },
        TrafficVolume::default(),
    ];
    let request = AccountingRequest {
        user_name: Some("450050000000001"),
        interim_interval: Some(300),
        origin_state_id: Some(1),
        event_timestamp: time(),
        service_context_id: Some("32251@3gpp.org"),
        service_information: Some(information(&traffic)),
        ..AccountingRequest::new(route(), RecordType::Interim, 7)
    };
    let message = message(|out| request.encode(&numbered(AccountingRequest::header()), out));
    passes(&message);
    assert_eq!(AccountingRequest::parse(&message), Ok(request));

    let answer = AccountingAnswer {
        outcome: Outcome::SUCCESS,
        record_type: RecordType::Interim,
        record_number: 7,
        interim_interval: Some(600),
        origin_state_id: Some(5),
    };
    let message = answer_to(&message, |to, out| answer.encode(to, &origin(), out));
    assert_eq!(AccountingAnswer::parse(&message), Ok(answer));
}

#[test]
fn base_requests_survive_the_wire() {
    let request = ReAuthRequest {
        route: route(),
        application_id: application::CREDIT_CONTROL,
        request_type: ReAuthRequestType::AuthorizeOnly,
        origin_state_id: Some(1),
        rating_group: Some(10),
        service_identifier: Some(2),
    };
    let rar = message(|out| {
        request.encode(&numbered(ReAuthRequest::header(application::CREDIT_CONTROL)), out);
    });
    passes(&rar);
    assert_eq!(ReAuthRequest::parse(&rar), Ok(request));
    let plain = PlainAnswer { outcome: ResultCode::LIMITED_SUCCESS.into(), origin_state_id: Some(1) };
    let raa = answer_to(&rar, |to, out| plain.encode(to, &origin(), out));
    assert_eq!(Answered::parse(&raa).unwrap().outcome, plain.outcome);

    let request =
        AbortSessionRequest { route: route(), application_id: application::CREDIT_CONTROL, origin_state_id: None };
    let asr = message(|out| {
        request.encode(&numbered(AbortSessionRequest::header(application::CREDIT_CONTROL)), out);
    });
    passes(&asr);
    assert_eq!(AbortSessionRequest::parse(&asr), Ok(request));

    for &cause in DisconnectCause::ALL {
        let dpr = message(|out| {
            DisconnectPeer { cause }.encode(&DisconnectPeer::header(), &origin(), out);
        });
        passes(&dpr);
        assert_eq!(DisconnectPeer::parse(&dpr).unwrap().cause, cause);
    }
}

pub fn capabilities(host: &str) -> Capabilities {
    Capabilities {
        origin_host: host.into(),
        origin_realm: "example".into(),
        host_ip_addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        vendor_id: 0,
        product_name: "Linegate".into(),
        origin_state_id: Some(1),
        supported_vendors: vec![10415, 32473],
        applications: Application::GATEWAY.to_vec(),
        inband_security: vec![],
        firmware_revision: Some(1),
    }
}

#[test]
fn capabilities_survive_the_wire() {
    let sent = capabilities("pgw.example");
    let cer = message(|out| sent.encode_request(&numbered(Capabilities::header()), out));
    passes(&cer);
    assert_eq!(Capabilities::parse(&cer).as_ref(), Ok(&sent));
    let cea = answer_to(&cer, |to, out| sent.encode_answer(to, Outcome::SUCCESS, out));
    assert_eq!(Capabilities::parse(&cea), Ok(sent));
}

#[test]
fn common_applications_see_through_vendors_and_relays() {
    let check = |ours: &[Application], theirs: &[Application], expected: &[u32]| {
        let side = |applications: &[Application]| Capabilities {
            applications: applications.to_vec(),
            ..capabilities("x.example")
        };
        assert_eq!(side(ours).common_applications(&side(theirs)), expected);
    };
    let relay = Application::auth(application::RELAY);
    check(&Application::GATEWAY, &[Application::auth(4)], &[4]);
    check(&Application::GATEWAY, &[Application::vendor_auth(10415, 4)], &[4]);
    check(&Application::GATEWAY, &[Application::auth(1)], &[]);
    check(&Application::GATEWAY, &[relay], &[4, 3, 16_777_251, 16_777_999]);
    check(&[relay], &[Application::acct(3)], &[application::RELAY, 3][1..]);
}

#[test]
fn line_provisioning_survives_the_wire() {
    let apns = ["iot.example", "b.example"];
    let characteristics = lp::Characteristics {
        imsi: Some("450050000000001"),
        msisdn: Some("821012345678"),
        device_id: Some("modem-1"),
        apns: (&apns).into(),
        plan: Some("iot-10mb"),
        service_address: Some("서울 1"),
        ..lp::Characteristics::new(lp::Access::Cellular)
    };
    for &action in lp::Action::ALL {
        let request = lp::ProvisionRequest {
            route: route(),
            order_id: "order-1",
            line_id: "line-1",
            action,
            characteristics: Some(characteristics),
            event_timestamp: time(),
        };
        let message = message(|out| {
            request.encode(&numbered(lp::ProvisionRequest::header()), out);
        });
        passes(&message);
        assert_eq!(lp::ProvisionRequest::parse(&message), Ok(request));
    }

    let request = lp::QueryRequest { route: route(), line_id: "line-1" };
    let query = message(|out| request.encode(&numbered(lp::QueryRequest::header()), out));
    passes(&query);
    assert_eq!(lp::QueryRequest::parse(&query), Ok(request));

    let answer = lp::LineAnswer {
        line_id: Some("line-1"),
        line_state: Some(lp::LineState::Suspended),
        line_version: Some(u64::MAX),
        last_order_id: Some("order-1"),
        characteristics: Some(characteristics),
        ..lp::LineAnswer::new(Outcome::SUCCESS)
    };
    let message = answer_to(&query, |to, out| answer.encode(to, &origin(), out));
    assert_eq!(lp::LineAnswer::parse(&message), Ok(answer));

    for outcome in [lp::LINE_UNKNOWN, lp::ILLEGAL_TRANSITION, lp::BUSY] {
        let answer = lp::LineAnswer::new(outcome);
        let message = answer_to(&query, |to, out| answer.encode(to, &origin(), out));
        assert_eq!(lp::LineAnswer::parse(&message), Ok(answer));
    }
}

#[test]
fn a_success_without_the_state_of_the_line_is_refused() {
    let request = lp::QueryRequest { route: route(), line_id: "line-1" };
    let query = message(|out| request.encode(&numbered(lp::QueryRequest::header()), out));
    let answer = lp::LineAnswer::new(Outcome::SUCCESS);
    let message = answer_to(&query, |to, out| answer.encode(to, &origin(), out));
    assert_eq!(lp::LineAnswer::parse(&message).unwrap_err().result_code().0, 5005);
}

fn subscription<'a>(apns: &'a [ApnConfiguration<'a>]) -> SubscriptionData<'a> {
    SubscriptionData {
        subscriber_status: Some(SubscriberStatus::OperatorDeterminedBarring),
        operator_determined_barring: Some(1),
        msisdn: Msisdn::new("82101234567"),
        network_access_mode: Some(NetworkAccessMode::OnlyPacket),
        access_restriction: Some(0x20),
        charging_characteristics: Some("0800"),
        ambr: Some(Ambr { uplink: 1_000_000, downlink: 2_000_000 }),
        periodic_tau_timer: Some(3600),
        apn_profile: Some(ApnProfile { default_context: 1, all_included: true, apns: List::from(apns) }),
    }
}

#[test]
fn s6a_survives_the_wire() {
    let apns = [ApnConfiguration {
        context_identifier: 1,
        pdn_type: PdnType::Ipv4v6,
        service_selection: "iot.example",
        qci: Some(9),
        priority_level: Some(8),
        ambr: Some(Ambr { uplink: 1, downlink: 2 }),
    }];
    let user_name = "450050000000001";

    let request = UpdateLocationRequest {
        route: route(),
        user_name,
        rat_type: 1004,
        ulr_flags: 0x22,
        visited_plmn_id: &[0x54, 0xf0, 0x50],
        imei: Some("352099001761482"),
        software_version: Some("01"),
    };
    let ulr = message(|out| request.encode(&numbered(UpdateLocationRequest::header()), out));
    passes(&ulr);
    assert_eq!(UpdateLocationRequest::parse(&ulr), Ok(request));
    let answer =
        S6aAnswer { flags: Some(1), subscription_data: Some(subscription(&apns)), ..S6aAnswer::new(Outcome::SUCCESS) };
    let ula = answer_to(&ulr, |to, out| answer.encode(to, &origin(), out));
    assert_eq!(S6aAnswer::parse(&ula), Ok(answer));

    let request = InsertSubscriberDataRequest {
        route: route(),
        user_name,
        subscription_data: subscription(&apns),
        idr_flags: Some(0),
    };
    let idr = message(|out| request.encode(&numbered(InsertSubscriberDataRequest::header()), out));
    passes(&idr);
    assert_eq!(InsertSubscriberDataRequest::parse(&idr), Ok(request));
    let answer = S6aAnswer::new(USER_UNKNOWN);
    let ida = answer_to(&idr, |to, out| answer.encode(to, &origin(), out));
    assert_eq!(S6aAnswer::parse(&ida), Ok(answer));

    let contexts = [1, 2];
    let request = DeleteSubscriberDataRequest {
        route: route(),
        user_name,
        dsr_flags: 8,
        context_identifiers: (&contexts).into(),
    };
    let dsr = message(|out| request.encode(&numbered(DeleteSubscriberDataRequest::header()), out));
    passes(&dsr);
    assert_eq!(DeleteSubscriberDataRequest::parse(&dsr), Ok(request));

    let request = CancelLocationRequest {
        route: route(),
        user_name,
        cancellation_type: CancellationType::SubscriptionWithdrawal,
        clr_flags: Some(2),
    };
    let clr = message(|out| request.encode(&numbered(CancelLocationRequest::header()), out));
    passes(&clr);
    assert_eq!(CancelLocationRequest::parse(&clr), Ok(request));

    let request = PurgeUeRequest { route: route(), user_name, pur_flags: Some(1) };
    let pur = message(|out| request.encode(&numbered(PurgeUeRequest::header()), out));
    passes(&pur);
    assert_eq!(PurgeUeRequest::parse(&pur), Ok(request));

    let request =
        NotifyRequest { route: route(), user_name, nor_flags: Some(2), service_selection: Some("iot.example") };
    let nor = message(|out| request.encode(&numbered(NotifyRequest::header()), out));
    passes(&nor);
    assert_eq!(NotifyRequest::parse(&nor), Ok(request));

    let request = AuthenticationInformationRequest { route: route(), user_name, visited_plmn_id: &[0x54, 0xf0, 0x50] };
    let header = AuthenticationInformationRequest::header();
    let air = message(|out| request.encode(&numbered(header), out));
    passes(&air);
    assert_eq!(AuthenticationInformationRequest::parse(&air), Ok(request));
    let answer = S6aAnswer::new(AUTHENTICATION_DATA_UNAVAILABLE);
    answer_to(&air, |to, out| answer.encode(to, &origin(), out));
}

#[test]
fn an_msisdn_has_one_to_fifteen_digits() {
    for (text, good) in
        [("8", true), ("821012345678901", true), ("", false), ("+82", false), ("8210123456789012", false)]
    {
        assert_eq!(Msisdn::new(text).is_some(), good, "{text}");
    }
}
