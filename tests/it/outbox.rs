//! Messages of the outbox on their way out: order, retries, death, replay.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use linegate::adapters::memory::MemoryStore;
use linegate::adapters::system::{ManualClock, SeededIds};
use linegate::domain::ids::MessageId;
use linegate::domain::money::Currency;
use linegate::domain::notification::{Body, Happening, Message, Recipient};
use linegate::domain::settlement::{Settlement, SettlementRow};
use linegate::domain::time::Timestamp;
use linegate::ports::Clock;
use linegate::ports::delivery::{DeliveryError, Hook, Mail, Mailer, Sms, SmsGateway, WebhookSender};
use linegate::ports::relational::{DeliveryState, Listener, OutboxReads, Page, Relational, Write};
use linegate::services::outbox::{DeadFilter, Outbox, OutboxSettings, ReplayError, Senders};
use serde_json::{Value, json};

use crate::api::harness::NoDocuments;

const ALL: Page = Page { offset: 0, limit: 100 };

/// Takes everything down, and fails as often as it is told, by recipient.
#[derive(Default)]
struct Far {
    took: Mutex<Vec<(String, String)>>,
    mails: Mutex<Vec<Mail>>,
    hooks: Mutex<Vec<Hook>>,
    failing: Mutex<BTreeMap<String, DeliveryError>>,
}

impl Far {
    fn take(&self, to: &str, id: &str) -> Result<(), DeliveryError> {
        if let Some(error) = self.failing.lock().unwrap().get(to) {
            return Err(error.clone());
        }
        self.took.lock().unwrap().push((to.to_owned(), id.to_owned()));
        Ok(())
    }
}

#[async_trait]
impl WebhookSender for Far {
    async fn send(&self, hook: &Hook) -> Result<(), DeliveryError> {
        self.take(&hook.callback, &hook.id)?;
        self.hooks.lock().unwrap().push(hook.clone());
        Ok(())
    }

    async fn admits(&self, _: &str) -> Result<(), DeliveryError> {
        Ok(())
    }
}

#[async_trait]
impl SmsGateway for Far {
    async fn send(&self, sms: &Sms) -> Result<(), DeliveryError> {
        self.take(&sms.to, &sms.id)
    }
}

#[async_trait]
impl Mailer for Far {
    async fn send(&self, mail: &Mail) -> Result<(), DeliveryError> {
        self.take(&mail.to, &mail.message_id)?;
        self.mails.lock().unwrap().push(mail.clone());
        Ok(())
    }
}

struct Desk {
    far: Arc<Far>,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    outbox: Arc<Outbox>,
}

impl Desk {
    fn new() -> Self {
        let (far, store) = (Arc::new(Far::default()), Arc::new(MemoryStore::new()));
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let senders = Senders {
            webhooks: far.clone(),
            sms: Some(far.clone()),
            mail: Some(far.clone()),
            documents: Arc::new(NoDocuments),
        };
        let settings =
            OutboxSettings { attempts_max: 3, concurrency: 4, concurrency_per_target: 1, ..OutboxSettings::default() };
        let ids = Arc::new(SeededIds::from_seed(3));
        let outbox = Arc::new(Outbox::new(store.clone(), senders, clock.clone(), ids, settings));
        Self { far, store, clock, outbox }
    }

    async fn put(&self, id: &str, stream: &str, to: Recipient, body: Body) {
        let message =
            Message { id: id.into(), stream: stream.into(), once_key: None, to, body, created: self.clock.now() };
        self.store.save(vec![Write::Message(message)]).await.unwrap();
    }

    async fn sms(&self, id: &str, stream: &str, phone: &str) {
        let to = Recipient::Sms { phone: phone.to_owned() };
        self.put(id, stream, to, Body::Text { text: "hello".to_owned() }).await;
    }

    fn fail(&self, to: &str, error: Option<DeliveryError>) {
        let mut failing = self.far.failing.lock().unwrap();
        match error {
            Some(error) => failing.insert(to.to_owned(), error),
            None => failing.remove(to),
        };
    }

    async fn drain(&self) {
        self.outbox.drain().await.unwrap();
    }

    /// What went out since the last time, `to id`.
    fn took(&self) -> Vec<String> {
        self.far.took.lock().unwrap().drain(..).map(|(to, id)| format!("{to} {id}")).collect()
    }

    async fn state(&self, id: &str) -> DeliveryState {
        let all = self.store.messages(None, None, ALL).await.unwrap();
        all.items.into_iter().find(|e| e.message.id.as_str() == id).unwrap().delivery
    }
}

fn busy() -> Option<DeliveryError> {
    Some(DeliveryError::Transient { reason: "busy".to_owned() })
}

#[tokio::test]
async fn messages_of_one_stream_leave_in_order_and_others_pass_a_blocked_one() {
    let desk = Desk::new();
    desk.fail("111", busy());
    desk.sms("a1", "line/a", "111").await;
    desk.sms("a2", "line/a", "111").await;
    desk.sms("b1", "line/b", "222").await;
    desk.drain().await;
    assert_eq!(desk.took(), ["222 b1"]);
    assert!(matches!(desk.state("a1").await, DeliveryState::Pending { attempts: 1, .. }));
    assert!(matches!(desk.state("a2").await, DeliveryState::Pending { attempts: 0, .. }));
    desk.fail("111", None);
    desk.drain().await;
    assert_eq!(desk.took(), [""; 0], "the first waits for its time, and the second for the first");
    desk.clock.advance(Duration::from_millis(1_500));
    desk.drain().await;
    assert_eq!(desk.took(), ["111 a1", "111 a2"]);
}

#[tokio::test]
async fn a_message_that_cannot_leave_is_dead_lets_the_next_pass_and_can_be_replayed() {
    let desk = Desk::new();
    desk.fail("111", Some(DeliveryError::Permanent { reason: "no such number".to_owned() }));
    desk.sms("a1", "line/a", "111").await;
    desk.drain().await;
    assert!(matches!(desk.state("a1").await, DeliveryState::Dead { reason, .. } if reason == "no such number"));
    desk.fail("111", None);
    desk.sms("a2", "line/a", "111").await;
    desk.drain().await;
    assert_eq!(desk.took(), ["111 a2"]);
    desk.outbox.replay(&MessageId::from("a1")).await.unwrap();
    desk.drain().await;
    assert_eq!(desk.took(), ["111 a1"]);
    let again = desk.outbox.replay(&MessageId::from("a1")).await;
    assert!(matches!(again, Err(ReplayError::NotDead(_))));
}

#[tokio::test]
async fn the_dead_of_one_reason_are_replayed_together_and_the_others_stay() {
    let desk = Desk::new();
    for (phone, reason) in [("111", "status 503"), ("222", "no such number"), ("333", "status 503")] {
        desk.fail(phone, Some(DeliveryError::Permanent { reason: reason.to_owned() }));
        desk.sms(&format!("to-{phone}"), phone, phone).await;
    }
    desk.drain().await;
    for phone in ["111", "222", "333"] {
        desk.fail(phone, None);
    }
    let filter = |channel: &str| DeadFilter {
        channel: Some(channel.to_owned()),
        reason: Some("503".to_owned()),
        ..DeadFilter::default()
    };
    assert!(desk.outbox.replay_all(&filter("mail"), 10).await.unwrap().is_empty());
    let first = desk.outbox.replay_all(&filter("sms"), 1).await.unwrap();
    assert!(matches!(&first[..], [(id, Ok(()))] if id.as_str() == "to-333"), "{first:?}");
    assert_eq!(desk.outbox.replay_all(&filter("sms"), 10).await.unwrap().len(), 1);
    desk.drain().await;
    let mut took = desk.took();
    took.sort();
    assert_eq!(took, ["111 to-111", "333 to-333"]);
    assert!(matches!(desk.state("to-222").await, DeliveryState::Dead { .. }));
}

#[tokio::test]
async fn tries_grow_apart_and_end() {
    let desk = Desk::new();
    desk.fail("111", busy());
    desk.sms("a1", "line/a", "111").await;
    let mut waits = Vec::new();
    for _ in 0..2 {
        desk.drain().await;
        let DeliveryState::Pending { next_attempt, .. } = desk.state("a1").await else { panic!("still pending") };
        waits.push(next_attempt.since(desk.clock.now()).as_millis());
        desk.clock.set(next_attempt);
    }
    assert!((1_000..=1_500).contains(&waits[0]), "{waits:?}");
    assert!((2_000..=3_000).contains(&waits[1]), "{waits:?}");
    desk.drain().await;
    assert!(matches!(desk.state("a1").await, DeliveryState::Dead { reason, .. } if reason == "after 3 tries: busy"));
}

#[tokio::test]
async fn a_happening_reaches_its_listeners_once_under_one_id() {
    let desk = Desk::new();
    let listener = |id: &str, api: &str, query: &str| {
        Write::Listener(Listener {
            id: id.into(),
            callback: id.to_owned(),
            query: query.to_owned(),
            api: api.to_owned(),
            secret: "0123456789abcdef".to_owned(),
        })
    };
    let happening = |event_type: &str| {
        Write::Happening(Happening {
            event_type: event_type.to_owned(),
            at: Timestamp(5_000),
            order: Some("o-1".into()),
            line: Some("l-1".into()),
            customer: None,
            event: json!({ "serviceOrder": { "id": "o-1" } }),
        })
    };
    let writes = vec![
        listener("all-orders", "serviceOrdering", ""),
        listener("created", "serviceOrdering", "eventType=ServiceOrderCreateEvent"),
        listener("lines", "serviceInventory", ""),
        happening("ServiceOrderCreateEvent"),
        happening("ServiceOrderStateChangeEvent"),
    ];
    desk.store.save(writes).await.unwrap();
    desk.drain().await;
    desk.drain().await;
    let hooks = desk.far.hooks.lock().unwrap().clone();
    let to = |callback: &str| hooks.iter().filter(|h| h.callback == callback).collect::<Vec<_>>();
    assert_eq!((to("all-orders").len(), to("created").len(), to("lines").len()), (2, 1, 0));
    let events: Vec<Value> = to("all-orders").iter().map(|h| serde_json::from_slice(&h.payload).unwrap()).collect();
    assert_eq!(events[0]["eventType"], "ServiceOrderCreateEvent");
    assert_eq!(events[1]["eventType"], "ServiceOrderStateChangeEvent");
    assert_eq!(events[0]["eventTime"], "1970-01-01T00:00:05.000Z");
    assert_eq!(events[0]["correlationId"], "o-1");
    let same: Value = serde_json::from_slice(&to("created")[0].payload).unwrap();
    assert_eq!(same["eventId"], events[0]["eventId"], "one event has one id, whoever hears it");
    assert_ne!(to("created")[0].id, to("all-orders")[0].id);
}

#[tokio::test]
async fn a_settlement_is_mailed_with_its_departments_rows_under_a_stable_id() {
    let desk = Desk::new();
    let row = |department: &str, net: i64| SettlementRow {
        department: department.to_owned(),
        product: "iot".to_owned(),
        lines: 1,
        octets: 5,
        recurring: net,
        one_time: 0,
        usage: 0,
        net,
    };
    let settlement = Settlement {
        cycle: "2026-10".parse().unwrap(),
        currency: Currency::KRW,
        rows: vec![row("iot", 1_000), row("home", 70_000)],
        invoices: 2,
        net: 71_000,
        tax: 7_100,
        gross: 78_100,
    };
    desk.store.save(vec![Write::Settlement(settlement)]).await.unwrap();
    let to = Recipient::Mail { address: "iot@example.com".to_owned() };
    let body = Body::Settlement { cycle: "2026-10".parse().unwrap(), department: "iot".to_owned() };
    desk.put("settlement/2026-10/iot", "settlement", to.clone(), body).await;
    let body = Body::Invoice { invoice: "nothing".into() };
    desk.put("invoice-1", "invoice", to, body).await;
    desk.drain().await;
    let mails = desk.far.mails.lock().unwrap().clone();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].message_id, "settlement_2f_2026-10_2f_iot@gateway.linegate.example");
    let names: Vec<&str> = mails[0].attachments.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["settlement-2026-10.csv", "settlement-2026-10.json", "settlement-2026-10.pdf"]);
    let csv = String::from_utf8(mails[0].attachments[0].2.clone()).unwrap();
    assert!(csv.contains(",iot,iot,1,5,1000,") && !csv.contains("home"), "{csv}");
    assert!(matches!(desk.state("invoice-1").await, DeliveryState::Dead { .. }), "an unknown invoice never leaves");
}

#[tokio::test]
async fn the_loop_is_woken_by_its_bell_and_ends_when_told() {
    let desk = Desk::new();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(desk.outbox.clone().run(stop.clone()));
    desk.sms("a1", "line/a", "111").await;
    desk.outbox.wake();
    while desk.far.took.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    assert!(matches!(desk.state("a1").await, DeliveryState::Sent { .. }));
}
