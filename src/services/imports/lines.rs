//! Moving the lines of an existing network in.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Read};

use tokio::sync::mpsc;

use super::{BadRow, ImportError, ImportListener, Imports, LinesReport};
use crate::domain::device::is_device_id;
use crate::domain::ids::{AccountId, Apn, CustomerId, DeviceId, LineId, PlanId};
use crate::domain::line::{Access, Line, LineState, Period, PlanPeriod, Profile};
use crate::domain::tariff::Tariff;
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::{StoreError, Write};

/// The header of a lines file. `apns` are separated by `;`; `access` is
/// `cellular`, `internet` or `tv`; `state` is `active`, `suspended` or `terminated`.
pub const HEADER: &str = "line_id,customer_id,access,imsi,msisdn,device_id,apns,plan,state";
const COLUMNS: usize = 9;
/// Longest value of a field, characters.
const FIELD_CHARS_MAX: usize = 128;
/// Chunks read ahead of the store.
const CHUNKS_AHEAD: usize = 2;

/// Rows with their numbers; a row is a line of text or why it is none.
type Chunk = Vec<(u64, Result<Row, String>)>;

pub(super) async fn import(
    imports: &Imports,
    source: Box<dyn Read + Send>,
    listener: ImportListener<'_>,
) -> Result<LinesReport, ImportError> {
    let mut chunks = read_ahead(imports, source);
    let mut report = LinesReport::default();
    // IMSIs as numbers: 16 bytes a line at most, bounded by `rows_max`.
    let mut imsis: HashSet<u64> = HashSet::new();
    while let Some(chunk) = chunks.recv().await {
        let mut batch: BTreeMap<LineId, (u64, Line)> = BTreeMap::new();
        let (book, now) = (imports.tariff.book(), imports.clock.now());
        for (number, row) in chunk? {
            report.rows += 1;
            if report.rows > imports.settings.rows_max {
                return Err(ImportError::TooManyRows { max: imports.settings.rows_max });
            }
            let line = row.and_then(|row| line_of(row, book.at(now), imports.in_service_since, now));
            match line.and_then(|line| is_new(line, &batch, &mut imsis)) {
                Ok(line) => {
                    batch.insert(line.id.clone(), (number, line));
                }
                Err(reason) => note_bad(imports, &mut report, number, reason),
            }
        }
        store(imports, batch, &mut report).await?;
        listener(report.rows);
    }
    Ok(report)
}

/// The fields of a row, as they came.
struct Row([String; COLUMNS]);

/// Reads the file on a thread of its own, because it may block.
fn read_ahead(imports: &Imports, source: Box<dyn Read + Send>) -> mpsc::Receiver<Result<Chunk, ImportError>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let (rows_max, bytes_max) = (imports.settings.batch_lines.max(1), imports.settings.row_bytes_max.max(HEADER.len()));
    tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::with_capacity(64 << 10, source);
        let mut number = 0;
        let failed = |reason: String| ImportError::Source { file: "of lines".to_owned(), reason };
        let header = match next_line(&mut reader, bytes_max) {
            Ok(line) => line.and_then(Result::ok).unwrap_or_default(),
            Err(e) => {
                // The receiver is gone only when the import has ended.
                let _ = sender.blocking_send(Err(failed(e.to_string())));
                return;
            }
        };
        let found = header.trim_start_matches('\u{feff}').trim();
        if found != HEADER {
            let found = found.chars().take(FIELD_CHARS_MAX).collect();
            let _ = sender.blocking_send(Err(ImportError::Header { found, expected: HEADER }));
            return;
        }
        loop {
            let mut chunk = Chunk::new();
            while chunk.len() < rows_max {
                match next_line(&mut reader, bytes_max) {
                    Ok(None) => break,
                    Ok(Some(Ok(text))) if text.trim().is_empty() => {}
                    Ok(Some(line)) => {
                        number += 1;
                        chunk.push((number, line.and_then(|text| fields(&text))));
                    }
                    Err(e) => {
                        let _ = sender.blocking_send(Err(failed(e.to_string())));
                        return;
                    }
                }
            }
            if chunk.is_empty() || sender.blocking_send(Ok(chunk)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next line without its end, or why it is no text; `None` at the end.
fn next_line(reader: &mut impl BufRead, bytes_max: usize) -> std::io::Result<Option<Result<String, String>>> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    if reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') && bytes.len() >= bytes_max {
        reader.skip_until(b'\n')?;
        return Ok(Some(Err(format!("longer than {bytes_max} bytes"))));
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned());
    Ok(Some(text.map(|t| t.trim_end_matches(['\r', '\n']).to_owned())))
}

/// A row is one line: a quote that is never closed spoils one row and not the rest.
fn fields(text: &str) -> Result<Row, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .buffer_capacity(512)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|e| e.to_string())?;
    if record.len() != COLUMNS {
        return Err(format!("{} fields, the header has {COLUMNS}", record.len()));
    }
    if let Some(long) = record.iter().find(|f| f.chars().count() > FIELD_CHARS_MAX) {
        let start: String = long.chars().take(32).collect();
        return Err(format!("`{start}…` is longer than {FIELD_CHARS_MAX} characters"));
    }
    Ok(Row(std::array::from_fn(|i| record.get(i).unwrap_or_default().to_owned())))
}

/// The line that a row stands for, or what is wrong with it.
fn line_of(row: Row, tariff: &Tariff, since: Timestamp, now: Timestamp) -> Result<Line, String> {
    let [id, customer, access, imsi, msisdn, device, apns, plan, state] = row.0;
    if id.is_empty() || customer.is_empty() {
        return Err("line_id and customer_id must not be empty".to_owned());
    }
    let access: Access = access.parse().map_err(|()| format!("access `{access}` is not cellular, internet or tv"))?;
    let plan = PlanId::from(plan);
    let offer = tariff.plan(&plan).ok_or_else(|| format!("plan `{plan}` is not in the tariff"))?;
    if offer.access != access {
        return Err(format!("plan `{plan}` is for {}, the line is {}", offer.access.as_str(), access.as_str()));
    }
    let state = match state.as_str() {
        "active" => LineState::Active,
        "suspended" => LineState::Suspended,
        "terminated" => LineState::Terminated,
        _ => return Err(format!("state `{state}` is not active, suspended or terminated")),
    };
    let imsi = digits("imsi", imsi, 6..=15)?;
    if access == Access::Cellular && imsi.is_none() {
        return Err("a cellular line needs an imsi".to_owned());
    }
    let named: Vec<Apn> = apns.split(';').map(str::trim).filter(|a| !a.is_empty()).map(Apn::from).collect();
    let profile = Profile {
        access,
        imsi,
        msisdn: digits("msisdn", msisdn, 5..=15)?,
        device: device_id(device)?,
        apns: if named.is_empty() { offer.apns.clone() } else { named },
        plan,
        source: None,
        address: None,
        email: None,
        phone: None,
    };
    Ok(in_service(LineId::from(id), CustomerId::from(customer), profile, state, since, now))
}

/// A line that has been in `state` since `since`. That lies before `created`,
/// which is how billing knows that it pays no activation fee.
fn in_service(
    id: LineId,
    customer: CustomerId,
    profile: Profile,
    state: LineState,
    since: Timestamp,
    now: Timestamp,
) -> Line {
    let span = Interval::starting(since.min(now));
    let is_ended = state == LineState::Terminated;
    let plans = if is_ended { Vec::new() } else { vec![PlanPeriod { plan: profile.plan.clone(), span }] };
    Line {
        account: AccountId::from(id.as_str()),
        id,
        customer,
        profile,
        intended: state,
        actual: state,
        element: None,
        desired_version: 0,
        last_order: None,
        queue: Vec::new(),
        reconnects: None,
        periods: vec![Period { state, span }],
        plans,
        created: now,
        version: 0,
    }
}

fn digits(column: &str, text: String, length: std::ops::RangeInclusive<usize>) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if !length.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{column} `{text}` is not {} to {} digits", length.start(), length.end()));
    }
    Ok(Some(text))
}

fn device_id(text: String) -> Result<Option<DeviceId>, String> {
    match text.as_str() {
        "" => Ok(None),
        id if is_device_id(id) => Ok(Some(DeviceId::from(text))),
        other => Err(format!("device_id `{other}` is not 1 to 64 of A-Z a-z 0-9 . _ : -")),
    }
}

/// Refuses a row whose line or IMSI stood in the file before.
fn is_new(line: Line, batch: &BTreeMap<LineId, (u64, Line)>, imsis: &mut HashSet<u64>) -> Result<Line, String> {
    if let Some((first, _)) = batch.get(&line.id) {
        return Err(format!("line_id `{}` stands in row {first} already", line.id));
    }
    if line.actual == LineState::Terminated {
        return Ok(line);
    }
    // A leading 1 keeps the leading zeros; 15 digits and it fit into 64 bits.
    let number = line.profile.imsi.as_ref().and_then(|i| format!("1{i}").parse().ok());
    match number {
        Some(number) if !imsis.insert(number) => Err("another row has the same imsi".to_owned()),
        _ => Ok(line),
    }
}

/// Stores the lines of a batch that are new, then opens their accounts and enrols
/// their modems, and those of lines that are here already: an import that stopped
/// in between goes on with the rest.
async fn store(
    imports: &Imports,
    batch: BTreeMap<LineId, (u64, Line)>,
    report: &mut LinesReport,
) -> Result<(), ImportError> {
    if batch.is_empty() {
        return Ok(());
    }
    let rows: BTreeMap<DeviceId, u64> =
        batch.values().filter_map(|(row, line)| Some((line.profile.device.clone()?, *row))).collect();
    let lines = store_lines(imports, batch, report).await?;
    let devices: BTreeSet<DeviceId> = lines.iter().filter_map(|line| line.profile.device.clone()).collect();
    imports.accounts.open(lines).await?;
    let imported = imports.devices.import(devices).await?;
    report.enrolled += imported.enrolled;
    for (device, holder) in imported.refused {
        let row = rows.get(&device).copied().unwrap_or_default();
        let reason = format!("device `{device}` is not enrolled: its certificate name is device `{holder}`'s");
        note_bad(imports, report, row, reason);
    }
    Ok(())
}

/// Stores the new ones of a batch; gives every line of it that is here now.
async fn store_lines(
    imports: &Imports,
    batch: BTreeMap<LineId, (u64, Line)>,
    report: &mut LinesReport,
) -> Result<Vec<Line>, ImportError> {
    let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
    let writes = batch.values().map(|(_, line)| Write::Line(line.clone())).collect();
    match imports.store.save(writes).await {
        Ok(()) => {
            report.imported += count;
            return Ok(batch.into_values().map(|(_, line)| line).collect());
        }
        // At least one is here already: look at each.
        Err(StoreError::Conflict { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    let (mut new, mut here) = (Vec::new(), Vec::new());
    for (number, line) in batch.into_values() {
        match imports.store.line(&line.id).await? {
            None => new.push(line),
            Some(stored) if says_the_same(&stored, &line) => {
                report.existing += 1;
                here.push(stored);
            }
            Some(_) => note_bad(imports, report, number, format!("line `{}` is here with other data", line.id)),
        }
    }
    if !new.is_empty() {
        imports.store.save(new.iter().cloned().map(Write::Line).collect()).await?;
        report.imported += u64::try_from(new.len()).unwrap_or(u64::MAX);
        here.extend(new);
    }
    Ok(here)
}

/// Whether a stored line is what the file says: what the file cannot say does
/// not count.
fn says_the_same(stored: &Line, imported: &Line) -> bool {
    let (a, b) = (&stored.profile, &imported.profile);
    stored.customer == imported.customer
        && stored.actual == imported.actual
        && (a.access, &a.imsi, &a.msisdn, &a.device, &a.apns, &a.plan)
            == (b.access, &b.imsi, &b.msisdn, &b.device, &b.apns, &b.plan)
}

fn note_bad(imports: &Imports, report: &mut LinesReport, row: u64, reason: String) {
    report.bad += 1;
    if report.bad_rows.len() < imports.settings.listed_rows_max {
        report.bad_rows.push(BadRow { row, reason });
    }
}
