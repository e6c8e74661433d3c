//! The base application: the peer's own commands, RAR and ASR.

use linegate_diameter::Outcome;
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::Answered;
use linegate_diameter::apps::base::*;
use linegate_diameter::codec::{Header, Message};
use linegate_diameter::dictionary::{Report, Strictness, application, check};

use super::kind::{Kind, answerer, asked, encoded, numbered, passes, request_again, request_built, same_again};
use super::{Source, kind};

/// CER, DWR, DPR, RAR and ASR with their answers.
pub const KINDS: &[Kind] = &[
    Kind { name: "CER", header: Capabilities::header, again: capabilities_again, build: build_cer },
    Kind { name: "CEA", header: || Capabilities::header().answer(), again: capabilities_again, build: build_cea },
    Kind { name: "DWR", header: DeviceWatchdog::header, again: |_| {}, build: build_dwr },
    Kind {
        name: "DWA",
        header: || DeviceWatchdog::header().answer(),
        again: plain_again,
        build: |source| build_plain(source, DeviceWatchdog::header()),
    },
    Kind { name: "DPR", header: DisconnectPeer::header, again: dpr_again, build: build_dpr },
    Kind {
        name: "DPA",
        header: || DisconnectPeer::header().answer(),
        again: plain_again,
        build: |source| build_plain(source, DisconnectPeer::header()),
    },
    Kind {
        name: "RAR",
        header: rar_header,
        again: |message| request_again!(message, ReAuthRequest, |_: &_| true),
        build: build_rar,
    },
    Kind {
        name: "RAA",
        header: || rar_header().answer(),
        again: plain_again,
        build: |source| build_plain(source, rar_header()),
    },
    Kind {
        name: "ASR",
        header: asr_header,
        again: |message| request_again!(message, AbortSessionRequest, |_: &_| true),
        build: build_asr,
    },
    Kind {
        name: "ASA",
        header: || asr_header().answer(),
        again: plain_again,
        build: |source| build_plain(source, asr_header()),
    },
];

/// The target.
pub fn run(input: &[u8]) {
    kind::run(KINDS, input);
}

fn rar_header() -> Header {
    ReAuthRequest::header(application::CREDIT_CONTROL)
}

fn asr_header() -> Header {
    AbortSessionRequest::header(application::CREDIT_CONTROL)
}

/// CER and CEA alike. A peer that has only addresses of other families than
/// IP is read, but we could not write it: it is not written again.
fn capabilities_again(message: &Message) {
    let Ok(first) = Capabilities::parse(message) else {
        return;
    };
    assert!(first.common_applications(&first).len() <= first.applications.len());
    if first.host_ip_addresses.is_empty() {
        return;
    }
    let written = if message.header.is_request() {
        encoded(|out| first.encode_request(&message.header, out))
    } else {
        let Some((_, to)) = answerer(message) else {
            return;
        };
        let outcome = Answered::parse(message).map_or(Outcome::SUCCESS, |answered| answered.outcome);
        encoded(|out| first.encode_answer(&to, outcome, out))
    };
    same_again(message, &first, true, &written, Capabilities::parse(&written));
}

fn dpr_again(message: &Message) {
    let Ok(first) = DisconnectPeer::parse(message) else {
        return;
    };
    let written = encoded(|out| first.encode(&message.header, &Origin::new("a.example", "example"), out));
    same_again(message, &first.cause, true, &written, DisconnectPeer::parse(&written).map(|dpr| dpr.cause));
}

/// What a [`PlainAnswer`] has of an answer.
fn said<'a>(answered: &Answered<'a>) -> Answered<'a> {
    Answered { error_message: None, ..*answered }
}

fn plain_again(message: &Message) {
    let (Ok(first), Some((origin, to))) = (Answered::parse(message), answerer(message)) else {
        return;
    };
    let plain = PlainAnswer { outcome: first.outcome, origin_state_id: first.origin_state_id };
    let written = encoded(|out| plain.encode(&to, &origin, out));
    let second = Answered::parse(&written).expect("what we encode parses");
    // the first Session-Id is repeated, the last one is read: alike where
    // there is one
    if check(message, Strictness::Strict) == Report::default() {
        assert_eq!(said(&first), second);
        passes(&written);
    }
    assert_eq!(first.outcome, second.outcome);
}

fn capabilities(source: &mut Source<'_>) -> Capabilities {
    let application = |source: &mut Source<'_>| Application {
        id: source.u32(),
        vendor: source.option(Source::u32),
        kind: if source.flag() { ApplicationKind::Auth } else { ApplicationKind::Acct },
    };
    let mut found = Capabilities {
        origin_host: source.identity().into(),
        origin_realm: source.identity().into(),
        host_ip_addresses: source.list(|source| std::net::Ipv4Addr::from(source.u32()).into()),
        vendor_id: source.u32(),
        product_name: source.text().into(),
        origin_state_id: source.option(Source::u32),
        supported_vendors: source.list(Source::u32),
        applications: source.list(application),
        inband_security: source.list(Source::u32),
        firmware_revision: source.option(Source::u32),
    };
    found.host_ip_addresses.push(std::net::Ipv6Addr::from(u128::from(source.u64())).into());
    found
}

fn build_cer(source: &mut Source<'_>) -> Message {
    let sent = capabilities(source);
    let cer = encoded(|out| sent.encode_request(&numbered(Capabilities::header()), out));
    passes(&cer);
    assert_eq!(Capabilities::parse(&cer), Ok(sent));
    cer
}

fn build_cea(source: &mut Source<'_>) -> Message {
    let sent = capabilities(source);
    let to = ReplyTo::to_header(&numbered(Capabilities::header()));
    let outcome = source.result();
    let cea = encoded(|out| sent.encode_answer(&to, outcome, out));
    passes(&cea);
    assert_eq!(Answered::parse(&cea).expect("what we encode parses").outcome, outcome);
    // with the E bit it has the generic grammar, without capabilities
    if !cea.header.is_error() {
        assert_eq!(Capabilities::parse(&cea), Ok(sent));
    }
    cea
}

fn build_dwr(source: &mut Source<'_>) -> Message {
    let origin = Origin::new(source.identity(), source.identity());
    let header = numbered(DeviceWatchdog::header());
    let dwr = encoded(|out| DeviceWatchdog::encode(&header, &origin, source.option(Source::u32), out));
    passes(&dwr);
    dwr
}

fn build_dpr(source: &mut Source<'_>) -> Message {
    let origin = Origin::new(source.identity(), source.identity());
    let cause = source.pick(DisconnectCause::ALL);
    let dpr = encoded(|out| DisconnectPeer { cause }.encode(&numbered(DisconnectPeer::header()), &origin, out));
    passes(&dpr);
    assert_eq!(DisconnectPeer::parse(&dpr), Ok(DisconnectPeer { cause }));
    dpr
}

/// DWA and DPA have no session; the others repeat the request's.
fn build_plain(source: &mut Source<'_>, header: Header) -> Message {
    let (to, origin) = match header.application_id {
        application::BASE => (ReplyTo::to_header(&numbered(header)), Origin::new(source.identity(), source.identity())),
        _ => asked(source, numbered(header)),
    };
    let plain = PlainAnswer { outcome: source.result(), origin_state_id: source.option(Source::u32) };
    let answer = encoded(|out| plain.encode(&to, &origin, out));
    let answered = Answered::parse(&answer).expect("what we encode parses");
    assert_eq!((answered.outcome, answered.origin_state_id), (plain.outcome, plain.origin_state_id));
    assert_eq!((answered.origin_host, answered.origin_realm), (origin.host(), origin.realm()));
    if header.application_id != application::BASE || plain.origin_state_id.is_none() {
        passes(&answer);
    }
    answer
}

fn build_rar(source: &mut Source<'_>) -> Message {
    let request = ReAuthRequest {
        route: source.route(true),
        application_id: source.u32(),
        request_type: source.pick(ReAuthRequestType::ALL),
        origin_state_id: source.option(Source::u32),
        rating_group: source.option(Source::u32),
        service_identifier: source.option(Source::u32),
    };
    request_built!(request, ReAuthRequest, rar_header())
}

fn build_asr(source: &mut Source<'_>) -> Message {
    let request = AbortSessionRequest {
        route: source.route(true),
        application_id: source.u32(),
        origin_state_id: source.option(Source::u32),
    };
    request_built!(request, AbortSessionRequest, asr_header())
}
