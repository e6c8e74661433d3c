//! A scheduler outside over HTTP, in TMF646's words.
//!
//! | call | when | answer |
//! |---|---|---|
//! | `POST {url}/appointment` | a visit is wanted; `externalId` and the header `Idempotency-Key` are our id | 200, 201 or 202 with the appointment |
//! | `GET {url}/appointment/{id}` | it is there and not agreed yet; 404: it is posted again | 200 with the appointment |
//! | `PATCH {url}/appointment/{id}` | `{"status": "cancelled"}`: it is not needed | 2xx, 404 or 409 |
//!
//! Of the answer `id`, `status`, `validFor` and the `relatedParty` with role `worker`
//! are read. No answer in time, 408, 425, 429 and 5xx are tried again behind a
//! circuit breaker; any other answer is a refusal.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::breaker::Breaker;
use super::sms::{ClientError, judge_status};
use crate::domain::scheduling::{Appointment, AppointmentState};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::Clock;
use crate::ports::delivery::DeliveryError;
use crate::ports::scheduling::{Asked, Scheduler, SchedulerError, Standing};
use crate::telemetry::metrics;

/// How the scheduler outside is reached: `external_…` of section `[scheduling]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// What its paths begin with.
    pub url: String,
    /// Bearer token; empty sends none.
    pub token: String,
    /// Time for one call, milliseconds.
    pub timeout_ms: u64,
    /// Calls at a time; more are tried again later.
    pub concurrency: usize,
    /// Failures in a row that open the circuit.
    pub failures_max: u32,
    /// How long it stays open, milliseconds.
    pub open_ms: u64,
}

/// Called when the scheduler answers again.
type Back = Box<dyn Fn() + Send + Sync>;

/// The adapter.
pub struct HttpScheduler {
    client: reqwest::Client,
    settings: SchedulerSettings,
    breaker: Breaker,
    places: Semaphore,
    clock: Arc<dyn Clock>,
    back: OnceLock<Back>,
}

/// What is read of an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    id: String,
    status: String,
    #[serde(default)]
    valid_for: Option<Period>,
    #[serde(default)]
    related_party: Vec<Party>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Period {
    #[serde(default)]
    start_date_time: Option<String>,
    #[serde(default)]
    end_date_time: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Party {
    id: String,
    #[serde(default)]
    role: String,
}

impl HttpScheduler {
    /// A process-wide rustls provider must be installed before.
    ///
    /// # Errors
    /// The client cannot be built.
    pub fn new(settings: SchedulerSettings, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(settings.timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| ClientError { what: "scheduler", source: Box::new(e) })?;
        Ok(Self {
            client,
            breaker: Breaker::new(settings.failures_max, Duration::from_millis(settings.open_ms)),
            places: Semaphore::new(settings.concurrency.max(1)),
            settings,
            clock,
            back: OnceLock::new(),
        })
    }

    /// Who is to be told when it answers again; only the first one is.
    pub fn on_back(&self, told: impl Fn() + Send + Sync + 'static) {
        let _the_first_stays = self.back.set(Box::new(told));
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request =
            self.client.request(method, format!("{}/appointment{path}", self.settings.url.trim_end_matches('/')));
        match self.settings.token.is_empty() {
            true => request,
            false => request.bearer_auth(&self.settings.token),
        }
    }

    /// Sends behind the breaker: the status with the body, whatever they say, or why
    /// there is no answer.
    async fn send(
        &self,
        operation: &'static str,
        request: RequestBuilder,
    ) -> Result<(StatusCode, Value), SchedulerError> {
        let away = |reason: String, outcome: &str| {
            metrics().scheduler_requests.with_label_values(&[operation, outcome]).inc();
            SchedulerError::Away { reason }
        };
        let Ok(_place) = self.places.try_acquire() else {
            return Err(away("too many calls are under way".to_owned(), "busy"));
        };
        if !self.breaker.admits(self.clock.now()) {
            return Err(away("the circuit is open".to_owned(), "shut"));
        }
        metrics().scheduler_circuit.set(self.breaker.circuit().as_gauge());
        let answered = answer(request).await;
        match &answered {
            Ok(_) => {
                if self.breaker.succeeded() {
                    tracing::info!("the scheduler answers again");
                    self.back.get().into_iter().for_each(|told| told());
                }
                metrics().scheduler_requests.with_label_values(&[operation, "answered"]).inc();
            }
            Err(reason) => {
                if self.breaker.failed(self.clock.now()) {
                    tracing::warn!(reason, "the scheduler is away; its circuit is open");
                }
            }
        }
        metrics().scheduler_circuit.set(self.breaker.circuit().as_gauge());
        answered.map_err(|reason| away(reason, "failed"))
    }
}

/// Status and body; an answer that asks for patience is none.
async fn answer(request: RequestBuilder) -> Result<(StatusCode, Value), String> {
    let response = request.send().await.map_err(|e| format!("{}", e.without_url()))?;
    let status = response.status();
    if let Err(DeliveryError::Transient { reason }) = judge_status("ask scheduler", status) {
        return Err(reason);
    }
    let bytes = response.bytes().await.map_err(|e| format!("{}", e.without_url()))?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

#[async_trait]
impl Scheduler for HttpScheduler {
    async fn ask(&self, visit: &Appointment) -> Result<Asked, SchedulerError> {
        if let Some(id) = &visit.external {
            let (status, body) = self.send("look", self.request(Method::GET, &format!("/{}", segment(id)))).await?;
            if status != StatusCode::NOT_FOUND {
                return read(status, &body);
            }
        }
        let key = visit.round_id();
        let ask = json!({
            "externalId": key,
            "category": visit.skills.join(","),
            "creationDate": visit.created.to_string(),
            "relatedParty": [{ "id": visit.customer, "role": "customer", "@referredType": "Customer" }],
            "contactMedium": visit.phone.as_ref().map(|phone| json!([{
                "mediumType": "telephone", "characteristic": { "phoneNumber": phone },
            }])),
            "relatedPlace": { "name": visit.address, "role": "installation address" },
            "relatedEntity": [{ "id": visit.order, "role": "service order", "@referredType": "ServiceOrder" }],
            "status": AppointmentState::Wanted.tmf(),
            "@type": "Appointment",
        });
        let request = self.request(Method::POST, "").header("idempotency-key", &key).json(&ask);
        let (status, body) = self.send("ask", request).await?;
        read(status, &body)
    }

    async fn cancel(&self, visit: &Appointment) -> Result<(), SchedulerError> {
        // One that was perhaps taken, and never answered for, is known by asking again.
        let id = match &visit.external {
            Some(id) => id.clone(),
            None => self.ask(visit).await?.id,
        };
        let request = self.request(Method::PATCH, &format!("/{}", segment(&id)));
        let (status, body) = self.send("cancel", request.json(&json!({ "status": "cancelled" }))).await?;
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::CONFLICT => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(refused(status, &body)),
        }
    }
}

fn read(status: StatusCode, body: &Value) -> Result<Asked, SchedulerError> {
    if !status.is_success() {
        return Err(refused(status, body));
    }
    let unreadable =
        |reason: String| SchedulerError::Refused { reason: format!("its answer cannot be read: {reason}") };
    let answer = Answer::deserialize(body).map_err(|e| unreadable(e.to_string()))?;
    let standing = match answer.status.as_str() {
        "initialized" => Standing::Wanted,
        "cancelled" | "failed" => Standing::Refused,
        "confirmed" => {
            let worker = answer.related_party.iter().find(|party| party.role == "worker");
            let worker = worker.ok_or_else(|| unreadable("it is confirmed without a worker".to_owned()))?;
            let time = |text: Option<&String>| {
                let text = text.ok_or_else(|| unreadable("it is confirmed without a time".to_owned()))?;
                Timestamp::parse(text).map_err(|e| unreadable(e.to_string()))
            };
            let period = answer.valid_for.as_ref();
            let span = Interval {
                from: time(period.and_then(|p| p.start_date_time.as_ref()))?,
                until: time(period.and_then(|p| p.end_date_time.as_ref()))?,
            };
            if span.from >= span.until {
                return Err(unreadable("validFor ends before it starts".to_owned()));
            }
            Standing::Agreed { worker: worker.id.as_str().into(), span }
        }
        other => return Err(unreadable(format!("status `{other}`"))),
    };
    Ok(Asked { id: answer.id, standing })
}

fn refused(status: StatusCode, body: &Value) -> SchedulerError {
    let said = body["reason"].as_str().unwrap_or_default();
    SchedulerError::Refused {
        reason: format!("status {}: {said}", status.as_u16()).trim_end_matches([':', ' ']).to_owned(),
    }
}

/// One path segment (RFC 3986 section 2).
fn segment(id: &str) -> String {
    id.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
