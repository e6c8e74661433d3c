//! Election, a restart without DPR, and watchdog failover against freeDiameter
//! (RFC 6733 section 5.6.4, RFC 3539 section 3.4.1).

use std::time::Duration;

use linegate_simulators::lines::LineRange;

use super::relay::{self, Relay};
use super::{FreeDiameter, base_requests, both, open_on_both_sides, peers_up};
use crate::judge::{Judge, import};
use crate::support::{Gateway, Ports, pause, signal, wait_for};

/// Both connect at once; of the election (RFC 6733 section 5.6.4) exactly one
/// connection is left: the one that the gateway dialled, or the peer's.
fn check_election(identity: &'static str, gateways_is_left: bool) {
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let mut peer = FreeDiameter { identity, ..FreeDiameter::new(folder.path(), None) };
    let (to_peer, to_gateway) = relay::pair(peer.listen, ports.diameter);
    peer.dial = Some(to_gateway.address);
    let peers = peer.dialled_at(to_peer.address);
    let settings = [("LINEGATE__DIAMETER__PEERS", peers.as_str()), ("LINEGATE__DIAMETER__WATCHDOG_S", "6")];
    let running = peer.start();
    let gateway = Gateway::start(folder.path(), ports, &settings);
    open_on_both_sides(&peer, &gateway);

    let (left, lost): (&Relay, &Relay) =
        if gateways_is_left { (&to_peer, &to_gateway) } else { (&to_gateway, &to_peer) };
    let one = || left.live() == 1 && lost.live() == 0 && peers_up(&gateway) == 1;
    let detail = || format!("left {}, lost {}\n{}", left.live(), lost.live(), both(&peer, &gateway));
    wait_for("exactly one connection", Duration::from_secs(10), one, detail);
    let before = base_requests(&gateway, "DWR");
    let watched = || base_requests(&gateway, "DWR") > before;
    wait_for("a watchdog exchange over it", Duration::from_secs(15), watched, detail);
    assert!(one(), "{}", detail());

    assert_eq!(running.terminate(), Some(0), "{}", detail());
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn of_two_connections_at_once_the_higher_identity_keeps_the_one_it_took() {
    check_election("fd.example.net", false);
}

#[test]
fn of_two_connections_at_once_the_lower_identity_keeps_the_one_it_dialled() {
    check_election("zfd.example.net", true);
}

/// Opens sessions until one is answered: a connection that is being watched
/// before it is trusted again says nothing.
fn answered_within(judge: &mut Judge, gateway: &Gateway, run: u32, patience: Duration) {
    let imsi = LineRange::default().imsi(0);
    let mut tries = 0;
    let mut waited = 0;
    let answered = || {
        if waited % 100 == 0 {
            judge.order(&format!("ccr 1 0 fd;{run};{tries} {imsi} 0"));
            tries += 1;
        }
        waited += 1;
        judge.next(&format!("answer fd;{run};")).is_some_and(|answer| answer.contains(" result=2001 "))
    };
    wait_for("a Gy exchange", patience, answered, || gateway.tail());
}

#[test]
fn freediameter_killed_and_started_again_charges_on() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__WATCHDOG_S", "6")]);
    import(&gateway, &LineRange { lines: 1, ..LineRange::default() });
    let peer = FreeDiameter { gy: true, ..FreeDiameter::new(folder.path(), Some(gateway.diameter)) };
    let mut judge = peer.start();
    answered_within(&mut judge, &gateway, 1, Duration::from_secs(20));

    judge.kill();
    wait_for("the loss", Duration::from_secs(5), || peers_up(&gateway) == 0, || gateway.tail());
    assert_eq!(base_requests(&gateway, "DPR"), 0);
    let mut judge = peer.start();
    open_on_both_sides(&peer, &gateway);
    // Three answered watchdogs at most, each within Tw and its jitter.
    answered_within(&mut judge, &gateway, 2, Duration::from_secs(30));
    assert_eq!(judge.terminate(), Some(0), "{}", both(&peer, &gateway));
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_freediameter_that_hangs_is_suspected_closed_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__WATCHDOG_S", "6")]);
    import(&gateway, &LineRange { lines: 1, ..LineRange::default() });
    let peer = FreeDiameter { gy: true, ..FreeDiameter::new(folder.path(), Some(gateway.diameter)) };
    let mut judge = peer.start();
    answered_within(&mut judge, &gateway, 1, Duration::from_secs(20));

    signal(judge.pid(), "STOP");
    let suspected = || gateway.tail().contains("silent for two watchdog periods");
    // Two periods and their jitter of 2 s each.
    wait_for("the suspicion", Duration::from_secs(17), suspected, || gateway.tail());
    assert_eq!(peers_up(&gateway), 1, "suspect is not closed yet");
    wait_for("the close", Duration::from_secs(9), || peers_up(&gateway) == 0, || gateway.tail());

    signal(judge.pid(), "CONT");
    wait_for("its return", Duration::from_secs(25), || peers_up(&gateway) == 1, || both(&peer, &gateway));
    answered_within(&mut judge, &gateway, 2, Duration::from_secs(30));
    assert_eq!(judge.terminate(), Some(0), "{}", both(&peer, &gateway));
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_short_hang_is_suspected_and_forgiven() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__WATCHDOG_S", "6")]);
    let peer = FreeDiameter::new(folder.path(), Some(gateway.diameter));
    let running = peer.start();
    open_on_both_sides(&peer, &gateway);
    signal(running.pid(), "STOP");
    let suspected = || gateway.tail().contains("silent for two watchdog periods");
    wait_for("the suspicion", Duration::from_secs(17), suspected, || gateway.tail());
    signal(running.pid(), "CONT");
    // The late DWA makes the peer okay again; the connection is the same.
    pause(8_000);
    assert_eq!(peers_up(&gateway), 1, "{}", both(&peer, &gateway));
    assert_eq!(running.terminate(), Some(0), "{}", both(&peer, &gateway));
    assert!(base_requests(&gateway, "DPR") > 0, "the connection was closed\n{}", both(&peer, &gateway));
    assert_eq!(gateway.terminate(), Some(0));
}
