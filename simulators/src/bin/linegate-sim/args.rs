//! What the command line takes; every default is the library's.

mod load;
mod modem;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use linegate_simulators::lines::LineRange;

pub(crate) use load::{LedgerArgs, LoadCommand};
pub(crate) use modem::{ChaosArgs, FleetArgs, ModemArgs, ModemCommand, served};

/// Network elements, modems, a call desk and load for Linegate, over real sockets.
#[derive(Debug, Parser)]
#[command(name = "linegate-sim", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play a network element until interrupted, or a script to its end.
    Element(ElementArgs),
    /// Play one modem, or some, until interrupted; or a fleet, or chaos.
    Modem(Box<ModemArgs>),
    /// Play the call desk and the field workers until interrupted.
    Desk(DeskArgs),
    /// Take mail, or SMS and webhooks, until interrupted.
    Sink(SinkArgs),
    /// Load a listener and sum up in JSON on stdout.
    #[command(subcommand)]
    Load(LoadCommand),
    /// Print a lines file whose identifiers match those of the load.
    LinesCsv(LineArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ElementArgs {
    /// What it is; several make one element of all.
    #[arg(long = "role", value_enum, required_unless_present = "script")]
    pub(crate) roles: Vec<RoleName>,
    /// Carry out this script (docs/element-scripts.md): 0 held, 1 did not, 2 unreadable.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["roles", "host", "realm", "gateway_realm", "listen"])]
    pub(crate) script: Option<PathBuf>,
    /// Variable of the script; may be given again.
    #[arg(long, value_name = "NAME=VALUE", requires = "script")]
    pub(crate) set: Vec<String>,
    /// Print every message that the script sends and receives.
    #[arg(long, requires = "script")]
    pub(crate) trace: bool,
    /// Origin-Host; the role's name in network.example when not given.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Origin-Realm.
    #[arg(long, default_value = "network.example")]
    pub(crate) realm: String,
    /// Destination-Realm: the gateway's.
    #[arg(long, default_value = "linegate.example")]
    pub(crate) gateway_realm: String,
    /// The gateway's Diameter listener, to dial.
    #[arg(long, default_value = "127.0.0.1:3868")]
    pub(crate) gateway: SocketAddr,
    /// Listen on this address and let the gateway dial, instead.
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
    /// Watchdog Tw, seconds.
    #[arg(long, default_value_t = 30)]
    pub(crate) watchdog_secs: u64,
    /// What goes wrong with every command.
    #[arg(long, value_enum)]
    pub(crate) fault: Option<FaultName>,
    /// Delay of the fault `slow`, milliseconds.
    #[arg(long, default_value_t = 2000)]
    pub(crate) delay_ms: u64,
    /// Result-Code of the fault `refuse`.
    #[arg(long, default_value_t = 5012)]
    pub(crate) code: u32,
    /// Attach this IMSI once the link is up (role mme); may be given again.
    #[arg(long = "attach")]
    pub(crate) attach: Vec<String>,
    /// Charge a session of this IMSI once the link is up (role pgw); may be given again.
    #[arg(long = "session")]
    pub(crate) sessions: Vec<String>,
    /// APN of those sessions.
    #[arg(long, default_value = "iot.example")]
    pub(crate) apn: String,
    /// Reports of each session before it ends.
    #[arg(long, default_value_t = 10)]
    pub(crate) reports: usize,
    /// Octets of each report.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) octets: u64,
    /// Between two reports, milliseconds.
    #[arg(long, default_value_t = 1000)]
    pub(crate) report_ms: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    /// HSS front end: cellular lines.
    Hss,
    /// MME: S6a.
    Mme,
    /// PGW-C: Gy and Rf.
    Pgw,
    /// OLT: internet lines.
    Olt,
    /// Television head end.
    Tv,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FaultName {
    /// Never answer.
    Silent,
    /// Answer late.
    Slow,
    /// Carry out, never answer.
    AnswerLost,
    /// Store a part and answer busy, the first time.
    HalfApplied,
    /// Cut the link and stay away.
    Disconnect,
    /// Refuse with a code.
    Refuse,
}

#[derive(Debug, Args)]
pub(crate) struct DeskArgs {
    /// The gateway's URL without a path, plain HTTP.
    #[arg(long, default_value = "http://127.0.0.1:8088")]
    pub(crate) gateway: String,
    /// Bearer token.
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// The agent's name.
    #[arg(long, default_value = "desk")]
    pub(crate) agent: String,
    /// Between two polls, milliseconds.
    #[arg(long, default_value_t = 1000)]
    pub(crate) poll_ms: u64,
    /// Make no calls.
    #[arg(long)]
    pub(crate) no_calls: bool,
    /// Carry out no work orders.
    #[arg(long)]
    pub(crate) no_visits: bool,
    /// A phone, order or appointment whose first call nobody answers; may be given again.
    #[arg(long = "no-answer-once")]
    pub(crate) no_answer_once: Vec<String>,
    /// A customer or order whose first visit is returned; may be given again.
    #[arg(long = "return-once")]
    pub(crate) return_once: Vec<String>,
    /// Reason code of those returns.
    #[arg(long, default_value = "no-signal")]
    pub(crate) return_reason: String,
    /// Have those customers called for another time.
    #[arg(long)]
    pub(crate) reschedule: bool,
    /// Enter a worker of these skills, with commas, who has the next seven days
    /// free, an hour a slot.
    #[arg(long = "with-worker", value_delimiter = ',')]
    pub(crate) with_worker: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SinkArgs {
    /// Listen for mail (SMTP) here.
    #[arg(long)]
    pub(crate) smtp: Option<SocketAddr>,
    /// Listen for SMS and webhooks (HTTP) here.
    #[arg(long)]
    pub(crate) http: Option<SocketAddr>,
    /// Put off every mail, and refuse every HTTP request with 503.
    #[arg(long)]
    pub(crate) fail: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LineArgs {
    /// IMSI of the first line.
    #[arg(long, default_value_t = 450_080_000_000_001)]
    pub(crate) imsi_from: u64,
    /// How many lines.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) lines: u64,
    /// Their APN.
    #[arg(long = "line-apn", default_value = "iot.example")]
    pub(crate) apn: String,
    /// Their plan.
    #[arg(long, default_value = "iot-payg")]
    pub(crate) plan: String,
}

impl LineArgs {
    pub(crate) fn range(&self) -> LineRange {
        LineRange { imsi_from: self.imsi_from, lines: self.lines, apn: self.apn.clone(), plan: self.plan.clone() }
    }
}
