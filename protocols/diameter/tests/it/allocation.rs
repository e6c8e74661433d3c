//! Known messages are read and answered without allocation.

use allocation_counter::measure;
use bytes::BytesMut;
use linegate_diameter::answer::ReplyTo;
use linegate_diameter::apps::gy::{CcAnswer, CcRequest, CcRequestType};
use linegate_diameter::codec::Message;
use linegate_diameter::dictionary::{Dictionary, Strictness};
use linegate_diameter::{Outcome, apps};

use crate::apps::with_full_ccr;
use crate::{numbered, origin};

#[test]
fn a_known_message_is_decoded_checked_and_read_without_allocation() {
    let mut out = BytesMut::new();
    with_full_ccr(|request| request.encode(&numbered(CcRequest::header()), &mut out));
    let frame = out.freeze();
    let counted = measure(|| {
        let message = Message::decode(frame.clone()).unwrap();
        assert_eq!(Dictionary::standard().check(&message, Strictness::Strict).result_code(), None);
        let request = CcRequest::parse(&message).unwrap();
        let used = request.services.iter().map(|service| service.unwrap().used.iter().map(Result::unwrap).count());
        assert_eq!(used.sum::<usize>(), 2);
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn an_answer_is_written_without_allocation_where_there_is_room() {
    let mut out = BytesMut::new();
    with_full_ccr(|request| request.encode(&numbered(CcRequest::header()), &mut out));
    let (to, origin) = (ReplyTo::new(&Message::decode(out.freeze()).unwrap()), origin());
    let mut out = BytesMut::with_capacity(4096);
    let services = [apps::gy::ServiceAnswer::default(); 2];
    let counted = measure(|| {
        let answer =
            CcAnswer { services: (&services).into(), ..CcAnswer::new(Outcome::SUCCESS, CcRequestType::Termination, 4) };
        answer.encode(&to, &origin, &mut out);
    });
    assert_eq!(counted.count_total, 0);
}
