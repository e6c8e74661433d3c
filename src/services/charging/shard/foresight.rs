//! What requests would be answered that the store is away for.
//!
//! Owns the shadows of accounts that such requests are charged on; nothing of them is
//! kept. Who asks, and what may be answered, is [`super::super::outage`].

use super::Shard;
use crate::domain::rating::apply;
use crate::services::charging::work::Foresee;

impl Shard {
    pub(super) fn look_ahead(&mut self, asked: Foresee) {
        let Foresee::Request { request, account, line, to } = asked else { return self.shadows.clear() };
        if !self.shadows.contains_key(&account) {
            // Nothing is foreseen of one that the store alone has.
            if let Err(error) = self.bring(account) {
                return self.fail(&error);
            }
            if let Some(slot) = self.accounts.slot(account) {
                self.shadows.insert(account, slot.account.clone());
            }
        }
        let (tariff, settings) = (self.shared.tariff.book(), &self.shared.settings.rating);
        let shadow = self.shadows.get_mut(&account);
        let now = self.shared.clock.now();
        let answer = shadow.map(|shadow| {
            let line = line.and_then(|no| shadow.line_by_no(no)).map(|line| line.id.clone());
            apply(shadow, line.as_ref(), &request, &tariff, settings, now).answer
        });
        let _waits_no_more = to.send(answer);
    }
}
