//! Rf (RFC 6733 section 9, TS 32.299 offline charging) in and out of charging's own words.

use bytes::BytesMut;
use linegate_diameter::ResultCode;
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::gy::Subscriber;
use linegate_diameter::apps::rf::{AccountingAnswer, AccountingRequest, RecordType};
use linegate_diameter::codec::AvpError;

use super::gy;
use crate::domain::ids::{Apn, SessionId};
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, GroupRequest, Phase, Wanted};
use crate::domain::time::Timestamp;
use crate::domain::usage::RecordKey;

/// What the answer needs of its request.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    record_type: RecordType,
    record_number: u32,
}

impl Asked {
    /// Of a request.
    pub fn of(request: &AccountingRequest<'_>) -> Self {
        Self { record_type: request.record_type, record_number: request.record_number }
    }
}

/// An ACR as charging understands it: every Traffic-Data-Volumes container
/// counts, whatever its quality-of-service class.
pub fn charge_request(request: &AccountingRequest<'_>, received: Timestamp) -> Result<ChargeRequest, AvpError> {
    let information = request.service_information.unwrap_or_default();
    let ps = information.ps.unwrap_or_default();
    let mut used: Option<u64> = None;
    for volume in ps.traffic.iter() {
        let volume = volume?;
        let octets = volume.input_octets.unwrap_or(0).saturating_add(volume.output_octets.unwrap_or(0));
        used = Some(used.unwrap_or(0).saturating_add(octets));
    }
    // Some clients name the subscriber by User-Name alone: the IMSI.
    let named = match information.subscriber {
        Subscriber { msisdn: None, imsi: None } => Subscriber { msisdn: None, imsi: request.user_name },
        both => both,
    };
    let session = SessionId::new(request.route.session_id);
    Ok(ChargeRequest {
        key: RecordKey::Rf(session.clone(), request.record_number),
        phase: match request.record_type {
            RecordType::Start => Phase::Initial,
            RecordType::Interim => Phase::Update,
            RecordType::Stop => Phase::Terminate,
            RecordType::Event => Phase::Event,
        },
        session: Some(session),
        peer: Some(request.route.origin_host.to_owned()),
        subscribers: gy::subscribers(&named),
        apn: ps.called_station_id.map(Apn::new),
        starts: None,
        ends: request.event_timestamp.map_or(received, |t| Timestamp::from_secs(t.unix_seconds())),
        received,
        groups: vec![GroupRequest {
            rating_group: 0,
            used_octets: used,
            wanted: Wanted::Nothing,
            is_final: request.record_type == RecordType::Stop,
        }],
    })
}

/// Writes the ACA; gives its result code. A record that was taken is a
/// success, whether it was rated or waits in suspense: the client must not
/// send it again.
pub fn encode_answer(
    asked: Asked,
    _answer: &ChargeAnswer,
    interim_interval_s: u32,
    to: &ReplyTo,
    origin: &Origin,
    out: &mut BytesMut,
) -> ResultCode {
    let open = matches!(asked.record_type, RecordType::Start | RecordType::Interim);
    AccountingAnswer {
        outcome: ResultCode::SUCCESS.into(),
        record_type: asked.record_type,
        record_number: asked.record_number,
        interim_interval: (open && interim_interval_s > 0).then_some(interim_interval_s),
        origin_state_id: None,
    }
    .encode(to, origin, out);
    ResultCode::SUCCESS
}
