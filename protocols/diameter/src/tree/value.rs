//! Typed values as text.

use std::fmt::{self, Write};

use super::indent;
use crate::codec::{Address, Avp, Avps, Time};
use crate::dictionary::{AvpDef, DataType, key};
use crate::names;
use crate::result_code::ResultCode;

/// Octets shown on one line.
const LINE_OCTETS: usize = 16;

/// Members of an Experimental-Result looked through for its vendor.
const MEMBERS_MAX: usize = 8;

/// Octets shown of what cannot be read.
const REST_OCTETS_MAX: usize = 64;

/// Writes ` = value`, by the dictionary's type; octets where it is not of
/// that type.
pub(super) fn write(avp: &Avp<'_>, def: &AvpDef, siblings: Avps<'_>, depth: usize, out: &mut dyn Write) -> fmt::Result {
    out.write_str(" = ")?;
    match typed(avp, def, siblings, out) {
        Some(written) => written,
        None => write_octets(avp.data, depth, out),
    }
}

/// `None` where the value is not of its type, and nothing is written.
fn typed(avp: &Avp<'_>, def: &AvpDef, siblings: Avps<'_>, out: &mut dyn Write) -> Option<fmt::Result> {
    Some(match def.data_type {
        DataType::OctetString | DataType::Grouped => return None,
        DataType::Integer32 => write!(out, "{}", avp.i32().ok()?),
        DataType::Integer64 => write!(out, "{}", avp.i64().ok()?),
        DataType::Unsigned32 => write_number(avp.u32().ok()?, avp.key(), siblings, out),
        DataType::Unsigned64 => write!(out, "{}", avp.u64().ok()?),
        DataType::Enumerated => {
            let number = avp.enumerated().ok()?;
            write_named(number, def.value_name(number), out)
        }
        DataType::Time => write_time(avp.time().ok()?, out),
        DataType::Address => write_address(avp.address().ok()?, out),
        DataType::UTF8String | DataType::IPFilterRule => write!(out, "{:?}", avp.text().ok()?),
        DataType::DiameterIdentity | DataType::DiameterURI => write!(out, "{:?}", avp.identity().ok()?),
    })
}

/// Numbers that stand for something are followed by its name.
fn write_number(number: u32, key: u64, mut siblings: Avps<'_>, out: &mut dyn Write) -> fmt::Result {
    let name = match key {
        key::RESULT_CODE => ResultCode(number).name(),
        key::EXPERIMENTAL_RESULT_CODE => {
            let vendor = siblings.by_ref().take(MEMBERS_MAX).find(|avp| avp.key() == key::VENDOR_ID);
            let vendor = vendor.and_then(|vendor| vendor.u32().ok());
            vendor.and_then(|vendor| names::experimental_result(vendor, number))
        }
        key::AUTH_APPLICATION_ID | key::ACCT_APPLICATION_ID => names::application(number),
        key::VENDOR_ID | key::SUPPORTED_VENDOR_ID => names::vendor(number),
        _ => None,
    };
    write_named(number, name, out)
}

fn write_named(number: impl fmt::Display, name: Option<&str>, out: &mut dyn Write) -> fmt::Result {
    match name {
        Some(name) => write!(out, "{number} {name}"),
        None => write!(out, "{number}"),
    }
}

fn write_address(address: Address<'_>, out: &mut dyn Write) -> fmt::Result {
    match address {
        Address::Ip(address) => write!(out, "{address}"),
        Address::Other { family, octets } => {
            write!(out, "family {family} ")?;
            write_line(octets, out)
        }
    }
}

/// RFC 3339 in UTC.
fn write_time(time: Time, out: &mut dyn Write) -> fmt::Result {
    let seconds = time.unix_seconds();
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day counted from 1970-01-01, for the years that
/// [`Time`] reaches. Counted from a 1 March, so that a leap day ends a year.
fn date(day: i64) -> (i64, i64, i64) {
    const FOUR_HUNDRED_YEARS: i64 = 146_097;
    // 1600-03-01
    let day = day + 135_080;
    let (era, day) = (day.div_euclid(FOUR_HUNDRED_YEARS), day.rem_euclid(FOUR_HUNDRED_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (year, month_of_year) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (1600 + era * 400 + year, month_of_year, day - (153 * month + 2) / 5 + 1)
}

/// Octets in hexadecimal, and as text where all of them are visible; more
/// than a line of them stand below.
pub(super) fn write_octets(octets: &[u8], depth: usize, out: &mut dyn Write) -> fmt::Result {
    if octets.is_empty() {
        return out.write_str("(empty)");
    }
    if octets.len() <= LINE_OCTETS {
        return write_line(octets, out);
    }
    write!(out, "{} octets", octets.len())?;
    for line in octets.chunks(LINE_OCTETS) {
        out.write_char('\n')?;
        indent(depth + 1, out)?;
        write_line(line, out)?;
    }
    Ok(())
}

/// The start of what cannot be read, on lines of its own.
pub(super) fn write_rest(octets: &[u8], depth: usize, out: &mut dyn Write) -> fmt::Result {
    let shown = octets.get(..REST_OCTETS_MAX).unwrap_or(octets);
    for line in shown.chunks(LINE_OCTETS) {
        indent(depth, out)?;
        write_line(line, out)?;
        out.write_char('\n')?;
    }
    if shown.len() < octets.len() {
        indent(depth, out)?;
        writeln!(out, "and {} octets more", octets.len() - shown.len())?;
    }
    Ok(())
}

fn write_line(octets: &[u8], out: &mut dyn Write) -> fmt::Result {
    for (index, octet) in octets.iter().enumerate() {
        let space = if index > 0 { " " } else { "" };
        write!(out, "{space}{octet:02x}")?;
    }
    let visible = !octets.is_empty() && octets.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ');
    match std::str::from_utf8(octets) {
        Ok(text) if visible => write!(out, " {text:?}"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_calendar() {
        #[track_caller]
        fn check(unix_seconds: i64, expected: &str) {
            let mut text = String::new();
            write_time(Time::from_unix_seconds(unix_seconds).unwrap(), &mut text).unwrap();
            assert_eq!(text, expected);
        }
        check(0, "1970-01-01T00:00:00Z");
        check(-61_505_152, "1968-01-20T03:14:08Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_790_000_000, "2026-09-21T14:13:20Z");
        check(2_085_978_496, "2036-02-07T06:28:16Z");
        check(4_107_542_399, "2100-02-28T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
        check(4_233_462_143, "2104-02-26T09:42:23Z");
    }
}
