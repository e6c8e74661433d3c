//! Octets off the wire: cut, decoded, checked, refused.
//!
//! The first octet seeds how the stream is cut into pieces; the rest is the
//! stream.

use bytes::{Bytes, BytesMut};
use linegate_diameter::MESSAGE_LENGTH_MAX;
use linegate_diameter::ResultCode;
use linegate_diameter::answer::{Origin, refuse, refuse_avp, refuse_report, refuse_undecoded};
use linegate_diameter::codec::{
    Avp, AvpError, Avps, DecodeError, FrameError, GROUP_DEPTH_MAX, Message, Problem, Writer, frame_length,
};
use linegate_diameter::dictionary::{Report, SESSION_ID, Strictness, check, key};

use super::kind::encoded;

/// Errors that a report keeps.
const REPORTED_MAX: usize = 16;

/// The target.
pub fn run(input: &[u8]) {
    let Some((&seed, stream)) = input.split_first() else {
        return;
    };
    let whole = cut([stream].into_iter());
    let mut state = u32::from(seed);
    let mut rest = stream;
    let pieces = std::iter::from_fn(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (state >> 20) as usize % 64;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(cut(pieces), whole, "the cut does not hang on the pieces");
    for frame in &whole.0 {
        match frame {
            Ok(message) => decoded(message),
            Err(error) => undecoded(error),
        }
    }
    if let Some(error) = whole.1 {
        undecoded(&DecodeError::Frame(error));
    }
    // one frame, as it came from who knows where
    if let Err(error) = Message::decode(Bytes::copy_from_slice(stream)) {
        undecoded(&error);
    }
}

type Cut = (Vec<Result<Message, DecodeError>>, Option<FrameError>);

/// Messages and the end of a stream that comes in pieces.
fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Cut {
    let mut buf = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match frame_length(&buf, MESSAGE_LENGTH_MAX) {
                Ok(Some(length)) => {
                    let frame = buf.split_to(length).freeze();
                    let message = Message::decode(frame.clone());
                    if let Ok(message) = &message {
                        unchanged(message, &frame);
                    }
                    messages.push(message);
                }
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// Decoding loses nothing, and no AVP reaches out of its frame.
fn unchanged(message: &Message, frame: &Bytes) {
    let mut again = BytesMut::new();
    message.write_to(&mut again);
    assert_eq!(again, frame[..]);
    within(message.avps(), frame, 0);
}

fn within(avps: Avps<'_>, outer: &[u8], depth: u8) {
    assert!(depth <= GROUP_DEPTH_MAX);
    for avp in avps {
        let (start, end) = (outer.as_ptr() as usize, outer.as_ptr() as usize + outer.len());
        let data = avp.data.as_ptr() as usize;
        assert!(data >= start && data + avp.data.len() <= end, "{avp:?} reaches out");
        typed(&avp);
        if let Ok(members) = avp.grouped() {
            within(members, avp.data, depth + 1);
        }
    }
}

/// Every way to read a value; an AVP that is written reads the same.
fn typed(avp: &Avp<'_>) {
    let _ = (avp.u32(), avp.u64(), avp.i32(), avp.i64(), avp.enumerated());
    let _ = (avp.text(), avp.identity(), avp.address(), avp.ip_address(), avp.time());
    if let Ok(time) = avp.time() {
        assert_eq!(linegate_diameter::Time::from_unix_seconds(time.unix_seconds()), Some(time));
    }
    let mut out = BytesMut::new();
    avp.write_to(&mut out);
    assert_eq!(out.len(), avp.length().next_multiple_of(4));
}

fn decoded(message: &Message) {
    let strict = check(message, Strictness::Strict);
    let lenient = check(message, Strictness::Lenient);
    compared(&strict, &lenient);
    if !message.header.is_request() {
        return;
    }
    for report in [&strict, &lenient] {
        refused(message, |out| {
            if !refuse_report(message, report, &origin(), out) {
                refuse(message, ResultCode::UNABLE_TO_COMPLY, &[], Some("not today"), &origin(), out);
            }
        });
    }
    for code in [ResultCode::TOO_BUSY, ResultCode::UNKNOWN_SESSION_ID] {
        refused(message, |out| refuse(message, code, &[], None, &origin(), out));
    }
    if let Some(error) = strict.errors.last() {
        refused(message, |out| refuse_avp(message, error, &origin(), out));
    }
}

/// A lenient check finds what a strict one finds, less what it tolerates.
fn compared(strict: &Report, lenient: &Report) {
    assert!(strict.tolerated.is_empty());
    assert!(strict.errors.len() <= REPORTED_MAX);
    assert!(lenient.errors.len() <= REPORTED_MAX && lenient.tolerated.len() <= REPORTED_MAX);
    assert!(lenient.header.is_none() || lenient.header == strict.header);
    if strict.errors.len() < REPORTED_MAX {
        let found = |error: &AvpError| strict.errors.contains(error);
        assert!(lenient.errors.iter().all(found) && lenient.tolerated.iter().all(found));
        assert_eq!(strict.errors.len(), lenient.errors.len() + lenient.tolerated.len());
    }
    for error in strict.errors.iter().chain(&lenient.errors).chain(&lenient.tolerated) {
        assert!(error.failed_avp().len() >= 8 && error.failed_avp().len().is_multiple_of(4));
    }
}

fn undecoded(error: &DecodeError) {
    let mut out = BytesMut::new();
    let answered = refuse_undecoded(error, &origin(), &mut out);
    assert_eq!(answered, !out.is_empty());
    assert!(answered || !error.header().is_some_and(|header| header.is_request()));
    if let DecodeError::Avp { message, .. } = error {
        let _ = check(message, Strictness::Lenient);
        if message.header.is_request() {
            refused(message, |out| {
                refuse_undecoded(error, &origin(), out);
            });
        }
    }
}

/// A refusal is an answer that decodes and is right by its grammar, but for
/// what it has to repeat as it came (RFC 6733 section 6.2): Session-Id and
/// Proxy-Info.
fn refused(request: &Message, write: impl FnOnce(&mut BytesMut)) {
    let answer = encoded(write);
    let (asked, header) = (&request.header, &answer.header);
    assert_eq!(
        (asked.command_code, asked.application_id, asked.hop_by_hop, asked.end_to_end),
        (header.command_code, header.application_id, header.hop_by_hop, header.end_to_end)
    );
    assert!(!header.is_request() && answer.find(key::RESULT_CODE).is_some());
    let report = check(&answer, Strictness::Strict);
    // what nobody here knows is refused with 3001 or 3007, in the generic grammar
    assert!(report.header.is_none() || header.is_error(), "{report:?}");
    let repeats = |avp: Avp<'_>| matches!(avp.key(), key::SESSION_ID | key::PROXY_INFO);
    if !request.avps().any(repeats) {
        assert!(report.errors.is_empty(), "{report:?} in {answer:?} to {request:?}");
    }
    // nor is anything wrong beside them
    let mut others = BytesMut::new();
    let mut writer = Writer::begin(&mut others, header);
    for avp in answer.avps().filter(|avp| !repeats(*avp)) {
        writer.avp(&avp);
    }
    writer.finish();
    let others = Message::decode(others.freeze()).expect("it is made of whole AVPs");
    let report = check(&others, Strictness::Strict);
    let missing = |error: &AvpError| error.problem == Problem::Missing && error.code == SESSION_ID.code;
    assert!(report.errors.iter().all(missing), "{report:?} in {answer:?} to {request:?}");
}

fn origin() -> Origin {
    Origin::new("gateway.linegate.example", "linegate.example")
}
