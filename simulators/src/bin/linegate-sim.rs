//! The simulators from the command line: a thin layer over the library, which
//! has every knob.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use linegate_simulators::desk::{CallAct, Desk, DeskConfig, WorkAct};
use linegate_simulators::element::{Element, ElementConfig, ElementHandle, Fault, Role, SessionConfig, UsageStep};
use linegate_simulators::ledger::{self, LedgerConfig};
use linegate_simulators::lines::LineRange;
use linegate_simulators::load::{self, Bounds, GyLoad, IdleLoad, IdleProtocol, MqttLoad, OrderLoad};
use linegate_simulators::modem::{ContentType, Modem, ModemConfig, UsageSample, Version};
use linegate_simulators::peer::Endpoint;
use linegate_simulators::sinks::{HttpFault, HttpSink, MailFault, MailSink};
use serde::Serialize;

/// Network elements, modems, a call desk and load for Linegate, over real sockets.
#[derive(Debug, Parser)]
#[command(name = "linegate-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a network element until interrupted.
    Element(ElementArgs),
    /// Play one modem, or a fleet, until interrupted.
    Modem(ModemArgs),
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
struct ElementArgs {
    /// What it is; several make one element of all.
    #[arg(long = "role", value_enum, required = true)]
    roles: Vec<RoleName>,
    /// Origin-Host; the role's name in network.example when not given.
    #[arg(long)]
    host: Option<String>,
    /// Origin-Realm.
    #[arg(long, default_value = "network.example")]
    realm: String,
    /// Destination-Realm: the gateway's.
    #[arg(long, default_value = "linegate.example")]
    gateway_realm: String,
    /// The gateway's Diameter listener, to dial.
    #[arg(long, default_value = "127.0.0.1:3868")]
    gateway: SocketAddr,
    /// Listen on this address and let the gateway dial, instead.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Watchdog Tw, seconds.
    #[arg(long, default_value_t = 30)]
    watchdog_secs: u64,
    /// What goes wrong with every command.
    #[arg(long, value_enum)]
    fault: Option<FaultName>,
    /// Delay of the fault `slow`, milliseconds.
    #[arg(long, default_value_t = 2000)]
    delay_ms: u64,
    /// Result-Code of the fault `refuse`.
    #[arg(long, default_value_t = 5012)]
    code: u32,
    /// Attach this IMSI once the link is up (role mme); may be given again.
    #[arg(long = "attach")]
    attach: Vec<String>,
    /// Charge a session of this IMSI once the link is up (role pgw); may be given again.
    #[arg(long = "session")]
    sessions: Vec<String>,
    /// APN of those sessions.
    #[arg(long, default_value = "iot.example")]
    apn: String,
    /// Reports of each session before it ends.
    #[arg(long, default_value_t = 10)]
    reports: usize,
    /// Octets of each report.
    #[arg(long, default_value_t = 100_000)]
    octets: u64,
    /// Between two reports, milliseconds.
    #[arg(long, default_value_t = 1000)]
    report_ms: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
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
enum FaultName {
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
struct ModemArgs {
    /// The gateway's MQTT listener.
    #[arg(long, default_value = "127.0.0.1:1883")]
    gateway: SocketAddr,
    /// Device id; when not given, the devices of the lines.
    #[arg(long)]
    device: Option<String>,
    /// How many modems.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Modems that connect in a second.
    #[arg(long, default_value_t = 500)]
    per_second: u64,
    #[command(flatten)]
    wire: MqttWire,
    /// A usage record each so many milliseconds; 0 for none.
    #[arg(long, default_value_t = 0)]
    usage_ms: u64,
    /// Octets of each record.
    #[arg(long, default_value_t = 1000)]
    octets: u64,
    #[command(flatten)]
    lines: LineArgs,
}

#[derive(Debug, Args)]
struct MqttWire {
    /// MQTT version: 3 for 3.1.1, 5 for 5.
    #[arg(long, default_value_t = 5)]
    mqtt: u8,
    /// Write payloads in CBOR; JSON otherwise.
    #[arg(long)]
    cbor: bool,
    /// Password, beside the device id as the user name.
    #[arg(long)]
    token: Option<String>,
}

impl MqttWire {
    fn version(&self) -> anyhow::Result<Version> {
        match self.mqtt {
            3 => Ok(Version::V311),
            5 => Ok(Version::V5),
            other => bail!("--mqtt {other}: 3 or 5"),
        }
    }

    fn content_type(&self) -> ContentType {
        if self.cbor { ContentType::Cbor } else { ContentType::Json }
    }
}

#[derive(Debug, Args)]
struct DeskArgs {
    /// The gateway's URL without a path, plain HTTP.
    #[arg(long, default_value = "http://127.0.0.1:8088")]
    gateway: String,
    /// Bearer token.
    #[arg(long)]
    token: Option<String>,
    /// The agent's name.
    #[arg(long, default_value = "desk")]
    agent: String,
    /// Between two polls, milliseconds.
    #[arg(long, default_value_t = 1000)]
    poll_ms: u64,
    /// Make no calls.
    #[arg(long)]
    no_calls: bool,
    /// Carry out no work orders.
    #[arg(long)]
    no_visits: bool,
    /// A customer, phone or order whose first call nobody answers; may be given again.
    #[arg(long = "no-answer-once")]
    no_answer_once: Vec<String>,
    /// A customer or order whose first visit is returned; may be given again.
    #[arg(long = "return-once")]
    return_once: Vec<String>,
    /// Reason code of those returns.
    #[arg(long, default_value = "no-signal")]
    return_reason: String,
}

#[derive(Debug, Args)]
struct SinkArgs {
    /// Listen for mail (SMTP) here.
    #[arg(long)]
    smtp: Option<SocketAddr>,
    /// Listen for SMS and webhooks (HTTP) here.
    #[arg(long)]
    http: Option<SocketAddr>,
    /// Put off every mail, and refuse every HTTP request with 503.
    #[arg(long)]
    fail: bool,
}

#[derive(Debug, Subcommand)]
enum LoadCommand {
    /// Credit-control sessions over Diameter; a unit is a request.
    Gy(GyArgs),
    /// Usage at QoS 1 over MQTT; a unit is a publish.
    Mqtt(MqttArgs),
    /// Activate orders over REST; a unit is an order.
    Orders(OrderArgs),
    /// Idle connections, and what they cost the gateway in memory.
    Idle(IdleArgs),
    /// Usage of known amounts that survives restarts of the gateway.
    Ledger(LedgerArgs),
}

#[derive(Debug, Args)]
struct BoundArgs {
    /// Units in all; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    count: u64,
    /// Seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Units a second; as fast as answers come when not given.
    #[arg(long)]
    rate: Option<u64>,
    /// The gateway's process id, for its CPU time and memory.
    #[arg(long)]
    server_pid: Option<u32>,
}

impl BoundArgs {
    fn bounds(&self) -> Bounds {
        Bounds { count_max: self.count, time_max: Duration::from_secs(self.seconds), rate: self.rate }
    }
}

#[derive(Debug, Args)]
struct LineArgs {
    /// IMSI of the first line.
    #[arg(long, default_value_t = 450_080_000_000_001)]
    imsi_from: u64,
    /// How many lines.
    #[arg(long, default_value_t = 10_000)]
    lines: u64,
    /// Their APN.
    #[arg(long = "line-apn", default_value = "iot.example")]
    apn: String,
    /// Their plan.
    #[arg(long, default_value = "iot-payg")]
    plan: String,
}

impl LineArgs {
    fn range(&self) -> LineRange {
        LineRange { imsi_from: self.imsi_from, lines: self.lines, apn: self.apn.clone(), plan: self.plan.clone() }
    }
}

#[derive(Debug, Args)]
struct GyArgs {
    /// The gateway's Diameter listener.
    #[arg(long, default_value = "127.0.0.1:3868")]
    gateway: SocketAddr,
    /// Peer connections.
    #[arg(long, default_value_t = 2)]
    peers: u64,
    /// Sessions under way on each.
    #[arg(long, default_value_t = 64)]
    outstanding: u32,
    /// CCR-U of each session.
    #[arg(long, default_value_t = 3)]
    updates: u32,
    /// Octets of each report, for each rating group.
    #[arg(long, default_value_t = 10_000)]
    octets: u64,
    /// Rating groups of each session, with commas.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    rating_groups: Vec<u32>,
    #[command(flatten)]
    lines: LineArgs,
    #[command(flatten)]
    bounds: BoundArgs,
}

#[derive(Debug, Args)]
struct MqttArgs {
    /// The gateway's MQTT listener.
    #[arg(long, default_value = "127.0.0.1:1883")]
    gateway: SocketAddr,
    /// Modems.
    #[arg(long, default_value_t = 100)]
    connections: u64,
    /// Unacknowledged publishes of each.
    #[arg(long, default_value_t = 8)]
    outstanding: usize,
    /// Records in each publish.
    #[arg(long, default_value_t = 1)]
    records: u64,
    /// Octets of each record.
    #[arg(long, default_value_t = 1000)]
    octets: u64,
    #[command(flatten)]
    wire: MqttWire,
    #[command(flatten)]
    lines: LineArgs,
    #[command(flatten)]
    bounds: BoundArgs,
}

#[derive(Debug, Args)]
struct OrderArgs {
    /// The gateway's URL without a path, plain HTTP.
    #[arg(long, default_value = "http://127.0.0.1:8088")]
    gateway: String,
    /// Bearer token.
    #[arg(long)]
    token: Option<String>,
    /// Requests under way.
    #[arg(long, default_value_t = 8)]
    concurrency: u64,
    #[command(flatten)]
    lines: LineArgs,
    #[command(flatten)]
    bounds: BoundArgs,
}

#[derive(Debug, Args)]
struct IdleArgs {
    /// The listener: MQTT, or Diameter with --diameter.
    #[arg(long, default_value = "127.0.0.1:1883")]
    gateway: SocketAddr,
    /// Diameter peers instead of modems.
    #[arg(long)]
    diameter: bool,
    /// How many.
    #[arg(long, default_value_t = 1000)]
    connections: u64,
    /// Opened in a second.
    #[arg(long, default_value_t = 1000)]
    per_second: u64,
    /// How long they stay, seconds.
    #[arg(long, default_value_t = 5)]
    hold_secs: u64,
    /// How long all may take to come, seconds.
    #[arg(long, default_value_t = 60)]
    open_secs: u64,
    #[command(flatten)]
    lines: LineArgs,
    /// The gateway's process id.
    #[arg(long)]
    server_pid: Option<u32>,
}

#[derive(Debug, Args)]
struct LedgerArgs {
    /// The gateway's Diameter listener; no Gy usage when not given.
    #[arg(long)]
    diameter: Option<SocketAddr>,
    /// The gateway's MQTT listener; no modem usage when not given.
    #[arg(long)]
    mqtt: Option<SocketAddr>,
    /// Lines charged by their modems, behind those charged over Gy.
    #[arg(long, default_value_t = 100)]
    modem_lines: u64,
    /// Gy sessions at once.
    #[arg(long, default_value_t = 8)]
    sessions: u64,
    /// Modems at once.
    #[arg(long, default_value_t = 4)]
    modems: u64,
    /// Records in all; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    count: u64,
    /// Seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How long a record is sent again before it is given up, seconds.
    #[arg(long, default_value_t = 60)]
    give_up_secs: u64,
    /// Wait between two records of a session or modem, milliseconds.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// CSV file of every record and what became of it.
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    lines: LineArgs,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let outcome = tokio::runtime::Runtime::new()
        .context("start runtime")
        .and_then(|runtime| runtime.block_on(dispatch(cli.command)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("linegate-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Element(args) => element(args).await,
        Command::Modem(args) => modem(args).await,
        Command::Desk(args) => desk(args).await,
        Command::Sink(args) => sink(args).await,
        Command::Load(load) => run_load(load).await,
        Command::LinesCsv(args) => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            args.range().write_csv(&mut out).and_then(|()| out.flush()).context("write lines file")
        }
    }
}

async fn interrupted() -> anyhow::Result<()> {
    tokio::signal::ctrl_c().await.context("wait for interrupt")
}

fn print(summary: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(summary).context("write summary")?;
    writeln!(std::io::stdout(), "{text}").context("write summary")
}

async fn element(args: ElementArgs) -> anyhow::Result<()> {
    let role = |name: &RoleName| match name {
        RoleName::Hss => Role::Hss,
        RoleName::Mme => Role::Mme,
        RoleName::Pgw => Role::PgwC,
        RoleName::Olt => Role::Olt,
        RoleName::Tv => Role::TvHeadEnd,
    };
    let roles: Vec<Role> = args.roles.iter().map(role).collect();
    let name = Role::ALL.iter().find(|(_, role)| roles.first() == Some(role)).map_or("element", |(name, _)| name);
    let host = args.host.clone().unwrap_or_else(|| format!("{name}.network.example"));
    let mut config = ElementConfig::new(&host, &roles, args.gateway);
    config.identity.realm.clone_from(&args.realm);
    config.identity.destination_realm.clone_from(&args.gateway_realm);
    config.link.watchdog = Duration::from_secs(args.watchdog_secs.max(1));
    if let Some(address) = args.listen {
        config.endpoint = Endpoint::Listen(address);
    }
    let element = Element::start(config);
    if let Some(fault) = args.fault {
        element.set_fault(match fault {
            FaultName::Silent => Fault::Silent,
            FaultName::Slow => Fault::Slow(Duration::from_millis(args.delay_ms)),
            FaultName::AnswerLost => Fault::AnswerLost,
            FaultName::HalfApplied => Fault::HalfApplied,
            FaultName::Disconnect => Fault::Disconnect,
            FaultName::Refuse => Fault::Refuse(args.code),
        });
    }
    let work = async {
        if let Some(address) = if args.listen.is_some() { element.peer().local_address().await } else { None } {
            eprintln!("{host}: listening on {address}");
        }
        while !element.connected_within(Duration::from_secs(5)).await {
            eprintln!("{host}: no link yet");
        }
        eprintln!("{host}: link up");
        act(&element, &args).await?;
        watch(&element).await
    };
    tokio::select! {
        outcome = work => outcome?,
        outcome = interrupted() => outcome?,
    }
    element.leave();
    tokio::time::sleep(Duration::from_millis(200)).await;
    element.shutdown();
    Ok(())
}

/// Attaches and charges as told.
async fn act(element: &ElementHandle, args: &ElementArgs) -> anyhow::Result<()> {
    for imsi in &args.attach {
        let attachment = element.attach(imsi).await.with_context(|| format!("attach {imsi}"))?;
        eprintln!("{imsi}: attached, {attachment:?}");
    }
    let step =
        UsageStep { after: Duration::from_millis(args.report_ms), up: args.octets / 4, down: args.octets - args.octets / 4 };
    let script = vec![step; args.reports];
    for imsi in &args.sessions {
        let (session, answer) = element.open_session(SessionConfig::new(imsi, &args.apn)).await?;
        eprintln!("{imsi}: session {} opened with {}", session.id(), answer.result_code);
        let (script, imsi) = (script.clone(), imsi.clone());
        tokio::spawn(async move {
            let outcome = session.play(&script).await;
            let ended = if session.is_open() { session.terminate().await.map(|_| ()) } else { Ok(()) };
            eprintln!("{imsi}: session over: {:?}", outcome.and(ended));
        });
    }
    Ok(())
}

/// Prints every command as it comes.
async fn watch(element: &ElementHandle) -> anyhow::Result<()> {
    let mut seen = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let commands = element.commands_received();
        for command in commands.iter().skip(seen) {
            eprintln!("{command:?}");
        }
        seen = commands.len();
    }
}

async fn modem(args: ModemArgs) -> anyhow::Result<()> {
    let (version, content_type) = (args.wire.version()?, args.wire.content_type());
    let lines = args.lines.range();
    let config_of = |n: u64| {
        let device = args.device.clone().filter(|_| args.count == 1).unwrap_or_else(|| lines.device(n));
        ModemConfig {
            version,
            content_type,
            token: args.wire.token.clone(),
            // Another run is another boot.
            boot: linegate_simulators::clock::unix_seconds(),
            ..ModemConfig::new(&device, args.gateway)
        }
    };
    let fleet = Modem::start_fleet(args.count, args.per_second, config_of).await.context("start modems")?;
    let usage = async {
        let every = Duration::from_millis(if args.usage_ms == 0 { 1000 } else { args.usage_ms });
        let mut tick = tokio::time::interval(every);
        loop {
            tick.tick().await;
            for modem in fleet.iter().filter(|_| args.usage_ms > 0) {
                let sample = UsageSample::of_now(&lines.apn, args.octets / 4, args.octets - args.octets / 4);
                if let Err(error) = modem.send_usage(&sample) {
                    eprintln!("{}: {error}", modem.device());
                }
            }
            let online = fleet.iter().filter(|modem| modem.is_online()).count();
            let acknowledged: u64 = fleet.iter().map(linegate_simulators::modem::ModemHandle::acknowledged).sum();
            let state = fleet.first().and_then(linegate_simulators::modem::ModemHandle::state);
            eprintln!("{online} of {} online, {acknowledged} records acknowledged, first is {state:?}", fleet.len());
        }
    };
    tokio::select! {
        () = usage => {}
        outcome = interrupted() => outcome?,
    }
    fleet.iter().for_each(linegate_simulators::modem::ModemHandle::take_leave);
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

async fn desk(args: DeskArgs) -> anyhow::Result<()> {
    let desk = Desk::start(DeskConfig {
        token: args.token,
        agent: args.agent,
        poll: Duration::from_millis(args.poll_ms.max(10)),
        calls: !args.no_calls,
        visits: !args.no_visits,
        ..DeskConfig::new(&args.gateway)
    })?;
    for subject in &args.no_answer_once {
        desk.script_calls(subject, [CallAct::NoAnswer]);
    }
    for subject in &args.return_once {
        desk.script_visits(subject, [WorkAct::Return(args.return_reason.clone())]);
    }
    let watch = async {
        let mut seen = (0, 0);
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (calls, visits) = (desk.calls_made(), desk.visits_made());
            for act in calls.iter().skip(seen.0).chain(visits.iter().skip(seen.1)) {
                eprintln!("{act:?}");
            }
            seen = (calls.len(), visits.len());
        }
    };
    tokio::select! {
        () = watch => {}
        outcome = interrupted() => outcome?,
    }
    desk.shutdown();
    Ok(())
}

async fn sink(args: SinkArgs) -> anyhow::Result<()> {
    if args.smtp.is_none() && args.http.is_none() {
        bail!("name --smtp or --http");
    }
    let mut mail = None;
    if let Some(address) = args.smtp {
        let sink = MailSink::start(address).await?;
        sink.set_fault(if args.fail { MailFault::Temporary } else { MailFault::None });
        eprintln!("mail: listening on {}", sink.address());
        mail = Some(sink);
    }
    let mut http = None;
    if let Some(address) = args.http {
        let sink = HttpSink::start(address).await?;
        sink.set_fault(if args.fail { HttpFault::Status(503) } else { HttpFault::None });
        eprintln!("HTTP: listening on {}", sink.address());
        http = Some(sink);
    }
    let watch = async {
        let mut seen = (0, 0);
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let mails = mail.as_ref().map(MailSink::messages).unwrap_or_default();
            for message in mails.iter().skip(seen.0) {
                eprintln!("mail to {:?}: {}", message.to, message.header("subject").unwrap_or_default());
            }
            let requests = http.as_ref().map(HttpSink::received).unwrap_or_default();
            for request in requests.iter().skip(seen.1) {
                eprintln!("{} {}: {}", request.method, request.path, String::from_utf8_lossy(&request.body));
            }
            seen = (mails.len(), requests.len());
        }
    };
    tokio::select! {
        () = watch => Ok(()),
        outcome = interrupted() => outcome,
    }
}

async fn run_load(command: LoadCommand) -> anyhow::Result<()> {
    match command {
        LoadCommand::Gy(args) => {
            let load = GyLoad {
                peers: args.peers,
                outstanding: args.outstanding,
                lines: args.lines.range(),
                updates: args.updates,
                octets: args.octets,
                rating_groups: args.rating_groups,
                bounds: args.bounds.bounds(),
                server_pid: args.bounds.server_pid,
                ..GyLoad::new(args.gateway)
            };
            print(&load::run_gy(load).await?)
        }
        LoadCommand::Mqtt(args) => {
            let load = MqttLoad {
                connections: args.connections,
                outstanding: args.outstanding,
                lines: args.lines.range(),
                version: args.wire.version()?,
                content_type: args.wire.content_type(),
                records: args.records,
                octets: args.octets,
                token: args.wire.token,
                bounds: args.bounds.bounds(),
                server_pid: args.bounds.server_pid,
                ..MqttLoad::new(args.gateway)
            };
            print(&load::run_mqtt(load).await?)
        }
        LoadCommand::Orders(args) => {
            let load = OrderLoad {
                token: args.token,
                concurrency: args.concurrency,
                lines: args.lines.range(),
                bounds: args.bounds.bounds(),
                server_pid: args.bounds.server_pid,
                ..OrderLoad::new(&args.gateway)
            };
            print(&load::run_orders(load).await?)
        }
        LoadCommand::Idle(args) => {
            let protocol = if args.diameter { IdleProtocol::Diameter } else { IdleProtocol::Mqtt };
            let load = IdleLoad {
                gateway: args.gateway,
                protocol,
                connections: args.connections,
                per_second: args.per_second,
                hold: Duration::from_secs(args.hold_secs),
                open_max: Duration::from_secs(args.open_secs),
                lines: args.lines.range(),
                server_pid: args.server_pid,
            };
            print(&load::run_idle(load).await?)
        }
        LoadCommand::Ledger(args) => run_ledger(args).await,
    }
}

async fn run_ledger(args: LedgerArgs) -> anyhow::Result<()> {
    if args.diameter.is_none() && args.mqtt.is_none() {
        bail!("name --diameter or --mqtt");
    }
    let gy_lines = args.lines.range();
    let modem_lines =
        LineRange { imsi_from: gy_lines.imsi_from + gy_lines.lines, lines: args.modem_lines, ..gy_lines.clone() };
    let config = LedgerConfig {
        diameter: args.diameter,
        mqtt: args.mqtt,
        gy_lines,
        modem_lines,
        gy_sessions: args.sessions,
        modems: args.modems,
        pause: Duration::from_millis(args.pause_ms),
        records_max: args.count,
        time_max: Duration::from_secs(args.seconds),
        give_up: Duration::from_secs(args.give_up_secs),
        file: args.file,
        ..LedgerConfig::default()
    };
    let running = ledger::start(config)?;
    while !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let so_far = running.so_far();
        eprintln!("ledger: {} sent, {} acknowledged, {} refused", so_far.sent, so_far.acknowledged, so_far.refused);
    }
    print(&running.wait().await?)
}
