//! Where a request goes: to ourselves, to an element of ours, or along a route of
//! the settings (RFC 6733 sections 6.1.4 to 6.1.9).
//!
//! We are a server, and an agent only as far as the settings say: requests for the
//! realms of `[[diameter.routes]]` and for the hosts of `[[diameter.elements]]` are
//! passed on, everything else that is not ours is refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use linegate_diameter::codec::CommandFlags;
use linegate_diameter::{Message, ResultCode};

use super::envelope::Envelope;
use super::settings::DiameterSettings;

/// What to do with a request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// It is ours.
    Local,
    /// Pass it on to the first of these that is open.
    Relay(Vec<Box<str>>),
    /// Answer with this code.
    Refuse(ResultCode),
}

/// The routes of the settings.
#[derive(Debug)]
pub(super) struct Routes {
    host: Box<str>,
    realm: Box<str>,
    accept_any_realm: bool,
    elements: Vec<Box<str>>,
    routes: Vec<(Box<str>, Vec<Box<str>>)>,
}

impl Routes {
    pub(super) fn new(settings: &DiameterSettings) -> Self {
        let boxed = |text: &String| -> Box<str> { text.to_ascii_lowercase().into() };
        Self {
            host: boxed(&settings.origin_host),
            realm: boxed(&settings.origin_realm),
            accept_any_realm: settings.accept_any_realm,
            elements: settings.elements.iter().flat_map(|element| element.hosts.iter().map(boxed)).collect(),
            routes: settings
                .routes
                .iter()
                .map(|route| (boxed(&route.realm), route.peers.iter().map(boxed).collect()))
                .collect(),
        }
    }

    /// The peers of this realm's route, in order; none without a route.
    pub(super) fn peers_of(&self, realm: &str) -> &[Box<str>] {
        let route = self.routes.iter().find(|(of, _)| of.eq_ignore_ascii_case(realm));
        route.map_or(&[], |(_, peers)| peers.as_slice())
    }

    /// Judges a request that came from the peer `from`.
    pub(super) fn judge(&self, message: &Message, envelope: &Envelope<'_>, from: &str) -> Destination {
        if envelope.went_through(&self.host) {
            return Destination::Refuse(ResultCode::LOOP_DETECTED);
        }
        let realm = envelope.destination_realm.unwrap_or_default();
        let (refusal, hops) = match envelope.destination_host {
            Some(host) if host.eq_ignore_ascii_case(&self.host) => return Destination::Local,
            Some(host) => (ResultCode::UNABLE_TO_DELIVER, self.towards(host, realm)),
            None if realm.is_empty() || realm.eq_ignore_ascii_case(&self.realm) => return Destination::Local,
            None => match self.peers_of(realm) {
                [] if self.accept_any_realm => return Destination::Local,
                hops => (ResultCode::REALM_NOT_SERVED, hops.to_vec()),
            },
        };
        let hops: Vec<Box<str>> = hops.into_iter().filter(|hop| !hop.eq_ignore_ascii_case(from)).collect();
        if hops.is_empty() {
            return Destination::Refuse(refusal);
        }
        if !message.header.flags.has(CommandFlags::PROXIABLE) {
            // only who it is addressed to may process it (RFC 6733 section 3)
            return Destination::Refuse(ResultCode::UNABLE_TO_DELIVER);
        }
        Destination::Relay(hops)
    }

    fn towards(&self, host: &str, realm: &str) -> Vec<Box<str>> {
        let mut hops: Vec<Box<str>> = self.peers_of(realm).to_vec();
        if !hops.is_empty() || self.elements.iter().any(|element| element.eq_ignore_ascii_case(host)) {
            let host: Box<str> = host.to_ascii_lowercase().into();
            hops.retain(|hop| *hop != host);
            hops.insert(0, host);
        }
        hops
    }
}

/// Which hosts are behind which agent, from their requests; so many of them, the
/// ones heard of last.
#[derive(Debug)]
pub(super) struct Learned {
    most: usize,
    hosts: HashMap<Box<str>, Behind>,
}

#[derive(Debug)]
struct Behind {
    realm: Arc<str>,
    agent: Arc<str>,
    heard: Instant,
}

impl Learned {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), hosts: HashMap::new() }
    }

    pub(super) fn note(&mut self, host: &str, realm: &str, agent: &Arc<str>, now: Instant) {
        let key: Box<str> = host.to_ascii_lowercase().into();
        if self.hosts.len() >= self.most && !self.hosts.contains_key(&key) {
            let oldest = self.hosts.iter().min_by_key(|(_, behind)| behind.heard).map(|(host, _)| host.clone());
            oldest.and_then(|oldest| self.hosts.remove(&oldest));
        }
        self.hosts.insert(key, Behind { realm: realm.into(), agent: Arc::clone(agent), heard: now });
    }

    pub(super) fn realm(&self, host: &str) -> Option<Arc<str>> {
        self.hosts.get(host.to_ascii_lowercase().as_str()).map(|behind| Arc::clone(&behind.realm))
    }

    pub(super) fn agent(&self, host: &str) -> Option<Arc<str>> {
        self.hosts.get(host.to_ascii_lowercase().as_str()).map(|behind| Arc::clone(&behind.agent))
    }
}

/// The realm that a host is in by its name: what follows its first label.
pub(super) fn domain_of(host: &str) -> &str {
    host.split_once('.').map_or(host, |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use linegate_diameter::codec::{Header, Writer};
    use linegate_diameter::dictionary as dict;

    use super::*;
    use crate::transport::diameter::settings::tests::settings;

    /// `destination` is "host" "@" "realm"; either may be empty.
    #[track_caller]
    fn check(any_realm: bool, destination: &str, through: &[&str], expected: Destination) {
        let mut settings = settings();
        settings.accept_any_realm = any_realm;
        let routes = Routes::new(&settings);
        let mut out = BytesMut::new();
        let mut writer = Writer::begin(&mut out, &Header::request(272, 4, true));
        let (host, realm) = destination.split_once('@').unwrap();
        if !host.is_empty() {
            writer.text(&dict::DESTINATION_HOST, host);
        }
        if !realm.is_empty() {
            writer.text(&dict::DESTINATION_REALM, realm);
        }
        for record in through {
            writer.text(&dict::ROUTE_RECORD, record);
        }
        writer.finish();
        let message = Message::decode(out.freeze()).unwrap();
        let envelope = Envelope::of(&message);
        assert_eq!(routes.judge(&message, &envelope, "pgw.example"), expected, "{destination}");
    }

    fn relay(hops: &[&str]) -> Destination {
        Destination::Relay(hops.iter().map(|hop| (*hop).into()).collect())
    }

    #[test]
    fn requests_for_us_stay() {
        check(false, "@linegate.example", &[], Destination::Local);
        check(false, "Gateway.Linegate.Example@linegate.example", &[], Destination::Local);
        check(true, "@anywhere.example", &[], Destination::Local);
        check(false, "@", &[], Destination::Local);
    }

    #[test]
    fn requests_for_others_follow_a_route_or_are_refused() {
        check(false, "@anywhere.example", &[], Destination::Refuse(ResultCode::REALM_NOT_SERVED));
        check(true, "hss.anywhere.example@anywhere.example", &[], Destination::Refuse(ResultCode::UNABLE_TO_DELIVER));
        check(false, "@routed.example", &[], relay(&["dra-1.example", "dra-2.example"]));
        check(true, "@routed.example", &[], relay(&["dra-1.example", "dra-2.example"]));
        let direct_first = ["hss.routed.example", "dra-1.example", "dra-2.example"];
        check(false, "hss.routed.example@routed.example", &[], relay(&direct_first));
        check(false, "hss-1.linegate.example@linegate.example", &[], relay(&["hss-1.linegate.example"]));
    }

    #[test]
    fn a_request_that_was_here_before_is_a_loop() {
        let loops = Destination::Refuse(ResultCode::LOOP_DETECTED);
        check(true, "@linegate.example", &["dra.example", "gateway.linegate.example"], loops);
        check(true, "@linegate.example", &["dra.example"], Destination::Local);
    }

    #[test]
    fn hosts_behind_agents_are_remembered_up_to_the_limit() {
        let mut learned = Learned::new(2);
        let agent: Arc<str> = "dra-1.example".into();
        let start = crate::adapters::system::SystemClock::instant();
        for (number, host) in ["a.x", "b.x", "a.x", "c.x"].into_iter().enumerate() {
            learned.note(host, "x", &agent, start + std::time::Duration::from_secs(number as u64));
        }
        assert!(learned.agent("A.X").is_some() && learned.agent("c.x").is_some());
        assert_eq!(learned.agent("b.x"), None);
    }

    #[test]
    fn a_host_is_in_the_realm_behind_its_first_label() {
        assert_eq!(domain_of("mme.epc.example"), "epc.example");
        assert_eq!(domain_of("mme"), "mme");
    }
}
