//! `linegate-sim load`: each load from its options, and its summary.

use std::time::Duration;

use anyhow::bail;
use linegate_simulators::ledger::{self, LedgerConfig};
use linegate_simulators::lines::LineRange;
use linegate_simulators::load::{self, DesiredLoad, GyLoad, IdleLoad, IdleProtocol, MqttLoad, OrderLoad, StormLoad};

use crate::args::{LedgerArgs, LoadCommand, served};
use crate::print;

pub(crate) async fn run(command: LoadCommand) -> anyhow::Result<()> {
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
                records: args.records,
                octets: args.octets,
                payload_bytes: args.payload_bytes,
                bounds: args.bounds.bounds(),
                server_pid: args.bounds.server_pid,
                roster: args.wire.roster()?,
                ..MqttLoad::of_lines(args.wire.lines.range(), args.wire.gateway)
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
            let protocol = if args.diameter {
                IdleProtocol::Diameter(args.open.wire.gateway)
            } else {
                IdleProtocol::Mqtt(Box::new(args.open.wire.roster()?))
            };
            let load = IdleLoad {
                protocol,
                connections: args.open.connections,
                per_second: args.open.per_second,
                hold: Duration::from_secs(args.hold_secs),
                open_max: args.open.open_max(),
                server_pid: args.open.server_pid,
            };
            print(&load::run_idle(load).await?)
        }
        LoadCommand::Storm(args) => {
            let load = StormLoad {
                roster: args.open.wire.roster()?,
                connections: args.open.connections,
                per_second: args.open.per_second,
                open_max: args.open.open_max(),
                served_max: Duration::from_secs(args.served_secs),
                served: served(args.desired),
                rounds: args.rounds,
                server_pid: args.open.server_pid,
            };
            print(&load::run_storm(load).await?)
        }
        LoadCommand::Desired(args) => {
            let load = DesiredLoad {
                roster: args.open.wire.roster()?,
                connections: args.open.connections,
                per_second: args.open.per_second,
                open_max: args.open.open_max(),
                first_max: Duration::from_secs(args.first_secs),
                quiet: Duration::from_secs(args.quiet_secs),
                server_pid: args.open.server_pid,
            };
            print(&load::run_desired(load).await?)
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
