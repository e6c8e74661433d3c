//! `[diameter]` of the settings; config/default.toml explains each key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use linegate_diameter::dictionary::{Dictionary, Strictness};
use linegate_diameter::peer::PeerPolicy;
use serde::Deserialize;

use super::gy::GySettings;
use super::s6a::S6aSettings;
use crate::domain::line::Access;
use crate::transport::tls::TlsSettings;

/// `[diameter]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiameterSettings {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Listener for TLS, and the certificate that we show.
    pub tls: TlsSettings,
    /// Our Origin-Host (RFC 6733 section 6.3).
    pub origin_host: String,
    /// Our Origin-Realm (RFC 6733 section 6.4).
    pub origin_realm: String,
    /// Whether requests for a Destination-Realm that is neither ours nor routed are served.
    pub accept_any_realm: bool,
    /// Peers: who may connect, and whom we connect to; empty: any, on loopback only.
    pub peers: Vec<PeerSettings>,
    /// A file that adds to the dictionary; empty: the standards' and line provisioning.
    pub dictionary: PathBuf,
    /// Which element holds the lines of which access.
    pub elements: Vec<ElementSettings>,
    /// Ways to realms whose hosts are not our peers.
    pub routes: Vec<RouteSettings>,
    /// Tw, the watchdog period, seconds, at least 6 (RFC 3539 section 3.4.1).
    pub watchdog_s: u64,
    /// DWAs that REOPEN needs (RFC 3539 section 3.4.1); 0 leaves REOPEN out.
    pub reopen_answers: u8,
    /// How long CER, CEA, DPA and a TLS handshake may take, milliseconds.
    pub exchange_timeout_ms: u64,
    /// How long a second connection of a peer waits for a sign of life of the first, milliseconds.
    pub admission_timeout_ms: u64,
    /// How long an element may take for an answer, milliseconds.
    pub request_timeout_ms: u64,
    /// Connections at most; one more is closed at once.
    pub connections_max: usize,
    /// Connections from one address at most.
    pub connections_per_address_max: usize,
    /// Connections of one Origin-Host at most.
    pub connections_per_peer_max: usize,
    /// Origin-Hosts that are remembered without a connection.
    pub peers_remembered_max: usize,
    /// Largest message, bytes.
    pub message_bytes_max: usize,
    /// Milliseconds from the first to the last byte of a message.
    pub message_timeout_ms: u64,
    /// Requests of one connection that may wait for our answer; reading stops at it.
    pub requests_outstanding_max: usize,
    /// Bytes of one connection that may wait to be written; reading stops at it.
    pub output_bytes_max: usize,
    /// Requests of ours that may wait for one peer's answer.
    pub pending_max: usize,
    /// How long answers are kept for repeated requests, seconds; 0 keeps none.
    pub answers_kept_s: u64,
    /// Bytes of such answers.
    pub answers_kept_bytes_max: usize,
    /// What Gy answers say.
    pub gy: GySettings,
    /// What serving MMEs are told, and how.
    pub s6a: S6aSettings,
    /// Result code for usage on an APN that is not the line's own.
    pub foreign_apn_result: u32,
    /// Seconds between Rf interim records that we ask for; 0 leaves it to the client.
    pub interim_interval_s: u32,
}

/// `[[diameter.peers]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// Its Origin-Host.
    pub host: String,
    /// Where we connect to it; absent: it connects to us.
    #[serde(default)]
    pub connect: Option<SocketAddr>,
    /// Whether its connections must be TLS, ours to it and its to us.
    #[serde(default)]
    pub tls: bool,
    /// Accepts what is known and has no place in a strict grammar.
    #[serde(default)]
    pub lenient: bool,
}

/// `[[diameter.elements]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementSettings {
    /// What we call it.
    pub id: String,
    /// Its Origin-Hosts, the first that is open is asked.
    pub hosts: Vec<String>,
    /// The lines that it holds.
    pub access: Vec<Access>,
}

/// `[[diameter.routes]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// The Destination-Realm.
    pub realm: String,
    /// Origin-Hosts of the peers that lead there, in order of preference.
    pub peers: Vec<String>,
}

impl DiameterSettings {
    /// What serde cannot see.
    ///
    /// # Errors
    /// Names the key and what to do.
    pub fn check(&self) -> anyhow::Result<()> {
        for element in &self.elements {
            ensure!(!element.hosts.is_empty(), "settings: diameter.elements: `{}` has no hosts", element.id);
        }
        for route in &self.routes {
            ensure!(!route.peers.is_empty(), "settings: diameter.routes: realm `{}` has no peers", route.realm);
        }
        let needs_tls = self.peers.iter().find(|peer| peer.tls);
        if let Some(peer) = needs_tls {
            let set = !self.tls.certificate.as_os_str().is_empty();
            ensure!(set, "settings: diameter.peers: `{}` wants TLS: set diameter.tls.certificate", peer.host);
        }
        Ok(())
    }

    /// The dictionary with what the settings add to it.
    ///
    /// # Errors
    /// Names the file, the line and what is wrong with it.
    pub fn load_dictionary(&self) -> anyhow::Result<Dictionary> {
        let file = Some(self.dictionary.as_path()).filter(|file| !file.as_os_str().is_empty());
        load_dictionary(file).context("settings: diameter.dictionary")
    }

    /// Whom the listener serves.
    pub(super) fn policy(&self) -> PeerPolicy {
        if self.peers.is_empty() {
            return PeerPolicy::Any;
        }
        PeerPolicy::Known(self.peers.iter().map(|peer| peer.host.as_str().into()).collect())
    }

    fn peer(&self, host: &str) -> Option<&PeerSettings> {
        self.peers.iter().find(|peer| peer.host.eq_ignore_ascii_case(host))
    }

    /// How a peer's messages are judged.
    pub(super) fn strictness(&self, host: &str) -> Strictness {
        if self.peer(host).is_some_and(|peer| peer.lenient) { Strictness::Lenient } else { Strictness::Strict }
    }

    /// Whether a peer may only come in TLS.
    pub(super) fn wants_tls(&self, host: &str) -> bool {
        self.peer(host).is_some_and(|peer| peer.tls)
    }

    pub(super) const fn exchange_timeout(&self) -> Duration {
        Duration::from_millis(self.exchange_timeout_ms)
    }
}

/// The standard dictionary, extended by a file.
///
/// # Errors
/// Names the file, the line and what is wrong with it.
pub fn load_dictionary(file: Option<&Path>) -> anyhow::Result<Dictionary> {
    let Some(file) = file else { return Ok(*Dictionary::standard()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let extended = Dictionary::parse_extension(&text).and_then(|added| Dictionary::standard().extend(&added));
    extended.with_context(|| file.display().to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The shipped settings, with a route.
    pub(in crate::transport::diameter) fn settings() -> DiameterSettings {
        let mut settings = crate::config::Config::load(None, []).unwrap().diameter;
        let peers = vec!["dra-1.example".to_owned(), "dra-2.example".to_owned()];
        settings.routes = vec![RouteSettings { realm: "routed.example".to_owned(), peers }];
        settings
    }

    #[test]
    fn what_cannot_work_is_named_with_its_key() {
        #[track_caller]
        fn check(change: impl FnOnce(&mut DiameterSettings), expected: &str) {
            let mut settings = settings();
            settings.check().unwrap();
            change(&mut settings);
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        check(|settings| settings.elements[0].hosts.clear(), "`hss-1` has no hosts");
        check(|settings| settings.routes[0].peers.clear(), "realm `routed.example` has no peers");
        let peer = PeerSettings { host: "pgw.example".to_owned(), connect: None, tls: true, lenient: false };
        check(|settings| settings.peers = vec![peer], "set diameter.tls.certificate");
    }
}
