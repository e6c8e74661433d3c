//! Debian's `mosquitto_pub` and `mosquitto_sub` as a modem: an independent
//! judge of both protocol versions.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;

use crate::support::{Gateway, Ports, wait_for};

pub fn activate(gateway: &Gateway, device: &str, imsi: &str) -> String {
    let order = json!({
        "externalId": format!("order-{device}"),
        "relatedParty": [{ "id": "customer-1", "role": "customer", "@referredType": "Individual" }],
        "serviceOrderItem": [{
            "id": "1",
            "action": "add",
            "service": {
                "state": "active",
                "serviceSpecification": { "id": "cellular" },
                "serviceCharacteristic": [
                    { "name": "imsi", "value": imsi },
                    { "name": "deviceId", "value": device },
                    { "name": "apns", "value": ["iot.example"] },
                    { "name": "plan", "value": "iot-payg" }
                ]
            }
        }]
    });
    let (status, order) = gateway.post("/tmf-api/serviceOrdering/v4/serviceOrder", &order);
    assert_eq!(status, 201, "{order}");
    order["id"].as_str().unwrap().to_owned()
}

fn publish(gateway: &Gateway, version: &str, device: &str, topic: &str, payload: &str) -> Output {
    Command::new("mosquitto_pub")
        .args(["-V", version, "-h", "127.0.0.1", "-p", &gateway.mqtt.port().to_string()])
        .args(["-i", device, "-q", "1", "-t", topic, "-m", payload])
        .output()
        .unwrap()
}

#[test]
fn a_modem_on_mosquittos_clients_learns_its_state_and_reports_usage() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let element = crate::network::hss(gateway.diameter);
    for (version, device, imsi) in
        [("mqttv311", "modem-311", "450080000000311"), ("mqttv5", "modem-5", "450080000000005")]
    {
        let order = activate(&gateway, device, imsi);
        let completed =
            || gateway.get(&format!("/tmf-api/serviceOrdering/v4/serviceOrder/{order}")).1["state"] == "completed";
        wait_for("the activation", Duration::from_secs(20), completed, || gateway.tail());

        let desired = Command::new("mosquitto_sub")
            .args(["-V", version, "-h", "127.0.0.1", "-p", &gateway.mqtt.port().to_string()])
            .args(["-i", device, "-q", "1", "-C", "1", "-W", "10", "-t", &format!("lg/v1/{device}/desired")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&desired.stdout);
        let desired: serde_json::Value =
            serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}\n{}", gateway.tail()));
        assert_eq!(desired["state"], "active");

        let reported = format!("{{\"version\":{},\"state\":\"active\"}}", desired["version"]);
        let sent = publish(&gateway, version, device, &format!("lg/v1/{device}/reported"), &reported);
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));

        // The same record twice: both acknowledged, counted once.
        let usage = usage_of("iot.example", 250_000);
        for _ in 0..2 {
            let sent = publish(&gateway, version, device, &format!("lg/v1/{device}/usage"), &usage);
            assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        }
        let rated = || usage_sum(&gateway, imsi) == Some(250_000);
        wait_for("the usage, counted once", Duration::from_secs(10), rated, || gateway.tail());

        // mosquitto_pub warns of version 5's 0x87 and exits 0 all the same.
        publish(&gateway, version, device, "lg/v1/another/usage", "{}");
    }
    let refused = gateway.metric("linegate_mqtt_publishes_total{outcome=\"refused\",topic=\"other\"}");
    assert_eq!(refused, 2, "a topic of another device was taken");
    element.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}

fn usage_of(apn: &str, octets: u64) -> String {
    json!({
        "epoch": 1, "boot": 1, "seq": 1,
        "start": crate::support::wall_millis() - 1000, "end": crate::support::wall_millis(),
        "apn": apn, "rating_group": 1, "octets_up": octets / 2, "octets_down": octets - octets / 2
    })
    .to_string()
}

pub fn usage_sum(gateway: &Gateway, imsi: &str) -> Option<u64> {
    let (_, lines) = gateway.get(&format!("/tmf-api/serviceInventory/v4/service?imsi={imsi}"));
    Some(gateway.rated_octets(lines[0]["id"].as_str()?))
}
