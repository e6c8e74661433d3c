//! IoT modems over MQTT 3.1.1 and 5: birth and will, the desired state taken
//! and reported, usage sent and sent again until it is acknowledged.
//!
//! Owns the modem's own line state and its counters (epoch, boot, sequence). A
//! record keeps its sequence number however often it is sent; a modem that was
//! away converges when it comes back, because the desired state is retained.
//!
//! One task and one socket a modem; a fleet of thousands is many of them
//! ([`crate::fleet`]).

mod link;
mod usage;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
pub use linegate_mqtt::payload::{Desired, LineState, UsageRecord};
use linegate_mqtt::payload::{Payload, Usage};
use linegate_mqtt::topic::{DeviceId, TopicError};
pub use linegate_mqtt::{ContentType, Version};
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::transport::{Route, TlsClient};
use usage::{Carried, Waiting};
pub use usage::{SendError, SentUsage, UsageAccount, UsageSample};

/// Desired states kept for [`ModemHandle::desired_received`].
const DESIRED_KEPT_MAX: usize = 1024;

/// How a modem starts.
#[derive(Debug, Clone)]
pub struct ModemConfig {
    /// Its identity, and its client id.
    pub device: String,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Address that it comes from; `None` lets the system choose.
    pub source: Option<IpAddr>,
    /// TLS; `None` for plain TCP.
    pub tls: Option<TlsClient>,
    /// MQTT version.
    pub version: Version,
    /// Password, beside the device as the user name.
    pub token: Option<String>,
    /// How payloads are written; 3.1.1 cannot say it, and need not.
    pub content_type: ContentType,
    /// Enrolment epoch. Default 1.
    pub epoch: u32,
    /// Boot counter. Default 1.
    pub boot: u32,
    /// Keep alive, seconds. Default 60.
    pub keep_alive_secs: u16,
    /// Session expiry, seconds; 0 starts clean each time. Default 3600.
    pub session_expiry_secs: u32,
    /// How long it takes to carry out a desired state. Default none.
    pub apply_delay: Duration,
    /// How long the link, TLS and CONNACK may take. Default 10 s.
    pub connect_wait: Duration,
    /// First wait before connecting again; doubles, and up to half of it comes
    /// on top at random. Default 50 ms.
    pub backoff_min: Duration,
    /// Longest wait before connecting again, without what comes on top. Default 2 s.
    pub backoff_max: Duration,
    /// Of the random part of its waits. Default 0; a fleet gives each its own.
    pub seed: u64,
    /// QoS 1 publishes in flight at once, under what the gateway says. Default 64.
    pub in_flight_max: usize,
    /// Messages of records that may wait for their acknowledgement. Default 10,000.
    pub unacknowledged_max: usize,
    /// Start offline.
    pub starts_offline: bool,
}

impl ModemConfig {
    /// A modem that speaks version 5 and JSON.
    pub fn new(device: &str, gateway: SocketAddr) -> Self {
        Self {
            device: device.into(),
            gateway,
            source: None,
            tls: None,
            version: Version::V5,
            token: None,
            content_type: ContentType::Json,
            epoch: 1,
            boot: 1,
            keep_alive_secs: 60,
            session_expiry_secs: 3600,
            apply_delay: Duration::ZERO,
            connect_wait: Duration::from_secs(10),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            seed: 0,
            in_flight_max: 64,
            unacknowledged_max: 10_000,
            starts_offline: false,
        }
    }

    /// Where it connects to.
    pub fn route(&self) -> Route {
        Route { source: self.source, tls: self.tls.clone(), ..Route::plain(self.gateway) }
    }
}

/// What goes wrong with a modem.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ModemFault {
    /// Nothing.
    #[default]
    None,
    /// Takes a desired state and neither carries it out nor reports.
    Deaf,
    /// Reports that it could not, with this reason.
    Refuses(String),
    /// Sends every usage record twice.
    Duplicates,
}

/// Starts modems.
#[derive(Debug)]
pub struct Modem;

impl Modem {
    /// Starts one; it connects in the background and keeps coming back.
    pub fn start(config: ModemConfig) -> Result<ModemHandle, TopicError> {
        let device = DeviceId::new(&config.device)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State { boot: config.boot, ..State::default() }),
            wanted: watch::Sender::new(if config.starts_offline { Wanted::Gone } else { Wanted::Online }),
            seen: watch::Sender::new(Seen::default()),
            work: Notify::new(),
            lose_link: Notify::new(),
            sessions: AtomicU64::new(0),
            stop: CancellationToken::new(),
            device,
            config,
        });
        tokio::spawn(link::run(Arc::clone(&shared)));
        Ok(ModemHandle { shared })
    }
}

/// A running modem. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct ModemHandle {
    shared: Arc<Shared>,
}

impl ModemHandle {
    /// Device id.
    pub fn device(&self) -> &str {
        self.shared.device.as_str()
    }

    /// Whether CONNACK and SUBACK are there.
    pub fn is_online(&self) -> bool {
        self.shared.seen.borrow().online
    }

    /// The line state it is in; `None` before the first desired state.
    pub fn state(&self) -> Option<LineState> {
        self.shared.seen.borrow().state
    }

    /// Version of the last desired state that it took; 0 before the first.
    pub fn desired_version(&self) -> u64 {
        self.shared.seen.borrow().desired_version
    }

    /// Desired states as they came, oldest first.
    pub fn desired_received(&self) -> Vec<Desired> {
        self.shared.state().desired.iter().cloned().collect()
    }

    /// Waits until it is online; false when the time ran out.
    pub async fn online_within(&self, wait: Duration) -> bool {
        self.seen_within(wait, |seen| seen.online).await
    }

    /// Waits until it is in a state; false when the time ran out.
    pub async fn state_within(&self, state: LineState, wait: Duration) -> bool {
        self.seen_within(wait, |seen| seen.state == Some(state)).await
    }

    async fn seen_within(&self, wait: Duration, good: impl FnMut(&Seen) -> bool) -> bool {
        let mut seen = self.shared.seen.subscribe();
        let mut good = good;
        matches!(tokio::time::timeout(wait, seen.wait_for(|seen| good(seen))).await, Ok(Ok(_)))
    }

    /// Sends one record at QoS 1; kept and sent again until acknowledged.
    pub fn send_usage(&self, sample: &UsageSample) -> Result<SentUsage, SendError> {
        self.send(std::slice::from_ref(sample), |mut records| match records.pop() {
            Some(record) => Usage::One(record),
            None => Usage::Batch(records),
        })
    }

    /// Sends records as one message, acknowledged as a whole; its sequence
    /// number is that of the last.
    pub fn send_usage_batch(&self, samples: &[UsageSample]) -> Result<SentUsage, SendError> {
        self.send(samples, Usage::Batch)
    }

    fn send(
        &self,
        samples: &[UsageSample],
        usage: impl FnOnce(Vec<UsageRecord>) -> Usage,
    ) -> Result<SentUsage, SendError> {
        let mut state = self.shared.state();
        let waiting = state.unacknowledged.len();
        if waiting >= self.shared.config.unacknowledged_max {
            return Err(SendError::Full(waiting));
        }
        let carried = Carried {
            first_seq: state.next_seq + 1,
            records: samples.len() as u64,
            octets: samples.iter().map(|sample| sample.octets_up.saturating_add(sample.octets_down)).sum(),
        };
        let records = samples.iter().map(|sample| state.record(self.shared.config.epoch, sample)).collect();
        let payload = usage(records).encode(self.shared.config.content_type);
        let (sender, answer) = oneshot::channel();
        state.last_payload = Some(payload.clone());
        if state.fault == ModemFault::Duplicates {
            state.unacknowledged.push_back(Waiting::again(payload.clone()));
        }
        state.unacknowledged.push_back(Waiting { carried, answer: Some(sender), ..Waiting::again(payload) });
        let seq = state.next_seq;
        drop(state);
        self.shared.work.notify_one();
        Ok(SentUsage { seq, answer })
    }

    /// Sends the last record once more as a new message, with the same sequence
    /// number; false where there was none.
    pub fn send_last_again(&self) -> bool {
        let mut state = self.shared.state();
        let Some(payload) = state.last_payload.clone() else { return false };
        state.unacknowledged.push_back(Waiting::again(payload));
        drop(state);
        self.shared.work.notify_one();
        true
    }

    /// Sends any payload on the usage topic, for what cannot be read; the
    /// acknowledgement comes as for a record.
    pub fn send_raw(&self, payload: &[u8]) -> SentUsage {
        let (sender, answer) = oneshot::channel();
        let waiting = Waiting { answer: Some(sender), ..Waiting::again(Bytes::copy_from_slice(payload)) };
        self.shared.state().unacknowledged.push_back(waiting);
        self.shared.work.notify_one();
        SentUsage { seq: 0, answer }
    }

    /// Messages that wait for their acknowledgement.
    pub fn unacknowledged(&self) -> usize {
        self.shared.state().unacknowledged.len()
    }

    /// Messages acknowledged with success.
    pub fn acknowledged(&self) -> u64 {
        self.shared.state().acknowledged
    }

    /// What became of the records of this boot.
    pub fn account(&self) -> UsageAccount {
        self.shared.state().account()
    }

    /// Connections that it has opened up to their CONNACK.
    pub fn connections(&self) -> u64 {
        self.shared.seen.borrow().connections
    }

    /// When the SUBACK of the connection that is open came.
    pub fn subscribed_at(&self) -> Option<Instant> {
        self.shared.seen.borrow().subscribed_at
    }

    /// When the last desired state came, and went into the output its PUBACK.
    pub fn desired_at(&self) -> Option<Instant> {
        self.shared.seen.borrow().desired_at
    }

    /// Sets what goes wrong.
    pub fn set_fault(&self, fault: ModemFault) {
        self.shared.state().fault = fault;
    }

    /// Starts over: the boot counter rises, the sequence starts at 1.
    pub fn reboot(&self) {
        let mut state = self.shared.state();
        state.boot += 1;
        state.next_seq = 0;
        state.settled = UsageAccount::default();
        drop(state);
        self.come_again();
        self.shared.work.notify_one();
    }

    /// Loses its link without a word and connects again at once.
    pub fn come_again(&self) {
        self.shared.wanted.send_replace(Wanted::Gone);
        self.shared.wanted.send_replace(Wanted::Online);
    }

    /// Loses its link without a word, and connects again after its first back-off.
    pub fn lose_link(&self) {
        self.shared.lose_link.notify_one();
    }

    /// Loses its link without a word: the will speaks for it.
    pub fn go_offline(&self) {
        self.shared.wanted.send_replace(Wanted::Gone);
    }

    /// Takes leave with an offline status and DISCONNECT.
    pub fn take_leave(&self) {
        self.shared.wanted.send_replace(Wanted::Left);
    }

    /// Comes back.
    pub fn go_online(&self) {
        self.shared.wanted.send_replace(Wanted::Online);
    }

    /// Ends the modem; what is unacknowledged stays so.
    pub fn shutdown(&self) {
        self.shared.stop.cancel();
    }
}

/// What the handle and the task share.
#[derive(Debug)]
struct Shared {
    config: ModemConfig,
    device: DeviceId,
    state: Mutex<State>,
    wanted: watch::Sender<Wanted>,
    seen: watch::Sender<Seen>,
    work: Notify,
    lose_link: Notify,
    sessions: AtomicU64,
    stop: CancellationToken,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_session(&self) -> u64 {
        // Rises over restarts of the simulator too.
        let from = u64::try_from(crate::clock::unix_ms()).unwrap_or_default();
        let before = self.sessions.load(Ordering::Relaxed);
        let session = from.max(before + 1);
        self.sessions.store(session, Ordering::Relaxed);
        session
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Online,
    /// Offline, the link lost.
    Gone,
    /// Offline, leave taken.
    Left,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    online: bool,
    connections: u64,
    subscribed_at: Option<Instant>,
    desired_at: Option<Instant>,
    state: Option<LineState>,
    desired_version: u64,
}

#[derive(Debug, Default)]
struct State {
    boot: u32,
    next_seq: u64,
    unacknowledged: VecDeque<Waiting>,
    last_payload: Option<Bytes>,
    acknowledged: u64,
    /// Records and octets, of the boot.
    settled: UsageAccount,
    desired: VecDeque<Desired>,
    fault: ModemFault,
}

impl State {
    fn record(&mut self, epoch: u32, sample: &UsageSample) -> UsageRecord {
        self.next_seq += 1;
        UsageRecord {
            epoch,
            boot: self.boot,
            seq: self.next_seq,
            start_ms: sample.start_ms,
            end_ms: sample.end_ms,
            apn: sample.apn.clone(),
            rating_group: sample.rating_group,
            octets_up: sample.octets_up,
            octets_down: sample.octets_down,
            imei: None,
        }
    }

    fn settle(&mut self, waiting: &Waiting, refused: bool) {
        let Carried { records, octets, .. } = waiting.carried;
        if refused {
            self.settled.refused_records += records;
        } else {
            self.acknowledged += 1;
            self.settled.acknowledged_records += records;
            self.settled.acknowledged_octets += octets;
        }
    }

    fn account(&self) -> UsageAccount {
        let waiting = || self.unacknowledged.iter().map(|waiting| waiting.carried);
        let first_waiting = waiting().filter(|carried| carried.records > 0).map(|carried| carried.first_seq).min();
        UsageAccount {
            boot: self.boot,
            last_seq: self.next_seq,
            acknowledged_seq: first_waiting.map_or(self.next_seq, |seq| seq - 1),
            unacknowledged_records: waiting().map(|carried| carried.records).sum(),
            unacknowledged_octets: waiting().map(|carried| carried.octets).sum(),
            ..self.settled
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_account_is_acknowledged_as_far_as_there_is_no_gap() {
        let config = ModemConfig { starts_offline: true, ..ModemConfig::new("m", "127.0.0.1:1".parse().unwrap()) };
        let modem = Modem::start(config).unwrap();
        let sample = UsageSample::of_now("iot.example", 10, 20);
        modem.send_usage(&sample).unwrap();
        modem.send_usage_batch(&[sample.clone(), sample.clone()]).unwrap();
        modem.send_usage(&sample).unwrap();
        let acknowledge = |at, refused| {
            let mut state = modem.shared.state();
            let waiting = state.unacknowledged.remove(at).unwrap();
            state.settle(&waiting, refused);
        };
        let check = |acknowledged_seq, acknowledged_records, refused_records, unacknowledged_records| {
            let expected = UsageAccount {
                boot: 1,
                last_seq: 4,
                acknowledged_seq,
                acknowledged_records,
                acknowledged_octets: acknowledged_records * 30,
                refused_records,
                unacknowledged_records,
                unacknowledged_octets: unacknowledged_records * 30,
            };
            assert_eq!(modem.account(), expected);
        };
        check(0, 0, 0, 4);
        acknowledge(1, false);
        check(0, 2, 0, 2);
        acknowledge(0, false);
        check(3, 3, 0, 1);
        acknowledge(0, true);
        check(4, 3, 1, 0);
    }
}
