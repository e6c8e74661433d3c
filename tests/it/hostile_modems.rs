//! Clients that mean ill, or are broken: each is refused in time, costs the gateway
//! next to nothing, and a modem beside them is served as ever.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::{Gateway, Ports, now, pause, wait_for};

/// Connections that say nothing: as many as modems that come back after an outage.
const HALF_OPEN: usize = 10_000;
const SECOND: Duration = Duration::from_secs(1);

/// An MQTT 5 CONNECT of client `m`, clean start, keep alive 60 s.
const CONNECT: &[u8] = &[0x10, 0x0e, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 1, b'm'];

fn open(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, SECOND * 5).unwrap();
    stream.set_read_timeout(Some(SECOND * 10)).unwrap();
    stream.set_write_timeout(Some(SECOND)).unwrap();
    stream
}

fn connected(to: SocketAddr) -> TcpStream {
    let mut stream = open(to);
    stream.write_all(CONNECT).unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut rest = vec![0; usize::from(head[1])];
    stream.read_exact(&mut rest).unwrap();
    assert_eq!((head[0], rest[1]), (0x20, 0), "CONNACK, success");
    stream
}

/// What comes until the gateway closes.
fn last_words(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => said,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => said,
        Err(error) => panic!("the gateway does not close: {error}"),
    }
}

fn resident_kb(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn start(folder: &std::path::Path) -> Gateway {
    Gateway::start(folder, Ports::free(), &[("LINEGATE__MQTT__CONNECT_TIMEOUT_MS", "1500")])
}

#[test]
fn a_connect_that_never_ends_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path());
    let mut slow = open(gateway.mqtt);
    let began = now();
    let mut sent = 0;
    // one byte at a time, never the last one
    for byte in &CONNECT[..CONNECT.len() - 1] {
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        sent += 1;
        pause(150);
    }
    last_words(slow);
    assert!(began.elapsed() < SECOND * 4, "{:?} for {sent} bytes", began.elapsed());
    // and one byte at a time in time is as good as any
    let mut patient = open(gateway.mqtt);
    for byte in CONNECT {
        patient.write_all(&[*byte]).unwrap();
        pause(5);
    }
    let mut head = [0; 1];
    patient.read_exact(&mut head).unwrap();
    assert_eq!(head, [0x20]);
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_header_that_claims_256_megabytes_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path());
    let before = resident_kb(&gateway);
    for _ in 0..100 {
        let mut stranger = open(gateway.mqtt);
        stranger.write_all(&[0x10, 0xff, 0xff, 0xff, 0x7f]).unwrap();
        last_words(stranger);
        let mut modem = connected(gateway.mqtt);
        modem.write_all(&[0x32, 0xff, 0xff, 0xff, 0x7f]).unwrap();
        let said = last_words(modem);
        assert_eq!((said[0], said[2]), (0xe0, 0x95), "DISCONNECT, packet too large: {said:02x?}");
    }
    let grown = resident_kb(&gateway).saturating_sub(before);
    assert!(grown < 16 << 10, "grown by {grown} kB");
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_client_that_never_reads_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path());
    let before = resident_kb(&gateway);
    let mut deaf = connected(gateway.mqtt);
    let pings = [0xc0, 0].repeat(32 << 10);
    let began = now();
    // each PINGREQ is answered into a socket that fills up
    while deaf.write_all(&pings).is_ok() {
        assert!(began.elapsed() < SECOND * 20, "it is served for ever");
    }
    let grown = resident_kb(&gateway).saturating_sub(before);
    assert!(grown < 16 << 10, "grown by {grown} kB");
    connected(gateway.mqtt);
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn ten_thousand_half_open_connections_leave_room_for_a_modem() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path());
    let before = resident_kb(&gateway);
    let mut silent = Vec::with_capacity(HALF_OPEN);
    let began = now();
    while silent.len() < HALF_OPEN {
        match TcpStream::connect(gateway.mqtt) {
            Ok(stream) => silent.push(stream),
            Err(error) => panic!("{} are open: {error}; `ulimit -n` must allow {HALF_OPEN}", silent.len()),
        }
    }
    let opened = began.elapsed();
    let began = now();
    connected(gateway.mqtt);
    let served = began.elapsed();
    let grown = resident_kb(&gateway).saturating_sub(before);
    println!("{HALF_OPEN} half-open in {opened:?}, a modem served in {served:?}, grown by {grown} kB");
    assert!(served < SECOND, "a modem waits {served:?}");
    assert!(grown < 80 << 10, "grown by {grown} kB");
    // refused in time: none is left a little after the time-out
    let closed = || {
        silent.iter().step_by(997).all(|stream| {
            stream.set_nonblocking(true).unwrap();
            matches!((&*stream).read(&mut [0; 8]), Ok(0))
        })
    };
    wait_for("the silent ones to be closed", SECOND * 10, closed, || gateway.tail());
    assert_eq!(gateway.terminate(), Some(0));
}
