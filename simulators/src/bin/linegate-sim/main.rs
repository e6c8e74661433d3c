//! The simulators from the command line: a thin layer over the library, which
//! has every knob.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod load;
mod modem;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use linegate_simulators::clock;
use linegate_simulators::desk::{CallAct, Desk, DeskConfig, DeskHandle, WorkAct};
use linegate_simulators::element::script::{RunSettings, Script};
use linegate_simulators::element::{Element, ElementConfig, ElementHandle, Fault, Role, SessionConfig, UsageStep};
use linegate_simulators::peer::Endpoint;
use linegate_simulators::sinks::{HttpFault, HttpSink, MailFault, MailSink};
use serde::Serialize;

use args::{Cli, Command, DeskArgs, ElementArgs, FaultName, RoleName, SinkArgs};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let outcome = tokio::runtime::Runtime::new()
        .context("start runtime")
        .and_then(|runtime| runtime.block_on(dispatch(cli.command)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("linegate-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    if let Command::Element(args @ ElementArgs { script: Some(file), .. }) = &command {
        return script(file, args).await;
    }
    play(command).await.map(|()| ExitCode::SUCCESS)
}

async fn play(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Element(args) => element(args).await,
        Command::Modem(args) => modem::run(*args).await,
        Command::Desk(args) => desk(args).await,
        Command::Sink(args) => sink(args).await,
        Command::Load(load) => load::run(load).await,
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

async fn script(file: &Path, args: &ElementArgs) -> anyhow::Result<ExitCode> {
    let name = file.display().to_string();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("linegate-sim: read {name}: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let variable = |given: &String| match given.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => bail!("--set {given}: NAME=VALUE"),
    };
    let variables = args.set.iter().map(variable).collect::<anyhow::Result<_>>()?;
    let script = match Script::parse(&name, &text) {
        Ok(script) => script,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(2));
        }
    };
    let settings = RunSettings { gateway: args.gateway, variables, trace: args.trace };
    match script.run(settings, &mut |line| eprintln!("{line}")).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
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
    let step = UsageStep {
        after: Duration::from_millis(args.report_ms),
        up: args.octets / 4,
        down: args.octets - args.octets / 4,
    };
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
        let (before, total) = (seen, element.commands_count());
        let commands = element.commands_since(before);
        seen = total.max(before + commands.len() as u64);
        for command in &commands {
            eprintln!("{command:?}");
        }
    }
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
        desk.script_visits(
            subject,
            [WorkAct::Return { reason: args.return_reason.clone(), reschedule: args.reschedule }],
        );
    }
    if !args.with_worker.is_empty() {
        enter_worker(&desk, &args.with_worker).await?;
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

async fn enter_worker(desk: &DeskHandle, skills: &[String]) -> anyhow::Result<()> {
    const HOUR_MS: i64 = 3_600_000;
    let skills: Vec<&str> = skills.iter().map(String::as_str).collect();
    desk.put_worker("worker-sim", "Simulated worker", &skills).await?;
    let begin = clock::unix_ms() / HOUR_MS * HOUR_MS + HOUR_MS;
    for hour in 0..7 * 24 {
        let from = begin + hour * HOUR_MS;
        desk.put_slot("worker-sim", from, from + HOUR_MS, 1).await?;
    }
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
