//! Orders: accepts them, queues them on their lines, follows their sagas to an end.
//!
//! Owns the writing of orders. Steps never write an order: [`follow`] does, in
//! the same transaction as the saga that it follows.
//!
//! Promises: an order, its saga, its place in the queues and its first event are
//! one save; an order for the state that the line is in completes at once and
//! touches nothing else; a cancel request and a completion have one winner.

mod claims;
mod follow;
mod intake;
mod submit;
pub mod tmf;
mod verbs;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::ids::{LineId, OrderId, SagaId};
use crate::domain::line::{Line, LineState, SessionState};
use crate::domain::ordering::{Order, OrderKind, OrderState};
use crate::domain::request::BadRequest;
use crate::domain::tariff::SharedTariff;
use crate::ports::relational::{
    LineFilter, OrderFilter, Page, Paged, Relational, StoreError, Stored, StreamedHappening, Write,
};
use crate::ports::{Clock, Ids};
use crate::saga::{Engine, SagaEvent, SagaRecord};

pub use self::follow::Follower;
pub(crate) use self::intake::check_identifiers;
pub use self::verbs::{Fallout, FalloutVerb};

/// Limits of ordering.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderingSettings {
    /// Orders that may wait on one line, the one in flight included; past it 409.
    pub queue_max_per_line: usize,
    /// Items of one order.
    pub items_max: usize,
    /// Loads again when a line is changed by somebody else meanwhile.
    pub conflict_retries: u32,
    /// Language of SMS: `ko` or `en`.
    pub sms_language: crate::domain::notification::Language,
}

impl Default for OrderingSettings {
    fn default() -> Self {
        Self {
            queue_max_per_line: 16,
            items_max: 32,
            conflict_retries: 32,
            sms_language: crate::domain::notification::Language::Ko,
        }
    }
}

/// What makes a repeat of a request recognisable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Idempotency {
    /// The `Idempotency-Key` of the request, where it has one.
    pub key: Option<String>,
    /// SHA-256 of the canonical body, hex.
    pub fingerprint: String,
}

/// An order that was accepted, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The order as it stands.
    pub order: Order,
    /// The TMF641 body of the first response.
    pub response: Value,
    /// Whether it was accepted before.
    pub replayed: bool,
}

/// Why an order was not accepted; nothing moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The request cannot be read.
    #[error(transparent)]
    Invalid(#[from] BadRequest),
    /// The line can never get there from where it will be.
    #[error("{} line {line}: it is {}", kind.as_str(), state.as_str())]
    Illegal {
        /// The line.
        line: LineId,
        /// What was asked.
        kind: OrderKind,
        /// Where the line will be by then.
        state: LineState,
    },
    /// Names something that does not exist.
    #[error("{what} `{name}` is not known")]
    Unknown {
        /// `plan`, `apn`, `service`, `serviceSpecification`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An identifier is in use on another line.
    #[error("{what} `{value}` is in use on another line")]
    Taken {
        /// `imsi`, `msisdn`, `deviceId`.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// Too many orders wait on the line.
    #[error("line {line}: {waiting} orders wait already")]
    Busy {
        /// The line.
        line: LineId,
        /// How many.
        waiting: usize,
    },
    /// The idempotency key or external id was used for another body.
    #[error("`{key}` was used for another order")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// The store did not take it.
    #[error("store order")]
    Store(#[source] StoreError),
}

impl From<StoreError> for SubmitError {
    fn from(e: StoreError) -> Self {
        SubmitError::Store(e)
    }
}

/// What a cancel request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelOutcome {
    /// The order, being undone: [`OrderState::PendingCancellation`].
    pub order: Order,
}

/// Why an order was not cancelled, or a verb not carried out; nothing moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerbRefused {
    /// No such order.
    #[error("order {0} is not known")]
    Unknown(OrderId),
    /// The order has ended, or the verb does not fit its state.
    #[error("{verb} order {order}: it is {}", state.as_str())]
    WrongState {
        /// What was asked.
        verb: &'static str,
        /// The order.
        order: OrderId,
        /// Where it stands.
        state: OrderState,
    },
    /// What was done cannot be taken back any more.
    #[error("cancel order {order}: past the point of no return")]
    TooLate {
        /// The order.
        order: OrderId,
    },
    /// The store did not take it.
    #[error("store order")]
    Store(#[source] StoreError),
}

impl From<StoreError> for VerbRefused {
    fn from(e: StoreError) -> Self {
        VerbRefused::Store(e)
    }
}

/// The ordering service.
pub struct Ordering {
    store: Arc<dyn Relational>,
    engine: Arc<Engine<Write>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    tariff: SharedTariff,
    settings: OrderingSettings,
    claims: claims::Claims,
}

impl Ordering {
    /// Over an engine that has the activation steps and a [`Follower`].
    pub fn new(
        store: Arc<dyn Relational>,
        engine: Arc<Engine<Write>>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        tariff: SharedTariff,
        settings: OrderingSettings,
    ) -> Self {
        Self { store, engine, clock, ids, tariff, settings, claims: claims::Claims::default() }
    }

    /// One order.
    pub async fn order(&self, id: &OrderId) -> Stored<Option<Order>> {
        self.store.order(id).await
    }

    /// Orders, newest first.
    pub async fn orders(&self, filter: &OrderFilter, page: Page) -> Stored<Paged<Order>> {
        self.store.orders(filter, page).await
    }

    /// One line.
    pub async fn line(&self, id: &LineId) -> Stored<Option<Line>> {
        self.store.line(id).await
    }

    /// Lines by id.
    pub async fn lines(&self, filter: &LineFilter, page: Page) -> Stored<Paged<Line>> {
        self.store.lines(filter, page).await
    }

    /// What a line's device does now.
    pub async fn session(&self, id: &LineId) -> Stored<SessionState> {
        self.store.session(id).await
    }

    /// The saga behind an order, with its log.
    pub async fn saga(&self, id: &OrderId) -> Stored<Option<(SagaRecord, Vec<SagaEvent>)>> {
        let id = SagaId::from(id.as_str());
        let Some(saga) = self.store.saga(&id).await? else { return Ok(None) };
        Ok(Some((saga, self.store.saga_log(&id).await?)))
    }

    /// What happened to an order, oldest first.
    pub async fn happenings(&self, id: &OrderId) -> Stored<Vec<StreamedHappening>> {
        self.store.happenings_of_order(id).await
    }
}
