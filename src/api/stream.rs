//! Answers that are streamed as newline-delimited JSON, and bodies that are
//! taken to disk first.
//!
//! A file is taken whole before its first row is read: a client may send
//! everything before it reads anything, the digest that keys its rows is known
//! only at its end, and a broken upload moves nothing.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::HttpSettings;
use super::error::{ApiError, ApiResult};
use super::operations::{OperationError, Upload};

/// Lines of a report that wait for the reader.
pub const REPORT_LINES_WAITING_MAX: usize = 256;
/// A report that has nothing to say says so this often, so that nobody between
/// takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Octets of an upload's name.
const NAME_MAX: usize = 200;
/// Header with the upload's name.
const FILE_NAME: &str = "x-file-name";

impl From<OperationError> for ApiError {
    fn from(e: OperationError) -> Self {
        match e {
            OperationError::Refused { code, reason } => ApiError::unprocessable(code, reason),
            OperationError::InProgress { reason } => ApiError::conflict("in-progress", reason),
            OperationError::Unavailable { reason } => ApiError::unavailable(reason),
            OperationError::Broken { reason } => ApiError::internal("operation", &reason),
        }
    }
}

/// The report of an operation under way. Its first sign decides the status: an
/// error before any line is an ordinary refusal, later it is the last line,
/// `{"error": {…}}`; success ends with `{"done": {…}}`.
pub async fn report(
    mut lines: mpsc::Receiver<Value>,
    operation: JoinHandle<Result<Value, OperationError>>,
) -> ApiResult<Response> {
    let Some(first) = lines.recv().await else {
        return finish(operation).await.map(|done| ndjson(Body::from(line(&json!({ "done": done })))));
    };
    let begun = Stage::Line(first, lines, operation);
    let stream = futures_util::stream::unfold(begun, |stage| async move {
        match stage {
            Stage::Line(value, lines, operation) => Some((line(&value), Stage::Next(lines, operation))),
            Stage::Next(mut lines, operation) => match tokio::time::timeout(HEARTBEAT, lines.recv()).await {
                Err(_) => Some((line(&json!({ "alive": true })), Stage::Next(lines, operation))),
                Ok(Some(value)) => Some((line(&value), Stage::Next(lines, operation))),
                Ok(None) => {
                    let last = match finish(operation).await {
                        Ok(done) => json!({ "done": done }),
                        Err(e) => json!({ "error": e.body() }),
                    };
                    Some((line(&last), Stage::End))
                }
            },
            Stage::End => None,
        }
    });
    Ok(ndjson(Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>))))
}

enum Stage {
    Line(Value, mpsc::Receiver<Value>, JoinHandle<Result<Value, OperationError>>),
    Next(mpsc::Receiver<Value>, JoinHandle<Result<Value, OperationError>>),
    End,
}

async fn finish(operation: JoinHandle<Result<Value, OperationError>>) -> ApiResult<Value> {
    match operation.await {
        Ok(result) => Ok(result?),
        Err(e) => Err(ApiError::internal("operation", &e)),
    }
}

fn line(value: &Value) -> Bytes {
    let mut text = value.to_string();
    text.push('\n');
    Bytes::from(text)
}

fn ndjson(body: Body) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// Takes a body to disk: its size and time are bounded by the settings.
pub async fn take(headers: &HeaderMap, body: Body, settings: &HttpSettings) -> ApiResult<Upload> {
    let name = file_name(headers)?;
    let time = Duration::from_millis(settings.upload_timeout_ms);
    match tokio::time::timeout(time, spool(name, body, settings)).await {
        Ok(upload) => upload,
        Err(_) => Err(ApiError::unavailable(format!("the file did not arrive within {} s", time.as_secs()))),
    }
}

async fn spool(name: String, body: Body, settings: &HttpSettings) -> ApiResult<Upload> {
    let size_max = settings.upload_max_bytes;
    let io = |e: std::io::Error| ApiError::internal("take file", &e);
    let file = match settings.upload_folder.as_str() {
        "" => tempfile::NamedTempFile::new(),
        folder => tempfile::NamedTempFile::new_in(folder),
    };
    let file = file.map_err(io)?;
    let (file, guard) = file.into_parts();
    let mut file = tokio::io::BufWriter::new(tokio::fs::File::from_std(file));
    let (mut size, mut digest) = (0u64, Sha256::new());
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::malformed("$", "the file did not arrive whole"))?;
        size += chunk.len() as u64;
        if size > size_max {
            return Err(ApiError::too_large(size_max));
        }
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(io)?;
    }
    file.flush().await.map_err(io)?;
    Ok(Upload { path: guard.to_path_buf(), name, digest: hex::encode(digest.finalize()), size, _guard: guard })
}

fn file_name(headers: &HeaderMap) -> ApiResult<String> {
    let Some(value) = headers.get(FILE_NAME) else { return Ok("upload.csv".to_owned()) };
    // UTF-8, which a header may carry as opaque octets (RFC 9110 section 5.5).
    let name = std::str::from_utf8(value.as_bytes()).ok();
    name.filter(|n| !n.is_empty() && n.len() <= NAME_MAX)
        .map(str::to_owned)
        .ok_or_else(|| ApiError::malformed(FILE_NAME, format!("expected 1 to {NAME_MAX} octets of UTF-8")))
}
