//! Accounts to bytes; in step with [`super::reader`].

use std::ops::{Deref, DerefMut};

use serde::Serialize;

use super::{account_has, bucket_has, line_has, session_has, total_has};
use crate::domain::account::{Account, Bucket, EventKeys, LineCharging, LineTotal, Reservation, Session, SessionEnd};
use crate::domain::compact::{self, bits};
use crate::domain::cycle::CycleId;
use crate::domain::time::{Interval, Timestamp};

/// A compact one that knows the time before.
pub(super) struct Writer<'a> {
    out: compact::Writer<'a>,
    /// Milliseconds.
    last: i64,
}

impl<'a> Deref for Writer<'a> {
    type Target = compact::Writer<'a>;

    fn deref(&self) -> &Self::Target {
        &self.out
    }
}

impl DerefMut for Writer<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.out
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { out: compact::Writer(bytes), last: 0 }
    }

    pub(super) fn account(&mut self, account: &Account) {
        use account_has::{EVENT_ANSWERS, EVENT_KEYS, GAP_BEHIND_CLOSED, MODEMS, SESSIONS};
        self.text(account.id.as_str());
        self.number(account.version);
        let has = bits([
            (GAP_BEHIND_CLOSED, account.closed_through != account.cycle.previous()),
            (SESSIONS, !account.sessions.is_empty()),
            (MODEMS, !account.modems.is_empty()),
            (EVENT_KEYS, account.event_keys != EventKeys::default()),
            (EVENT_ANSWERS, !account.event_answers.is_empty()),
        ]);
        self.byte(has);
        self.text(account.customer.as_str());
        self.byte(account.anchor_day);
        self.text(&account.zone);
        self.signed(account.cycle.months());
        if has & GAP_BEHIND_CLOSED != 0 {
            self.signed(account.closed_through.months());
        }
        self.interval(&account.bounds);
        self.each(&account.buckets, |out, bucket| out.bucket(bucket, account.cycle));
        self.each(&account.lines, |out, line| out.line(line, account.id.as_str()));
        self.number(u64::from(account.next_line));
        if has & SESSIONS != 0 {
            self.each(&account.sessions, Self::session);
        }
        if has & MODEMS != 0 {
            self.plain(&account.modems);
        }
        if has & EVENT_KEYS != 0 {
            self.plain(&account.event_keys);
        }
        if has & EVENT_ANSWERS != 0 {
            self.bytes(account.event_answers.as_bytes());
        }
    }

    fn bucket(&mut self, bucket: &Bucket, open: CycleId) {
        use bucket_has::{CLOSED, MORE, TOTALS};
        let has = bits([(CLOSED, bucket.closed), (MORE, bucket.more.is_some()), (TOTALS, !bucket.totals.is_empty())]);
        self.byte(has);
        self.signed(open.months() - bucket.cycle.months());
        if has & TOTALS != 0 {
            self.each(&bucket.totals, Self::total);
        }
        if let Some(more) = &bucket.more {
            self.plain(more);
        }
    }

    fn total(&mut self, total: &LineTotal) {
        use total_has::{MORE, RECONCILED, SOURCE};
        let has = bits([
            (SOURCE, total.source.is_some()),
            (RECONCILED, !total.reconciled.is_empty()),
            (MORE, total.more.is_some()),
        ]);
        self.byte(has);
        self.number(u64::from(total.line));
        self.number(total.octets);
        self.signed(total.amount);
        if let Some(source) = &total.source {
            self.plain(source);
        }
        if has & RECONCILED != 0 {
            self.plain(&total.reconciled);
        }
        if let Some(more) = &total.more {
            self.plain(more);
        }
    }

    fn line(&mut self, line: &LineCharging, account: &str) {
        use line_has::{APNS, NO_NEW_GRANT, OWN_ID, SOURCE};
        let has = bits([
            (OWN_ID, line.id.as_str() != account),
            (NO_NEW_GRANT, line.no_new_grant),
            (SOURCE, line.source.is_some()),
            (APNS, !line.apns.is_empty()),
        ]);
        self.byte(has);
        if has & OWN_ID != 0 {
            self.text(line.id.as_str());
        }
        self.number(u64::from(line.no));
        self.each(&line.identifiers, |out, (identifier, span)| {
            out.identifier(identifier);
            out.interval(span);
        });
        if has & APNS != 0 {
            self.each(&line.apns, |out, apn| out.text(apn.as_str()));
        }
        self.each(&line.plans, |out, (from, plan)| {
            out.time(*from);
            out.text(plan.as_str());
        });
        self.each(&line.states, |out, (from, state)| {
            out.time(*from);
            out.plain(state);
        });
        if let Some(source) = &line.source {
            self.plain(source);
        }
        self.each(&line.command_keys, |out, key| out.0.extend(key.to_le_bytes()));
    }

    fn session(&mut self, session: &Session) {
        use session_has::{APN, ENDED_BY_CLIENT, ENDED_BY_US, NETWORK, PEER};
        self.byte(bits([
            (PEER, session.peer.is_some()),
            (APN, session.apn.is_some()),
            (NETWORK, session.network.is_some()),
            (ENDED_BY_US, session.end == SessionEnd::ByUs),
            (ENDED_BY_CLIENT, matches!(session.end, SessionEnd::ByClient(_))),
        ]));
        self.text(session.id.as_str());
        self.plain(&session.source);
        if let Some(peer) = &session.peer {
            self.text(peer.as_str());
        }
        self.number(u64::from(session.line));
        if let Some(apn) = &session.apn {
            self.text(apn.as_str());
        }
        if let Some(network) = &session.network {
            self.plain(network);
        }
        self.each(session.numbers.ranges(), |out, (first, last)| {
            out.number(*first);
            out.number(last - first);
        });
        self.bytes(session.answers.as_bytes());
        self.time(session.last_activity);
        self.time(session.reported_until);
        self.each(&session.reservations, Self::reservation);
        if let SessionEnd::ByClient(at) = session.end {
            self.time(at);
        }
    }

    fn reservation(&mut self, reservation: &Reservation) {
        self.number(u64::from(reservation.rating_group));
        self.each(&reservation.services, |out, service| out.number(u64::from(*service)));
        self.number(reservation.octets);
        self.time(reservation.since);
        self.time(reservation.expires);
    }

    fn interval(&mut self, interval: &Interval) {
        self.time(interval.from);
        if interval.until == Timestamp::MAX {
            return self.byte(0);
        }
        self.byte(1);
        self.signed(interval.until.millis().wrapping_sub(interval.from.millis()));
    }

    pub(super) fn time(&mut self, at: Timestamp) {
        let since_last = at.millis().wrapping_sub(self.last);
        self.signed(since_last);
        self.last = at.millis();
    }

    pub(super) fn each<T>(&mut self, items: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| put(self, item));
    }

    /// What `put` writes, its length before it.
    pub(super) fn block(&mut self, put: impl FnOnce(&mut Self)) {
        let begins = self.out.0.len();
        put(self);
        let ends = self.out.0.len();
        self.number((ends - begins) as u64);
        let length_takes = self.out.0.len() - ends;
        self.out.0[begins..].rotate_right(length_takes);
    }

    pub(super) fn plain<T: Serialize>(&mut self, value: &T) {
        let bytes = std::mem::take(self.out.0);
        *self.out.0 = postcard::to_extend(value, bytes).expect("an account is plain data and memory grows");
    }
}
