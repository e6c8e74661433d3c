//! What everything comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use linegate::domain::account::AccountView;
use linegate::domain::ids::{AccountId, LineId, PlanId};
use linegate::domain::ledger::{LedgerSide, balanced};
use linegate::domain::usage::{UsageOutcome, UsageRecord};
use linegate::ports::hot::Position;
use linegate::ports::relational::{BillingReads, Page, UsageFilter, UsageSink};
use linegate::services::drain::{Drain, DrainSettings};

use super::gateways::{Gateway, Ground};
use super::{LINES, LineOf, TARIFF, World, october, shut_down};
use crate::cellular::line_id;

impl World {
    /// What was acknowledged is what is counted: record by record, and in sum.
    pub async fn judge(&self, gateways: Vec<Gateway>, Ground { hot, .. }: Ground) {
        while self.journals.iter().any(|journal| !journal.lock().unwrap().is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut views = BTreeMap::new();
        for account in LINES.iter().map(|line| line.account).filter(|account| !account.is_empty()) {
            for gateway in &gateways {
                let view = gateway.charging.view(&AccountId::from(account)).await.unwrap();
                let view = view.expect("an account does not vanish");
                let first = views.entry(account).or_insert_with(|| view.clone());
                assert_eq!(*first, view, "gateways agree on {account}");
            }
        }
        shut_down(gateways).await;
        Drain::new(hot.clone(), self.relational.clone(), DrainSettings::default()).drain_all().await.unwrap();
        let cursors = self.relational.taken_through().await.unwrap();
        for log in 0..hot.logs() {
            let cursor = cursors.get(&log).copied().unwrap_or(0);
            assert!(hot.log_after(log, cursor, 1).await.unwrap().is_empty(), "log {log} is drained");
        }
        let page = Page { offset: 0, limit: 100_000 };
        let stored = self.relational.usage(&UsageFilter::default(), page).await.unwrap().items;
        let stored: Vec<UsageRecord> = stored.into_iter().map(|stored| stored.record).collect();
        self.records_agree(&stored);
        self.marker_holds();
        for (n, line) in LINES.iter().enumerate().filter(|(_, line)| !line.account.is_empty()) {
            self.line_agrees(&line_id(n), line, &views[line.account], &stored);
        }
    }

    fn records_agree(&self, stored: &[UsageRecord]) {
        // What an account did not take from a journal, and took when it was charged once more.
        let is_recycled = |record: &&UsageRecord| matches!(record.outcome, UsageOutcome::Recycled(_));
        let stored = || stored.iter().filter(|record| !is_recycled(record));
        let mut by_key: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for record in stored() {
            let key = (record.key.to_string(), record.rating_group);
            let is_first = by_key.insert(key.clone(), record.octets).is_none();
            assert!(is_first, "{key:?} is counted twice: {:#?}", self.kept_of(&key));
            assert!(balanced(&record.postings), "{record:?}");
            let network: i64 =
                record.postings.iter().filter(|p| p.side == LedgerSide::Network).map(|posting| posting.amount).sum();
            let expected = if record.outcome == UsageOutcome::Rated { -(record.octets as i64) } else { 0 };
            assert_eq!(network, expected, "the postings of {record:?}");
        }
        let is_charged = |record: &&UsageRecord| !matches!(record.outcome, UsageOutcome::Suspense(_));
        let kept = self.kept.lock().unwrap();
        assert_eq!(
            kept.iter().map(|(_, record)| record).filter(is_charged).count(),
            stored().filter(is_charged).count(),
            "the drain takes every record once"
        );
        let mut known: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for client in &self.clients {
            let client = client.lock().unwrap();
            for key in &client.acknowledged {
                assert_eq!(by_key.get(key), client.sent.get(key), "{key:?} was acknowledged");
            }
            for key in &client.refused {
                assert_eq!(by_key.get(key), None, "{key:?} was refused");
            }
            known.extend(client.sent.iter().map(|(key, octets)| (key.clone(), *octets)));
        }
        for (key, octets) in &by_key {
            assert_eq!(known.get(key), Some(octets), "{key:?} was never sent like that");
        }
    }

    fn kept_of(&self, (key, group): &(String, u32)) -> Vec<(Position, UsageRecord)> {
        let kept = self.kept.lock().unwrap();
        kept.iter().filter(|(_, r)| r.key.to_string() == *key && r.rating_group == *group).cloned().collect()
    }

    /// Nothing is billed to a closed month behind the marker.
    fn marker_holds(&self) {
        let Some(marker) = *self.closed.lock().unwrap() else { return };
        for (position, record) in self.kept.lock().unwrap().iter().filter(|(at, _)| *at > marker) {
            assert!(record.cycle.is_none_or(|cycle| cycle > october()), "{record:?} at {position}, marker {marker}");
        }
    }

    fn line_agrees(&self, id: &LineId, line: &LineOf, view: &AccountView, stored: &[UsageRecord]) {
        let rated = stored.iter().filter(|r| r.line.as_ref() == Some(id) && r.outcome == UsageOutcome::Rated);
        let (octets, amount) = rated.fold((0, 0), |(octets, amount), r| (octets + r.octets, amount + r.amount));
        if self.closes {
            return;
        }
        let lines = view.lines.iter().filter(|l| l.line == *id);
        let held = lines.clone().fold((0, 0), |(octets, amount), l| (octets + l.octets, amount + l.amount));
        assert_eq!(held, (octets, amount), "{id}: the account and its records");
        let price = TARIFF.plan(&PlanId::from(line.plan)).unwrap().usage.as_ref().unwrap();
        // The run is within an hour of a month's end: a month each has its own tiers.
        let priced: i64 = lines.map(|l| price.plain().unwrap().of_total(l.octets).unwrap()).sum();
        assert_eq!(amount, priced, "{id}: the price of the sum is the sum of the prices");
        if let Some(cap) = price.cap_octets.filter(|_| !self.grants_blindly()) {
            for each in view.lines.iter().filter(|l| l.line == *id) {
                assert!(each.octets + each.reserved <= cap, "{id}: more was granted than was left: {each:?}");
            }
        }
    }
}
