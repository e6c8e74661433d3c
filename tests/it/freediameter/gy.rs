//! Gy between the gateway and a client inside freeDiameter, which parses every
//! answer by the rules of its own dict_dcca.

use std::path::{Path, PathBuf};
use std::process::Command;

use linegate_simulators::lines::LineRange;
use serde_json::json;

use super::{FreeDiameter, open_on_both_sides};
use crate::judge::{Judge, activate, completed, import, modify};
use crate::support::{Gateway, Ports};

const INITIAL: u8 = 1;
const UPDATE: u8 = 2;
const TERMINATION: u8 = 3;
const DIRECT_DEBITING: u8 = 0;
const REFUND: u8 = 1;
const CHECK_BALANCE: u8 = 2;
const PRICE_ENQUIRY: u8 = 3;

/// Builds the client as an extension of freeDiameter.
pub fn judge(folder: &Path) -> PathBuf {
    let built = folder.join("judge.fdx");
    if !built.exists() {
        let done = Command::new("gcc")
            .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", "-o"])
            .arg(&built)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/freediameter/judge.c"))
            .args(["-lfdcore", "-lfdproto", "-lpthread"])
            .output()
            .expect("gcc; ./tests/run installs it");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    built
}

/// A CCR with the rating groups 10 and 20; what freeDiameter makes of its answer.
fn ccr(judge: &mut Judge, gateway: &Gateway, kind: u8, number: u32, session: &str, imsi: &str) -> String {
    judge.order(&format!("ccr {kind} {number} {session} {imsi} 40000"));
    judge.verdict(&format!("answer {session}"), gateway)
}

const OPENED: &str = "grammar=ok unknown=0 group=10:2001:1000000 group=20:2001:1000000";

#[test]
fn freediameters_dictionary_finds_no_fault_in_gy() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let lines = LineRange { lines: 1, ..LineRange::default() };
    import(&gateway, &lines);
    let imsi = lines.imsi(0);
    let peer = FreeDiameter { gy: true, ..FreeDiameter::new(folder.path(), Some(gateway.diameter)) };
    let judge = &mut peer.start();
    open_on_both_sides(&peer, &gateway);
    let element = crate::network::hss(gateway.diameter);

    assert_eq!(ccr(judge, &gateway, INITIAL, 0, "fd;1;1", &imsi), format!("result=2001 number=0 error=0 {OPENED}"));
    assert_eq!(ccr(judge, &gateway, UPDATE, 1, "fd;1;1", &imsi), format!("result=2001 number=1 error=0 {OPENED}"));
    let ended = ccr(judge, &gateway, TERMINATION, 2, "fd;1;1", &imsi);
    assert_eq!(ended, "result=2001 number=2 error=0 grammar=ok unknown=0 group=10:2001:0 group=20:2001:0");

    let nobody = ccr(judge, &gateway, INITIAL, 0, "fd;1;2", "450089999999999");
    assert!(nobody.starts_with("result=5030 number=0 error=0 grammar=ok unknown=0"), "{nobody}");
    judge.order(&format!("ccr {UPDATE} 7 fd;1;3 {imsi} 40000 CC-Request-Type"));
    let missing = judge.verdict("answer fd;1;3", &gateway);
    assert!(missing.starts_with("result=5005 "), "{missing}");
    assert!(missing.contains("grammar=ok unknown=0 failed=CC-Request-Type"), "{missing}");

    // A change of plan asks the session to re-authorise, a suspension ends it.
    let other = "450080000000999";
    completed(&gateway, &activate(&gateway, "line-999", other));
    assert_eq!(ccr(judge, &gateway, INITIAL, 0, "fd;1;4", other), format!("result=2001 number=0 error=0 {OPENED}"));
    let plan = json!({ "id": "line-999", "serviceCharacteristic": [{ "name": "plan", "value": "iot-10mb" }] });
    let changed = modify(&gateway, &plan);
    assert_eq!(judge.verdict("request RAR", &gateway), "fd;1;4 grammar=ok unknown=0");
    completed(&gateway, &changed);
    let suspended = modify(&gateway, &json!({ "id": "line-999", "state": "inactive" }));
    assert_eq!(judge.verdict("request ASR", &gateway), "fd;1;4 grammar=ok unknown=0");
    completed(&gateway, &suspended);
    let ended = ccr(judge, &gateway, TERMINATION, 1, "fd;1;4", other);
    assert!(ended.starts_with("result=2001 number=1 error=0 grammar=ok unknown=0"), "{ended}");

    let log = judge.log();
    assert!(!log.contains("Parsing error"), "{log}");
    element.shutdown();
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn freediameters_dictionary_finds_no_fault_in_events() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let lines = LineRange { lines: 1, ..LineRange::default() };
    import(&gateway, &lines);
    let peer = FreeDiameter { gy: true, ..FreeDiameter::new(folder.path(), Some(gateway.diameter)) };
    let mut judge = peer.start();
    open_on_both_sides(&peer, &gateway);
    for action in [DIRECT_DEBITING, REFUND, CHECK_BALANCE, PRICE_ENQUIRY] {
        let session = format!("fd;2;{action}");
        judge.order(&format!("event {action} {session} {} 3", lines.imsi(0)));
        let answer = judge.verdict(&format!("answer {session}"), &gateway);
        assert!(answer.starts_with("result=2001 number=0 error=0 grammar=ok unknown=0"), "{action}: {answer}");
    }
    assert_eq!(gateway.terminate(), Some(0));
}
