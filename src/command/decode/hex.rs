//! Octets out of hexadecimal text: plain, or a dump with offsets as `xxd`,
//! `hexdump -C` and Wireshark write it.

/// Octets on one line of a dump at most.
const LINE_OCTETS_MAX: usize = 256;

/// Octets that a squeezed dump may stand for.
const SQUEEZED_MAX: usize = 64 << 20;

/// Why a text is not octets; lines count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HexError {
    /// A character that has no place.
    #[error("line {line}: `{found}` is not hexadecimal")]
    Digit {
        /// The line.
        line: usize,
        /// The character.
        found: char,
    },
    /// Half an octet.
    #[error("line {line}: an odd number of digits")]
    Odd {
        /// The line.
        line: usize,
    },
    /// A dump that skips or repeats octets.
    #[error("line {line}: offset {offset:#x}, need {need:#x}")]
    Offset {
        /// The line.
        line: usize,
        /// The offset that stands there.
        offset: usize,
        /// Octets so far.
        need: usize,
    },
    /// A line of a dump without its offset.
    #[error("line {line}: a line of a dump starts with its offset")]
    NoOffset {
        /// The line.
        line: usize,
    },
}

/// The octets that `text` stands for.
pub(super) fn octets(text: &str) -> Result<Vec<u8>, HexError> {
    let first = text.lines().find(|line| !line.trim().is_empty());
    match first.and_then(dump_line) {
        Some((0, _)) => dump(text),
        _ => plain(text),
    }
}

/// Digits in pairs, with spaces, colons, commas and `0x` between them.
fn plain(text: &str) -> Result<Vec<u8>, HexError> {
    let mut octets = Vec::with_capacity(text.len() / 2);
    for (line, content) in (1..).zip(text.lines()) {
        let mut digits = content.chars().filter(|c| !c.is_whitespace() && !matches!(c, ':' | ',')).peekable();
        while let Some(first) = digits.next() {
            if first == '0' && digits.next_if(|c| matches!(c, 'x' | 'X')).is_some() {
                continue;
            }
            let high = digit(first, line)?;
            let low = digits.next().ok_or(HexError::Odd { line })?;
            octets.push(high << 4 | digit(low, line)?);
        }
    }
    Ok(octets)
}

fn digit(found: char, line: usize) -> Result<u8, HexError> {
    found.to_digit(16).map(|digit| digit as u8).ok_or(HexError::Digit { line, found })
}

/// Lines that start with their offset; an offset of 0 starts another dump.
fn dump(text: &str) -> Result<Vec<u8>, HexError> {
    let (mut octets, mut start, mut squeezed) = (Vec::new(), 0, false);
    let mut last: Vec<u8> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() {
            continue;
        }
        if content == "*" {
            squeezed = true;
            continue;
        }
        let (offset, rest) = dump_line(content).ok_or(HexError::NoOffset { line })?;
        let need = octets.len() - start;
        if std::mem::take(&mut squeezed) {
            let missing = offset.checked_sub(need).filter(|_| !last.is_empty() && offset <= SQUEEZED_MAX);
            let missing = missing.ok_or(HexError::Offset { line, offset, need })?;
            octets.extend(last.iter().cycle().take(missing));
        } else if offset == 0 {
            start = octets.len();
        } else if offset != need {
            return Err(HexError::Offset { line, offset, need });
        }
        last = columns(rest, line)?;
        octets.extend_from_slice(&last);
    }
    Ok(octets)
}

/// The offset of a dump's line, and what follows it: a colon, two spaces or
/// more, or one space and a single octet.
fn dump_line(line: &str) -> Option<(usize, &str)> {
    let line = line.trim();
    let digits = line.bytes().take_while(u8::is_ascii_hexdigit).count();
    let (offset, rest) = line.split_at(digits);
    let is_offset = (4..=8).contains(&digits);
    let after = match rest.strip_prefix(':') {
        Some(rest) => rest,
        None if rest.is_empty() || rest.starts_with("  ") => rest,
        None if rest.split_whitespace().next().is_some_and(|octet| octet.len() == 2) => rest,
        None => return None,
    };
    let offset = usize::from_str_radix(offset, 16).ok().filter(|_| is_offset)?;
    Some((offset, after))
}

/// The hexadecimal columns of a line, up to the text beside them: behind a
/// bar, behind a wide gap, or not hexadecimal. `xxd` writes groups and ends
/// them with two spaces; the others write single octets.
fn columns(rest: &str, line: usize) -> Result<Vec<u8>, HexError> {
    let rest = rest.split('|').next().unwrap_or_default();
    let mut octets = Vec::new();
    let rest = rest.trim_start();
    let groups_of_two = rest.bytes().take_while(u8::is_ascii_hexdigit).count() > 2;
    let end = if groups_of_two { "  " } else { "   " };
    let rest = rest.split(end).next().unwrap_or_default();
    for group in rest.split_whitespace() {
        let mut digits = group.chars();
        while let Some(high) = digits.next() {
            let low = digits.next().ok_or(HexError::Odd { line })?;
            octets.push(digit(high, line)? << 4 | digit(low, line)?);
        }
    }
    octets.truncate(LINE_OCTETS_MAX);
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[u8], &str>) {
        let got = octets(text).map_err(|error| error.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn plain_digits_may_be_spaced_in_any_way() {
        check("01000014", Ok(&[1, 0, 0, 0x14]));
        check("0x01 0x00\n00:14", Ok(&[1, 0, 0, 0x14]));
        check("01,00,ab AB", Ok(&[1, 0, 0xab, 0xab]));
        check("0100 0014", Ok(&[1, 0, 0, 0x14]));
        check("", Ok(&[]));
        check("01 0", Err("line 1: an odd number of digits"));
        check("01\n0g", Err("line 2: `g` is not hexadecimal"));
    }

    #[test]
    fn dumps_give_their_octets_and_not_their_text() {
        check("00000000: 0100 0014 ab    .....\n", Ok(&[1, 0, 0, 0x14, 0xab]));
        check("00000000  01 00 00 14  ab cd           |......|\n00000006\n", Ok(&[1, 0, 0, 0x14, 0xab, 0xcd]));
        check("0000   01 00 00 14   ab\n", Ok(&[1, 0, 0, 0x14]));
        check("0000   01 00\n0002   03 04\n\n0000   05 06", Ok(&[1, 0, 3, 4, 5, 6]));
        check("00000000  01 02\n*\n00000006  03\n", Ok(&[1, 2, 1, 2, 1, 2, 3]));
        check("0000 01 00\n0002 03 04\n", Ok(&[1, 0, 3, 4]));
        check("0000   01 00\n0004   03 04", Err("line 2: offset 0x4, need 0x2"));
        check("0000   01 00\nfoo", Err("line 2: a line of a dump starts with its offset"));
        check("0000: 01 00\n*\nffffffff: 00", Err("line 3: offset 0xffffffff, need 0x2"));
    }
}
