//! Newtypes for every identifier that crosses a module boundary.
//!
//! Identifiers are opaque text, shared cheaply between tasks: up to 23 bytes in
//! place, longer ones counted. The gateway makes its own from a clock and a random
//! source (see [`crate::ports::Ids`]); operators bring line, customer and device
//! ids with them.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(SmolStr);

        impl $name {
            /// Wraps text as it came.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(SmolStr::new(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(SmolStr::from(text))
            }
        }
    )+};
}

text_id! {
    /// A service contract on the network (회선); TMF638 `service.id`.
    LineId;
    /// The party that pays; TMF `relatedParty` with role `customer`.
    CustomerId;
    /// A charging account: the pool a line is in, else the line itself.
    AccountId;
    /// TMF641 `serviceOrder.id`.
    OrderId;
    /// A saga: the order's own id where an order started it.
    SagaId;
    /// A tariff plan, `plan` in an order's characteristics.
    PlanId;
    /// A network element as the settings name it.
    ElementId;
    /// A modem, `deviceId` in an order's characteristics and MQTT topics.
    DeviceId;
    /// The name in a modem's client certificate: its first subjectAltName of kind DNS
    /// or URI, else its subject's common name (RFC 5280 sections 4.2.1.6 and 4.1.2.6).
    CertificateName;
    /// Access Point Name (TS 23.003 section 9), compared without case by [`Apn::matches`].
    Apn;
    /// TMF646 `appointment.id`.
    AppointmentId;
    /// An entry of the outbound-call list.
    CallId;
    /// TMF697 `workOrder.id`.
    WorkOrderId;
    /// A field worker.
    WorkerId;
    /// A bookable piece of a worker's time.
    SlotId;
    /// An invoice; its number is [`crate::domain::billing::InvoiceNumber`].
    InvoiceId;
    /// A `/hub` registration.
    ListenerId;
    /// One message in the outbox; stable across retries.
    MessageId;
    /// A charging session: Diameter Session-Id (RFC 6733 section 8.8).
    SessionId;
    /// A Diameter client of a charging session: its Origin-Host (RFC 6733 section 6.3).
    ClientHost;
}

impl Apn {
    /// Whether two APNs are the same network: case does not count, and an
    /// operator identifier (`.mnc….mcc….gprs`, TS 23.003 section 9.1.2) on
    /// either side is not compared.
    pub fn matches(&self, other: &str) -> bool {
        network_identifier(self.as_str()).eq_ignore_ascii_case(network_identifier(other))
    }
}

fn network_identifier(apn: &str) -> &str {
    let bytes = apn.as_bytes();
    let is_operator = bytes.len() > 5 && bytes[bytes.len() - 5..].eq_ignore_ascii_case(b".gprs");
    if !is_operator {
        return apn;
    }
    match apn.to_ascii_lowercase().rfind(".mnc") {
        Some(at) => &apn[..at],
        None => apn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apn_matches_without_case_and_operator_identifier() {
        let own = Apn::from("iot.example");
        for same in ["iot.example", "IoT.Example", "iot.example.mnc008.mcc450.gprs"] {
            assert!(own.matches(same), "{same}");
        }
        for other in ["iot.example.com", "internet", ""] {
            assert!(!own.matches(other), "{other}");
        }
    }
}
