//! The table of a node's connections, told what happens to them in any order
//! that a driver can.

use std::collections::BTreeMap;

use linegate_diameter::peer::{ConnectionId, Decision, PeerPolicy, Table, Verdict};

use super::Source;

/// Operations that one input may have.
const OPERATIONS_MAX: usize = 400;
/// Connections that are there at once.
const CONNECTIONS_MAX: usize = 12;
/// Lower and higher than our own name, one in other letters, one unknown.
const HOSTS: [&str; 5] = ["a.example", "z.example", "A.Example", "b.example", "stranger.example"];
const LOCAL: &str = "m.example";

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// We connect.
    Dialling,
    /// Our CER is on the way.
    Connected,
    /// CER or CEA is there, the table has not decided.
    Arrived,
    Open,
    /// The table has given it up; its end is still to be told.
    GivenUp,
}

struct Connection {
    host: &'static str,
    ours: bool,
    stage: Stage,
}

struct Driver {
    table: Table,
    per_identity_max: usize,
    remembered_max: usize,
    next: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The most connections that were there at once.
    most: usize,
}

/// The target.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let policy = if source.flag() {
        PeerPolicy::Known(HOSTS[..4].iter().map(|host| (*host).into()).collect())
    } else {
        PeerPolicy::Any
    };
    let per_identity_max = usize::from(source.u8() % 4);
    let remembered_max = usize::from(source.u8() % 4);
    let mut driver = Driver {
        table: Table::new(LOCAL, policy, per_identity_max, remembered_max),
        per_identity_max: per_identity_max.max(1),
        remembered_max,
        next: 0,
        connections: BTreeMap::new(),
        most: 0,
    };
    for _ in 0..OPERATIONS_MAX {
        if source.is_empty() {
            break;
        }
        driver.step(&mut source);
    }
    driver.finish();
}

impl Driver {
    /// One operation.
    fn step(&mut self, source: &mut Source<'_>) {
        match source.u8() % 8 {
            0 => self.dial(source.pick(&HOSTS)),
            1 => {
                self.tell(source, Stage::Dialling, |table, id, host| table.connected(host, id), Some(Stage::Connected))
            }
            2 => self.accept(source.pick(&HOSTS), source.option(|source| u32::from(source.u8() % 4))),
            3 => {
                let state = source.option(|source| u32::from(source.u8() % 4));
                let arrived = |table: &mut Table, id, host: &'static str| table.arrived(id, host, state, Some(host));
                self.tell(source, Stage::Connected, arrived, Some(Stage::Arrived));
            }
            4 => self.tell(source, Stage::Arrived, |table, id, host| table.patience_over(host, id), None),
            5 => self.tell(source, Stage::Open, |table, id, host| table.alive(host, id), None),
            6 => {
                let (which, failed) = (source.u8(), source.flag());
                let id = self.connections.keys().nth(usize::from(which) % self.connections.len().max(1)).copied();
                id.into_iter().for_each(|id| self.close(id, failed));
            }
            _ => {
                let (host, state) = (source.pick(&HOSTS), u32::from(source.u8() % 4));
                self.table.origin_state(host, state);
                assert!(!self.table.origin_state(host, state), "it has not risen since");
                self.bounded();
            }
        }
    }

    fn add(&mut self, host: &'static str, ours: bool, stage: Stage) -> Option<ConnectionId> {
        if self.connections.len() >= CONNECTIONS_MAX {
            return None;
        }
        self.next += 1;
        let id = ConnectionId(self.next);
        self.connections.insert(id, Connection { host, ours, stage });
        self.most = self.most.max(self.connections.len());
        Some(id)
    }

    fn dial(&mut self, host: &'static str) {
        let busy = self
            .connections
            .values()
            .any(|other| other.host.eq_ignore_ascii_case(host) && other.stage != Stage::GivenUp);
        let Some(id) = self.add(host, true, Stage::Dialling) else { return };
        let wanted = self.table.dial(host, id);
        assert!(!(wanted && busy), "a second connection is dialled");
        if !wanted {
            self.connections.remove(&id);
        }
        self.bounded();
    }

    fn accept(&mut self, host: &'static str, state: Option<u32>) {
        let Some(id) = self.add(host, false, Stage::Arrived) else { return };
        let decisions = self.table.arrived(id, host, state, None);
        self.carry_out(&decisions);
    }

    /// Tells the table of one of the connections at `stage`.
    fn tell(
        &mut self,
        source: &mut Source<'_>,
        stage: Stage,
        tell: impl FnOnce(&mut Table, ConnectionId, &'static str) -> Vec<Decision>,
        next: Option<Stage>,
    ) {
        let which = usize::from(source.u8());
        let there: Vec<_> =
            self.connections.iter().filter(|(_, it)| it.stage == stage).map(|(id, it)| (*id, it.host)).collect();
        let Some(&(id, host)) = there.get(which % there.len().max(1)) else { return };
        if let (Some(next), Some(connection)) = (next, self.connections.get_mut(&id)) {
            connection.stage = next;
        }
        let decisions = tell(&mut self.table, id, host);
        self.carry_out(&decisions);
        if stage == Stage::Arrived || next == Some(Stage::Arrived) {
            // our own CEA is decided at once, and patience ends in a decision
            assert!(self.connections[&id].stage != Stage::Arrived, "{id:?} is left waiting");
        }
    }

    fn close(&mut self, id: ConnectionId, failed: bool) {
        let Some(connection) = self.connections.remove(&id) else { return };
        let failed = failed || connection.stage == Stage::GivenUp;
        let decisions = self.table.closed(connection.host, id, failed);
        self.carry_out(&decisions);
    }

    fn carry_out(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            let connection = self.connections.get_mut(&decision.connection).expect("a connection that is there");
            let stage = connection.stage;
            let (expected, next) = match decision.verdict {
                Verdict::Admit { .. } => (stage == Stage::Arrived, Stage::Open),
                Verdict::Refuse(_) => (stage == Stage::Arrived, Stage::GivenUp),
                Verdict::Abandon => (stage == Stage::Open || connection.ours, Stage::GivenUp),
                Verdict::Probe => (stage == Stage::Open, Stage::Open),
            };
            assert!(expected, "{decision:?} at {stage:?}");
            connection.stage = next;
        }
        for host in HOSTS {
            let open = self.connections.values().filter(|it| it.stage == Stage::Open);
            let open = open.filter(|it| it.host.eq_ignore_ascii_case(host)).count();
            assert!(open <= self.per_identity_max, "{open} connections of {host}");
        }
        self.bounded();
    }

    /// Past the limit, a new identity drives out those without a connection.
    fn bounded(&self) {
        assert!(self.table.len() <= self.remembered_max.max(self.most + 1));
    }

    /// Everything that is open or tried ends: whoever waited is decided.
    fn finish(&mut self) {
        for _ in 0..=CONNECTIONS_MAX {
            let there: Vec<_> =
                self.connections.iter().filter(|(_, it)| it.stage != Stage::Arrived).map(|(id, _)| *id).collect();
            there.into_iter().for_each(|id| self.close(id, true));
        }
        assert!(self.connections.is_empty(), "a connection waits for ever");
        for host in HOSTS.into_iter().filter(|host| *host != "A.Example") {
            assert!(self.table.dial(host, ConnectionId(0)), "something is left of {host}");
        }
    }
}
