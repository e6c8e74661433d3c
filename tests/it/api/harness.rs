//! A router over the order room's world, with senders that keep what they get.

use std::io::Read;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use linegate::adapters::memory::MemoryStore;
use linegate::adapters::system::{ManualClock, SeededIds};
use linegate::adapters::tariff_file;
use linegate::api::{
    AccountView, Accounts, ApiParts, ApiState, Balances, CloseRequest, HttpSettings, Imports, MonthOperations,
    OperationError, Readiness, Report, Upload, router,
};
use linegate::domain::account::CommandAnswer;
use linegate::domain::billing::{Charge, ChargeKind, Invoice};
use linegate::domain::cycle::CycleId;
use linegate::domain::ids::{AccountId, LineId, SagaId};
use linegate::domain::money::Currency;
use linegate::domain::rating::request::{ChargeAnswer, Outcome};
use linegate::domain::rating::rerate::{Rerate, Rerated};
use linegate::domain::settlement::Settlement;
use linegate::domain::time::{Interval, Timestamp};
use linegate::domain::usage::{Identifier, RecordKey, SuspenseReason, UsageOutcome, UsageRecord};
use linegate::ports::closing::{ClosedCycle, ClosingError, CycleCloser, Progress};
use linegate::ports::delivery::{DeliveryError, Hook, WebhookSender};
use linegate::ports::documents::{DocumentError, Documents};
use linegate::ports::intake::{IntakeError, RecycleIntake, RerateIntake};
use linegate::ports::relational::{Relational, Write};
use linegate::saga::testing::CrashPlan;
use linegate::saga::{Drive, Engine};
use linegate::services::devices::{DeviceRegistry, DeviceSettings};
use linegate::services::explain::Explain;
use linegate::services::fieldwork::FieldworkSettings;
use linegate::services::month::{BillingSettings, Month};
use linegate::services::outbox::{Outbox, OutboxSettings, Senders};
use linegate::services::rerating::{RerateSettings, Rerating};
use linegate::services::suspense::{Suspense, SuspenseSettings};
use linegate::services::tariffs::{TariffSettings, Tariffs};
use linegate::services::tokens::Tokens;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::sagas::world::{Net, World};

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

#[derive(Default)]
struct Hooks(Mutex<Vec<Hook>>);

#[async_trait]
impl WebhookSender for Hooks {
    async fn send(&self, hook: &Hook) -> Result<(), DeliveryError> {
        self.0.lock().unwrap().push(hook.clone());
        Ok(())
    }

    async fn admits(&self, callback: &str) -> Result<(), DeliveryError> {
        match callback.contains("10.0.0.1") {
            true => Err(DeliveryError::Permanent { reason: "private".to_owned() }),
            false => Ok(()),
        }
    }
}

pub struct NoDocuments;

impl Documents for NoDocuments {
    fn invoice_pdf(&self, _: &Invoice) -> Result<Vec<u8>, DocumentError> {
        Ok(b"%PDF-invoice".to_vec())
    }

    fn settlement_pdf(&self, _: &Settlement, _: Option<&str>) -> Result<Vec<u8>, DocumentError> {
        Ok(b"%PDF-settlement".to_vec())
    }
}

/// Operations that follow the contract of their traits.
struct Operations;

#[async_trait]
impl MonthOperations for Operations {
    async fn close(&self, request: CloseRequest, report: &Report) -> Result<Value, OperationError> {
        if !request.early {
            let reason = format!("cycle {} has not ended", request.cycle);
            return Err(OperationError::Refused { code: "cycle-not-ended", reason });
        }
        report.line(json!({ "state": "closing" })).await;
        Ok(json!({ "dryRun": request.dry_run }))
    }
}

#[async_trait]
impl Imports for Operations {
    async fn usage_file(&self, file: &Upload, report: &Report) -> Result<Value, OperationError> {
        let mut text = String::new();
        std::fs::File::open(&file.path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, file.size);
        let mut taken = 0;
        for (i, row) in text.lines().enumerate().skip(1) {
            match row.parse::<u32>() {
                Ok(_) => taken += 1,
                Err(_) => report.line(json!({ "row": i + 1, "reason": row })).await,
            }
        }
        Ok(json!({ "taken": taken }))
    }

    async fn corrected_row(&self, _: &UsageRecord, text: &str) -> Result<ChargeAnswer, OperationError> {
        match text.lines().count() {
            2 => Ok(ChargeAnswer::bare(Outcome::Success)),
            _ => Err(OperationError::Refused { code: "bad-row", reason: text.to_owned() }),
        }
    }

    async fn lines(&self, _: &Upload, _: &Report) -> Result<Value, OperationError> {
        Err(OperationError::Refused { code: "bad-header", reason: "no header".to_owned() })
    }
}

#[async_trait]
impl Balances for Operations {
    async fn balance(&self, _: &AccountId) -> Result<Option<linegate::domain::account::AccountView>, OperationError> {
        Ok(None)
    }

    async fn top_up(&self, _: &AccountId, line: &LineId, _: &str, octets: u64) -> Result<(), OperationError> {
        match octets {
            666 => Err(OperationError::Refused { code: "nothing-to-top-up", reason: line.to_string() }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl CycleCloser for Operations {
    async fn close_cycle(&self, _: CycleId, _: Progress<'_>) -> Result<ClosedCycle, ClosingError> {
        Ok(ClosedCycle { accounts: 0, position: 0 })
    }

    async fn drain_until(&self, _: u64) -> Result<(), ClosingError> {
        Ok(())
    }
}

#[async_trait]
impl RecycleIntake for Operations {
    async fn recycle(&self, _: UsageRecord) -> Result<ChargeAnswer, IntakeError> {
        let suspense = Some(SuspenseReason::UnknownLine);
        Ok(ChargeAnswer { suspense, ..ChargeAnswer::bare(Outcome::Success) })
    }

    async fn settled(&self) -> Result<(), IntakeError> {
        Ok(())
    }
}

#[async_trait]
impl RerateIntake for Operations {
    async fn rerate(&self, _: &AccountId, ask: Rerate) -> Result<CommandAnswer, IntakeError> {
        let changed = if ask.dry_run { 1 } else { 2 };
        Ok(CommandAnswer::Rerated(Rerated { records: 3, changed, before: 30, after: 20 }))
    }

    async fn settled(&self) -> Result<(), IntakeError> {
        Ok(())
    }
}

#[async_trait]
impl Accounts for Operations {
    async fn account(&self, _: &AccountId) -> Result<Option<AccountView>, OperationError> {
        Ok(None)
    }
}

pub struct Api {
    pub router: Router,
    engine: Arc<Engine<Write>>,
    hooks: Arc<Hooks>,
    pub net: Arc<Net>,
    pub clock: Arc<ManualClock>,
    pub store: Arc<MemoryStore>,
    pub outbox: Arc<Outbox>,
    pub readiness: Arc<Readiness>,
    pub devices: Arc<DeviceRegistry>,
}

impl Api {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut HttpSettings)) -> Self {
        Self::over(World::new(CrashPlan::never()).await, change).await
    }

    /// With what a finished job has to say.
    pub async fn with_fieldwork(settings: FieldworkSettings) -> Self {
        let mut world = World::new(CrashPlan::never()).await;
        world.fieldwork = world.fieldwork_with(settings);
        Self::over(world, |_| {}).await
    }

    async fn over(world: World, change: impl FnOnce(&mut HttpSettings)) -> Self {
        let store: Arc<dyn Relational> = world.store.clone();
        let ids = Arc::new(SeededIds::from_seed(11));
        let hooks = Arc::new(Hooks::default());
        let documents = Arc::new(NoDocuments);
        let senders = Senders { webhooks: hooks.clone(), sms: None, mail: None, documents: documents.clone() };
        let settings = OutboxSettings::default();
        let outbox = Arc::new(Outbox::new(store.clone(), senders, world.clock.clone(), ids.clone(), settings));
        let mut http = HttpSettings::default();
        change(&mut http);
        let readiness = Arc::new(Readiness::default());
        let devices = Arc::new(DeviceRegistry::new(
            store.clone(),
            world.net.clone(),
            world.clock.clone(),
            ids.clone(),
            DeviceSettings::default(),
        ));
        let (of_suspense, clock) = (Arc::new(Operations), world.clock.clone());
        let suspense = Suspense::new(store.clone(), of_suspense, clock, SuspenseSettings::default());
        let (of_rerating, settings) = (Arc::new(Operations), RerateSettings::default());
        let tariff = tariff_file::shipped().unwrap().into();
        let rerating = Rerating::new(store.clone(), of_rerating, tariff, world.clock.clone(), settings);
        let (files, clock) = (tariff_file::shipped().unwrap().into(), world.clock.clone());
        let tariffs = Tariffs::open(store.clone(), clock, files, TariffSettings::default()).await.unwrap();
        let (closer, book, clock) = (Arc::new(Operations), tariffs.book(), world.clock.clone());
        let previews = Month::new(store.clone(), closer, book, clock, BillingSettings::default()).unwrap();
        let explain = Explain::new(store.clone(), tariff_file::shipped().unwrap().into());
        let parts = ApiParts {
            tokens: Arc::new(Tokens::open("secret", store.as_ref(), ids.as_ref()).await.unwrap()),
            store,
            clock: world.clock.clone(),
            ids,
            ordering: world.ordering,
            scheduling: Arc::new(world.scheduling),
            fieldwork: Arc::new(world.fieldwork),
            devices: devices.clone(),
            outbox: outbox.clone(),
            webhooks: hooks.clone(),
            documents,
            month: Arc::new(Operations),
            imports: Arc::new(Operations),
            accounts: Arc::new(Operations),
            balances: Arc::new(Operations),
            explain: Arc::new(explain),
            rerating: Arc::new(rerating),
            suspense: Arc::new(suspense),
            tariffs: Arc::new(tariffs),
            previews: Arc::new(previews),
            currency: Currency::KRW,
            readiness: readiness.clone(),
            settings: http,
        };
        let router = router(ApiState::new(parts));
        Self {
            router,
            devices,
            engine: world.engine,
            hooks,
            net: world.net,
            clock: world.clock,
            store: world.store,
            outbox,
            readiness,
        }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, text, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], String::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", &escape_path(path), &[], body.to_string()).await
    }

    /// Drives the order's saga until it waits for something outside or a person, or ends.
    pub async fn drive(&self, order: &str) {
        let drive = self.engine.drive(&SagaId::from(order)).await.unwrap();
        assert!(matches!(drive, Drive::Finished | Drive::Parked(_) | Drive::Stuck), "{drive:?}");
    }

    /// Orders and drives; the order's id.
    pub async fn carry_out(&self, body: &Value) -> String {
        let made = self.post("/tmf-api/serviceOrdering/v4/serviceOrder", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let id = made.body["id"].as_str().unwrap().to_owned();
        self.drive(&id).await;
        id
    }

    pub fn sent(&self) -> Vec<Hook> {
        self.hooks.0.lock().unwrap().clone()
    }
}

/// One path segment.
pub fn escape(segment: &str) -> String {
    segment.replace('%', "%25").replace('/', "%2F").replace(' ', "%20").replace('#', "%23")
}

/// A href whose last segment is an id as it is.
fn escape_path(path: &str) -> String {
    const BASE: &str = "/tmf-api/workOrderManagement/v4/workOrder/";
    path.strip_prefix(BASE).map_or_else(|| path.to_owned(), |id| format!("{BASE}{}", escape(id)))
}

pub fn activate(line: &str, imsi: &str) -> Value {
    json!({
        "relatedParty": [{ "id": "customer-1", "role": "customer" }],
        "priority": "2",
        "requestedStartDate": "2026-01-01T00:00:00Z",
        "serviceOrderItem": [{
            "id": "1",
            "action": "add",
            "service": {
                "id": line,
                "name": "meter",
                "state": "active",
                "serviceSpecification": { "id": "cellular" },
                "serviceCharacteristic": [
                    { "name": "imsi", "value": imsi },
                    { "name": "plan", "value": "iot-payg" },
                    { "name": "apns", "value": ["iot.example"] },
                    { "name": "phone", "value": "+821012345678" },
                ],
            },
        }],
    })
}

pub fn internet(line: &str) -> Value {
    json!({
        "relatedParty": [{ "id": "customer-1", "role": "customer" }],
        "serviceOrderItem": [{
            "id": "1",
            "action": "add",
            "service": {
                "id": line,
                "serviceSpecification": { "id": "internet" },
                "serviceCharacteristic": [
                    { "name": "plan", "value": "internet-500m" },
                    { "name": "address", "value": "Seoul, Jongno-gu 1" },
                ],
            },
        }],
    })
}

pub fn order_body(action: &str, line: &str, state: Option<&str>) -> Value {
    let mut service = json!({ "id": line });
    if let Some(state) = state {
        service["state"] = json!(state);
    }
    json!({
        "relatedParty": [{ "id": "customer-1", "role": "customer" }],
        "serviceOrderItem": [{ "id": "1", "action": action, "service": service }],
    })
}

pub fn rated(id: &str, line: &str, octets: u64, amount: i64) -> UsageRecord {
    UsageRecord {
        key: RecordKey::File(id.to_owned()),
        rating_group: 0,
        outcome: UsageOutcome::Rated,
        line: Some(line.into()),
        account: Some(line.into()),
        cycle: Some("2026-10".parse().unwrap()),
        late_for: None,
        plan: Some("iot-payg".into()),
        tariff_version: 1,
        apn: Some("iot.example".into()),
        subscriber: None,
        starts: Timestamp(1_000),
        ends: Timestamp(2_000),
        received: Timestamp(3_000),
        octets,
        amount,
        postings: vec![],
        crossed: Vec::new(),
        told: None,
        detail: None,
    }
}

pub fn suspended(id: &str, imsi: &str) -> UsageRecord {
    UsageRecord {
        outcome: UsageOutcome::Suspense(SuspenseReason::UnknownLine),
        line: None,
        account: None,
        cycle: None,
        subscriber: Some(Identifier::imsi(imsi)),
        amount: 0,
        ..rated(id, "", 5, 0)
    }
}

pub fn invoice(id: &str, customer: &str) -> Invoice {
    let span = Interval { from: Timestamp(0), until: Timestamp(10_000) };
    let charge = Charge {
        line: "line-1".into(),
        plan: "iot-payg".into(),
        product: "iot".to_owned(),
        department: "iot".to_owned(),
        kind: ChargeKind::Usage,
        description: "사용료".to_owned(),
        span,
        quantity: 1_000,
        amount: 1_030,
        late_for: None,
    };
    Invoice {
        id: id.into(),
        number: None,
        account: "line-1".into(),
        customer: customer.into(),
        email: None,
        cycle: "2026-10".parse().unwrap(),
        span,
        currency: Currency::KRW,
        charges: vec![charge],
        net: 1_030,
        tax_percent: 10,
        tax: 103,
        gross: 1_133,
        issued: Timestamp(20_000),
    }
}
