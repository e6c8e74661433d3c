//! Application messages, both ways, and what is said of them.

use std::num::NonZeroU16;
use std::time::Instant;

use bytes::Bytes;

use crate::topic::TopicKind;
use crate::{ContentType, Qos};

/// A name and a value that have no meaning to MQTT (section 3.3.2.3.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserProperty {
    /// Name; may stand more than once.
    pub name: String,
    /// Value.
    pub value: String,
}

/// What version 5 can say of a message beside its content type (section
/// 3.3.2.3). Rare, so it is kept apart from the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// Payload Format Indicator: the sender says that the payload is UTF-8. Not
    /// checked here.
    pub is_utf8: bool,
    /// Message Expiry Interval: how long the message is of use, in seconds.
    pub expiry_secs: Option<u32>,
    /// Response Topic; neither empty nor with a wildcard.
    pub response_topic: Option<String>,
    /// Correlation Data.
    pub correlation_data: Option<Bytes>,
    /// User properties in their order, up to `Limits::user_properties_max`; those
    /// over it are passed over.
    pub user_properties: Vec<UserProperty>,
}

/// A message from the device, on one of its own topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Which of the device's topics: reported, usage or status.
    pub kind: TopicKind,
    /// The payload, a slice of the input buffer.
    pub payload: Bytes,
    /// The packet id to `ack`; `None` for QoS 0.
    pub packet_id: Option<NonZeroU16>,
    /// The device sent it before, as far as it knows.
    pub dup: bool,
    /// The device wants it retained.
    pub retain: bool,
    /// Content type; `None` when not said (always in 3.1.1).
    pub content_type: Option<ContentType>,
    /// What else version 5 says of it, where it says anything.
    pub properties: Option<Box<MessageProperties>>,
}

/// A will message (section 3.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Topic as sent. Once accepted it is the device's own status topic.
    pub topic: String,
    /// Payload, not looked into.
    pub payload: Bytes,
    /// Quality of service; at most 1 in version 5.
    pub qos: Qos,
    /// Whether it is to be retained.
    pub retain: bool,
    /// How long the caller waits before it publishes the will, in seconds; a
    /// return of the device, or the session's end, ends the wait (0 in 3.1.1).
    pub delay_secs: u32,
    /// Content type, where the will has one.
    pub content_type: Option<ContentType>,
    /// What else version 5 says of it, where it says anything.
    pub properties: Option<Box<MessageProperties>>,
}

/// A message to the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Desired or receipt; the device's own topic is made from it.
    pub kind: TopicKind,
    /// Payload, encoded by the caller.
    pub payload: Bytes,
    /// Wanted quality of service; cut to what the subscription was granted.
    pub qos: Qos,
    /// Retain flag.
    pub retain: bool,
    /// Content type, said in version 5; with JSON the payload is said to be UTF-8.
    pub content_type: Option<ContentType>,
    /// When the message is of no more use. It is not sent after that, not even
    /// again; in version 5 the device is told how long is left.
    pub expires: Option<Instant>,
    /// Asks for the answer on the device's `reported` topic (section 4.10): in
    /// version 5 that is the Response Topic and this is the Correlation Data.
    pub correlation_data: Option<Bytes>,
    /// It says all that those of its kind said that still wait unsent: they go.
    pub supersedes: bool,
    /// Comes back in `Event::PubAck`.
    pub token: u64,
}

impl Outgoing {
    /// A desired state at QoS 1, with its version as token and, in decimal
    /// digits, as Correlation Data.
    pub fn desired(version: u64, payload: Bytes, content_type: ContentType) -> Self {
        Self {
            kind: TopicKind::Desired,
            payload,
            qos: Qos::AtLeastOnce,
            retain: false,
            content_type: Some(content_type),
            expires: None,
            correlation_data: Some(version.to_string().into()),
            supersedes: true,
            token: version,
        }
    }

    /// Seconds that are left at `now`, rounded up; 0 when its time is over.
    pub(super) fn expiry_secs(&self, now: Instant) -> Option<u32> {
        let left = self.expires?.saturating_duration_since(now);
        Some(u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// What became of a message given to `publish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Written at QoS 0; nothing more will be heard of it.
    AtMostOnce,
    /// Written or waiting at QoS 1; a `PubAck` with the token will come, on this
    /// connection or on one that goes on with its session.
    AtLeastOnce,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The device has no subscription for the topic.
    #[error("publish to device: no subscription for the topic")]
    NotSubscribed,
    /// The connection is not open (before `accept`, or closing).
    #[error("publish to device: the connection is not open")]
    NotOpen,
    /// The queue of this connection is full.
    #[error("publish to device: {0} messages wait already")]
    QueueFull(usize),
    /// Larger than the device's Maximum Packet Size.
    #[error("publish to device: packet of {size} bytes, the device takes {max}")]
    TooLarge {
        /// Size of the packet, in bytes.
        size: usize,
        /// The device's maximum, in bytes.
        max: usize,
    },
    /// The message's time is over already.
    #[error("publish to device: the message has expired")]
    Expired,
    /// A device receives on its desired and receipt topics only.
    #[error("publish to device: {0} is not a topic that a device receives")]
    NotForDevices(TopicKind),
}
