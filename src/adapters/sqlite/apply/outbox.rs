//! Events, outbox, listeners.
//!
//! Invariant: of the pending messages of a stream and recipient exactly one has
//! `head` = 1, the oldest. It is kept here, so that asking for due messages
//! reads heads only, however many wait behind them.

use sqlx::Row;

use super::{Applied, Apply};
use crate::adapters::columns::json;
use crate::adapters::sqlite::row::statement;
use crate::domain::ids::{ListenerId, MessageId};
use crate::domain::notification::{Happening, Message};
use crate::domain::time::Timestamp;
use crate::ports::relational::{DeliveryState, Listener};

impl Apply<'_> {
    pub(super) async fn happening(&mut self, happening: &Happening) -> Applied {
        let append = statement("INSERT INTO happenings (order_id, body) VALUES ($1, $2)");
        self.run(append.bind(happening.order.as_ref().map(|o| o.as_str())).bind(json(happening)?)).await
    }

    pub(super) async fn message(&mut self, message: &Message) -> Applied {
        let insert = statement(
            "INSERT INTO outbox
                 (id, once_key, stream, channel, recipient, body, state, head, attempts, next_attempt)
             VALUES ($1, $2, $3, $4, $5, $6, 'pending',
                 NOT EXISTS (SELECT 1 FROM outbox WHERE state = 'pending' AND stream = $3 AND recipient = $5),
                 0, $7)
             ON CONFLICT DO NOTHING",
        )
        .bind(message.id.as_str())
        .bind(message.once_key.as_deref())
        .bind(message.stream.as_str())
        .bind(message.to.channel())
        .bind(json(&message.to)?)
        .bind(json(message)?)
        .bind(message.created.millis());
        self.run(insert).await
    }

    pub(super) async fn delivery(&mut self, id: &MessageId, delivery: &DeliveryState) -> Applied {
        let find = statement("SELECT stream, recipient, state FROM outbox WHERE id = $1").bind(id.as_str());
        let Some(row) = self.fetch_optional(find).await? else { return Ok(()) };
        let was_pending = row.try_get::<&str, _>("state")? == "pending";
        let is_pending = matches!(delivery, DeliveryState::Pending { .. });
        let (attempts, next_attempt, reason, ended) = match delivery {
            DeliveryState::Pending { attempts, next_attempt, last_error } => {
                (Some(*attempts), Some(*next_attempt), last_error.as_deref(), None)
            }
            DeliveryState::Sent { at } => (None, None, None, Some(*at)),
            DeliveryState::Dead { at, reason } => (None, None, Some(reason.as_str()), Some(*at)),
        };
        let update = statement(
            "UPDATE outbox SET state = $2, attempts = COALESCE($3, attempts),
                 next_attempt = COALESCE($4, next_attempt), reason = $5, ended = $6
             WHERE id = $1",
        )
        .bind(id.as_str())
        .bind(delivery.as_str())
        .bind(attempts)
        .bind(next_attempt.map(Timestamp::millis))
        .bind(reason)
        .bind(ended.map(Timestamp::millis));
        self.run(update).await?;
        if was_pending != is_pending {
            self.appoint_head(id, row.try_get("stream")?, row.try_get("recipient")?).await?;
        }
        Ok(())
    }

    /// Makes the oldest pending message of a stream and recipient its head,
    /// after `moved` became pending or ceased to be.
    async fn appoint_head(&mut self, moved: &MessageId, stream: &str, recipient: &str) -> Applied {
        let ended = statement("UPDATE outbox SET head = 0 WHERE id = $1 AND head = 1");
        self.run(ended.bind(moved.as_str())).await?;
        let appoint = statement(
            "UPDATE outbox SET head = (sequence =
                 (SELECT MIN(sequence) FROM outbox WHERE state = 'pending' AND stream = $1 AND recipient = $2))
             WHERE sequence IN
                 (SELECT sequence FROM outbox WHERE state = 'pending' AND stream = $1 AND recipient = $2
                  ORDER BY sequence LIMIT 2)",
        );
        self.run(appoint.bind(stream).bind(recipient)).await
    }

    pub(super) async fn listener(&mut self, listener: &Listener) -> Applied {
        let upsert = statement(
            "INSERT INTO listeners (id, callback, query, api, secret) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO UPDATE SET callback = excluded.callback, query = excluded.query, api = excluded.api,
                 secret = excluded.secret",
        )
        .bind(listener.id.as_str())
        .bind(listener.callback.as_str())
        .bind(listener.query.as_str())
        .bind(listener.api.as_str())
        .bind(listener.secret.as_str());
        self.run(upsert).await
    }

    pub(super) async fn remove_listener(&mut self, id: &ListenerId) -> Applied {
        self.run(statement("DELETE FROM listeners WHERE id = $1").bind(id.as_str())).await
    }
}
