//! Signed tokens for people who are no operators: a customer on my page, a customer
//! who moves one visit, a worker.
//!
//! A token is `<mark>.<name>.<expiry>.<mac>`: the mark says what it is for, the name
//! is base64url, the expiry seconds since the epoch, and the mac HMAC-SHA256 (RFC
//! 2104) over the part before it. Invariant: a token opens what it was made for,
//! and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::ids::{AppointmentId, CustomerId, WorkerId};
use crate::domain::time::Timestamp;
use crate::ports::Ids;
use crate::ports::relational::{Relational, Stored, Write};

const SECRET_OCTETS: usize = 32;
/// Where a secret that we made is kept.
const SECRET_META: &str = "my-page-secret";

/// What a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// Reads everything of this customer, and nothing of others.
    Customer(CustomerId),
    /// Reads and moves this one visit.
    Visit(AppointmentId),
    /// Reads and reports the work of this worker.
    Worker(WorkerId),
}

impl Bearer {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Bearer::Customer(id) => ("lg1", id.as_str()),
            Bearer::Visit(id) => ("lgv1", id.as_str()),
            Bearer::Worker(id) => ("lgw1", id.as_str()),
        }
    }

    fn of(mark: &str, name: String) -> Option<Self> {
        match mark {
            "lg1" => Some(Bearer::Customer(name.into())),
            "lgv1" => Some(Bearer::Visit(name.into())),
            "lgw1" => Some(Bearer::Worker(name.into())),
            _ => None,
        }
    }
}

/// Signs and reads tokens.
pub struct Tokens {
    secret: Vec<u8>,
}

impl Tokens {
    /// With this secret.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self { secret: secret.into() }
    }

    /// With the secret of the settings, or one that is made once and kept in the store.
    ///
    /// # Errors
    /// The store could not be read or written.
    pub async fn open(setting: &str, store: &dyn Relational, ids: &dyn Ids) -> Stored<Self> {
        if !setting.is_empty() {
            return Ok(Self::new(setting));
        }
        if let Some(kept) = store.meta(SECRET_META).await? {
            return Ok(Self::new(kept));
        }
        let mut bytes = [0u8; SECRET_OCTETS];
        ids.secret(&mut bytes);
        let secret = hex::encode(bytes);
        store.save(vec![Write::Meta(SECRET_META.to_owned(), secret.clone())]).await?;
        // Another gateway may have been at it too: what is kept counts.
        Ok(Self::new(store.meta(SECRET_META).await?.unwrap_or(secret)))
    }

    /// A token, good before `until`.
    pub fn sign(&self, bearer: &Bearer, until: Timestamp) -> String {
        let (mark, name) = bearer.parts();
        let signed = format!("{mark}.{}.{}", URL_SAFE_NO_PAD.encode(name), until.millis().div_euclid(1000));
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&signed).finalize().into_bytes());
        format!("{signed}.{mac}")
    }

    /// What a token is bound to; `None` when it is not ours or has expired.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<Bearer> {
        let (signed, mac) = token.rsplit_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.mac(signed).verify_slice(&mac).ok()?;
        let mut parts = signed.split('.');
        let (mark, name, expiry) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || now >= Timestamp::from_secs(expiry.parse().ok()?) {
            return None;
        }
        Bearer::of(mark, String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?)
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_what_it_names_until_it_expires() {
        let tokens = Tokens::new("secret");
        let (before, end) = (Timestamp::from_secs(99), Timestamp::from_secs(100));
        let everybody =
            [Bearer::Customer("고객-1".into()), Bearer::Visit("o-1-visit".into()), Bearer::Worker("kim".into())];
        for bearer in everybody {
            let token = tokens.sign(&bearer, end);
            assert_eq!(tokens.read(&token, before), Some(bearer.clone()));
            assert_eq!(tokens.read(&token, end), None);
            let other = tokens.sign(&Bearer::Customer("c2".into()), end);
            let (_, mac) = token.rsplit_once('.').unwrap();
            let (signed, _) = other.rsplit_once('.').unwrap();
            let another_use = token.replacen("lg", "lgx", 1);
            let later = token.replace(".100.", ".999.");
            for forged in [format!("{signed}.{mac}"), String::new(), "a.b".into(), later, another_use] {
                assert_eq!(tokens.read(&forged, Timestamp::from_secs(1)), None, "{forged}");
            }
            assert_eq!(Tokens::new("other").read(&token, Timestamp::from_secs(1)), None);
        }
    }
}
