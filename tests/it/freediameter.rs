//! freeDiameter 1.2.1, from Debian, as a peer: an independent judge of base,
//! watchdog and election, and with its own dictionaries of Gy.

mod gy;
mod peering;
mod relay;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::judge::Judge;
use crate::support::{Gateway, Ports, free_port, tail, wait_for};

/// What a freeDiameter is and whom it knows.
struct FreeDiameter {
    folder: PathBuf,
    identity: &'static str,
    listen: SocketAddr,
    /// Where it dials the gateway; `None` waits for the gateway's connection.
    dial: Option<SocketAddr>,
    /// Its dictionaries of Gy and the client that judges by them.
    gy: bool,
}

impl FreeDiameter {
    fn new(folder: &Path, dial: Option<SocketAddr>) -> Self {
        Self { folder: folder.to_owned(), identity: "fd.example.net", listen: free_port(), dial, gy: false }
    }

    fn start(&self) -> Judge {
        self.certificate();
        let file = self.folder.join("freediameter.conf");
        fs::write(&file, self.settings()).unwrap();
        let mut command = Command::new("freeDiameterd");
        command.arg("-c").arg(&file).env("PATH", "/usr/sbin:/usr/bin:/bin");
        Judge::start("freeDiameterd", &mut command, &self.log())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("freediameter.log")
    }

    /// freeDiameter will not start without a certificate, even where no peer uses TLS.
    fn certificate(&self) {
        if self.folder.join("cert.pem").exists() {
            return;
        }
        let done = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={}", self.identity)])
            .arg("-keyout")
            .arg(self.folder.join("key.pem"))
            .arg("-out")
            .arg(self.folder.join("cert.pem"))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn settings(&self) -> String {
        let at = self.folder.display();
        let (own, identity) = (self.listen.port(), self.identity);
        let mut text = format!(
            "Identity = \"{identity}\";\nRealm = \"example.net\";\nPort = {own};\nSecPort = 0;\nNo_SCTP;\nNo_IPv6;\n\
             ListenOn = \"127.0.0.1\";\nTwTimer = 6;\nTcTimer = 2;\n\
             TLS_Cred = \"{at}/cert.pem\", \"{at}/key.pem\";\nTLS_CA = \"{at}/cert.pem\";\n"
        );
        if self.gy {
            for extension in ["dict_nasreq", "dict_dcca", "dict_dcca_3gpp"] {
                text += &format!("LoadExtension = \"{extension}.fdx\";\n");
            }
            text += &format!("LoadExtension = \"{}\";\n", gy::judge(&self.folder).display());
        }
        match self.dial {
            Some(to) => {
                text += &format!(
                    "ConnectPeer = \"gateway.linegate.example\" \
                     {{ ConnectTo = \"127.0.0.1\"; No_TLS; Port = {}; TwTimer = 6; TcTimer = 2; }};\n",
                    to.port()
                );
            }
            None => {
                let allowed = self.folder.join("allowed.conf");
                fs::write(&allowed, "ALLOW_IPSEC gateway.linegate.example\n").unwrap();
                text += &format!("LoadExtension = \"acl_wl.fdx\" : \"{}\";\n", allowed.display());
            }
        }
        text
    }

    /// `LINEGATE__DIAMETER__PEERS` of a gateway that dials it at `to`.
    fn dialled_at(&self, to: SocketAddr) -> String {
        format!("[{{ host = \"{}\", connect = \"{to}\" }}]", self.identity)
    }
}

/// The gateway's count of a command of the base protocol.
fn base_requests(gateway: &Gateway, command: &str) -> i64 {
    gateway.metric(&format!("linegate_diameter_requests_total{{command=\"{command}\",result=\"base\"}}"))
}

fn peers_up(gateway: &Gateway) -> i64 {
    gateway.metric("linegate_diameter_peers_up")
}

fn both(peer: &FreeDiameter, gateway: &Gateway) -> String {
    format!("{}\n--\n{}", tail(&peer.log()), gateway.tail())
}

/// Open on the gateway, and open by freeDiameter's own word.
fn open_on_both_sides(peer: &FreeDiameter, gateway: &Gateway) {
    let detail = || both(peer, gateway);
    wait_for("CER and CEA", Duration::from_secs(20), || peers_up(gateway) == 1, detail);
    let open = || fs::read_to_string(peer.log()).unwrap_or_default().contains("-> 'STATE_OPEN'");
    wait_for("freeDiameter to call the connection open", Duration::from_secs(20), open, detail);
}

#[test]
fn freediameter_connects_watches_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), Ports::free(), &[]);
    watches_and_leaves(&FreeDiameter::new(folder.path(), Some(gateway.diameter)), &gateway);
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn freediameter_is_dialled_watches_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let peer = FreeDiameter::new(folder.path(), None);
    let peers = peer.dialled_at(peer.listen);
    let gateway = Gateway::start(folder.path(), Ports::free(), &[("LINEGATE__DIAMETER__PEERS", &peers)]);
    watches_and_leaves(&peer, &gateway);
    assert_eq!(gateway.terminate(), Some(0));
}

fn watches_and_leaves(peer: &FreeDiameter, gateway: &Gateway) {
    let running = peer.start();
    open_on_both_sides(peer, gateway);
    let watched = || base_requests(gateway, "DWR") > 0;
    wait_for("a watchdog exchange", Duration::from_secs(30), watched, || both(peer, gateway));
    assert_eq!(running.terminate(), Some(0), "{}", both(peer, gateway));
    wait_for("DPR", Duration::from_secs(10), || peers_up(gateway) == 0, || both(peer, gateway));
    assert!(base_requests(gateway, "DPR") > 0, "freeDiameter left without DPR\n{}", both(peer, gateway));
}
