//! freeDiameter, from Debian, as a connected peer: an independent judge of CER,
//! DWR and DPR.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Gateway, Ports, Running, free_port, tail, wait_for};

/// freeDiameter will not start without a certificate, even where no peer uses TLS.
fn certificate(folder: &Path) {
    let done = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=fd.example.net"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn settings(folder: &Path, gateway: &Gateway) -> String {
    let at = folder.display();
    format!(
        "Identity = \"fd.example.net\";\n\
         Realm = \"example.net\";\n\
         Port = {own};\n\
         SecPort = 0;\n\
         No_SCTP;\n\
         No_IPv6;\n\
         ListenOn = \"127.0.0.1\";\n\
         TwTimer = 6;\n\
         TLS_Cred = \"{at}/cert.pem\", \"{at}/key.pem\";\n\
         TLS_CA = \"{at}/cert.pem\";\n\
         ConnectPeer = \"gateway.linegate.example\" {{ ConnectTo = \"127.0.0.1\"; No_TLS; Port = {port}; TwTimer = 6; }};\n",
        own = free_port().port(),
        port = gateway.diameter.port(),
    )
}

#[test]
fn freediameter_connects_watches_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    certificate(folder.path());
    let file = folder.path().join("freediameter.conf");
    fs::write(&file, settings(folder.path(), &gateway)).unwrap();
    let log = folder.path().join("freediameter.log");
    let peer = Running::start(
        "freeDiameterd",
        Command::new("freeDiameterd").arg("-c").arg(&file).env("PATH", "/usr/sbin:/usr/bin:/bin"),
        &log,
    );
    let both = || format!("{}\n--\n{}", tail(&log), gateway.tail());

    let up = || gateway.metric("linegate_diameter_peers_up") == 1;
    wait_for("CER and CEA", Duration::from_secs(20), up, both);
    wait_for(
        "freeDiameter to call the connection open",
        Duration::from_secs(10),
        || tail(&log).contains("STATE_OPEN"),
        both,
    );
    let watched = || gateway.metric("linegate_diameter_requests_total{command=\"DWR\",result=\"base\"}") > 0;
    wait_for("a watchdog exchange", Duration::from_secs(30), watched, both);

    assert_eq!(peer.terminate(), Some(0), "{}", both());
    let left = || gateway.metric("linegate_diameter_peers_up") == 0;
    wait_for("DPR", Duration::from_secs(10), left, both);
    assert!(
        gateway.metric("linegate_diameter_requests_total{command=\"DPR\",result=\"base\"}") > 0,
        "freeDiameter left without DPR\n{}",
        both()
    );
    assert_eq!(gateway.terminate(), Some(0));
}
