//! The command line: what stops a start, and the commands beside a running
//! gateway and without one.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use linegate_simulators::lines::LineRange;

use crate::support::{Gateway, Ports};

fn linegate(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_linegate"))
        .args(arguments)
        .env("LINEGATE__DATA__FOLDER", folder.join("data"))
        .env("LINEGATE__LOG__FILTER", "warn")
        .env("LINEGATE__HTTP__LISTEN", "127.0.0.1:0")
        .env("LINEGATE__DIAMETER__LISTEN", "127.0.0.1:0")
        .env("LINEGATE__MQTT__LISTEN", "127.0.0.1:0")
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

/// The start stops with exit code 2 and one line that holds `expected`.
fn check_refused(arguments: &[&str], settings: &[(&str, &str)], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let output = linegate(folder.path(), arguments, settings);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    for part in expected {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

#[test]
fn what_stops_a_start_is_one_clear_line_and_exit_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check_refused(&["serve"], &[("LINEGATE__HTTP__LISTEN", &address)], &["listen on", &address, "http.listen"]);
    check_refused(&["serve"], &[("LINEGATE__MQTT__LISTEN", &address)], &["listen on", &address, "mqtt.listen"]);
    check_refused(&["serve"], &[("LINEGATE__DATA__FOLDER", "/dev/null/data")], &["/dev/null/data", "data.folder"]);
    check_refused(&["serve"], &[("LINEGATE__MQTT__LISTENN", "x")], &["LINEGATE__MQTT__LISTENN", "listenn"]);
    check_refused(&["check-config"], &[("LINEGATE__BILLING__ANCHOR_DAY", "32")], &["32"]);
    check_refused(
        &["check-config"],
        &[("LINEGATE__DIAMETER__LISTEN", "0.0.0.0:3868")],
        &["diameter.peers", "loopback"],
    );
    check_refused(&["serve", "--config", "/nowhere.toml"], &[], &["/nowhere.toml"]);
    check_refused(
        &["check-config"],
        &[("LINEGATE__TARIFFS__FILE", "/nowhere/tariffs.toml")],
        &["/nowhere/tariffs.toml"],
    );
}

#[test]
fn commands_work_without_a_gateway_and_beside_one_and_change_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let range = LineRange { lines: 30, ..LineRange::default() };
    let lines = folder.path().join("lines.csv");
    range.write_csv(&mut std::fs::File::create(&lines).unwrap()).unwrap();
    let usage = folder.path().join("usage.csv");
    let rows: String = (0..30)
        .map(|n| {
            format!("r{n},{},,iot.example,1,2026-10-05T00:00:00Z,2026-10-05T01:00:00Z,100000,150000\n", range.imsi(n))
        })
        .collect();
    std::fs::write(
        &usage,
        format!("record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down\n{rows}bad\n"),
    )
    .unwrap();

    let imported = linegate(folder.path(), &["import-lines", lines.to_str().unwrap()], &[]);
    let said = String::from_utf8_lossy(&imported.stdout).into_owned();
    assert!(
        imported.status.success() && said.contains("taken 30"),
        "{said}{}",
        String::from_utf8_lossy(&imported.stderr)
    );

    let taken = linegate(folder.path(), &["import-usage", usage.to_str().unwrap()], &[]);
    let said = String::from_utf8_lossy(&taken.stdout).into_owned();
    assert!(said.contains("taken 30") && said.contains("bad 1") && said.contains("row 31"), "{said}");

    let early = linegate(folder.path(), &["close-month", "--cycle", "2099-01"], &[]);
    assert!(!early.status.success(), "a cycle in the future was closed");
    let first = linegate(folder.path(), &["close-month", "--cycle", "2026-10"], &[]);
    let first = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(first.contains("invoices 30"), "{first}");

    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let again = linegate(folder.path(), &["close-month", "--cycle", "2026-10"], &[]);
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    assert_eq!(first.lines().last(), again.lines().last(), "a second close changed the month");
    let repeated = linegate(folder.path(), &["import-usage", usage.to_str().unwrap()], &[]);
    let said = String::from_utf8_lossy(&repeated.stdout).into_owned();
    assert!(said.contains("alreadyImported true"), "{said}");
    assert_eq!(gateway.rated_octets(&range.line_id(0)), 250_000);
    let bills = gateway.get("/tmf-api/customerBillManagement/v4/customerBill?cycle=2026-10&limit=100").1;
    assert_eq!(bills.as_array().map(Vec::len), Some(30), "{bills}");
    assert_eq!(gateway.terminate(), Some(0));
}
