//! Who works on what, when several gateways share the store.
//!
//! A due saga or message is given to one gateway: asking for what is due claims
//! it for a while, and saving a saga renews its claim. A gateway that ends gives
//! its claims back; one that dies lets them run out, by the server's clock. A
//! claim saves work and repeated requests, nothing more: what two gateways do
//! to one saga all the same is settled by its version, as after a crash.

use super::row::{Statement, statement};

/// A gateway's name, and how long it keeps what it took.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) holder: String,
    pub(super) seconds: i64,
}

/// `$1` now, `$2` limit, `$3` holder, `$4` seconds. The literal bound lets the
/// engine use the index without the parked ones. A claim is renewed when less
/// than half of it is left; rows that are being saved are left for the next time.
const DUE_SAGAS: &str = "
    WITH due AS (
        SELECT id, claimed_by = $3 AND claimed_until > now() + $4 * INTERVAL '0.5 second' AS held FROM sagas
        WHERE active AND wake_at < 9223372036854775807 AND wake_at <= $1
            AND (claimed_by = $3 OR claimed_until <= now())
        ORDER BY priority, created, id LIMIT $2
    ), free AS (
        SELECT id FROM sagas WHERE id IN (SELECT id FROM due WHERE NOT held)
            AND (claimed_by = $3 OR claimed_until <= now())
        FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE sagas SET claimed_by = $3, claimed_until = now() + $4 * INTERVAL '1 second'
        FROM free WHERE sagas.id = free.id RETURNING sagas.id
    )
    SELECT body FROM sagas JOIN due USING (id)
    WHERE held OR id IN (SELECT id FROM claimed)
    ORDER BY priority, created, id";

/// The same of messages; parameters as for [`DUE_SAGAS`].
const DUE_MESSAGES: &str = "
    WITH due AS (
        SELECT sequence, claimed_by = $3 AND claimed_until > now() + $4 * INTERVAL '0.5 second' AS held FROM outbox
        WHERE head AND next_attempt <= $1 AND (claimed_by = $3 OR claimed_until <= now())
        ORDER BY next_attempt, sequence LIMIT $2
    ), free AS (
        SELECT sequence FROM outbox WHERE sequence IN (SELECT sequence FROM due WHERE NOT held)
            AND head AND (claimed_by = $3 OR claimed_until <= now())
        FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE outbox SET claimed_by = $3, claimed_until = now() + $4 * INTERVAL '1 second'
        FROM free WHERE outbox.sequence = free.sequence RETURNING outbox.sequence
    )
    SELECT outbox.* FROM outbox JOIN due USING (sequence)
    WHERE held OR sequence IN (SELECT sequence FROM claimed)
    ORDER BY next_attempt, sequence";

impl Claim {
    /// Due sagas that are this gateway's or nobody's, which become its own.
    /// Gives `body`.
    pub(super) fn due_sagas(&self, now: i64, limit: i64) -> Statement {
        self.due(DUE_SAGAS, now, limit)
    }

    /// Due messages that are this gateway's or nobody's, which become its own.
    pub(super) fn due_messages(&self, now: i64, limit: i64) -> Statement {
        self.due(DUE_MESSAGES, now, limit)
    }

    fn due(&self, sql: &'static str, now: i64, limit: i64) -> Statement {
        statement(sql).bind(now).bind(limit).bind(self.holder.clone()).bind(self.seconds)
    }

    /// The earliest `wake_at` of sagas that are this gateway's or nobody's.
    pub(super) fn next_wake(&self) -> Statement {
        statement(
            "SELECT wake_at FROM sagas WHERE active AND (claimed_by = $1 OR claimed_until <= now())
             ORDER BY wake_at LIMIT 1",
        )
        .bind(self.holder.clone())
    }

    /// Gives back what this gateway has, so that others need not wait.
    pub(super) fn give_back(&self) -> [Statement; 2] {
        [
            "UPDATE sagas SET claimed_until = now() WHERE active AND claimed_by = $1 AND claimed_until > now()",
            "UPDATE outbox SET claimed_until = now() WHERE head AND claimed_by = $1 AND claimed_until > now()",
        ]
        .map(|sql| statement(sql).bind(self.holder.clone()))
    }
}
