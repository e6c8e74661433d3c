//! Clients as real ones are: one request at a time, sent again under the same number until
//! there is an answer, and never more used than was granted.

use std::collections::BTreeMap;

use linegate::domain::ids::{Apn, DeviceId, LineId, SessionId};
use linegate::domain::rating::request::{ChargeAnswer, ChargeRequest, GroupRequest, Outcome, Phase, Used, Wanted};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::{Identifier, RecordKey};

use super::faults::Dice;

/// Where a client's usage comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gy,
    Rf,
    Modem,
    File,
    /// Rows of a subscriber that nobody knows.
    Stray,
}

/// A client; it outlives the gateway's processes.
pub struct Client {
    pub kind: Kind,
    /// The gateway that it likes best.
    pub home: usize,
    pub line: LineId,
    name: String,
    imsi: Identifier,
    session: u64,
    number: u32,
    open: bool,
    /// What is left of the grant for each rating group.
    left: BTreeMap<u32, u64>,
    /// Requests that it still wants answered.
    to_do: u32,
    /// Sent, and not answered yet.
    pub pending: Option<ChargeRequest>,
    /// Usage that was ever sent, by record.
    pub sent: BTreeMap<(String, u32), u64>,
    /// Usage that was acknowledged.
    pub acknowledged: Vec<(String, u32)>,
    /// Usage that was refused, and must not be counted.
    pub refused: Vec<(String, u32)>,
}

impl Client {
    pub fn new(kind: Kind, name: &str, line: LineId, imsi: Identifier, home: usize, to_do: u32) -> Self {
        Self {
            kind,
            home,
            line,
            name: name.to_owned(),
            imsi,
            session: 0,
            number: 0,
            open: false,
            left: BTreeMap::new(),
            to_do,
            pending: None,
            sent: BTreeMap::new(),
            acknowledged: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// What it sends next: the same again where it has no answer; `None` when it has done.
    pub fn next(&mut self, dice: &Dice, now: Timestamp) -> Option<ChargeRequest> {
        if let Some(again) = &self.pending {
            return Some(again.clone());
        }
        if self.to_do == 0 && !self.open {
            return None;
        }
        self.to_do = self.to_do.saturating_sub(1);
        let request = match self.kind {
            Kind::Gy | Kind::Rf => self.in_session(dice, now),
            Kind::Modem | Kind::File | Kind::Stray => self.alone(dice, now),
        };
        for (at, group) in request.groups.iter().enumerate() {
            if let Some(used) = group.used.filter(|used| !used.is_nothing()) {
                self.sent.insert((request.part_key(at).to_string(), group.rating_group), used.octets_total());
            }
        }
        self.pending = Some(request.clone());
        Some(request)
    }

    fn in_session(&mut self, dice: &Dice, now: Timestamp) -> ChargeRequest {
        let phase = match self.open {
            false => Phase::Initial,
            true if self.to_do == 0 || dice.one_in(4) => Phase::Terminate,
            true => Phase::Update,
        };
        if phase == Phase::Initial {
            (self.session, self.number, self.open) = (self.session + 1, 0, true);
            self.left = (1..=1 + dice.below(2) as u32).map(|group| (group, 0)).collect();
        }
        let session = SessionId::from(format!("{};{}", self.name, self.session));
        let key = match self.kind {
            Kind::Rf => RecordKey::Rf(session.clone(), self.number),
            _ => RecordKey::Gy(session.clone(), self.number),
        };
        self.number += 1;
        let wants = self.kind == Kind::Gy && phase != Phase::Terminate;
        let groups = self.left.iter().map(|(group, left)| {
            // An Rf client asks nobody.
            let most = if self.kind == Kind::Rf { 700_000 } else { *left };
            GroupRequest {
                rating_group: *group,
                services: vec![],
                used: (phase != Phase::Initial).then(|| Used::octets(dice.below(most + 1))),
                wanted: if wants { Wanted::AsMuchAsWeGive } else { Wanted::Nothing },
                is_final: false,
            }
        });
        let groups = groups.collect();
        let request = self.request(key, phase, Some(session), groups, now);
        // The session says whose it is.
        let is_bare = phase != Phase::Initial && dice.one_in(2);
        ChargeRequest { subscribers: if is_bare { Vec::new() } else { request.subscribers }, ..request }
    }

    fn alone(&mut self, dice: &Dice, now: Timestamp) -> ChargeRequest {
        self.number += 1;
        let key = match self.kind {
            Kind::Modem => {
                let boot = self.number / 5;
                RecordKey::Modem(DeviceId::from(self.name.as_str()), 1, boot, u64::from(self.number))
            }
            _ => RecordKey::File(format!("{}/{}", self.name, self.number)),
        };
        let used = Some(Used::octets(1 + dice.below(300_000)));
        let group = GroupRequest { rating_group: 0, services: vec![], used, wanted: Wanted::Nothing, is_final: false };
        self.request(key, Phase::Event, None, vec![group], now)
    }

    fn request(
        &self,
        key: RecordKey,
        phase: Phase,
        session: Option<SessionId>,
        groups: Vec<GroupRequest>,
        now: Timestamp,
    ) -> ChargeRequest {
        ChargeRequest {
            key,
            phase,
            session,
            peer: Some("pgw.example".into()),
            subscribers: vec![self.imsi.clone()],
            apn: Some(Apn::from("iot.example")),
            network: None,
            starts: None,
            ends: now,
            received: now,
            groups,
        }
    }

    /// Takes the answer to the pending request. Where quota is granted blindly, the account may
    /// not have taken the session.
    pub fn answered(&mut self, answer: &ChargeAnswer, grants_blindly: bool) {
        let request = self.pending.take().expect("only a request is answered");
        let reports = request.groups.iter().enumerate().filter(|(_, g)| g.used.is_some_and(|used| !used.is_nothing()));
        let keys = reports.map(|(at, group)| (request.part_key(at).to_string(), group.rating_group));
        let is_known = !matches!(answer.outcome, Outcome::UnknownSubscriber | Outcome::UnknownSession);
        assert!(is_known || grants_blindly, "{request:?}: {answer:?}");
        match answer.outcome {
            Outcome::Success => self.acknowledged.extend(keys),
            _ if !is_known => self.open = false,
            _ => {
                self.refused.extend(keys);
                self.open = false;
            }
        }
        if request.phase == Phase::Terminate {
            self.open = false;
        }
        for group in answer.groups.iter().filter(|_| self.open) {
            self.left.insert(group.rating_group, group.grant.as_ref().map_or(0, |grant| grant.octets));
        }
    }

    /// What it was granted is no longer valid.
    pub fn forget_grants(&mut self) {
        self.left.values_mut().for_each(|left| *left = 0);
    }
}
