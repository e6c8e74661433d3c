//! What `linegate-sim load` takes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use linegate_simulators::load::Bounds;

use super::LineArgs;
use super::modem::MqttWire;

#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    /// Credit-control sessions over Diameter; a unit is a request.
    Gy(GyArgs),
    /// Usage at QoS 1 over MQTT; a unit is a publish.
    Mqtt(MqttArgs),
    /// Activate orders over REST; a unit is an order.
    Orders(OrderArgs),
    /// Idle connections, and what they cost the gateway in memory.
    Idle(IdleArgs),
    /// Modems that all reconnect at once, and the time until all are served.
    Storm(StormArgs),
    /// Modems whose desired states change meanwhile (elsewhere: orders, an
    /// import, a bulk change), from the first that comes to the last PUBACK.
    Desired(DesiredArgs),
    /// Usage of known amounts that survives restarts of the gateway.
    Ledger(LedgerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BoundArgs {
    /// Units in all; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    pub(crate) count: u64,
    /// Seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Units a second; as fast as answers come when not given.
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// The gateway's process id, for its CPU time and memory.
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
}

impl BoundArgs {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { count_max: self.count, time_max: Duration::from_secs(self.seconds), rate: self.rate }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GyArgs {
    /// The gateway's Diameter listener.
    #[arg(long, default_value = "127.0.0.1:3868")]
    pub(crate) gateway: SocketAddr,
    /// Peer connections.
    #[arg(long, default_value_t = 2)]
    pub(crate) peers: u64,
    /// Sessions under way on each.
    #[arg(long, default_value_t = 64)]
    pub(crate) outstanding: u32,
    /// CCR-U of each session.
    #[arg(long, default_value_t = 3)]
    pub(crate) updates: u32,
    /// Octets of each report, for each rating group.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) octets: u64,
    /// Rating groups of each session, with commas.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub(crate) rating_groups: Vec<u32>,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
    #[command(flatten)]
    pub(crate) bounds: BoundArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MqttArgs {
    /// Modems.
    #[arg(long, default_value_t = 100)]
    pub(crate) connections: u64,
    /// Unacknowledged publishes of each.
    #[arg(long, default_value_t = 8)]
    pub(crate) outstanding: usize,
    /// Records in each publish.
    #[arg(long, default_value_t = 1)]
    pub(crate) records: u64,
    /// Octets of each record.
    #[arg(long, default_value_t = 1000)]
    pub(crate) octets: u64,
    /// Bytes of each payload, filled up with spaces; JSON alone.
    #[arg(long, default_value_t = 0)]
    pub(crate) payload_bytes: usize,
    #[command(flatten)]
    pub(crate) wire: MqttWire,
    #[command(flatten)]
    pub(crate) bounds: BoundArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// The gateway's URL without a path, plain HTTP.
    #[arg(long, default_value = "http://127.0.0.1:8088")]
    pub(crate) gateway: String,
    /// Bearer token.
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// Requests under way.
    #[arg(long, default_value_t = 8)]
    pub(crate) concurrency: u64,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
    #[command(flatten)]
    pub(crate) bounds: BoundArgs,
}

/// Modems that connect before something is measured.
#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// How many.
    #[arg(long, default_value_t = 1000)]
    pub(crate) connections: u64,
    /// Opened in a second; 0 for all at once.
    #[arg(long, default_value_t = 1000)]
    pub(crate) per_second: u64,
    /// How long all may take to come, seconds.
    #[arg(long, default_value_t = 60)]
    pub(crate) open_secs: u64,
    /// The gateway's process id, for its CPU time and memory.
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    #[command(flatten)]
    pub(crate) wire: MqttWire,
}

impl OpenArgs {
    pub(crate) fn open_max(&self) -> Duration {
        Duration::from_secs(self.open_secs)
    }
}

#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    /// Diameter peers instead of modems; --gateway is that listener.
    #[arg(long)]
    pub(crate) diameter: bool,
    /// How long they stay, seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) hold_secs: u64,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StormArgs {
    /// Served means that the desired state came too; each modem must have one.
    #[arg(long)]
    pub(crate) desired: bool,
    /// How long they may take to be served, seconds.
    #[arg(long, default_value_t = 120)]
    pub(crate) served_secs: u64,
    /// Storms, one after the other.
    #[arg(long, default_value_t = 1)]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DesiredArgs {
    /// How long to wait for the first desired state, seconds.
    #[arg(long, default_value_t = 60)]
    pub(crate) first_secs: u64,
    /// It is over when none came for so long, seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) quiet_secs: u64,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    /// The gateway's Diameter listener; no Gy usage when not given.
    #[arg(long)]
    pub(crate) diameter: Option<SocketAddr>,
    /// The gateway's MQTT listener; no modem usage when not given.
    #[arg(long)]
    pub(crate) mqtt: Option<SocketAddr>,
    /// Lines charged by their modems, behind those charged over Gy.
    #[arg(long, default_value_t = 100)]
    pub(crate) modem_lines: u64,
    /// Gy sessions at once.
    #[arg(long, default_value_t = 8)]
    pub(crate) sessions: u64,
    /// Modems at once.
    #[arg(long, default_value_t = 4)]
    pub(crate) modems: u64,
    /// Records in all; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    pub(crate) count: u64,
    /// Seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// How long a record is sent again before it is given up, seconds.
    #[arg(long, default_value_t = 60)]
    pub(crate) give_up_secs: u64,
    /// Wait between two records of a session or modem, milliseconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) pause_ms: u64,
    /// CSV file of every record and what became of it.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
}
