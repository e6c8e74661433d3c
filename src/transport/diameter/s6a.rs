//! S6a (TS 29.272): what a serving MME asks, and the subscription data that it
//! is told.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use linegate_diameter::answer::{Origin, ReplyTo, refuse, refuse_avp};
use linegate_diameter::apps::List;
use linegate_diameter::apps::s6a::{
    Ambr, ApnConfiguration, ApnProfile, Msisdn, NetworkAccessMode, NotifyRequest, PdnType, PurgeUeRequest, S6aAnswer,
    SubscriberStatus, SubscriptionData, USER_UNKNOWN, UpdateLocationRequest,
};
use linegate_diameter::codec::AvpError;
use linegate_diameter::dictionary::command;
use linegate_diameter::{Message, Outcome, ResultCode};
use tracing::debug;

use super::Node;
use super::connection::{Late, ToConnection, command_name};
use super::duplicates::Identity;
use crate::domain::ids::Apn;
use crate::domain::line::{Line, LineState};
use crate::transport::mailbox::Mailbox;

/// ULA-Flags, bit 1: this is the MME's own registration (TS 29.272 section 7.3.8).
const ULA_MME_REGISTERED: u32 = 0b10;
/// ULR-Flags, bit 2: the MME has the subscriber's data (TS 29.272 section 7.3.7).
const ULR_SKIP_SUBSCRIBER_DATA: u32 = 0b100;
/// Operator-Determined-Barring, bit 0: all packet services (TS 29.272 section 7.3.30).
const BAR_ALL_PACKET_SERVICES: u32 = 1;
/// Bits per second that one line may use; devices on IoT plans stay far below.
const AMBR: Ambr = Ambr { uplink: 50_000_000, downlink: 100_000_000 };
/// Best effort (TS 23.203 table 6.1.7).
const QCI_BEST_EFFORT: i32 = 9;
/// The lowest allocation and retention priority (TS 29.212 section 5.3.45).
const PRIORITY_LOWEST: u32 = 15;

/// Answers one S6a request outside its connection's task, because it needs the store.
pub(super) fn answer(
    node: &Arc<Node>,
    message: Message,
    identity: Option<Identity>,
    origin: Origin,
    to: Arc<Mailbox<ToConnection>>,
    started: Instant,
) {
    let node = Arc::clone(node);
    let tasks = node.tasks.clone();
    tasks.spawn(async move {
        let mut out = BytesMut::new();
        let result = reply(&node, &message, &origin, &mut out).await.unwrap_or_else(|error| {
            out.clear();
            refuse_avp(&message, &error, &origin, &mut out);
            error.result_code()
        });
        let late = Late { command: command_name(&message), result, started, bytes: out.freeze(), identity };
        let _connection_gone = to.send(ToConnection::Late(Box::new(late)));
    });
}

async fn reply(node: &Node, message: &Message, origin: &Origin, out: &mut BytesMut) -> Result<ResultCode, AvpError> {
    match message.header.command_code {
        command::UPDATE_LOCATION => {
            let request = UpdateLocationRequest::parse(message)?;
            let line = attached(node, request.user_name, Some(request.route.origin_host)).await;
            Ok(update_location(&request, line, message, origin, out))
        }
        command::PURGE_UE => {
            let request = PurgeUeRequest::parse(message)?;
            Ok(plain(attached(node, request.user_name, None).await, message, origin, out))
        }
        command::NOTIFY => {
            let request = NotifyRequest::parse(message)?;
            Ok(plain(attached(node, request.user_name, Some(request.route.origin_host)).await, message, origin, out))
        }
        command::AUTHENTICATION_INFORMATION => {
            let why = "authentication is the HSS's: route AIR to it";
            refuse(message, ResultCode::UNABLE_TO_COMPLY, &[], Some(why), origin, out);
            Ok(ResultCode::UNABLE_TO_COMPLY)
        }
        // IDR, DSR and CLR are ours to send.
        _ => {
            refuse(message, ResultCode::COMMAND_UNSUPPORTED, &[], None, origin, out);
            Ok(ResultCode::COMMAND_UNSUPPORTED)
        }
    }
}

/// What the store says of a subscriber.
enum Known {
    Line(Box<Line>),
    Nobody,
    StoreAway,
}

async fn attached(node: &Node, imsi: &str, mme: Option<&str>) -> Known {
    match node.services.devices.serving_mme(imsi, mme).await {
        Ok(Some(line)) => Known::Line(Box::new(line)),
        Ok(None) => Known::Nobody,
        Err(error) => {
            debug!(%error, "look a subscriber up");
            Known::StoreAway
        }
    }
}

fn update_location(
    request: &UpdateLocationRequest<'_>,
    known: Known,
    message: &Message,
    origin: &Origin,
    out: &mut BytesMut,
) -> ResultCode {
    let Known::Line(line) = known else { return plain(known, message, origin, out) };
    let profile = &line.profile;
    let wants_data = request.ulr_flags & ULR_SKIP_SUBSCRIBER_DATA == 0;
    with_subscription(profile.msisdn.as_deref(), &profile.apns, line.actual, |data| {
        let answer = S6aAnswer {
            flags: Some(ULA_MME_REGISTERED),
            subscription_data: wants_data.then_some(data),
            ..S6aAnswer::new(Outcome::SUCCESS)
        };
        answer.encode(&ReplyTo::new(message), origin, out);
    });
    ResultCode::SUCCESS
}

fn plain(known: Known, message: &Message, origin: &Origin, out: &mut BytesMut) -> ResultCode {
    let (outcome, counted) = match known {
        Known::Line(_) => (Outcome::SUCCESS, ResultCode::SUCCESS),
        Known::Nobody => (USER_UNKNOWN, ResultCode(5001)),
        Known::StoreAway => (ResultCode::TOO_BUSY.into(), ResultCode::TOO_BUSY),
    };
    S6aAnswer::new(outcome).encode(&ReplyTo::new(message), origin, out);
    counted
}

/// Builds Subscription-Data for a line in `state` and lends it to `use_it`.
pub(super) fn with_subscription<T>(
    msisdn: Option<&str>,
    apns: &[Apn],
    state: LineState,
    use_it: impl FnOnce(SubscriptionData<'_>) -> T,
) -> T {
    let configurations: Vec<ApnConfiguration<'_>> = apns
        .iter()
        .zip(1u32..)
        .map(|(apn, context_identifier)| ApnConfiguration {
            context_identifier,
            pdn_type: PdnType::Ipv4,
            service_selection: apn.as_str(),
            qci: Some(QCI_BEST_EFFORT),
            priority_level: Some(PRIORITY_LOWEST),
            ambr: Some(AMBR),
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
        msisdn: msisdn.and_then(Msisdn::new),
        network_access_mode: Some(NetworkAccessMode::OnlyPacket),
        access_restriction: None,
        charging_characteristics: None,
        ambr: Some(AMBR),
        periodic_tau_timer: None,
        apn_profile: (!configurations.is_empty()).then(|| ApnProfile {
            default_context: 1,
            all_included: true,
            apns: List::from(&configurations),
        }),
    })
}
