//! The answer to a CONNECT.

use std::time::{Duration, Instant};

use super::window::AckWindow;
use super::{Cause, ConnackOptions, Connect, Connection, Disconnected, Event, Open, Phase};
use crate::codec::connect::{self, ConnackSaid, Greeting};
use crate::codec::property::Audience;
use crate::topic::{DeviceId, TopicKind};
use crate::{Reason, ReasonCode, Version};

impl Connection {
    /// Lets the client in. `Err` when the machine refuses it after all (a will on
    /// a topic that is not the device's own status; a client whose packets are
    /// too small for our CONNACK) or when the connection ended meanwhile; a
    /// client that is there has been told, and `take_session` gives the session
    /// back.
    pub fn accept(&mut self, options: ConnackOptions, now: Instant) -> Result<(), ReasonCode> {
        self.now = now;
        let greeting = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::AwaitAnswer(greeting) => *greeting,
            other => {
                self.phase = other;
                self.session = options.session.unwrap_or_default();
                return Err(ReasonCode::UNSPECIFIED_ERROR);
            }
        };
        let connect = &greeting.connect;
        let session = options.session.filter(|_| !connect.clean_start);
        let session_present = session.is_some();
        self.session = session.unwrap_or_default();
        let version = connect.version;
        let foreign_will = connect
            .will
            .as_ref()
            .is_some_and(|will| options.device.own_topic(will.topic.as_bytes()) != Some(TopicKind::Status));
        if foreign_will {
            let reason = ReasonCode::NOT_AUTHORIZED.because("the will's topic is not the device's own status");
            return Err(self.turn_away(reason, greeting.audience));
        }
        let device = options.device;
        let keep_alive_secs = self.keep_alive_secs(connect);
        let assigned = options.assigned_client_id.as_deref();
        let said = ConnackSaid {
            session_expiry_secs: (self.session_expiry_secs(connect) != connect.session_expiry_secs)
                .then(|| self.session_expiry_secs(connect)),
            receive_max: self.limits.receive_max.max(1),
            packet_bytes_max: self.packet_bytes_max() as u32,
            assigned_client_id: assigned.or(Some(device.as_str())).filter(|_| connect.client_id.is_empty()),
            topic_alias_max: self.limits.topic_alias_max,
            server_keep_alive_secs: (keep_alive_secs != connect.keep_alive_secs).then_some(keep_alive_secs),
            response_info: greeting.wants_response_info.then(|| device.topic_prefix()),
        };
        let before = self.out.len();
        connect::encode_connack(session_present, &said, version, &mut self.out);
        let size = self.out.len() - before;
        if size > greeting.audience.packet_bytes_max {
            self.out.truncate(before);
            let reason = ReasonCode::PACKET_TOO_LARGE.because(format!("CONNACK has {size} bytes"));
            return Err(self.turn_away(reason, greeting.audience));
        }
        self.open(greeting, device, keep_alive_secs, now);
        Ok(())
    }

    fn open(&mut self, greeting: Greeting, device: DeviceId, keep_alive_secs: u16, now: Instant) {
        let session_expiry_secs = self.session_expiry_secs(&greeting.connect);
        let send_max = self.limits.send_max.max(1).min(greeting.receive_max);
        self.phase = Phase::Open(Box::new(Open {
            audience: greeting.audience,
            device,
            keep_alive: (keep_alive_secs > 0).then(|| Duration::from_millis(u64::from(keep_alive_secs) * 1500)),
            will: greeting.connect.will.map(Box::new),
            session_expiry_secs,
            window: AckWindow::default(),
            aliases: Vec::new(),
            in_flight: 0,
            send_max: usize::from(send_max),
        }));
        self.session.begin_resend();
        self.send_waiting();
        self.received.restart_clock(now);
        self.resume(now);
    }

    /// Refuses the CONNECT with the reason, or the nearest that a CONNACK may
    /// carry, and closes.
    pub fn refuse(&mut self, reason: impl Into<Reason>, _now: Instant) {
        if let Phase::AwaitAnswer(greeting) = &self.phase {
            let (audience, reason) = (greeting.audience, reason.into());
            self.turn_away(Reason { code: reason.code.for_connack(), ..reason }, audience);
        }
    }

    fn turn_away(&mut self, reason: Reason, audience: Audience) -> ReasonCode {
        connect::encode_refusal(&reason, audience, &mut self.out);
        // A connection that was never open has no will to publish.
        self.phase = Phase::Closed;
        self.received.clear();
        self.events.push_back(Event::Disconnected(Box::new(Disconnected {
            cause: Cause::Refused(reason.code),
            will: None,
            session_expiry_secs: 0,
        })));
        reason.code
    }

    pub(super) fn session_expiry_secs(&self, connect: &Connect) -> u32 {
        connect.session_expiry_secs.min(self.limits.session_expiry_secs_max)
    }

    fn keep_alive_secs(&self, connect: &Connect) -> u16 {
        let asked = connect.keep_alive_secs;
        let max = self.limits.keep_alive_secs_max;
        match connect.version {
            Version::V5 if max > 0 && (asked == 0 || asked > max) => max,
            _ => asked,
        }
    }
}
