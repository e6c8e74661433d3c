//! SUBSCRIBE and UNSUBSCRIBE: a filter is an access check.

use super::{Connection, Event, Phase, Subscription, granted};
use crate::codec::control::{self, FilterRequest};
use crate::codec::{BadPacket, packet_type};
use crate::{Qos, Reason, ReasonCode, Version};

impl Connection {
    pub(super) fn on_subscribe(&mut self, body: &[u8], version: Version) -> Result<(), BadPacket> {
        let (id, filters) = control::decode_subscribe(body, version)?;
        let mut answers = Vec::with_capacity(filters.len());
        let mut subscribed = Vec::new();
        for asked in filters {
            match self.grant(asked) {
                Ok(subscription) => {
                    answers.push(Reason::from(match subscription.qos {
                        Qos::AtMostOnce => ReasonCode::SUCCESS,
                        _ => ReasonCode::GRANTED_QOS_1,
                    }));
                    subscribed.push(subscription);
                }
                Err(refusal) => answers.push(refusal),
            }
        }
        self.answer_filters(packet_type::SUBACK, id, &answers)?;
        if !subscribed.is_empty() {
            self.events.push_back(Event::Subscribed(subscribed));
        }
        Ok(())
    }

    fn grant(&mut self, asked: FilterRequest) -> Result<Subscription, Reason> {
        let Phase::Open(open) = &self.phase else {
            return Err(ReasonCode::UNSPECIFIED_ERROR.into());
        };
        let Some(access) = open.device.filter_access(&asked.filter) else {
            return Err(match asked.filter.starts_with("$share/") {
                true => ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED.into(),
                false => {
                    ReasonCode::NOT_AUTHORIZED.because("a filter matches topics that this device does not receive")
                }
            });
        };
        let mut subscription = Subscription {
            filter: asked.filter,
            access,
            qos: granted(asked.qos),
            wants_retained: asked.retain_handling == 0,
            retain_as_published: asked.retain_as_published,
        };
        let max = self.limits.subscriptions_max;
        let Some(is_new) = self.session.subscribe(subscription.clone(), max) else {
            return Err(ReasonCode::QUOTA_EXCEEDED.because(format!("a session has at most {max} filters")));
        };
        subscription.wants_retained |= is_new && asked.retain_handling == 1;
        Ok(subscription)
    }

    pub(super) fn on_unsubscribe(&mut self, body: &[u8], version: Version) -> Result<(), BadPacket> {
        let (id, filters) = control::decode_unsubscribe(body, version)?;
        let unsubscribe = |filter: &String| match self.session.unsubscribe(filter) {
            true => ReasonCode::SUCCESS.into(),
            false => ReasonCode::NO_SUBSCRIPTION_EXISTED.into(),
        };
        let answers: Vec<Reason> = filters.iter().map(unsubscribe).collect();
        self.answer_filters(packet_type::UNSUBACK, id, &answers)
    }

    fn answer_filters(&mut self, typ: u8, id: u16, answers: &[Reason]) -> Result<(), BadPacket> {
        let Phase::Open(open) = &self.phase else {
            return Ok(());
        };
        match control::encode_codes(typ, id, answers, open.audience, &mut self.out) {
            true => Ok(()),
            false => Err(BadPacket::new(
                ReasonCode::PACKET_TOO_LARGE,
                format!("the answer to {} filters is over the client's maximum packet size", answers.len()),
            )),
        }
    }
}
