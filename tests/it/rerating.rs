//! Rating again in a real gateway: a wrong price, its correction, a kill in between.

use linegate_simulators::lines::LineRange;
use serde_json::{Value, json};

use crate::support::{Gateway, Ports, http, pause};
use crate::usage::import_lines;

const PATH: &str = "/linegate/v1/rerating";
const LINES: u64 = 40;
const RECORDS: u64 = 1200;

/// The report of a run: a line for each account, and the sums.
fn rerate(gateway: &Gateway, ask: &Value) -> (Vec<Value>, Value) {
    let (status, said) = gateway.post(PATH, ask);
    assert_eq!(status, 200, "{said}");
    let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
    let mut lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done = lines.pop().unwrap()["done"].clone();
    (lines, done)
}

#[test]
fn a_corrected_price_is_applied_once_through_a_kill_and_the_books_agree() {
    let folder = tempfile::tempdir().unwrap();
    let range = LineRange { lines: LINES, ..LineRange::default() };
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    import_lines(&gateway, &range);
    let rows: String = (0..RECORDS)
        .map(|n| {
            let imsi = range.imsi(n % LINES);
            format!("r{n},{imsi},,iot.example,1,2026-10-05T00:00:00Z,2026-10-05T01:00:00Z,60000,40000\n")
        })
        .collect();
    let file = format!("record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down\n{rows}");
    let (_, said) = http("POST", gateway.http, "/linegate/v1/usageFiles", Some(("text/csv", &file))).unwrap();
    assert!(said.contains("\"taken\":1200"), "{said}");
    assert_eq!(gateway.terminate(), Some(0));

    let tariff = folder.path().join("corrected.toml");
    let shipped = include_str!("../../config/tariffs.toml");
    let wrong = "tier = [{ from_octets = 0, price = 3, per_octets = 100_000 }]";
    std::fs::write(&tariff, shipped.replacen(wrong, &wrong.replace("price = 3", "price = 5"), 1)).unwrap();
    let settings = [("LINEGATE__TARIFFS__FILE", tariff.to_str().unwrap())];
    let gateway = Gateway::start(folder.path(), Ports::free(), &settings);
    let line = range.line_id(0);
    let usage = gateway.get(&format!("/tmf-api/usageManagement/v4/usage?line={line}&limit=1")).1;
    let characteristics = usage[0]["usageCharacteristic"].as_array().unwrap();
    let cycle = characteristics.iter().find(|c| c["name"] == "cycle").unwrap()["value"].clone();

    let whole = json!({ "rerated": LINES });
    let sums = |done: &Value| (done["changed"].clone(), done["before"].clone(), done["after"].clone());
    let (_, dry) = rerate(&gateway, &json!({ "id": "fix", "cycle": cycle, "dryRun": true }));
    assert_eq!((&dry["outcomes"], sums(&dry)), (&whole, (json!(1200), json!(3600), json!(6000))));
    let one = json!({ "id": "fix", "cycle": cycle, "line": line });
    let (of_line, _) = rerate(&gateway, &one);
    assert_eq!((&of_line[0]["before"], &of_line[0]["after"]), (&json!(90), &json!(150)), "{of_line:?}");

    // In the middle of the rest the power goes.
    let (to, all) = (gateway.http, json!({ "id": "fix", "cycle": cycle }).to_string());
    let cut = std::thread::spawn(move || http("POST", to, PATH, Some(("application/json", &all))));
    pause(30);
    gateway.kill();
    let _cut_off = cut.join();
    let gateway = Gateway::start(folder.path(), Ports::free(), &settings);
    let (lines, done) = rerate(&gateway, &json!({ "id": "fix", "cycle": cycle }));
    assert_eq!(lines.len() as u64, LINES);
    assert!(done["outcomes"]["done-before"].as_u64() >= Some(1), "{done}");
    let (_, again) = rerate(&gateway, &json!({ "id": "fix", "cycle": cycle }));
    assert_eq!(again["outcomes"], json!({ "done-before": LINES }));
    let (_, other) = rerate(&gateway, &json!({ "id": "once more", "cycle": cycle, "dryRun": true }));
    assert_eq!((&other["outcomes"], sums(&other).2), (&json!({ "unchanged": LINES }), json!(6000)));

    for n in 0..LINES {
        let explained = gateway.get(&format!(
            "/linegate/v1/explain?line={}&cycle={}&limit=1000",
            range.line_id(n),
            cycle.as_str().unwrap()
        ));
        let sum = &explained.1["sums"][0]["totals"];
        assert_eq!((&explained.1["agrees"], &sum["amount"]), (&json!(true), &json!(150)), "line {n}: {}", explained.1);
        assert_eq!(sum["octets"], json!(3_000_000), "line {n}");
    }
    assert_eq!(gateway.terminate(), Some(0));
}
