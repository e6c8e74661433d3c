//! From PostgreSQL's error codes to what a caller can do about them.

use sqlx::postgres::PgConnectOptions;

use crate::ports::relational::StoreError;

/// Why one write was not applied.
#[derive(Debug)]
pub(super) enum Refused {
    /// A guard held: only this save is taken back.
    Conflict(String),
    /// The engine said no.
    Engine(sqlx::Error),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Refused::Engine(error)
    }
}

/// Turns engine errors into [`StoreError`]s that name the server and database.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    place: String,
}

impl Faults {
    /// Names host, port and database; never user or password.
    pub(super) fn of_server(options: &PgConnectOptions) -> Self {
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let place = match options.get_socket() {
            Some(folder) => format!("PostgreSQL {}:{}/{database}", folder.display(), options.get_port()),
            None => format!("PostgreSQL {}:{}/{database}", options.get_host(), options.get_port()),
        };
        Self { place }
    }

    /// What the caller of `operation` gets to know.
    pub(super) fn explain(&self, operation: &'static str, error: &sqlx::Error) -> StoreError {
        let broken = |advice: &str| self.broken(operation, &format!("{error}: {advice}"));
        let transient = |advice: &str| self.transient(operation, &format!("{error}{advice}"));
        let Some(code) = sql_state(error) else {
            return match error {
                sqlx::Error::PoolTimedOut => {
                    transient(": it is away, or relational.postgres.connections_max are all in use")
                }
                sqlx::Error::PoolClosed => broken("open the store again"),
                error if is_tls(error) => broken("look at relational.postgres.tls and tls_ca_file"),
                sqlx::Error::Configuration(_) => broken("look at relational.url and relational.postgres"),
                sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                    broken("the store holds what this program cannot read")
                }
                // The connection is lost; the next call makes a new one.
                _ => transient(""),
            };
        };
        // Classes and codes: PostgreSQL 15, Appendix A.
        match code.as_str() {
            UNIQUE_VIOLATION => StoreError::Conflict { what: error.to_string() },
            DISK_FULL => broken("the server's disk is full; free space on it"),
            READ_ONLY => broken("the server takes no writes; name the primary in relational.url"),
            NO_PRIVILEGE => broken("let relational.url's user own the database"),
            NO_DATABASE => broken("make it with `createdb`, or name another in relational.url"),
            "XX001" | "XX002" => broken("the database is damaged; restore it from a backup"),
            "57014" => transient(": longer than relational.postgres.statement_timeout_ms"),
            code if code.starts_with("28") => broken("look at user and password in relational.url, and at pg_hba.conf"),
            // Connections, rollbacks, resources, locks, an operator's hand.
            code if ["08", "40", "53", "55", "57", "58", "25"].iter().any(|class| code.starts_with(class)) => {
                transient("")
            }
            _ => broken("this is a fault of the program"),
        }
    }

    /// A fault that no code names.
    pub(super) fn broken(&self, operation: &'static str, reason: &str) -> StoreError {
        StoreError::Broken { operation, reason: self.line(reason) }
    }

    /// A fault that may pass.
    pub(super) fn transient(&self, operation: &'static str, reason: &str) -> StoreError {
        StoreError::Transient { operation, reason: self.line(reason) }
    }

    fn line(&self, reason: &str) -> String {
        format!("{}: {}", self.place, reason.replace('\n', " "))
    }
}

/// Whether only the save at fault is lost: bad data, a constraint, a limit, or a
/// value that cannot be encoded. Every other error ends the whole transaction.
pub(super) fn is_local(error: &sqlx::Error) -> bool {
    match sql_state(error) {
        Some(code) => ["22", "23", "42", "54"].iter().any(|class| code.starts_with(class)),
        None => {
            matches!(error, sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
        }
    }
}

/// Whether the whole transaction is worth another try at once: it was chosen to
/// give way to another one.
pub(super) fn gave_way(error: &sqlx::Error) -> bool {
    sql_state(error).is_some_and(|code| code == DEADLOCK || code == SERIALIZATION_FAILURE)
}

/// Whether the two sides do not agree on TLS; rustls wraps what it refuses.
pub(super) fn is_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()),
        _ => false,
    }
}

fn sql_state(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(error) = error else { return None };
    error.code().map(|code| code.into_owned())
}

const UNIQUE_VIOLATION: &str = "23505";
const READ_ONLY: &str = "25006";
const NO_DATABASE: &str = "3D000";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK: &str = "40P01";
const NO_PRIVILEGE: &str = "42501";
const DISK_FULL: &str = "53100";
