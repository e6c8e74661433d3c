//! Measured, not asserted: `cargo test --release --test it relational_speed -- --ignored --nocapture --test-threads 1`.
//! `LINEGATE_SPEED_ORDERS` is how many orders the last one stores (200,000).

use std::sync::Arc;
use std::time::Instant;

use linegate::adapters::sqlite::{SqliteSettings, SqliteStore};
use linegate::adapters::system::SystemClock;
use linegate::domain::ids::LineId;
use linegate::domain::ordering::OrderState;
use linegate::ports::relational::{LineFilter, OrderFilter, Page, Relational, Write};

use super::sample::{at, happening, invoice, line, october, order, saga, sms, usage};

const PAGE: Page = Page { offset: 0, limit: 50 };

async fn open() -> (Arc<SqliteStore>, tempfile::TempDir) {
    let folder = tempfile::tempdir_in("target").unwrap();
    let store = SqliteStore::open(&super::sqlite::url(folder.path()), SqliteSettings::default()).await.unwrap();
    (Arc::new(store), folder)
}

fn report(what: &str, count: u64, since: Instant) {
    let elapsed = SystemClock::instant().duration_since(since);
    let rate = u128::from(count) * 1_000_000 / elapsed.as_micros().max(1);
    println!("{what}: {count} in {} ms, {rate}/s", elapsed.as_millis());
}

/// `total` saves from `tasks` tasks, each waiting for its save before the next.
async fn save_many(store: &Arc<SqliteStore>, what: &str, total: u64, tasks: u64, writes: fn(u64) -> Vec<Write>) {
    let started = SystemClock::instant();
    let mut running = Vec::new();
    for task in 0..tasks {
        let store = store.clone();
        running.push(tokio::spawn(async move {
            for n in (task..total).step_by(usize::try_from(tasks).unwrap()) {
                store.save(writes(n)).await.unwrap();
            }
        }));
    }
    for task in running {
        task.await.unwrap();
    }
    report(&format!("{what}, {tasks} tasks"), total, started);
}

fn accepted(n: u64) -> Vec<Write> {
    let id = format!("o-{n:09}");
    let secs = i64::try_from(n).unwrap();
    vec![
        Write::Order(order(&id, &format!("l-{n}"), secs)),
        Write::Saga(saga(&id, 4, secs, secs), vec![]),
        Write::Happening(happening(Some(&id), secs)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn relational_speed_of_small_saves() {
    let (store, _folder) = open().await;
    let session = |n: u64| vec![Write::Sessions(vec![(LineId::new(format!("l-{n}")), Default::default())])];
    save_many(&store, "one session", 500, 1, session).await;
    save_many(&store, "one session", 20_000, 256, session).await;
    save_many(&store, "one message", 20_000, 256, |n| {
        vec![Write::Message(sms(&format!("m-{n}"), &format!("l-{n}"), "1", 1))]
    })
    .await;
    save_many(&store, "order, saga and event", 20_000, 256, accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn relational_speed_of_bulk() {
    let (store, _folder) = open().await;
    for round in 0..4_u64 {
        let records: Vec<_> =
            (0..5000).map(|n| usage(&format!("{round}/{n}"), &format!("a-{:06}", n * 7 % 5000), 100, 3)).collect();
        let started = SystemClock::instant();
        store
            .save(vec![Write::Drain { log: 0, after: round, position: round + 1, records: records.into() }])
            .await
            .unwrap();
        report("drained records", 5000, started);
    }
    for round in 0..4_u64 {
        let invoices = (0..5000).map(|n| invoice(&format!("a-{:06}", round * 5000 + n), october(), 1000)).collect();
        let started = SystemClock::instant();
        store.save(vec![Write::Invoices { series: "2026".to_owned(), invoices }]).await.unwrap();
        report("invoices", 5000, started);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn relational_speed_beside_many_orders() {
    let (store, _folder) = open().await;
    let many: u64 = std::env::var("LINEGATE_SPEED_ORDERS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let started = SystemClock::instant();
    for first in (0..many).step_by(2000) {
        let writes = (first..first + 2000).flat_map(|n| {
            let secs = i64::try_from(n).unwrap();
            let mut each = order(&format!("o-{n:09}"), &format!("l-{}", n / 3), secs);
            each.state = if n % 1000 == 0 { OrderState::Held } else { OrderState::Completed };
            let mut line = line(&format!("l-{n}"), &format!("a-{n}"), secs);
            line.profile.imsi = Some(format!("45008{n:010}"));
            let mut saga = saga(each.id.as_str(), 4, secs, secs);
            if n % 10 == 0 {
                saga.wake_at = linegate::domain::time::Timestamp::MAX;
            } else {
                saga.phase = linegate::saga::record::Phase::Done;
            }
            [Write::Order(each), Write::Line(line), Write::Saga(saga, vec![])]
        });
        store.save(writes.collect()).await.unwrap();
    }
    report("orders with line and saga", many, started);
    let any = OrderFilter::default;
    let by_state = OrderFilter { state: Some(OrderState::Held), ..any() };
    let by_line = OrderFilter { line: Some("l-77".into()), ..any() };
    let by_external = OrderFilter { external_id: Some("ext-o-000000777".to_owned()), ..any() };
    for (what, filter) in [("all", any()), ("held", by_state), ("of a line", by_line), ("by external id", by_external)]
    {
        let started = SystemClock::instant();
        let found = store.orders(&filter, PAGE).await.unwrap();
        let took = SystemClock::instant().duration_since(started);
        println!("orders {what}: {} of {} in {} µs", found.items.len(), found.total, took.as_micros());
    }
    let started = SystemClock::instant();
    let reads = store.clone();
    use linegate::ports::relational::{LineReads, OrderReads, OutboxReads};
    reads.order_counts().await.unwrap();
    reads.order(&"o-000000777".into()).await.unwrap();
    reads.due_sagas(at(i64::MAX / 1000), 50).await.unwrap();
    reads.next_wake().await.unwrap();
    reads.line_of_imsi("450080000000777").await.unwrap();
    reads.due_messages(at(1), 50).await.unwrap();
    println!("six point reads: {} µs", SystemClock::instant().duration_since(started).as_micros());
    let started = SystemClock::instant();
    reads.lines(&LineFilter::default(), PAGE).await.unwrap();
    println!("first page of lines with total: {} µs", SystemClock::instant().duration_since(started).as_micros());
    save_many(&store, "order, saga and event beside them", 10_000, 256, |n| accepted(n + 500_000_000)).await;
}
