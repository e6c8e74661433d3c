//! `linegate-sim modem`: one modem or some, a fleet, chaos.

use std::time::Duration;

use anyhow::Context;
use linegate_simulators::chaos::{self, ChaosConfig};
use linegate_simulators::fleet::{Fleet, FleetConfig};
use linegate_simulators::modem::{ModemHandle, UsageSample};
use linegate_simulators::roster::Names;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{ChaosArgs, FleetArgs, ModemArgs, ModemCommand, served};
use crate::{interrupted, print};

/// How long modems may take to take leave.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
/// Until interrupted, as good as.
const A_YEAR_SECS: u64 = 365 * 86_400;

pub(crate) async fn run(mut args: ModemArgs) -> anyhow::Result<()> {
    match args.command.take() {
        None => play(args).await,
        Some(ModemCommand::Fleet(args)) => fleet(args).await,
        Some(ModemCommand::Chaos(args)) => chaos(args).await,
    }
}

async fn play(args: ModemArgs) -> anyhow::Result<()> {
    let mut roster = args.wire.roster()?;
    if let Some(device) = args.device {
        roster.names = Names::Listed(vec![device]);
    }
    let fleet = roster.start(args.count, args.per_second).await.context("start modems")?;
    let usage = async {
        let every = Duration::from_millis(if args.usage_ms == 0 { 1000 } else { args.usage_ms });
        let mut tick = tokio::time::interval(every);
        loop {
            tick.tick().await;
            for modem in fleet.iter().filter(|_| args.usage_ms > 0) {
                let sample = UsageSample::of_now(&args.wire.lines.apn, args.octets / 4, args.octets - args.octets / 4);
                if let Err(error) = modem.send_usage(&sample) {
                    eprintln!("{}: {error}", modem.device());
                }
            }
            let online = fleet.iter().filter(|modem| modem.is_online()).count();
            let acknowledged: u64 = fleet.iter().map(ModemHandle::acknowledged).sum();
            let state = fleet.first().and_then(ModemHandle::state);
            eprintln!("{online} of {} online, {acknowledged} records acknowledged, first is {state:?}", fleet.len());
        }
    };
    tokio::select! {
        () = usage => {}
        outcome = interrupted() => outcome?,
    }
    fleet.iter().for_each(ModemHandle::take_leave);
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

async fn fleet(args: FleetArgs) -> anyhow::Result<()> {
    let mut config = FleetConfig {
        per_second: args.per_second,
        open_max: Duration::from_secs(args.open_secs),
        behaviour: args.behaviour(),
        apn: args.wire.lines.apn.clone(),
        batch: args.batch,
        octets: args.octets,
        served: served(args.desired),
        ..FleetConfig::new(args.roster()?, args.count)
    };
    config.seed = args.seed.unwrap_or(config.seed);
    let mut told = signal(SignalKind::user_defined1()).context("listen for SIGUSR1")?;
    let mut fleet = Fleet::start(config).await?;
    let trigger = fleet.storm_trigger();
    let storms = async {
        while told.recv().await.is_some() {
            trigger.notify_one();
        }
    };
    tokio::select! {
        () = fleet.play(Duration::from_secs(args.seconds.unwrap_or(A_YEAR_SECS))) => {}
        () = storms => {}
        outcome = interrupted() => outcome?,
    }
    fleet.settle(Duration::from_secs(args.settle_secs)).await;
    let summary = fleet.summary();
    if let Some(file) = &args.ledger {
        fleet.write_ledger(file)?;
    }
    fleet.leave(LEAVE_WAIT).await;
    print(&summary)
}

async fn chaos(args: ChaosArgs) -> anyhow::Result<()> {
    let mut roster = args.wire.roster()?;
    roster.shared.seed = args.seed.unwrap_or_else(linegate_simulators::clock::seed);
    let config =
        ChaosConfig { roster, kind: args.kind.into(), count: args.count, time_max: Duration::from_secs(args.seconds) };
    print(&chaos::run(config).await?)
}
