//! TMF646 SearchTimeSlot: a search for free time, kept with its answer.

use serde_json::{Map, Value, json};

use super::events::search_happening;
use super::{Scheduling, SchedulingError, SlotSearch, unknown};
use crate::domain::scheduling::{Slot, SlotSearchRecord};
use crate::domain::time::Interval;
use crate::ports::relational::{Page, Paged, Stored, Write};

/// A search as it was asked for.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// Who is needed and where.
    pub who: SlotSearch,
    /// When; none is any time from now on.
    pub spans: Vec<Interval>,
    /// The members of the request, given back as they came.
    pub members: Map<String, Value>,
}

impl Scheduling {
    /// Searches, and keeps the answer; at most `limit` slots are in it.
    ///
    /// # Errors
    /// The store could not be read or written.
    pub async fn search(&self, request: SearchRequest, limit: u64) -> Stored<SlotSearchRecord> {
        let now = self.clock.now();
        let id = self.ids.fresh(now);
        let body = self.searched(&id, &request, limit).await?;
        let search = SlotSearchRecord { id, searched: now, created: now, body };
        let told = search_happening("SearchTimeSlotCreateEvent", &search.body, now);
        self.store.save(vec![told, Write::SlotSearch(search.clone())]).await?;
        Ok(search)
    }

    /// One search.
    pub async fn slot_search(&self, id: &str) -> Stored<Option<SlotSearchRecord>> {
        self.store.slot_search(id).await
    }

    /// Searches that are kept, newest first.
    pub async fn slot_searches(&self, page: Page) -> Stored<Paged<SlotSearchRecord>> {
        self.store.slot_searches(page).await
    }

    /// Searches anew under the same id.
    ///
    /// # Errors
    /// No such search; the store could not be read or written.
    pub async fn search_again(
        &self,
        id: &str,
        request: SearchRequest,
        limit: u64,
    ) -> Result<SlotSearchRecord, SchedulingError> {
        let before = self.store.slot_search(id).await?.ok_or_else(|| unknown("searchTimeSlot", id))?;
        let now = self.clock.now();
        let body = self.searched(id, &request, limit).await?;
        let search = SlotSearchRecord { searched: now, body, ..before };
        let told = search_happening("SearchTimeSlotAttributeValueChangeEvent", &search.body, now);
        self.store.save(vec![told, Write::SlotSearch(search.clone())]).await?;
        Ok(search)
    }

    /// Forgets a search.
    ///
    /// # Errors
    /// No such search; the store did not take it.
    pub async fn forget_search(&self, id: &str) -> Result<(), SchedulingError> {
        let search = self.store.slot_search(id).await?.ok_or_else(|| unknown("searchTimeSlot", id))?;
        let told = search_happening("SearchTimeSlotDeleteEvent", &search.body, self.clock.now());
        self.store.save(vec![told, Write::RemoveSlotSearch(id.to_owned())]).await?;
        Ok(())
    }

    async fn searched(&self, id: &str, request: &SearchRequest, limit: u64) -> Stored<Value> {
        let now = self.clock.now();
        let any_time = [Interval::starting(now)];
        let spans = if request.spans.is_empty() { &any_time[..] } else { &request.spans };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut free: Vec<Slot> = Vec::new();
        for span in spans {
            for slot in self.free_slots(&request.who, span.from, span.until).await? {
                if free.len() < limit && !free.iter().any(|s| s.id == slot.id) {
                    free.push(slot);
                }
            }
        }
        let mut body = request.members.clone();
        let known = json!({
            "id": id,
            "href": format!("/tmf-api/appointment/v4/searchTimeSlot/{id}"),
            "searchDate": now.to_string(),
            "searchResult": if free.is_empty() { "fail" } else { "success" },
            "status": "done",
            "availableTimeSlot": free.iter().map(time_slot).collect::<Vec<_>>(),
            "@type": "SearchTimeSlot",
        });
        if let Value::Object(known) = known {
            body.extend(known);
        }
        Ok(Value::Object(body))
    }
}

/// TMF646 v4 `TimeSlot`.
pub fn time_slot(slot: &Slot) -> Value {
    json!({
        "id": slot.id,
        "validFor": { "startDateTime": slot.span.from.to_string(), "endDateTime": slot.span.until.to_string() },
        "relatedParty": { "id": slot.worker, "role": "worker", "@referredType": "Individual" },
        "capacity": slot.capacity,
        "held": slot.held,
    })
}
