//! IoT modems over MQTT 3.1.1 and 5: birth and will, the desired state taken
//! and reported, usage sent and sent again until it is acknowledged.
//!
//! Owns the modem's own line state and its counters (epoch, boot, sequence). A
//! record keeps its sequence number however often it is sent; a modem that was
//! away converges when it comes back, because the desired state is retained.
//!
//! One task and one socket a modem; a fleet of thousands is many of them.

mod link;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
pub use linegate_mqtt::payload::{Desired, LineState, UsageRecord};
use linegate_mqtt::payload::{Payload, Usage};
use linegate_mqtt::topic::{DeviceId, TopicError};
pub use linegate_mqtt::{ContentType, Version};
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Desired states kept for [`ModemHandle::desired_received`].
const DESIRED_KEPT_MAX: usize = 1024;

/// How a modem starts.
#[derive(Debug, Clone)]
pub struct ModemConfig {
    /// Its identity, and its client id.
    pub device: String,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
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
    /// First wait before connecting again; doubles. Default 50 ms.
    pub backoff_min: Duration,
    /// Longest wait before connecting again. Default 2 s.
    pub backoff_max: Duration,
    /// QoS 1 publishes in flight at once, under what the gateway says. Default 64.
    pub in_flight_max: usize,
    /// Records that may wait for their acknowledgement. Default 10,000.
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
            version: Version::V5,
            token: None,
            content_type: ContentType::Json,
            epoch: 1,
            boot: 1,
            keep_alive_secs: 60,
            session_expiry_secs: 3600,
            apply_delay: Duration::ZERO,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            in_flight_max: 64,
            unacknowledged_max: 10_000,
            starts_offline: false,
        }
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

/// Usage to send: what the modem does not count itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSample {
    /// Start, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// End, milliseconds since the Unix epoch.
    pub end_ms: i64,
    /// Access point.
    pub apn: String,
    /// Rating group.
    pub rating_group: u32,
    /// Octets from the modem.
    pub octets_up: u64,
    /// Octets to the modem.
    pub octets_down: u64,
}

impl UsageSample {
    /// Usage of this moment on an APN, rating group 1.
    pub fn of_now(apn: &str, octets_up: u64, octets_down: u64) -> Self {
        let now = crate::clock::unix_ms();
        Self { start_ms: now - 1000, end_ms: now, apn: apn.into(), rating_group: 1, octets_up, octets_down }
    }
}

/// Why usage was not taken for sending.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits for its acknowledgement.
    #[error("send usage: {0} records wait for their acknowledgement already")]
    Full(usize),
    /// The gateway acknowledged with a failure.
    #[error("send usage: refused with reason code {0:#04x}")]
    Refused(u8),
    /// The modem was shut down before the acknowledgement.
    #[error("send usage: the modem is shut down")]
    ShutDown,
}

/// A record on its way; wait for [`SentUsage::acknowledged`].
#[derive(Debug)]
pub struct SentUsage {
    /// The sequence number that it was given.
    pub seq: u64,
    answer: oneshot::Receiver<u8>,
}

impl SentUsage {
    /// Waits for the acknowledgement, over any number of reconnects.
    pub async fn acknowledged(self) -> Result<u64, SendError> {
        match self.answer.await {
            Ok(code) if code < 0x80 => Ok(self.seq),
            Ok(code) => Err(SendError::Refused(code)),
            Err(_) => Err(SendError::ShutDown),
        }
    }
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
            sessions: AtomicU64::new(0),
            stop: CancellationToken::new(),
            device,
            config,
        });
        tokio::spawn(link::run(Arc::clone(&shared)));
        Ok(ModemHandle { shared })
    }

    /// Starts a fleet at `per_second` modems a second (0 for all at once).
    /// `config_of` makes the n-th modem.
    pub async fn start_fleet(
        count: u64,
        per_second: u64,
        mut config_of: impl FnMut(u64) -> ModemConfig,
    ) -> Result<Vec<ModemHandle>, TopicError> {
        let mut fleet = Vec::new();
        let burst = (per_second / 100).max(1);
        for n in 0..count {
            if per_second > 0 && n > 0 && n % burst == 0 {
                let pause = Duration::from_micros(1_000_000 * burst / per_second);
                tokio::time::sleep(pause).await;
            }
            fleet.push(Self::start(config_of(n))?);
        }
        Ok(fleet)
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
        let mut state = self.shared.state();
        let waiting = state.unacknowledged.len();
        if waiting >= self.shared.config.unacknowledged_max {
            return Err(SendError::Full(waiting));
        }
        state.next_seq += 1;
        let record = UsageRecord {
            epoch: self.shared.config.epoch,
            boot: state.boot,
            seq: state.next_seq,
            start_ms: sample.start_ms,
            end_ms: sample.end_ms,
            apn: sample.apn.clone(),
            rating_group: sample.rating_group,
            octets_up: sample.octets_up,
            octets_down: sample.octets_down,
            imei: None,
        };
        let seq = record.seq;
        let payload = Usage::One(record).encode(self.shared.config.content_type);
        let (sender, answer) = oneshot::channel();
        state.last_payload = Some(payload.clone());
        if state.fault == ModemFault::Duplicates {
            state.unacknowledged.push_back(Waiting::new(payload.clone(), None));
        }
        state.unacknowledged.push_back(Waiting::new(payload, Some(sender)));
        drop(state);
        self.shared.work.notify_one();
        Ok(SentUsage { seq, answer })
    }

    /// Sends the last record once more as a new message, with the same sequence
    /// number; false where there was none.
    pub fn send_last_again(&self) -> bool {
        let mut state = self.shared.state();
        let Some(payload) = state.last_payload.clone() else { return false };
        state.unacknowledged.push_back(Waiting::new(payload, None));
        drop(state);
        self.shared.work.notify_one();
        true
    }

    /// Sends any payload on the usage topic, for what cannot be read; the
    /// acknowledgement comes as for a record.
    pub fn send_raw(&self, payload: &[u8]) -> SentUsage {
        let (sender, answer) = oneshot::channel();
        self.shared.state().unacknowledged.push_back(Waiting::new(Bytes::copy_from_slice(payload), Some(sender)));
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

    /// Sets what goes wrong.
    pub fn set_fault(&self, fault: ModemFault) {
        self.shared.state().fault = fault;
    }

    /// Starts over: the boot counter rises, the sequence starts at 1.
    pub fn reboot(&self) {
        let mut state = self.shared.state();
        state.boot += 1;
        state.next_seq = 0;
        drop(state);
        self.shared.wanted.send_replace(Wanted::Gone);
        self.shared.wanted.send_replace(Wanted::Online);
        self.shared.work.notify_one();
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
    desired: VecDeque<Desired>,
    fault: ModemFault,
}

#[derive(Debug)]
struct Waiting {
    payload: Bytes,
    /// Its packet id on the session, once sent.
    packet_id: Option<u16>,
    answer: Option<oneshot::Sender<u8>>,
}

impl Waiting {
    fn new(payload: Bytes, answer: Option<oneshot::Sender<u8>>) -> Self {
        Self { payload, packet_id: None, answer }
    }
}
