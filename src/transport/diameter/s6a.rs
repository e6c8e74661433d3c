//! S6a (TS 29.272): what a serving MME asks, and the subscription data that it
//! is told.

mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use linegate_diameter::answer::{Origin, ReplyTo, refuse, refuse_avp};
use linegate_diameter::apps::List;
use linegate_diameter::apps::s6a::{
    Ambr, ApnConfiguration, ApnProfile, Msisdn, NetworkAccessMode, NotifyRequest, PurgeUeRequest, S6aAnswer,
    SubscriberStatus, SubscriptionData, UNKNOWN_EPS_SUBSCRIPTION, UNKNOWN_SERVING_NODE, USER_UNKNOWN,
    UpdateLocationRequest,
};
use linegate_diameter::codec::AvpError;
use linegate_diameter::dictionary::command;
use linegate_diameter::{Message, Outcome, ResultCode};
use tokio::sync::Semaphore;
use tracing::debug;

use self::settings::CONTEXTS_MAX;
pub use self::settings::S6aSettings;
use super::Node;
use super::connection::{Late, ToConnection, command_name};
use super::duplicates::Identity;
use super::elements::DiameterElements;
use super::peers::Peers;
use super::settings::DiameterSettings;
use crate::domain::ids::LineId;
use crate::domain::line::{LineState, Profile};
use crate::ports::network::{Cancellation, NetworkError};
use crate::ports::relational::{StoreError, Stored};
use crate::services::device_states::{Attach, DeviceStates};
use crate::telemetry::metrics;
use crate::transport::mailbox::Mailbox;

/// ULA-Flags, bit 0: Separation-Indication, which every HSS since release 8 sets
/// (TS 29.272 section 7.3.8).
const ULA_SEPARATION: u32 = 0b1;
/// ULR-Flags, bit 2: the MME has the subscriber's data (TS 29.272 section 7.3.7).
const ULR_SKIP_SUBSCRIBER_DATA: u32 = 0b100;
/// PUA-Flags, bit 0: the MME keeps the M-TMSI to itself for a while (TS 29.272 section 7.3.48).
const PUA_FREEZE_M_TMSI: u32 = 0b1;
/// Operator-Determined-Barring, bit 0: all packet services (TS 29.272 section 7.3.30).
const BAR_ALL_PACKET_SERVICES: u32 = 1;

/// Answers one S6a request outside its connection's task, because it needs the store.
pub(super) fn answer(
    node: &Arc<Node>,
    message: Message,
    identity: Option<Identity>,
    to: Arc<Mailbox<ToConnection>>,
    started: Instant,
) {
    let node = Arc::clone(node);
    let tasks = node.tasks.clone();
    tasks.spawn(async move {
        let mut out = BytesMut::new();
        let result = reply(&node, &message, &mut out).await.unwrap_or_else(|error| {
            out.clear();
            refuse_avp(&message, &error, &node.origin, &mut out);
            error.result_code()
        });
        let late = Late { command: command_name(&message), result, started, bytes: out.freeze(), identity };
        let _connection_gone = to.send(ToConnection::Late(Box::new(late)));
    });
}

async fn reply(node: &Arc<Node>, message: &Message, out: &mut BytesMut) -> Result<ResultCode, AvpError> {
    let (devices, origin) = (&node.services.devices, &node.origin);
    let answer = match message.header.command_code {
        command::UPDATE_LOCATION => {
            let request = UpdateLocationRequest::parse(message)?;
            let attach = devices.attach(request.user_name, request.route.origin_host).await;
            return Ok(update_location(node, &request, attach, message, origin, out));
        }
        command::PURGE_UE => {
            let request = PurgeUeRequest::parse(message)?;
            let purged = devices.purge(request.user_name, request.route.origin_host).await;
            // One that is not registered hears success and no flag (TS 29.272 section 5.2.1.3.3).
            known(purged).map(|registered| S6aAnswer {
                flags: registered.then_some(PUA_FREEZE_M_TMSI),
                ..S6aAnswer::new(Outcome::SUCCESS)
            })
        }
        command::NOTIFY => {
            let request = NotifyRequest::parse(message)?;
            let serves = devices.notify(request.user_name, request.route.origin_host).await;
            known(serves).and_then(|serves| match serves {
                true => Ok(S6aAnswer::new(Outcome::SUCCESS)),
                false => Err(UNKNOWN_SERVING_NODE),
            })
        }
        command::AUTHENTICATION_INFORMATION => {
            // 4181 would have the MME ask again for ever: it is a transient failure.
            let why = "authentication is the HSS's: route AIR to it";
            refuse(message, ResultCode::UNABLE_TO_COMPLY, &[], Some(why), origin, out);
            return Ok(ResultCode::UNABLE_TO_COMPLY);
        }
        // IDR, DSR and CLR are ours to send.
        _ => {
            refuse(message, ResultCode::COMMAND_UNSUPPORTED, &[], None, origin, out);
            return Ok(ResultCode::COMMAND_UNSUPPORTED);
        }
    };
    Ok(write(answer.unwrap_or_else(S6aAnswer::new), message, origin, out))
}

/// What the store said of a subscriber that somebody has, else how it is refused.
fn known<T>(stored: Stored<Option<T>>) -> Result<T, Outcome> {
    stored.map_err(|error| away(&error))?.ok_or(USER_UNKNOWN)
}

fn away(error: &StoreError) -> Outcome {
    debug!(%error, "look a subscriber up");
    ResultCode::TOO_BUSY.into()
}

/// Writes the answer; gives its code for the metric.
fn write(answer: S6aAnswer<'_>, message: &Message, origin: &Origin, out: &mut BytesMut) -> ResultCode {
    answer.encode(&ReplyTo::new(message), origin, out);
    match answer.outcome {
        Outcome::Result(code) => code,
        Outcome::Experimental { code, .. } => ResultCode(code),
    }
}

fn update_location(
    node: &Arc<Node>,
    request: &UpdateLocationRequest<'_>,
    attach: Stored<Attach>,
    message: &Message,
    origin: &Origin,
    out: &mut BytesMut,
) -> ResultCode {
    let (line, former) = match attach {
        Ok(Attach::Registered { line, former }) => (line, former),
        Ok(Attach::NoSubscription) => return write(S6aAnswer::new(UNKNOWN_EPS_SUBSCRIPTION), message, origin, out),
        Ok(Attach::Nobody) => return write(S6aAnswer::new(USER_UNKNOWN), message, origin, out),
        Err(error) => return write(S6aAnswer::new(away(&error)), message, origin, out),
    };
    if let Some(former) = former {
        node.moves.tell(&node.services.devices, &line.id, request.user_name, former);
    }
    let wants_data = request.ulr_flags & ULR_SKIP_SUBSCRIBER_DATA == 0;
    with_subscription(&node.settings.s6a, &line.profile, line.actual, |data| {
        let answer = S6aAnswer {
            flags: Some(ULA_SEPARATION),
            subscription_data: wants_data.then_some(data),
            ..S6aAnswer::new(Outcome::SUCCESS)
        };
        write(answer, message, origin, out)
    })
}

/// Builds Subscription-Data for a line in `state` and lends it to `use_it`. The
/// APNs' Context-Identifiers are their places; the first is the default.
pub(super) fn with_subscription<T>(
    settings: &S6aSettings,
    profile: &Profile,
    state: LineState,
    use_it: impl FnOnce(SubscriptionData<'_>) -> T,
) -> T {
    let ambr = Ambr { uplink: settings.ambr_up_bps, downlink: settings.ambr_down_bps };
    let apns = profile.apns.iter().take(CONTEXTS_MAX);
    let configurations: Vec<ApnConfiguration<'_>> = apns
        .zip(1u32..)
        .map(|(apn, context_identifier)| ApnConfiguration {
            context_identifier,
            pdn_type: settings.pdn_type.wire(),
            service_selection: apn.as_str(),
            qci: Some(i32::from(settings.qci.0)),
            priority_level: Some(u32::from(settings.priority.0)),
            ambr: Some(ambr),
        })
        .collect();
    let in_service = state == LineState::Active;
    use_it(SubscriptionData {
        subscriber_status: Some(if in_service {
            SubscriberStatus::ServiceGranted
        } else {
            SubscriberStatus::OperatorDeterminedBarring
        }),
        operator_determined_barring: (!in_service).then_some(BAR_ALL_PACKET_SERVICES),
        msisdn: profile.msisdn.as_deref().and_then(Msisdn::new),
        network_access_mode: Some(NetworkAccessMode::OnlyPacket),
        access_restriction: None,
        charging_characteristics: None,
        ambr: Some(ambr),
        periodic_tau_timer: None,
        apn_profile: (!configurations.is_empty()).then(|| ApnProfile {
            default_context: 1,
            all_included: true,
            apns: List::from(&configurations),
        }),
    })
}

/// Tells MMEs that a subscriber has moved on (CLR, MME_UPDATE_PROCEDURE), beside
/// the ULA that the new MME waits for.
pub(crate) struct Moves {
    elements: DiameterElements,
    /// Moves that may be told at the same time; past them the former MME finds out by itself.
    places: Arc<Semaphore>,
}

impl Moves {
    pub(super) fn new(settings: &DiameterSettings, peers: &Peers) -> Self {
        let places = Arc::new(Semaphore::new(settings.s6a.moves_max));
        Self { elements: DiameterElements::new(settings, peers.clone()), places }
    }

    fn tell(&self, devices: &DeviceStates, line: &LineId, imsi: &str, former: String) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return metrics().s6a_moves.with_label_values(&["too-many"]).inc();
        };
        let (devices, elements) = (devices.clone(), self.elements.clone());
        let (line, imsi) = (line.clone(), imsi.to_owned());
        // Not among the tasks that a shutdown waits for: nothing depends on it.
        tokio::spawn(async move {
            let _place = place;
            let end = tell_of_move(&devices, &elements, &line, &imsi, &former).await;
            debug!(mme = former, end, "told of a move");
            metrics().s6a_moves.with_label_values(&[end]).inc();
        });
    }
}

async fn tell_of_move(
    devices: &DeviceStates,
    elements: &DiameterElements,
    line: &LineId,
    imsi: &str,
    former: &str,
) -> &'static str {
    let settings = Arc::clone(&elements.s6a);
    for attempt in 0..settings.move_tries.max(1) {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_millis(settings.move_retry_ms)).await;
        }
        // A subscriber that has come back meanwhile must not be detached.
        match devices.serving_mme(line).await {
            Ok(Some(serving)) if serving.eq_ignore_ascii_case(former) => return "returned",
            Ok(_) => {}
            Err(_) => continue,
        }
        match elements.cancel(former, imsi, Cancellation::Moved).await {
            Ok(_) => return "told",
            Err(NetworkError::Refused { .. } | NetworkError::NoElement { .. }) => return "refused",
            Err(NetworkError::Away { .. } | NetworkError::Unknown { .. } | NetworkError::Busy { .. }) => {}
        }
    }
    "gave-up"
}
