//! Versions of the tariff over several gateways: merged with files, seen by the others.

use std::sync::Arc;
use std::time::Duration;

use linegate::adapters::memory::MemoryStore;
use linegate::adapters::system::ManualClock;
use linegate::adapters::tariff_file;
use linegate::domain::tariff::{Tariff, TariffBook, TariffSource, Version};
use linegate::domain::time::Timestamp;
use linegate::ports::relational::StoreError;
use linegate::services::tariffs::{TariffError, TariffSettings, Tariffs};
use serde_json::{Value, json};

use crate::support::{Gateway, Ports, http, wait_for};
use crate::two_gateways::House;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn version(number: u32, from: &str) -> Tariff {
    Tariff { version: number, effective_from: at(from), ..tariff_file::shipped().unwrap() }
}

async fn gateway(store: &Arc<MemoryStore>, files: TariffBook) -> Result<Tariffs, TariffError> {
    let clock = Arc::new(ManualClock::at(at("2026-09-01T00:00:00Z")));
    Tariffs::open(store.clone(), clock, files, TariffSettings::default()).await
}

fn shipped() -> TariffBook {
    tariff_file::shipped().unwrap().into()
}

fn numbers(tariffs: &Tariffs) -> Vec<u32> {
    tariffs.book().book().versions().iter().map(|held| held.tariff.version).collect()
}

#[tokio::test]
async fn a_version_that_one_gateway_takes_is_seen_by_the_others() {
    let store = Arc::new(MemoryStore::new());
    let [a, b] = [gateway(&store, shipped()).await.unwrap(), gateway(&store, shipped()).await.unwrap()];
    assert!(a.put(version(3, "2026-11-01T00:00:00Z"), None).await.unwrap().created);
    assert_eq!((numbers(&a), numbers(&b)), (vec![1, 3], vec![1]));
    // One that b puts is judged beside the one that it has not seen yet.
    let late = b.put(version(2, "2026-12-01T00:00:00Z"), None).await.unwrap_err();
    assert!(late.to_string().contains("above version 3 of REST"), "{late}");
    b.put(version(2, "2026-10-01T00:00:00Z"), None).await.unwrap();
    assert_eq!((numbers(&b), a.refresh().await.unwrap(), numbers(&a)), (vec![1, 2, 3], true, vec![1, 2, 3]));
    assert!(!a.refresh().await.unwrap());
    b.withdraw(3, None).await.unwrap();
    assert_eq!((a.refresh().await.unwrap(), numbers(&a)), (true, vec![1, 2]));
    assert_eq!(numbers(&gateway(&store, shipped()).await.unwrap()), [1, 2], "and found by one that starts");
}

#[tokio::test]
async fn a_version_that_the_store_did_not_take_does_not_hold() {
    let store = Arc::new(MemoryStore::new());
    let tariffs = gateway(&store, shipped()).await.unwrap();
    store.fail_next_save(StoreError::Transient { operation: "save", reason: "away".to_owned() });
    let failed = tariffs.put(version(2, "2026-10-01T00:00:00Z"), None).await;
    assert!(matches!(failed, Err(TariffError::Store(_))), "{failed:?}");
    assert_eq!(numbers(&tariffs), [1]);
    assert!(tariffs.put(version(2, "2026-10-01T00:00:00Z"), None).await.unwrap().created);
}

#[tokio::test]
async fn of_a_file_and_a_version_by_rest_for_one_instant_neither_wins() {
    let store = Arc::new(MemoryStore::new());
    let tariffs = gateway(&store, shipped()).await.unwrap();
    tariffs.put(version(2, "2026-10-01T00:00:00Z"), None).await.unwrap();
    let from_file = |number, from| Version::new(version(number, from), TariffSource::File("tariffs/x.toml".to_owned()));
    for (number, from, names) in [
        (3, "2026-10-01T00:00:00Z", "same instant as version 2 of REST"),
        (2, "2026-11-01T00:00:00Z", "above version 2 of REST"),
    ] {
        let files = shipped().with(from_file(number, from)).unwrap();
        let error = gateway(&store, files).await.err().unwrap().to_string();
        assert!(error.contains(names), "{error}");
    }
    let files = shipped().with(from_file(3, "2026-11-01T00:00:00Z")).unwrap();
    assert_eq!(numbers(&gateway(&store, files).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn a_version_before_the_first_one_would_change_the_past() {
    let november = Version::new(version(5, "2026-11-01T00:00:00Z"), TariffSource::File("5.toml".to_owned()));
    let store = Arc::new(MemoryStore::new());
    let tariffs = gateway(&store, TariffBook::new([november]).unwrap()).await.unwrap();
    let early = tariffs.put(version(4, "2026-10-01T00:00:00Z"), None).await.unwrap_err().to_string();
    assert!(early.contains("before 2026-11-01"), "{early}");
    tariffs.put(version(6, "2026-12-01T00:00:00Z"), None).await.unwrap();
    // A file that is taken away makes the version by REST the first.
    let moved = Version::new(version(7, "2027-01-01T00:00:00Z"), TariffSource::File("7.toml".to_owned()));
    let tariffs = gateway(&store, TariffBook::new([moved]).unwrap()).await.unwrap();
    let refused = tariffs.withdraw(6, None).await;
    assert!(matches!(refused, Err(TariffError::Holds { version: 6, .. })), "{refused:?}");
}

#[tokio::test]
async fn no_more_versions_are_kept_than_the_setting_allows() {
    let clock = Arc::new(ManualClock::at(at("2026-09-01T00:00:00Z")));
    let settings = TariffSettings { versions_max: 1, ..TariffSettings::default() };
    let tariffs = Tariffs::open(Arc::new(MemoryStore::new()), clock, shipped(), settings).await.unwrap();
    tariffs.put(version(2, "2026-10-01T00:00:00Z"), None).await.unwrap();
    let refused = tariffs.put(version(3, "2026-11-01T00:00:00Z"), None).await;
    assert!(matches!(refused, Err(TariffError::TooMany(1))), "{refused:?}");
    let short = TariffSettings { lead_s: 3, poll_ms: 2_000, ..TariffSettings::default() };
    assert!(short.check().unwrap_err().contains("tariffs.lead_s"));
    assert_eq!(TariffSettings::default().check(), Ok(()));
}

fn put(gateway: &Gateway, number: u32) -> (u16, Value) {
    let mut document = gateway.get("/linegate/v1/tariffs/1").1;
    document["version"] = json!(number);
    document["effective_from"] = json!(format!("20{}-01-01T00:00:00Z", 90 + number));
    let (path, body) = (format!("/linegate/v1/tariffs/{number}"), document.to_string());
    let (status, text) = http("PUT", gateway.http, &path, Some(("application/json", &body))).unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

#[test]
fn gateways_on_one_postgresql_have_one_tariff_and_keep_it() {
    let house = House::new(&[("LINEGATE__TARIFFS__POLL_MS", "50")]);
    let (a, b) = (house.start("gateway-a", Ports::free()), house.start("gateway-b", Ports::free()));
    assert_eq!(put(&a, 2).0, 201);
    let known = || b.get("/linegate/v1/tariffs/2").0 == 200;
    wait_for("the other gateway's version", Duration::from_secs(30), known, || b.tail());
    assert_eq!(put(&b, 3).0, 201);
    assert_eq!((a.terminate(), b.terminate()), (Some(0), Some(0)));
    let again = house.start("gateway-a", Ports::free());
    let kept: Vec<Value> = again.get("/linegate/v1/tariffs").1.as_array().unwrap().clone();
    assert_eq!(kept.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(again.terminate(), Some(0));
}
