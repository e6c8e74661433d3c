//! REST over HTTP: TM Forum v4 where it has a shape, `/linegate/v1` where it
//! has none, and the customer's own page.
//!
//! Owns the translation between HTTP and services: paths, statuses, bodies,
//! tokens, paging. Does **not** own rules or storage. Invariants: every refusal
//! is a TM Forum `Error` body; an unknown filter is refused, never ignored.

mod balances;
mod bills;
mod desk;
mod devices;
pub mod error;
mod explain;
pub mod extract;
mod field;
mod hub;
mod inventory;
mod layer;
mod month;
mod my_page;
mod openapi;
pub mod operations;
mod orders;
mod outbox;
mod plan_changes;
mod probes;
mod rerating;
mod serve;
mod stream;
mod suspense;
mod tariffs;
mod usage;
mod visits;
mod work;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::routing::get;
use axum::{Router, middleware};
use serde::Deserialize;
use tokio::sync::Semaphore;

pub use self::operations::{
    AccountView, Accounts, Balances, CloseRequest, Imports, MonthOperations, OperationError, Report, Upload,
};
pub use self::probes::Readiness;
pub use self::serve::serve;
use crate::domain::money::Currency;
use crate::ports::delivery::WebhookSender;
use crate::ports::documents::Documents;
use crate::ports::relational::Relational;
use crate::ports::{Clock, Ids};
use crate::services::devices::DeviceRegistry;
use crate::services::explain::Explain;
use crate::services::fieldwork::Fieldwork;
use crate::services::month::Month;
use crate::services::ordering::Ordering;
use crate::services::outbox::Outbox;
use crate::services::rerating::Rerating;
use crate::services::scheduling::Scheduling;
use crate::services::suspense::Suspense;
use crate::services::tariffs::Tariffs;
use crate::services::tokens::Tokens;

/// Section `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Address and port; port 0 takes any.
    pub listen: String,
    /// Bearer tokens of order systems and operators; none lets everybody in,
    /// which only a loopback listener may.
    pub tokens: Vec<String>,
    /// Largest JSON body, octets.
    pub body_max_bytes: usize,
    /// Folder for files while they are taken in; empty takes the system's.
    pub upload_folder: String,
    /// Largest uploaded file, octets.
    pub upload_max_bytes: u64,
    /// Time for a request until its answer begins, milliseconds.
    pub request_timeout_ms: u64,
    /// Files being taken in at a time; more get 503.
    pub uploads_max: usize,
    /// Time for an upload to arrive, milliseconds.
    pub upload_timeout_ms: u64,
    /// Connections open; more wait to be accepted.
    pub connections_max: usize,
    /// A connection on which nothing moves for so long is closed, milliseconds;
    /// longer than `request_timeout_ms`.
    pub idle_timeout_ms: u64,
    /// Requests in progress; more get 503.
    pub requests_max: usize,
    /// Rows of a list where the request names no `limit`.
    pub page_default: u64,
    /// Most rows of a list.
    pub page_max: u64,
    /// Most `/hub` registrations.
    pub listeners_max: usize,
    /// Secret that signs tokens of my page; empty makes one and keeps it in the store.
    pub my_page_secret: String,
    /// How long a token of my page is good for, seconds.
    pub my_page_token_s: u64,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8088".to_owned(),
            tokens: Vec::new(),
            body_max_bytes: 1 << 20,
            upload_folder: String::new(),
            upload_max_bytes: 4 << 30,
            request_timeout_ms: 30_000,
            uploads_max: 4,
            upload_timeout_ms: 3_600_000,
            connections_max: 4096,
            idle_timeout_ms: 120_000,
            requests_max: 1024,
            page_default: 50,
            page_max: 1000,
            listeners_max: 256,
            my_page_secret: String::new(),
            my_page_token_s: 86_400,
        }
    }
}

/// What the API stands on; the composition root fills it.
pub struct ApiParts {
    /// The relational store.
    pub store: Arc<dyn Relational>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers and secrets.
    pub ids: Arc<dyn Ids>,
    /// Orders and lines.
    pub ordering: Arc<Ordering>,
    /// Visits and calls.
    pub scheduling: Arc<Scheduling>,
    /// Work orders.
    pub fieldwork: Arc<Fieldwork>,
    /// Modems that may connect.
    pub devices: Arc<DeviceRegistry>,
    /// The outbox, to wake and to replay.
    pub outbox: Arc<Outbox>,
    /// Judges callbacks.
    pub webhooks: Arc<dyn WebhookSender>,
    /// Draws bills.
    pub documents: Arc<dyn Documents>,
    /// Closes months.
    pub month: Arc<dyn MonthOperations>,
    /// Bills as a change of plan would make them.
    pub previews: Arc<Month>,
    /// Takes files in.
    pub imports: Arc<dyn Imports>,
    /// Shows charging accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Reads balances and tops lines up.
    pub balances: Arc<dyn Balances>,
    /// Shows how an amount came about.
    pub explain: Arc<Explain>,
    /// Rates cycles again.
    pub rerating: Arc<Rerating>,
    /// Recycles and drops usage in suspense.
    pub suspense: Arc<Suspense>,
    /// Versions of the tariff.
    pub tariffs: Arc<Tariffs>,
    /// Tokens of my page.
    pub tokens: Arc<Tokens>,
    /// What amounts of usage are in.
    pub currency: Currency,
    /// Whether traffic may come.
    pub readiness: Arc<Readiness>,
    /// Settings.
    pub settings: HttpSettings,
}

/// Shared by every handler.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

/// [`ApiParts`] with what the API itself keeps.
pub struct Inner {
    parts: ApiParts,
    places: Semaphore,
    uploads: Arc<Semaphore>,
}

impl ApiState {
    /// Over the given parts.
    pub fn new(parts: ApiParts) -> Self {
        let places = Semaphore::new(parts.settings.requests_max);
        let uploads = Arc::new(Semaphore::new(parts.settings.uploads_max));
        Self(Arc::new(Inner { parts, places, uploads }))
    }
}

impl std::ops::Deref for ApiState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl std::ops::Deref for Inner {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.parts
    }
}

/// Every route.
pub fn router(state: ApiState) -> Router {
    let limit = || middleware::from_fn_with_state(state.clone(), layer::limit);
    let authorize = || middleware::from_fn_with_state(state.clone(), layer::authorize);
    let guarded = tmf_routes().merge(operator_routes()).route_layer(limit()).route_layer(authorize());
    // Files have a time limit of their own; customers and workers have tokens of their own.
    let uploads = month::upload_routes().route_layer(authorize());
    let customers = my_page::routes().merge(field::routes()).route_layer(limit());
    let open = Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::prometheus))
        .route("/openapi.json", get(openapi::document));
    guarded
        .merge(customers)
        .merge(open)
        .fallback(|request: Request| async move { error::ApiError::no_such_path(request.uri().path()) })
        .layer(DefaultBodyLimit::max(state.settings.body_max_bytes))
        .merge(uploads)
        .method_not_allowed_fallback(|request: Request| async move {
            error::ApiError::method_not_allowed(request.method().as_str())
        })
        .layer(middleware::from_fn_with_state(state.clone(), layer::observe))
        .with_state(state)
}

fn tmf_routes() -> Router<ApiState> {
    Router::new()
        .merge(orders::routes())
        .merge(inventory::routes())
        .merge(visits::routes())
        .merge(work::routes())
        .merge(usage::routes())
        .merge(bills::routes())
        .merge(balances::routes())
        .merge(hub::routes("/tmf-api/serviceOrdering/v4", "serviceOrdering"))
        .merge(hub::routes("/tmf-api/serviceInventory/v4", "serviceInventory"))
        .merge(hub::routes("/tmf-api/appointment/v4", "appointment"))
        .merge(hub::routes("/tmf-api/workOrderManagement/v4", "workOrderManagement"))
        .merge(hub::routes("/tmf-api/usageManagement/v4", "usageManagement"))
        .merge(hub::routes("/tmf-api/prepayBalanceManagement/v4", "prepayBalanceManagement"))
        .merge(hub::routes("/tmf-api/customerBillManagement/v4", "customerBillManagement"))
}

fn operator_routes() -> Router<ApiState> {
    Router::new()
        .merge(desk::routes())
        .merge(outbox::routes())
        .merge(devices::routes())
        .merge(month::routes())
        .merge(suspense::routes())
        .merge(rerating::routes())
        .merge(explain::routes())
        .merge(plan_changes::routes())
        .merge(tariffs::routes())
        .merge(my_page::token_routes())
        .merge(field::token_routes())
        .merge(hub::routes("/linegate/v1", "linegate"))
}
