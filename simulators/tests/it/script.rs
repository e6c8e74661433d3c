//! Scripts: what cannot be read, and two of them against each other.

use std::net::SocketAddr;

use linegate_simulators::element::script::{RunSettings, Script, ScriptError};
use tokio::sync::mpsc;

#[track_caller]
fn check_unreadable(text: &str, expected: &str) {
    let error = Script::parse("a.script", text).unwrap_err();
    assert_eq!(error.to_string(), format!("a.script:{expected}"));
}

#[test]
fn a_script_with_a_mistake_does_not_start_and_says_where_it_is() {
    check_unreadable("connect\nsend CXR", "2: no command is called CXR");
    check_unreadable("# nothing\n\nfly", "3: no statement is called fly");
    check_unreadable("connect connect", "1: one statement a line");
    check_unreadable(
        "send CCR {\n  Rating-Grup = 1\n}",
        "2: no AVP is called Rating-Grup; avp(code, vendor, flags) gives any",
    );
    check_unreadable(
        "send CCR {\n  CC-Request-Type = SOMETIMES }",
        "2: CC-Request-Type = SOMETIMES: not a value of it, by number or name",
    );
    check_unreadable("send CCR { CC-Request-Number = -1 }", "1: CC-Request-Number = -1: not an Unsigned32");
    check_unreadable(
        "send CCR { CC-Request-Number = 4294967296 }",
        "1: CC-Request-Number = 4294967296: not an Unsigned32",
    );
    check_unreadable("send CCR { Event-Timestamp = noon }", "1: Event-Timestamp = noon: not a time: RFC 3339, or now");
    check_unreadable("send CCR { Subscription-Id = 7 }", "1: Subscription-Id is grouped: its members stand in braces");
    check_unreadable("send CCR {\n", "1: an AVP or a closing brace is missing");
    check_unreadable("repeat 2 {\nwait 300ms\n", "2: a block without its closing brace");
    check_unreadable("wait 5", "1: 5: not a time in ms, s or min");
    check_unreadable("raw 0100g0", "1: raw takes octets in hexadecimal");
    check_unreadable("set a = \"b", "1: a quote without its end");
    check_unreadable("on CCA silent", "1: only requests are reacted to");
    check_unreadable("on RAR answer ASA", "1: not the answer of a Re-Auth-Request");
    check_unreadable(&"repeat 2 {\n".repeat(20), "9: blocks nest deeper than 8");
    check_unreadable(&format!("send CCR {{ {}", "Proxy-Info { ".repeat(100)), "1: groups nest deeper than 32");
}

fn settings(gateway: SocketAddr) -> RunSettings {
    RunSettings { gateway, variables: vec![("host".into(), "b.example".into())], trace: false }
}

/// Runs `listening`, which listens, and `dialling` against it.
async fn both(listening: &str, dialling: &str) -> (Result<(), ScriptError>, Result<(), ScriptError>) {
    let listening = Script::parse("a.script", listening).unwrap();
    let dialling = Script::parse("b.script", dialling).unwrap();
    let (told, mut addresses) = mpsc::unbounded_channel();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = tokio::spawn(async move {
        let mut log = |line: &str| {
            if let Some(address) = line.strip_prefix("listening on ") {
                told.send(address.parse::<SocketAddr>().unwrap()).unwrap();
            }
        };
        listening.run(settings(any), &mut log).await
    });
    let gateway = addresses.recv().await.unwrap();
    let client = dialling.run(settings(gateway), &mut |_| {}).await;
    (server.await.unwrap(), client)
}

const SERVER: &str =
    "listen 127.0.0.1:0\nexpect CER Origin-Host = \"b.example\"\nanswer CEA { Auth-Application-Id = 4 }\n";
const CLIENT: &str = "connect\nsend CER { Auth-Application-Id = 4 }\nexpect CEA Result-Code = 2001\n";

/// Both hold what they expect.
#[track_caller]
fn check_held(listening: &str, dialling: &str) {
    let (server, client) = run(listening, dialling);
    assert_eq!((server, client), (Ok(()), Ok(())));
}

/// The one who dials stops at `line` with a reason that holds `expected`.
#[track_caller]
fn check_failed(listening: &str, dialling: &str, line: usize, expected: &str) {
    let (_, client) = run(listening, dialling);
    let Err(ScriptError::Failed { line: at, reason, .. }) = client else { panic!("{client:?}") };
    assert!(at == line && reason.contains(expected), "line {at}: {reason}");
}

fn run(listening: &str, dialling: &str) -> (Result<(), ScriptError>, Result<(), ScriptError>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(both(&format!("{SERVER}{listening}"), &format!("{CLIENT}{dialling}")))
}

#[test]
fn requests_are_filled_in_and_answered_by_standing_reactions() {
    let server = r#"
on CCR answer CCA { Multiple-Services-Credit-Control { Rating-Group = 10 } }
expect CCR { Session-Id  Auth-Application-Id = 4  CC-Request-Number = 0  Service-Context-Id = "32251@3gpp.org" }
expect CCR T { CC-Request-Number = 0 }
expect CCR { CC-Request-Number = 1  no User-Name }
send ASR { Session-Id = "s;1" }
expect ASA Result-Code = 5002
expect DPR Disconnect-Cause = BUSY
expect closed
"#;
    let client = r#"
on ASR answer ASA after 50ms { Result-Code = 5002 }
send CCR as first { CC-Request-Type = INITIAL_REQUEST }
expect CCA { Result-Code = 2001  CC-Request-Type = 1  CC-Request-Number = 0  Multiple-Services-Credit-Control { Rating-Group = 10 } }
again T first
expect CCA CC-Request-Number = 0
send CCR { CC-Request-Type = UPDATE_REQUEST }
expect CCA
expect ASR Session-Id = "s;1"
wait 200ms
close BUSY
"#;
    check_held(server, client);
}

#[test]
fn a_script_may_misbehave_in_every_way() {
    // two answers to one request
    let dwr = "send DWR\nexpect DWA\nexpect DWA\n";
    check_failed(
        "on DWR answer DWA twice\nwait 300ms\n",
        dwr,
        6,
        "answers no request, or one that was answered before",
    );
    // an answer with other ids
    let server = "on DWR answer DWA hop-by-hop 4711\nwait 300ms\n";
    check_failed(server, "send DWR\nexpect DWA\n", 5, "answers no request");
    // silence
    check_failed("on DWR silent\nwait 300ms\n", "send DWR\nexpect DWA within 100ms\n", 5, "did not come within 100ms");
    check_held("on DWR silent\nexpect DWR\nwait 300ms\n", "send DWR\nexpect nothing for 100ms\n");
    // no DPR
    check_held("drop\n", "expect closed\n");
    check_failed("on DWR drop\nexpect closed\n", "send DWR\nexpect DWA\n", 5, "before the connection was closed");
    // another version, and octets of no message at all
    check_failed("send DWR version 2\nwait 300ms\n", "expect DWR\n", 4, "version 2, need 1");
    check_failed(
        "raw 02 00 00 14 80000118 00000000 00000001 00000001\nwait 300ms\n",
        "expect DWR\n",
        4,
        "cannot be decoded",
    );
    // a message in two halves, and an AVP of a false length
    check_held("prepare DWR\nhalf 40\nwait 100ms\nrest\nexpect DWA\n", "expect DWR\nwait 100ms\n");
    let server = "send DWR { Origin-State-Id length 99 = 1 }\nwait 300ms\n";
    check_failed(server, "expect DWR\n", 4, "5014 INVALID_AVP_LENGTH: Origin-State-Id");
    // nothing that is required
    check_held("send DWR bare\nexpect DWA\n", "expect DWR { no Origin-Host  no Origin-Realm }\nwait 100ms\n");
}

#[test]
fn an_expectation_that_does_not_hold_says_what_is_missing_and_shows_the_message() {
    let server = "on CCR answer CCA { Multiple-Services-Credit-Control { Rating-Group = 20 } }\nwait 300ms\n";
    let client =
        "send CCR { CC-Request-Type = 1 }\nexpect CCA Multiple-Services-Credit-Control { Rating-Group = 10 }\n";
    check_failed(server, client, 5, "Multiple-Services-Credit-Control { Rating-Group = 10 } is not in it; received");
    check_failed(server, client, 5, "    Rating-Group (432) M = 20\n");
    check_failed(server, "set a = \"$b\"\n", 4, "no variable is called b");
}
