//! What every request passes: id, metrics, token, a place among the requests
//! in progress, a time limit.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::ApiState;
use super::error::ApiError;
use super::extract::bearer;
use crate::telemetry::metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a caller's own request id.
const REQUEST_ID_MAX: usize = 64;
/// Label for requests that match no route.
const NO_ROUTE: &str = "none";

/// Gives each request an id (the caller's own where it is sane), a log line and metrics.
pub async fn observe(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let id = request_id(&state, &request);
    let method = request.method().clone();
    let timer = metrics().http_request_seconds.with_label_values(&[&route]).start_timer();
    let mut response = next.run(request).await;
    timer.observe_duration();
    let status = response.status();
    metrics().http_requests.with_label_values(&[route.as_str(), status.as_str()]).inc();
    tracing::debug!(request = %id, %method, route, status = status.as_u16(), "served");
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn request_id(state: &ApiState, request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|v| v.to_str().ok());
    match given {
        Some(id) if !id.is_empty() && id.len() <= REQUEST_ID_MAX && id.bytes().all(|b| b.is_ascii_graphic()) => {
            id.to_owned()
        }
        _ => state.ids.fresh(state.clock.now()),
    }
}

/// Lets a request in that bears one of the tokens of the settings; every
/// request where the settings name none.
pub async fn authorize(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if state.settings.tokens.is_empty() {
        return next.run(request).await;
    }
    match bearer(request.headers()) {
        Some(token) if is_known(token, &state.settings.tokens) => next.run(request).await,
        Some(_) => ApiError::unauthorized("the bearer token is not known").into_response(),
        None => ApiError::unauthorized("a bearer token is needed").into_response(),
    }
}

/// Compares digests over every token without leaving early, so that time tells
/// nothing about how much of a token was right.
fn is_known(token: &str, known: &[String]) -> bool {
    let digest = Sha256::digest(token.as_bytes());
    known.iter().fold(false, |found, candidate| {
        let other = Sha256::digest(candidate.as_bytes());
        let difference = digest.iter().zip(other.iter()).fold(0u8, |d, (a, b)| d | (a ^ b));
        found | (difference == 0)
    })
}

/// Refuses what is above the number of requests in progress, and answers for
/// handlers that take too long. A streamed answer counts until it begins.
pub async fn limit(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let Ok(_place) = state.places.try_acquire() else {
        return ApiError::unavailable("too many requests are in progress").into_response();
    };
    let time = Duration::from_millis(state.settings.request_timeout_ms);
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::unavailable(format!("no answer within {} ms", time.as_millis())).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_whole_or_not_at_all() {
        let known = vec!["first-token".to_owned(), "second-token".to_owned()];
        for (token, expected) in
            [("first-token", true), ("second-token", true), ("first", false), ("", false), ("first-tokenx", false)]
        {
            assert_eq!(is_known(token, &known), expected, "{token}");
        }
    }
}
