//! Typed values of AVPs (RFC 6733 sections 4.2 and 4.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ascii::AsAsciiStr;

use super::avp::Avp;
use super::error::{AvpError, Problem};

/// Seconds from 1900-01-01 to 1970-01-01.
const NTP_TO_UNIX: i64 = 2_208_988_800;
/// Seconds in one era of the 32-bit time.
const ERA: i64 = 1 << 32;

/// The Time type: whole seconds from 1968-01-20T03:14:08Z to
/// 2104-02-26T09:42:23Z. With its top bit clear the value lies in the era
/// that starts in 2036 (RFC 6733 section 4.3.1, RFC 5905 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u32);

impl Time {
    /// From seconds since 1970-01-01T00:00:00Z; `None` outside the range.
    pub const fn from_unix_seconds(seconds: i64) -> Option<Self> {
        let ntp = seconds + NTP_TO_UNIX;
        if ntp < 1 << 31 || ntp >= ERA + (1 << 31) {
            return None;
        }
        Some(Self((ntp % ERA) as u32))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix_seconds(self) -> i64 {
        let era = if self.0 & 0x8000_0000 == 0 { ERA } else { 0 };
        self.0 as i64 + era - NTP_TO_UNIX
    }

    pub(super) const fn to_octets(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// The Address type (RFC 6733 section 4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address<'a> {
    /// Address families 1 and 2.
    Ip(IpAddr),
    /// Any other family, such as E.164 (8).
    Other {
        /// IANA's address family number.
        family: u16,
        /// The address as it came.
        octets: &'a [u8],
    },
}

/// The DiameterURI type: `aaa://host:port;transport=tcp;protocol=diameter`
/// (RFC 6733 section 4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uri<'a> {
    /// True for `aaas`: TLS or DTLS.
    pub secure: bool,
    /// The FQDN.
    pub host: &'a str,
    /// The port; 3868 or 5658 where it is not said.
    pub port: u16,
    /// `tcp`, `sctp` or `udp`, where it is said.
    pub transport: Option<&'a str>,
    /// `diameter`, `radius` or `tacacs+`, where it is said.
    pub protocol: Option<&'a str>,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = match scheme {
            "aaa" => false,
            "aaas" => true,
            _ => return None,
        };
        let mut parts = rest.split(';');
        let authority = parts.next()?;
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, if secure { 5658 } else { 3868 }),
        };
        let good =
            !host.is_empty() && host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet));
        if !good {
            return None;
        }
        let mut uri = Self { secure, host, port, transport: None, protocol: None };
        for part in parts {
            match part.split_once('=')? {
                ("transport", name @ ("tcp" | "sctp" | "udp")) => uri.transport = Some(name),
                ("protocol", name @ ("diameter" | "radius" | "tacacs+")) => uri.protocol = Some(name),
                _ => return None,
            }
        }
        Some(uri)
    }
}

/// The IPFilterRule type: `permit in ip from any to 10.0.0.1 80`, cut into
/// its parts (RFC 6733 section 4.3.1). Addresses, ports and options are as
/// they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FilterRule<'a> {
    /// True for `permit`, false for `deny`.
    pub permit: bool,
    /// True for `out`: to the user.
    pub out: bool,
    /// An IP protocol by number, or `ip` for any.
    pub protocol: &'a str,
    /// Address and ports of the source.
    pub from: &'a str,
    /// Address, ports and options of the destination.
    pub to: &'a str,
}

impl<'a> FilterRule<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (action, rest) = text.trim_ascii().split_once(' ')?;
        let (direction, rest) = rest.trim_ascii_start().split_once(' ')?;
        let (protocol, rest) = rest.trim_ascii_start().split_once(' ')?;
        let (from, to) = rest.trim_ascii_start().strip_prefix("from ")?.split_once(" to ")?;
        let known = matches!((action, direction), ("permit" | "deny", "in" | "out"));
        let whole = known && !from.trim_ascii().is_empty() && !to.trim_ascii().is_empty();
        whole.then(|| Self {
            permit: action == "permit",
            out: direction == "out",
            protocol,
            from: from.trim_ascii(),
            to: to.trim_ascii(),
        })
    }
}

/// True where every octet is in 0x21 to 0x7e; eight at a time, since an
/// identity is in every message.
#[inline(never)]
fn visible(octets: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let strange = |eight: &[u8; 8]| {
        let eight = u64::from_ne_bytes(*eight);
        let below = eight.wrapping_sub(EACH * 0x21) & !eight;
        let above = eight.wrapping_add(EACH) | eight;
        (below | above) & (EACH * 0x80) != 0
    };
    let (Some(first), Some(last)) = (octets.first_chunk(), octets.last_chunk()) else {
        return octets.iter().all(u8::is_ascii_graphic);
    };
    !strange(first) && !strange(last) && !octets.as_chunks().0.iter().skip(1).any(strange)
}

impl<'a> Avp<'a> {
    #[inline]
    fn exactly<const N: usize>(&self) -> Result<[u8; N], AvpError> {
        self.data.try_into().map_err(|_| self.length_error(N))
    }

    #[cold]
    fn length_error(&self, need: usize) -> AvpError {
        let header = self.length() - self.data.len();
        AvpError::new(self, Problem::Length { have: self.length(), need: header + need })
    }

    /// 5004 with this AVP: its value is not `expected`.
    #[cold]
    pub fn value_error(&self, expected: &'static str) -> AvpError {
        AvpError::new(self, Problem::Value(expected))
    }

    /// Unsigned32.
    #[inline]
    pub fn u32(&self) -> Result<u32, AvpError> {
        self.exactly().map(u32::from_be_bytes)
    }

    /// Unsigned64.
    #[inline]
    pub fn u64(&self) -> Result<u64, AvpError> {
        self.exactly().map(u64::from_be_bytes)
    }

    /// Integer32.
    #[inline]
    pub fn i32(&self) -> Result<i32, AvpError> {
        self.exactly().map(i32::from_be_bytes)
    }

    /// Integer64.
    #[inline]
    pub fn i64(&self) -> Result<i64, AvpError> {
        self.exactly().map(i64::from_be_bytes)
    }

    /// Enumerated: the bare number; which values exist is the caller's to know.
    #[inline]
    pub fn enumerated(&self) -> Result<i32, AvpError> {
        self.i32()
    }

    /// OctetString: any octets.
    #[inline]
    pub const fn octets(&self) -> &'a [u8] {
        self.data
    }

    /// UTF8String; broken UTF-8 is 5004.
    #[inline]
    pub fn text(&self) -> Result<&'a str, AvpError> {
        // nearly all is ASCII, which is seen in a fraction of the time
        match self.data.as_ascii_str() {
            Ok(text) => Ok(text.as_str()),
            Err(_) => self.wide_text(),
        }
    }

    #[cold]
    fn wide_text(&self) -> Result<&'a str, AvpError> {
        std::str::from_utf8(self.data).map_err(|_| self.value_error("UTF-8"))
    }

    /// DiameterIdentity: an FQDN or realm in visible ASCII; else 5004.
    #[inline]
    pub fn identity(&self) -> Result<&'a str, AvpError> {
        if !self.is_visible_ascii() {
            return Err(self.value_error("a Diameter identity"));
        }
        self.text()
    }

    #[inline(never)]
    pub(crate) fn is_ascii(&self) -> bool {
        self.data.is_ascii()
    }

    #[inline]
    pub(crate) fn is_visible_ascii(&self) -> bool {
        !self.data.is_empty() && visible(self.data)
    }

    /// DiameterURI; else 5004.
    pub fn uri(&self) -> Result<Uri<'a>, AvpError> {
        self.is_visible_ascii()
            .then(|| self.text().ok().and_then(Uri::parse))
            .flatten()
            .ok_or_else(|| self.value_error("a Diameter URI"))
    }

    /// IPFilterRule; else 5004.
    pub fn filter_rule(&self) -> Result<FilterRule<'a>, AvpError> {
        self.text().ok().and_then(FilterRule::parse).ok_or_else(|| self.value_error("an IP filter rule"))
    }

    /// Time.
    #[inline]
    pub fn time(&self) -> Result<Time, AvpError> {
        self.u32().map(Time)
    }

    /// Address; a length that does not fit the family is 5014.
    #[inline]
    pub fn address(&self) -> Result<Address<'a>, AvpError> {
        let Some((family, octets)) = self.data.split_first_chunk::<2>() else {
            return Err(self.length_error(2));
        };
        match u16::from_be_bytes(*family) {
            1 => match <[u8; 4]>::try_from(octets) {
                Ok(octets) => Ok(Address::Ip(Ipv4Addr::from(octets).into())),
                Err(_) => Err(self.length_error(6)),
            },
            2 => match <[u8; 16]>::try_from(octets) {
                Ok(octets) => Ok(Address::Ip(Ipv6Addr::from(octets).into())),
                Err(_) => Err(self.length_error(18)),
            },
            family => Ok(Address::Other { family, octets }),
        }
    }

    /// Address that must be IPv4 or IPv6; another family is 5004.
    #[inline]
    pub fn ip_address(&self) -> Result<IpAddr, AvpError> {
        match self.address()? {
            Address::Ip(address) => Ok(address),
            Address::Other { .. } => Err(self.value_error("an IP address")),
        }
    }
}
