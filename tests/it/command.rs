//! The command line: what stops a start, and the commands beside a running
//! gateway and without one.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bytes::BytesMut;
use linegate_diameter::apps::base::DeviceWatchdog;
use linegate_diameter::dictionary as dict;
use linegate_diameter::{Header, Writer};
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
    check_refused(
        &["check-config"],
        &[("LINEGATE__MQTT__LISTEN", "0.0.0.0:1883")],
        &["mqtt.listen", "mqtt.enrolment", "loopback"],
    );
    check_refused(&["check-config"], &[("LINEGATE__MQTT__ENROLMENT", "maybe")], &["mqtt.enrolment", "maybe"]);
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

/// A Device-Watchdog-Request of `pgw.example`, with or without its realm.
fn watchdog(whole: bool) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut writer = Writer::begin(&mut out, &Header { hop_by_hop: 7, end_to_end: 9, ..DeviceWatchdog::header() });
    writer.text(&dict::ORIGIN_HOST, "pgw.example");
    if whole {
        writer.text(&dict::ORIGIN_REALM, "example");
    }
    writer.finish();
    out.to_vec()
}

/// What `linegate decode` prints, and its exit code.
fn decoded(argument: &str, stdin: &[u8]) -> (String, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_linegate"))
        .args(["decode", argument])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

#[test]
fn decode_prints_messages_of_every_kind_of_input_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = watchdog(true);
    let hex: String = good.iter().map(|octet| format!("{octet:02x}")).collect();
    let expected = "\
Device-Watchdog-Request (280), application 0 Diameter common messages, hop-by-hop 0x00000007, end-to-end 0x00000009, 56 octets
  Origin-Host (264) M = \"pgw.example\"
  Origin-Realm (296) M = \"example\"
  good
";
    let whole = || (expected.to_owned(), Some(0));
    assert_eq!(decoded(&hex, b""), whole());
    assert_eq!(decoded(&file("binary", &good), b""), whole());
    assert_eq!(decoded(&file("text", hex.as_bytes()), b""), whole());
    let dump: String = (0..good.len())
        .step_by(16)
        .map(|at| {
            let line: String = good[at..good.len().min(at + 16)].iter().map(|octet| format!("{octet:02x} ")).collect();
            format!("{at:08x}  {line:48} |{}|\n", "x".repeat(16))
        })
        .collect();
    assert_eq!(decoded("-", dump.as_bytes()), whole());

    let (said, code) = decoded(&file("two", &[good.clone(), watchdog(false)].concat()), b"");
    assert!(said.starts_with(&format!("octet 0 of 96:\n{expected}\noctet 56 of 96:\nDevice-")), "{said}");
    assert!(said.ends_with("  wrong: 5005 MISSING_AVP: Origin-Realm (RFC 6733 section 7.1.5)\n"), "{said}");
    assert_eq!(code, Some(1));
    let (said, code) = decoded("-", &good[..40]);
    assert!(said.contains("wrong: cut short at octet 40: the header says 56 octets"), "{said}");
    assert_eq!(code, Some(1));

    let unreadable = |argument: &str, stdin: &[u8], expected: &str| {
        let (said, code) = decoded(argument, stdin);
        assert_eq!((said.trim().lines().count(), code), (1, Some(2)), "{said}");
        assert!(said.contains(expected), "`{expected}` is not in: {said}");
    };
    unreadable("/nowhere/capture.bin", b"", "no such file");
    unreadable("-", b"01 00 0", "odd number");
    unreadable("-", b"", "nothing to decode");
    unreadable("-", &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0], "tshark");
}
