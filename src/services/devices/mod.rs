//! The device registry: which modems may connect, and with what.
//!
//! Owns the use cases of operators (enrol, enrol anew, rotate, revoke), the
//! judgement of a modem that connects ([`admission`]), what is remembered of
//! both. Does **not** own the rules of a credential ([`crate::domain::device`])
//! or how it travels (transport).
//!
//! Invariant: a change of who may be a device ends the connection that the
//! device has, after the change is stored.

pub mod admission;
mod bounded;
mod known;
mod lockout;
mod reader;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tracing::info;

use self::known::{Key, Known};
use self::lockout::Lockouts;
use self::reader::Reader;
use crate::domain::device::{Credential, Device, TokenDigest, own_name};
use crate::domain::ids::{CertificateName, DeviceId};
use crate::domain::time::Timestamp;
use crate::ports::modem::Modems;
use crate::ports::relational::{Page, Paged, Relational, StoreError, Stored, Write};
use crate::ports::{Clock, Ids};

/// Octets of a token: 192 random bits, 32 characters of base64url.
const TOKEN_OCTETS: usize = 24;
/// Tries of an import's save that another writer was ahead of.
const IMPORT_TRIES: u32 = 3;

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnrolmentMode {
    /// Whoever is not enrolled comes in without a credential; an enrolled device
    /// shows its own all the same. For loopback only.
    Open,
    /// Enrolled devices only.
    Required,
}

/// Limits of the registry; keys of `[mqtt]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSettings {
    /// Who may connect.
    pub enrolment: EnrolmentMode,
    /// How long a replaced token stays good where the new one is not used, seconds;
    /// 0 ends it at once.
    pub token_overlap_s: u64,
    /// Wrong credentials of a name from one address before it is locked, at least 1.
    pub failures_max: u32,
    /// Time without a failure after which they count anew, seconds.
    pub failures_window_s: u64,
    /// The first lock-out, seconds; each that follows is twice as long.
    pub lockout_s: u64,
    /// The longest lock-out, seconds.
    pub lockout_max_s: u64,
    /// Names and addresses with failures that are remembered; the oldest go first.
    pub lockouts_kept_max: usize,
    /// Devices whose credentials are held in memory; the oldest go first.
    pub identities_cached_max: usize,
    /// How long they are, seconds: what another gateway on the store changes is seen
    /// after that.
    pub identities_cache_s: u64,
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self {
            enrolment: EnrolmentMode::Open,
            token_overlap_s: 86_400,
            failures_max: 5,
            failures_window_s: 60,
            lockout_s: 1,
            lockout_max_s: 300,
            lockouts_kept_max: 10_000,
            identities_cached_max: 100_000,
            identities_cache_s: 60,
        }
    }
}

/// Which credential an operator wants a device to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A token, made here.
    Token,
    /// A client certificate; of the device's own id where no name is given.
    Certificate(Option<CertificateName>),
}

/// A device after a change, with its new token where the change made one: the
/// only time that it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The device.
    pub device: Device,
    /// The token, base64url.
    pub token: Option<String>,
}

/// What came of enrolling the devices of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Devices enrolled.
    pub enrolled: u64,
    /// Devices that were not, because the certificate name is the other device's.
    pub refused: Vec<(DeviceId, DeviceId)>,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No such device.
    #[error("device `{0}` is not enrolled")]
    Unknown(DeviceId),
    /// Enrolling it anew is another request.
    #[error("device `{0}` is enrolled, or was: enrol it anew")]
    Known(DeviceId),
    /// It has no token to rotate until it is enrolled anew.
    #[error("device `{0}` is revoked: enrol it anew")]
    Revoked(DeviceId),
    /// A certificate names one device.
    #[error("certificate name `{name}` is device `{device}`'s")]
    NameTaken {
        /// The name.
        name: CertificateName,
        /// Whose it is.
        device: DeviceId,
    },
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The device registry.
pub struct DeviceRegistry {
    store: Arc<dyn Relational>,
    modems: Arc<dyn Modems>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: DeviceSettings,
    reader: Reader,
    known: Known,
    lockouts: Lockouts,
}

impl DeviceRegistry {
    /// Over `store`; `modems` ends connections.
    pub fn new(
        store: Arc<dyn Relational>,
        modems: Arc<dyn Modems>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        settings: DeviceSettings,
    ) -> Self {
        let known = Known::new(settings.identities_cached_max, Duration::from_secs(settings.identities_cache_s));
        let lockouts = Lockouts::new(&settings);
        let reader = Reader::new(Arc::clone(&store));
        Self { store, modems, clock, ids, settings, reader, known, lockouts }
    }

    /// Enrols a device that was never here; `by` is who does it, for the log.
    pub async fn enrol(&self, id: DeviceId, wanted: Wanted, by: &str) -> Result<Enrolment, DeviceError> {
        if self.device(&id).await?.is_some() {
            return Err(DeviceError::Known(id));
        }
        let (credential, token) = self.credential(&id, wanted).await?;
        let device = Device::enrolled(id, credential, self.clock.now());
        let device = self.change(None, device).await?;
        self.modems.expel(&device.id).await;
        info!(device = %device.id, by, "device enrolled");
        Ok(Enrolment { device, token })
    }

    /// Enrols a device that is here, or was, under the next epoch: after a factory
    /// reset, or with another kind of credential.
    pub async fn enrol_again(&self, id: DeviceId, wanted: Wanted, by: &str) -> Result<Enrolment, DeviceError> {
        let before = self.device(&id).await?.ok_or_else(|| DeviceError::Unknown(id.clone()))?;
        let (credential, token) = self.credential(&id, wanted).await?;
        let mut device = before.clone();
        device.enrol_again(credential, self.clock.now());
        let device = self.change(Some(&before), device).await?;
        self.modems.expel(&id).await;
        info!(device = %id, epoch = device.epoch, by, "device enrolled anew");
        Ok(Enrolment { device, token })
    }

    /// Gives a device a new token. The old one stays good until the new one is used
    /// first, for `token_overlap_s` at most; the connection stays.
    pub async fn rotate_token(&self, id: DeviceId, by: &str) -> Result<Enrolment, DeviceError> {
        let before = self.device(&id).await?.ok_or_else(|| DeviceError::Unknown(id.clone()))?;
        if before.revoked.is_some() {
            return Err(DeviceError::Revoked(id));
        }
        let token = self.token();
        let mut device = before.clone();
        let overlap = Duration::from_secs(self.settings.token_overlap_s);
        device.rotate_token(TokenDigest::of(token.as_bytes()), overlap, self.clock.now());
        let device = self.change(Some(&before), device).await?;
        info!(device = %id, by, "device token rotated");
        Ok(Enrolment { device, token: Some(token) })
    }

    /// Lets a device in no more, and ends its connection. Repeating it changes nothing.
    pub async fn revoke(&self, id: DeviceId, by: &str) -> Result<Device, DeviceError> {
        let before = self.device(&id).await?.ok_or_else(|| DeviceError::Unknown(id.clone()))?;
        let mut device = before.clone();
        device.revoke(self.clock.now());
        if device != before {
            device = self.change(Some(&before), device).await?;
            info!(device = %id, by, "device revoked");
        }
        self.modems.expel(&id).await;
        Ok(device)
    }

    /// Enrols those of `ids` that were never here, by the certificate of their own name.
    pub async fn import(&self, ids: BTreeSet<DeviceId>) -> Stored<Imported> {
        let ids: Vec<DeviceId> = ids.into_iter().collect();
        let mut tries = 0;
        loop {
            tries += 1;
            let (missing, refused) = self.missing(&ids).await?;
            let imported = Imported { enrolled: u64::try_from(missing.len()).unwrap_or(u64::MAX), refused };
            if missing.is_empty() {
                return Ok(imported);
            }
            let changed: Vec<Key> = missing.iter().flat_map(keys).collect();
            match self.store.save(missing.into_iter().map(Write::Device).collect()).await {
                Err(StoreError::Conflict { .. }) if tries < IMPORT_TRIES => {}
                saved => {
                    self.known.forget(changed);
                    return saved.map(|()| imported);
                }
            }
        }
    }

    /// One device, as the store has it.
    pub async fn device(&self, id: &DeviceId) -> Stored<Option<Device>> {
        Ok(self.store.devices(std::slice::from_ref(id)).await?.pop())
    }

    /// Every device by id, revoked ones too.
    pub async fn devices(&self, page: Page) -> Stored<Paged<Device>> {
        self.store.device_list(page).await
    }

    /// The device of a certificate name.
    pub async fn device_of_certificate(&self, name: &CertificateName) -> Stored<Option<Device>> {
        Ok(self.store.devices_of_certificates(std::slice::from_ref(name)).await?.pop())
    }

    /// Names that are locked out for some address, with the end of the longest lock-out.
    pub fn locked(&self) -> HashMap<DeviceId, Timestamp> {
        self.lockouts.locked(self.clock.now())
    }

    /// The devices of `ids` that are to be made, and those whose name is taken.
    async fn missing(&self, ids: &[DeviceId]) -> Stored<(Vec<Device>, Vec<(DeviceId, DeviceId)>)> {
        let known: BTreeSet<DeviceId> = self.store.devices(ids).await?.into_iter().map(|d| d.id).collect();
        let names: Vec<CertificateName> = ids.iter().map(own_name).collect();
        let holders = self.store.devices_of_certificates(&names).await?;
        let holders: HashMap<CertificateName, DeviceId> =
            holders.into_iter().filter_map(|d| Some((d.certificate_name?, d.id))).collect();
        let now = self.clock.now();
        let (mut missing, mut refused) = (Vec::new(), Vec::new());
        for id in ids.iter().filter(|id| !known.contains(id)) {
            match holders.get(&own_name(id)) {
                Some(holder) => refused.push((id.clone(), holder.clone())),
                None => missing.push(Device::imported(id.clone(), now)),
            }
        }
        Ok((missing, refused))
    }

    async fn credential(&self, id: &DeviceId, wanted: Wanted) -> Result<(Credential, Option<String>), DeviceError> {
        match wanted {
            Wanted::Token => {
                let token = self.token();
                Ok((Credential::Token(TokenDigest::of(token.as_bytes())), Some(token)))
            }
            Wanted::Certificate(name) => {
                let name = name.unwrap_or_else(|| own_name(id));
                match self.device_of_certificate(&name).await? {
                    Some(other) if other.id != *id => Err(DeviceError::NameTaken { name, device: other.id }),
                    _ => Ok((Credential::Certificate(name), None)),
                }
            }
        }
    }

    fn token(&self) -> String {
        let mut octets = [0; TOKEN_OCTETS];
        self.ids.secret(&mut octets);
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// Stores a device and forgets what was known of it.
    async fn change(&self, before: Option<&Device>, device: Device) -> Stored<Device> {
        let changed: Vec<Key> = before.into_iter().chain([&device]).flat_map(keys).collect();
        let saved = self.store.save(vec![Write::Device(device.clone())]).await;
        // Also after an error: it may have been applied.
        self.known.forget(changed);
        saved.map(|()| Device { version: device.version + 1, ..device })
    }
}

fn keys(device: &Device) -> impl Iterator<Item = Key> + use<> {
    let name = device.certificate_name.clone().map(Key::Certificate);
    std::iter::once(Key::Id(device.id.clone())).chain(name)
}
