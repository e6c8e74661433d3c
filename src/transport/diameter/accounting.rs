//! Rf (RFC 6733 section 9, TS 32.299 offline charging) in and out of charging's own words.

use std::collections::BTreeMap;

use bytes::BytesMut;
use linegate_diameter::ResultCode;
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::gy::{PsInformation, Subscriber};
use linegate_diameter::apps::rf::{AccountingAnswer, AccountingRequest, RecordType};
use linegate_diameter::codec::AvpError;

use super::gy;
use crate::domain::ids::{Apn, SessionId};
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, GroupRequest, Phase, Used, Volume, Wanted};
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

/// An ACR as charging understands it.
pub fn charge_request(request: &AccountingRequest<'_>, received: Timestamp) -> Result<ChargeRequest, AvpError> {
    let information = request.service_information.unwrap_or_default();
    let ps = information.ps.unwrap_or_default();
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
        peer: Some(request.route.origin_host.into()),
        subscribers: gy::subscribers(&named),
        apn: ps.called_station_id.map(Apn::new),
        network: gy::network(ps.sgsn_mcc_mnc),
        starts: None,
        ends: request.event_timestamp.map_or(received, |t| Timestamp::from_secs(t.unix_seconds())),
        received,
        groups: groups(&ps, request.record_type == RecordType::Stop)?,
    })
}

/// Traffic-Data-Volumes count all of a bearer, whatever its quality-of-service
/// class, and Service-Data-Containers the same octets once more by their flows
/// (TS 32.299 section 7.2). So the containers count only where
/// no volumes come with them, each rating group and service by itself.
fn groups(ps: &PsInformation<'_>, is_final: bool) -> Result<Vec<GroupRequest>, AvpError> {
    let group =
        |rating_group, services, used| GroupRequest { rating_group, services, used, wanted: Wanted::Nothing, is_final };
    let mut bearer: Option<Volume> = None;
    for volume in ps.traffic.iter() {
        let volume = volume?;
        let octets = both_ways(volume.input_octets, volume.output_octets).unwrap_or_default();
        bearer.get_or_insert_default().add(octets);
    }
    if let Some(octets) = bearer {
        return Ok(vec![group(0, Vec::new(), Some(Used::volume(octets)))]);
    }
    let mut flows: BTreeMap<(u32, Option<u32>), Used> = BTreeMap::new();
    for container in ps.service_data.iter() {
        let container = container?;
        let key = (container.rating_group.unwrap_or(0), container.service_identifier);
        let octets = both_ways(container.input_octets, container.output_octets);
        let seconds = u64::from(container.time_usage.unwrap_or(0));
        let flow = flows.entry(key).or_insert(Used::Seconds(0));
        *flow = match (*flow, octets) {
            (Used::Seconds(before), None) => Used::Seconds(before.saturating_add(seconds)),
            (Used::Octets(mut flow), octets) => {
                flow.whole.add(octets.unwrap_or_default());
                Used::Octets(flow)
            }
            (_, octets) => Used::volume(octets.unwrap_or_default()),
        };
    }
    if flows.is_empty() {
        return Ok(vec![group(0, Vec::new(), None)]);
    }
    Ok(flows
        .into_iter()
        .map(|((rating_group, service), used)| group(rating_group, service.into_iter().collect(), Some(used)))
        .collect())
}

/// Input is what the user sent (TS 32.299 section 7.2).
fn both_ways(input: Option<u64>, output: Option<u64>) -> Option<Volume> {
    input.or(output).map(|_| Volume { up: input.unwrap_or(0), down: output.unwrap_or(0), either: 0 })
}

/// Writes the ACA; gives its result code. A record that was taken is a
/// success, whether it was rated or waits in suspense: the client must not
/// send it again.
pub fn encode_answer(
    asked: Asked,
    _answer: &ChargeAnswer,
    interim_interval_s: u32,
    origin_state_id: u32,
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
        origin_state_id: Some(origin_state_id),
    }
    .encode(to, origin, out);
    ResultCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use linegate_diameter::apps::gy::{ServiceData, TrafficVolume};

    use super::*;

    fn flow(rating_group: u32, service: Option<u32>, octets: Option<u64>, seconds: Option<u32>) -> ServiceData {
        ServiceData {
            rating_group: Some(rating_group),
            service_identifier: service,
            input_octets: octets,
            output_octets: octets,
            time_usage: seconds,
            change_time: None,
        }
    }

    #[test]
    fn a_bearer_is_counted_once_and_its_flows_by_their_groups() {
        let volume = |octets| TrafficVolume { input_octets: Some(octets), ..TrafficVolume::default() };
        let octets = |up, down| Some(Used::both_ways(up, down));
        type Case = (Vec<TrafficVolume>, Vec<ServiceData>, Vec<(u32, Vec<u32>, Option<Used>)>);
        let table: [Case; 5] = [
            (vec![], vec![], vec![(0, vec![], None)]),
            (vec![volume(5), volume(6)], vec![], vec![(0, vec![], octets(11, 0))]),
            (vec![volume(5)], vec![flow(10, None, Some(2), None)], vec![(0, vec![], octets(5, 0))]),
            (
                vec![],
                vec![
                    flow(20, Some(1), Some(2), Some(9)),
                    flow(10, None, Some(3), None),
                    flow(20, Some(1), Some(4), None),
                ],
                vec![(10, vec![], octets(3, 3)), (20, vec![1], octets(6, 6))],
            ),
            (vec![], vec![flow(10, None, None, Some(9))], vec![(10, vec![], Some(Used::Seconds(9)))]),
        ];
        for (traffic, service_data, expected) in table {
            let ps = PsInformation {
                traffic: (&traffic).into(),
                service_data: (&service_data).into(),
                ..PsInformation::default()
            };
            let got: Vec<_> =
                groups(&ps, false).unwrap().into_iter().map(|g| (g.rating_group, g.services, g.used)).collect();
            assert_eq!(got, expected, "{traffic:?} {service_data:?}");
        }
    }
}
