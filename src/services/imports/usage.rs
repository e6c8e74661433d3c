//! Charging files into charging.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use linegate_cdr::{Limits, Reader, Row, RowError, RowErrorReason};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{BadRow, ImportError, ImportListener, Imports, UsageReport};
use crate::domain::ids::Apn;
use crate::domain::network::Plmn;
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, GroupRequest, Phase, Used, Wanted};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Identifier, RecordKey, SuspenseReason, UsageOutcome, UsageRecord, UsageSource};
use crate::ports::intake::{IntakeError, UsageIntake};
use crate::ports::relational::{StoreError, Write};
use crate::telemetry::metrics;

/// Rows handed from the reading thread at a time.
const CHUNK_ROWS: usize = 256;
/// Chunks read ahead.
const CHUNKS_AHEAD: usize = 4;

type Chunk = Vec<Result<Row, RowError>>;

pub(super) async fn import(
    imports: &Imports,
    file: &str,
    digest: &str,
    source: Box<dyn Read + Send>,
    listener: ImportListener<'_>,
) -> Result<UsageReport, ImportError> {
    let remembered = format!("usage-file/{digest}");
    if let Some(stored) = imports.store.meta(&remembered).await? {
        let report = serde_json::from_str::<UsageReport>(&stored).map_err(|e| StoreError::Broken {
            operation: "read the report of an imported file",
            reason: format!("{remembered}: {e}"),
        })?;
        return Ok(UsageReport { already_imported: true, ..report });
    }
    let mut rows = read_ahead(imports, file, source);
    let mut report = UsageReport { file: file.to_owned(), digest: digest.to_owned(), ..UsageReport::default() };
    let mut under_way: JoinSet<Result<ChargeAnswer, IntakeError>> = JoinSet::new();
    while let Some(chunk) = rows.recv().await {
        for row in chunk? {
            report.rows += 1;
            match row {
                Ok(row) => {
                    let number = row.row_number;
                    if under_way.len() >= imports.settings.outstanding_max.max(1) {
                        settle_one(&mut under_way, &mut report).await?;
                    }
                    let request = request(row, RecordKey::File(key_of_row(digest, number)), imports.clock.now());
                    under_way.spawn(hand_over(imports, Taken::Charge(Box::new(request))));
                }
                // A file that breaks off must not be remembered as imported.
                Err(RowError { reason: RowErrorReason::Source(reason), .. }) => {
                    return Err(ImportError::Source { file: file.to_owned(), reason });
                }
                Err(bad) => {
                    if report.bad < imports.settings.suspended_rows_max {
                        let record = suspended(&bad, file, digest, imports.clock.now());
                        under_way.spawn(hand_over(imports, Taken::Suspend(Box::new(record))));
                        if under_way.len() >= imports.settings.outstanding_max.max(1) {
                            settle_one(&mut under_way, &mut report).await?;
                        }
                    } else {
                        let labels = [UsageSource::File.as_str(), "bad-record"];
                        metrics().usage_records.with_label_values(&labels).inc();
                    }
                    note_bad(imports, &mut report, bad);
                }
            }
        }
        listener(report.rows);
    }
    while !under_way.is_empty() {
        settle_one(&mut under_way, &mut report).await?;
    }
    let stored = serde_json::to_string(&report)
        .map_err(|e| StoreError::Broken { operation: "write the report of an imported file", reason: e.to_string() })?;
    imports.store.save(vec![Write::Meta(remembered, stored)]).await?;
    Ok(report)
}

/// Reads the file on a thread of its own, because it may block.
fn read_ahead(
    imports: &Imports,
    file: &str,
    source: Box<dyn Read + Send>,
) -> mpsc::Receiver<Result<Chunk, ImportError>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let (file, mapping) = (file.to_owned(), imports.settings.usage_mapping.clone());
    let limits = Limits { row_bytes_max: imports.settings.row_bytes_max };
    tokio::task::spawn_blocking(move || {
        let mut reader = match Reader::new(source, &mapping, limits) {
            Ok(reader) => reader,
            Err(source) => {
                // The receiver is gone only when the import has ended.
                let _ = sender.blocking_send(Err(ImportError::UsageFile { file, source }));
                return;
            }
        };
        loop {
            let chunk: Chunk = reader.by_ref().take(CHUNK_ROWS).collect();
            if chunk.is_empty() || sender.blocking_send(Ok(chunk)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The key of a row without an own id. The prefixes keep an id from ever being another
/// file's row.
fn key_of_row(digest: &str, row: u64) -> String {
    format!("row/{digest}/{row}")
}

fn key_of_id(id: &str) -> String {
    format!("id/{id}")
}

/// The record of a row that cannot be read, under the key that the row has when it is
/// corrected, as far as that can be told.
fn suspended(bad: &RowError, file: &str, digest: &str, received: Timestamp) -> UsageRecord {
    let key = bad.record_id.as_deref().map_or_else(|| key_of_row(digest, bad.row_number), key_of_id);
    let detail = format!("row {} of {file}: {}: {}", bad.row_number, bad.reason, bad.text);
    UsageRecord {
        key: RecordKey::File(key),
        rating_group: bad.rating_group.unwrap_or(0),
        outcome: UsageOutcome::Suspense(SuspenseReason::BadRecord),
        line: None,
        account: None,
        cycle: None,
        late_for: None,
        plan: None,
        tariff_version: 0,
        apn: None,
        subscriber: None,
        starts: received,
        ends: received,
        received,
        octets: 0,
        amount: 0,
        postings: Vec::new(),
        crossed: Vec::new(),
        told: None,
        detail: Some(detail.chars().take(DETAIL_CHARS_MAX).collect()),
    }
}

/// Characters of what is kept of a bad row.
const DETAIL_CHARS_MAX: usize = 1000;

pub(super) async fn corrected(
    imports: &Imports,
    record: &UsageRecord,
    text: &str,
) -> Result<ChargeAnswer, ImportError> {
    let refused = |reason: String| ImportError::CorrectedRow { reason };
    let limits = Limits { row_bytes_max: imports.settings.row_bytes_max };
    let mut rows =
        Reader::new(text.as_bytes(), &imports.settings.usage_mapping, limits).map_err(|e| refused(e.to_string()))?;
    let row = rows.next().ok_or_else(|| refused("there is none".to_owned()))?;
    let row = row.map_err(|bad| refused(bad.reason.to_string()))?;
    if rows.next().is_some() {
        return Err(refused("there is more than one".to_owned()));
    }
    let request = request(row, record.key.clone(), imports.clock.now());
    Ok(hand_over(imports, Taken::Charge(Box::new(request))).await?)
}

/// The request of a row, under its own id, or `key` where it has none.
fn request(row: Row, key: RecordKey, received: Timestamp) -> ChargeRequest {
    let key = row.record_id.as_deref().map_or(key, |id| RecordKey::File(key_of_id(id)));
    let imsi = row.imsi.map(Identifier::imsi);
    let msisdn = row.msisdn.map(Identifier::msisdn);
    ChargeRequest {
        key,
        phase: Phase::Event,
        session: None,
        peer: None,
        subscribers: imsi.into_iter().chain(msisdn).collect(),
        apn: row.apn.map(Apn::from),
        network: row.network.as_deref().and_then(Plmn::parse),
        starts: Some(Timestamp(row.start_ms)),
        ends: Timestamp(row.end_ms),
        received,
        groups: vec![GroupRequest {
            rating_group: row.rating_group.unwrap_or(0),
            services: Vec::new(),
            used: Some(match row.octets_down {
                Some(down) => Used::both_ways(row.octets_up, down),
                None => Used::octets(row.octets_up),
            }),
            wanted: Wanted::Nothing,
            is_final: true,
        }],
    }
}

/// What becomes of a row.
enum Taken {
    Charge(Box<ChargeRequest>),
    Suspend(Box<UsageRecord>),
}

impl Taken {
    async fn hand_to(&self, intake: &dyn UsageIntake) -> Result<ChargeAnswer, IntakeError> {
        match self {
            Taken::Charge(request) => intake.charge(ChargeRequest::clone(request)).await,
            Taken::Suspend(record) => intake.suspend(UsageRecord::clone(record)).await,
        }
    }
}

/// Hands one row over; waits while charging is busy, a bounded number of times.
fn hand_over(
    imports: &Imports,
    taken: Taken,
) -> impl Future<Output = Result<ChargeAnswer, IntakeError>> + Send + 'static {
    let intake: Arc<dyn UsageIntake> = Arc::clone(&imports.usage);
    let attempts_max = imports.settings.busy_attempts_max.max(1);
    let pause = Duration::from_millis(imports.settings.busy_pause_ms);
    async move {
        for _ in 1..attempts_max {
            match taken.hand_to(&*intake).await {
                Err(IntakeError::Busy) => tokio::time::sleep(pause).await,
                other => return other,
            }
        }
        taken.hand_to(&*intake).await
    }
}

async fn settle_one(
    under_way: &mut JoinSet<Result<ChargeAnswer, IntakeError>>,
    report: &mut UsageReport,
) -> Result<(), ImportError> {
    let Some(joined) = under_way.join_next().await else { return Ok(()) };
    let answer =
        joined.map_err(|e| IntakeError::Failed { operation: "charge a record of a file", reason: e.to_string() })??;
    match answer {
        ChargeAnswer { repeated: true, .. } => report.repeated += 1,
        ChargeAnswer { suspense: Some(reason), .. } => {
            *report.suspense.entry(reason.as_str().to_owned()).or_default() += 1;
        }
        _ => report.rated += 1,
    }
    Ok(())
}

fn note_bad(imports: &Imports, report: &mut UsageReport, bad: RowError) {
    report.bad += 1;
    if report.bad_rows.len() < imports.settings.listed_rows_max {
        report.bad_rows.push(BadRow { row: bad.row_number, reason: bad.reason.to_string() });
    }
}
