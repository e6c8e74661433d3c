//! Recognises ASN.1 charging files, so that they are refused by name.

/// What ASN.1 the file begins with; `None` for text.
///
/// Records of 3GPP TS 32.298 in BER begin with a context-specific constructed
/// tag, whose bytes begin no UTF-8 text; files of TS 32.297 begin with their own
/// length and the length of their header.
pub(crate) fn recognise(start: &[u8]) -> Option<&'static str> {
    match start {
        [0xbf, 0x4e, ..] => Some("an S-GW record"),
        [0xbf, 0x4f, ..] => Some("a P-GW record"),
        [0xbf, 0x81, 0x48, ..] => Some("a CHF record"),
        [0xb4, ..] => Some("an SGSN record"),
        [0xa0..=0xbf, ..] => Some("a BER record"),
        // SEQUENCE or SET with a length of many bytes: no text has the second.
        [0x30 | 0x31, 0x80..=0x84, ..] => Some("a BER sequence"),
        [a, b, c, d, e, f, g, h, ..] => {
            let file = u32::from_be_bytes([*a, *b, *c, *d]);
            let header = u32::from_be_bytes([*e, *f, *g, *h]);
            ((20..=0xffff).contains(&header) && file >= header).then_some("a TS 32.297 file header")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::recognise;

    #[test]
    fn asn_1_is_told_from_text() {
        let check = |start: &[u8], expected| assert_eq!(recognise(start), expected, "{start:02x?}");
        check(&[0xbf, 0x4f, 0x82, 0x01, 0x00], Some("a P-GW record"));
        check(&[0xbf, 0x4e, 0x82, 0x01, 0x00], Some("an S-GW record"));
        check(&[0xbf, 0x81, 0x48, 0x82, 0x01], Some("a CHF record"));
        check(&[0xb4, 0x81, 0x90], Some("an SGSN record"));
        check(&[0xa1, 0x10], Some("a BER record"));
        check(&[0x30, 0x82, 0x01, 0x00], Some("a BER sequence"));
        check(&[0, 1, 0, 0, 0, 0, 0, 54], Some("a TS 32.297 file header"));
        check(b"record_id,imsi", None);
        check(b"0,1,2,3,4,5", None);
        check("\u{feff}record_id".as_bytes(), None);
        check("회선,imsi,start".as_bytes(), None);
        check(b"a", None);
        check(b"", None);
    }
}
