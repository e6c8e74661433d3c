//! Lines files and charging files over the in-memory store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use async_trait::async_trait;

use linegate::adapters::memory::MemoryStore;
use linegate::adapters::system::ManualClock;
use linegate::adapters::tariff_file;
use linegate::domain::billing::{CycleDays, account_charges};
use linegate::domain::cycle::Calendar;
use linegate::domain::line::{Line, LineState};
use linegate::domain::rating::request::{ChargeAnswer, ChargeRequest, Outcome, Phase, Used};
use linegate::domain::time::Timestamp;
use linegate::domain::usage::{Identifier, SuspenseReason, UsageRecord};
use linegate::ports::intake::{AccountIntake, IntakeError, UsageIntake};
use linegate::ports::relational::{DeviceReads, LineReads, Page};
use linegate::services::devices::{DeviceRegistry, DeviceSettings, Wanted};
use linegate::services::imports::{ImportError, ImportSettings, Imports, LinesReport, UsageReport, digest_of};

/// Charging that knows one line and counts each key once.
#[derive(Default)]
struct Charging {
    opened: Mutex<BTreeSet<String>>,
    charged: Mutex<BTreeMap<String, ChargeRequest>>,
    suspended: Mutex<Vec<UsageRecord>>,
    busy_left: AtomicU32,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
    down: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl AccountIntake for Charging {
    async fn open(&self, lines: Vec<Line>) -> Result<(), IntakeError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(IntakeError::Failed { operation: "open accounts", reason: "down".into() });
        }
        self.opened.lock().unwrap().extend(lines.iter().map(|l| l.account.to_string()));
        Ok(())
    }
}

#[async_trait]
impl UsageIntake for Charging {
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeAnswer, IntakeError> {
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if self.busy_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(IntakeError::Busy);
        }
        let known = request.subscribers.contains(&Identifier::imsi("450080000000001"));
        let repeated = self.charged.lock().unwrap().insert(request.key.to_string(), request).is_some();
        let suspense = (!known).then_some(SuspenseReason::UnknownLine);
        Ok(ChargeAnswer { repeated, suspense, ..ChargeAnswer::bare(Outcome::Success) })
    }

    async fn suspend(&self, record: UsageRecord) -> Result<ChargeAnswer, IntakeError> {
        let suspense = record.outcome.reason();
        self.suspended.lock().unwrap().push(record);
        Ok(ChargeAnswer { suspense, ..ChargeAnswer::bare(Outcome::Success) })
    }
}

struct House {
    store: Arc<MemoryStore>,
    charging: Arc<Charging>,
    devices: Arc<DeviceRegistry>,
    imports: Imports,
}

fn house_with(settings: ImportSettings) -> House {
    let store = Arc::new(MemoryStore::new());
    let charging = Arc::new(Charging::default());
    let tariff = tariff_file::shipped().unwrap().into();
    let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-10-20T00:00:00Z").unwrap()));
    let (accounts, usage) = (Arc::clone(&charging) as _, Arc::clone(&charging) as _);
    let devices = crate::devices::registry(&store, &clock, DeviceSettings::default());
    let imports =
        Imports::new(Arc::clone(&store) as _, accounts, usage, Arc::clone(&devices), tariff, clock, settings).unwrap();
    House { store, charging, devices, imports }
}

fn house() -> House {
    house_with(ImportSettings { batch_lines: 2, outstanding_max: 3, busy_pause_ms: 0, ..ImportSettings::default() })
}

fn source(text: &str) -> Box<dyn Read + Send> {
    Box::new(std::io::Cursor::new(text.as_bytes().to_vec()))
}

impl House {
    async fn lines(&self, text: &str) -> Result<LinesReport, ImportError> {
        self.imports.import_lines(source(text), &|_| {}).await
    }

    async fn usage(&self, text: &str) -> Result<UsageReport, ImportError> {
        let digest = digest_of(text.as_bytes()).unwrap();
        self.imports.import_usage("usage.csv", &digest, source(text), &|_| {}).await
    }
}

const LINES_HEADER: &str = "line_id,customer_id,access,imsi,msisdn,device_id,apns,plan,state";
const LINES: &str = "\
L1,C1,cellular,450080000000001,821000000001,M1,iot.example,iot-payg,active
L2,C1,cellular,450080000000002,821000000002,M2,iot.example;IoT.Example,iot-10mb,suspended
L3,C2,internet,,,,,internet-500m,active
L4,C3,tv,,,,,tv-basic,terminated
\"L5\",\"C,3\",cellular,450080000000005,,,,iot-capped,active
";

#[tokio::test]
async fn lines_of_an_existing_network_move_in_once() {
    let house = house();
    let file = format!("{LINES_HEADER}\n{LINES}");
    let report = house.lines(&file).await.unwrap();
    assert_eq!(report, LinesReport { rows: 5, imported: 5, enrolled: 2, ..LinesReport::default() });
    let again = house.lines(&file).await.unwrap();
    assert_eq!(again, LinesReport { rows: 5, existing: 5, ..LinesReport::default() });
    assert_eq!(house.charging.opened.lock().unwrap().len(), 5);
    let fifth = house.store.line(&"L5".into()).await.unwrap().unwrap();
    assert_eq!(fifth.customer.as_str(), "C,3");
    assert_eq!(fifth.profile.apns, [linegate::domain::ids::Apn::from("iot.example")], "the plan's own");
    let more = format!("{file}L6,C9,tv,,,,,tv-basic,active\n");
    let third = house.lines(&more).await.unwrap();
    assert_eq!((third.rows, third.imported, third.existing), (6, 1, 5));
}

#[tokio::test]
async fn a_modem_that_moves_in_is_enrolled_by_the_certificate_of_its_name_once() {
    let house = house();
    let file = format!("{LINES_HEADER}\n{LINES}");
    let stored = async || house.store.device_list(Page { offset: 0, limit: 10 }).await.unwrap().items;
    house.devices.enrol("M1".into(), Wanted::Token, "kim").await.unwrap();
    let name = Wanted::Certificate(Some("M2".into()));
    house.devices.enrol("other".into(), name, "kim").await.unwrap();
    house.devices.revoke("M1".into(), "kim").await.unwrap();
    let before = stored().await;
    let report = house.lines(&file).await.unwrap();
    assert_eq!((report.imported, report.enrolled, report.bad), (5, 0, 1), "{report:?}");
    assert_eq!(report.bad_rows[0].row, 2);
    assert!(report.bad_rows[0].reason.contains("device `other`"), "{report:?}");
    assert_eq!(stored().await, before, "a known device is left as it is, a revoked one too");

    let more = format!("{file}L7,C9,cellular,450080000000007,,M7,,iot-payg,active\n");
    assert_eq!(house.lines(&more).await.unwrap().enrolled, 1);
    let first = house.store.devices(&["M7".into()]).await.unwrap();
    assert_eq!(first[0].certificate_name.as_ref().map(|n| n.as_str()), Some("M7"));
    assert_eq!((first[0].epoch, first[0].imported, &first[0].token), (1, true, &None));
    assert_eq!(house.lines(&more).await.unwrap().enrolled, 0);
    assert_eq!(house.store.devices(&["M7".into()]).await.unwrap(), first);
}

#[tokio::test]
async fn a_line_that_moved_in_pays_its_month_and_no_activation() {
    let house = house();
    house.lines(&format!("{LINES_HEADER}\n{LINES}")).await.unwrap();
    let days = CycleDays::of(&Calendar::new(1, "Asia/Seoul").unwrap(), "2026-10".parse().unwrap());
    let tariff = tariff_file::shipped().unwrap().into();
    for (line, expected) in [("L1", vec![550]), ("L2", vec![]), ("L3", vec![33_000]), ("L4", vec![])] {
        let stored = house.store.line(&line.into()).await.unwrap().unwrap();
        let charges = account_charges(&[stored], Vec::new(), &days, &tariff).unwrap();
        assert_eq!(charges.iter().map(|c| c.amount).collect::<Vec<_>>(), expected, "{line}");
    }
    let suspended = house.store.line(&"L2".into()).await.unwrap().unwrap();
    assert_eq!((suspended.actual, suspended.intended), (LineState::Suspended, LineState::Suspended));
}

#[tokio::test]
async fn a_bad_row_is_reported_with_number_and_reason_and_the_others_go_in() {
    let table = [
        ("L1,C1,cellular,450080000000001,,,,iot-payg,active", ""),
        ("L2,C1,satellite,450080000000002,,,,iot-payg,active", "access `satellite`"),
        ("L3,C1,cellular,4500800x0000003,,,,iot-payg,active", "imsi `4500800x0000003`"),
        ("L4,C1,cellular,,,,,iot-payg,active", "needs an imsi"),
        ("L5,C1,cellular,450080000000005,,,,iot-gold,active", "plan `iot-gold`"),
        ("L6,C1,tv,,,,,internet-500m,active", "plan `internet-500m` is for internet"),
        ("L7,C1,tv,,,,,tv-basic,gone", "state `gone`"),
        ("L7,C1,cellular,450080000000007,,a/b,,iot-payg,active", "device_id `a/b`"),
        (",C1,tv,,,,,tv-basic,active", "line_id"),
        ("L8,C1,tv", "3 fields"),
        ("L1,C1,cellular,450080000000009,,,,iot-payg,active", "L1"),
        ("L9,C1,cellular,450080000000001,,,,iot-payg,active", "same imsi"),
        ("\"L10,C1,tv,,,,,tv-basic,active", "fields"),
        ("L11,C1,tv,,,,,tv-basic,active", ""),
    ];
    let house = house();
    let rows: Vec<&str> = table.iter().map(|(row, _)| *row).collect();
    let report = house.lines(&format!("{LINES_HEADER}\r\n{}\r\n", rows.join("\r\n"))).await.unwrap();
    assert_eq!((report.rows, report.imported), (14, 2), "{:?}", report.bad_rows);
    let mut expected = table.iter().enumerate().filter(|(_, (_, reason))| !reason.is_empty());
    let mut found = report.bad_rows.clone();
    found.sort_by_key(|b| b.row);
    for bad in &found {
        let (at, (_, reason)) = expected.next().unwrap();
        assert_eq!(bad.row, u64::try_from(at + 1).unwrap());
        assert!(bad.reason.contains(reason), "row {}: `{}` lacks `{reason}`", bad.row, bad.reason);
    }
    assert_eq!(report.bad, 12);
}

#[tokio::test]
async fn an_import_that_stopped_before_the_accounts_were_open_opens_them_the_next_time() {
    let house = house();
    let file = format!("{LINES_HEADER}\n{LINES}");
    house.charging.down.store(true, Ordering::SeqCst);
    assert!(matches!(house.lines(&file).await, Err(ImportError::Charging(_))));
    house.charging.down.store(false, Ordering::SeqCst);
    let report = house.lines(&file).await.unwrap();
    assert_eq!((report.imported, report.existing), (3, 2));
    assert_eq!(house.charging.opened.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn another_header_is_refused_by_name() {
    let error = house().lines("id,customer\nL1,C1\n").await.unwrap_err().to_string();
    assert!(error.contains("`id,customer`") && error.contains(LINES_HEADER), "{error}");
}

const USAGE_HEADER: &str = "record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down";

fn usage_row(id: &str, imsi: &str, octets: &str) -> String {
    format!("{id},{imsi},,iot.example,10,2026-10-02T00:00:00Z,2026-10-02T00:01:00Z,{octets},5\n")
}

#[tokio::test]
async fn a_charging_file_is_taken_once() {
    let house = house();
    let known = "450080000000001";
    let rows: String = (0..20).map(|n| usage_row(&format!("r{n}"), known, "100")).collect();
    let strange = usage_row("s1", "450080000000777", "100");
    let bad = usage_row("b1", known, "many");
    let file = format!("{USAGE_HEADER}\n{rows}{strange}{bad}");
    house.charging.busy_left.store(5, Ordering::SeqCst);
    let report = house.usage(&file).await.unwrap();
    assert_eq!((report.rows, report.rated, report.repeated, report.bad), (22, 20, 0, 1));
    assert_eq!(report.suspense, BTreeMap::from([("bad-record".to_owned(), 1), ("unknown-line".to_owned(), 1)]));
    assert_eq!(report.bad_rows[0].row, 22);
    assert!(report.bad_rows[0].reason.contains("octets_up"), "{:?}", report.bad_rows);
    assert!(house.charging.at_once_max.load(Ordering::SeqCst) <= 3, "outstanding_max holds");

    let before = house.charging.charged.lock().unwrap().len();
    let again = house.usage(&file).await.unwrap();
    assert_eq!(again, UsageReport { already_imported: true, ..report });
    assert_eq!(house.charging.charged.lock().unwrap().len(), before);
}

#[tokio::test]
async fn a_corrected_file_debits_only_what_is_new() {
    let house = house();
    let known = "450080000000001";
    let first = format!("{USAGE_HEADER}\n{}{}", usage_row("r1", known, "100"), usage_row("r2", known, "oops"));
    let corrected = first.replace("oops", "200");
    assert_eq!(house.usage(&first).await.unwrap().rated, 1);
    let report = house.usage(&corrected).await.unwrap();
    assert_eq!((report.rated, report.repeated, report.bad), (1, 1, 0));
    let charged = house.charging.charged.lock().unwrap();
    let request = &charged["file/id/r2"];
    assert_eq!(request.phase, Phase::Event);
    assert_eq!((request.groups[0].used, request.groups[0].rating_group), (Some(Used::both_ways(200, 5)), 10));
    assert_eq!(request.ends, Timestamp::parse("2026-10-02T00:01:00Z").unwrap());
}

#[tokio::test]
async fn without_record_ids_the_row_of_the_file_is_the_key() {
    let mut settings = ImportSettings::default();
    settings.usage_mapping.optional = vec!["record_id".to_owned()];
    let house = house_with(settings);
    let row = "450080000000001,,iot.example,10,2026-10-02T00:00:00Z,2026-10-02T00:01:00Z,1,2\n";
    let file = format!("imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down\n{row}{row}");
    let report = house.usage(&file).await.unwrap();
    assert_eq!((report.rated, report.repeated), (2, 0));
    let digest = digest_of(file.as_bytes()).unwrap();
    assert!(house.charging.charged.lock().unwrap().contains_key(&format!("file/row/{digest}/2")));
}

#[tokio::test]
async fn a_file_that_breaks_off_is_not_remembered_as_imported() {
    struct BreaksOff(std::io::Cursor<Vec<u8>>);
    impl Read for BreaksOff {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::other("the disk is gone")),
                n => Ok(n),
            }
        }
    }
    let house = house();
    let text = format!("{USAGE_HEADER}\n{}", usage_row("r1", "450080000000001", "100"));
    let digest = digest_of(text.as_bytes()).unwrap();
    let broken = Box::new(BreaksOff(std::io::Cursor::new(text.clone().into_bytes())));
    let error = house.imports.import_usage("usage.csv", &digest, broken, &|_| {}).await.unwrap_err();
    assert!(matches!(error, ImportError::Source { .. }), "{error}");
    let report = house.usage(&text).await.unwrap();
    assert!(!report.already_imported);
    assert_eq!(report.rated + report.repeated, 1);
}

#[tokio::test]
async fn a_file_in_another_format_is_refused_by_name() {
    let error = house().usage("\u{1}\u{2}\u{3}").await.unwrap_err();
    assert!(matches!(error, ImportError::UsageFile { .. }), "{error}");
}

#[tokio::test]
async fn a_bad_row_waits_in_suspense_and_its_correction_is_charged_once() {
    let settings = ImportSettings { suspended_rows_max: 2, ..ImportSettings::default() };
    let house = house_with(settings);
    let known = "450080000000001";
    let rows = ["r1", "r2", "r3"].map(|id| usage_row(id, known, "many")).concat();
    let report = house.usage(&format!("{USAGE_HEADER}\n{rows}")).await.unwrap();
    assert_eq!((report.bad, report.suspense["bad-record"]), (3, 2), "the rest is only reported");
    let suspended = house.charging.suspended.lock().unwrap().clone();
    let first = &suspended[0];
    assert_eq!((first.key.to_string().as_str(), first.rating_group), ("file/id/r1", 10));
    let detail = first.detail.as_deref().unwrap();
    assert!(detail.contains("octets_up") && detail.contains("many"), "{detail}");
    let corrected = format!("{USAGE_HEADER}\n{}", usage_row("r1", known, "100"));
    for repeated in [false, true] {
        assert_eq!(house.imports.corrected_row(first, &corrected).await.unwrap().repeated, repeated);
    }
    for bad in [rows.as_str(), USAGE_HEADER, &format!("{corrected}{}", usage_row("r2", known, "1"))] {
        let refused = house.imports.corrected_row(first, bad).await;
        assert!(matches!(refused, Err(ImportError::CorrectedRow { .. })), "{refused:?}");
    }
}
