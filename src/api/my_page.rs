//! My page: what a customer sees of their own orders, lines, visits, usage and
//! bills, straight from the store.
//!
//! A token binds a request to one customer: `lg1.<customer>.<expiry>.<mac>`,
//! with HMAC-SHA256 over the part before the mac. Invariant: every handler
//! takes its customer from the token and from nowhere else.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::ApiState;
use super::bills::{customer_bill, invoice_pdf, load as load_invoice};
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query, bearer, counted};
use super::inventory::service;
use super::usage::{billed, is_billed, usage};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{CustomerId, LineId};
use crate::domain::time::Timestamp;
use crate::ports::Ids;
use crate::ports::relational::{LineFilter, OrderFilter, Page, Relational, Stored, StoredUsage, UsageFilter, Write};
use crate::services::ordering::tmf;

const MARK: &str = "lg1";
const SECRET_OCTETS: usize = 32;
/// Where a secret that we made is kept.
const SECRET_META: &str = "my-page-secret";
/// Orders that are looked through for visits.
const ORDERS_MAX: u64 = 100;

/// Signs and reads tokens of my page.
pub struct Tokens {
    secret: Vec<u8>,
}

impl Tokens {
    /// With the secret of the settings, or one that is made once and kept in the store.
    pub async fn open(setting: &str, store: &dyn Relational, ids: &dyn Ids) -> Stored<Self> {
        if !setting.is_empty() {
            return Ok(Self { secret: setting.as_bytes().to_vec() });
        }
        if let Some(kept) = store.meta(SECRET_META).await? {
            return Ok(Self { secret: kept.into_bytes() });
        }
        let mut bytes = [0u8; SECRET_OCTETS];
        ids.secret(&mut bytes);
        let secret = hex::encode(bytes);
        store.save(vec![Write::Meta(SECRET_META.to_owned(), secret.clone())]).await?;
        // Another gateway may have been at it too: what is kept counts.
        let kept = store.meta(SECRET_META).await?.unwrap_or(secret);
        Ok(Self { secret: kept.into_bytes() })
    }

    /// A token for `customer`, good before `until`.
    pub fn sign(&self, customer: &CustomerId, until: Timestamp) -> String {
        let name = URL_SAFE_NO_PAD.encode(customer.as_str());
        let signed = format!("{MARK}.{name}.{}", until.millis().div_euclid(1000));
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&signed).finalize().into_bytes());
        format!("{signed}.{mac}")
    }

    /// Whose token it is; `None` when it is not ours or has expired.
    pub fn customer(&self, token: &str, now: Timestamp) -> Option<CustomerId> {
        let (signed, mac) = token.rsplit_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.mac(signed).verify_slice(&mac).ok()?;
        let mut parts = signed.split('.');
        let (mark, name, expiry) = (parts.next()?, parts.next()?, parts.next()?);
        let expiry: i64 = expiry.parse().ok()?;
        if mark != MARK || now >= Timestamp::from_secs(expiry) {
            return None;
        }
        String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok().map(CustomerId::from)
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

/// The customer that the request's token is bound to.
struct Customer(CustomerId);

impl FromRequestParts<ApiState> for Customer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> ApiResult<Self> {
        let token = bearer(&parts.headers).ok_or_else(|| ApiError::unauthorized("a bearer token is needed"))?;
        let customer = state.tokens.customer(token, state.clock.now());
        customer.map(Self).ok_or_else(|| ApiError::unauthorized("the bearer token is not known or has expired"))
    }
}

/// What customers read.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/my-page/v1/orders", get(orders))
        .route("/my-page/v1/lines", get(lines))
        .route("/my-page/v1/visits", get(visits))
        .route("/my-page/v1/usage", get(usage_list))
        .route("/my-page/v1/bills", get(bills))
        .route("/my-page/v1/bills/{id}/pdf", get(bill_pdf))
}

/// What operators give customers.
pub fn token_routes() -> Router<ApiState> {
    Router::new().route("/linegate/v1/tokens/my-page", post(issue))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    customer: String,
}

async fn issue(State(state): State<ApiState>, body: Body) -> ApiResult<Json<Value>> {
    let TokenBody { customer } = body.read()?;
    if customer.is_empty() {
        return Err(ApiError::malformed("$.customer", "is empty"));
    }
    let customer = CustomerId::from(customer);
    let life = std::time::Duration::from_secs(state.settings.my_page_token_s);
    let until = state.clock.now().plus(life);
    Ok(Json(json!({
        "customer": customer,
        "token": state.tokens.sign(&customer, until),
        "expires": until.to_string(),
    })))
}

async fn orders(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let filter = OrderFilter { customer: Some(customer), ..OrderFilter::default() };
    let found = state.store.orders(&filter, query.page()?).await?;
    Ok(query.list(found, |mut order| {
        // Notes are between operators.
        order.notes.clear();
        tmf::service_order(&order)
    }))
}

async fn lines(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let filter = LineFilter { customer: Some(customer), ..LineFilter::default() };
    let found = state.store.lines(&filter, query.page()?).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for line in &found.items {
        items.push(query.select(service(line, &state.store.session(&line.id).await?)));
    }
    Ok(counted(items, found.total))
}

/// Visits of the customer's latest orders, newest order first.
async fn visits(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&[])?;
    let filter = OrderFilter { customer: Some(customer.clone()), ..OrderFilter::default() };
    let recent = Page { offset: 0, limit: ORDERS_MAX };
    let mut all = Vec::new();
    for order in state.store.orders(&filter, recent).await?.items {
        let found = state.store.appointments(Some(&order.id), recent).await?;
        all.extend(found.items.into_iter().filter(|a| a.customer == customer));
    }
    let page = query.page()?;
    let total = all.len() as u64;
    let window = all.iter().skip(page.offset.min(total) as usize).take(page.limit as usize);
    Ok(counted(window.map(|a| query.select(tmf::appointment(a))).collect(), total))
}

/// Usage of the customer's lines, or of one of them. The read model lags behind
/// the network by what is not drained yet; the header `x-as-of-position` shows
/// how far it is.
async fn usage_list(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&["line", "cycle"])?;
    let cycle = query.parse::<CycleId>("cycle", "a cycle such as 2026-10")?;
    let page = query.page()?;
    let (records, total) = match query.text("line") {
        Some(id) => {
            let id = LineId::from(id);
            let own = state.store.line(&id).await?.is_some_and(|line| line.customer == customer);
            if !own {
                return Err(ApiError::not_found("line", id.as_str()));
            }
            let filter = UsageFilter { line: Some(id), cycle, ..UsageFilter::default() };
            let found = state.store.usage(&filter, page).await?;
            (found.items, found.total)
        }
        None => usage_of_all(&state, customer, cycle, page).await?,
    };
    let billed = billed(&state, &records).await?;
    let shown = records.iter().map(|record| usage(record, state.currency, is_billed(record, &billed)));
    let items = shown.map(|record| query.select(record)).collect();
    let mut response = counted(items, total);
    let position = state.store.drain_cursor().await?;
    response.headers_mut().insert("x-as-of-position", position.into());
    Ok(response)
}

/// The window over every line's usage, newest first.
async fn usage_of_all(
    state: &ApiState,
    customer: CustomerId,
    cycle: Option<CycleId>,
    page: Page,
) -> ApiResult<(Vec<StoredUsage>, u64)> {
    let filter = LineFilter { customer: Some(customer), ..LineFilter::default() };
    let lines = state.store.lines(&filter, Page { offset: 0, limit: state.settings.page_max }).await?;
    let reach = Page { offset: 0, limit: page.offset.saturating_add(page.limit).min(state.settings.page_max) };
    let (mut records, mut total) = (Vec::new(), 0);
    for line in lines.items {
        let filter = UsageFilter { line: Some(line.id), cycle, ..UsageFilter::default() };
        let found = state.store.usage(&filter, reach).await?;
        total += found.total;
        records.extend(found.items);
        records.sort_by_key(|r| std::cmp::Reverse(r.ends));
        records.truncate(reach.limit as usize);
    }
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    Ok((records.into_iter().skip(skip).collect(), total))
}

async fn bills(State(state): State<ApiState>, Customer(customer): Customer, query: Query) -> ApiResult<Response> {
    let query = query.only(&["cycle"])?;
    let cycle = query.parse::<CycleId>("cycle", "a cycle such as 2026-10")?;
    let found = state.store.invoices(cycle, Some(&customer), query.page()?).await?;
    Ok(query.list(found, |invoice| {
        let mut bill = customer_bill(&invoice);
        bill["billDocument"][0]["url"] = json!(format!("/my-page/v1/bills/{}/pdf", invoice.id));
        bill
    }))
}

async fn bill_pdf(
    State(state): State<ApiState>,
    Customer(customer): Customer,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let invoice = load_invoice(&state, &id).await?;
    if invoice.customer != customer {
        return Err(ApiError::not_found("customerBill", &id));
    }
    invoice_pdf(&state, invoice).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_one_customer_until_it_expires() {
        let tokens = Tokens { secret: b"secret".to_vec() };
        let customer = CustomerId::from("고객-1");
        let token = tokens.sign(&customer, Timestamp::from_secs(100));
        assert_eq!(tokens.customer(&token, Timestamp::from_secs(99)), Some(customer));
        assert_eq!(tokens.customer(&token, Timestamp::from_secs(100)), None);
        let other = tokens.sign(&CustomerId::from("c2"), Timestamp::from_secs(100));
        let (_, mac) = token.rsplit_once('.').unwrap();
        let (signed, _) = other.rsplit_once('.').unwrap();
        for forged in [format!("{signed}.{mac}"), String::new(), "a.b".into(), token.replace("100", "999")] {
            assert_eq!(tokens.customer(&forged, Timestamp::from_secs(1)), None, "{forged}");
        }
        let stranger = Tokens { secret: b"other".to_vec() };
        assert_eq!(stranger.customer(&token, Timestamp::from_secs(1)), None);
    }
}
