//! Who a device is: what its CONNECT and its certificate say, put before the
//! device registry, and the reason code for who is not let in.

use std::net::SocketAddr;
use std::sync::Arc;

use linegate_mqtt::ReasonCode;
use linegate_mqtt::session::Connect;
use linegate_mqtt::topic::DeviceId;
use rustls::pki_types::CertificateDer;
use tracing::debug;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::domain::device::{FIRST_EPOCH, is_certificate_name};
use crate::domain::ids::{self, CertificateName};
use crate::services::devices::DeviceRegistry;
use crate::services::devices::admission::Refusal;

/// The devices that may connect.
pub struct Identities {
    registry: Arc<DeviceRegistry>,
}

impl Identities {
    /// Over the registry.
    pub fn new(registry: Arc<DeviceRegistry>) -> Self {
        Self { registry }
    }

    /// The enrolment epoch of a device that was let in; the first where it is not
    /// enrolled, or the store cannot say.
    pub async fn epoch(&self, device: &DeviceId) -> u32 {
        let known = self.registry.epoch(&ids::DeviceId::from(device.as_str())).await;
        known.ok().flatten().unwrap_or(FIRST_EPOCH)
    }

    /// The device behind a CONNECT from `peer`. `certificate` is the client's own,
    /// its chain verified: with one, it says who the device is, and a user name,
    /// where there is one, must say the same. Without one, the user name does, else
    /// the client id, and the password is the device's token.
    ///
    /// # Errors
    /// The reason code to refuse it with: 0x85, 0x86, 0x87, 0x88 or 0x8A.
    pub async fn identify(
        &self,
        connect: &Connect,
        certificate: Option<&CertificateDer<'_>>,
        peer: SocketAddr,
    ) -> Result<DeviceId, ReasonCode> {
        let user = connect.username.as_deref().filter(|name| !name.is_empty());
        if let Some(certificate) = certificate {
            let Some(name) = name_of(certificate) else {
                debug!("the client certificate has no name");
                return Err(ReasonCode::NOT_AUTHORIZED);
            };
            let user = user.map(ids::DeviceId::from);
            let admitted = self.registry.admit_certificate(&name, user.as_ref()).await.map_err(|e| refused(&e))?;
            return topic_level(admitted.as_str());
        }
        let device = topic_level(user.unwrap_or(&connect.client_id))?;
        let (id, token) = (ids::DeviceId::from(device.as_str()), connect.password.as_deref());
        self.registry.admit_token(&id, token, peer.ip()).await.map_err(|e| refused(&e))?;
        Ok(device)
    }
}

fn topic_level(name: &str) -> Result<DeviceId, ReasonCode> {
    DeviceId::new(name).map_err(|_| ReasonCode::CLIENT_IDENTIFIER_NOT_VALID)
}

fn refused(refusal: &Refusal) -> ReasonCode {
    debug!(%refusal, "a modem is not let in");
    match refusal {
        Refusal::WrongCredential => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        Refusal::UnknownCertificate | Refusal::OtherDevice | Refusal::Revoked => ReasonCode::NOT_AUTHORIZED,
        Refusal::LockedOut => ReasonCode::BANNED,
        Refusal::Store(_) => ReasonCode::SERVER_UNAVAILABLE,
    }
}

/// The name in a certificate: the first subjectAltName of kind DNS or URI, else
/// the subject's common name (RFC 5280 sections 4.2.1.6 and 4.1.2.6). A
/// subjectAltName that cannot be read is no reason to believe the common name.
fn name_of(certificate: &CertificateDer<'_>) -> Option<CertificateName> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let certificate = certificate.tbs_certificate();
    let alternative = certificate.get_extension::<SubjectAltName>().ok()?;
    let named = alternative.iter().flat_map(|(_, names)| &names.0).find_map(|name| match name {
        GeneralName::DnsName(text) | GeneralName::UniformResourceIdentifier(text) => Some(text.to_string()),
        _ => None,
    });
    let name = match named {
        Some(name) => name,
        None => certificate.subject().common_name().ok()??.value().into_owned(),
    };
    is_certificate_name(&name).then(|| CertificateName::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::device::is_device_id;

    #[test]
    fn what_may_be_enrolled_can_be_served() {
        let long = "a".repeat(65);
        for id in ["meter-1", "A.b_c:d", "", "a/b", "a b", "ä", "+", "#", &long[..64], &long] {
            assert_eq!(is_device_id(id), DeviceId::new(id).is_ok(), "{id:?}");
        }
    }
}
