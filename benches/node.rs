//! The Diameter node by itself: every credit-control request is granted at once,
//! nothing is rated or stored. Beside it, in the same run and with the same client,
//! a plain server on the `diameter` crate.
//!
//!     cargo build --release -p linegate-simulators && cargo bench --bench node -- [seconds]
//!
//! Prints pairs per second and server CPU per pair (user and system, of the server's
//! own process) for 4 peers × 64 outstanding requests, and what the client saw.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use diameter::avp::flags::M;
use diameter::avp::{Address, AvpType, Enumerated, Grouped, Identity, UTF8String, Unsigned32, Unsigned64};
use diameter::dictionary::{AvpDefinition, DEFAULT_DICT_XML, Dictionary};
use diameter::transport::{DiameterServer, DiameterServerConfig};
use diameter::{ApplicationId, CommandCode, DiameterMessage};
use linegate::adapters::memory::MemoryStore;
use linegate::adapters::system::{SeededIds, SystemClock};
use linegate::config::Config;
use linegate::domain::rating::request::{ChargeAnswer, ChargeRequest, Grant, GroupAnswer, Outcome};
use linegate::domain::usage::UsageRecord;
use linegate::ports::intake::{Reply, RequestIntake};
use linegate::services::device_states::{DeviceStateSettings, DeviceStates};
use linegate::transport::diameter::{DiameterServices, Listeners, Peers, start};
use linegate_diameter::dictionary::{DataType, Dictionary as OwnDictionary};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match arguments.first().map(String::as_str) {
        Some("serve-node") => runtime.block_on(serve_node()),
        Some("serve-crate") => runtime.block_on(serve_crate()),
        first => {
            let seconds = first.and_then(|text| text.parse().ok()).unwrap_or(10);
            compare(seconds);
        }
    }
}

fn compare(seconds: u32) {
    for (name, server) in [("linegate node", "serve-node"), ("diameter crate", "serve-crate")] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(server)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let simulator = std::env::current_exe().unwrap().parent().unwrap().with_file_name("linegate-sim");
        let out = Command::new(&simulator)
            .args(["load", "gy", "--gateway", address.trim(), "--peers", "4", "--outstanding", "64"])
            .args(["--lines", "10000", "--rating-groups", "1,2", "--seconds", &seconds.to_string()])
            .args(["--server-pid", &child.id().to_string()])
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}: build linegate-simulators first", simulator.display()));
        println!("== {name}\n{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Grants a megabyte to every group at once.
struct GrantAll;

impl RequestIntake for GrantAll {
    fn submit(&self, request: ChargeRequest, reply: Reply) {
        let grant = Grant {
            octets: 1_000_000,
            tariff_change: None,
            validity_s: 3600,
            threshold_octets: 0,
            holding_s: 0,
            final_unit: None,
            throttle: None,
        };
        let groups = request.groups.iter().map(|group| GroupAnswer {
            rating_group: group.rating_group,
            outcome: Outcome::Success,
            grant: Some(grant.clone()),
            cost: None,
        });
        let groups = groups.collect();
        let answer = ChargeAnswer { outcome: Outcome::Success, groups, repeated: false, suspense: None, covered: None };
        reply.to.reply(reply.tag, Ok(answer));
    }

    fn suspend(&self, _record: UsageRecord, _reply: Reply) {}

    fn sessions_lost(&self, _peer: &str) {}
}

async fn serve_node() {
    linegate::telemetry::start_logs(&Config::load(None, []).unwrap().log).ok();
    let mut settings = Config::load(None, []).unwrap().diameter;
    (settings.connections_max, settings.connections_per_address_max) = (4000, 4000);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let services = DiameterServices {
        charging: Arc::new(GrantAll),
        devices: DeviceStates::start(
            Arc::new(MemoryStore::new()),
            &DeviceStateSettings::default(),
            stop.clone(),
            &tasks,
        ),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SeededIds::from_os()),
        origin_state_id: 1,
    };
    let listeners = Listeners { tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: None };
    let peers = Peers::new(&settings, 0, 1);
    println!("{}", start(listeners, settings, *OwnDictionary::standard(), peers, services, stop, &tasks).unwrap());
    std::future::pending::<()>().await;
}

async fn serve_crate() {
    let dictionary = crates_dictionary();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server =
        DiameterServer::new(&address.to_string(), DiameterServerConfig { native_tls: None }).await.unwrap();
    println!("{address}");
    let of_answers = Arc::clone(&dictionary);
    let answer = move |request| {
        let dictionary = Arc::clone(&of_answers);
        async move { Ok(answer_of(&request, dictionary)) }
    };
    server.listen(answer, dictionary).await.unwrap();
}

/// Its own dictionary with the AVPs that the client sends and it lacks.
fn crates_dictionary() -> Arc<Dictionary> {
    let mut dictionary = Dictionary::new(&[&DEFAULT_DICT_XML]);
    for def in OwnDictionary::standard().avps() {
        let (code, vendor_id) = (def.code, Some(def.vendor).filter(|vendor| *vendor != 0));
        let avp_type = match def.data_type {
            DataType::Unsigned32 => AvpType::Unsigned32,
            DataType::Unsigned64 => AvpType::Unsigned64,
            DataType::Integer32 => AvpType::Integer32,
            DataType::Enumerated => AvpType::Enumerated,
            DataType::UTF8String => AvpType::UTF8String,
            DataType::Grouped => AvpType::Grouped,
            DataType::Address => AvpType::Address,
            _ => AvpType::OctetString,
        };
        if dictionary.get_avp(code, vendor_id).is_none() {
            dictionary.add_avp(AvpDefinition { code, vendor_id, name: def.name.into(), avp_type, m_flag: false });
        }
    }
    Arc::new(dictionary)
}

fn answer_of(request: &DiameterMessage, dictionary: Arc<Dictionary>) -> DiameterMessage {
    let mut answer = DiameterMessage::new(
        request.get_command_code(),
        request.get_application_id(),
        request.get_flags() ^ diameter::flags::REQUEST,
        request.get_hop_by_hop_id(),
        request.get_end_to_end_id(),
        Arc::clone(&dictionary),
    );
    if let Some(session) = request.get_avp(263) {
        answer.add_avp(263, None, M, UTF8String::new(session.get_utf8string().unwrap().value()).into());
    }
    answer.add_avp(268, None, M, Unsigned32::new(2001).into());
    answer.add_avp(264, None, M, Identity::new("server.example").into());
    answer.add_avp(296, None, M, Identity::new("example").into());
    match request.get_command_code() {
        CommandCode::CapabilitiesExchange => {
            answer.add_avp(257, None, M, Address::from_ipv4([127, 0, 0, 1].into()).into());
            answer.add_avp(266, None, M, Unsigned32::new(0).into());
            answer.add_avp(269, None, 0, UTF8String::new("plain").into());
            answer.add_avp(258, None, M, Unsigned32::new(ApplicationId::CreditControl as u32).into());
        }
        CommandCode::CreditControl => grant(&mut answer, request, dictionary),
        _ => {}
    }
    answer
}

fn grant(answer: &mut DiameterMessage, request: &DiameterMessage, dictionary: Arc<Dictionary>) {
    let kind = request.get_avp(416).and_then(|avp| avp.get_enumerated().map(|kind| kind.value())).unwrap_or(1);
    let number = request.get_avp(415).and_then(|avp| avp.get_unsigned32()).unwrap_or(0);
    answer.add_avp(258, None, M, Unsigned32::new(4).into());
    answer.add_avp(416, None, M, Enumerated::new(kind).into());
    answer.add_avp(415, None, M, Unsigned32::new(number).into());
    for group in [1, 2] {
        let mut units = Grouped::new(vec![], Arc::clone(&dictionary));
        units.add_avp(421, None, M, Unsigned64::new(1_000_000).into());
        let mut service = Grouped::new(vec![], Arc::clone(&dictionary));
        service.add_avp(431, None, M, units.into());
        service.add_avp(432, None, M, Unsigned32::new(group).into());
        service.add_avp(448, None, M, Unsigned32::new(3600).into());
        service.add_avp(268, None, M, Unsigned32::new(2001).into());
        answer.add_avp(456, None, M, service.into());
    }
}
