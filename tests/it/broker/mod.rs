//! Modems behind Debian's mosquitto. `clients` has our clients against an intake
//! whose answers a test holds in its hand; here is the whole gateway.

mod clients;
mod parts;

use std::time::Duration;

use serde_json::{Value, json};

use self::parts::{Mosquitto, Subscriber};
use crate::mosquitto::{activate, usage_sum};
use crate::support::{Gateway, Ports, pause, wait_for, wall_millis};

const PATIENCE: Duration = Duration::from_secs(20);

fn record(seq: u64, octets: u64) -> Value {
    json!({
        "epoch": 1, "boot": 1, "seq": seq, "start": wall_millis() - 1000, "end": wall_millis(),
        "apn": "iot.example", "rating_group": 1, "octets_up": octets, "octets_down": 0
    })
}

fn gateway(folder: &std::path::Path, broker: &Mosquitto) -> Gateway {
    let settings = [
        ("LINEGATE__BROKER__URL", broker.url()),
        ("LINEGATE__BROKER__RECONNECT_MIN_MS", "50".to_owned()),
        ("LINEGATE__BROKER__RECONNECT_MAX_MS", "200".to_owned()),
    ];
    let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
    Gateway::start(folder, Ports::free(), &settings)
}

fn is_completed(gateway: &Gateway, order: &str) -> bool {
    gateway.get(&format!("/tmf-api/serviceOrdering/v4/serviceOrder/{order}")).1["state"] == "completed"
}

fn suspend(gateway: &Gateway, imsi: &str) -> String {
    let (_, lines) = gateway.get(&format!("/tmf-api/serviceInventory/v4/service?imsi={imsi}"));
    let order = json!({
        "externalId": format!("suspend-{imsi}"),
        "relatedParty": [{ "id": "customer-1", "role": "customer", "@referredType": "Individual" }],
        "serviceOrderItem": [{
            "id": "1", "action": "modify",
            "service": { "id": lines[0]["id"], "state": "inactive", "serviceSpecification": { "id": "cellular" } }
        }]
    });
    let (status, order) = gateway.post("/tmf-api/serviceOrdering/v4/serviceOrder", &order);
    assert_eq!(status, 201, "{order}");
    order["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_modem_behind_a_broker_learns_its_state_and_has_its_usage_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let gateway = gateway(folder.path(), &broker);
    let element = crate::network::hss(gateway.diameter);
    let imsi = "450080000000901";
    let order = activate(&gateway, "meter-1", imsi);
    wait_for("the activation", PATIENCE, || is_completed(&gateway, &order), || gateway.tail());

    // Retained: it subscribes only now.
    let modem =
        Subscriber::start(&broker, folder.path(), "meter-1", &["lg/v1/meter-1/desired", "lg/v1/meter-1/receipt"]);
    wait_for("the desired state", PATIENCE, || modem.saw("desired", "\"state\":\"active\""), || gateway.tail());
    broker.publish("lg/v1/meter-1/status", "{\"state\":\"online\",\"session\":1}");
    broker.publish("lg/v1/meter-1/reported", "{\"version\":1,\"state\":\"active\"}");

    // The same record twice: counted once, receipted twice.
    let usage = record(7, 250_000).to_string();
    for _ in 0..2 {
        broker.publish("lg/v1/meter-1/usage", &usage);
    }
    wait_for("the usage", PATIENCE, || usage_sum(&gateway, imsi) == Some(250_000), || gateway.tail());
    wait_for("the receipts", PATIENCE, || modem.count("receipt", "\"boot\":1") == 2, || modem.text());
    broker.publish("lg/v1/meter-1/usage", "no usage at all");
    broker.publish("lg/v1/nobody's/usage", &usage);

    let suspension = suspend(&gateway, imsi);
    wait_for("the suspension", PATIENCE, || is_completed(&gateway, &suspension), || gateway.tail());
    wait_for("the new state", PATIENCE, || modem.saw("desired", "\"state\":\"suspended\""), || modem.text());
    let late = Subscriber::start(&broker, folder.path(), "late", &["lg/v1/meter-1/desired"]);
    wait_for("the retained state", PATIENCE, || late.saw("desired", "\"state\":\"suspended\""), || late.text());
    assert_eq!(late.count("desired", ""), 1, "the older state is replaced");

    let metric = |name: &str| gateway.metric(name);
    assert_eq!(metric("linegate_broker_connected{role=\"usage\"}"), 1);
    assert_eq!(metric("linegate_mqtt_publishes_total{outcome=\"taken\",topic=\"status\"}"), 1);
    assert_eq!(metric("linegate_mqtt_publishes_total{outcome=\"unreadable\",topic=\"usage\"}"), 1);
    assert_eq!(metric("linegate_mqtt_publishes_total{outcome=\"refused\",topic=\"other\"}"), 1);
    assert_eq!(usage_sum(&gateway, imsi), Some(250_000));
    element.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_stream_of_usage_goes_through_restarts_of_the_broker_and_is_counted_once() {
    const RECORDS: u64 = 60;
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(folder.path(), "");
    let gateway = gateway(folder.path(), &broker);
    let element = crate::network::hss(gateway.diameter);
    let imsi = "450080000000902";
    let order = activate(&gateway, "meter-2", imsi);
    wait_for("the activation", PATIENCE, || is_completed(&gateway, &order), || gateway.tail());

    let modem = Subscriber::start(&broker, folder.path(), "meter-2", &["lg/v1/meter-2/receipt"]);
    let records: Vec<_> = (0..RECORDS).map(|seq| record(seq, 1000).to_string()).collect();
    let send = |broker: &Mosquitto, seq: u64| {
        broker.publish("lg/v1/meter-2/usage", &records[usize::try_from(seq).unwrap()]);
    };
    for seq in 0..RECORDS {
        match seq {
            // It keeps sessions and messages, and forgets shared subscriptions all the same.
            20 => broker.restart(),
            // It forgets everything.
            40 => broker.crash_and_forget(),
            _ => {}
        }
        send(&broker, seq);
    }
    // As the manual has it: what has no receipt is sent again.
    let missing = || -> Vec<_> {
        (0..RECORDS).filter(|seq| !modem.saw("receipt", &format!("\"from\":{seq},\"to\":{seq}}}"))).collect()
    };
    let all_receipted = || {
        missing().into_iter().for_each(|seq| send(&broker, seq));
        pause(500);
        missing().is_empty()
    };
    wait_for("a receipt for each record", PATIENCE, all_receipted, || format!("{}{}", gateway.tail(), broker.log()));
    let counted = || usage_sum(&gateway, imsi) >= Some(RECORDS * 1000);
    wait_for("the records in the store", PATIENCE, counted, || gateway.tail());
    pause(300);
    assert_eq!(usage_sum(&gateway, imsi), Some(RECORDS * 1000));
    element.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}
