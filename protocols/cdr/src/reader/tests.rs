use proptest::prelude::*;

use super::*;

const HEADER: &str = "record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down";
const GOOD: &str =
    "r1,450080000000001,821012345678,iot.example,100,2026-11-01T00:00:00Z,2026-11-01T00:01:00+00:00,10,20";

fn read(file: &str) -> Vec<Result<Row, RowError>> {
    Reader::new(file.as_bytes(), &Mapping::default(), Limits::default()).unwrap().collect()
}

fn good() -> Row {
    Row {
        row_number: 1,
        record_id: Some("r1".into()),
        imsi: Some("450080000000001".into()),
        msisdn: Some("821012345678".into()),
        apn: Some("iot.example".into()),
        rating_group: Some(100),
        start_ms: 1_793_491_200_000,
        end_ms: 1_793_491_260_000,
        octets_up: 10,
        octets_down: Some(20),
        network: None,
    }
}

#[test]
fn a_row_is_read_whatever_the_line_ends() {
    for file in [
        format!("{HEADER}\n{GOOD}\n"),
        format!("{HEADER}\n{GOOD}"),
        format!("{HEADER}\r\n{GOOD}\r\n\r\n"),
        format!("\u{feff}{HEADER}\n\n{GOOD}\n"),
        format!("{HEADER}\n{}\n", GOOD.replace("iot.example", "\"iot.example\"")),
        format!("{HEADER}\n{}\n", GOOD.replace(",8210", ", +8210")),
    ] {
        assert_eq!(read(&file), [Ok(good())], "{file}");
    }
}

#[test]
fn what_may_be_empty_is_none() {
    let row = ",450080000000001,,,,2026-11-01T09:00:00+09:00,2026-11-01T00:00:00Z,0,0";
    let expected = Row {
        record_id: None,
        msisdn: None,
        apn: None,
        rating_group: None,
        end_ms: good().start_ms,
        octets_up: 0,
        octets_down: Some(0),
        ..good()
    };
    assert_eq!(read(&format!("{HEADER}\n{row}")), [Ok(expected)]);
}

#[test]
fn the_serving_network_is_read_where_it_is_mapped() {
    let mut mapping = Mapping::default();
    mapping.columns.network = "plmn".into();
    for (field, expected) in
        [("45008", Some("45008")), ("450-08", Some("450-08")), ("310410", Some("310410")), ("", None)]
    {
        let file = format!("{HEADER},plmn\n{GOOD},{field}\n");
        let mut rows = Reader::new(file.as_bytes(), &mapping, Limits::default()).unwrap();
        assert_eq!(rows.next().unwrap().unwrap().network.as_deref(), expected, "{field}");
    }
    for bad in ["4500", "450-0008", "4500x", "45-008"] {
        let file = format!("{HEADER},plmn\n{GOOD},{bad}\n");
        let mut rows = Reader::new(file.as_bytes(), &mapping, Limits::default()).unwrap();
        let error = rows.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("plmn") && error.contains(bad), "{error}");
    }
    assert!(matches!(
        Reader::new(HEADER.as_bytes(), &mapping, Limits::default()),
        Err(crate::FileError::MissingColumn(column)) if column == "plmn"
    ));
    mapping.optional = vec!["network".into()];
    assert!(Reader::new(HEADER.as_bytes(), &mapping, Limits::default()).is_ok());
}

#[test]
fn a_bad_row_is_named_and_the_others_go_on() {
    let check = |from: &str, to: &str, reason: &str| {
        let bad = GOOD.replace(from, to);
        assert_ne!(bad, GOOD, "{from}");
        let mut rows = read(&format!("{HEADER}\n{GOOD}\n{bad}\n{GOOD}\n")).into_iter();
        assert_eq!(rows.next(), Some(Ok(good())));
        let error = rows.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), format!("read row 2: {reason}"));
        let last = Row { row_number: 3, ..good() };
        assert_eq!(rows.next(), Some(Ok(last)));
        assert_eq!(rows.next(), None);
    };
    let octets = "is not a whole number from 0 to 9223372036854775807";
    check(",10,20", ",10,-20", &format!("octets_down: \"-20\" {octets}"));
    check(",10,20", ",10,+20", &format!("octets_down: \"+20\" {octets}"));
    check(",10,20", ",10,1.5", &format!("octets_down: \"1.5\" {octets}"));
    check(",10,20", ",10,99999999999999999999", &format!("octets_down: \"99999999999999999999\" {octets}"));
    check(",10,20", ",10,9223372036854775807", "octets up and down together are over 9223372036854775807");
    check(",10,20", ",10,", "octets_down: empty");
    check(",10,20", ",10", "8 fields, the header has 9");
    check(",10,20", ",10,20,1", "10 fields, the header has 9");
    check(",100,", ",4294967296,", "rating_group: \"4294967296\" is not a whole number from 0 to 4294967295");
    check(",100,", ",-1,", "rating_group: \"-1\" is not a whole number from 0 to 4294967295");
    check("450080000000001", "45008", "imsi: \"45008\" is not 6 to 15 digits");
    check("450080000000001", "45008x000", "imsi: \"45008x000\" is not 6 to 15 digits");
    check("821012345678", "++82101234", "msisdn: \"++82101234\" is not 5 to 15 digits");
    check("450080000000001,821012345678", ",", "neither imsi nor msisdn");
    check("00:01:00+00:00", "00:01:00", "end: \"2026-11-01T00:01:00\" is not an RFC 3339 time");
    check("2026-11-01T00:00:00Z", "2026-13-01T00:00:00Z", "start: \"2026-13-01T00:00:00Z\" is not an RFC 3339 time");
    check("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "end is before start");
    check("iot.example", "\"iot.example", "quotes do not match up");
    check("iot.example", "\"iot\".example", "quotes do not match up");
    check("iot.example", &"x".repeat(70_000), "longer than 65536 bytes");
}

#[test]
fn a_row_that_is_not_utf_8_is_named() {
    let mut file = format!("{HEADER}\n{GOOD}\n").into_bytes();
    let at = file.len() - 30;
    file[at] = 0xff;
    file.extend_from_slice(GOOD.as_bytes());
    let rows: Vec<_> = Reader::new(&file[..], &Mapping::default(), Limits::default()).unwrap().collect();
    let RowError { row_number, reason, record_id, .. } = rows[0].clone().unwrap_err();
    assert_eq!((row_number, reason, record_id), (1, RowErrorReason::NotUtf8, None));
    assert_eq!(rows[1], Ok(Row { row_number: 2, ..good() }));
}

#[test]
fn a_bad_file_is_refused_once_and_by_name() {
    let check = |file: &[u8], expected: &str| {
        let error = Reader::new(file, &Mapping::default(), Limits::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(b"", "the file is empty");
    check(HEADER.replace(",end", "").as_bytes(), "column \"end\" is missing");
    check(HEADER.replace("apn", "imsi").as_bytes(), "column \"imsi\" stands twice");
    check(b"\xbf\x4f\x82\x01\x00", "TS 32.298: a P-GW record");
    check(b"\x1f\x8b\x08\x00", "gzip file");
    check(b"\xff\xfe", "not UTF-8");
    check(b"\"record_id", "quotes do not match up");
    check(&[b'x'; 70_000], "longer than 65536 bytes");
}

#[test]
fn a_mapping_serves_another_layout() {
    let mapping: Mapping = toml::from_str(
        r#"
        delimiter = ";"
        optional = ["record_id", "msisdn", "rating_group"]
        [columns]
        imsi = "IMSI"
        start = "from"
        end = "to"
        octets_up = "ul"
        octets_down = "dl"
        "#,
    )
    .unwrap();
    let file = "cell;dl;ul;to;from;apn;IMSI\n\
        7;20;10;2026-11-01T00:01:00Z;2026-11-01T00:00:00Z;iot.example;450080000000001\n";
    let expected = Row { record_id: None, msisdn: None, rating_group: None, ..good() };
    let rows: Vec<_> = Reader::new(file.as_bytes(), &mapping, Limits::default()).unwrap().collect();
    assert_eq!(rows, [Ok(expected)]);
    let nobody = Mapping { optional: vec!["imsi".into(), "msisdn".into()], ..Mapping::default() };
    let file = HEADER.replace("imsi,msisdn,", "");
    let error = Reader::new(file.as_bytes(), &nobody, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("\"imsi or msisdn\" is missing"), "{error}");
}

#[test]
fn a_file_without_a_header_is_read_by_places_in_its_own_units() {
    let mapping: Mapping = toml::from_str(
        r#"
        delimiter = "|"
        header = false
        time = "%Y%m%d%H%M%S"
        zone = "Asia/Seoul"
        octets_unit = 1000
        optional = ["msisdn", "rating_group", "octets_down"]
        [columns]
        record_id = "1"
        imsi = "3"
        apn = "4"
        start = "5"
        end = "6"
        octets_up = "7"
        "#,
    )
    .unwrap();
    let file = "r1|x|450080000000001|iot.example|20261101090000|20261101090100|10\nr2|x|450080000000001\n";
    let rows: Vec<_> = Reader::new(file.as_bytes(), &mapping, Limits::default()).unwrap().collect();
    let expected = Row { msisdn: None, rating_group: None, octets_up: 10_000, octets_down: None, ..good() };
    assert_eq!(rows[0], Ok(expected));
    assert_eq!(rows[1].as_ref().unwrap_err().to_string(), "read row 2: start (column 5): empty");
}

#[test]
fn a_bad_mapping_is_refused() {
    let check = |mapping: Mapping, expected: &str| {
        let error = Reader::new(HEADER.as_bytes(), &mapping, Limits::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    let optional = |name: &str| Mapping { optional: vec![name.into()], ..Mapping::default() };
    check(optional("start"), "\"start\" cannot be left out");
    check(optional("iccid"), "\"iccid\" is not a column");
    check(Mapping { delimiter: '"', ..Mapping::default() }, "delimiter");
    check(Mapping { delimiter: 'é', ..Mapping::default() }, "delimiter");
    check(Mapping { header: false, ..Mapping::default() }, "columns.record_id: \"record_id\" is not a place");
    check(Mapping { octets_unit: 0, ..Mapping::default() }, "octets_unit 0");
    check(Mapping { zone: "Seoul".into(), ..Mapping::default() }, "zone \"Seoul\"");
    check(Mapping { time: "%Y".into(), ..Mapping::default() }, "time \"%Y\"");
    assert!(toml::from_str::<Mapping>("delimeter = ','").is_err());
}

#[test]
fn a_source_that_fails_ends_the_rows() {
    struct Failing<'a>(&'a [u8]);

    impl Read for Failing<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(std::io::Error::other("cable pulled")),
                len => Ok(len),
            }
        }
    }

    let file = format!("{HEADER}\n{GOOD}\n");
    let mut reader = Reader::new(Failing(file.as_bytes()), &Mapping::default(), Limits::default()).unwrap();
    assert_eq!(reader.next(), Some(Ok(good())));
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "read row 2: source failed: cable pulled");
    assert_eq!(reader.next(), None);
}

proptest! {
    #[test]
    fn arbitrary_files_never_panic(bytes: Vec<u8>, rows in "[0-9a-z,\"\r\n:TZ+-]{0,200}") {
        if let Ok(reader) = Reader::new(&bytes[..], &Mapping::default(), Limits::default()) {
            reader.for_each(drop);
        }
        let file = format!("{HEADER}\n{rows}");
        let limits = Limits { row_bytes_max: 80 };
        Reader::new(file.as_bytes(), &Mapping::default(), limits).unwrap().for_each(drop);
    }
}

#[test]
fn a_bad_row_is_shown_with_what_can_be_read_of_it() {
    let bad = GOOD.replace(GOOD.rsplit(',').next().unwrap(), "many");
    let file = format!("{HEADER}\n{bad}\n");
    let mut rows = Reader::new(file.as_bytes(), &Mapping::default(), Limits::default()).unwrap();
    let error = rows.next().unwrap().unwrap_err();
    assert_eq!((error.text, error.record_id, error.rating_group), (bad, good().record_id, good().rating_group));
}
