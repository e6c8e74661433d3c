//! Line provisioning and S6a.

use linegate_diameter::apps::s6a::{
    AUTHENTICATION_DATA_UNAVAILABLE, Ambr, ApnConfiguration, ApnProfile, AuthenticationInformationRequest,
    CancelLocationRequest, CancellationType, DeleteSubscriberDataRequest, InsertSubscriberDataRequest, Msisdn,
    NetworkAccessMode, NotifyRequest, PdnType, PurgeUeRequest, S6aAnswer, SubscriberStatus, SubscriptionData,
    UNKNOWN_EPS_SUBSCRIPTION, USER_UNKNOWN, UpdateLocationRequest,
};
use linegate_diameter::apps::{List, lp};
use linegate_diameter::{Message, Outcome};

use super::{Samples, from_gateway, time, to_gateway};

const IMSI: &str = "450080000000001";

/// Line provisioning.
pub fn provisioning(samples: &mut Samples) {
    let apns = ["iot.example", "b.example"];
    for &access in lp::Access::ALL {
        let characteristics = lp::Characteristics {
            imsi: Some(IMSI),
            msisdn: Some("821012345678"),
            device_id: Some("modem-1"),
            apns: (&apns).into(),
            plan: Some("iot-10mb"),
            service_address: Some("서울 1"),
            ..lp::Characteristics::new(access)
        };
        for &action in lp::Action::ALL {
            let request = lp::ProvisionRequest {
                route: from_gateway(),
                order_id: "order-1/1/provision",
                line_id: "line-1",
                action,
                characteristics: Some(characteristics),
                event_timestamp: time(),
            };
            let header = lp::ProvisionRequest::header();
            let provision = samples.request("Provision", header, |header, out| request.encode(header, out));
            line_answers(samples, &provision, None);
        }
        let request = lp::QueryRequest { route: from_gateway(), line_id: "line-1" };
        let header = lp::QueryRequest::header();
        let query = samples.request("Query", header, |header, out| request.encode(header, out));
        line_answers(samples, &query, Some(characteristics));
    }
}

fn line_answers(samples: &mut Samples, request: &Message, characteristics: Option<lp::Characteristics<'_>>) {
    let order_id = characteristics.is_none().then_some("order-1/1/provision");
    for &state in lp::LineState::ALL {
        let answer = lp::LineAnswer {
            order_id,
            line_id: Some("line-1"),
            line_state: Some(state),
            line_version: Some(u64::MAX),
            last_order_id: Some("order-0/1/provision"),
            characteristics,
            ..lp::LineAnswer::new(Outcome::SUCCESS)
        };
        samples.answer("line answer", request, |to, origin, out| answer.encode(to, origin, out));
    }
    let refusals =
        [lp::LINE_UNKNOWN, lp::ILLEGAL_TRANSITION, lp::ORDER_CONFLICT, lp::CHARACTERISTICS_REFUSED, lp::BUSY];
    for outcome in refusals {
        let answer = lp::LineAnswer { order_id, ..lp::LineAnswer::new(outcome) };
        samples.answer("line refusal", request, |to, origin, out| answer.encode(to, origin, out));
    }
}

fn with_subscription(use_it: &mut dyn FnMut(SubscriptionData<'_>)) {
    let configurations: Vec<ApnConfiguration<'_>> = [PdnType::Ipv4, PdnType::Ipv6, PdnType::Ipv4v6]
        .into_iter()
        .zip(1..)
        .map(|(pdn_type, context_identifier)| ApnConfiguration {
            context_identifier,
            pdn_type,
            service_selection: "iot.example",
            qci: Some(9),
            priority_level: Some(15),
            ambr: Some(Ambr { uplink: 50_000_000, downlink: 100_000_000 }),
        })
        .collect();
    for status in [SubscriberStatus::ServiceGranted, SubscriberStatus::OperatorDeterminedBarring] {
        let barred = status == SubscriberStatus::OperatorDeterminedBarring;
        use_it(SubscriptionData {
            subscriber_status: Some(status),
            operator_determined_barring: barred.then_some(1),
            msisdn: Msisdn::new("82101234567"),
            network_access_mode: Some(NetworkAccessMode::OnlyPacket),
            access_restriction: Some(0x20),
            charging_characteristics: Some("0800"),
            ambr: Some(Ambr { uplink: 1_000_000, downlink: 2_000_000 }),
            periodic_tau_timer: Some(3600),
            apn_profile: Some(ApnProfile { default_context: 1, all_included: true, apns: List::from(&configurations) }),
        });
    }
}

/// S6a, both ways.
pub fn s6a(samples: &mut Samples) {
    update_location(samples);
    asked_by_the_mme(samples);
    asked_by_us(samples);
}

fn s6a_answers(samples: &mut Samples, what: &str, request: &Message) {
    for outcome in [Outcome::SUCCESS, USER_UNKNOWN, UNKNOWN_EPS_SUBSCRIPTION] {
        let answer = S6aAnswer { flags: Some(1), ..S6aAnswer::new(outcome) };
        samples.answer(what, request, |to, origin, out| answer.encode(to, origin, out));
    }
}

fn update_location(samples: &mut Samples) {
    let request = UpdateLocationRequest {
        route: to_gateway(),
        user_name: IMSI,
        rat_type: 1004,
        ulr_flags: 0x22,
        visited_plmn_id: &[0x54, 0xf0, 0x80],
        imei: Some("35209900176148"),
        software_version: Some("23"),
    };
    let ulr = samples.request("ULR", UpdateLocationRequest::header(), |header, out| request.encode(header, out));
    with_subscription(&mut |data| {
        let answer = S6aAnswer { flags: Some(2), subscription_data: Some(data), ..S6aAnswer::new(Outcome::SUCCESS) };
        samples.answer("ULA", &ulr, |to, origin, out| answer.encode(to, origin, out));
    });
    s6a_answers(samples, "ULA", &ulr);
}

fn asked_by_the_mme(samples: &mut Samples) {
    let request = PurgeUeRequest { route: to_gateway(), user_name: IMSI, pur_flags: Some(1) };
    let pur = samples.request("PUR", PurgeUeRequest::header(), |header, out| request.encode(header, out));
    s6a_answers(samples, "PUA", &pur);
    let request = NotifyRequest {
        route: to_gateway(),
        user_name: IMSI,
        nor_flags: Some(2),
        service_selection: Some("iot.example"),
    };
    let nor = samples.request("NOR", NotifyRequest::header(), |header, out| request.encode(header, out));
    s6a_answers(samples, "NOA", &nor);
    let request =
        AuthenticationInformationRequest { route: to_gateway(), user_name: IMSI, visited_plmn_id: &[0x54, 0xf0, 0x80] };
    let header = AuthenticationInformationRequest::header();
    let air = samples.request("AIR", header, |header, out| request.encode(header, out));
    let answer = S6aAnswer::new(AUTHENTICATION_DATA_UNAVAILABLE);
    samples.answer("AIA", &air, |to, origin, out| answer.encode(to, origin, out));
}

fn asked_by_us(samples: &mut Samples) {
    let mut idrs = Vec::new();
    with_subscription(&mut |subscription_data| {
        let request = InsertSubscriberDataRequest {
            route: from_gateway(),
            user_name: IMSI,
            subscription_data,
            idr_flags: Some(1),
        };
        let header = InsertSubscriberDataRequest::header();
        idrs.push(samples.request("IDR", header, |header, out| request.encode(header, out)));
    });
    s6a_answers(samples, "IDA", &idrs[0]);
    for &cancellation_type in CancellationType::ALL {
        let request =
            CancelLocationRequest { route: from_gateway(), user_name: IMSI, cancellation_type, clr_flags: Some(3) };
        let header = CancelLocationRequest::header();
        let clr = samples.request("CLR", header, |header, out| request.encode(header, out));
        s6a_answers(samples, "CLA", &clr);
    }
    let contexts = [1, 2];
    for dsr_flags in [0b10, 0b1000] {
        let request = DeleteSubscriberDataRequest {
            route: from_gateway(),
            user_name: IMSI,
            dsr_flags,
            context_identifiers: (&contexts).into(),
        };
        let header = DeleteSubscriberDataRequest::header();
        let dsr = samples.request("DSR", header, |header, out| request.encode(header, out));
        s6a_answers(samples, "DSA", &dsr);
    }
}
