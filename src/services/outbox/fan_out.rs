//! From happenings to messages: who hears of what.

use crate::domain::ids::MessageId;
use crate::domain::notification::{Body, Message, Recipient};
use crate::ports::relational::{Listener, Stored, StreamedHappening, Write};

use super::Outbox;

/// A listener's filter: `eventType=A,B`, or everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    types: Vec<String>,
}

/// A filter that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read query `{part}`: expected eventType=<Type>[,<Type>…]")]
pub struct BadQuery {
    /// The part at fault.
    pub part: String,
}

impl EventQuery {
    /// Reads a filter; several `eventType` parts joined by `&` add up.
    pub fn parse(query: &str) -> Result<Self, BadQuery> {
        let mut types = Vec::new();
        for part in query.trim().trim_start_matches('?').split('&').filter(|p| !p.is_empty()) {
            let bad = || BadQuery { part: part.to_owned() };
            let (name, list) = part.split_once('=').ok_or_else(bad)?;
            if name != "eventType" {
                return Err(bad());
            }
            let named = list.split(',').map(str::trim);
            types.extend(named.filter(|t| !t.is_empty()).map(str::to_owned));
            if types.is_empty() {
                return Err(bad());
            }
        }
        Ok(Self { types })
    }

    /// Whether events of this type pass.
    pub fn admits(&self, event_type: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|t| t == event_type)
    }
}

/// The TM Forum API whose `/hub` an event type belongs to.
pub fn api_of(event_type: &str) -> &'static str {
    const APIS: [(&str, &str); 9] = [
        ("ServiceOrder", "serviceOrdering"),
        ("CancelServiceOrder", "serviceOrdering"),
        ("Service", "serviceInventory"),
        ("Appointment", "appointment"),
        ("WorkOrder", "workOrderManagement"),
        ("Usage", "usageManagement"),
        ("TopupBalance", "prepayBalanceManagement"),
        ("CustomerBill", "customerBillManagement"),
        ("SearchTimeSlot", "appointment"),
    ];
    APIS.iter().find(|(prefix, _)| event_type.starts_with(prefix)).map_or(ALL, |(_, api)| api)
}

/// Registrations here hear of every API.
const ALL: &str = "linegate";

/// Turns what has happened since the last time into messages. Returns how many
/// happenings were read; as many as the batch means that there may be more.
pub(super) async fn fan_out(outbox: &Outbox) -> Stored<u64> {
    let cursor = outbox.store.fan_out_cursor().await?;
    let fresh = outbox.store.happenings_after(cursor, outbox.settings.fan_out_batch).await?;
    let Some(last) = fresh.last().map(|h| h.sequence) else { return Ok(0) };
    let listeners: Vec<(Listener, EventQuery)> = outbox
        .store
        .listeners()
        .await?
        .into_iter()
        .filter_map(|l| EventQuery::parse(&l.query).ok().map(|q| (l, q)))
        .collect();
    let mut writes = Vec::new();
    for streamed in &fresh {
        for (listener, query) in &listeners {
            if concerns(listener, query, &streamed.happening.event_type) {
                writes.push(Write::Message(message(streamed, listener)));
            }
        }
    }
    writes.push(Write::FanOutCursor(last));
    outbox.store.save(writes).await?;
    Ok(fresh.len() as u64)
}

/// Whether a listener is to hear of events of this type.
pub(in crate::services) fn concerns(listener: &Listener, query: &EventQuery, event_type: &str) -> bool {
    (listener.api == ALL || listener.api == api_of(event_type)) && query.admits(event_type)
}

/// The id follows from happening and listener, so that a repeated fan-out makes the same message.
fn message(streamed: &StreamedHappening, listener: &Listener) -> Message {
    let StreamedHappening { id, happening, .. } = streamed;
    let line = happening.line.as_ref().map(|l| l.as_str());
    let order = happening.order.as_ref().map(|o| o.as_str());
    Message {
        id: MessageId::from(format!("{id}.{}", listener.id)),
        stream: line.or(order).unwrap_or(id).to_owned(),
        once_key: None,
        to: Recipient::Webhook { listener: listener.id.clone() },
        body: Body::Event {
            event_type: happening.event_type.clone(),
            event: happening.event.clone(),
            event_id: id.clone(),
            correlation: happening.order.as_ref().map(ToString::to_string),
        },
        created: happening.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(api: &str, query: &str, event_type: &str, expected: bool) {
        let listener = Listener {
            id: "l".into(),
            callback: String::new(),
            query: query.to_owned(),
            api: api.to_owned(),
            secret: String::new(),
        };
        let parsed = EventQuery::parse(query).unwrap();
        assert_eq!(concerns(&listener, &parsed, event_type), expected, "{api} {query} {event_type}");
    }

    #[test]
    fn a_listener_hears_of_its_api_and_types_only() {
        let order = "ServiceOrderStateChangeEvent";
        check("serviceOrdering", "", order, true);
        check("serviceOrdering", "eventType=ServiceOrderStateChangeEvent", order, true);
        check("serviceOrdering", "eventType=ServiceOrderCreateEvent,ServiceOrderStateChangeEvent", order, true);
        check(
            "serviceOrdering",
            "eventType=ServiceOrderCreateEvent&eventType=ServiceOrderStateChangeEvent",
            order,
            true,
        );
        check("serviceOrdering", "eventType=ServiceOrderCreateEvent", order, false);
        check("serviceOrdering", "", "ServiceStateChangeEvent", false);
        check("serviceInventory", "", "ServiceStateChangeEvent", true);
        check("serviceInventory", "", order, false);
        check("linegate", "", order, true);
        check("linegate", "", "SettlementCreateEvent", true);
        check("serviceOrdering", "", "SettlementCreateEvent", false);
    }

    #[test]
    fn a_filter_that_we_cannot_honour_is_refused() {
        for bad in ["state=completed", "eventType", "eventType=", "eventType=A&x=1"] {
            assert!(EventQuery::parse(bad).is_err(), "{bad}");
        }
    }
}
