//! Who a device is: its user name where it gives one, else its client id, with
//! a token where the settings list devices.

use std::collections::HashMap;

use linegate_mqtt::ReasonCode;
use linegate_mqtt::session::Connect;
use linegate_mqtt::topic::DeviceId;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// `[[mqtt.devices]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceCredential {
    /// The device's id, its user name in CONNECT.
    pub device: String,
    /// SHA-256 of its token, 64 hexadecimal digits. Tokens are random, 128 bits
    /// or more, so a slow hash would only turn a reconnect storm into an outage.
    pub token_sha256: String,
}

/// The devices that may connect.
#[derive(Debug)]
pub struct Identities {
    /// Device to digest of its token; `None` admits every device.
    digests: Option<HashMap<String, String>>,
}

impl Identities {
    /// From the settings; an empty list admits every device.
    pub fn new(devices: &[DeviceCredential]) -> Self {
        let digests: HashMap<_, _> =
            devices.iter().map(|d| (d.device.clone(), d.token_sha256.to_ascii_lowercase())).collect();
        Self { digests: (!digests.is_empty()).then_some(digests) }
    }

    /// The device behind a CONNECT, or the reason code to refuse it with.
    pub fn identify(&self, connect: &Connect) -> Result<DeviceId, ReasonCode> {
        let name = match connect.username.as_deref() {
            Some(name) if !name.is_empty() => name,
            _ => connect.client_id.as_str(),
        };
        let device = DeviceId::new(name).map_err(|_| ReasonCode::CLIENT_IDENTIFIER_NOT_VALID)?;
        let Some(digests) = &self.digests else { return Ok(device) };
        let digest = connect.password.as_ref().map(|token| hex::encode(Sha256::digest(token)));
        match (digests.get(device.as_str()), digest) {
            (Some(known), Some(given)) if constant_time_equal(known.as_bytes(), given.as_bytes()) => Ok(device),
            _ => Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        }
    }
}

fn constant_time_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}
