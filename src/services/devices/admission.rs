//! Judging a modem that connects.
//!
//! A connect costs one read of the store, which it shares with those that come at
//! the same time, or none where the device was here a short while ago. Two in two cases: a token that is wrong for a device as it
//! is remembered (it may have been rotated at another gateway), and, where
//! enrolment is open, a certificate that names no device.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::debug;

use super::known::{Found, Key, Mark};
use super::{DeviceRegistry, EnrolmentMode};
use crate::domain::device::{Device, TokenDigest, TokenUse};
use crate::domain::ids::{CertificateName, DeviceId};
use crate::domain::time::Timestamp;
use crate::ports::relational::{StoreError, Stored};
use crate::telemetry::metrics;

/// Why a modem is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A wrong credential, or none where one is needed. A stranger hears the same,
    /// so that nobody learns which names are enrolled.
    #[error("wrong credential")]
    WrongCredential,
    /// Its certificate is good and names no device.
    #[error("the certificate names no enrolled device")]
    UnknownCertificate,
    /// The user name is not the device of the certificate.
    #[error("the user name is not the device of the certificate")]
    OtherDevice,
    /// It showed what it should, and is revoked.
    #[error("revoked")]
    Revoked,
    /// Too many wrong credentials for the name from its address.
    #[error("locked out")]
    LockedOut,
    /// The store could not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DeviceRegistry {
    /// The device of a client certificate, whose chain the transport has verified.
    /// A user name, where one is given, must be the device's. Where enrolment is
    /// open, a name that nobody has is itself the device.
    ///
    /// # Errors
    /// See [`Refusal`]. Wrong tokens for the device never lock it out.
    pub async fn admit_certificate(
        &self,
        name: &CertificateName,
        user: Option<&DeviceId>,
    ) -> Result<DeviceId, Refusal> {
        let device = match self.find(Key::Certificate(name.clone())).await? {
            Some(device) if device.revoked.is_some() => return Err(Refusal::Revoked),
            Some(device) => device.id.clone(),
            None if self.settings.enrolment == EnrolmentMode::Required => return Err(Refusal::UnknownCertificate),
            None => {
                let stranger = DeviceId::from(name.as_str());
                // An enrolled device has another certificate, or a token.
                if self.find(Key::Id(stranger.clone())).await?.is_some() {
                    return Err(Refusal::WrongCredential);
                }
                stranger
            }
        };
        match user {
            Some(user) if *user != device => Err(Refusal::OtherDevice),
            _ => Ok(device),
        }
    }

    /// Whether `device` may come in with `token`, or without one.
    ///
    /// # Errors
    /// See [`Refusal`]. A wrong or missing token counts against the name at `from`.
    pub async fn admit_token(&self, device: &DeviceId, token: Option<&[u8]>, from: IpAddr) -> Result<(), Refusal> {
        let now = self.clock.now();
        if self.lockouts.is_locked(device, from, now) {
            return Err(Refusal::LockedOut);
        }
        let (found, is_fresh) = self.look(Key::Id(device.clone())).await?;
        if self.is_open_to(found.as_deref()) {
            return Ok(());
        }
        let judged = match (found, token.map(TokenDigest::of)) {
            (Some(known), Some(shown)) => self.judge_token(known, is_fresh, &shown, now).await?,
            _ => None,
        };
        let Some((known, used)) = judged else {
            if self.lockouts.failed(device, from, now) {
                metrics().mqtt_lockouts.inc();
            }
            return Err(Refusal::WrongCredential);
        };
        self.lockouts.succeeded(device, from);
        if known.revoked.is_some() {
            return Err(Refusal::Revoked);
        }
        if used == TokenUse::Replacing {
            self.end_former_token(&known).await;
        }
        Ok(())
    }

    /// Which of the device's tokens is shown. One that is wrong for the device as it
    /// is remembered is judged again by the store.
    async fn judge_token(
        &self,
        known: Arc<Device>,
        is_fresh: bool,
        shown: &TokenDigest,
        now: Timestamp,
    ) -> Stored<Option<(Arc<Device>, TokenUse)>> {
        if let Some(used) = known.token_use(shown, now) {
            return Ok(Some((known, used)));
        }
        if is_fresh {
            return Ok(None);
        }
        let stored = self.read(Key::Id(known.id.clone()), self.known.mark()).await?;
        Ok(stored.and_then(|device| device.token_use(shown, now).map(|used| (device, used))))
    }

    /// Whether a device comes in without a credential.
    fn is_open_to(&self, known: Option<&Device>) -> bool {
        self.settings.enrolment == EnrolmentMode::Open
            && known.is_none_or(|device| device.imported && device.revoked.is_none())
    }

    /// The enrolment epoch of a device; `None` where it is not enrolled. No read of
    /// the store for one that was let in a short while ago.
    pub async fn epoch(&self, device: &DeviceId) -> Stored<Option<u32>> {
        Ok(self.find(Key::Id(device.clone())).await?.map(|device| device.epoch))
    }

    /// Whether a device has or had `epoch`, or is not enrolled, as far as it is
    /// remembered; false where it is not. Reads nothing.
    pub fn remembers_epoch(&self, device: &DeviceId, epoch: u32) -> bool {
        let known = self.known.get(&Key::Id(device.clone()), self.clock.now());
        known.is_ok_and(|found| found.is_none_or(|device| epoch <= device.epoch))
    }

    /// The enrolment epoch of a device as the store has it at this moment.
    pub async fn stored_epoch(&self, device: &DeviceId) -> Stored<Option<u32>> {
        Ok(self.read(Key::Id(device.clone()), self.known.mark()).await?.map(|device| device.epoch))
    }

    /// The modem has its new token: the old one may be in other hands.
    async fn end_former_token(&self, known: &Device) {
        let mut device = known.clone();
        device.end_former_token();
        // Where it fails, the next connect tries again, and the overlap ends it at last.
        if let Err(error) = self.change(Some(known), device).await {
            debug!(%error, "end a replaced token");
        }
    }

    async fn find(&self, key: Key) -> Stored<Found> {
        Ok(self.look(key).await?.0)
    }

    /// What is known, and whether it was read from the store just now.
    async fn look(&self, key: Key) -> Stored<(Found, bool)> {
        match self.known.get(&key, self.clock.now()) {
            Ok(found) => Ok((found, false)),
            Err(mark) => Ok((self.read(key, mark).await?, true)),
        }
    }

    async fn read(&self, key: Key, mark: Mark) -> Stored<Found> {
        let found = self.reader.device(&key).await?;
        let now = self.clock.now();
        if let (Key::Certificate(_), Some(device)) = (&key, &found) {
            // Its epoch will be asked for by its id.
            self.known.keep(Key::Id(device.id.clone()), Some(Arc::clone(device)), mark, now);
        }
        self.known.keep(key, found.clone(), mark, now);
        Ok(found)
    }
}
