//! What is SQLite's own: the file, its format, its folder.

use std::path::Path;

use linegate::adapters::sqlite::{SqliteSettings, SqliteStore};
use linegate::ports::relational::{BillingReads, OrderReads, Relational, StoreError, Write};
use sqlx::{Connection, SqliteConnection};

use super::Store;
use super::billing::{USAGE_OF_FORMAT_3, usage_of_format_3_is_kept};
use super::sample::order;
use super::work::{WORK_OF_FORMAT_3, work_of_format_3_is_kept};

pub(crate) fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("deep/linegate.db").display())
}

async fn open(url: &str) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(url, SqliteSettings::default()).await
}

async fn check_broken(url: &str, says: &[&str]) {
    match open(url).await {
        Err(StoreError::Broken { operation, reason }) => {
            let line = format!("{operation}: {reason}");
            assert!(says.iter().all(|s| line.contains(s)), "{line}");
            assert!(!line.contains('\n'), "one line: {line}");
        }
        other => panic!("{url}: expected a broken store, got {other:?}"),
    }
}

async fn run(path: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_second_open_sees_everything() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&url(folder.path())).await.unwrap();
    first.save(vec![Write::Order(order("o-1", "l-1", 1)), Write::FanOutCursor(3)]).await.unwrap();
    // While the first still has it, and after it let go.
    let beside = open(&url(folder.path())).await.unwrap();
    assert!(beside.order(&"o-1".into()).await.unwrap().is_some());
    beside.save(vec![Write::Meta("k".to_owned(), "v".to_owned())]).await.unwrap();
    assert_eq!(first.meta("k").await.unwrap().as_deref(), Some("v"));
    first.close().await;
    beside.close().await;
    let again = open(&url(folder.path())).await.unwrap();
    assert_eq!(again.order(&"o-1".into()).await.unwrap().unwrap().version, 1);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&url(folder.path())).await.unwrap();
    store.close().await;
    let save = store.save(vec![Write::FanOutCursor(3)]).await;
    assert!(
        matches!(&save, Err(StoreError::Broken { reason, .. }) if reason.contains("open the store again")),
        "{save:?}"
    );
    assert!(matches!(store.meta("k").await, Err(StoreError::Broken { .. })));
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(&url(folder.path())).await.unwrap().close().await;
    let path = folder.path().join("deep/linegate.db");
    run(&path, "UPDATE store_format SET version = 99").await;
    check_broken(&url(folder.path()), &["format 99", "linegate.db", "newer program"]).await;
    check_broken(&url(folder.path()), &["format 99"]).await;
}

#[tokio::test]
async fn what_is_no_store_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    run(&folder.path().join("other.db"), "CREATE TABLE customers (id TEXT)").await;
    check_broken(&at("other.db"), &["other.db", "another program"]).await;
    std::fs::write(folder.path().join("text.db"), "not a database, and long enough to have a header ".repeat(40))
        .unwrap();
    check_broken(&at("text.db"), &["text.db", "restore"]).await;
    check_broken(&at("text.db/below/linegate.db"), &["below", "write access"]).await;
    check_broken("sqlite:/proc/linegate/linegate.db", &["/proc/linegate", "write access"]).await;
    std::fs::create_dir(folder.path().join("folder.db")).unwrap();
    check_broken(&at("folder.db"), &["folder.db", "relational.url"]).await;
    for bad in ["sqlite:", "sqlite::memory:", "postgres://h/d", "linegate.db"] {
        check_broken(bad, &[bad]).await;
    }
}

#[tokio::test]
async fn a_locked_file_is_worth_another_try() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings { busy_timeout_ms: 50, ..SqliteSettings::default() };
    let store = SqliteStore::open(&url(folder.path()), settings).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("deep/linegate.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let refused = store.save(vec![Write::FanOutCursor(1)]).await;
    assert!(matches!(refused, Err(ref e) if e.is_transient()), "{refused:?}");
    held.rollback().await.unwrap();
    store.save(vec![Write::FanOutCursor(1)]).await.unwrap();
}

#[tokio::test]
async fn what_an_older_format_holds_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/linegate.db");
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    run(&path, "CREATE TABLE store_format (version INTEGER NOT NULL) STRICT; INSERT INTO store_format VALUES (0)")
        .await;
    for sql in [
        include_str!("../../../src/adapters/sqlite/migrations/0001_store.sql"),
        include_str!("../../../src/adapters/sqlite/migrations/0002_devices.sql"),
        include_str!("../../../src/adapters/sqlite/migrations/0003_suspense.sql"),
    ] {
        run(&path, sql).await;
    }
    let rows = USAGE_OF_FORMAT_3.replace(" OVERRIDING SYSTEM VALUE", "");
    run(&path, rows.leak()).await;
    run(&path, WORK_OF_FORMAT_3).await;
    let store: Store = std::sync::Arc::new(open(&url(folder.path())).await.unwrap());
    usage_of_format_3_is_kept(&store).await;
    work_of_format_3_is_kept(&store).await;
}
