//! One kind of message of an application, read again and built.
//!
//! The first octet of an input says which kind, and by its top bit whether
//! the rest is the AVPs of a message or the values to build one from.

use std::fmt::Debug;

use bytes::BytesMut;
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::Answered;
use linegate_diameter::codec::{AvpError, HEADER_LENGTH, Header, Message, Writer};
use linegate_diameter::dictionary::{self as dict, Report, Strictness, check};

use super::Source;

/// The bit of the first octet that asks to build.
pub const BUILD: u8 = 0x80;

/// A request or an answer of an application.
pub struct Kind {
    /// The standard's abbreviation.
    pub name: &'static str,
    /// A header of this kind.
    pub header: fn() -> Header,
    /// Parses a message of this kind; what parses is encoded and parsed anew.
    pub again: fn(&Message),
    /// Builds a message of this kind and parses it.
    pub build: fn(&mut Source<'_>) -> Message,
}

/// Runs an application's target.
pub fn run(kinds: &[Kind], input: &[u8]) {
    let Some((&selector, rest)) = input.split_first() else {
        return;
    };
    let kind = &kinds[usize::from(selector & !BUILD) % kinds.len()];
    if selector & BUILD != 0 {
        (kind.build)(&mut Source::new(rest));
    } else if let Some(message) = framed(&(kind.header)(), rest) {
        (kind.again)(&message);
    }
}

/// A message of this header around the whole words of `avps`; `None` where
/// their chain breaks.
fn framed(header: &Header, avps: &[u8]) -> Option<Message> {
    let mut out = BytesMut::with_capacity(HEADER_LENGTH + avps.len());
    let mut writer = Writer::begin(&mut out, header);
    writer.encoded(&avps[..avps.len() & !3]);
    writer.finish();
    Message::decode(out.freeze()).ok()
}

/// The message that `write` appends.
pub fn encoded(write: impl FnOnce(&mut BytesMut)) -> Message {
    let mut out = BytesMut::new();
    write(&mut out);
    Message::decode(out.freeze()).expect("what we encode decodes")
}

/// A header with ids that are easy to see.
pub fn numbered(header: Header) -> Header {
    Header { hop_by_hop: 0x1234_5678, end_to_end: 0x9abc_def0, ..header }
}

#[track_caller]
pub fn passes(message: &Message) {
    assert_eq!(check(message, Strictness::Strict), Report::default(), "{message:?}");
}

/// What a value that was parsed is after its way over the wire again.
/// `readable` says that no list in it has a value that cannot be read: those
/// are not written.
#[track_caller]
pub fn same_again<T: PartialEq + Debug>(
    original: &Message,
    first: &T,
    readable: bool,
    written: &Message,
    second: Result<T, AvpError>,
) {
    match second {
        Ok(second) if readable => assert_eq!(*first, second),
        Ok(_) => {}
        Err(error) => panic!("{first:?} does not parse again: {error}"),
    }
    if check(original, Strictness::Strict) == Report::default() {
        passes(written);
    }
}

/// Who gave this answer, and what an answer to the same request repeats.
pub fn answerer(answer: &Message) -> Option<(Origin, ReplyTo)> {
    let answered = Answered::parse(answer).ok()?;
    Some((Origin::new(answered.origin_host, answered.origin_realm), ReplyTo::new(answer)))
}

/// Parses, encodes and parses a request; `$readable` is as in [`same_again`].
macro_rules! request_again {
    ($message:expr, $type:ty, $readable:expr) => {{
        let message: &Message = $message;
        if let Ok(first) = <$type>::parse(message) {
            let written = encoded(|out| first.encode(&message.header, out));
            let readable = ($readable)(&first);
            same_again(message, &first, readable, &written, <$type>::parse(&written));
        }
    }};
}
pub(crate) use request_again;

/// Parses, encodes and parses an answer; `$readable` is as in [`same_again`].
macro_rules! answer_again {
    ($message:expr, $type:ty, $readable:expr) => {{
        let message: &Message = $message;
        if let (Ok(first), Some((origin, to))) = (<$type>::parse(message), answerer(message)) {
            let written = encoded(|out| first.encode(&to, &origin, out));
            let readable = ($readable)(&first);
            same_again(message, &first, readable, &written, <$type>::parse(&written));
        }
    }};
}
pub(crate) use answer_again;

/// Encodes, checks and parses a request that was built.
macro_rules! request_built {
    ($request:expr, $type:ident, $header:expr) => {{
        let request = $request;
        let message = encoded(|out| request.encode(&numbered($header), out));
        passes(&message);
        assert_eq!($type::parse(&message), Ok(request));
        message
    }};
}
pub(crate) use request_built;

/// Encodes, checks and parses an answer that was built, to a request with
/// this header.
macro_rules! answer_built {
    ($source:expr, $answer:expr, $type:ident, $header:expr) => {{
        let (to, origin) = asked($source, numbered($header));
        let answer = $answer;
        let message = encoded(|out| answer.encode(&to, &origin, out));
        passes(&message);
        assert_eq!($type::parse(&message), Ok(answer));
        message
    }};
}
pub(crate) use answer_built;

/// A request of this header with Session-Id and Proxy-Info, and who answers.
pub fn asked(source: &mut Source<'_>, header: Header) -> (ReplyTo, Origin) {
    let session_id = source.text();
    let proxies = source.list(|source| (source.identity(), source.octets()));
    let request = encoded(|out| {
        let mut writer = Writer::begin(out, &header);
        writer.text(&dict::SESSION_ID, session_id);
        for (host, state) in &proxies {
            writer.group(&dict::PROXY_INFO, |group| {
                group.text(&dict::PROXY_HOST, host).octets(&dict::PROXY_STATE, state);
            });
        }
        writer.finish();
    });
    (ReplyTo::new(&request), Origin::new(source.identity(), source.identity()))
}
