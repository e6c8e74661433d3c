//! Opening the file: connections, and the format it is in.
//!
//! Migrations are numbered SQL files, each applied once in its own transaction;
//! the number of the last one is the store's format version. PostgreSQL's
//! folder has the same numbers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::SqliteSettings;
use super::error::Faults;
use crate::ports::relational::{StoreError, Stored};

/// What [`open`] makes.
pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    pub(super) reads: SqlitePool,
    pub(super) faults: Faults,
}

/// Opens or makes the file that `url` names, and brings its format up to date.
pub(super) async fn open(url: &str, settings: &SqliteSettings) -> Stored<Opened> {
    let path = path_of(url)?;
    let faults = Faults::of_file(&path);
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            faults.broken(OPEN, &format!("make folder {}: {error}; {WHAT_TO_DO}", folder.display()))
        })?;
    }
    let explain = |error: sqlx::Error| faults.explain(OPEN, &error);
    let options = options(&path, settings);
    let mut writer = options.clone().create_if_missing(true).connect().await.map_err(explain)?;
    migrate(&mut writer, &faults).await?;
    let reads = SqlitePoolOptions::new()
        .max_connections(settings.read_connections.max(1))
        .acquire_timeout(Duration::from_millis(settings.busy_timeout_ms))
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.pragma("query_only", "ON"))
        .await
        .map_err(explain)?;
    Ok(Opened { writer, reads, faults })
}

const OPEN: &str = "open relational store";
const WHAT_TO_DO: &str = "give this user write access, or set relational.url";

/// Each format's number and the step that leads to it from the one before.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("migrations/0001_store.sql")),
    (2, include_str!("migrations/0002_devices.sql")),
    (3, include_str!("migrations/0003_suspense.sql")),
    (4, include_str!("migrations/0004_usage.sql")),
    (5, include_str!("migrations/0005_tariffs.sql")),
    (6, include_str!("migrations/0006_visits.sql")),
];

fn path_of(url: &str) -> Stored<PathBuf> {
    let refused = |reason: &str| StoreError::Broken { operation: OPEN, reason: format!("`{url}` {reason}") };
    let rest = url.strip_prefix("sqlite:").ok_or_else(|| refused("does not begin with sqlite:"))?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.starts_with(':') {
        return Err(refused("names no file; write sqlite:FOLDER/linegate.db"));
    }
    Ok(PathBuf::from(path))
}

fn options(path: &Path, settings: &SqliteSettings) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(settings.busy_timeout_ms))
        .statement_cache_capacity(256)
        .pragma("cache_size", format!("-{}", settings.cache_kib))
        .pragma("wal_autocheckpoint", settings.checkpoint_pages.to_string())
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

async fn migrate(connection: &mut SqliteConnection, faults: &Faults) -> Stored<()> {
    let explain = |error: sqlx::Error| faults.explain(OPEN, &error);
    let newest = MIGRATIONS.last().map_or(0, |(number, _)| *number);
    // Another process may be opening the same file: look again under the lock.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(explain)?;
    let found = format_of(&mut transaction, faults).await?;
    if found > newest {
        let reason = format!(
            "the store has format {found}, this program knows up to {newest}; run the newer program, or restore a backup"
        );
        return Err(faults.broken(OPEN, &reason));
    }
    for (number, sql) in MIGRATIONS.iter().filter(|(number, _)| *number > found) {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await.map_err(explain)?;
        sqlx::query("UPDATE store_format SET version = $1")
            .bind(*number)
            .execute(&mut *transaction)
            .await
            .map_err(explain)?;
    }
    transaction.commit().await.map_err(explain)
}

async fn format_of(connection: &mut SqliteConnection, faults: &Faults) -> Stored<i64> {
    let explain = |error: sqlx::Error| faults.explain(OPEN, &error);
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(&mut *connection)
        .await
        .map_err(explain)?;
    if tables.iter().any(|name| name == "store_format") {
        let version = sqlx::query_scalar("SELECT version FROM store_format");
        return version.fetch_one(&mut *connection).await.map_err(explain);
    }
    if !tables.is_empty() {
        return Err(faults.broken(OPEN, "the file is another program's database; set relational.url to a new file"));
    }
    sqlx::raw_sql("CREATE TABLE store_format (version INTEGER NOT NULL) STRICT; INSERT INTO store_format VALUES (0)")
        .execute(connection)
        .await
        .map_err(explain)?;
    Ok(0)
}
