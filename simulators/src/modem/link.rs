//! The task of one modem: connection after connection, each with birth, will,
//! subscription and what is still unacknowledged.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use linegate_mqtt::client::{Client, ClientEvent, ConnAck, ConnectOptions, Message};
use linegate_mqtt::payload::{Desired, Payload, Presence, Reported, Status};
use linegate_mqtt::session::Will;
use linegate_mqtt::topic::{TopicKind, parse};
use linegate_mqtt::{ContentType, Qos, ReasonCode, Version};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::timeout;

use super::{DESIRED_KEPT_MAX, LineState, ModemFault, Shared, Wanted};
use crate::transport::Stream;

/// Packet ids this far apart on one session mean that they have wrapped: the
/// next connection starts clean rather than mix old ids with new ones.
const PACKET_ID_SPAN_MAX: u16 = 30_000;

pub(super) async fn run(shared: Arc<Shared>) {
    let mut backoff = shared.config.backoff_min;
    let mut waits = 0;
    while !shared.stop.is_cancelled() {
        let mut wanted = shared.wanted.subscribe();
        tokio::select! {
            _ = wanted.wait_for(|wanted| *wanted == Wanted::Online) => {}
            () = shared.stop.cancelled() => break,
        }
        let outcome = tokio::select! {
            // In a box: what connecting needs goes when it is done, and a task is as
            // large as the largest thing that it ever waits for.
            outcome = Box::pin(Session::open(Arc::clone(&shared))) => outcome,
            () = shared.stop.cancelled() => break,
        };
        match outcome {
            Ok(session) => {
                backoff = shared.config.backoff_min;
                shared.seen.send_modify(|seen| seen.connections += 1);
                let ended = session.run().await;
                shared.seen.send_modify(|seen| {
                    seen.online = false;
                    seen.subscribed_at = None;
                });
                match ended {
                    // As wanted: what is wanted next needs no wait.
                    Ok(()) => continue,
                    Err(error) => tracing::debug!(device = %shared.device, "modem link ended: {error:#}"),
                }
            }
            Err(error) => tracing::debug!(device = %shared.device, "modem connect: {error:#}"),
        }
        waits += 1;
        tokio::select! {
            () = tokio::time::sleep(jittered(backoff, shared.config.seed.wrapping_add(waits))) => {}
            () = shared.stop.cancelled() => break,
        }
        backoff = (backoff * 2).min(shared.config.backoff_max);
    }
    shared.state().unacknowledged.clear();
}

/// One open connection.
struct Session {
    shared: Arc<Shared>,
    stream: Stream,
    client: Client,
    number: u64,
    in_flight_max: usize,
    /// Reported states that are not acknowledged: their ids are not usage's.
    others_in_flight: Vec<u16>,
    /// A desired state being carried out, and when that is done.
    applying: Option<(Desired, tokio::time::Instant)>,
}

impl Session {
    async fn open(shared: Arc<Shared>) -> anyhow::Result<Self> {
        let wait = shared.config.connect_wait;
        let route = shared.config.route();
        let stream = timeout(wait, Stream::connect(&route)).await.context("no link in time")?.context("connect")?;
        let number = shared.next_session();
        let client = Client::new(shared.config.version);
        let in_flight_max = shared.config.in_flight_max;
        let mut session =
            Self { shared, stream, client, number, in_flight_max, others_in_flight: Vec::new(), applying: None };
        let options = session.options();
        session.client.connect(&options);
        session.flush().await?;
        let acked = timeout(wait, session.connack()).await.context("no CONNACK in time")??;
        if acked.reason.is_failure() {
            bail!("gateway refused CONNECT: {}", acked.reason);
        }
        session.begin(&acked).await?;
        Ok(session)
    }

    fn options(&self) -> ConnectOptions {
        let config = &self.shared.config;
        let will = Will {
            topic: self.shared.device.topic(TopicKind::Status),
            payload: self.status(Presence::Offline),
            qos: Qos::AtLeastOnce,
            retain: true,
            delay_secs: 0,
            content_type: self.content_type(),
            properties: None,
        };
        let wrapped = {
            let state = self.shared.state();
            let ids = || state.unacknowledged.iter().filter_map(|waiting| waiting.packet_id);
            ids().max().unwrap_or(0) - ids().min().unwrap_or(0) > PACKET_ID_SPAN_MAX
        };
        ConnectOptions {
            username: Some(config.device.clone()),
            password: config.token.as_ref().map(|token| Bytes::copy_from_slice(token.as_bytes())),
            clean_start: config.session_expiry_secs == 0 || wrapped,
            keep_alive_secs: config.keep_alive_secs,
            session_expiry_secs: config.session_expiry_secs,
            will: Some(will),
            ..ConnectOptions::new(&config.device)
        }
    }

    async fn connack(&mut self) -> anyhow::Result<ConnAck> {
        loop {
            match self.client.poll_event() {
                Some(ClientEvent::ConnAck(acked)) => return Ok(acked),
                Some(other) => bail!("{other:?} came before CONNACK"),
                None => self.receive().await?,
            }
        }
    }

    /// Birth, subscription, and what an earlier connection left unacknowledged.
    async fn begin(&mut self, acked: &ConnAck) -> anyhow::Result<()> {
        self.in_flight_max = self.in_flight_max.min(usize::from(acked.receive_max)).max(1);
        let topic = self.shared.device.topic(TopicKind::Usage);
        let content_type = self.content_type();
        {
            let mut state = self.shared.state();
            for waiting in &mut state.unacknowledged {
                match waiting.packet_id {
                    Some(id) if acked.session_present => {
                        self.client.publish_again(id, &topic, &waiting.payload, false, content_type);
                    }
                    _ => waiting.packet_id = None,
                }
            }
        }
        let desired = self.shared.device.topic(TopicKind::Desired);
        self.client.subscribe(&[(desired.as_str(), Qos::AtLeastOnce)]);
        self.publish_other(TopicKind::Status, &self.status(Presence::Online), true);
        self.send_waiting();
        self.flush().await
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut wanted = shared.wanted.subscribe();
        let keep_alive = Duration::from_secs(u64::from(shared.config.keep_alive_secs.max(1))) / 2;
        let mut ping = tokio::time::interval(keep_alive);
        ping.reset();
        loop {
            let apply_at = self.applying.as_ref().map(|(_, at)| *at);
            tokio::select! {
                received = self.receive() => {
                    received?;
                    while let Some(event) = self.client.poll_event() {
                        self.take(event)?;
                    }
                    self.send_waiting();
                }
                () = shared.work.notified() => self.send_waiting(),
                () = sleep_until(apply_at) => self.apply(),
                _ = ping.tick(), if shared.config.keep_alive_secs > 0 => self.client.ping(),
                // Any change counts: a reboot is gone and back in one moment.
                _ = wanted.changed() => {
                    let left = *wanted.borrow_and_update() == Wanted::Left;
                    return if left { self.leave().await } else { Ok(()) };
                }
                () = shared.lose_link.notified() => bail!("lost as told"),
                () = shared.stop.cancelled() => return Ok(()),
            }
            self.flush().await?;
        }
    }

    async fn leave(&mut self) -> anyhow::Result<()> {
        self.publish_other(TopicKind::Status, &self.status(Presence::Offline), true);
        self.client.disconnect(ReasonCode::SUCCESS);
        self.flush().await?;
        self.stream.close().await.context("close")
    }

    fn take(&mut self, event: ClientEvent) -> anyhow::Result<()> {
        match event {
            ClientEvent::PubAck { packet_id, reason } => self.acknowledge(packet_id, reason),
            ClientEvent::Publish(message) => self.take_message(&message),
            ClientEvent::SubAck { reasons, .. } => {
                if let Some(reason) = reasons.iter().find(|reason| reason.is_failure()) {
                    bail!("gateway refused the subscription: {reason}");
                }
                self.shared.seen.send_modify(|seen| {
                    seen.online = true;
                    seen.subscribed_at = Some(crate::clock::now());
                });
            }
            ClientEvent::Disconnect(reason) => bail!("gateway disconnected: {reason}"),
            ClientEvent::ConnAck(_) => bail!("second CONNACK"),
            ClientEvent::PingResp | ClientEvent::UnsubAck { .. } => {}
        }
        Ok(())
    }

    fn acknowledge(&mut self, packet_id: u16, reason: ReasonCode) {
        if let Some(at) = self.others_in_flight.iter().position(|id| *id == packet_id) {
            self.others_in_flight.swap_remove(at);
            return;
        }
        let mut state = self.shared.state();
        let Some(at) = state.unacknowledged.iter().position(|waiting| waiting.packet_id == Some(packet_id)) else {
            return;
        };
        let Some(waiting) = state.unacknowledged.remove(at) else { return };
        state.settle(&waiting, reason.is_failure());
        if let Some(answer) = waiting.answer {
            let _gone = answer.send(reason.0);
        }
    }

    fn take_message(&mut self, message: &Message) {
        if let Some(id) = message.packet_id {
            self.client.puback(id);
        }
        if !matches!(parse(&message.topic), Ok((_, TopicKind::Desired))) || message.payload.is_empty() {
            return;
        }
        match Desired::decode(&message.payload, message.content_type) {
            Err(error) => tracing::debug!(device = %self.shared.device, "desired state: {error}"),
            Ok(desired) => {
                self.shared.seen.send_modify(|seen| seen.desired_at = Some(crate::clock::now()));
                let mut state = self.shared.state();
                if state.desired.len() >= DESIRED_KEPT_MAX {
                    state.desired.pop_front();
                }
                state.desired.push_back(desired.clone());
                let deaf = state.fault == ModemFault::Deaf;
                drop(state);
                if !deaf {
                    let at = crate::clock::now() + self.shared.config.apply_delay;
                    self.applying = Some((desired, at.into()));
                    if self.shared.config.apply_delay.is_zero() {
                        self.apply();
                    }
                }
            }
        }
    }

    /// Reaches the desired state, or says why not; an older one than the last
    /// is answered with the state that the modem is in.
    fn apply(&mut self) {
        let Some((desired, _)) = self.applying.take() else { return };
        let fault = self.shared.state().fault.clone();
        let before = self.shared.seen.borrow().clone();
        let expired = desired.expires_ms.is_some_and(|at| at <= crate::clock::unix_ms());
        let reason = match fault {
            ModemFault::Refuses(reason) => Some(reason),
            _ if expired => Some("expired".to_owned()),
            _ => None,
        };
        let mut reported = Reported { version: desired.version, state: desired.state, reason };
        if desired.version < before.desired_version || reported.reason.is_some() {
            reported.state = before.state.unwrap_or(state_before(&desired));
        }
        let reached = reported.state;
        self.shared.seen.send_modify(|seen| {
            seen.desired_version = seen.desired_version.max(desired.version);
            if reported.reason.is_none() || seen.state.is_some() {
                seen.state = Some(reached);
            }
        });
        let payload = reported.encode(self.shared.config.content_type);
        self.publish_other(TopicKind::Reported, &payload, false);
    }

    fn publish_other(&mut self, kind: TopicKind, payload: &[u8], retain: bool) {
        let topic = self.shared.device.topic(kind);
        let content_type = self.content_type();
        if let Some(id) = self.client.publish(&topic, payload, Qos::AtLeastOnce, retain, content_type) {
            self.others_in_flight.push(id);
        }
    }

    /// Sends usage as far as the window lets it.
    fn send_waiting(&mut self) {
        let topic = self.shared.device.topic(TopicKind::Usage);
        let content_type = self.content_type();
        let mut state = self.shared.state();
        for waiting in &mut state.unacknowledged {
            if self.client.in_flight() >= self.in_flight_max {
                break;
            }
            if waiting.packet_id.is_none() {
                waiting.packet_id =
                    self.client.publish(&topic, &waiting.payload, Qos::AtLeastOnce, false, content_type);
            }
        }
    }

    fn status(&self, presence: Presence) -> Bytes {
        Status { state: presence, session: self.number }.encode(self.shared.config.content_type)
    }

    fn content_type(&self) -> Option<ContentType> {
        (self.shared.config.version == Version::V5).then_some(self.shared.config.content_type)
    }

    /// Waits for bytes and hands them to the client. Safe to cancel.
    async fn receive(&mut self) -> anyhow::Result<()> {
        let input = self.stream.read().await.context("read from gateway")?;
        if input.is_empty() {
            bail!("gateway closed the link");
        }
        self.client.handle_input(input).context("read from gateway")
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let out = self.client.take_output();
        if !out.is_empty() {
            self.stream.write(&out).await.context("write to gateway")?;
        }
        Ok(())
    }
}

/// With up to half of it on top, so that a fleet that was cut at once does not
/// come back at once.
fn jittered(backoff: Duration, seed: u64) -> Duration {
    let half = u64::try_from(backoff.as_micros() / 2).unwrap_or(u64::MAX);
    backoff + Duration::from_micros(StdRng::seed_from_u64(seed).random_range(0..=half))
}

/// Never, where there is no time.
async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The state that a modem without a history says it is in.
fn state_before(desired: &Desired) -> LineState {
    match desired.state {
        LineState::Active => LineState::Terminated,
        LineState::Suspended | LineState::Terminated => LineState::Active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_back_off_is_spread_over_half_of_it() {
        let second = Duration::from_secs(1);
        let waits: Vec<Duration> = (0..100).map(|seed| jittered(second, seed)).collect();
        assert!(waits.iter().all(|wait| (second..=second * 3 / 2).contains(wait)), "{waits:?}");
        let late = waits.iter().filter(|wait| **wait > second * 5 / 4).count();
        assert!((30..=70).contains(&late), "{late}");
        assert_eq!(jittered(Duration::ZERO, 7), Duration::ZERO);
    }
}
