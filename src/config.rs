//! Settings: `config/default.toml`, then `--config`, then the environment.
//!
//! The default file is compiled in and is the default; it names every key. Each
//! layer is checked as it is laid on, so that an error names the file or
//! variable, the key and the reason.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::adapters::broker::BrokerSettings;
use crate::adapters::fjall::FjallSettings;
use crate::adapters::pdf::DocumentSettings;
use crate::adapters::postgres::PostgresSettings;
use crate::adapters::redis::RedisSettings;
use crate::adapters::sms::SmsSettings;
use crate::adapters::smtp::SmtpSettings;
use crate::adapters::sqlite::SqliteSettings;
use crate::adapters::webhook::WebhookSettings;
use crate::api::HttpSettings;
use crate::saga::SagaSettings;
use crate::services::activation::ActivationSettings;
use crate::services::charging::ChargingSettings;
use crate::services::device_states::DeviceStateSettings;
use crate::services::drain::DrainSettings;
use crate::services::fieldwork::FieldworkSettings;
use crate::services::imports::ImportSettings;
use crate::services::month::BillingSettings;
use crate::services::ordering::OrderingSettings;
use crate::services::outbox::OutboxSettings;
use crate::services::rerating::RerateSettings;
use crate::services::scheduling::SchedulingSettings;
use crate::services::suspense::SuspenseSettings;
use crate::services::tariffs::TariffSettings;
use crate::services::thresholds::ThresholdSettings;
use crate::services::usage_events::UsageEventSettings;
use crate::telemetry::LogSettings;
use crate::transport::diameter::DiameterSettings;
use crate::transport::mqtt::MqttSettings;

/// The defaults, commented key by key.
pub const DEFAULT: &str = include_str!("../config/default.toml");

const ENV_PREFIX: &str = "LINEGATE__";

/// A start that the settings stop.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// File or variable.
    origin: String,
    /// Dotted key, where one is at fault.
    key: Option<String>,
    /// What is wrong and what to do.
    reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "settings: {}", self.origin)?;
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Config {
    /// Lays the layers on each other. `env` is the process environment, or a
    /// test's.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut table = parse("config/default.toml", DEFAULT)?;
        let mut config = read("config/default.toml", &table)?;
        if let Some(path) = file {
            let origin = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
                origin: origin.clone(),
                key: None,
                reason: format!("cannot be read: {e}"),
            })?;
            lay_on(&mut table, parse(&origin, &text)?);
            config = read(&origin, &table)?;
        }
        let mut variables: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
        variables.sort();
        for (name, text) in variables {
            let layer = from_variable(&name, &text, &table)?;
            lay_on(&mut table, layer);
            config = read(&name, &table)?;
        }
        Ok(config)
    }
}

fn parse(origin: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|e| ConfigError {
        origin: origin.to_owned(),
        key: None,
        reason: format!("is no TOML: {}", e.to_string().trim_end().replace('\n', " ")),
    })
}

fn read(origin: &str, table: &Table) -> Result<Config, ConfigError> {
    serde_path_to_error::deserialize(Value::Table(table.clone())).map_err(|e| ConfigError {
        origin: origin.to_owned(),
        key: Some(e.path().to_string()).filter(|p| p != "."),
        reason: e.inner().to_string().trim_end().replace('\n', " "),
    })
}

/// Tables merge key by key; everything else replaces.
fn lay_on(base: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_on(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// `LINEGATE__HTTP__LISTEN` is `http.listen`. The value is TOML, or plain text
/// where the setting below is text.
fn from_variable(name: &str, text: &str, below: &Table) -> Result<Table, ConfigError> {
    let path: Vec<String> = name[ENV_PREFIX.len()..].split("__").map(str::to_lowercase).collect();
    let mut current: Option<&Value> = None;
    for (depth, key) in path.iter().enumerate() {
        current = if depth == 0 { below.get(key) } else { current.and_then(|v| v.get(key)) };
    }
    let value = match current {
        Some(Value::String(_)) => Value::String(text.to_owned()),
        _ => format!("v = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut t| t.remove("v"))
            .unwrap_or_else(|| Value::String(text.to_owned())),
    };
    let mut nested = value;
    for key in path.iter().rev() {
        if key.is_empty() {
            return Err(ConfigError {
                origin: name.to_owned(),
                key: None,
                reason: "expected LINEGATE__SECTION__KEY".to_owned(),
            });
        }
        nested = Value::Table(Table::from_iter([(key.clone(), nested)]));
    }
    match nested {
        Value::Table(table) => Ok(table),
        _ => Ok(Table::new()),
    }
}

/// Every setting.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each section documents itself")]
pub struct Config {
    pub data: DataConfig,
    pub log: LogSettings,
    pub relational: RelationalConfig,
    pub hot: HotConfig,
    pub charging: ChargingSettings,
    pub drain: DrainSettings,
    pub diameter: DiameterSettings,
    pub mqtt: MqttSettings,
    pub broker: BrokerSettings,
    pub device_states: DeviceStateSettings,
    pub http: HttpSettings,
    pub ordering: OrderingSettings,
    pub thresholds: ThresholdSettings,
    pub saga: SagaSettings,
    pub activation: ActivationSettings,
    pub scheduling: SchedulingSettings,
    pub fieldwork: FieldworkSettings,
    pub outbox: OutboxSettings,
    pub webhook: WebhookSettings,
    pub sms: SmsSettings,
    pub mail: SmtpSettings,
    pub tariffs: TariffSettings,
    pub billing: BillingSettings,
    pub documents: DocumentSettings,
    pub imports: ImportSettings,
    pub suspense: SuspenseSettings,
    /// Events of usage.
    pub usage_events: UsageEventSettings,
    /// Rating again.
    pub rerating: RerateSettings,
}

/// `[data]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The one folder of the gateway.
    pub folder: PathBuf,
}

/// `[relational]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationalConfig {
    /// Which engine, and where.
    pub url: String,
    /// How SQLite is used.
    pub sqlite: SqliteSettings,
    /// How PostgreSQL is used.
    pub postgres: PostgresSettings,
}

/// `[hot]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HotConfig {
    /// Which engine, and where.
    pub url: String,
    /// How fjall is used.
    pub fjall: FjallSettings,
    /// How Redis is used.
    pub redis: RedisSettings,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Config, ConfigError> {
        Config::load(None, [(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn the_default_file_is_the_default() {
        let config = Config::load(None, []).unwrap();
        assert_eq!(config.diameter.listen.port(), 3868);
        assert_eq!(config.mqtt.listen.port(), 1883);
        assert_eq!(config.http.listen, "127.0.0.1:8088");
    }

    #[test]
    fn the_environment_changes_single_keys() {
        let config = with("LINEGATE__DIAMETER__LISTEN", "127.0.0.1:0").unwrap();
        assert_eq!(config.diameter.listen.port(), 0);
        assert_eq!(with("LINEGATE__MAIL__PORT", "25").unwrap().mail.port, 25);
        assert_eq!(with("LINEGATE__HTTP__TOKENS", "[\"a\"]").unwrap().http.tokens, ["a"]);
    }

    #[test]
    fn an_error_names_where_it_is_the_key_and_the_reason() {
        let cases = [
            (("LINEGATE__HTTP__LISTENN", "x"), "LINEGATE__HTTP__LISTENN: http"),
            (("LINEGATE__NOWHERE__KEY", "x"), "LINEGATE__NOWHERE__KEY"),
            (("LINEGATE__DIAMETER__WATCHDOG_S", "soon"), "diameter.watchdog_s"),
            (("LINEGATE__MQTT__LISTEN", "everywhere"), "mqtt.listen"),
        ];
        for ((name, value), expected) in cases {
            let text = with(name, value).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_file_is_laid_under_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, "[mail]\nhost = \"relay\"\nport = 26\n").unwrap();
        let env = [("LINEGATE__MAIL__PORT".to_owned(), "27".to_owned())];
        let config = Config::load(Some(&file), env).unwrap();
        assert_eq!((config.mail.host.as_str(), config.mail.port), ("relay", 27));
        std::fs::write(&file, "[mail]\nhoist = \"relay\"\n").unwrap();
        let text = Config::load(Some(&file), []).unwrap_err().to_string();
        assert!(text.contains("mine.toml") && text.contains("hoist"), "{text}");
    }
}
