//! From SQLite's result codes to what a caller can do about them.

use std::path::{Path, PathBuf};

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

/// Turns engine errors into [`StoreError`]s that name the file.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    path: PathBuf,
}

impl Faults {
    pub(super) fn of_file(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What the caller of `operation` gets to know.
    pub(super) fn explain(&self, operation: &'static str, error: &sqlx::Error) -> StoreError {
        let broken = |advice: &str| self.broken(operation, &format!("{error}: {advice}"));
        let transient = || StoreError::Transient { operation, reason: format!("{}: {error}", self.path.display()) };
        match error {
            sqlx::Error::PoolTimedOut => transient(),
            sqlx::Error::Database(_) => match primary_code(error) {
                Some(BUSY | LOCKED | NOMEM | INTERRUPT) => transient(),
                Some(FULL) => broken("the disk is full; free space on it and start again"),
                Some(CORRUPT | NOTADB) => broken("the file is damaged or not a store; restore it from a backup"),
                Some(READONLY | CANTOPEN | PERM | AUTH) => broken(
                    "the file or its folder cannot be written; give this user write access, or set relational.url",
                ),
                Some(IOERR) => broken("the disk refused; look at the system log"),
                _ if is_unique_violation(error) => StoreError::Conflict { what: error.to_string() },
                _ => broken("this is a fault of the program"),
            },
            _ => broken("the store has to be opened again"),
        }
    }

    /// A fault that no code names.
    pub(super) fn broken(&self, operation: &'static str, reason: &str) -> StoreError {
        StoreError::Broken { operation, reason: format!("{}: {reason}", self.path.display()) }
    }
}

/// Whether only the save at fault is lost. Every other error ends the whole
/// transaction: SQLite may have rolled it back by itself.
pub(super) fn is_local(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
        || matches!(primary_code(error), Some(ERROR | TOOBIG | CONSTRAINT | MISMATCH | RANGE))
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if e.is_unique_violation())
}

/// The low byte of an extended result code (sqlite.org/rescode.html).
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(error) = error else { return None };
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

const ERROR: i32 = 1;
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const AUTH: i32 = 23;
const RANGE: i32 = 25;
const NOTADB: i32 = 26;
