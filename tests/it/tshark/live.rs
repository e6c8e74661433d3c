//! A real conversation, recorded on its way and given to tshark: whatever the
//! gateway says in it is judged, also what no list of ours thought of.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use linegate_simulators::element::{
    Element, ElementConfig, ElementHandle, Fault, FaultRule, Role, SessionConfig, Struck,
};
use serde_json::json;
use tokio::runtime::Runtime;

use super::pcap::{Conversation, Pcap, Sender};
use super::{check_faults_and_names, data_folder, tshark};
use crate::judge::{activate, completed, modify};
use crate::support::{Gateway, Ports, wait_for};

const IMSI: &str = "450080000000777";

/// Passes connections on to the gateway and keeps what goes through.
struct Recorder {
    address: SocketAddr,
    pcap: Arc<Mutex<Pcap>>,
}

impl Recorder {
    fn start(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pcap = Arc::new(Mutex::new(Pcap::new()));
        let recorded = Arc::clone(&pcap);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(node)) = (client, TcpStream::connect(gateway)) else { continue };
                let conversation = Conversation::new(client.peer_addr().unwrap().port());
                let conversation = Arc::new(Mutex::new(conversation));
                for sender in [Sender::Client, Sender::Node] {
                    let (client, node) = (client.try_clone().unwrap(), node.try_clone().unwrap());
                    let (from, to) = if sender == Sender::Client { (client, node) } else { (node, client) };
                    let (pcap, conversation) = (Arc::clone(&recorded), Arc::clone(&conversation));
                    thread::spawn(move || {
                        pass(from, to, |octets| {
                            let mut conversation = conversation.lock().unwrap();
                            pcap.lock().unwrap().add(&mut conversation, sender, octets);
                        })
                    });
                }
            }
        });
        Self { address, pcap }
    }
}

/// Records before it passes on, so that an answer never comes before its request.
fn pass(mut from: TcpStream, mut to: TcpStream, record: impl Fn(&[u8])) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        record(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(Shutdown::Both);
}

struct Elements {
    runtime: Runtime,
    hss: ElementHandle,
    mme: ElementHandle,
    pgw: ElementHandle,
}

fn elements(to: SocketAddr) -> Elements {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let start = |host: &str, role| runtime.block_on(async { Element::start(ElementConfig::new(host, &[role], to)) });
    let hss = start("hss-1.linegate.example", Role::Hss);
    let mme = start("mme-1.linegate.example", Role::Mme);
    let pgw = start("pgw-1.linegate.example", Role::PgwC);
    Elements { runtime, hss, mme, pgw }
}

/// A line's life, with everything that the gateway says in it.
fn live(gateway: &Gateway, elements: &Elements) {
    let Elements { runtime, hss, mme, pgw } = elements;
    for element in [hss, mme, pgw] {
        assert!(runtime.block_on(element.connected_within(Duration::from_secs(10))));
    }
    // The answer is lost: the gateway queries, and orders again.
    hss.add_fault(FaultRule { fault: Fault::AnswerLost, struck: Struck::Provision, times: Some(1) });
    completed(gateway, &activate(gateway, "line-777", IMSI));
    runtime.block_on(async {
        mme.attach(IMSI).await.unwrap();
        mme.attach("450080000009999").await.unwrap_err();
    });
    let session = runtime.block_on(async {
        let (session, opened) = pgw.open_session(SessionConfig::new(IMSI, "iot.example")).await.unwrap();
        assert!(opened.is_success());
        session.report(10_000, 20_000).await.unwrap();
        let (_, refused) = pgw.open_session(SessionConfig::new("450080000009999", "iot.example")).await.unwrap();
        assert_eq!(refused.result_code, 5030);
        let (_, foreign) = pgw.open_session(SessionConfig::new(IMSI, "foreign.example")).await.unwrap();
        assert_eq!(foreign.groups[0].result_code, Some(5003));
        session
    });
    let plan = json!({ "id": "line-777", "serviceCharacteristic": [{ "name": "plan", "value": "iot-capped" }] });
    completed(gateway, &modify(gateway, &plan));
    // The cap ends in a final unit.
    runtime.block_on(async { session.spend(100_000_000).await.unwrap() });
    runtime.block_on(async {
        let (mut accounting, _) = pgw.start_accounting(IMSI, "iot.example").await.unwrap();
        accounting.interim(1, 2).await.unwrap();
        accounting.stop(1, 2).await.unwrap();
        pgw.accounting_event(IMSI, "iot.example", 1, 2).await.unwrap();
    });
    let plan = json!({ "id": "line-777", "serviceCharacteristic": [{ "name": "plan", "value": "iot-payg" }] });
    completed(gateway, &modify(gateway, &plan));
    runtime.block_on(async { pgw.open_session(SessionConfig::new(IMSI, "iot.example")).await.unwrap() });
    completed(gateway, &modify(gateway, &json!({ "id": "line-777", "state": "inactive" })));
    let barred = runtime.block_on(async { mme.attach(IMSI).await.unwrap() });
    assert!(barred.barred);
    completed(gateway, &modify(gateway, &json!({ "id": "line-777", "state": "active" })));
    runtime.block_on(async { mme.purge(IMSI).await.unwrap() });
}

/// What the gateway has to have said.
const SAID: [&str; 17] = [
    "Capabilities-Exchange Answer",
    "Device-Watchdog Request",
    "Disconnect-Peer Request",
    "Credit-Control Answer",
    "Accounting Answer",
    "Re-Auth Request",
    "Abort-Session Request",
    "Update-Location Answer",
    "Purge-UE Answer",
    "Insert-Subscriber-Data Request",
    "Cancel-Location Request",
    "Provision Request",
    "Query Request",
    "Final-Unit-Action: TERMINATE (0)",
    "Subscriber-Status: OPERATOR_DETERMINED_BARRING (1)",
    "Action: SUSPEND (2)",
    "DIAMETER_USER_UNKNOWN (5030)",
];

#[test]
fn tshark_finds_no_fault_in_what_the_gateway_says() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("LINEGATE__DIAMETER__REQUEST_TIMEOUT_MS", "500"), ("LINEGATE__DIAMETER__WATCHDOG_S", "6")];
    let gateway = Gateway::start(folder.path(), Ports::free(), &settings);
    let recorder = Recorder::start(gateway.diameter);
    let elements = elements(recorder.address);
    live(&gateway, &elements);
    let watched = || gateway.metric("linegate_diameter_peers_up") == 3;
    wait_for("the elements", Duration::from_secs(5), watched, || gateway.tail());
    // Longer than Tw and its jitter: the gateway asks whether they are there.
    thread::sleep(Duration::from_millis(8_500));
    assert_eq!(gateway.terminate(), Some(0));
    for element in [&elements.hss, &elements.mme, &elements.pgw] {
        element.shutdown();
    }
    elements.runtime.shutdown_background();

    let data = data_folder(folder.path());
    let capture = folder.path().join("live.pcap");
    recorder.pcap.lock().unwrap().save(&capture);
    let told = tshark(&data, &capture, &["-O", "diameter"]);
    let info = tshark(&data, &capture, &["-T", "fields", "-e", "_ws.col.Info"]);
    for said in SAID {
        assert!(told.contains(said) || info.contains(said), "`{said}` is not in {info}");
    }
    check_faults_and_names(&data, &capture);
}
