//! One-time events of a charging client (RFC 8506 section 6): CCR with
//! EVENT_REQUEST, each a session of its own.

use anyhow::Context;
use bytes::BytesMut;
use linegate_diameter::apps::Answered;
use linegate_diameter::apps::gy::{
    CcAnswer, CcRequest, CcRequestType, CheckBalanceResult, Money, PsInformation, RequestedAction, ServiceInformation,
    Subscriber, Units,
};
use linegate_diameter::{Time, codec::Message, dictionary::key};

use super::ElementHandle;
use super::charging::SERVICE_CONTEXT;
use crate::wire::code_of;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventUnits {
    /// Octets, both ways together.
    Octets(u64),
    /// Money: digits, exponent, numeric currency.
    Money(i64, i32, u32),
    /// Seconds.
    Seconds(u32),
}

/// An event to send; the same Session-Id and number again are a repeat.
#[derive(Debug, Clone)]
pub struct Event {
    /// Session-Id; `None` takes a new one.
    pub session: Option<String>,
    /// CC-Request-Number.
    pub number: u32,
    /// Subscriber.
    pub imsi: String,
    /// Called-Station-Id.
    pub apn: String,
    /// Requested-Action; `None` leaves it out, which no server may accept.
    pub action: Option<RequestedAction>,
    /// Requested-Service-Unit.
    pub units: EventUnits,
}

/// What an event was answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventAnswer {
    /// Result-Code.
    pub result_code: u32,
    /// CC-Total-Octets of the Granted-Service-Unit.
    pub granted_octets: Option<u64>,
    /// Cost-Information: digits, exponent, numeric currency.
    pub cost: Option<(i64, i32, Option<u32>)>,
    /// Check-Balance-Result is ENOUGH_CREDIT.
    pub enough_credit: Option<bool>,
    /// Error-Message.
    pub error_message: Option<String>,
    /// Code of the first AVP in Failed-AVP.
    pub failed_avp: Option<u32>,
}

impl ElementHandle {
    /// Sends an event, with T until it is answered, as credit control does.
    pub async fn one_time(&self, event: &Event) -> anyhow::Result<EventAnswer> {
        let session = event.session.clone().unwrap_or_else(|| self.next_session_id());
        let units = match event.units {
            EventUnits::Octets(octets) => Units::octets(octets),
            EventUnits::Money(digits, exponent, currency) => {
                Units { money: Some(Money { digits, exponent, currency: Some(currency) }), ..Units::default() }
            }
            EventUnits::Seconds(seconds) => Units { time: Some(seconds), ..Units::default() },
        };
        let request = CcRequest {
            event_timestamp: Time::from_unix_seconds(crate::clock::unix_ms() / 1000),
            subscriber: Subscriber { imsi: Some(&event.imsi), msisdn: None },
            requested_action: event.action,
            requested: Some(units),
            service_information: Some(ServiceInformation {
                ps: Some(PsInformation { called_station_id: Some(&event.apn), ..PsInformation::default() }),
                ..ServiceInformation::default()
            }),
            ..CcRequest::new(self.route(&session), SERVICE_CONTEXT, CcRequestType::Event, event.number)
        };
        let mut frame = BytesMut::with_capacity(512);
        request.encode(&self.peer.header(CcRequest::header()), &mut frame);
        let answer = self.peer.call_until_answered(frame, self.core.charging_attempts).await.context("send event")?;
        read(&answer)
    }
}

fn read(message: &Message) -> anyhow::Result<EventAnswer> {
    let answered = Answered::parse(message).map_err(|error| anyhow::anyhow!("read CCA: {error:?}"))?;
    let failed = message.find(key::FAILED_AVP).and_then(|avp| avp.grouped().ok()?.next());
    let said = EventAnswer {
        result_code: code_of(answered.outcome),
        error_message: answered.error_message.map(str::to_owned),
        failed_avp: failed.map(|avp| avp.code()),
        ..EventAnswer::default()
    };
    // A refusal by the generic grammar says no more.
    let Ok(answer) = CcAnswer::parse(message) else { return Ok(said) };
    Ok(EventAnswer {
        granted_octets: answer.granted.and_then(|grant| grant.units.total_octets),
        cost: answer.cost.map(|money| (money.digits, money.exponent, money.currency)),
        enough_credit: answer.check_balance.map(|result| result == CheckBalanceResult::EnoughCredit),
        ..said
    })
}
