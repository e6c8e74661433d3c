//! Usage on its way through a real gateway: suspense and back through a kill, the
//! explanation of an amount, a top-up in the middle of a session.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use linegate_simulators::element::{Role, SessionConfig};
use linegate_simulators::lines::LineRange;
use serde_json::{Value, json};

use crate::support::{Gateway, Ports, http, pause, wait_for};

const RECORDS: u64 = 600;

pub(crate) fn import_lines(gateway: &Gateway, range: &LineRange) {
    let mut lines = Vec::new();
    range.write_csv(&mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let imported = http("POST", gateway.http, "/linegate/v1/lines/import", Some(("text/csv", &lines)));
    assert_eq!(imported.map(|(status, _)| status), Some(200));
}

fn total(gateway: &Gateway, reason: &str) -> u64 {
    let rows = gateway.get("/linegate/v1/suspense").1;
    let row = rows.as_array().unwrap().iter().find(|row| row["reason"] == reason).cloned();
    row.and_then(|row| row["records"].as_u64()).unwrap_or(0)
}

fn explain(folder: &Path, line: &str, cycle: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_linegate"))
        .args(["explain", "--line", line, "--cycle", cycle])
        .env("LINEGATE__DATA__FOLDER", folder.join("data"))
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn usage_of_a_line_that_comes_late_is_recycled_once_through_a_kill_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("LINEGATE__SUSPENSE__RECORDS_PER_S", "500")];
    let range = LineRange { lines: 3, ..LineRange::default() };
    let gateway = Gateway::start(folder.path(), Ports::free(), &settings);
    let rows: String = (0..RECORDS)
        .map(|n| {
            let imsi = range.imsi(n % 3);
            format!("r{n},{imsi},,iot.example,1,2026-10-05T00:00:00Z,2026-10-05T01:00:00Z,60000,40000\n")
        })
        .collect();
    let file = format!("record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down\n{rows}");
    let (_, said) = http("POST", gateway.http, "/linegate/v1/usageFiles", Some(("text/csv", &file))).unwrap();
    assert!(said.contains("\"unknown-line\":600"), "{said}");
    wait_for("suspense", Duration::from_secs(20), || total(&gateway, "unknown-line") == RECORDS, || gateway.tail());
    import_lines(&gateway, &range);

    // In the middle of it the power goes.
    let to = gateway.http;
    let cut =
        std::thread::spawn(move || http("POST", to, "/linegate/v1/suspense/recycle", Some(("application/json", "{}"))));
    pause(600);
    gateway.kill();
    let _cut_off = cut.join();

    let gateway = Gateway::start(folder.path(), Ports::free(), &settings);
    let (_, done) = gateway.post("/linegate/v1/suspense/recycle?by=kim", &json!({ "reason": "unknown-line" }));
    let done = done.as_str().map_or_else(|| done.to_string(), str::to_owned);
    let last: Value = serde_json::from_str(done.lines().last().unwrap()).unwrap();
    assert_eq!(last["done"]["outcomes"].as_object().unwrap().len(), 1, "{last}");
    assert_eq!(total(&gateway, "unknown-line"), 0);
    for n in 0..3 {
        assert_eq!(gateway.rated_octets(&range.line_id(n)), RECORDS / 3 * 100_000, "line {n}");
    }
    let one = gateway.get("/linegate/v1/suspense/file%2Fid%2Fr0%2F1").1;
    assert_eq!(one["status"], "recycled", "{one}");
    let (again, _) = gateway.post("/linegate/v1/suspense/file%2Fid%2Fr0%2F1/recycle", &json!({}));
    assert_eq!(again, 409);

    let line = range.line_id(0);
    let account = gateway.get(&format!("/tmf-api/usageManagement/v4/usage?line={line}&limit=1")).1;
    let cycle = account[0]["usageCharacteristic"].as_array().unwrap().iter().find(|c| c["name"] == "cycle").unwrap();
    let (agrees, said) = explain(folder.path(), &line, cycle["value"].as_str().unwrap());
    assert!(agrees && said.contains("the books agree"), "{said}");
    assert!(
        said.contains("100000 at usage: 3/100000 from 0") && said.contains("20000000 octets, 600 minor units"),
        "{said}"
    );
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_top_up_raises_what_is_left_and_calls_the_session_back() {
    let folder = tempfile::tempdir().unwrap();
    let range = LineRange { lines: 1, plan: "iot-capped".into(), ..LineRange::default() };
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    import_lines(&gateway, &range);
    let network = crate::network::hss(gateway.diameter);
    let pgw = network.add("pgw-1.linegate.example", &[Role::PgwC], gateway.diameter);
    let opening = pgw.open_session(SessionConfig::new(&range.imsi(0), "iot.example"));
    let (session, opened) = network.runtime.block_on(opening).unwrap();
    assert!(opened.is_success(), "{opened:?}");
    network.runtime.block_on(session.spend(20_000_000)).unwrap();

    const BASE: &str = "/tmf-api/prepayBalanceManagement/v4";
    let line = range.line_id(0);
    let octets = |of: &Value, name: &str| of[name]["amount"].as_u64().unwrap();
    let bucket = || gateway.get(&format!("{BASE}/bucket/{line}")).1;
    // What is left and what is used: the session goes on meanwhile.
    let whole = || octets(&bucket(), "remainingValue") + octets(&bucket(), "usedValue");
    assert_eq!(whole(), 100_000_000);
    let answers = session.answers().len();
    let ask = json!({ "amount": { "amount": 7, "units": "MB" }, "bucket": { "id": line } });
    let (status, made) = gateway.post(&format!("{BASE}/topupBalance"), &ask);
    assert_eq!(status, 201, "{made}");
    let come_back = || session.answers().len() > answers;
    wait_for("a CCR-U after the RAR", Duration::from_secs(10), come_back, || gateway.tail());
    assert_eq!(whole(), 107_000_000);
    let account = made["partyAccount"]["id"].as_str().unwrap();
    let total = gateway.get(&format!("{BASE}/accumulatedBalance/{account}")).1;
    assert_eq!(octets(&total, "totalBalance"), octets(&bucket(), "remainingValue"));
    let listed = || gateway.get(&format!("{BASE}/topupBalance?product.id={line}")).1;
    wait_for("its posting", Duration::from_secs(10), || listed()[0]["id"] == made["id"], || gateway.tail());
    assert_eq!(listed()[0]["amount"]["amount"], 7_000_000);
    network.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}
