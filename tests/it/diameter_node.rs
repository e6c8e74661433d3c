//! The Diameter node over real sockets: limits, second connections, repeats, TLS,
//! routes, failover.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use linegate_diameter::answer::ReplyTo;
use linegate_diameter::apps::base::PlainAnswer;
use linegate_diameter::apps::gy::{CcRequest, CcRequestType};
use linegate_diameter::apps::{Answered, Route};
use linegate_diameter::codec::CommandFlags;
use linegate_diameter::dictionary::{self as dict, application, command, key};
use linegate_diameter::{Header, Message, Outcome, ResultCode, Writer};

use crate::raw_peer::{RawPeer, capabilities};
use crate::support::{Gateway, Ports, now, wait_for};

fn outcome(answer: &Message) -> Outcome {
    Answered::parse(answer).unwrap().outcome
}

/// A CCR-I of an unknown subscriber from `host`.
fn ccr(host: &str, session: &str, destination: (Option<&str>, &str), header: Header) -> BytesMut {
    let route = Route {
        session_id: session,
        origin_host: host,
        origin_realm: "example.net",
        destination_host: destination.0,
        destination_realm: destination.1,
    };
    let mut out = BytesMut::new();
    let mut request = CcRequest::new(route, "32251@3gpp.org", CcRequestType::Initial, 0);
    request.subscriber.imsi = Some("999990000000001");
    request.encode(&Header { ..header }, &mut out);
    out
}

fn ids(number: u32) -> Header {
    Header { hop_by_hop: number, end_to_end: number, ..CcRequest::header() }
}

const HOME: (Option<&str>, &str) = (None, "linegate.example");

fn open(gateway: &Gateway, host: &str) -> RawPeer {
    let mut peer = RawPeer::dial(gateway.diameter);
    let answer = peer.introduce(&capabilities(host)).expect("a CEA");
    assert_eq!(outcome(&answer), Outcome::SUCCESS);
    peer
}

/// Reads on until something else than a watchdog comes; answers watchdogs.
fn next(peer: &mut RawPeer, host: &str) -> Option<Message> {
    loop {
        let message = peer.read()?;
        if message.header.command_code != command::DEVICE_WATCHDOG {
            return Some(message);
        }
        if message.header.is_request() {
            answer(peer, host, &message);
        }
    }
}

fn answer(peer: &mut RawPeer, host: &str, request: &Message) {
    let origin = linegate_diameter::answer::Origin::new(host, "example.net");
    let mut out = BytesMut::new();
    let plain = PlainAnswer { outcome: Outcome::SUCCESS, origin_state_id: None };
    plain.encode(&ReplyTo::new(request), &origin, &mut out);
    peer.stream.write_all(&out).unwrap();
}

#[test]
fn a_second_connection_is_refused_while_the_first_lives_and_takes_its_place_when_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__ADMISSION_TIMEOUT_MS", "1000")]);
    let mut first = open(&gateway, "pgw.example.net");
    let mut second = RawPeer::dial(gateway.diameter);
    let mut cer = BytesMut::new();
    let me = capabilities("pgw.example.net");
    me.encode_request(
        &Header { hop_by_hop: 1, end_to_end: 1, ..linegate_diameter::apps::base::Capabilities::header() },
        &mut cer,
    );
    second.stream.write_all(&cer).unwrap();
    let probe = first.read().unwrap();
    assert_eq!(probe.header.command_code, command::DEVICE_WATCHDOG);
    answer(&mut first, "pgw.example.net", &probe);
    assert_eq!(outcome(&second.read().unwrap()), ResultCode::ELECTION_LOST.into());
    assert!(second.read().is_none(), "and hung up");
    let unknown = first.ask(&ccr("pgw.example.net", "s;1", HOME, ids(5)));
    assert_eq!(outcome(&unknown), ResultCode::USER_UNKNOWN.into(), "the first goes on");

    // the first does not answer any more
    let mut third = RawPeer::dial(gateway.diameter);
    let admitted = third.introduce(&me).expect("a CEA");
    assert_eq!(outcome(&admitted), Outcome::SUCCESS);
    let dwr = first.read();
    assert!(dwr.is_some_and(|dwr| dwr.header.command_code == command::DEVICE_WATCHDOG));
    assert!(first.read().is_none(), "its place is taken");
    assert_eq!(gateway.metric("linegate_diameter_peers_up"), 1);

    // another life of it needs no probe
    let life = |state| linegate_diameter::apps::base::Capabilities {
        origin_state_id: Some(state),
        ..capabilities("mme.example.net")
    };
    let mut old = RawPeer::dial(gateway.diameter);
    assert_eq!(outcome(&old.introduce(&life(7)).unwrap()), Outcome::SUCCESS);
    let mut reborn = RawPeer::dial(gateway.diameter);
    assert_eq!(outcome(&reborn.introduce(&life(8)).unwrap()), Outcome::SUCCESS);
    assert_eq!(gateway.metric("linegate_diameter_restarts_total"), 1);
    assert!(old.read().is_none(), "the old life is closed");
}

#[test]
fn a_repeat_on_another_connection_gets_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let mut first = open(&gateway, "pgw.example.net");
    let original = first.ask(&ccr("pgw.example.net", "s;1", HOME, ids(5)));
    drop(first);
    let gone = || gateway.metric("linegate_diameter_peers_up") == 0;
    wait_for("the first connection's end", Duration::from_secs(5), gone, || gateway.tail());
    let mut second = open(&gateway, "pgw.example.net");
    let header = Header { hop_by_hop: 99, ..ids(5) };
    let flags = header.flags.with(CommandFlags::RETRANSMITTED);
    let repeat = ccr("pgw.example.net", "s;1", HOME, Header { flags, ..header });
    let mut again = None;
    while again.is_none() {
        second.stream.write_all(&repeat).unwrap();
        again = next(&mut second, "pgw.example.net");
    }
    let again = again.unwrap();
    assert_eq!(again.header.hop_by_hop, 99);
    assert_eq!(again.body(), original.body());
    assert_eq!(gateway.metric("linegate_diameter_replayed_total"), 1);
    // through an agent, with its Route-Record
    let mut agent = open(&gateway, "dra.example.net");
    let mut routed = BytesMut::new();
    let body = Message::decode(repeat.freeze()).unwrap();
    let mut writer = Writer::begin(&mut routed, &Header { hop_by_hop: 7, ..body.header });
    writer.encoded(body.body()).text(&dict::ROUTE_RECORD, "pgw.example.net");
    writer.finish();
    assert_eq!(agent.ask(&routed).body(), original.body());
    assert_eq!(gateway.metric("linegate_diameter_replayed_total"), 2);
}

#[test]
fn connections_past_a_limit_are_refused_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let gateway =
        Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__CONNECTIONS_PER_ADDRESS_MAX", "2")]);
    let _first = open(&gateway, "a.example.net");
    let second = open(&gateway, "b.example.net");
    assert!(RawPeer::dial(gateway.diameter).introduce(&capabilities("c.example.net")).is_none());
    let refused = "linegate_diameter_refused_total{reason=\"connections_per_address_max\"}";
    assert_eq!(gateway.metric(refused), 1);
    drop(second);
    let free = || gateway.metric("linegate_diameter_peers_up") == 1;
    wait_for("a free place", Duration::from_secs(5), free, || gateway.tail());
    open(&gateway, "c.example.net");
}

#[test]
fn an_application_that_was_not_agreed_on_is_3007() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let mut peer = open(&gateway, "pgw.example.net");
    let mut out = BytesMut::new();
    let header =
        Header { hop_by_hop: 3, end_to_end: 3, ..Header::request(command::ACCOUNTING, application::ACCOUNTING, true) };
    Writer::begin(&mut out, &header).finish();
    assert_eq!(outcome(&peer.ask(&out)), ResultCode::APPLICATION_UNSUPPORTED.into());
}

/// Settings with a route to a realm behind two agents.
fn routed(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("routed.toml");
    let text = "[diameter]\naccept_any_realm = false\nrequest_timeout_ms = 3000\n\
                [[diameter.routes]]\nrealm = \"far.example\"\npeers = [\"dra-1.example.net\", \"dra-2.example.net\"]\n";
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn requests_for_other_realms_follow_their_route() {
    let folder = tempfile::tempdir().unwrap();
    let settings = routed(folder.path());
    let gateway = Gateway::start_with(folder.path(), Ports::free(), &[], Some(&settings));
    let mut pgw = open(&gateway, "pgw.example.net");
    let mut ask = |destination, number| pgw.ask(&ccr("pgw.example.net", "s;1", destination, ids(number)));
    assert_eq!(outcome(&ask((None, "nowhere.example"), 5)), ResultCode::REALM_NOT_SERVED.into());
    assert_eq!(outcome(&ask((Some("x.nowhere.example"), "nowhere.example"), 6)), ResultCode::UNABLE_TO_DELIVER.into());
    assert_eq!(outcome(&ask((None, "far.example"), 7)), ResultCode::UNABLE_TO_DELIVER.into(), "nobody is open");

    let mut first = open(&gateway, "dra-1.example.net");
    let mut second = open(&gateway, "dra-2.example.net");
    pgw.stream.write_all(&ccr("pgw.example.net", "s;1", (None, "far.example"), ids(8))).unwrap();
    let passed = next(&mut first, "dra-1.example.net").unwrap();
    assert_eq!(passed.header.end_to_end, 8);
    assert_eq!(passed.find(key::ROUTE_RECORD).unwrap().text().unwrap(), "pgw.example.net");
    assert!(!passed.header.is_retransmitted());
    // the first agent is lost before it answers: the second gets it, with T
    drop(first);
    let moved = next(&mut second, "dra-2.example.net").unwrap();
    assert_eq!(moved.header.end_to_end, 8);
    assert!(moved.header.is_retransmitted());
    answer(&mut second, "dra-2.example.net", &moved);
    let answered = pgw.read().unwrap();
    assert_eq!((answered.header.hop_by_hop, answered.header.end_to_end), (8, 8));
    assert_eq!(outcome(&answered), Outcome::SUCCESS);
    assert_eq!(gateway.metric("linegate_diameter_failovers_total"), 1);

    // what was here before comes back to nobody
    let mut looped = BytesMut::new();
    let request = Message::decode(ccr("pgw.example.net", "s;1", HOME, ids(9)).freeze()).unwrap();
    let mut writer = Writer::begin(&mut looped, &request.header);
    writer.encoded(request.body()).text(&dict::ROUTE_RECORD, "gateway.linegate.example");
    writer.finish();
    assert_eq!(outcome(&pgw.ask(&looped)), ResultCode::LOOP_DETECTED.into());
}

#[test]
fn a_peer_that_never_reads_slows_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__OUTPUT_BYTES_MAX", "65536")]);
    let mut deaf = open(&gateway, "deaf.example.net");
    deaf.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut request = BytesMut::new();
    for number in 0..1_000 {
        request.extend_from_slice(&ccr("deaf.example.net", "s;1", HOME, ids(number)));
    }
    // its answers fill the socket, then the gateway stops reading it
    let started = now();
    while deaf.stream.write_all(&request).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(60), "the gateway reads on without an end");
    }
    let mut other = open(&gateway, "other.example.net");
    let started = now();
    for number in 0..100 {
        let answer = other.ask(&ccr("other.example.net", "s;1", HOME, ids(number)));
        assert_eq!(outcome(&answer), ResultCode::USER_UNKNOWN.into());
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// An authority and certificates that it signed, each for one host.
pub fn certificates(folder: &Path, hosts: &[&str]) {
    let openssl = |args: &[&str]| {
        let done = std::process::Command::new("openssl").args(args).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(
        &[&["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"], &key[..]]
            .concat(),
    );
    for host in hosts {
        fs::write(folder.join("names"), format!("subjectAltName=DNS:{host}\n")).unwrap();
        let (secret, request, signed) = (format!("{host}.key"), format!("{host}.csr"), format!("{host}.pem"));
        openssl(&[&["req", "-new", "-subj", "/CN=peer", "-keyout", &secret, "-out", &request], &key[..]].concat());
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            &signed,
        ]);
    }
}

fn client(
    folder: &Path,
    host: &str,
    to: std::net::SocketAddr,
) -> rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join(format!("{host}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{host}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let name = ServerName::try_from("gateway.linegate.example").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = std::net::TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    rustls::StreamOwned::new(connection, stream)
}

fn introduce(stream: &mut (impl Write + std::io::Read), host: &str) -> Option<Message> {
    let mut out = BytesMut::new();
    capabilities(host).encode_request(
        &Header { hop_by_hop: 1, end_to_end: 1, ..linegate_diameter::apps::base::Capabilities::header() },
        &mut out,
    );
    stream.write_all(&out).ok()?;
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).ok().filter(|read| *read > 0)?;
    Message::decode(bytes::Bytes::copy_from_slice(&answer[..read])).ok()
}

#[test]
fn tls_peers_are_who_their_certificate_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    certificates(folder.path(), &["gateway.linegate.example", "pgw.example.net"]);
    let listen = crate::support::free_port();
    let gateway = Gateway::start(
        folder.path(),
        Ports::free(),
        &[
            ("LINEGATE__DIAMETER__TLS__LISTEN", &listen.to_string()),
            ("LINEGATE__DIAMETER__TLS__CERTIFICATE", &at("gateway.linegate.example.pem")),
            ("LINEGATE__DIAMETER__TLS__KEY", &at("gateway.linegate.example.key")),
            ("LINEGATE__DIAMETER__TLS__AUTHORITIES", &at("ca.pem")),
        ],
    );
    let mut named = client(folder.path(), "pgw.example.net", listen);
    assert_eq!(outcome(&introduce(&mut named, "pgw.example.net").unwrap()), Outcome::SUCCESS);
    // a long exchange in many TLS records
    let request = ccr("pgw.example.net", "s;1", HOME, ids(5));
    for _ in 0..200 {
        named.write_all(&request).unwrap();
    }
    let mut input = BytesMut::new();
    let mut answered = 0;
    while answered < 200 {
        let mut buffer = [0; 4096];
        let read = std::io::Read::read(&mut named, &mut buffer).unwrap();
        input.extend_from_slice(&buffer[..read]);
        while let Some(length) = linegate_diameter::codec::frame_length(&input, 65_536).unwrap() {
            drop(input.split_to(length));
            answered += 1;
        }
    }
    // it stops reading, and is gone with answers still encrypted and unsent
    named.sock.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while named.write_all(&request).is_ok() {}
    drop(named);
    let gone = || gateway.metric("linegate_diameter_peers_up") == 0;
    wait_for("the end of a broken TLS connection", Duration::from_secs(10), gone, || gateway.tail());

    let mut other = client(folder.path(), "pgw.example.net", listen);
    assert_eq!(outcome(&introduce(&mut other, "mme.example.net").unwrap()), ResultCode::UNKNOWN_PEER.into());

    // without a certificate, or without TLS
    let mut plain = RawPeer::dial(listen);
    assert!(plain.introduce(&capabilities("pgw.example.net")).is_none_or(|cea| outcome(&cea) != Outcome::SUCCESS));
    let refused = || gateway.metric("linegate_diameter_refused_total{reason=\"tls_handshake\"}") == 1;
    wait_for("a refused handshake", Duration::from_secs(5), refused, || gateway.tail());
    assert_eq!(gateway.metric("linegate_diameter_refused_total{reason=\"certificate\"}"), 1);
}
