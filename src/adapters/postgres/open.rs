//! Opening the store: connections, the server's version, and the store's format.
//!
//! Migrations are numbered as in SQLite's folder; the number of the last one is
//! the store's format version.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::PostgresSettings;
use super::error::{Faults, is_tls};
use crate::ports::relational::{StoreError, Stored};

/// What [`open`] makes.
pub(super) struct Opened {
    pub(super) writes: PgPool,
    pub(super) reads: PgPool,
    pub(super) faults: Faults,
}

const OPEN: &str = "open relational store";

/// The oldest server that is tested, as `server_version_num` has it.
const OLDEST_SERVER: i32 = 150_000;

/// Advisory lock of whoever brings the format up to date.
const FORMAT_LOCK: i64 = 1_818_689_536;

/// Each format's number and the step that leads to it from the one before.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("migrations/0001_store.sql")),
    (2, include_str!("migrations/0002_devices.sql")),
    (3, include_str!("migrations/0003_suspense.sql")),
    (4, include_str!("migrations/0004_usage.sql")),
    (5, include_str!("migrations/0005_tariffs.sql")),
    (6, include_str!("migrations/0006_visits.sql")),
];

/// Connects to the database that `url` names, and brings its format up to date.
pub(super) async fn open(url: &str, settings: &PostgresSettings) -> Stored<Opened> {
    let options = options(url, settings)?;
    let faults = Faults::of_server(&options);
    // By hand at first: a pool would try again and say in the end that time is up.
    let patience = Duration::from_millis(settings.connect_timeout_ms);
    let mut first = match tokio::time::timeout(patience, options.connect()).await {
        Ok(connected) => connected.map_err(|error| unreachable(&faults, &error))?,
        Err(_) => {
            let reason = format!("no answer within {} ms; {WHAT_TO_DO}", patience.as_millis());
            return Err(faults.transient(OPEN, &reason));
        }
    };
    check_server(&mut first, &faults).await?;
    migrate(&mut first, &faults).await?;
    // Nothing is lost with it.
    let _closed = first.close().await;
    let pool = |connections: u32| {
        PgPoolOptions::new()
            .max_connections(connections.max(1))
            .acquire_timeout(patience)
            .after_connect(|connection, _| Box::pin(make_durable(connection)))
            .connect_lazy_with(options.clone())
    };
    Ok(Opened { writes: pool(1), reads: pool(settings.connections_max.saturating_sub(1)), faults })
}

const WHAT_TO_DO: &str = "start the server, or set relational.url";

fn unreachable(faults: &Faults, error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Io(io) if !is_tls(error) => {
            faults.transient(OPEN, &format!("cannot be reached: {io}; {WHAT_TO_DO}"))
        }
        other => faults.explain(OPEN, other),
    }
}

fn options(url: &str, settings: &PostgresSettings) -> Stored<PgConnectOptions> {
    let refused = |reason: String| StoreError::Broken { operation: OPEN, reason };
    // The URL may hold a password: it is not repeated.
    let options = PgConnectOptions::from_str(url)
        .map_err(|e| refused(format!("relational.url: {e}; expected postgres://user@host:5432/database")))?;
    let timeout = settings.statement_timeout_ms.to_string();
    let mut options = options
        .application_name("linegate")
        .ssl_mode(settings.tls.into())
        .statement_cache_capacity(256)
        .options([
            ("statement_timeout", timeout.as_str()),
            // A gateway that vanishes in the middle must not keep the others waiting.
            ("idle_in_transaction_session_timeout", timeout.as_str()),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ])
        .disable_statement_logging();
    if !settings.tls_ca_file.as_os_str().is_empty() {
        options = options.ssl_root_cert(&settings.tls_ca_file);
    }
    Ok(options)
}

/// A save that returned is on disk, whatever the server's default is. A stricter
/// default (a standby that has to have it too) stays.
async fn make_durable(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "SELECT set_config('synchronous_commit', 'on', FALSE) WHERE current_setting('synchronous_commit') = 'off'",
    )
    .execute(connection)
    .await
    .map(|_| ())
}

async fn check_server(connection: &mut PgConnection, faults: &Faults) -> Stored<()> {
    let explain = |error: sqlx::Error| faults.explain(OPEN, &error);
    let (version, name, is_standby): (i32, String, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::INTEGER, current_setting('server_version'), pg_is_in_recovery()",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(explain)?;
    if version < OLDEST_SERVER {
        let reason = format!("the server is PostgreSQL {name}, this program needs 15 or newer; set relational.url");
        return Err(faults.broken(OPEN, &reason));
    }
    if is_standby {
        return Err(faults.broken(OPEN, "the server is a standby; name the primary in relational.url"));
    }
    let encoding: String =
        sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut *connection).await.map_err(explain)?;
    if encoding != "UTF8" {
        let reason = format!("the database is encoded in {encoding}; make one with `createdb --encoding UTF8`");
        return Err(faults.broken(OPEN, &reason));
    }
    Ok(())
}

async fn migrate(connection: &mut PgConnection, faults: &Faults) -> Stored<()> {
    let explain = |error: sqlx::Error| faults.explain(OPEN, &error);
    let newest = MIGRATIONS.last().map_or(0, |(number, _)| *number);
    let mut transaction = connection.begin().await.map_err(explain)?;
    // Gateways that start together take turns.
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(FORMAT_LOCK);
    lock.execute(&mut *transaction).await.map_err(explain)?;
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

async fn format_of(connection: &mut PgConnection, faults: &Faults) -> Stored<i64> {
    let explain = |error: sqlx::Error| faults.explain(OPEN, &error);
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::TEXT FROM pg_tables WHERE schemaname = current_schema()")
            .fetch_all(&mut *connection)
            .await
            .map_err(explain)?;
    if tables.iter().any(|name| name == "store_format") {
        let version = sqlx::query_scalar("SELECT version FROM store_format");
        return version.fetch_one(&mut *connection).await.map_err(explain);
    }
    if !tables.is_empty() {
        return Err(faults.broken(OPEN, "the database is another program's; make an empty one with `createdb`"));
    }
    sqlx::raw_sql("CREATE TABLE store_format (version BIGINT NOT NULL); INSERT INTO store_format VALUES (0)")
        .execute(connection)
        .await
        .map_err(explain)?;
    Ok(0)
}
