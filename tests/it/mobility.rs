//! S6a over real sockets: a subscriber that moves between MMEs, and changes of
//! its line with and without DSR.

use std::path::Path;
use std::time::Duration;

use linegate_diameter::dictionary::command;
use linegate_simulators::element::{AttachError, Cancelled, ElementHandle, Fault, FaultRule, Role, Struck};
use serde_json::{Value, json};

use crate::network::{Network, hss};
use crate::support::{Gateway, Ports, wait_for};

const IMSI: &str = "450081234567890";
const BOTH: [&str; 2] = ["iot.example", "meter.example"];

const TARIFF: &str = r#"
version = 1
currency = "KRW"
tax_percent = 10
[plan.meter]
name = "Meter"
product = "iot"
department = "iot-business"
access = "cellular"
apns = ["iot.example", "meter.example"]
monthly_fee = 550
[plan.meter.usage]
cap_octets = 10_000_000
tier = [{ from_octets = 0, price = 3, per_octets = 100_000 }]
"#;

/// A gateway with one active line on two APNs, and the elements around it.
pub struct Scene {
    pub gateway: Gateway,
    pub network: Network,
    pub line: String,
    orders: u32,
}

impl Scene {
    pub fn start(folder: &Path) -> Self {
        let tariff = folder.join("tariffs.toml");
        std::fs::write(&tariff, TARIFF).unwrap();
        let settings =
            [("LINEGATE__TARIFFS__FILE", tariff.to_str().unwrap()), ("LINEGATE__DIAMETER__S6A__MOVE_RETRY_MS", "50")];
        let gateway = Gateway::start(folder, Ports::free(), &settings);
        let network = hss(gateway.diameter);
        let mut scene = Self { gateway, network, line: String::new(), orders: 0 };
        let service = json!({
            "state": "active",
            "serviceSpecification": { "id": "cellular" },
            "serviceCharacteristic": [
                { "name": "imsi", "value": IMSI },
                { "name": "apns", "value": BOTH },
                { "name": "plan", "value": "meter" },
            ],
        });
        scene.line = scene.order("add", service);
        scene
    }

    /// Carries an order out; the line it is about.
    fn order(&mut self, action: &str, service: Value) -> String {
        self.orders += 1;
        let order = json!({
            "externalId": format!("order-{}", self.orders),
            "relatedParty": [{ "id": "customer-1", "role": "customer" }],
            "serviceOrderItem": [{ "id": "1", "action": action, "service": service }],
        });
        let (status, body) = self.gateway.post("/tmf-api/serviceOrdering/v4/serviceOrder", &order);
        assert_eq!(status, 201, "{body}");
        let path = format!("/tmf-api/serviceOrdering/v4/serviceOrder/{}", body["id"].as_str().unwrap());
        let ended = || self.gateway.get(&path).1["state"] == "completed";
        wait_for("the order to be completed", Duration::from_secs(30), ended, || self.gateway.get(&path).1.to_string());
        self.gateway.get(&path).1["serviceOrderItem"][0]["service"]["id"].as_str().unwrap().to_owned()
    }

    fn change_apns(&mut self, apns: &[&str]) {
        let service = json!({ "id": self.line, "serviceCharacteristic": [{ "name": "apns", "value": apns }] });
        self.order("modify", service);
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.network.runtime.block_on(work)
    }

    /// Waits for a CLR and gives what it said.
    fn cancelled(&self, mme: &ElementHandle) -> Cancelled {
        let told = || mme.cancelled(IMSI).is_some();
        wait_for("a CLR", Duration::from_secs(10), told, || self.gateway.tail());
        mme.cancelled(IMSI).unwrap()
    }
}

fn names(mme: &ElementHandle, seen: u64) -> Vec<(&'static str, Option<u32>)> {
    mme.commands_since(seen).into_iter().map(|c| (c.name, c.result_code)).collect()
}

fn apns(mme: &ElementHandle) -> Vec<String> {
    mme.attached()[IMSI].apns.values().cloned().collect()
}

#[test]
fn a_subscriber_moves_and_only_the_mme_that_serves_it_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(folder.path());
    let first = scene.network.add("mme-1.linegate.example", &[Role::Mme], scene.gateway.diameter);
    let second = scene.network.add("mme-2.linegate.example", &[Role::Mme], scene.gateway.diameter);

    let attached = scene.run(first.attach(IMSI)).unwrap();
    assert_eq!(attached.apns.into_values().collect::<Vec<_>>(), BOTH);
    let nobody = scene.run(first.attach("450089999999999"));
    assert!(matches!(nobody, Err(AttachError::Refused(5001))), "{nobody:?}");
    assert_eq!(scene.run(first.authenticate(IMSI)).unwrap(), 5012, "authentication is the HSS's");

    scene.run(second.attach(IMSI)).unwrap();
    assert_eq!(scene.cancelled(&first), Cancelled { moved: true, reattach: false });
    assert!(first.attached().is_empty());
    assert_eq!(scene.run(first.notify(IMSI)).unwrap(), 5423, "another MME serves it");
    assert!(!scene.run(first.purge(IMSI)).unwrap(), "it is not registered, and its M-TMSI is not frozen");
    assert_eq!(scene.run(second.notify(IMSI)).unwrap(), 2001, "what the first says changes nothing");
    scene.run(second.attach(IMSI)).unwrap();
    assert!(second.cancelled(IMSI).is_none(), "the same MME again is no move");
    assert!(scene.run(second.purge(IMSI)).unwrap());
    assert_eq!(scene.run(first.notify(IMSI)).unwrap(), 2001, "nobody is registered: it was there before");
    scene.network.shutdown();
}

#[test]
fn an_apn_that_goes_is_withdrawn_by_dsr_or_by_a_new_attach() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(folder.path());
    let mme = scene.network.add("mme-1.linegate.example", &[Role::Mme], scene.gateway.diameter);
    scene.run(mme.attach(IMSI)).unwrap();

    scene.change_apns(&["iot.example"]);
    assert_eq!(names(&mme, 0), [("DSR", Some(2001))]);
    assert_eq!(apns(&mme), ["iot.example"]);

    let seen = mme.commands_count();
    scene.change_apns(&BOTH);
    assert_eq!(names(&mme, seen), [("IDR", Some(2001))]);
    assert_eq!(apns(&mme), BOTH);

    // An MME without DSR, as Open5GS's.
    let unsupported = Fault::Refuse(3001);
    let struck = Struck::Command(command::DELETE_SUBSCRIBER_DATA);
    mme.add_fault(FaultRule { fault: unsupported, struck, times: None });
    let seen = mme.commands_count();
    scene.change_apns(&["iot.example"]);
    assert_eq!(names(&mme, seen), [("DSR", Some(3001)), ("IDR", Some(2001)), ("CLR", Some(2001))]);
    assert_eq!(mme.cancelled(IMSI), Some(Cancelled { moved: false, reattach: true }));
    let attached = scene.run(mme.attach(IMSI)).unwrap();
    assert_eq!(attached.apns.into_values().collect::<Vec<_>>(), ["iot.example"]);
    scene.network.shutdown();
}
