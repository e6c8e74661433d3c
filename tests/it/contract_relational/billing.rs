//! Usage, invoices, settlement.

use linegate::domain::cycle::CycleId;
use linegate::domain::ids::AccountId;
use linegate::domain::ledger::{LedgerSide, Posting, Unit};
use linegate::domain::money::Currency;
use linegate::domain::settlement::{Settlement, SettlementRow};
use linegate::domain::tariff::ThresholdAction;
use linegate::domain::usage::{
    Crossing, Identifier, RecordKey, SuspenseReason, UsageOutcome, UsageRecord, UsageSource,
};
use linegate::ports::relational::{CloseRun, CloseState, Page, UsageFilter, UsageTotal, Write};

use super::sample::{at, invoice, october, usage};
use super::{ALL, Store, check_conflict};

fn drain(position: u64, records: &[UsageRecord]) -> Vec<Write> {
    drain_after(position - 1, position, records)
}

fn drain_after(after: u64, position: u64, records: &[UsageRecord]) -> Vec<Write> {
    vec![Write::Drain { log: 0, after, position, records: records.to_vec().into() }]
}

/// Each threshold becomes one event, however often its record is drained.
pub(crate) async fn a_threshold_becomes_one_event(store: &Store) {
    let crossed = ["half", "full"].map(|name| Crossing { threshold: name.to_owned(), action: ThresholdAction::Notify });
    let records = [UsageRecord { crossed: crossed.to_vec(), ..usage("1", "a", 100, 3) }, usage("2", "a", 50, 3)];
    store.save(drain_after(0, 2, &records)).await.unwrap();
    store.save(drain_after(0, 2, &records)).await.unwrap();
    let told = store.happenings_after(0, 10).await.unwrap();
    let names: Vec<_> = told.iter().map(|h| h.happening.event["usageThreshold"]["threshold"].clone()).collect();
    assert_eq!(names, ["half", "full"]);
    assert!(told.iter().all(|h| h.happening.event_type == "UsageThresholdEvent"));
    let stored = store.usage(&UsageFilter::default(), ALL).await.unwrap();
    assert_eq!(stored.total, 2);
}

fn suspense(key: &str, group: u32, reason: SuspenseReason) -> UsageRecord {
    UsageRecord {
        rating_group: group,
        outcome: UsageOutcome::Suspense(reason),
        line: None,
        account: None,
        cycle: None,
        plan: None,
        subscriber: Some(Identifier::imsi("450080000000001")),
        amount: 0,
        postings: Vec::new(),
        detail: Some("{bad".to_owned()),
        ..usage(key, "a", 5, 0)
    }
}

async fn totals(store: &Store) -> Vec<(String, String, u64, i64, u64)> {
    let totals = store.usage_totals(october(), &"".into(), &"~".into()).await.unwrap();
    totals
        .into_iter()
        .map(|t| {
            let late = t.late_for.map_or(String::new(), |c| format!(" late for {c}"));
            (format!("{}{late}", t.account), t.plan.to_string(), t.octets, t.amount, t.records)
        })
        .collect()
}

pub(crate) async fn a_repeated_drain_changes_nothing(store: &Store) {
    assert_eq!(store.drain_cursor().await.unwrap(), 0);
    let first = [usage("1", "a", 100, 3), usage("2", "a", 50, 3)];
    store.save(drain_after(0, 2, &first)).await.unwrap();
    store.save(drain_after(0, 2, &first)).await.unwrap();
    store.save(drain(1, &[usage("0", "a", 1, 1)])).await.unwrap();
    assert_eq!(store.drain_cursor().await.unwrap(), 2);
    store.save(drain_after(2, 5, &[usage("3", "a", 7, 0)])).await.unwrap();
    store.save(drain_after(5, 9, &[])).await.unwrap();
    assert_eq!(store.drain_cursor().await.unwrap(), 9);
    assert_eq!(store.usage(&UsageFilter::default(), ALL).await.unwrap().total, 3);
    assert_eq!(totals(store).await, [("a".to_owned(), "iot-payg".to_owned(), 157, 6, 3)]);
    // Refused together with something else, it leaves no trace.
    let mut refused = drain_after(9, 20, &[usage("4", "a", 7, 0)]);
    refused.push(Write::HoldSlot("none".into()));
    check_conflict(store.save(refused).await, "none");
    assert_eq!(store.drain_cursor().await.unwrap(), 9);
    assert_eq!(store.usage(&UsageFilter::default(), ALL).await.unwrap().total, 3);
}

pub(crate) async fn of_two_drains_of_a_log_one_is_refused(store: &Store) {
    store.save(drain_after(0, 4, &[usage("1", "a", 100, 3), usage("2", "a", 50, 3)])).await.unwrap();
    // It read the same entries, and one more.
    let slower = drain_after(0, 6, &[usage("1", "a", 100, 3), usage("2", "a", 50, 3), usage("3", "a", 7, 1)]);
    check_conflict(store.save(slower).await, "drain");
    store.save(drain_after(4, 6, &[usage("3", "a", 7, 1)])).await.unwrap();
    let other_log = Write::Drain { log: 63, after: 0, position: 2, records: vec![usage("4", "a", 9, 1)].into() };
    store.save(vec![other_log]).await.unwrap();
    assert_eq!(store.drain_cursors().await.unwrap().into_iter().collect::<Vec<_>>(), [(0, 6), (63, 2)]);
    assert_eq!(store.usage(&UsageFilter::default(), ALL).await.unwrap().total, 4);
}

pub(crate) async fn usage_comes_back_as_it_was(store: &Store) {
    let keys = [
        RecordKey::Gy("pgw.example;1;2/3".into(), 4),
        RecordKey::Rf("cdf;9".into(), 0),
        RecordKey::Modem("m/1".into(), 1, 2, 1 << 40),
        RecordKey::File("digest/12".to_owned()),
    ];
    let mut records: Vec<UsageRecord> = keys
        .into_iter()
        .map(|key| UsageRecord { key, late_for: Some(october().previous()), ..usage("", "a", 9, 2) })
        .collect();
    records.push(suspense("s", 3, SuspenseReason::BadRecord));
    records.push(UsageRecord {
        outcome: UsageOutcome::Reconciled,
        amount: 0,
        postings: vec![],
        ..usage("r", "a", 9, 0)
    });
    store.save(drain(1, &records)).await.unwrap();
    let stored = store.usage(&UsageFilter::default(), ALL).await.unwrap().items;
    for one in &stored {
        assert_eq!(store.usage_at(one.sequence).await.unwrap().as_ref(), Some(one));
    }
    let mut stored: Vec<UsageRecord> = stored.into_iter().map(|one| one.record).collect();
    stored.sort_by_key(|r| r.key.to_string());
    records.sort_by_key(|r| r.key.to_string());
    assert_eq!(stored, records);
}

pub(crate) async fn usage_is_summed_by_account_line_plan_and_late_cycle(store: &Store) {
    let late = UsageRecord { late_for: Some(october().previous()), ..usage("4", "a", 1000, 30) };
    let other_plan = UsageRecord { plan: Some("iot-10mb".into()), ..usage("5", "a", 1, 1) };
    let other_month = UsageRecord { cycle: Some(october().next()), ..usage("6", "a", 1, 1) };
    let reconciled = UsageRecord { outcome: UsageOutcome::Reconciled, ..usage("7", "a", 1, 1) };
    let records = [
        usage("1", "b", 10, 1),
        usage("2", "a", 20, 2),
        usage("3", "b", 30, -3),
        late,
        other_plan,
        other_month,
        reconciled,
        suspense("8", 0, SuspenseReason::UnknownLine),
    ];
    store.save(drain(1, &records[..3])).await.unwrap();
    store.save(drain(2, &records[3..])).await.unwrap();
    let row =
        |who: &str, plan: &str, octets, amount, records| (who.to_owned(), plan.to_owned(), octets, amount, records);
    let want = [
        row("a", "iot-10mb", 1, 1, 1),
        row("a", "iot-payg", 20, 2, 1),
        row("a late for 2026-09", "iot-payg", 1000, 30, 1),
        row("b", "iot-payg", 40, -2, 2),
    ];
    assert_eq!(totals(store).await, want);
    let only_b: Vec<UsageTotal> = store.usage_totals(october(), &"b".into(), &AccountId::from("b")).await.unwrap();
    assert_eq!(only_b.len(), 1);
    assert_eq!((only_b[0].line.as_str(), only_b[0].records), ("l-b", 2));
}

pub(crate) async fn suspense_is_kept_once_by_key_and_rating_group(store: &Store) {
    let reason = SuspenseReason::UnknownLine;
    store
        .save(drain(1, &[suspense("s", 0, reason), suspense("s", 1, reason), suspense("s", 0, reason)]))
        .await
        .unwrap();
    store.save(drain(2, &[suspense("s", 1, SuspenseReason::ForeignApn), usage("s", "a", 1, 0)])).await.unwrap();
    let of = |outcome: &str| UsageFilter { outcome: Some(outcome.to_owned()), ..UsageFilter::default() };
    let found = store.usage(&of("suspense"), ALL).await.unwrap();
    assert_eq!(found.total, 1);
    let found = found.items.first().map(|r| (r.rating_group, r.outcome));
    assert_eq!(found, Some((1, UsageOutcome::Suspense(reason))));
    assert_eq!(store.usage(&of("recycled"), ALL).await.unwrap().total, 1);
    assert_eq!(store.usage(&of("rated"), ALL).await.unwrap().total, 1);
}

pub(crate) async fn usage_is_found_by_each_filter_newest_first(store: &Store) {
    let gy = UsageRecord { key: RecordKey::Gy("s".into(), 1), ..usage("", "a", 1, 0) };
    let next = UsageRecord { cycle: Some(october().next()), ..usage("next", "a", 2, 0) };
    let reconciled = UsageRecord { outcome: UsageOutcome::Reconciled, ..usage("r", "b", 3, 0) };
    store.save(drain(1, &[gy])).await.unwrap();
    store.save(drain(2, &[next])).await.unwrap();
    store.save(drain(3, &[reconciled])).await.unwrap();
    store.save(drain(4, &[suspense("s", 0, SuspenseReason::ForeignApn)])).await.unwrap();
    let any = UsageFilter::default;
    let outcome = |text: &str| UsageFilter { outcome: Some(text.to_owned()), ..UsageFilter::default() };
    let table = [
        (any(), vec![5, 3, 2, 1]),
        (UsageFilter { line: Some("l-a".into()), ..any() }, vec![2, 1]),
        (UsageFilter { cycle: Some(october()), ..any() }, vec![3, 1]),
        (UsageFilter { line: Some("l-a".into()), cycle: Some(october()), ..any() }, vec![1]),
        (UsageFilter { source: Some(UsageSource::Gy), ..any() }, vec![1]),
        (outcome("rated"), vec![2, 1]),
        (outcome("reconciled"), vec![3]),
        (outcome("suspense"), vec![5]),
        (outcome("foreign-apn"), vec![5]),
        (outcome("bad-record"), vec![]),
    ];
    for (filter, want) in table {
        let found = store.usage(&filter, ALL).await.unwrap();
        assert_eq!(found.items.iter().map(|r| r.octets).collect::<Vec<_>>(), want, "{filter:?}");
        assert_eq!(found.total, want.len() as u64, "{filter:?}");
        let second = store.usage(&filter, Page { offset: 1, limit: 1 }).await.unwrap();
        assert_eq!(second.items.first().map(|r| r.octets), want.get(1).copied(), "{filter:?}");
    }
}

fn bills(accounts: &[&str], cycle: CycleId) -> Write {
    let invoices = accounts.iter().map(|a| invoice(a, cycle, 1000)).collect();
    Write::Invoices { series: "2026".to_owned(), invoices }
}

async fn numbers(store: &Store) -> Vec<(String, String)> {
    let invoices = store.invoices(None, None, ALL).await.unwrap().items;
    invoices.iter().map(|i| (i.number.as_ref().unwrap().to_string(), format!("{} {}", i.account, i.cycle))).collect()
}

fn numbered(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(number, of)| ((*number).to_owned(), (*of).to_owned())).collect()
}

pub(crate) async fn an_account_and_cycle_is_billed_once(store: &Store) {
    store.save(vec![bills(&["a", "b"], october())]).await.unwrap();
    let first = store.invoice(&"inv-a-2026-10".into()).await.unwrap().unwrap();
    let mut changed = invoice("a", october(), 9999);
    changed.0.id = "another".into();
    let again = Write::Invoices { series: "2026".to_owned(), invoices: vec![changed] };
    store.save(vec![again, bills(&["b", "c", "c"], october()), bills(&["a"], october().next())]).await.unwrap();
    assert_eq!(store.invoice(&"inv-a-2026-10".into()).await.unwrap(), Some(first));
    assert_eq!(store.invoice(&"another".into()).await.unwrap(), None);
    let want = numbered(&[
        ("2026-000001", "a 2026-10"),
        ("2026-000002", "b 2026-10"),
        ("2026-000003", "c 2026-10"),
        ("2026-000004", "a 2026-11"),
    ]);
    assert_eq!(numbers(store).await, want);
    let other_series = Write::Invoices { series: "2027".to_owned(), invoices: vec![invoice("d", october(), 1)] };
    store.save(vec![other_series]).await.unwrap();
    assert_eq!(numbers(store).await.last().unwrap().0, "2027-000001");
    let of_cycle = store.invoices(Some(october()), None, Page { offset: 1, limit: 2 }).await.unwrap();
    assert_eq!(of_cycle.items.iter().map(|i| i.account.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(of_cycle.total, 4);
    let of_customer = store.invoices(None, Some(&"c-a".into()), ALL).await.unwrap();
    assert_eq!(of_customer.total, 2);
    let both = store.invoices(Some(october()), Some(&"c-a".into()), ALL).await.unwrap();
    assert_eq!(both.total, 1);
}

pub(crate) async fn invoice_numbers_have_no_gap_after_refused_saves(store: &Store) {
    let accounts: Vec<String> = (0..40).map(|n| format!("a-{n:02}")).collect();
    let mut tasks = Vec::new();
    for (n, account) in accounts.iter().enumerate() {
        let mut writes = vec![bills(&[account], october())];
        if n % 3 == 0 {
            writes.push(Write::HoldSlot("none".into()));
        }
        let store = store.clone();
        tasks.push(tokio::spawn(async move { store.save(writes).await.is_ok() }));
    }
    let mut kept = 0;
    for task in tasks {
        kept += u64::from(task.await.unwrap());
    }
    assert_eq!(kept, 26);
    let invoices = store.invoices(Some(october()), None, ALL).await.unwrap().items;
    let numbers: Vec<u64> = invoices.iter().map(|i| i.number.as_ref().unwrap().number).collect();
    assert_eq!(numbers, (1..=kept).collect::<Vec<_>>());
}

pub(crate) async fn ledger_postings_are_summed_by_side_and_unit(store: &Store) {
    assert_eq!(store.ledger_totals(october()).await.unwrap(), []);
    store.save(vec![bills(&["a", "b"], october()), bills(&["a"], october().next())]).await.unwrap();
    store.save(vec![bills(&["a", "b"], october())]).await.unwrap();
    let minor = |side, amount| Posting { side, unit: Unit::Minor, amount };
    let want = [minor(LedgerSide::Receivable, 2200), minor(LedgerSide::Revenue, -2000), minor(LedgerSide::Tax, -200)];
    assert_eq!(store.ledger_totals(october()).await.unwrap(), want);
}

pub(crate) async fn settlement_and_close_run_are_kept_by_cycle(store: &Store) {
    let row = SettlementRow {
        department: "iot-business".to_owned(),
        product: "iot".to_owned(),
        lines: 1,
        octets: 2,
        recurring: 3,
        one_time: 4,
        usage: 5,
        net: 12,
    };
    let settlement = |net| Settlement {
        cycle: october(),
        currency: Currency::KRW,
        rows: vec![row.clone()],
        invoices: 1,
        net,
        tax: 1,
        gross: net + 1,
    };
    store.save(vec![Write::Settlement(settlement(1)), Write::Settlement(settlement(12))]).await.unwrap();
    assert_eq!(store.settlement(october()).await.unwrap(), Some(settlement(12)));
    assert_eq!(store.settlement(october().next()).await.unwrap(), None);
    let run = CloseRun {
        cycle: october(),
        state: CloseState::Closing,
        marker: None,
        billed_through: None,
        accounts: 0,
        invoices: 0,
        started: at(1),
        finished: None,
        version: 0,
    };
    store.save(vec![Write::CloseRun(run.clone())]).await.unwrap();
    check_conflict(store.save(vec![Write::CloseRun(run.clone())]).await, "2026-10");
    assert_eq!(store.newest_closed().await.unwrap(), None, "accounts are still being closed");
    let mut loaded = store.close_run(october()).await.unwrap().unwrap();
    assert_eq!(loaded, CloseRun { version: 1, ..run });
    loaded.state = CloseState::Billing;
    loaded.billed_through = Some("a".into());
    store.save(vec![Write::CloseRun(loaded.clone())]).await.unwrap();
    assert_eq!(store.close_run(october()).await.unwrap(), Some(CloseRun { version: 2, ..loaded }));
    assert_eq!(store.close_run(october().next()).await.unwrap(), None);
    assert_eq!(store.newest_closed().await.unwrap(), Some(october()));
}

/// Usage as the format before 0004 kept it: rated, given back, compared, and open suspense.
pub(crate) const USAGE_OF_FORMAT_3: &str = r#"
INSERT INTO usage_records (sequence, key, rating_group, source, outcome, suspense, line, account, cycle, late_for, plan,
    tariff_version, apn, subscriber, starts, ends, received, octets, amount, postings, told, detail, reason) OVERRIDING SYSTEM VALUE
VALUES
(1, 'gy/s;1/1', 5, 'gy', 'rated', FALSE, 'l-a', 'a', '2026-10', NULL, 'iot-payg', 2, 'iot.example', NULL,
    1000, 2000, 3000, 100, 3, '[{"side":"network","unit":"octets","amount":-100}]', NULL, NULL, NULL),
(2, 'gy/s;1/2', 5, 'gy', 'rated', FALSE, 'l-a', 'a', '2026-10', '2026-09', 'iot-payg', 2, NULL, NULL,
    1000, 2000, 3000, 40, -1, '[{"side":"network","unit":"octets","amount":40}]', NULL, NULL, NULL),
(3, 'rf/s/3', 0, 'rf', 'reconciled', FALSE, 'l-a', 'a', '2026-10', NULL, 'iot-payg', 2, NULL, NULL,
    1000, 2000, 3000, 7, 0, NULL, NULL, NULL, NULL),
(7, 'file/x', 1, 'file', 'unknown-line', TRUE, NULL, NULL, NULL, NULL, NULL, 0, NULL, '{"Imsi":"450080000000001"}',
    1000, 2000, 3000, 9, 0, NULL, NULL, 'why', NULL);
INSERT INTO usage_counts VALUES ('2026-10', 'gy', 'rated', 2), ('2026-10', 'rf', 'reconciled', 1),
    ('', 'file', 'unknown-line', 1);
UPDATE store_format SET version = 3;
"#;

pub(crate) async fn usage_of_format_3_is_kept(store: &Store) {
    let stored = store.usage(&UsageFilter::default(), ALL).await.unwrap();
    let read = stored.items.iter().map(|u| (u.sequence, u.key.to_string(), u.rating_group, u.octets_counted()));
    let want = [(7, "file/x", 1, 9), (3, "rf/s/3", 0, 7), (2, "gy/s;1/2", 5, -40), (1, "gy/s;1/1", 5, 100)];
    assert_eq!(read.collect::<Vec<_>>(), want.map(|(n, key, group, octets)| (n, key.to_owned(), group, octets)));
    assert_eq!(stored.items[3].apn, Some("iot.example".into()));
    assert_eq!(stored.items[3].ends, linegate::domain::time::Timestamp(2000));
    let row = |who: &str, octets, amount| (who.to_owned(), "iot-payg".to_owned(), octets, amount, 1);
    assert_eq!(totals(store).await, [row("a", 100, 3), row("a late for 2026-09", 0, -1)]);
    let case = store.suspense_case("file/x", 1).await.unwrap().unwrap();
    assert_eq!((case.record.detail.as_deref(), case.record.line), (Some("why"), None));
    store.save(drain_after(0, 1, &[usage("new", "a", 1, 1)])).await.unwrap();
    assert_eq!(store.usage(&UsageFilter::default(), ALL).await.unwrap().items[0].sequence, 8);
}
