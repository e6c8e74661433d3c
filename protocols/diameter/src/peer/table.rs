//! The connections of one node, by the identity of their peers.
//!
//! It owns what concerns several connections: which identities are served, how
//! many connections each may have, the election where both sides connect
//! (RFC 6733 sections 5.6 and 5.6.4), and what the next connection of a peer
//! has to know of the last one (RFC 3539 section 3.4.1, RFC 6733 section 8.16).
//! It has no clock and no connection: a driver tells it what happens to the
//! machines ([`super::Peer`]), in the order in which it happens, and hands each
//! [`Verdict`] to its machine as [`super::Input::Decided`].
//!
//! Where it leaves RFC 6733: a second connection of an open identity is not
//! rejected at once. The peer may have lost the first one without our knowing,
//! so the first is asked with a DWR; the second is rejected (4003) when the
//! answer comes, and takes the first's place when it does not. A higher
//! Origin-State-Id says the same at once.

use std::collections::BTreeMap;

use crate::result_code::ResultCode;

/// The longest name of a peer, in octets (RFC 1035 section 2.3.4).
const ORIGIN_HOST_MAX: usize = 255;

/// One connection, from before it is up to after it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may open.
    Admit {
        /// In REOPEN: the peer's last connection failed.
        reopen: bool,
    },
    /// It may not: a responder answers with this code.
    Refuse(ResultCode),
    /// Another connection takes its place; close it.
    Abandon,
    /// Ask with a DWR whether the peer is there.
    Probe,
}

/// A verdict and whom it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The connection.
    pub connection: ConnectionId,
    /// What to do with it.
    pub verdict: Verdict,
}

/// Which Origin-Hosts are served; another is refused with 3010.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerPolicy {
    /// Every one.
    Any,
    /// These, compared without regard to case (RFC 6733 section 4.3.1).
    Known(Vec<Box<str>>),
}

impl PeerPolicy {
    fn serves(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Known(hosts) => hosts.iter().any(|known| known.eq_ignore_ascii_case(host)),
        }
    }
}

/// The table of one node.
#[derive(Debug)]
pub struct Table {
    /// Our Origin-Host, in lower case.
    local: Box<str>,
    policy: PeerPolicy,
    per_identity_max: usize,
    remembered_max: usize,
    /// By Origin-Host in lower case.
    peers: BTreeMap<Box<str>, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Our own try: Wait-Conn-Ack, then Wait-I-CEA.
    dial: Option<Dial>,
    /// The peer's try that cannot be decided yet: Wait-Returns.
    waiting: Option<Waiting>,
    open: Vec<ConnectionId>,
    /// The last connection failed without a DPR.
    reopen: bool,
    /// The highest Origin-State-Id heard.
    origin_state: Option<u32>,
    /// Not to be dialled.
    unwelcome: bool,
}

#[derive(Debug, Clone, Copy)]
struct Dial {
    id: ConnectionId,
    connected: bool,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    id: ConnectionId,
    on: WaitsOn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsOn {
    /// Our own try, which has won the election or is not up yet.
    Dial,
    /// Whether an open connection is alive.
    Probe(ConnectionId),
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.dial.is_none() && self.waiting.is_none() && self.open.is_empty()
    }

    fn admit(&mut self, id: ConnectionId, out: &mut Vec<Decision>) {
        self.open.push(id);
        let reopen = std::mem::take(&mut self.reopen);
        out.push(Decision { connection: id, verdict: Verdict::Admit { reopen } });
    }

    fn admit_waiting(&mut self, out: &mut Vec<Decision>) {
        if let Some(waiting) = self.waiting.take() {
            self.admit(waiting.id, out);
        }
    }

    fn reject_waiting(&mut self, out: &mut Vec<Decision>) {
        if let Some(waiting) = self.waiting.take() {
            let verdict = Verdict::Refuse(ResultCode::ELECTION_LOST);
            out.push(Decision { connection: waiting.id, verdict });
        }
    }

    fn abandon_open(&mut self, id: ConnectionId, out: &mut Vec<Decision>) {
        self.open.retain(|open| *open != id);
        self.reopen = true;
        out.push(Decision { connection: id, verdict: Verdict::Abandon });
    }
}

impl Table {
    /// A table of a node called `local`. `per_identity_max` connections may be
    /// open to one peer: 1, but for peers that run several processes under one
    /// name (RFC 6733 section 2.1). `remembered_max` identities are kept;
    /// past it one without a connection goes for each new one.
    pub fn new(local: &str, policy: PeerPolicy, per_identity_max: usize, remembered_max: usize) -> Self {
        let local = local.to_ascii_lowercase().into();
        Self { local, policy, per_identity_max: per_identity_max.max(1), remembered_max, peers: BTreeMap::new() }
    }

    /// We are about to connect to `host`. False where that is not called for:
    /// a connection is open or on its way.
    pub fn dial(&mut self, host: &str, id: ConnectionId) -> bool {
        let entry = self.entry(host);
        // Closed, Start: I-Snd-Conn-Req -> Wait-Conn-Ack
        let wanted = entry.is_idle() && !entry.unwelcome;
        if wanted {
            entry.dial = Some(Dial { id, connected: false });
        }
        wanted
    }

    /// Our own connection to `host` is up, and its CER on the way.
    pub fn connected(&mut self, host: &str, id: ConnectionId) -> Vec<Decision> {
        let mut out = Vec::new();
        let wins = self.wins_against(host);
        let entry = self.entry(host);
        let Some(dial) = entry.dial.as_mut().filter(|dial| dial.id == id) else { return out };
        dial.connected = true;
        // Wait-Conn-Ack/Elect, I-Rcv-Conn-Ack: I-Snd-CER, Elect -> Wait-Returns
        if entry.waiting.is_some() && wins {
            entry.dial = None;
            out.push(Decision { connection: id, verdict: Verdict::Abandon });
            entry.admit_waiting(&mut out);
        }
        out
    }

    /// A peer has said in its CER or CEA who it is. `dialled` is whom we meant
    /// to reach, where we connected.
    pub fn arrived(
        &mut self,
        id: ConnectionId,
        host: &str,
        origin_state: Option<u32>,
        dialled: Option<&str>,
    ) -> Vec<Decision> {
        let stranger = host.len() > ORIGIN_HOST_MAX
            || host.eq_ignore_ascii_case(&self.local)
            || !self.policy.serves(host)
            || dialled.is_some_and(|meant| !meant.eq_ignore_ascii_case(host));
        if stranger {
            return vec![Decision { connection: id, verdict: Verdict::Refuse(ResultCode::UNKNOWN_PEER) }];
        }
        let restarted = origin_state.is_some_and(|state| self.is_restart(host, state));
        let mut out = Vec::new();
        if dialled.is_some() {
            self.own_arrived(id, host, &mut out);
        } else {
            self.other_arrived(id, host, restarted, &mut out);
        }
        out
    }

    fn own_arrived(&mut self, id: ConnectionId, host: &str, out: &mut Vec<Decision>) {
        let entry = self.entry(host);
        match entry.dial.take_if(|dial| dial.id == id) {
            Some(_) => {
                // Wait-I-CEA, I-Rcv-CEA: Process-CEA -> I-Open
                entry.admit(id, out);
                // Wait-Returns, I-Rcv-CEA: R-Disc -> I-Open
                entry.reject_waiting(out);
            }
            // it lost the election on the way
            None => out.push(Decision { connection: id, verdict: Verdict::Abandon }),
        }
    }

    fn other_arrived(&mut self, id: ConnectionId, host: &str, restarted: bool, out: &mut Vec<Decision>) {
        let (wins, per_identity_max) = (self.wins_against(host), self.per_identity_max);
        let entry = self.entry(host);
        entry.unwelcome = false;
        if entry.waiting.is_some() {
            let verdict = Verdict::Refuse(ResultCode::ELECTION_LOST);
            out.push(Decision { connection: id, verdict });
            return;
        }
        let oldest = entry.open.first().copied();
        match (entry.dial, oldest) {
            (_, Some(oldest)) if entry.open.len() >= per_identity_max => {
                if restarted {
                    entry.abandon_open(oldest, out);
                    entry.admit(id, out);
                } else {
                    entry.waiting = Some(Waiting { id, on: WaitsOn::Probe(oldest) });
                    out.push(Decision { connection: oldest, verdict: Verdict::Probe });
                }
            }
            // Wait-I-CEA, R-Conn-CER: R-Accept, Process-CER, Elect -> Wait-Returns
            // Wait-Returns, Win-Election: I-Disc, R-Snd-CEA -> R-Open
            (Some(dial), _) if dial.connected && wins => {
                entry.dial = None;
                out.push(Decision { connection: dial.id, verdict: Verdict::Abandon });
                entry.admit(id, out);
            }
            // Wait-Conn-Ack, R-Conn-CER: R-Accept, Process-CER -> Wait-Conn-Ack/Elect
            (Some(_), _) => entry.waiting = Some(Waiting { id, on: WaitsOn::Dial }),
            // Closed, R-Conn-CER: R-Accept, Process-CER, R-Snd-CEA -> R-Open
            (None, _) => entry.admit(id, out),
        }
    }

    /// The connection that waits for its admission has waited long enough.
    pub fn patience_over(&mut self, host: &str, id: ConnectionId) -> Vec<Decision> {
        let mut out = Vec::new();
        let Some(entry) = self.known(host) else { return out };
        match entry.waiting {
            Some(Waiting { id: waiting, on }) if waiting == id => {
                match (on, entry.dial.take()) {
                    (WaitsOn::Probe(silent), dial) => {
                        entry.dial = dial;
                        entry.abandon_open(silent, &mut out);
                    }
                    (WaitsOn::Dial, Some(dial)) => {
                        out.push(Decision { connection: dial.id, verdict: Verdict::Abandon });
                    }
                    (WaitsOn::Dial, None) => {}
                }
                entry.admit_waiting(&mut out);
            }
            _ => out.push(Decision { connection: id, verdict: Verdict::Refuse(ResultCode::ELECTION_LOST) }),
        }
        out
    }

    /// The peer of an open connection has answered a probe.
    pub fn alive(&mut self, host: &str, id: ConnectionId) -> Vec<Decision> {
        let mut out = Vec::new();
        let Some(entry) = self.known(host) else { return out };
        if entry.waiting.is_some_and(|waiting| waiting.on == WaitsOn::Probe(id)) {
            // R-Open or I-Open, R-Conn-CER: R-Reject
            entry.reject_waiting(&mut out);
        }
        out
    }

    /// A connection has ended, or our own try has failed. `failed` is
    /// [`super::CloseReason::must_reopen`].
    pub fn closed(&mut self, host: &str, id: ConnectionId, failed: bool) -> Vec<Decision> {
        let mut out = Vec::new();
        let Some(entry) = self.known(host) else { return out };
        let before = entry.open.len();
        entry.open.retain(|open| *open != id);
        if entry.open.len() < before {
            entry.reopen = failed;
        }
        entry.waiting.take_if(|waiting| waiting.id == id);
        // Wait-Conn-Ack/Elect, I-Rcv-Conn-Nack and Wait-Returns, I-Peer-Disc: R-Snd-CEA -> R-Open
        let dial_failed = entry.dial.take_if(|dial| dial.id == id).is_some();
        let free = match entry.waiting.map(|waiting| waiting.on) {
            Some(WaitsOn::Dial) => dial_failed,
            Some(WaitsOn::Probe(asked)) => asked == id,
            None => false,
        };
        if free {
            entry.admit_waiting(&mut out);
        }
        out
    }

    /// Notes the Origin-State-Id that `host` has sent. True where it has risen:
    /// the sessions from before are lost (RFC 6733 section 8.16). Nothing follows
    /// from 0, from a lower one than before, or where several processes of one
    /// name count for themselves.
    pub fn origin_state(&mut self, host: &str, state: u32) -> bool {
        if state == 0 || self.per_identity_max > 1 || host.len() > ORIGIN_HOST_MAX {
            return false;
        }
        let known = &mut self.entry(host).origin_state;
        let before = *known;
        *known = before.max(Some(state));
        before.is_some_and(|before| before < state)
    }

    /// The peer does not want to be connected to (DO_NOT_WANT_TO_TALK_TO_YOU,
    /// RFC 6733 section 5.4.3); it holds until the peer comes by itself.
    pub fn dismissed(&mut self, host: &str) {
        if let Some(entry) = self.known(host) {
            entry.unwelcome = true;
        }
    }

    /// Whether a connection of this host is open.
    pub fn is_open(&self, host: &str) -> bool {
        self.peers.get(host.to_ascii_lowercase().as_str()).is_some_and(|entry| !entry.open.is_empty())
    }

    /// Identities that are remembered.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// True where no peer was ever seen.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    fn is_restart(&self, host: &str, state: u32) -> bool {
        if self.per_identity_max > 1 {
            return false;
        }
        let known = self.peers.get(host.to_ascii_lowercase().as_str()).and_then(|entry| entry.origin_state);
        known.is_some_and(|before| before < state)
    }

    /// The responder's comparison (RFC 6733 section 5.6.4).
    fn wins_against(&self, host: &str) -> bool {
        *self.local > *host.to_ascii_lowercase()
    }

    fn known(&mut self, host: &str) -> Option<&mut Entry> {
        self.peers.get_mut(host.to_ascii_lowercase().as_str())
    }

    fn entry(&mut self, host: &str) -> &mut Entry {
        let key: Box<str> = host.to_ascii_lowercase().into();
        if self.peers.len() >= self.remembered_max && !self.peers.contains_key(&key) {
            let idle = self.peers.iter().find(|(_, entry)| entry.is_idle()).map(|(host, _)| host.clone());
            idle.and_then(|idle| self.peers.remove(&idle));
        }
        self.peers.entry(key).or_default()
    }
}
