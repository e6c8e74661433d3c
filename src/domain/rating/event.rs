//! One-time events (RFC 8506 section 6): a debit or refund without a session,
//! and the questions that move nothing.
//!
//! Each group is moved whole or not at all. What moved is remembered by the
//! request's key, so a repeat moves nothing; what was refused is judged anew.
//! A refund gives back what the open cycle has charged, never more, so no bill
//! falls below nothing.

use super::allowance::{crossed, give_back};
use super::grant::left_under_cap;
use super::judge::{Usage, blank_record, judge, move_totals};
use super::price::{Beside, Priced, Served, charge, price, price_beside};
use super::request::{Action, ChargeAnswer, ChargeRequest, Grant, GroupAnswer, MoneyAsked, Outcome, Used, Wanted};
use super::{Applied, Place, RatingSettings, is_denied, is_foreign, key_hash};
use crate::domain::account::{Account, KeySeen, LineTotal};
use crate::domain::ids::LineId;
use crate::domain::ledger::{LedgerSide, Posting, Unit};
use crate::domain::money::Money;
use crate::domain::tariff::{ChargingSource, Circumstances, MAIN_COUNTER, Price, Tariff, UsagePrice};
use crate::domain::time::Timestamp;
use crate::domain::usage::{SuspenseReason, UsageOutcome, UsageRecord};

/// Applies a one-time event.
pub(super) fn one_time(
    account: &mut Account,
    line: Option<&LineId>,
    request: &ChargeRequest,
    action: Action,
    tariff: &Tariff,
    settings: &RatingSettings,
    now: Timestamp,
) -> Applied {
    let Some(line) = line.and_then(|id| account.lines.iter().position(|l| l.id == *id)) else {
        return Applied::refused(Outcome::UnknownSubscriber, request);
    };
    let key = key_hash(&request.key);
    if action.moves() {
        match account.event_keys.seen(key, now, &settings.limits) {
            KeySeen::First => {}
            KeySeen::Repeated => return Applied::unchanged(stored_answer(account, key, request)),
            KeySeen::NoRoom => return Applied::refused(Outcome::NoRoom, request),
        }
    }
    let foreign = is_foreign(account, line, request.apn.as_ref(), tariff, now);
    let (apn, network) = (request.apn.clone(), request.network);
    let place = Place { line, apn, network, foreign, last_of_ended: false, asking: 0, now };
    let mut event = Event { account, place: &place, request, tariff, settings, records: Vec::new() };
    let mut answer = match action {
        Action::CheckBalance => event.check_balance(),
        Action::Debit => event.each_group(Event::debit),
        Action::Refund => event.each_group(Event::refund),
        Action::EnquirePrice => event.each_group(Event::enquire),
    };
    let records = event.records;
    let changed = !records.is_empty();
    if changed {
        account.event_keys.insert(key, now, &settings.limits);
        account.event_answers.keep(key, &answer, settings.limits.event_answers_max);
    }
    answer.repeated = false;
    Applied { records, changed, ..Applied::unchanged(answer) }
}

/// What a debit or refund was answered; where that is forgotten, that it was done.
fn stored_answer(account: &Account, key: u64, request: &ChargeRequest) -> ChargeAnswer {
    let stored = account.event_answers.find(key);
    // of several groups some may have been refused: that is not made up
    if stored.is_none() && request.groups.len() > 1 {
        return ChargeAnswer { repeated: true, ..ChargeAnswer::bare(Outcome::RatingFailed) };
    }
    let mut answer = stored.unwrap_or_else(|| {
        let groups = request.groups.iter().map(|g| moved(g.rating_group, g.wanted, None)).collect();
        ChargeAnswer { groups, ..ChargeAnswer::bare(Outcome::Success) }
    });
    answer.repeated = true;
    answer
}

/// An event on its way through its groups.
struct Event<'a> {
    account: &'a mut Account,
    place: &'a Place,
    request: &'a ChargeRequest,
    tariff: &'a Tariff,
    settings: &'a RatingSettings,
    /// What has moved so far.
    records: Vec<UsageRecord>,
}

impl<'a> Event<'a> {
    fn each_group(&mut self, act: fn(&mut Self, usize) -> Result<GroupAnswer, Outcome>) -> ChargeAnswer {
        let groups = self.request.groups.iter().enumerate();
        let groups = groups
            .map(|(at, group)| act(self, at).unwrap_or_else(|outcome| GroupAnswer::bare(group.rating_group, outcome)));
        ChargeAnswer { groups: groups.collect(), ..ChargeAnswer::bare(Outcome::Success) }
    }

    fn debit(&mut self, at: usize) -> Result<GroupAnswer, Outcome> {
        let group = &self.request.groups[at];
        let prices = self.in_service()?;
        let mut record = self.record(at);
        let cost = match group.wanted {
            Wanted::Octets(octets) => {
                self.fits(prices, octets, 0)?;
                self.debit_octets(at, &mut record)?
            }
            Wanted::Money(asked) => {
                let minor = self.minor(asked)?;
                self.total().amount += minor;
                settle(&mut record, money_moved(minor));
                record.crossed = crossed(self.account, self.account.lines[self.place.line].no, prices);
                Some(minor)
            }
            Wanted::Nothing | Wanted::AsMuchAsWeGive | Wanted::Unpriced => return Err(Outcome::RatingFailed),
        };
        self.stamp(&mut record);
        self.records.push(record);
        Ok(moved(group.rating_group, group.wanted, cost.map(|minor| self.money(minor))))
    }

    /// Octets count in the cycle of the gateway's clock: the service is yet to be given.
    fn debit_octets(&mut self, at: usize, record: &mut UsageRecord) -> Result<Option<i64>, Outcome> {
        let usage = self.usage(at);
        let line = &self.account.lines[self.place.line];
        let (id, plan) = judge(line, self.place, &usage, self.tariff, self.settings).map_err(outcome_of)?;
        record.outcome = move_totals(self.account, self.place, &usage, self.request, (id, plan), self.tariff, record)
            .map_err(outcome_of)?;
        Ok((record.outcome == UsageOutcome::Rated).then_some(record.amount))
    }

    fn refund(&mut self, at: usize) -> Result<GroupAnswer, Outcome> {
        let group = &self.request.groups[at];
        let prices = self.prices()?;
        let charged = self.charged_by_us()?;
        let (back, priced) = match group.wanted {
            Wanted::Octets(back) => {
                let (counter, cost, free) = self.counter(prices, group.rating_group)?;
                let counted = self.counted(counter);
                // what was used last comes back first: what was priced, then what was covered
                let after = counted.saturating_sub(back);
                let covered = back - (counted - after);
                let priced = price_beside(cost, free, after, counted, Beside { covered, credited: 0 })
                    .ok_or(Outcome::RatingFailed)?;
                (Some((counter, after, back, covered)), priced.reversed())
            }
            Wanted::Money(asked) => (None, money_moved(-self.minor(asked)?)),
            Wanted::Nothing | Wanted::AsMuchAsWeGive | Wanted::Unpriced => return Err(Outcome::RatingFailed),
        };
        let amount = charged.checked_add(priced.amount).filter(|left| *left >= 0).ok_or(Outcome::RefundTooLarge)?;
        if let Some((counter, after, back, covered)) = back {
            self.give_back(prices, group.rating_group, covered)?;
            let total = self.total();
            total.set_counter(counter, after);
            total.octets = total.octets.saturating_sub(back);
        }
        self.total().amount = amount;
        let back = -priced.amount;
        let mut record = self.record(at);
        settle(&mut record, priced);
        self.stamp(&mut record);
        self.records.push(record);
        Ok(moved(group.rating_group, group.wanted, Some(self.money(back))))
    }

    fn enquire(&mut self, at: usize) -> Result<GroupAnswer, Outcome> {
        let group = &self.request.groups[at];
        let prices = self.prices()?;
        let Wanted::Octets(octets) = group.wanted else { return Err(Outcome::RatingFailed) };
        if octets > self.settings.record_octets_max {
            return Err(Outcome::RatingFailed);
        }
        let priced = match prices.plain() {
            Some(plain) if self.credit_left() == 0 => {
                let before = self.counted(MAIN_COUNTER);
                let after = before.checked_add(octets).ok_or(Outcome::RatingFailed)?;
                price(plain, prices.free_octets(plain), before, after).ok_or(Outcome::RatingFailed)?
            }
            // what it would do is done to a copy
            _ => {
                let (mut copy, no) = (self.account.clone(), self.account.lines[self.place.line].no);
                let served = Served { apn: self.place.apn.as_ref(), network: self.place.network };
                charge(&mut copy, self.account.cycle, no, prices, self.tariff, &self.usage(at), served)
                    .map_err(outcome_of)?
            }
        };
        let cost = Some(self.money(priced.amount));
        Ok(GroupAnswer { cost, ..GroupAnswer::bare(group.rating_group, Outcome::Success) })
    }

    /// All groups together are covered, or they are not.
    fn check_balance(&mut self) -> ChargeAnswer {
        let mut asked = 0u64;
        let mut covered = true;
        for group in &self.request.groups {
            let checked = self.in_service().and_then(|prices| match group.wanted {
                Wanted::Octets(octets) => match self.fits(prices, octets, asked) {
                    Err(Outcome::CreditLimitReached) => Ok((octets, false)),
                    fits => fits.map(|()| (octets, true)),
                },
                Wanted::Money(money) => self.minor(money).map(|_| (0, true)),
                Wanted::Nothing | Wanted::AsMuchAsWeGive | Wanted::Unpriced => Err(Outcome::RatingFailed),
            });
            match checked {
                Ok((octets, fits)) => (asked, covered) = (asked.saturating_add(octets), covered && fits),
                Err(outcome) => return ChargeAnswer::alike(outcome, self.request),
            }
        }
        ChargeAnswer { covered: Some(covered), ..ChargeAnswer::alike(Outcome::Success, self.request) }
    }

    /// Whether so many octets may be used on top of `asked` more.
    fn fits(&self, prices: &UsagePrice, octets: u64, asked: u64) -> Result<(), Outcome> {
        if octets > self.settings.record_octets_max {
            return Err(Outcome::RatingFailed);
        }
        let line = self.account.lines[self.place.line].no;
        match left_under_cap(self.account, prices, line, self.place.now) {
            Some(left) if octets > left.saturating_sub(asked) => Err(Outcome::CreditLimitReached),
            _ => Ok(()),
        }
    }

    fn in_service(&self) -> Result<&'a UsagePrice, Outcome> {
        if self.place.foreign {
            return Err(Outcome::ForeignApn);
        }
        if is_denied(self.account, self.place.line) {
            return Err(Outcome::ServiceDenied);
        }
        self.prices()
    }

    fn prices(&self) -> Result<&'a UsagePrice, Outcome> {
        if self.place.foreign {
            return Err(Outcome::ForeignApn);
        }
        let plan = self.account.lines[self.place.line].plan_at(self.place.now);
        let plan = plan.and_then(|id| self.tariff.plan(id));
        plan.and_then(|p| p.usage.as_ref()).ok_or(Outcome::RatingFailed)
    }

    /// What the open cycle has charged, where this source charges it: nothing is given
    /// back that another one has charged.
    fn charged_by_us(&self) -> Result<i64, Outcome> {
        let line = &self.account.lines[self.place.line];
        let plan = line.plan_at(self.place.now).and_then(|id| self.tariff.plan(id));
        let fixed = line.source.or(plan.map(|plan| plan.source)).and_then(ChargingSource::fixed);
        let total = self.account.buckets.last().and_then(|open| open.total(line.no));
        let charges = fixed.or(total.and_then(|total| total.source));
        let ours = charges.is_none_or(|source| source == self.request.key.source());
        if ours { Ok(total.map_or(0, |total| total.amount)) } else { Err(Outcome::RefundTooLarge) }
    }

    /// The counter that prices octets of the group now, with its price and the octets of
    /// it that cost nothing.
    fn counter<'p>(&self, prices: &'p UsagePrice, rating_group: u32) -> Result<(u32, &'p Price, u64), Outcome> {
        if let Some(plain) = prices.plain() {
            return Ok((MAIN_COUNTER, plain, prices.free_octets(plain)));
        }
        let rule = prices.rule_for(self.tariff, &self.circumstances(rating_group)).ok_or(Outcome::RatingFailed)?;
        Ok((prices.counter_of(rule), &rule.cost, rule.cost.free_octets()))
    }

    /// Refills allowances of the open cycle with octets that they have covered.
    fn give_back(&mut self, prices: &UsagePrice, rating_group: u32, covered: u64) -> Result<(), Outcome> {
        let (cycle, no) = (self.account.cycle, self.account.lines[self.place.line].no);
        let usage = self.circumstances(rating_group);
        let given = covered == 0 || give_back(self.account, cycle, no, prices, self.tariff, &usage, covered);
        given.then_some(()).ok_or(Outcome::RefundTooLarge)
    }

    /// What a group's octets are like now; an event does not tell directions apart.
    fn circumstances(&self, rating_group: u32) -> Circumstances<'a> {
        let place = self.place;
        let (apn, network, at) = (place.apn.as_ref(), place.network, place.now);
        Circumstances { apn, rating_group, network, direction: None, at }
    }

    /// Octets of the line's open cycle that a counter has priced.
    fn counted(&self, counter: u32) -> u64 {
        let line = self.account.lines[self.place.line].no;
        let total = self.account.buckets.last().and_then(|open| open.total(line));
        total.map_or(0, |total| total.counter(counter))
    }

    /// Octets of top-ups left in the line's open cycle.
    fn credit_left(&self) -> u64 {
        let line = self.account.lines[self.place.line].no;
        let total = self.account.buckets.last().and_then(|open| open.total(line));
        total.map_or(0, LineTotal::credit_left)
    }

    fn total(&mut self) -> &mut LineTotal {
        let line = self.account.lines[self.place.line].no;
        let open = self.account.buckets.len() - 1;
        self.account.buckets[open].total_mut(line)
    }

    /// The client's amount in minor units of the tariff's currency.
    fn minor(&self, asked: MoneyAsked) -> Result<i64, Outcome> {
        let currency = self.tariff.currency;
        let minor = currency.minor_of(asked.digits, asked.exponent);
        let ours = asked.currency.is_none_or(|number| number == currency.number());
        let allowed = |minor: &i64| ours && (0..=self.settings.event_money_max).contains(minor);
        minor.filter(allowed).ok_or(Outcome::RatingFailed)
    }

    fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.tariff.currency)
    }

    fn usage(&self, at: usize) -> Usage {
        let octets = match self.request.groups[at].wanted {
            Wanted::Octets(octets) => octets,
            _ => 0,
        };
        let usage = Usage::of(self.request, at, Used::octets(octets), self.place.now);
        Usage { ends: self.place.now, ..usage }
    }

    fn record(&self, at: usize) -> UsageRecord {
        blank_record(self.account, self.place, &self.usage(at), self.request, self.tariff)
    }

    /// Where the bill will find it: the open cycle and the line's plan.
    fn stamp(&self, record: &mut UsageRecord) {
        if record.cycle.is_none() {
            record.cycle = Some(self.account.cycle);
            record.plan = self.account.lines[self.place.line].plan_at(self.place.now).cloned();
        }
    }
}

fn settle(record: &mut UsageRecord, priced: Priced) {
    record.amount = priced.amount;
    record.postings = priced.postings;
}

/// A movement of money alone.
fn money_moved(minor: i64) -> Priced {
    let sides = [(LedgerSide::Unbilled, minor), (LedgerSide::Revenue, -minor)];
    let moved = sides.into_iter().filter(|(_, amount)| *amount != 0);
    let postings = moved.map(|(side, amount)| Posting { side, unit: Unit::Minor, amount }).collect();
    Priced { amount: minor, postings }
}

/// The answer for a group that was moved whole: what was wanted is what is granted.
fn moved(rating_group: u32, wanted: Wanted, cost: Option<Money>) -> GroupAnswer {
    let grant = match wanted {
        Wanted::Octets(octets) => Some(Grant {
            octets,
            tariff_change: None,
            validity_s: 0,
            threshold_octets: 0,
            holding_s: 0,
            final_unit: None,
            throttle: None,
        }),
        _ => None,
    };
    GroupAnswer { grant, cost, ..GroupAnswer::bare(rating_group, Outcome::Success) }
}

/// Why an event's octets cannot be charged.
fn outcome_of(reason: SuspenseReason) -> Outcome {
    match reason {
        SuspenseReason::ForeignApn => Outcome::ForeignApn,
        SuspenseReason::LineNotActive => Outcome::ServiceDenied,
        SuspenseReason::UnknownLine => Outcome::UnknownSubscriber,
        SuspenseReason::BadRecord
        | SuspenseReason::NoUsagePrice
        | SuspenseReason::TooManyKeys
        | SuspenseReason::TooManySessions => Outcome::RatingFailed,
    }
}
