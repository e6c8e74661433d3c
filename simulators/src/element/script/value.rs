//! A value of a script as the octets of its type.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use linegate_diameter::dictionary::{AvpDef, DataType};

use super::syntax::Literal;
use crate::clock;

/// Seconds from 1900-01-01 to 1970-01-01.
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// The octets of `literal` as the value of such an AVP; the error says what
/// it should have been.
pub(super) fn octets(def: &AvpDef, literal: &Literal) -> Result<Bytes, String> {
    let text = literal.text.as_str();
    let wrong = |expected: &str| format!("{} = {text}: not {expected}", def.name);
    let word = |value: u32| Bytes::copy_from_slice(&value.to_be_bytes());
    Ok(match def.data_type {
        DataType::OctetString => match text.strip_prefix("0x") {
            Some(digits) if !literal.quoted => hexadecimal(digits).ok_or_else(|| wrong("octets in hexadecimal"))?,
            _ => Bytes::copy_from_slice(text.as_bytes()),
        },
        DataType::Unsigned32 => word(narrow(number(text)).ok_or_else(|| wrong("an Unsigned32"))?),
        DataType::Integer32 => word(narrow::<i32>(number(text)).ok_or_else(|| wrong("an Integer32"))?.cast_unsigned()),
        DataType::Enumerated => {
            let value = def.value_named(text).or_else(|| narrow(number(text)));
            word(value.ok_or_else(|| wrong("a value of it, by number or name"))?.cast_unsigned())
        }
        DataType::Unsigned64 => {
            let value: u64 = narrow(number(text)).ok_or_else(|| wrong("an Unsigned64"))?;
            Bytes::copy_from_slice(&value.to_be_bytes())
        }
        DataType::Integer64 => {
            let value: i64 = narrow(number(text)).ok_or_else(|| wrong("an Integer64"))?;
            Bytes::copy_from_slice(&value.to_be_bytes())
        }
        DataType::Time => word(time(text).ok_or_else(|| wrong("a time: RFC 3339, or now"))?),
        DataType::Address => address(text.parse().map_err(|_| wrong("an IP address"))?),
        DataType::UTF8String | DataType::DiameterIdentity | DataType::DiameterURI | DataType::IPFilterRule => {
            Bytes::copy_from_slice(text.as_bytes())
        }
        DataType::Grouped => return Err(format!("{} is grouped: its members stand in braces", def.name)),
    })
}

/// Pairs of hexadecimal digits.
pub(super) fn hexadecimal(digits: &str) -> Option<Bytes> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2).filter_map(|at| digits.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

/// Decimal, or hexadecimal behind `0x`.
pub(super) fn number(text: &str) -> Option<i128> {
    match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn narrow<T: TryFrom<i128>>(number: Option<i128>) -> Option<T> {
    number.and_then(|number| T::try_from(number).ok())
}

fn time(text: &str) -> Option<u32> {
    let unix = match text {
        "now" => i64::from(clock::unix_seconds()),
        text => text.parse::<jiff::Timestamp>().ok()?.as_second(),
    };
    u32::try_from((unix + NTP_TO_UNIX).rem_euclid(1 << 32)).ok()
}

/// The Address type: family and address (RFC 6733 section 4.3.1).
pub(super) fn address(address: IpAddr) -> Bytes {
    let mut octets = BytesMut::with_capacity(18);
    match address {
        IpAddr::V4(address) => {
            octets.put_u16(1);
            octets.put_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            octets.put_u16(2);
            octets.put_slice(&address.octets());
        }
    }
    octets.freeze()
}
