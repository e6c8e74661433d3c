//! The client's side of one connection, for simulators and load.
//!
//! Cheap and obedient: it says what it is told, so that faults can be built on
//! top. It keeps the next packet id and the number in flight; resending after a
//! reconnect is the caller's, who knows what it sent.

use bytes::Bytes;

use crate::{ContentType, Qos, ReasonCode, Version};

/// What a CONNECT says.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Client identifier; may be empty.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Bytes>,
    /// Clean Start, or Clean Session in 3.1.1.
    pub clean_start: bool,
    /// Keep alive in seconds, 0 for none.
    pub keep_alive_secs: u16,
    /// Session Expiry Interval in seconds, said in version 5 when not 0.
    pub session_expiry_secs: u32,
    /// Receive Maximum, said in version 5.
    pub receive_max: Option<u16>,
    /// Maximum Packet Size in bytes, said in version 5.
    pub packet_bytes_max: Option<u32>,
    /// The will.
    pub will: Option<crate::session::Will>,
}

impl ConnectOptions {
    /// A clean session with a keep alive of 60 s and nothing else.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            username: None,
            password: None,
            clean_start: true,
            keep_alive_secs: 60,
            session_expiry_secs: 0,
            receive_max: None,
            packet_bytes_max: None,
            will: None,
        }
    }
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// CONNACK.
    ConnAck(ConnAck),
    /// PUBACK of our message.
    PubAck {
        /// The id that `publish` gave.
        packet_id: u16,
        /// The answer; success in 3.1.1.
        reason: ReasonCode,
    },
    /// A message; one with a packet id wants `puback`.
    Publish(Message),
    /// SUBACK, one code for each filter.
    SubAck {
        /// The id that `subscribe` gave.
        packet_id: u16,
        /// Granted QoS, or a failure.
        reasons: Vec<ReasonCode>,
    },
    /// UNSUBACK.
    UnsubAck {
        /// The id that `unsubscribe` gave.
        packet_id: u16,
    },
    /// PINGRESP.
    PingResp,
    /// DISCONNECT from the server (version 5).
    Disconnect(ReasonCode),
}

/// A CONNACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// The server went on with a session.
    pub session_present: bool,
    /// Success, or why not.
    pub reason: ReasonCode,
    /// Client id that the server made.
    pub assigned_client_id: Option<String>,
    /// QoS 1 messages that may be in flight to the server (65,535 if not said).
    pub receive_max: u16,
    /// Topic aliases that the server takes.
    pub topic_alias_max: u16,
    /// Highest QoS that the server takes.
    pub qos_max: Qos,
    /// Largest packet that the server takes, in bytes.
    pub packet_bytes_max: Option<u32>,
    /// Keep alive to use in place of ours, in seconds.
    pub server_keep_alive_secs: Option<u16>,
    /// Session expiry in place of ours, in seconds.
    pub session_expiry_secs: Option<u32>,
}

/// A message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic name.
    pub topic: String,
    /// Payload, a slice of the input.
    pub payload: Bytes,
    /// Packet id for QoS 1.
    pub packet_id: Option<u16>,
    /// Sent before.
    pub dup: bool,
    /// A retained message.
    pub retain: bool,
    /// Content type, where said.
    pub content_type: Option<ContentType>,
}

/// Why the client cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server sent something that cannot be read.
    #[error("decode packet from server: {0}")]
    Malformed(String),
}

/// The client's side of one connection.
#[derive(Debug)]
pub struct Client {
    version: Version,
}

impl Client {
    /// A client before its CONNECT.
    pub fn new(version: Version) -> Self {
        Self { version }
    }

    /// Sends CONNECT.
    pub fn connect(&mut self, options: &ConnectOptions) {
        let _ = (options, self.version);
    }

    /// Sends PUBLISH; the packet id for QoS 1 and 2, `None` for QoS 0.
    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        retain: bool,
        content_type: Option<ContentType>,
    ) -> Option<u16> {
        let _ = (topic, payload, qos, retain, content_type);
        None
    }

    /// Sends PUBLISH again with DUP and its old packet id.
    pub fn publish_again(
        &mut self,
        packet_id: u16,
        topic: &str,
        payload: &[u8],
        retain: bool,
        content_type: Option<ContentType>,
    ) {
        let _ = (packet_id, topic, payload, retain, content_type);
    }

    /// Sends PUBACK for a message from the server.
    pub fn puback(&mut self, packet_id: u16) {
        let _ = packet_id;
    }

    /// Sends SUBSCRIBE; its packet id.
    pub fn subscribe(&mut self, filters: &[(&str, Qos)]) -> u16 {
        let _ = filters;
        0
    }

    /// Sends UNSUBSCRIBE; its packet id.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> u16 {
        let _ = filters;
        0
    }

    /// Sends PINGREQ.
    pub fn ping(&mut self) {}

    /// Sends DISCONNECT; the reason is said in version 5.
    pub fn disconnect(&mut self, reason: ReasonCode) {
        let _ = reason;
    }

    /// Takes bytes from the server, in any fragmentation.
    pub fn handle_input(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        let _ = bytes;
        Ok(())
    }

    /// What the server said next.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        None
    }

    /// Bytes to write, all of them, leaving none.
    pub fn take_output(&mut self) -> Bytes {
        Bytes::new()
    }

    /// Messages sent at QoS 1 and not acknowledged yet.
    pub fn in_flight(&self) -> usize {
        0
    }
}
