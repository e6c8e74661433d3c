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
use crate::domain::usage::{Identifier, RecordKey, UsageSource};
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
                    if under_way.len() >= imports.settings.outstanding_max.max(1) {
                        settle_one(&mut under_way, &mut report).await?;
                    }
                    under_way.spawn(charge(imports, request(row, digest, imports.clock.now())));
                }
                // A file that breaks off must not be remembered as imported.
                Err(RowError { reason: RowErrorReason::Source(reason), .. }) => {
                    return Err(ImportError::Source { file: file.to_owned(), reason });
                }
                Err(bad) => note_bad(imports, &mut report, bad),
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

fn request(row: Row, digest: &str, received: Timestamp) -> ChargeRequest {
    // The prefixes keep a record's id from ever being another file's row.
    let key = match &row.record_id {
        Some(id) => format!("id/{id}"),
        None => format!("row/{digest}/{}", row.row_number),
    };
    let imsi = row.imsi.map(Identifier::imsi);
    let msisdn = row.msisdn.map(Identifier::msisdn);
    ChargeRequest {
        key: RecordKey::File(key),
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

/// Charges one record; waits while charging is busy, a bounded number of times.
fn charge(
    imports: &Imports,
    request: ChargeRequest,
) -> impl Future<Output = Result<ChargeAnswer, IntakeError>> + Send + 'static {
    let intake: Arc<dyn UsageIntake> = Arc::clone(&imports.usage);
    let attempts_max = imports.settings.busy_attempts_max.max(1);
    let pause = Duration::from_millis(imports.settings.busy_pause_ms);
    async move {
        for _ in 1..attempts_max {
            match intake.charge(request.clone()).await {
                Err(IntakeError::Busy) => tokio::time::sleep(pause).await,
                other => return other,
            }
        }
        intake.charge(request).await
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
    let labels = [UsageSource::File.as_str(), "bad-record"];
    metrics().usage_records.with_label_values(&labels).inc();
    report.bad += 1;
    if report.bad_rows.len() < imports.settings.listed_rows_max {
        report.bad_rows.push(BadRow { row: bad.row_number, reason: bad.reason.to_string() });
    }
}
