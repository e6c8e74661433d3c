//! Every limit of a connection, with its default.

use std::time::Duration;

/// Limits of one connection. One value is shared by all connections of a
/// listener (`Arc<Limits>`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From the link's start to a whole CONNECT. Default 10 s.
    pub connect_timeout: Duration,
    /// From a packet's first byte to its last, after CONNECT. Default 60 s.
    pub packet_timeout: Duration,
    /// Largest CONNECT, in bytes with its fixed header. Default 4 KiB.
    pub connect_bytes_max: usize,
    /// Bytes taken behind a CONNECT that is not answered yet. Default 64 KiB.
    pub unanswered_bytes_max: usize,
    /// Largest packet after CONNECT, in bytes with its fixed header; said as
    /// Maximum Packet Size. Default 256 KiB, range 16 to 268,435,460.
    pub packet_bytes_max: usize,
    /// QoS 1 messages from the device that may wait for `ack`; said as Receive
    /// Maximum. In version 5 one more closes the connection (0x93), in 3.1.1
    /// reading stops. Default 64, range 1 to 65,535.
    pub receive_max: u16,
    /// Topic aliases that the device may set; said as Topic Alias Maximum.
    /// Default 8, range 0 to 65,535.
    pub topic_alias_max: u16,
    /// QoS 1 messages to the device in flight at once, whatever larger Receive
    /// Maximum the device says (a 3.1.1 device says none). Default 16, at least 1.
    pub send_max: u16,
    /// Messages to the device that wait for their turn. Default 64.
    pub queue_messages_max: usize,
    /// Bytes that wait to be written; past it the connection is closed (0x97).
    /// Messages to the device wait in the queue from half of it. Default 1 MiB.
    pub output_bytes_max: usize,
    /// Filters of one session. Default 8.
    pub subscriptions_max: usize,
    /// User properties of one CONNECT, will or PUBLISH that are given to the
    /// caller; more are passed over. Default 16.
    pub user_properties_max: usize,
    /// Longest life of a session after its connection, in seconds; a longer wish
    /// is cut and said in CONNACK. It is what a 3.1.1 session without Clean
    /// Session gets. Default 7 days; `u32::MAX` allows sessions without end.
    pub session_expiry_secs_max: u32,
    /// Longest keep alive, in seconds; a version 5 client that asks for more, or
    /// for none, is told this one (Server Keep Alive). A 3.1.1 client cannot be
    /// told and keeps its own. Default 3600; 0 leaves it to the client.
    pub keep_alive_secs_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            packet_timeout: Duration::from_secs(60),
            connect_bytes_max: 4 << 10,
            unanswered_bytes_max: 64 << 10,
            packet_bytes_max: 256 << 10,
            receive_max: 64,
            topic_alias_max: 8,
            send_max: 16,
            queue_messages_max: 64,
            output_bytes_max: 1 << 20,
            subscriptions_max: 8,
            user_properties_max: 16,
            session_expiry_secs_max: 7 * 86_400,
            keep_alive_secs_max: 3600,
        }
    }
}
