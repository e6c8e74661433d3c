//! Rf: accounting.

use linegate_diameter::apps::rf::{AccountingAnswer, AccountingRequest, RecordType};
use linegate_diameter::codec::{Header, Message};

use super::gy::{are_readable, information, volumes};
use super::kind::{
    Kind, answer_again, answer_built, answerer, asked, encoded, numbered, passes, request_again, request_built,
    same_again,
};
use super::{Source, kind};

/// ACR and ACA.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "ACR",
        header: AccountingRequest::header,
        again: |message| request_again!(message, AccountingRequest, readable),
        build: build_request,
    },
    Kind {
        name: "ACA",
        header: answer_header,
        again: |message| answer_again!(message, AccountingAnswer, |_: &AccountingAnswer| true),
        build: build_answer,
    },
];

/// The target.
pub fn run(input: &[u8]) {
    kind::run(KINDS, input);
}

fn answer_header() -> Header {
    AccountingRequest::header().answer()
}

fn readable(request: &AccountingRequest<'_>) -> bool {
    are_readable(request.service_information)
}

fn build_request(source: &mut Source<'_>) -> Message {
    let volumes = volumes(source);
    let kind = source.pick(RecordType::ALL);
    let request = AccountingRequest {
        user_name: source.option(Source::text),
        interim_interval: source.option(Source::u32),
        origin_state_id: source.option(Source::u32),
        event_timestamp: source.option(Source::time),
        service_context_id: source.option(Source::text),
        service_information: source.flag().then(|| information(source, &volumes)),
        ..AccountingRequest::new(source.route(false), kind, source.u32())
    };
    request_built!(request, AccountingRequest, AccountingRequest::header())
}

fn build_answer(source: &mut Source<'_>) -> Message {
    let answer = AccountingAnswer {
        outcome: source.result(),
        record_type: source.pick(RecordType::ALL),
        record_number: source.u32(),
        interim_interval: source.option(Source::u32),
        origin_state_id: source.option(Source::u32),
    };
    answer_built!(source, answer, AccountingAnswer, AccountingRequest::header())
}
