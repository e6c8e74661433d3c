//! A foreign Diameter node as a judge of what the gateway sends: it takes one
//! order a line on standard input, and says one verdict a line that starts with
//! `judge:`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::time::Duration;

use linegate_simulators::lines::LineRange;
use serde_json::{Value, json};

use crate::support::{Gateway, Running, http, tail, wait_for};

/// A running judge; it ends with the test.
pub struct Judge {
    process: Running,
    orders: ChildStdin,
    log: PathBuf,
    /// Verdicts that were taken.
    taken: Vec<bool>,
}

impl Judge {
    /// Starts it; what it writes goes to `log`.
    pub fn start(name: &'static str, command: &mut Command, log: &Path) -> Self {
        let (process, orders) = Running::start_with_input(name, command, log);
        Self { process, orders, log: log.to_owned(), taken: Vec::new() }
    }

    /// Gives it an order.
    pub fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").unwrap();
    }

    /// The next verdict that starts with `start`, without that start; each is
    /// given once.
    pub fn verdict(&mut self, start: &str, gateway: &Gateway) -> String {
        self.verdict_within(Duration::from_secs(20), start, gateway)
    }

    /// The same with another patience.
    pub fn verdict_within(&mut self, patience: Duration, start: &str, gateway: &Gateway) -> String {
        let mut found = None;
        let log = self.log.clone();
        let look = || {
            found = self.next(start);
            found.is_some()
        };
        wait_for(start, patience, look, || format!("{}\n--\n{}", tail(&log), gateway.tail()));
        found.unwrap()
    }

    /// The next verdict that starts with `start`, where there is one by now.
    pub fn next(&mut self, start: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        // The last piece is not a whole line yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let verdicts = whole.lines().filter_map(|line| line.split_once("judge: ").map(|(_, verdict)| verdict));
        for (at, verdict) in verdicts.enumerate() {
            if self.taken.len() <= at {
                self.taken.push(false);
            }
            if let Some(rest) = verdict.strip_prefix(start)
                && !self.taken[at]
            {
                self.taken[at] = true;
                return Some(rest.trim().to_owned());
            }
        }
        None
    }

    /// Everything it wrote.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }

    /// SIGTERM; its exit code.
    pub fn terminate(self) -> Option<i32> {
        drop(self.orders);
        self.process.terminate()
    }
}

/// Lines that are active from the start.
pub fn import(gateway: &Gateway, range: &LineRange) {
    let mut csv = Vec::new();
    range.write_csv(&mut csv).unwrap();
    let text = String::from_utf8(csv).unwrap();
    let (status, body) = http("POST", gateway.http, "/linegate/v1/lines/import", Some(("text/csv", &text))).unwrap();
    assert_eq!(status, 200, "{body}");
    let last: Value = serde_json::from_str(body.trim().lines().last().unwrap()).unwrap();
    assert_eq!(last["done"]["taken"], range.lines, "{body}");
}

/// Orders a cellular line without a modem; gives the order's id.
pub fn activate(gateway: &Gateway, line: &str, imsi: &str) -> String {
    let characteristics = json!([
        { "name": "imsi", "value": imsi },
        { "name": "msisdn", "value": "821012345678" },
        { "name": "apns", "value": ["iot.example"] },
        { "name": "plan", "value": "iot-payg" }
    ]);
    let order = json!({
        "relatedParty": [{ "id": "customer-1", "role": "customer" }],
        "serviceOrderItem": [{ "id": "1", "action": "add", "service": {
            "id": line, "state": "active",
            "serviceSpecification": { "id": "cellular" },
            "serviceCharacteristic": characteristics
        }}]
    });
    post(gateway, &order)
}

/// Orders `service` to be modified; gives the order's id.
pub fn modify(gateway: &Gateway, service: &Value) -> String {
    post(gateway, &json!({ "serviceOrderItem": [{ "id": "1", "action": "modify", "service": service }] }))
}

/// Posts an order; gives its id.
pub fn post(gateway: &Gateway, order: &Value) -> String {
    let (status, order) = gateway.post("/tmf-api/serviceOrdering/v4/serviceOrder", order);
    assert_eq!(status, 201, "{order}");
    order["id"].as_str().unwrap().to_owned()
}

/// Waits until the order is completed.
pub fn completed(gateway: &Gateway, order: &str) {
    let path = format!("/tmf-api/serviceOrdering/v4/serviceOrder/{order}");
    let done = || gateway.get(&path).1["state"] == "completed";
    wait_for("the order", Duration::from_secs(20), done, || format!("{}\n{}", gateway.get(&path).1, gateway.tail()));
}
