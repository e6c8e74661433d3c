//! What is read of a request before its application is: for routing, for telling
//! a repeat, for who sent it.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use bytes::BytesMut;
use linegate_diameter::Message;
use linegate_diameter::answer::ReplyTo;
use linegate_diameter::codec::Avp;
use linegate_diameter::dictionary::key;

/// The AVPs that every application shares; one pass over a message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Envelope<'a> {
    pub(super) origin_host: Option<&'a str>,
    pub(super) origin_realm: Option<&'a str>,
    pub(super) origin_state: Option<u32>,
    pub(super) destination_host: Option<&'a str>,
    pub(super) destination_realm: Option<&'a str>,
    session_id: Option<&'a [u8]>,
    route_records: Option<&'a Message>,
    has_proxy_info: bool,
}

impl<'a> Envelope<'a> {
    /// Of a request; what cannot be read is left out, the grammar check names it.
    pub(super) fn of(message: &'a Message) -> Self {
        let mut envelope = Self::default();
        for avp in message.avps() {
            match avp.key() {
                key::SESSION_ID => envelope.session_id = envelope.session_id.or(Some(avp.data)),
                key::ORIGIN_HOST => envelope.origin_host = text(&avp),
                key::ORIGIN_REALM => envelope.origin_realm = text(&avp),
                key::ORIGIN_STATE_ID => envelope.origin_state = avp.u32().ok(),
                key::DESTINATION_HOST => envelope.destination_host = text(&avp),
                key::DESTINATION_REALM => envelope.destination_realm = text(&avp),
                key::ROUTE_RECORD => envelope.route_records = Some(message),
                key::PROXY_INFO => envelope.has_proxy_info = true,
                _ => {}
            }
        }
        envelope
    }

    /// Whether a Route-Record names this host (RFC 6733 section 6.1.3).
    pub(super) fn went_through(&self, host: &str) -> bool {
        let Some(message) = self.route_records else { return false };
        let mut records = message.avps().filter(|avp| avp.key() == key::ROUTE_RECORD);
        records.any(|record| record.data.eq_ignore_ascii_case(host.as_bytes()))
    }

    /// What the answer repeats of the request.
    pub(super) fn reply_to(&self, message: &Message) -> ReplyTo {
        ReplyTo::of(message, self.session_id, self.has_proxy_info)
    }

    /// What makes the request the same as another: Origin-Host and end-to-end id,
    /// and, because some clients count carelessly, everything else in it but the
    /// way it took. `None` where a stored answer would not fit: the agents on the
    /// way have their own Proxy-Info in each copy.
    pub(super) fn identity(&self, message: &Message, key: &RandomState) -> Option<u64> {
        if self.has_proxy_info {
            return None;
        }
        let mut hasher = key.build_hasher();
        hasher.write_u32(message.header.end_to_end);
        hasher.write_u32(message.header.command_code);
        hasher.write_u32(message.header.application_id);
        if self.route_records.is_some() {
            // as the one that came without them
            let mut direct = BytesMut::with_capacity(message.body().len());
            let others = message.avps().filter(|avp| avp.key() != key::ROUTE_RECORD);
            others.for_each(|avp| avp.write_to(&mut direct));
            hasher.write(&direct);
        } else {
            hasher.write(message.body());
        }
        Some(hasher.finish())
    }
}

fn text<'a>(avp: &Avp<'a>) -> Option<&'a str> {
    avp.text().ok()
}
