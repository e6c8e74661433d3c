//! Passing a request on (RFC 6733 sections 6.1.9 and 6.2): with a Route-Record of
//! whom it came from, the same end-to-end id, and its answer back under the
//! hop-by-hop id that it came with.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use linegate_diameter::answer::{Origin, refuse};
use linegate_diameter::apps::Answered;
use linegate_diameter::codec::Writer;
use linegate_diameter::dictionary as dict;
use linegate_diameter::peer::RequestFailure;
use linegate_diameter::{Message, Outcome, ResultCode};

use super::Node;
use super::connection::{Late, ToConnection, command_name};
use crate::transport::mailbox::Mailbox;

/// Passes `request` on along `hops`; the answer comes to `to`.
pub(super) fn pass_on(
    node: &Arc<Node>,
    request: Message,
    hops: Vec<Box<str>>,
    from: Arc<str>,
    to: Arc<Mailbox<ToConnection>>,
    started: Instant,
) {
    let node = Arc::clone(node);
    let tasks = node.tasks.clone();
    tasks.spawn(async move {
        let timeout = std::time::Duration::from_millis(node.settings.request_timeout_ms);
        let answer = match with_route_record(&request, &from) {
            Some(forwarded) => node.peers.forward(&hops, forwarded, timeout).await,
            None => Err(RequestFailure::NotOpen),
        };
        let mut out = BytesMut::new();
        let result = match answer {
            Ok(mut answer) => {
                answer.header.hop_by_hop = request.header.hop_by_hop;
                answer.write_to(&mut out);
                result_code(&answer)
            }
            Err(RequestFailure::TooMany) => refused(&request, ResultCode::TOO_BUSY, &node.origin, &mut out),
            Err(_) => refused(&request, ResultCode::UNABLE_TO_DELIVER, &node.origin, &mut out),
        };
        let late = Late { command: command_name(&request), result, started, bytes: out.freeze(), identity: None };
        let _gone = to.send(ToConnection::Late(Box::new(late)));
    });
}

fn refused(request: &Message, code: ResultCode, origin: &Origin, out: &mut BytesMut) -> ResultCode {
    refuse(request, code, &[], None, origin, out);
    code
}

fn with_route_record(request: &Message, from: &str) -> Option<Message> {
    let mut out = BytesMut::with_capacity(request.body().len() + 64);
    let mut writer = Writer::begin(&mut out, &request.header);
    writer.encoded(request.body()).text(&dict::ROUTE_RECORD, from);
    writer.finish();
    Message::decode(out.freeze()).ok()
}

fn result_code(answer: &Message) -> ResultCode {
    match Answered::parse(answer).map(|answered| answered.outcome) {
        Ok(Outcome::Result(code)) => code,
        Ok(Outcome::Experimental { code, .. }) => ResultCode(code),
        Err(_) => ResultCode::UNABLE_TO_COMPLY,
    }
}
