//! Who a modem is: its credentials, and how often it was enrolled.
//!
//! Owns which credential is good at which time, and what enrolling, rotating
//! and revoking change. Does **not** own how a credential travels (transport),
//! where tokens come from or who is locked out (services).
//!
//! Invariants: a token is here as a digest only; the enrolment epoch never
//! falls, so a key of usage records (device, epoch, boot, seq) is never used
//! for two records, whatever a factory reset makes the modem forget; a revoked
//! device is kept, so that its epoch is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{CertificateName, DeviceId};
use super::time::Timestamp;

/// The enrolment epoch of a device that was never enrolled anew.
pub const FIRST_EPOCH: u32 = 1;

/// Longest device id, octets.
pub const DEVICE_ID_MAX: usize = 64;
/// Longest certificate name, octets.
pub const CERTIFICATE_NAME_MAX: usize = 255;

/// Whether a text can be a device's id: 1 to [`DEVICE_ID_MAX`] of
/// `A-Z a-z 0-9 . _ : -`, which a topic can carry.
pub fn is_device_id(text: &str) -> bool {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    (1..=DEVICE_ID_MAX).contains(&text.len()) && text.bytes().all(is_fit)
}

/// Whether a text can be a certificate's name: 1 to [`CERTIFICATE_NAME_MAX`]
/// octets without control characters.
pub fn is_certificate_name(text: &str) -> bool {
    (1..=CERTIFICATE_NAME_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// SHA-256 of a token. Tokens are random, 128 bits or more, so a slow hash would
/// only turn a reconnect storm into an outage.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Of a token as it was given or shown.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// Compares every octet, so that time tells nothing about how much was right.
impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl Eq for TokenDigest {}

/// Says nothing of the digest: logs are read by more people than the store.
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

impl From<TokenDigest> for String {
    fn from(digest: TokenDigest) -> Self {
        hex::encode(digest.0)
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut octets = [0; 32];
        hex::decode_to_slice(text, &mut octets)?;
        Ok(Self(octets))
    }
}

/// What a device shows when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A token, with the device's id as user name.
    Token(TokenDigest),
    /// A client certificate with this name.
    Certificate(CertificateName),
}

/// A device's token, and the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The newest.
    pub digest: TokenDigest,
    /// When it was made.
    pub made: Timestamp,
    /// The one that it replaces, until then or until the newest is used.
    pub former: Option<FormerToken>,
}

/// A token that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerToken {
    /// Its digest.
    pub digest: TokenDigest,
    /// Good before.
    pub until: Timestamp,
}

/// Which of a device's tokens was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// The newest, and there is no other.
    Newest,
    /// The newest, for the first time since it replaced another: the other ends.
    Replacing,
    /// The former one, in its overlap.
    Former,
}

/// A modem that is enrolled, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id: `deviceId` of an order, the level in its topics.
    pub id: DeviceId,
    /// Counts its enrolments, from 1; the modem puts it into every usage record.
    pub epoch: u32,
    /// The name of its client certificate, where it may show one.
    pub certificate_name: Option<CertificateName>,
    /// Its token, where it may show one.
    pub token: Option<Token>,
    /// Whether an import took its certificate for granted: asked for where enrolment is
    /// required, and not where it is open, because nobody has given it one.
    pub imported: bool,
    /// When it was enrolled first.
    pub created: Timestamp,
    /// When this epoch began.
    pub enrolled: Timestamp,
    /// Since when it may not connect.
    pub revoked: Option<Timestamp>,
    /// Guards concurrent writers.
    pub version: u64,
}

impl Device {
    /// A device that was never here.
    pub fn enrolled(id: DeviceId, credential: Credential, now: Timestamp) -> Self {
        let (certificate_name, token) = credentials(credential, now);
        let (created, enrolled) = (now, now);
        Self {
            id,
            epoch: FIRST_EPOCH,
            certificate_name,
            token,
            imported: false,
            created,
            enrolled,
            revoked: None,
            version: 0,
        }
    }

    /// A device of a network that moves in: its certificate bears its own id.
    pub fn imported(id: DeviceId, now: Timestamp) -> Self {
        let credential = Credential::Certificate(own_name(&id));
        Self { imported: true, ..Self::enrolled(id, credential, now) }
    }

    /// Enrols it anew: the next epoch, with `credential` in place of all it had.
    /// A revoked device is let in again.
    pub fn enrol_again(&mut self, credential: Credential, now: Timestamp) {
        (self.certificate_name, self.token) = credentials(credential, now);
        self.epoch = self.epoch.saturating_add(1);
        self.imported = false;
        self.enrolled = now;
        self.revoked = None;
    }

    /// Makes `newest` its token. The token that the modem has stays good for
    /// `overlap`: of two rotations in a row, that is the one from before the first.
    pub fn rotate_token(&mut self, newest: TokenDigest, overlap: Duration, now: Timestamp) {
        let in_use = self.token.take().map(|token| match token.former {
            Some(former) if now < former.until => former.digest,
            _ => token.digest,
        });
        let former =
            in_use.filter(|_| !overlap.is_zero()).map(|digest| FormerToken { digest, until: now.plus(overlap) });
        self.token = Some(Token { digest: newest, made: now, former });
        self.imported = false;
    }

    /// Ends the former token, because the newest has come into use.
    pub fn end_former_token(&mut self) {
        if let Some(token) = &mut self.token {
            token.former = None;
        }
    }

    /// Lets it in no more.
    pub fn revoke(&mut self, now: Timestamp) {
        self.revoked.get_or_insert(now);
    }

    /// Which of its tokens this is at `now`; `None` when it is none of them.
    pub fn token_use(&self, shown: &TokenDigest, now: Timestamp) -> Option<TokenUse> {
        let token = self.token.as_ref()?;
        let former = token.former.as_ref().filter(|former| now < former.until);
        if token.digest == *shown {
            return Some(if token.former.is_some() { TokenUse::Replacing } else { TokenUse::Newest });
        }
        former.filter(|former| former.digest == *shown).map(|_| TokenUse::Former)
    }
}

/// The name of a device's certificate where nobody says another.
pub fn own_name(id: &DeviceId) -> CertificateName {
    CertificateName::from(id.as_str())
}

fn credentials(credential: Credential, now: Timestamp) -> (Option<CertificateName>, Option<Token>) {
    match credential {
        Credential::Token(digest) => (None, Some(Token { digest, made: now, former: None })),
        Credential::Certificate(name) => (Some(name), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn digest(token: &str) -> TokenDigest {
        TokenDigest::of(token.as_bytes())
    }

    fn device() -> Device {
        Device::enrolled("meter-1".into(), Credential::Token(digest("first")), at(0))
    }

    #[track_caller]
    fn check(device: &Device, now: i64, expected: &[(&str, Option<TokenUse>)]) {
        for (token, expected) in expected {
            assert_eq!(device.token_use(&digest(token), at(now)), *expected, "{token} at {now} s");
        }
    }

    #[test]
    fn a_rotated_token_and_the_one_before_are_good_for_the_overlap() {
        let mut device = device();
        check(&device, 1, &[("first", Some(TokenUse::Newest)), ("second", None), ("", None)]);
        device.rotate_token(digest("second"), DAY, at(10));
        let both = [("first", Some(TokenUse::Former)), ("second", Some(TokenUse::Replacing))];
        check(&device, 10, &both);
        check(&device, 86_409, &both);
        check(&device, 86_410, &[("first", None), ("second", Some(TokenUse::Replacing))]);
        device.end_former_token();
        check(&device, 11, &[("first", None), ("second", Some(TokenUse::Newest))]);
    }

    #[test]
    fn of_two_rotations_in_a_row_the_token_that_the_modem_has_stays_good() {
        let mut device = device();
        device.rotate_token(digest("lost"), DAY, at(10));
        device.rotate_token(digest("third"), DAY, at(20));
        let expected = [("first", Some(TokenUse::Former)), ("lost", None), ("third", Some(TokenUse::Replacing))];
        check(&device, 21, &expected);
    }

    #[test]
    fn without_an_overlap_the_old_token_ends_at_once() {
        let mut device = device();
        device.rotate_token(digest("second"), Duration::ZERO, at(10));
        check(&device, 10, &[("first", None), ("second", Some(TokenUse::Newest))]);
    }

    #[test]
    fn enrolling_again_raises_the_epoch_and_replaces_every_credential() {
        let mut device = device();
        device.revoke(at(5));
        device.revoke(at(6));
        assert_eq!(device.revoked, Some(at(5)));
        device.enrol_again(Credential::Certificate("meter-1.example".into()), at(7));
        assert_eq!((device.epoch, device.created, device.enrolled, device.revoked), (2, at(0), at(7), None));
        assert_eq!(
            (device.certificate_name.as_ref().map(|n| n.as_str()), &device.token),
            (Some("meter-1.example"), &None)
        );
        device.rotate_token(digest("second"), DAY, at(8));
        check(&device, 9, &[("first", None), ("second", Some(TokenUse::Newest))]);
        assert!(device.certificate_name.is_some(), "a token beside the certificate");
    }

    #[test]
    fn a_digest_comes_back_from_its_text_and_is_shown_nowhere_else() {
        let text = String::from(digest("test"));
        assert_eq!(text, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
        assert_eq!(TokenDigest::try_from(text.clone()).unwrap(), digest("test"));
        assert!(TokenDigest::try_from(text[..62].to_owned()).is_err());
        assert!(!format!("{:?}", device()).contains("9f86"));
    }

    #[test]
    fn ids_and_certificate_names_have_their_alphabets() {
        for (text, good) in
            [("meter-1", true), ("A.b_c:d", true), ("", false), ("a/b", false), ("a b", false), ("ä", false)]
        {
            assert_eq!(is_device_id(text), good, "{text}");
        }
        assert!(is_device_id(&"a".repeat(64)) && !is_device_id(&"a".repeat(65)));
        for (text, good) in [("urn:dev:mac:1/2", true), ("계량기", true), ("", false), ("a\0b", false)] {
            assert_eq!(is_certificate_name(text), good, "{text}");
        }
    }
}
