//! Erlang/OTP's `diameter`, from Debian, as three network elements: a strict
//! judge of grammar in both directions, by dictionaries written from the
//! standards.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::judge::{Judge, activate, completed, modify};
use crate::messages;
use crate::support::{Gateway, Ports, free_port, signal, wait_for};

const IMSI: &str = "450080000000888";
const NOBODY: &str = "450089999999999";

/// Compiles dictionaries, each loaded for those that take AVPs over from it, and
/// the elements.
const BUILD: &str = r#"
    [Sources, Out] = init:get_plain_arguments(),
    In = fun(Folder, Name) -> filename:join(Folder, Name) end,
    Compile = fun(File) ->
        {ok, Module} = compile:file(File, [report, {outdir, Out}]),
        {module, Module} = code:load_abs(In(Out, atom_to_list(Module)))
    end,
    [begin
        ok = diameter_make:codec(In(Sources, Name ++ ".dia"), [{outdir, Out}]),
        Compile(In(Out, Name ++ ".erl"))
     end || Name <- ["gy", "rf", "s6a", "lp"]],
    Compile(In(Sources, "judge.erl")),
    halt(0).
"#;

fn compile(folder: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/erlang");
    let mut command = Command::new("erl");
    command.args(["-noshell", "-eval", BUILD, "-extra"]).arg(sources).arg(folder);
    let done = command.output().unwrap_or_else(|e| panic!("erl: {e}; ./tests/run installs it"));
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{said}");
}

/// The elements of most tests.
const NODES: [&str; 3] = ["hss", "mme", "pgw"];

/// Starts elements; they connect to the port, or listen on it and the next ones.
fn start(folder: &Path, mode: &str, port: u16, nodes: &[&str]) -> Judge {
    compile(folder);
    let mut command = Command::new("erl");
    command.args(["-noshell", "-pa"]).arg(folder).args(["-s", "judge", "main", mode, &port.to_string()]).args(nodes);
    Judge::start("erl", &mut command, &folder.join(format!("{}.log", nodes.join("-"))))
}

fn opened(judge: &mut Judge, gateway: &Gateway) {
    for node in NODES {
        judge.verdict(&format!("open {node}"), gateway);
    }
    let up = || gateway.metric("linegate_diameter_peers_up") == 3;
    wait_for("three elements", Duration::from_secs(10), up, || gateway.tail());
}

/// What diameter makes of the answer to one order.
fn check(judge: &mut Judge, gateway: &Gateway, order: &str, session: &str, expected: &str) {
    judge.order(order);
    let answer = judge.verdict(&format!("answer {session} "), gateway);
    assert_eq!(answer, expected, "{order}");
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

#[test]
fn erlang_finds_no_fault_in_any_message_that_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let mut judge = start(folder.path(), "connect", gateway.diameter.port(), &NODES);
    let samples = messages::all();
    for (number, sample) in samples.iter().enumerate() {
        judge.order(&format!("decode {number} {}", hex(&sample.bytes)));
    }
    let mut faults = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let verdict = judge.verdict(&format!("decoded {number} "), &gateway);
        if !verdict.ends_with(" errors=[]") {
            faults.push(format!("{}: {verdict}", sample.what));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    // And it does find faults.
    judge.order(&format!("decode faulty {}", hex(&messages::faulty_answer())));
    let faulty = judge.verdict("decoded faulty ", &gateway);
    assert!(faulty.contains("{5008,undefined,9999,") && faulty.contains(",415,"), "{faulty}");
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn erlang_finds_no_fault_in_what_the_gateway_says() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__WATCHDOG_S", "6")]);
    let mut judge = start(folder.path(), "connect", gateway.diameter.port(), &NODES);
    opened(&mut judge, &gateway);
    life_of_a_line(&mut judge, &gateway);
    let log = judge.log();
    assert!(!log.contains("REPORT===="), "{log}");
    assert_eq!(gateway.terminate(), Some(0));
}

/// Three ports in a row that nobody listens on at this moment.
fn three_ports() -> u16 {
    for _ in 0..100 {
        let first = free_port().port();
        let free = |port| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_ok();
        if first < 65_533 && free(first) && free(first + 1) && free(first + 2) {
            return first;
        }
    }
    panic!("no three free ports in a row");
}

#[test]
fn erlang_finds_no_fault_in_a_gateway_that_connects() {
    let folder = tempfile::tempdir().unwrap();
    let port = three_ports();
    let hosts = ["hss-1.linegate.example", "mme-1.example.net", "pgw-1.example.net"];
    let dialled = |(host, port): (&&str, u16)| format!("{{ host = \"{host}\", connect = \"127.0.0.1:{port}\" }}");
    let peers: Vec<String> = hosts.iter().zip(port..).map(dialled).collect();
    let peers = format!("[{}]", peers.join(", "));
    let mut judge = start(folder.path(), "listen", port, &NODES);
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__PEERS", &peers)]);
    opened(&mut judge, &gateway);
    life_of_a_line(&mut judge, &gateway);
    assert_eq!(gateway.terminate(), Some(0));
}

/// Activation, use, change and suspension of a line, with everything that both
/// sides say.
fn life_of_a_line(judge: &mut Judge, gateway: &Gateway) {
    let order = activate(gateway, "line-888", IMSI);
    let provision = judge.verdict("request hss 'Provision-Request'", gateway);
    assert!(provision.ends_with("errors=[] action=1 line=line-888"), "{provision}");
    completed(gateway, &order);

    mobility(judge, gateway);
    credit_control(judge, gateway);
    accounting(judge, gateway);

    // A change of plan: IDR and RAR. A suspension: ASR and CLR.
    let plan = json!({ "id": "line-888", "serviceCharacteristic": [{ "name": "plan", "value": "iot-10mb" }] });
    let changed = modify(gateway, &plan);
    assert_eq!(judge.verdict("request pgw 'RAR'", gateway), "session=judge;1;1 errors=[]");
    let inserted = judge.verdict("request mme 'IDR'", gateway);
    assert!(inserted.ends_with(&format!("errors=[] user={IMSI}")), "{inserted}");
    completed(gateway, &changed);
    let suspended = modify(gateway, &json!({ "id": "line-888", "state": "inactive" }));
    assert_eq!(judge.verdict("request pgw 'ASR'", gateway), "session=judge;1;1 errors=[]");
    let cancelled = judge.verdict("request mme 'CLR'", gateway);
    assert!(cancelled.ends_with(&format!("errors=[] user={IMSI}")), "{cancelled}");
    completed(gateway, &suspended);
    let ended = "'CCA' session=judge;1;1 result=2001 errors=[] group=10:2001:0 group=20:2001:0";
    check(judge, gateway, &format!("ccr 3 9 judge;1;1 {IMSI} 1000"), "judge;1;1", ended);
    let log = judge.log();
    let asked = log.lines().filter(|line| line.starts_with("judge: request"));
    let faulty: Vec<&str> = asked.filter(|line| !line.contains("errors=[]")).collect();
    assert!(faulty.is_empty(), "{faulty:#?}");
}

fn mobility(judge: &mut Judge, gateway: &Gateway) {
    let ula = "'ULA' session=judge;2;1 result=2001 errors=[] status=0";
    check(judge, gateway, &format!("ulr judge;2;1 {IMSI}"), "judge;2;1", ula);
    let nobody = "'ULA' session=judge;2;2 result={experimental,5001} errors=[]";
    check(judge, gateway, &format!("ulr judge;2;2 {NOBODY}"), "judge;2;2", nobody);
    let noa = "'NOA' session=judge;2;3 result=2001 errors=[]";
    check(judge, gateway, &format!("nor judge;2;3 {IMSI}"), "judge;2;3", noa);
    let aia = "'AIA' session=judge;2;4 result=5012 errors=[]";
    check(judge, gateway, &format!("air judge;2;4 {IMSI}"), "judge;2;4", aia);
    let pua = "'PUA' session=judge;2;5 result=2001 errors=[]";
    check(judge, gateway, &format!("pur judge;2;5 {IMSI}"), "judge;2;5", pua);
    // Attached again, for what follows.
    let ula = "'ULA' session=judge;2;6 result=2001 errors=[] status=0";
    check(judge, gateway, &format!("ulr judge;2;6 {IMSI}"), "judge;2;6", ula);
}

fn credit_control(judge: &mut Judge, gateway: &Gateway) {
    let granted = "result=2001 errors=[] group=10:2001:1000000 group=20:2001:1000000";
    for (kind, number) in [(1, 0), (2, 1)] {
        let expected = format!("'CCA' session=judge;1;1 {granted}");
        check(judge, gateway, &format!("ccr {kind} {number} judge;1;1 {IMSI} 40000"), "judge;1;1", &expected);
    }
    let nobody = "'CCA' session=judge;1;2 result=5030 errors=[] group=10:5030:0 group=20:5030:0";
    check(judge, gateway, &format!("ccr 1 0 judge;1;2 {NOBODY} 0"), "judge;1;2", nobody);
    judge.order(&format!("repeated 5 judge;1;1 {IMSI}"));
    assert_eq!(judge.verdict("repeated judge;1;1", gateway), "identical");
}

fn accounting(judge: &mut Judge, gateway: &Gateway) {
    for (kind, number) in [(2, 0), (3, 1), (4, 2)] {
        let aca = "'ACA' session=judge;3;1 result=2001 errors=[]";
        check(judge, gateway, &format!("acr {kind} {number} judge;3;1 {IMSI}"), "judge;3;1", aca);
    }
    let event = "'ACA' session=judge;3;2 result=2001 errors=[]";
    check(judge, gateway, &format!("acr 1 0 judge;3;2 {IMSI}"), "judge;3;2", event);
}

#[test]
fn erlang_finds_no_fault_in_answers_to_events() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    let mut judge = start(folder.path(), "connect", gateway.diameter.port(), &NODES);
    opened(&mut judge, &gateway);
    completed(&gateway, &activate(&gateway, "line-888", IMSI));
    for action in 0..=3 {
        let session = format!("judge;4;{action}");
        judge.order(&format!("event {action} {session} {IMSI} 3000"));
        let answer = judge.verdict(&format!("answer {session} "), &gateway);
        assert!(answer.starts_with(&format!("'CCA' session={session} result=2001 errors=[]")), "{answer}");
    }
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_command_to_an_element_that_hangs_goes_to_its_twin_with_the_t_flag() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = r#"["hss-1.linegate.example", "hss-2.linegate.example"]"#;
    let elements = format!("[{{ id = \"hss-1\", hosts = {hosts}, access = [\"cellular\"] }}]");
    let settings = [
        ("LINEGATE__DIAMETER__ELEMENTS", elements.as_str()),
        ("LINEGATE__DIAMETER__WATCHDOG_S", "6"),
        // Longer than it takes to suspect a peer: two periods and their jitter.
        ("LINEGATE__DIAMETER__REQUEST_TIMEOUT_MS", "30000"),
    ];
    let gateway = Gateway::start(folder.path(), Ports::free(), &settings);
    let mut first = start(folder.path(), "connect", gateway.diameter.port(), &["hss"]);
    let mut twin = start(folder.path(), "connect", gateway.diameter.port(), &["hss2"]);
    first.verdict("open hss", &gateway);
    twin.verdict("open hss2", &gateway);
    let up = || gateway.metric("linegate_diameter_peers_up") == 2;
    wait_for("both", Duration::from_secs(10), up, || gateway.tail());

    signal(first.pid(), "STOP");
    let order = activate(&gateway, "line-889", "450080000000889");
    let provision = twin.verdict_within(Duration::from_secs(25), "request hss2 'Provision-Request'", &gateway);
    assert!(provision.ends_with(" repeated errors=[] action=1 line=line-889"), "{provision}");
    completed(&gateway, &order);
    assert_eq!(gateway.terminate(), Some(0));
}
