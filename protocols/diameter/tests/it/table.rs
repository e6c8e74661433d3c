//! The table by itself, and two whole nodes that connect to each other over
//! fake links, in many orders of what happens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use linegate_diameter::ResultCode;
use linegate_diameter::codec::{Message, frame_length};
use linegate_diameter::peer::{
    Command, Config, ConnectionId, Decision, Event, Input, Peer, PeerPolicy, Role, Table, Verdict,
};

use crate::apps::capabilities;

const LOCAL: &str = "m.example";
const LOWER: &str = "a.example";
const HIGHER: &str = "z.example";

fn table() -> Table {
    Table::new(LOCAL, PeerPolicy::Any, 1, 100)
}

fn id(number: u64) -> ConnectionId {
    ConnectionId(number)
}

fn admit(number: u64) -> Decision {
    Decision { connection: id(number), verdict: Verdict::Admit { reopen: false } }
}

fn reopen(number: u64) -> Decision {
    Decision { connection: id(number), verdict: Verdict::Admit { reopen: true } }
}

fn refuse(number: u64, code: ResultCode) -> Decision {
    Decision { connection: id(number), verdict: Verdict::Refuse(code) }
}

fn abandon(number: u64) -> Decision {
    Decision { connection: id(number), verdict: Verdict::Abandon }
}

fn probe(number: u64) -> Decision {
    Decision { connection: id(number), verdict: Verdict::Probe }
}

#[test]
fn the_higher_origin_host_keeps_the_connection_that_the_other_opened() {
    // we win: ours is given up
    let mut table = table();
    assert!(table.dial(LOWER, id(1)));
    assert_eq!(table.connected(LOWER, id(1)), []);
    assert_eq!(table.arrived(id(2), LOWER, None, None), [abandon(1), admit(2)]);
    assert_eq!(table.arrived(id(1), LOWER, None, Some(LOWER)), [abandon(1)], "its CEA was on the way");

    // we lose: theirs waits for our CEA
    let mut table = self::table();
    table.dial(HIGHER, id(1));
    table.connected(HIGHER, id(1));
    assert_eq!(table.arrived(id(2), HIGHER, None, None), []);
    assert_eq!(table.arrived(id(1), HIGHER, None, Some(HIGHER)), [admit(1), refuse(2, ResultCode::ELECTION_LOST)]);
}

#[test]
fn the_election_waits_until_our_own_connection_is_up() {
    let mut table = table();
    table.dial(LOWER, id(1));
    assert_eq!(table.arrived(id(2), LOWER, None, None), []);
    assert_eq!(table.connected(LOWER, id(1)), [abandon(1), admit(2)]);

    let mut table = self::table();
    table.dial(LOWER, id(1));
    table.arrived(id(2), LOWER, None, None);
    assert_eq!(table.closed(LOWER, id(1), true), [admit(2)], "our own try failed");
}

#[test]
fn a_lost_election_ends_with_whichever_connection_is_left() {
    let lost = || {
        let mut table = table();
        table.dial(HIGHER, id(1));
        table.connected(HIGHER, id(1));
        table.arrived(id(2), HIGHER, None, None);
        table
    };
    assert_eq!(lost().closed(HIGHER, id(1), true), [admit(2)]);
    assert_eq!(lost().patience_over(HIGHER, id(2)), [abandon(1), admit(2)]);
    let mut table = lost();
    assert_eq!(table.closed(HIGHER, id(2), true), []);
    assert_eq!(table.arrived(id(1), HIGHER, None, Some(HIGHER)), [admit(1)]);
}

#[test]
fn strangers_are_refused_in_any_case_of_letters() {
    let mut table = Table::new(LOCAL, PeerPolicy::Known(vec!["PGW.Example".into()]), 1, 100);
    assert_eq!(table.arrived(id(1), "other.example", None, None), [refuse(1, ResultCode::UNKNOWN_PEER)]);
    assert_eq!(table.arrived(id(2), "pgw.example", None, None), [admit(2)]);
    let mut table = self::table();
    let ourselves = table.arrived(id(3), "M.Example", None, None);
    assert_eq!(ourselves, [refuse(3, ResultCode::UNKNOWN_PEER)], "a connection to ourselves");
    table.dial(LOWER, id(4));
    let another = table.arrived(id(4), HIGHER, None, Some(LOWER));
    assert_eq!(another, [refuse(4, ResultCode::UNKNOWN_PEER)], "not whom we dialled");
}

#[test]
fn a_second_connection_waits_for_a_sign_of_life_of_the_first() {
    let second = || {
        let mut table = table();
        table.arrived(id(1), LOWER, None, None);
        assert_eq!(table.arrived(id(2), LOWER, None, None), [probe(1)]);
        table
    };
    assert_eq!(second().alive(LOWER, id(1)), [refuse(2, ResultCode::ELECTION_LOST)]);
    assert_eq!(second().closed(LOWER, id(1), true), [reopen(2)]);
    assert_eq!(second().patience_over(LOWER, id(2)), [abandon(1), reopen(2)]);
    assert_eq!(second().arrived(id(3), LOWER, None, None), [refuse(3, ResultCode::ELECTION_LOST)]);
}

#[test]
fn a_higher_origin_state_id_takes_the_old_connection_s_place() {
    let mut table = table();
    table.arrived(id(1), LOWER, Some(7), None);
    assert!(!table.origin_state(LOWER, 7));
    assert_eq!(table.arrived(id(2), LOWER, Some(8), None), [abandon(1), reopen(2)]);
    assert!(table.origin_state(LOWER, 8));
    for nothing_new in [8, 0, 3, 8] {
        assert!(!table.origin_state(LOWER, nothing_new), "{nothing_new}");
    }
}

#[test]
fn a_peer_may_be_allowed_several_connections() {
    let mut table = Table::new(LOCAL, PeerPolicy::Any, 2, 100);
    assert_eq!(table.arrived(id(1), LOWER, None, None), [admit(1)]);
    assert_eq!(table.arrived(id(2), LOWER, None, None), [admit(2)]);
    assert_eq!(table.arrived(id(3), LOWER, None, None), [probe(1)]);
}

#[test]
fn the_next_connection_knows_how_the_last_one_ended() {
    let after = |failed| {
        let mut table = table();
        table.arrived(id(1), LOWER, None, None);
        table.closed(LOWER, id(1), failed);
        table.arrived(id(2), LOWER, None, None)
    };
    assert_eq!(after(true), [reopen(2)]);
    assert_eq!(after(false), [admit(2)]);
}

#[test]
fn whoever_does_not_want_to_be_dialled_is_not_until_it_comes_itself() {
    let mut table = table();
    table.arrived(id(1), LOWER, None, None);
    table.closed(LOWER, id(1), false);
    table.dismissed(LOWER);
    assert!(!table.dial(LOWER, id(2)));
    table.arrived(id(3), LOWER, None, None);
    table.closed(LOWER, id(3), false);
    assert!(table.dial(LOWER, id(4)));
}

#[test]
fn strangers_leave_nothing_behind() {
    let mut table = Table::new(LOCAL, PeerPolicy::Known(vec!["pgw.example".into()]), 1, 10);
    table.arrived(id(1), "other.example", None, None);
    table.closed("other.example", id(1), true);
    assert!(table.is_empty());
    let endless = "x".repeat(256);
    let mut table = self::table();
    assert_eq!(table.arrived(id(1), &endless, None, None), [refuse(1, ResultCode::UNKNOWN_PEER)]);
    assert!(!table.origin_state(&endless, 1));
    assert!(table.is_empty());
}

#[test]
fn nobody_is_dialled_who_is_connected() {
    let mut table = table();
    table.arrived(id(1), LOWER, None, None);
    assert!(!table.dial(LOWER, id(2)));
    table.closed(LOWER, id(1), false);
    assert!(table.dial(LOWER, id(3)));
    assert!(!table.dial(LOWER, id(4)));
}

#[test]
fn identities_without_a_connection_are_forgotten_past_the_limit() {
    let mut table = Table::new(LOCAL, PeerPolicy::Any, 1, 10);
    table.arrived(id(1), LOWER, None, None);
    for number in 0..1000 {
        table.origin_state(&format!("peer-{number}.example"), 1);
        assert!(table.len() <= 11);
    }
    assert!(!table.dial(LOWER, id(2)), "the open one is remembered");
}

/// One node: its table, and its machines.
struct Node {
    host: &'static str,
    other: &'static str,
    table: Table,
    machines: BTreeMap<ConnectionId, (Peer, Role)>,
}

/// What is under way, in order for each link and direction.
enum Moving {
    Up,
    Octets(BytesMut),
    Down,
}

/// Two nodes, and a link for each connection: `(link, towards which node)`.
struct World {
    nodes: [Node; 2],
    links: BTreeMap<(u64, usize), VecDeque<Moving>>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let node = |host, other| Node {
            host,
            other,
            table: Table::new(host, PeerPolicy::Any, 1, 10),
            machines: BTreeMap::new(),
        };
        let nodes = [node(LOWER, HIGHER), node(HIGHER, LOWER)];
        Self { nodes, links: BTreeMap::new(), now: Instant::now() }
    }

    fn add(&mut self, at: usize, link: u64, role: Role) {
        let config = Config::new(Arc::new(capabilities(self.nodes[at].host)), role, link);
        self.nodes[at].machines.insert(ConnectionId(link), (Peer::new(config), role));
    }

    fn dial(&mut self, from: usize, link: u64) {
        let node = &mut self.nodes[from];
        if node.table.dial(node.other, ConnectionId(link)) {
            self.add(from, link, Role::Initiator);
            self.links.entry((link, from)).or_default().push_back(Moving::Up);
        }
    }

    /// Carries out one thing under way, chosen by `choice`; false where nothing is.
    fn step(&mut self, choice: usize) -> bool {
        let ready: Vec<_> = self.links.iter().filter(|(_, queue)| !queue.is_empty()).map(|(key, _)| *key).collect();
        let Some(&(link, at)) = ready.get(choice % ready.len().max(1)) else { return false };
        let moving = self.links.get_mut(&(link, at)).and_then(VecDeque::pop_front).unwrap();
        self.happen(at, ConnectionId(link), moving);
        true
    }

    fn happen(&mut self, at: usize, id: ConnectionId, moving: Moving) {
        let now = self.now;
        match moving {
            Moving::Up => {
                let dialled = self.nodes[at].machines.get(&id).is_some_and(|(_, role)| *role == Role::Initiator);
                if dialled {
                    self.add(1 - at, id.0, Role::Responder);
                    self.input(1 - at, id, Input::TransportUp);
                    self.input(at, id, Input::TransportUp);
                    let node = &mut self.nodes[at];
                    let decisions = node.table.connected(node.other, id);
                    self.carry_out(at, decisions);
                }
            }
            Moving::Down => self.input(at, id, Input::TransportDown),
            Moving::Octets(mut octets) => {
                while let Some(length) = frame_length(&octets, 65_536).unwrap() {
                    let message = Message::decode(octets.split_to(length).freeze()).unwrap();
                    self.input(at, id, Input::Received(message));
                }
            }
        }
        let _ = now;
    }

    fn input(&mut self, at: usize, id: ConnectionId, input: Input) {
        let now = self.now;
        let Some((machine, _)) = self.nodes[at].machines.get_mut(&id) else { return };
        machine.handle_input(input, now);
        self.settle(at, id);
    }

    fn settle(&mut self, at: usize, id: ConnectionId) {
        while let Some((machine, role)) = self.nodes[at].machines.get_mut(&id) {
            let role = *role;
            let Some(event) = machine.poll_event() else { break };
            let node = &mut self.nodes[at];
            let decisions = match event {
                Event::Arrived(opened) => {
                    let dialled = (role == Role::Initiator).then_some(node.other);
                    node.table.arrived(id, &opened.peer.origin_host, None, dialled)
                }
                Event::AdmissionDue => node.table.patience_over(node.other, id),
                Event::Alive => node.table.alive(node.other, id),
                Event::Closed(why) => node.table.closed(node.other, id, why.must_reopen()),
                _ => vec![],
            };
            self.carry_out(at, decisions);
        }
        let mut closed = false;
        if let Some((machine, _)) = self.nodes[at].machines.get_mut(&id) {
            while let Some(command) = machine.next_command() {
                match command {
                    Command::Write(octets) => {
                        self.links.entry((id.0, 1 - at)).or_default().push_back(Moving::Octets(octets));
                    }
                    Command::Close => closed = true,
                }
            }
        }
        if closed {
            self.links.entry((id.0, 1 - at)).or_default().push_back(Moving::Down);
            self.links.remove(&(id.0, at));
            self.nodes[at].machines.remove(&id);
        }
    }

    fn carry_out(&mut self, at: usize, decisions: Vec<Decision>) {
        for Decision { connection, verdict } in decisions {
            self.input(at, connection, Input::Decided(verdict));
        }
    }

    fn pass(&mut self, duration: Duration, mut choose: impl FnMut() -> usize) {
        let end = self.now + duration;
        loop {
            while self.step(choose()) {}
            let due: Vec<_> = (0..2)
                .flat_map(|at| self.nodes[at].machines.iter().map(move |(id, (m, _))| (m.poll_timeout(), at, *id)))
                .filter_map(|(due, at, id)| Some((due?, at, id)))
                .filter(|(due, ..)| *due <= end)
                .collect();
            let Some(&(next, at, id)) = due.iter().min() else { break };
            self.now = self.now.max(next);
            let now = self.now;
            if let Some((machine, _)) = self.nodes[at].machines.get_mut(&id) {
                machine.handle_timeout(now);
            }
            self.settle(at, id);
        }
        self.now = end;
    }

    fn open(&self, at: usize) -> Vec<ConnectionId> {
        self.nodes[at].machines.iter().filter(|(_, (machine, _))| machine.is_open()).map(|(id, _)| *id).collect()
    }
}

/// SplitMix64.
fn chooser(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)) as usize
    }
}

#[test]
fn both_sides_connecting_end_with_one_connection_open_on_both() {
    for seed in 0..2_000 {
        let mut choose = chooser(seed);
        let mut world = World::new();
        let first = choose() % 2;
        world.dial(first, 1);
        for _ in 0..choose() % 6 {
            world.step(choose());
        }
        world.dial(1 - first, 2);
        world.pass(Duration::from_secs(25), &mut choose);
        let (lower, higher) = (world.open(0), world.open(1));
        assert_eq!(lower, higher, "seed {seed}");
        assert_eq!(lower.len(), 1, "seed {seed}");
    }
}

#[test]
fn a_peer_that_vanished_and_comes_back_takes_its_old_place() {
    let mut world = World::new();
    world.dial(0, 1);
    world.pass(Duration::from_secs(1), || 0);
    assert_eq!(world.open(1), [id(1)]);
    // the lower node dies without a word and starts anew
    world.nodes[0].machines.clear();
    world.nodes[0].table = Table::new(LOWER, PeerPolicy::Any, 1, 10);
    world.dial(0, 2);
    world.pass(Duration::from_secs(12), || 0);
    assert_eq!(world.nodes[1].machines.keys().copied().collect::<Vec<_>>(), [id(2)]);
    assert_eq!(world.open(0), [id(2)]);
    world.pass(Duration::from_secs(100), || 0);
    assert_eq!(world.open(1), [id(2)], "after three DWAs");
}
