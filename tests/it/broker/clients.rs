//! Our clients against mosquitto, and an intake whose answers a test holds.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linegate::telemetry::metrics;

use super::parts::{Desk, Manner, Mosquitto, Node, Subscriber, settings};
use crate::support::{pause, wait_for};

const PATIENCE: Duration = Duration::from_secs(8);
const USAGE: &str = "lg/v1/meter-1/usage";

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Waits until exactly these came in, in this order.
fn wait_taken(desk: &Desk, expected: &[String]) {
    let detail = || format!("{:?}", desk.payloads());
    wait_for("the messages", PATIENCE, || desk.payloads().len() >= expected.len(), detail);
    assert_eq!(desk.payloads(), expected);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let check = |key: &str, value: &str, expected: &str| {
        let refused = settings("mqtt://127.0.0.1", &[(key, value)]).check().unwrap_err();
        assert!(format!("{refused:#}").contains(expected), "{refused:#}");
    };
    check("URL", "http://127.0.0.1", "broker.url");
    check("URL", "mqtt://me:secret@127.0.0.1", "broker.user");
    check("URL", "mqtt://127.0.0.1/path", "broker.url");
    check("URL", "mqtts://127.0.0.1", "broker.tls.authorities");
    check("REPLICA", "a/b", "broker.replica");
    check("GROUP", "+", "broker.group");
    check("KEEP_ALIVE_S", "4", "broker.keep_alive_s");
    check("RECEIVE_MAX", "0", "broker.receive_max");
    check("RECONNECT_MAX_MS", "1", "broker.reconnect_max_ms");
    check("UNACKNOWLEDGED_BYTES_MAX", "1000", "broker.unacknowledged_bytes_max");
    settings("", &[("KEEP_ALIVE_S", "4")]).check().unwrap();
}

#[test]
fn nothing_is_acknowledged_before_it_is_durable_and_the_connection_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let desk = Desk::new(Manner::Holds);
    let changed = [("RECEIVE_MAX", "4"), ("KEEP_ALIVE_S", "5"), ("UNACKNOWLEDGED_BYTES_MAX", "1048576")];
    let node = Node::join(&broker, &desk, &changed);
    broker.publish_lines(USAGE, &numbers(0..20));
    // The broker gives up a client that is silent for 7.5 s.
    pause(8000);
    assert_eq!(metrics().broker_reconnects.with_label_values(&["usage", "lost"]).get(), 0, "{}", broker.log());
    let first = desk.payloads().len();
    assert!((4..20).contains(&first), "{first} came in without an acknowledgement");
    // Answered from the back, acknowledged from the front.
    for place in (0..first).rev() {
        desk.answer(place);
    }
    desk.set(Manner::Answers);
    let all = || {
        desk.answer_all();
        desk.payloads().len() >= 20
    };
    wait_for("the rest", PATIENCE, all, || broker.log());
    assert_eq!(desk.payloads(), numbers(0..20));
    node.stop();
}

#[test]
fn an_answer_of_an_earlier_connection_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(folder.path(), "");
    let desk = Desk::new(Manner::Holds);
    let node = Node::join(&broker, &desk, &[]);
    broker.publish_lines(USAGE, &numbers(0..3));
    wait_taken(&desk, &numbers(0..3));
    broker.stop();
    wait_for("the loss", PATIENCE, || metrics().broker_connected.with_label_values(&["usage"]).get() == 0, String::new);
    // These packet ids will soon be of other messages.
    desk.answer_all();
    assert_eq!(metrics().broker_stale_acks.get(), 3);
    broker.resume();
    let again = [numbers(0..3), numbers(0..3)].concat();
    wait_taken(&desk, &again);
    pause(200);
    // Not acknowledged by the old answers: a third time.
    broker.restart();
    wait_taken(&desk, &[again, numbers(0..3)].concat());
    desk.answer_all();
    wait_for("acknowledgements", PATIENCE, || broker.log().matches("Received PUBACK").count() >= 3, || broker.log());
    broker.restart();
    node.wait_joined(&broker, "one");
    pause(300);
    assert_eq!(desk.payloads().len(), 9, "acknowledged, and sent again: {}", broker.log());
    node.stop();
}

#[test]
fn what_cannot_be_made_durable_comes_again_after_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let desk = Desk::new(Manner::Holds);
    let node = Node::join(&broker, &desk, &[]);
    broker.publish(USAGE, "before");
    wait_taken(&desk, &["before".to_owned()]);
    desk.set(Manner::Fails);
    broker.publish(USAGE, "failed");
    wait_taken(&desk, &["before".to_owned(), "failed".to_owned()]);
    desk.set(Manner::Answers);
    desk.answer(0);
    let again = || desk.payloads().iter().filter(|payload| *payload == "failed").count() >= 2;
    wait_for("another try", PATIENCE, again, || broker.log());
    pause(300);
    assert_eq!(desk.payloads().iter().filter(|payload| *payload == "before").count(), 1, "it was acknowledged");
    assert!(metrics().broker_reconnects.with_label_values(&["usage", "not_durable"]).get() >= 1);
    // Its failure is no matter of the other client.
    assert_eq!(metrics().broker_reconnects.with_label_values(&["states", "not_durable"]).get(), 0);
    node.stop();
}

#[test]
fn more_than_may_wait_is_left_to_the_broker_and_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let desk = Desk::new(Manner::Holds);
    // Mosquitto exceeds Receive Maximum, and the limit has no room for that.
    let small = [("RECEIVE_MAX", "10"), ("PACKET_BYTES_MAX", "70000"), ("UNACKNOWLEDGED_BYTES_MAX", "700000")];
    let node = Node::join(&broker, &desk, &small);
    let large: Vec<String> = (0..40).map(|number| format!("{number:0>60000}")).collect();
    broker.publish_lines(USAGE, &large);
    let all = || {
        desk.answer_all();
        let mut distinct = desk.payloads();
        distinct.sort();
        distinct.dedup();
        let waiting = metrics().broker_unacknowledged_bytes.with_label_values(&["usage"]).get();
        assert!(waiting <= 700_000, "{waiting} bytes wait");
        distinct.len() == large.len()
    };
    // Packets of 60 kB: the library takes 10 KiB where nothing else is said.
    wait_for("every message", PATIENCE, all, || broker.log());
    desk.set(Manner::Answers);
    desk.answer_all();
    assert!(metrics().broker_reconnects.with_label_values(&["usage", "full"]).get() >= 1, "the limit was never met");
    node.stop();
}

#[test]
fn the_desired_state_is_retained_replaced_and_sent_at_each_birth() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let desk = Desk::new(Manner::Answers);
    let node = Node::join(&broker, &desk, &[]);
    let modem = Subscriber::start(&broker, folder.path(), "meter-1", &["lg/v1/meter-1/desired"]);
    for version in 1..=3 {
        desk.set_desired(version, &format!("v{version}"));
        for _ in 0..50 {
            node.desired_changed("meter-1");
        }
    }
    wait_for("the newest", PATIENCE, || modem.saw("desired", "v3"), || modem.text());
    assert!(modem.count("desired", "") < 20, "nudges are joined: {}", modem.text());
    let late = Subscriber::start(&broker, folder.path(), "late", &["lg/v1/meter-1/desired"]);
    wait_for("what is retained", PATIENCE, || late.saw("desired", "v3"), || late.text());
    let expiry: u64 = late.text().split(' ').nth(1).unwrap().parse().unwrap();
    assert!((900..=1000).contains(&expiry), "{}", late.text());

    desk.set_desired(4, "v4");
    broker.publish("lg/v1/meter-1/status", "{\"state\":\"offline\",\"session\":1}");
    broker.publish("lg/v1/meter-1/status", "{\"state\":\"online\",\"session\":2}");
    wait_for("the answer to the birth", PATIENCE, || modem.saw("desired", "v4"), || modem.text());
    pause(200);
    assert_eq!(modem.count("desired", "v4"), 1, "one for the birth, none for the will");
    node.stop();
}

#[test]
fn a_member_that_dies_is_left_out_and_its_modems_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let (held, answered) = (Desk::new(Manner::Holds), Desk::new(Manner::Answers));
    let short = ("SESSION_EXPIRY_S", "1");
    let dead = Node::join(&broker, &held, &[("REPLICA", "dead"), short]);
    let alive = Node::join(&broker, &answered, &[("REPLICA", "alive"), short]);
    let modem = Subscriber::start(&broker, folder.path(), "meter-1", &["lg/v1/meter-1/receipt"]);
    let sent = numbers(0..10);
    broker.publish_lines(USAGE, &sent);
    let shared = || held.payloads().len() + answered.payloads().len() == 10;
    wait_for("both to share them", PATIENCE, shared, || broker.log());
    assert!(!held.payloads().is_empty() && !answered.payloads().is_empty(), "one of them gets nothing");
    dead.kill();
    wait_for(
        "the session to end",
        PATIENCE,
        || broker.log().contains("Expiring client linegate-dead-usage"),
        || broker.log(),
    );

    // Mosquitto throws away what the dead member was given (MQTT 5 section 4.8.2 says
    // SHOULD): a modem sends what has no receipt again.
    let receipted = |number: &String| modem.text().lines().any(|line| line.ends_with(&format!(" {number}")));
    let again: Vec<String> = sent.iter().filter(|number| !receipted(number)).cloned().collect();
    assert_eq!(again.len(), held.payloads().len());
    broker.publish_lines(USAGE, &again);
    wait_for("every receipt", PATIENCE, || sent.iter().all(receipted), || modem.text());
    alive.stop();
}

#[test]
fn a_member_that_takes_leave_keeps_no_share() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let (held, answered) = (Desk::new(Manner::Holds), Desk::new(Manner::Answers));
    let leaving = Node::join(&broker, &held, &[("REPLICA", "leaving"), ("RECEIVE_MAX", "2")]);
    broker.publish_lines(USAGE, &numbers(0..10));
    wait_for("some messages", PATIENCE, || held.payloads().len() >= 2, || broker.log());
    let staying = Node::join(&broker, &answered, &[("REPLICA", "staying")]);
    held.set(Manner::Answers);
    let stopping = std::thread::spawn(|| leaving.stop());
    pause(200);
    held.answer_all();
    stopping.join().unwrap();
    assert_eq!(held.payloads(), numbers(0..10), "what was queued for it is carried out");
    broker.publish_lines(USAGE, &numbers(10..20));
    wait_taken(&answered, &numbers(10..20));
    staying.stop();
}

#[test]
fn a_broker_that_takes_nothing_from_us_stops_no_acknowledgement() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let desk = Desk::new(Manner::Answers);
    let stall = Stall::start(broker.address);
    let changed = [("OUTGOING_MAX", "5"), ("OUTGOING_INFLIGHT_MAX", "2"), ("RECEIVE_MAX", "8")];
    let node = Node::start(&stall.url(), &desk, &changed);
    node.wait_joined(&broker, "one");
    broker.publish_lines(USAGE, &numbers(0..200));
    wait_taken(&desk, &numbers(0..200));
    let refused = metrics().broker_messages.with_label_values(&["receipt", "refused"]).get();
    assert!(refused >= 180, "{refused} receipts found no room");
    // Whoever activates a line does not wait for it either.
    for device in 0..100 {
        node.desired_changed(&format!("meter-{device}"));
    }
    node.kill();
}

#[test]
fn what_the_broker_did_not_take_goes_out_on_the_next_connection() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let desk = Desk::new(Manner::Answers);
    desk.set_desired(1, "older");
    let stall = Stall::start(broker.address);
    // Some wait for their PUBACK, one is with the library, the rest in our hand and queue.
    let node = Node::start(&stall.url(), &desk, &[("OUTGOING_INFLIGHT_MAX", "4")]);
    node.wait_joined(&broker, "one");
    let modem = Subscriber::start(&broker, folder.path(), "meter-1", &["lg/v1/meter-1/receipt", "lg/v1/+/desired"]);
    let connected = || metrics().broker_connected.with_label_values(&["out"]).get() == 1;
    wait_for("the client that sends", PATIENCE, connected, || broker.log());
    node.desired_changed("meter-1");
    pause(100);
    broker.publish_lines(USAGE, &numbers(0..20));
    wait_taken(&desk, &numbers(0..20));
    node.desired_changed("meter-2");
    pause(100);
    assert_eq!(modem.text(), "", "the broker has something all the same");
    desk.set_desired(2, "newer");
    stall.end();
    let all = || numbers(0..20).iter().all(|number| modem.text().contains(&format!(" {number}\n")));
    wait_for("every receipt", PATIENCE, all, || modem.text());
    wait_for("both devices' state", PATIENCE, || modem.count("desired", "newer") == 2, || modem.text());
    assert_eq!(modem.count("desired", "older"), 0, "a state is loaded anew");
    node.stop();
}

/// Between our clients and the broker: lets everything through, but nothing of
/// the client that sends after its CONNECT, until it is ended.
struct Stall {
    address: SocketAddr,
    stalled: Arc<Mutex<Vec<TcpStream>>>,
    over: Arc<AtomicBool>,
}

impl Stall {
    fn start(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stall = Self { address: listener.local_addr().unwrap(), stalled: Arc::default(), over: Arc::default() };
        let (stalled, over) = (Arc::clone(&stall.stalled), Arc::clone(&stall.over));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let to = TcpStream::connect(broker).unwrap();
                let (stalled, over) = (Arc::clone(&stalled), Arc::clone(&over));
                let (mut answers, mut back) = (to.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
                std::thread::spawn(move || forward(client, to, &stalled, &over));
            }
        });
        stall
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Cuts the connections that it holds up; the next ones go through.
    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        for stream in self.stalled.lock().unwrap().drain(..) {
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut client: TcpStream, mut to: TcpStream, stalled: &Mutex<Vec<TcpStream>>, over: &AtomicBool) {
    let mut buffer = [0; 65536];
    let mut stalls = false;
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        if stalls {
            continue;
        }
        let Ok(()) = to.write_all(&buffer[..length]) else { break };
        if !over.load(Ordering::SeqCst) && buffer[..length].windows(4).any(|part| part == b"-out") {
            stalls = true;
            stalled.lock().unwrap().extend([client.try_clone().unwrap(), to.try_clone().unwrap()]);
        }
    }
    let _closed = to.shutdown(Shutdown::Both);
}

#[test]
fn the_manuals_access_list_lets_a_modem_speak_for_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let manual = include_str!("../../../docs/modem.md");
    let list = manual.split("```").find(|block| block.trim_start().starts_with("user linegate")).unwrap();
    let file = folder.path().join("access");
    std::fs::write(&file, list).unwrap();
    let broker = Mosquitto::start(folder.path(), &format!("acl_file {}", file.display()));
    let desk = Desk::new(Manner::Answers);
    desk.set_desired(1, "v1");
    let node = Node::join(&broker, &desk, &[("USER", "linegate")]);
    let publish = |device: &str, topic: &str| {
        let mut modem = broker.client("mosquitto_pub");
        modem.args(["-u", device, "-t", topic, "-m", device]).output().unwrap();
    };
    publish("meter-1", "lg/v1/meter-2/usage");
    publish("meter-2", "lg/v1/meter-2/usage");
    wait_taken(&desk, &["meter-2".to_owned()]);
    let sent = |kind: &str| broker.log().contains(&format!("Received PUBLISH from linegate-one-out (d0, q1, r{kind}"));
    wait_for("the receipt", PATIENCE, || sent("0"), || broker.log());
    node.desired_changed("meter-2");
    wait_for("the desired state", PATIENCE, || sent("1"), || broker.log());
    assert_eq!(metrics().broker_messages.with_label_values(&["any", "refused"]).get(), 0, "{}", broker.log());
    node.stop();
}

#[test]
fn a_broker_is_reached_in_tls_with_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    crate::diameter_node::certificates(folder.path(), &["localhost", "gateway"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let tls = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        file("ca.pem"),
        file("localhost.pem"),
        file("localhost.key")
    );
    let broker = Mosquitto::start(folder.path(), &tls);
    let desk = Desk::new(Manner::Answers);
    let (authorities, certificate, key) = (file("ca.pem"), file("gateway.pem"), file("gateway.key"));
    let changed = [("TLS__AUTHORITIES", &*authorities), ("TLS__CERTIFICATE", &*certificate), ("TLS__KEY", &*key)];
    let node = Node::start(&format!("mqtts://localhost:{}", broker.address.port()), &desk, &changed);
    node.wait_joined(&broker, "one");
    node.stop();
}
