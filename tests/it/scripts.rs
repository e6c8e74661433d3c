//! The worked scripts of `simulators/scripts`, each against a real gateway, so
//! that they stay true.

use std::path::{Path, PathBuf};
use std::time::Duration;

use linegate_simulators::element::script::{RunSettings, Script};
use linegate_simulators::lines::LineRange;

use crate::support::{Gateway, Ports, http, wait_for};

/// Scripts that need a gateway with its defaults, and two short timers.
const ON_DEFAULTS: [&str; 7] =
    ["bad-avps", "duplicate", "gy-session", "half-message", "no-common-application", "slow-reader", "watchdog-silent"];

/// Scripts that need a list of peers.
const ON_PEERS: [&str; 1] = ["unknown-peer"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("simulators/scripts")
}

/// Runs one to its end; what went wrong.
fn run(gateway: &Gateway, name: &str, variables: &[(&str, &str)]) -> Result<(), String> {
    let file = folder().join(name).with_extension("script");
    let text = std::fs::read_to_string(&file).unwrap();
    let script = Script::parse(&format!("{name}.script"), &text).map_err(|error| error.to_string())?;
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables = variables.iter().map(owned).collect();
    let settings = RunSettings { gateway: gateway.diameter, variables, trace: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(script.run(settings, &mut |_| {})).map_err(|error| error.to_string())
}

#[test]
fn every_worked_script_is_run_here() {
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    let mut run: Vec<&str> = ON_DEFAULTS.into_iter().chain(ON_PEERS).collect();
    run.sort_unstable();
    assert_eq!(found, run);
}

#[test]
fn the_examples_of_the_page_can_be_read() {
    let page = include_str!("../../docs/element-scripts.md");
    let (_, examples) = page.split_once("## Two examples").unwrap();
    let (examples, _) = examples.split_once("## Statements").unwrap();
    let mut scripts = vec![String::new()];
    for line in examples.lines() {
        match line.strip_prefix("    ") {
            Some(code) => scripts.last_mut().unwrap().extend([code, "\n"]),
            None if !line.is_empty() => scripts.push(String::new()),
            None => {}
        }
    }
    scripts.retain(|script| !script.is_empty());
    assert_eq!(scripts.len(), 2);
    for script in scripts {
        assert_eq!(Script::parse("page", &script).map(drop), Ok(()), "{script}");
    }
}

#[test]
fn the_worked_scripts_hold_against_a_gateway() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("LINEGATE__DIAMETER__WATCHDOG_S", "6"), ("LINEGATE__DIAMETER__MESSAGE_TIMEOUT_MS", "1000")];
    let gateway = Gateway::start(data.path(), Ports::free(), &settings);
    let range = LineRange { lines: ON_DEFAULTS.len() as u64, ..LineRange::default() };
    let mut lines = Vec::new();
    range.write_csv(&mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let imported = http("POST", gateway.http, "/linegate/v1/lines/import", Some(("text/csv", &lines)));
    assert_eq!(imported.map(|(status, _)| status), Some(200));

    // at the same time, each with a line and, where it has one alone, a name of its own
    let failed: Vec<String> = std::thread::scope(|scope| {
        let start = (0..).zip(ON_DEFAULTS).map(|(n, name)| {
            let (gateway, imsi) = (&gateway, range.imsi(n));
            scope.spawn(move || {
                let host = format!("{name}.network.example");
                let named = [("imsi", imsi.as_str()), ("host", &host)];
                run(gateway, name, if name == "slow-reader" { &named[..1] } else { &named })
            })
        });
        let started: Vec<_> = start.collect();
        started.into_iter().filter_map(|script| script.join().unwrap().err()).collect()
    });
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), gateway.tail());

    let counted = |name: &str| {
        let n = ON_DEFAULTS.iter().position(|known| *known == name).unwrap();
        gateway.rated_octets(&range.line_id(n as u64))
    };
    let drained = || counted("gy-session") == 3500 && counted("duplicate") == 7000;
    let detail = || format!("{}, {}", counted("gy-session"), counted("duplicate"));
    wait_for("3,500 and 7,000 rated octets", Duration::from_secs(20), drained, detail);
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn a_gateway_with_a_list_of_peers_refuses_others() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("LINEGATE__DIAMETER__PEERS", "[{ host = \"pgw-1.operator.example\" }]")];
    let gateway = Gateway::start(data.path(), Ports::free(), &settings);
    assert_eq!(run(&gateway, "unknown-peer", &[]), Ok(()));
    let welcome = run(&gateway, "unknown-peer", &[("host", "pgw-1.operator.example")]);
    assert!(welcome.unwrap_err().contains("Result-Code (268) M = 2001 SUCCESS"));
    assert_eq!(gateway.terminate(), Some(0));
}
