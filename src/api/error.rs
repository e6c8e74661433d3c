//! What goes wrong, as TM Forum's `Error` body and an HTTP status.
//!
//! The one place where services' errors become statuses: 400 for what cannot be
//! read, 404, 409 for a clash with what is stored, 422 for what can be read but
//! not done, 503 with Retry-After for what may be asked again.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::cycle::BadCycle;
use crate::domain::time::BadTime;
use crate::ports::relational::StoreError;

/// Result of every handler.
pub type ApiResult<T> = Result<T, ApiError>;

/// Seconds after which a caller may ask again, where nobody knows better.
const RETRY_AFTER_S: u32 = 1;

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {reason}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable, for programs: `malformed`, `not-found`, `illegal-transition`, …
    pub code: &'static str,
    /// For people, with the offending value.
    pub reason: String,
    /// Where it is: a JSON path or a query parameter.
    pub message: Option<String>,
    /// Seconds for Retry-After.
    pub retry_after_s: Option<u32>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, reason: impl Into<String>) -> Self {
        Self { status, code, reason: reason.into(), message: None, retry_after_s: None }
    }

    /// 400: `at` is the JSON path or parameter that cannot be read.
    pub fn malformed(at: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { message: Some(at.into()), ..Self::new(StatusCode::BAD_REQUEST, "malformed", reason) }
    }

    /// 401: no token, or none that we know.
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", reason)
    }

    /// 404: nothing is stored under that id.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("{what} `{id}` is not known"))
    }

    /// 404: no such resource path.
    pub fn no_such_path(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-path", format!("nothing is served at `{path}`"))
    }

    /// 405.
    pub fn method_not_allowed(method: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", format!("{method} is not served here"))
    }

    /// 409.
    pub fn conflict(code: &'static str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, reason)
    }

    /// 412: what is stored is not what the caller has seen.
    pub fn precondition(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", reason)
    }

    /// 413: `limit` in octets.
    pub fn too_large(limit: u64) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("the body is larger than {limit} octets"))
    }

    /// 422.
    pub fn unprocessable(code: &'static str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, reason)
    }

    /// 503 with Retry-After.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self { retry_after_s: Some(RETRY_AFTER_S), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason) }
    }

    /// 500: a person must look; what the caller gets says no internals.
    pub fn internal(operation: &str, cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(operation, %cause, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("{operation} failed"))
    }

    /// With the place of the fault.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.message = Some(place.into());
        self
    }

    /// The body alone, for streams that have begun.
    pub fn body(&self) -> serde_json::Value {
        let mut body = json!({
            "code": self.code,
            "reason": self.reason,
            "status": self.status.as_u16().to_string(),
            "@type": "Error",
        });
        if let Some(message) = &self.message {
            body["message"] = json!(message);
        }
        body
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Conflict { what } => {
                ApiError::conflict("changed-meanwhile", format!("{what} was changed by somebody else meanwhile"))
            }
            StoreError::Transient { operation, reason } => {
                tracing::warn!(operation, reason, "store did not answer");
                ApiError::unavailable("the store does not answer")
            }
            StoreError::Broken { operation, reason } => ApiError::internal(operation, &reason),
        }
    }
}

impl From<BadTime> for ApiError {
    fn from(e: BadTime) -> Self {
        ApiError::malformed("$", e.to_string())
    }
}

impl From<BadCycle> for ApiError {
    fn from(e: BadCycle) -> Self {
        ApiError::malformed("cycle", e.to_string())
    }
}
