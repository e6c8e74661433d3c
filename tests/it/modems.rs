//! Modems on client libraries that are not ours, paho-mqtt and mqtt.js, in both
//! protocol versions: each script judges what the gateway says, and the gateway
//! must have counted what the script says it sent.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::mosquitto::{activate, usage_sum};
use crate::support::{Gateway, Ports, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

fn judges() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/modems").join(name)
}

fn paho(gateway: &Gateway, version: &str, device: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", judges().join("python")).arg(script("paho_modem.py"));
    command.args([&gateway.mqtt.port().to_string(), version, device]);
    command
}

fn mqttjs(gateway: &Gateway, version: &str, device: &str) -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", judges().join("node/node_modules")).arg(script("mqttjs_modem.js"));
    command.args([&gateway.mqtt.port().to_string(), version, device]);
    command
}

fn session_of(gateway: &Gateway, imsi: &str, name: &str) -> Value {
    let (_, lines) = gateway.get(&format!("/tmf-api/serviceInventory/v4/service?imsi={imsi}"));
    let characteristics = lines[0]["serviceCharacteristic"].as_array().cloned().unwrap_or_default();
    characteristics.into_iter().find(|c| c["name"] == name).map_or(Value::Null, |c| c["value"].clone())
}

#[test]
fn client_libraries_find_the_interface_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__MQTT__OFFLINE_AFTER_S", "1")]);
    let element = crate::network::hss(gateway.diameter);
    type Judge = fn(&Gateway, &str, &str) -> Command;
    let judges: [(Judge, &str, &str, &str); 4] = [
        (paho, "3", "paho-3", "450080000000033"),
        (paho, "5", "paho-5", "450080000000035"),
        (mqttjs, "4", "mqttjs-4", "450080000000044"),
        (mqttjs, "5", "mqttjs-5", "450080000000045"),
    ];
    for (judge, version, device, imsi) in judges {
        let order = activate(&gateway, device, imsi);
        let completed =
            || gateway.get(&format!("/tmf-api/serviceOrdering/v4/serviceOrder/{order}")).1["state"] == "completed";
        wait_for("the activation", PATIENCE, completed, || gateway.tail());

        let out = judge(&gateway, version, device).output().unwrap();
        let said = || format!("{device}: {}\n{}", String::from_utf8_lossy(&out.stderr), gateway.tail());
        assert!(out.status.success(), "{}", said());
        let said_by_modem: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", said()));
        let sent = said_by_modem["octets"].as_u64();
        wait_for("the usage, counted once", PATIENCE, || usage_sum(&gateway, imsi) == sent, || gateway.tail());
        let reached = || session_of(&gateway, imsi, "sessionModemVersion") == said_by_modem["desired"]["version"];
        wait_for("the reported version", PATIENCE, reached, || gateway.tail());
        let gone = || session_of(&gateway, imsi, "sessionModemOnline") == Value::Bool(false);
        wait_for("the modem to be offline", PATIENCE, gone, || gateway.tail());
    }
    element.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn the_manuals_example_is_a_modem() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let element = crate::network::hss(gateway.diameter);
    let order = activate(&gateway, "meter-1", "450080000000061");
    let completed =
        || gateway.get(&format!("/tmf-api/serviceOrdering/v4/serviceOrder/{order}")).1["state"] == "completed";
    wait_for("the activation", PATIENCE, completed, || gateway.tail());

    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/modem.md")).unwrap();
    let (_, example) = manual.split_once("```python\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert!(example.lines().count() <= 40, "an example is short");
    let here = example.replace("1883", &gateway.mqtt.port().to_string()).replace("time.sleep(1)", "time.sleep(0.1)");
    let program = format!("{here}\ntime.sleep(1)\nassert not waiting, waiting\n");
    let out =
        Command::new("python3").env("PYTHONPATH", judges().join("python")).args(["-c", &program]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let (_, lines) = gateway.get("/tmf-api/serviceInventory/v4/service?imsi=450080000000061");
    let usage = format!("/tmf-api/usageManagement/v4/usage?line={}", lines[0]["id"].as_str().unwrap());
    let stored = || gateway.get(&usage).1.as_array().is_some_and(|records| records.len() == 10);
    wait_for("ten records", PATIENCE, stored, || gateway.tail());
    assert_eq!(session_of(&gateway, "450080000000061", "sessionModemVersion"), Value::from(1));
    element.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}
