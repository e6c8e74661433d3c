//! S6a.

use linegate_diameter::apps::List;
use linegate_diameter::apps::s6a::*;
use linegate_diameter::codec::{Header, Message};

use super::kind::{
    Kind, answer_again, answer_built, answerer, asked, encoded, numbered, passes, request_again, request_built,
    same_again,
};
use super::{Source, kind};

macro_rules! kinds {
    ($( $request:literal $answer:literal $type:ident $readable:expr, $build:ident; )*) => {
        /// The seven commands, requests and answers.
        pub const KINDS: &[Kind] = &[ $(
            Kind {
                name: $request,
                header: $type::header,
                again: |message| request_again!(message, $type, $readable),
                build: $build,
            },
            Kind {
                name: $answer,
                header: || $type::header().answer(),
                again: |message| answer_again!(message, S6aAnswer, readable_answer),
                build: |source| build_answer(source, $type::header()),
            },
        )* ];
    };
}

kinds! {
    "ULR" "ULA" UpdateLocationRequest |_: &_| true, build_ulr;
    "AIR" "AIA" AuthenticationInformationRequest |_: &_| true, build_air;
    "PUR" "PUA" PurgeUeRequest |_: &_| true, build_pur;
    "NOR" "NOA" NotifyRequest |_: &_| true, build_nor;
    "IDR" "IDA" InsertSubscriberDataRequest readable_idr, build_idr;
    "DSR" "DSA" DeleteSubscriberDataRequest readable_dsr, build_dsr;
    "CLR" "CLA" CancelLocationRequest |_: &_| true, build_clr;
}

/// The target.
pub fn run(input: &[u8]) {
    kind::run(KINDS, input);
}

fn readable_idr(request: &InsertSubscriberDataRequest<'_>) -> bool {
    readable(&request.subscription_data)
}

fn readable_dsr(request: &DeleteSubscriberDataRequest<'_>) -> bool {
    request.context_identifiers.iter().all(|identifier| identifier.is_ok())
}

fn readable_answer(answer: &S6aAnswer<'_>) -> bool {
    answer.subscription_data.as_ref().is_none_or(readable)
}

fn readable(data: &SubscriptionData<'_>) -> bool {
    data.apn_profile.is_none_or(|profile| profile.apns.iter().all(|apn| apn.is_ok()))
}

fn msisdn(source: &mut Source<'_>) -> Msisdn {
    const DIGITS: &str = "821012345678901";
    let length = 1 + usize::from(source.u8()) % DIGITS.len();
    Msisdn::new(&DIGITS[..length]).expect("1 to 15 digits")
}

fn ambr(source: &mut Source<'_>) -> Ambr {
    Ambr { uplink: source.u32(), downlink: source.u32() }
}

fn apns<'a>(source: &mut Source<'a>) -> Vec<ApnConfiguration<'a>> {
    source.list(|source| {
        // a QoS profile has both or is not there
        let qos = source.option(|source| (source.i32(), source.u32()));
        ApnConfiguration {
            context_identifier: source.u32(),
            pdn_type: source.pick(PdnType::ALL),
            service_selection: source.text(),
            qci: qos.map(|(qci, _)| qci),
            priority_level: qos.map(|(_, level)| level),
            ambr: source.option(ambr),
        }
    })
}

fn subscription<'a, 's: 'a>(source: &mut Source<'s>, apns: &'a [ApnConfiguration<'a>]) -> SubscriptionData<'a> {
    SubscriptionData {
        subscriber_status: source.option(|source| source.pick(SubscriberStatus::ALL)),
        operator_determined_barring: source.option(Source::u32),
        msisdn: source.option(msisdn),
        network_access_mode: source.option(|source| source.pick(NetworkAccessMode::ALL)),
        access_restriction: source.option(Source::u32),
        charging_characteristics: source.option(Source::text),
        ambr: source.option(ambr),
        periodic_tau_timer: source.option(Source::u32),
        // a profile has an APN at least
        apn_profile: (source.flag() && !apns.is_empty()).then(|| ApnProfile {
            default_context: source.u32(),
            all_included: source.flag(),
            apns: List::from(apns),
        }),
    }
}

fn build_ulr(source: &mut Source<'_>) -> Message {
    let request = UpdateLocationRequest {
        route: source.route(false),
        user_name: source.text(),
        rat_type: source.i32(),
        ulr_flags: source.u32(),
        visited_plmn_id: source.octets(),
        imei: source.option(Source::text),
        software_version: source.option(Source::text),
    };
    request_built!(request, UpdateLocationRequest, UpdateLocationRequest::header())
}

fn build_air(source: &mut Source<'_>) -> Message {
    let request = AuthenticationInformationRequest {
        route: source.route(false),
        user_name: source.text(),
        visited_plmn_id: source.octets(),
    };
    request_built!(request, AuthenticationInformationRequest, AuthenticationInformationRequest::header())
}

fn build_pur(source: &mut Source<'_>) -> Message {
    let request =
        PurgeUeRequest { route: source.route(false), user_name: source.text(), pur_flags: source.option(Source::u32) };
    request_built!(request, PurgeUeRequest, PurgeUeRequest::header())
}

fn build_nor(source: &mut Source<'_>) -> Message {
    let request = NotifyRequest {
        route: source.route(false),
        user_name: source.text(),
        nor_flags: source.option(Source::u32),
        service_selection: source.option(Source::text),
    };
    request_built!(request, NotifyRequest, NotifyRequest::header())
}

fn build_idr(source: &mut Source<'_>) -> Message {
    let apns = apns(source);
    let request = InsertSubscriberDataRequest {
        route: source.route(true),
        user_name: source.text(),
        subscription_data: subscription(source, &apns),
        idr_flags: source.option(Source::u32),
    };
    request_built!(request, InsertSubscriberDataRequest, InsertSubscriberDataRequest::header())
}

fn build_dsr(source: &mut Source<'_>) -> Message {
    let identifiers = source.list(Source::u32);
    let request = DeleteSubscriberDataRequest {
        route: source.route(true),
        user_name: source.text(),
        dsr_flags: source.u32(),
        context_identifiers: (&identifiers).into(),
    };
    request_built!(request, DeleteSubscriberDataRequest, DeleteSubscriberDataRequest::header())
}

fn build_clr(source: &mut Source<'_>) -> Message {
    let request = CancelLocationRequest {
        route: source.route(true),
        user_name: source.text(),
        cancellation_type: source.pick(CancellationType::ALL),
        clr_flags: source.option(Source::u32),
    };
    request_built!(request, CancelLocationRequest, CancelLocationRequest::header())
}

/// Only the commands that have flags or data in their answer get them.
fn build_answer(source: &mut Source<'_>, header: Header) -> Message {
    use linegate_diameter::dictionary::command;
    let flags = matches!(
        header.command_code,
        command::UPDATE_LOCATION
            | command::PURGE_UE
            | command::INSERT_SUBSCRIBER_DATA
            | command::DELETE_SUBSCRIBER_DATA
    );
    let apns = apns(source);
    let data = header.command_code == command::UPDATE_LOCATION && source.flag();
    let answer = S6aAnswer {
        flags: if flags { source.option(Source::u32) } else { None },
        subscription_data: data.then(|| subscription(source, &apns)),
        ..S6aAnswer::new(source.outcome())
    };
    answer_built!(source, answer, S6aAnswer, header)
}
