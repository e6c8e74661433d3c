//! What `linegate-sim modem` takes, and how a command says who its modems are.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use linegate_simulators::chaos::ChaosKind;
use linegate_simulators::fleet::{Behaviour, Profile};
use linegate_simulators::load::Served;
use linegate_simulators::modem::{ContentType, ModemConfig, Version};
use linegate_simulators::roster::{Names, Roster, Tokens, read_tokens};
use linegate_simulators::transport::TlsSettings;

use super::LineArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ModemArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ModemCommand>,
    /// Device id of the one modem; see --prefix and --token-file for several.
    #[arg(long, conflicts_with_all = ["prefix", "token_file"])]
    pub(crate) device: Option<String>,
    /// How many modems.
    #[arg(long, default_value_t = 1)]
    pub(crate) count: u64,
    /// Modems that connect in a second.
    #[arg(long, default_value_t = 500)]
    pub(crate) per_second: u64,
    /// A usage record each so many milliseconds; 0 for none.
    #[arg(long, default_value_t = 0)]
    pub(crate) usage_ms: u64,
    /// Octets of each record.
    #[arg(long, default_value_t = 1000)]
    pub(crate) octets: u64,
    #[command(flatten)]
    pub(crate) wire: MqttWire,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModemCommand {
    /// Thousands of modems with a profile; a summary in JSON on stdout.
    Fleet(FleetArgs),
    /// Connections that break the rules, and how each ended, in JSON on stdout.
    Chaos(ChaosArgs),
}

/// Who the modems are and how they reach the gateway.
#[derive(Debug, Args)]
pub(crate) struct MqttWire {
    /// The gateway's listener.
    #[arg(long, default_value = "127.0.0.1:1883")]
    pub(crate) gateway: SocketAddr,
    /// MQTT version: 3 for 3.1.1, 5 for 5.
    #[arg(long, default_value_t = 5)]
    pub(crate) mqtt: u8,
    /// Write payloads in CBOR; JSON otherwise.
    #[arg(long)]
    pub(crate) cbor: bool,
    /// Keep alive, seconds; 0 for none.
    #[arg(long, default_value_t = 60)]
    pub(crate) keep_alive_secs: u16,
    /// Session expiry, seconds; 0 starts clean with each connection.
    #[arg(long, default_value_t = 3600)]
    pub(crate) session_expiry_secs: u32,
    /// How long link, TLS and CONNACK of one connection may take, seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) connect_secs: u64,
    /// Password of all, beside the device id as the user name.
    #[arg(long, conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// CSV of device,token; the modems are its devices, in its order, where no --prefix is given.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The modems are NAME-1, NAME-2 and so on; without it and --token-file the devices of the lines.
    #[arg(long, value_name = "NAME")]
    pub(crate) prefix: Option<String>,
    /// TLS from the first byte.
    #[arg(long, requires = "authority")]
    pub(crate) tls: bool,
    /// PEM file of the authorities that the gateway's certificate is checked with.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) authority: Option<PathBuf>,
    /// Name that the gateway's certificate must hold; its address when not given.
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub(crate) server_name: Option<String>,
    /// Folder with DEVICE.pem and DEVICE.key, which each modem shows.
    #[arg(long, value_name = "DIR", requires = "tls")]
    pub(crate) certificates: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
}

impl MqttWire {
    pub(crate) fn roster(&self) -> anyhow::Result<Roster> {
        let (names, tokens) = match &self.token_file {
            None => (None, Tokens::Shared(self.token.clone())),
            Some(file) => {
                let (names, tokens) = read_tokens(file)?;
                (Some(Names::Listed(names)), Tokens::Each(tokens))
            }
        };
        let prefixed = self.prefix.clone().map(Names::Prefix);
        let server_name = self.server_name.clone().unwrap_or_else(|| self.gateway.ip().to_string());
        let tls = |authority| TlsSettings::new(authority, &server_name, self.certificates.as_deref());
        Ok(Roster {
            shared: self.shared()?,
            names: prefixed.or(names).unwrap_or_else(|| Names::Lines(self.lines.range())),
            tokens,
            tls: self.authority.as_deref().map(tls).transpose()?,
        })
    }

    fn shared(&self) -> anyhow::Result<ModemConfig> {
        Ok(ModemConfig {
            version: match self.mqtt {
                3 => Version::V311,
                5 => Version::V5,
                other => bail!("--mqtt {other}: 3 or 5"),
            },
            content_type: if self.cbor { ContentType::Cbor } else { ContentType::Json },
            keep_alive_secs: self.keep_alive_secs,
            session_expiry_secs: self.session_expiry_secs,
            connect_wait: Duration::from_secs(self.connect_secs),
            // Another run is another boot, or its records were repeats.
            boot: linegate_simulators::clock::unix_seconds(),
            ..ModemConfig::new("", self.gateway)
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// What the modems do; the options below change it.
    #[arg(long, value_enum, default_value = "idle")]
    pub(crate) profile: ProfileName,
    /// How many modems.
    #[arg(long, default_value_t = 1000)]
    pub(crate) count: u64,
    /// Modems that connect in a second; 0 for all at once.
    #[arg(long, default_value_t = 1000)]
    pub(crate) per_second: u64,
    /// How long all may take to come, seconds.
    #[arg(long, default_value_t = 60)]
    pub(crate) open_secs: u64,
    /// Seconds of play, once they are there; until interrupted when not given.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// A message of usage from each modem each so many milliseconds; 0 for none. Chatty: 1000.
    #[arg(long)]
    pub(crate) usage_ms: Option<u64>,
    /// Records in each message.
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: usize,
    /// Octets of each record.
    #[arg(long, default_value_t = 1000)]
    pub(crate) octets: u64,
    /// CSV file of how far the usage of each device came.
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
    /// How long the last acknowledgements may take, seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) settle_secs: u64,
    /// Each link is lost after about so many milliseconds; 0 for never. Flapping: 10000.
    #[arg(long)]
    pub(crate) link_ms: Option<u64>,
    /// First back-off of a modem that lost its link, milliseconds; doubles, with jitter.
    #[arg(long, default_value_t = 1000)]
    pub(crate) backoff_ms: u64,
    /// Longest back-off, milliseconds.
    #[arg(long, default_value_t = 300_000)]
    pub(crate) backoff_max_ms: u64,
    /// The whole fleet reconnects each so many seconds; 0 for only on SIGUSR1. Storm: 10.
    #[arg(long)]
    pub(crate) storm_secs: Option<u64>,
    /// In a storm a modem is served when its desired state came too; each must have one.
    #[arg(long)]
    pub(crate) desired: bool,
    /// Seed of the random times, to have them again.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) wire: MqttWire,
}

impl FleetArgs {
    /// The profile's, with what was asked otherwise.
    pub(crate) fn behaviour(&self) -> Behaviour {
        let preset = Profile::from(self.profile).behaviour();
        let told = |given: Option<Duration>, preset| given.map_or(preset, |time| Some(time).filter(|t| !t.is_zero()));
        Behaviour {
            usage_every: told(self.usage_ms.map(Duration::from_millis), preset.usage_every),
            link_lasts: told(self.link_ms.map(Duration::from_millis), preset.link_lasts),
            storm_every: told(self.storm_secs.map(Duration::from_secs), preset.storm_every),
        }
    }

    pub(crate) fn roster(&self) -> anyhow::Result<Roster> {
        let mut roster = self.wire.roster()?;
        roster.shared.backoff_min = Duration::from_millis(self.backoff_ms.max(1));
        roster.shared.backoff_max = Duration::from_millis(self.backoff_max_ms.max(self.backoff_ms));
        Ok(roster)
    }
}

/// When a modem is served in a storm.
pub(crate) fn served(desired: bool) -> Served {
    if desired { Served::Desired } else { Served::Subscribed }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ProfileName {
    /// Keep alive alone; a desired state is answered.
    Idle,
    /// Usage from every modem.
    Chatty,
    /// Links lost without DISCONNECT, at random; back with back-off and jitter.
    Flapping,
    /// The whole fleet reconnects at once, without back-off.
    Storm,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Idle => Profile::Idle,
            ProfileName::Chatty => Profile::Chatty,
            ProfileName::Flapping => Profile::Flapping,
            ProfileName::Storm => Profile::Storm,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ChaosArgs {
    /// What the connections do wrong.
    #[arg(long, value_enum)]
    pub(crate) kind: ChaosName,
    /// How many, all at once.
    #[arg(long, default_value_t = 10)]
    pub(crate) count: u64,
    /// Seconds that each goes on where it is let.
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Seed of the garbage, to have it again.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) wire: MqttWire,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ChaosName {
    /// A good CONNECT, an octet a second.
    Slowloris,
    /// TCP alone, and not a word.
    HalfOpen,
    /// A CONNECT that announces 256 MB, and goes on with it.
    HugeHeader,
    /// Asks without end and takes no answer.
    NeverReads,
    /// Random octets.
    Garbage,
}

impl From<ChaosName> for ChaosKind {
    fn from(name: ChaosName) -> Self {
        match name {
            ChaosName::Slowloris => ChaosKind::Slowloris,
            ChaosName::HalfOpen => ChaosKind::HalfOpen,
            ChaosName::HugeHeader => ChaosKind::HugeHeader,
            ChaosName::NeverReads => ChaosKind::NeverReads,
            ChaosName::Garbage => ChaosKind::Garbage,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn modem(arguments: &str) -> Result<ModemArgs, String> {
        let words = ["linegate-sim", "modem"].into_iter().chain(arguments.split_whitespace());
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Modem(args) => Ok(*args),
            other => Err(format!("{other:?}")),
        }
    }

    fn fleet(arguments: &str) -> FleetArgs {
        match modem(&format!("fleet {arguments}")).unwrap().command {
            Some(ModemCommand::Fleet(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_profile_is_a_preset_that_options_change() {
        let check = |arguments, usage_ms: u64, link_ms: u64, storm_secs: u64| {
            let time = |ms: u64| Some(Duration::from_millis(ms)).filter(|time| !time.is_zero());
            let expected = Behaviour {
                usage_every: time(usage_ms),
                link_lasts: time(link_ms),
                storm_every: time(storm_secs * 1000),
            };
            assert_eq!(fleet(arguments).behaviour(), expected, "{arguments}");
        };
        check("", 0, 0, 0);
        check("--profile idle", 0, 0, 0);
        check("--profile chatty", 1000, 0, 0);
        check("--profile chatty --usage-ms 200 --batch 5", 200, 0, 0);
        check("--profile flapping --usage-ms 500 --link-ms 3000", 500, 3000, 0);
        check("--profile storm", 0, 0, 10);
        check("--profile storm --storm-secs 0", 0, 0, 0);
    }

    #[test]
    fn a_single_modem_needs_no_subcommand() {
        let args = modem("--device meter-1 --mqtt 3").unwrap();
        assert!(args.command.is_none());
        assert_eq!(args.wire.roster().unwrap().shared.version, Version::V311);
        assert!(modem("--count 2 fleet").is_err());
    }

    #[test]
    fn a_fleet_backs_off_as_modems_should_and_keeps_its_names() {
        let args = fleet("--prefix meter --cbor --token secret");
        let modem = args.roster().unwrap().modem(9).unwrap();
        assert_eq!((modem.device.as_str(), modem.token.as_deref()), ("meter-10", Some("secret")));
        assert_eq!(modem.content_type, ContentType::Cbor);
        assert_eq!((modem.backoff_min, modem.backoff_max), (Duration::from_secs(1), Duration::from_secs(300)));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let check = |arguments| assert!(modem(arguments).is_err(), "{arguments}");
        check("fleet --tls");
        check("fleet --authority ca.pem");
        check("fleet --token a --token-file b");
        check("--device m --prefix n");
        check("chaos");
        check("fleet --profile loud");
        assert!(fleet("--mqtt 4").roster().is_err());
        assert!(modem("chaos --kind never-reads --count 3").is_ok());
    }
}
