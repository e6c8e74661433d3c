//! Usage of a modem: what is sent, what waits for its PUBACK, and the account
//! of both.

use bytes::Bytes;
use tokio::sync::oneshot;

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
    #[error("send usage: {0} messages wait for their acknowledgement already")]
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
    pub(super) answer: oneshot::Receiver<u8>,
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

/// What became of the records of one boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageAccount {
    /// The boot.
    pub boot: u32,
    /// Sequence number of the last record; 0 before the first.
    pub last_seq: u64,
    /// Every record up to this sequence number has its PUBACK.
    pub acknowledged_seq: u64,
    /// Records acknowledged with success.
    pub acknowledged_records: u64,
    /// Their octets, up and down.
    pub acknowledged_octets: u64,
    /// Records acknowledged with a failure.
    pub refused_records: u64,
    /// Records without a PUBACK: they may be counted.
    pub unacknowledged_records: u64,
    /// Their octets, up and down.
    pub unacknowledged_octets: u64,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) payload: Bytes,
    /// Its packet id on the session, once sent.
    pub(super) packet_id: Option<u16>,
    pub(super) carried: Carried,
    pub(super) answer: Option<oneshot::Sender<u8>>,
}

impl Waiting {
    /// A payload whose records are none or are counted already.
    pub(super) fn again(payload: Bytes) -> Self {
        Self { payload, packet_id: None, carried: Carried::default(), answer: None }
    }
}

/// The records of one message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Carried {
    pub(super) first_seq: u64,
    pub(super) records: u64,
    pub(super) octets: u64,
}
