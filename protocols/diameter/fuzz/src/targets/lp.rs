//! Line provisioning.

use linegate_diameter::apps::lp::*;
use linegate_diameter::codec::{Header, Message};

use super::kind::{
    Kind, answer_again, answer_built, answerer, asked, encoded, numbered, passes, request_again, request_built,
    same_again,
};
use super::{Source, kind};

/// Provision and Query, requests and answers.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "PRR",
        header: ProvisionRequest::header,
        again: |message| {
            request_again!(message, ProvisionRequest, |request: &ProvisionRequest<'_>| readable(
                request.characteristics
            ))
        },
        build: build_provision,
    },
    Kind { name: "PRA", header: provision_answer, again: answer_again, build: build_provision_answer },
    Kind {
        name: "QUR",
        header: QueryRequest::header,
        again: |message| request_again!(message, QueryRequest, |_: &QueryRequest<'_>| true),
        build: build_query,
    },
    Kind { name: "QUA", header: query_answer, again: answer_again, build: build_query_answer },
];

/// The target.
pub fn run(input: &[u8]) {
    kind::run(KINDS, input);
}

fn provision_answer() -> Header {
    ProvisionRequest::header().answer()
}

fn query_answer() -> Header {
    QueryRequest::header().answer()
}

fn answer_again(message: &Message) {
    answer_again!(message, LineAnswer, |answer: &LineAnswer<'_>| readable(answer.characteristics));
}

fn readable(characteristics: Option<Characteristics<'_>>) -> bool {
    characteristics.is_none_or(|characteristics| characteristics.apns.iter().all(|apn| apn.is_ok()))
}

fn characteristics<'a, 's: 'a>(source: &mut Source<'s>, apns: &'a [&'a str]) -> Characteristics<'a> {
    Characteristics {
        imsi: source.option(Source::text),
        msisdn: source.option(Source::text),
        device_id: source.option(Source::text),
        apns: apns.into(),
        plan: source.option(Source::text),
        service_address: source.option(Source::text),
        ..Characteristics::new(source.pick(Access::ALL))
    }
}

fn build_provision(source: &mut Source<'_>) -> Message {
    let apns = source.list(Source::text);
    let action = source.pick(Action::ALL);
    let needed = matches!(action, Action::Activate | Action::Modify);
    let request = ProvisionRequest {
        route: source.route(false),
        order_id: source.text(),
        line_id: source.text(),
        action,
        characteristics: (needed || source.flag()).then(|| characteristics(source, &apns)),
        event_timestamp: source.option(Source::time),
    };
    request_built!(request, ProvisionRequest, ProvisionRequest::header())
}

fn build_query(source: &mut Source<'_>) -> Message {
    let request = QueryRequest { route: source.route(false), line_id: source.text() };
    request_built!(request, QueryRequest, QueryRequest::header())
}

/// What both answers have; a success always says state and version.
fn line_answer<'a>(source: &mut Source<'a>) -> LineAnswer<'a> {
    let outcome = source.outcome();
    let told = outcome.is_success() || source.flag();
    LineAnswer {
        line_id: source.option(Source::text),
        line_state: told.then(|| source.pick(LineState::ALL)),
        line_version: told.then(|| source.u64()),
        last_order_id: source.option(Source::text),
        ..LineAnswer::new(outcome)
    }
}

fn build_provision_answer(source: &mut Source<'_>) -> Message {
    let answer = LineAnswer { order_id: source.option(Source::text), ..line_answer(source) };
    answer_built!(source, answer, LineAnswer, ProvisionRequest::header())
}

fn build_query_answer(source: &mut Source<'_>) -> Message {
    let apns = source.list(Source::text);
    let found = source.flag().then(|| characteristics(source, &apns));
    let answer = LineAnswer { characteristics: found, ..line_answer(source) };
    answer_built!(source, answer, LineAnswer, QueryRequest::header())
}
