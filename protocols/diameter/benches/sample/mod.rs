//! One CCR-U of 508 octets and its CCA, for this crate and for the
//! `diameter` crate: the same octets, the same values read, the same AVPs
//! written.

pub mod ours;
pub mod theirs;

/// Octets of the request.
pub const CCR_LENGTH: usize = 508;

/// What both read of the request, added up so that no read can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Octets of Session-Id, hosts, realms, context, identities, equipment,
    /// APN, network and RAT.
    pub text_octets: usize,
    /// CC-Request-Type, CC-Request-Number, Event-Timestamp, charging id.
    pub header_numbers: u64,
    /// Rating-Groups, units and reasons of every service.
    pub unit_numbers: u64,
    /// Services that ask for units.
    pub requested: usize,
}
