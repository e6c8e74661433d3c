//! Reading requests and shaping lists: JSON bodies with the path of a fault,
//! query parameters that are known or refused, TM Forum paging and `fields`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use crate::ports::relational::{Page, Paged};

/// A JSON body, as it came. The media type is not checked: PATCH comes as
/// `application/json` and `application/merge-patch+json` alike.
#[derive(Debug, Clone)]
pub struct Body(pub Value);

impl Body {
    /// The body as `T`; 400 with the JSON path of the first fault.
    pub fn read<T: DeserializeOwned>(&self) -> ApiResult<T> {
        serde_path_to_error::deserialize(&self.0)
            .map_err(|e| ApiError::malformed(json_path(e.path()), e.inner().to_string()))
    }

    /// The body's members that are not in `known`.
    pub fn others(&self, known: &[&str]) -> Map<String, Value> {
        let all = self.0.as_object().cloned().unwrap_or_default();
        all.into_iter().filter(|(k, _)| !known.contains(&k.as_str())).collect()
    }

    /// SHA-256 of the canonical form (members sorted), hex: equal bodies have
    /// equal fingerprints whatever their order and white space.
    pub fn fingerprint(&self) -> String {
        let mut canonical = String::new();
        write_canonical(&self.0, &mut canonical);
        hex::encode(Sha256::digest(canonical.as_bytes()))
    }
}

impl FromRequest<ApiState> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> ApiResult<Self> {
        let limit = state.settings.body_max_bytes;
        let bytes = Bytes::from_request(request, state).await.map_err(|e| match e.into_response().status() {
            axum::http::StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(limit as u64),
            _ => ApiError::malformed("$", "the body did not arrive whole"),
        })?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader)
            .map_err(|e| ApiError::malformed(json_path(e.path()), e.inner().to_string()))?;
        reader.end().map_err(|e| ApiError::malformed("$", e.to_string()))?;
        Ok(Self(value))
    }
}

fn json_path(path: &serde_path_to_error::Path) -> String {
    let text = path.to_string();
    if text == "." { "$".to_owned() } else { format!("$.{text}") }
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            out.push('{');
            for (i, (name, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

/// Query parameters; a parameter that the route does not know is refused, so
/// that nobody takes an unfiltered list for a filtered one.
#[derive(Debug, Clone, Default)]
pub struct Query {
    values: BTreeMap<String, String>,
    page_default: u64,
    page_max: u64,
}

impl FromRequestParts<ApiState> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> ApiResult<Self> {
        let pairs: axum::extract::Query<Vec<(String, String)>> = axum::extract::Query::from_request_parts(parts, state)
            .await
            .map_err(|e| ApiError::malformed("query", e.body_text()))?;
        let mut values = BTreeMap::new();
        for (name, value) in pairs.0 {
            if values.insert(name.clone(), value).is_some() {
                return Err(ApiError::malformed(name, "is given twice"));
            }
        }
        Ok(Self { values, page_default: state.settings.page_default, page_max: state.settings.page_max })
    }
}

impl Query {
    /// Refuses parameters other than `known`, `offset`, `limit` and `fields`.
    pub fn only(self, known: &[&str]) -> ApiResult<Self> {
        let paging = ["offset", "limit", "fields"];
        match self.values.keys().find(|k| !known.contains(&k.as_str()) && !paging.contains(&k.as_str())) {
            Some(other) => Err(ApiError::malformed(other, format!("no filter of that name; known: {known:?}"))),
            None => Ok(self),
        }
    }

    /// A parameter as text; an empty one counts as absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// A parameter as `T`; 400 naming it where it is none.
    pub fn parse<T: std::str::FromStr>(&self, name: &str, expected: &str) -> ApiResult<Option<T>> {
        self.text(name)
            .map(|v| v.parse().map_err(|_| ApiError::malformed(name, format!("`{v}`: expected {expected}"))))
            .transpose()
    }

    /// The window; `limit` is cut to the largest page of the settings.
    pub fn page(&self) -> ApiResult<Page> {
        let offset = self.parse("offset", "a number from 0")?.unwrap_or(0);
        let limit = self.parse("limit", "a number from 0")?.unwrap_or(self.page_default);
        Ok(Page { offset, limit: limit.min(self.page_max) })
    }

    /// TMF630 attribute selection: top-level members named in `fields`, with
    /// `id`, `href` and `@type` kept; everything without `fields`.
    pub fn select(&self, mut body: Value) -> Value {
        let Some(fields) = self.text("fields") else { return body };
        let wanted: Vec<&str> = fields.split(',').map(str::trim).collect();
        if let Some(members) = body.as_object_mut() {
            members.retain(|k, _| matches!(k.as_str(), "id" | "href" | "@type") || wanted.contains(&k.as_str()));
        }
        body
    }

    /// A list with `X-Total-Count` and `X-Result-Count`.
    pub fn list<T>(&self, paged: Paged<T>, render: impl FnMut(T) -> Value) -> Response {
        let total = paged.total;
        let items: Vec<Value> = paged.items.into_iter().map(render).map(|v| self.select(v)).collect();
        counted(items, total)
    }
}

/// A list with TM Forum's two counts.
pub fn counted(items: Vec<Value>, total: u64) -> Response {
    let counts = [
        (HeaderName::from_static("x-total-count"), HeaderValue::from(total)),
        (HeaderName::from_static("x-result-count"), HeaderValue::from(items.len())),
    ];
    (counts, Json(items)).into_response()
}

/// The value of a bearer token.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(axum::http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_bodies_have_equal_fingerprints_whatever_their_order() {
        let a = Body(json!({"a": [1, {"x": 1, "y": "é"}], "b": null}));
        let b = Body(serde_json::from_str(r#"{ "b":null, "a":[1,{"y":"\u00e9","x":1}] }"#).unwrap());
        assert_eq!(a.fingerprint(), b.fingerprint());
        let c = Body(json!({"a": [{"x": 1, "y": "é"}, 1], "b": null}));
        assert_ne!(a.fingerprint(), c.fingerprint());
    }

    #[test]
    fn fields_keep_the_reference_and_what_was_named() {
        let query = Query { values: BTreeMap::from([("fields".into(), "state, note".into())]), ..Query::default() };
        let body = json!({"id": "1", "href": "/1", "state": "active", "note": [], "other": 1});
        assert_eq!(query.select(body), json!({"id": "1", "href": "/1", "state": "active", "note": []}));
    }
}
