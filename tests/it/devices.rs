//! Who may connect: the device registry over the memory store, with CONNECTs
//! and certificates as they come, and no socket.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use linegate::adapters::memory::MemoryStore;
use linegate::adapters::system::{ManualClock, SeededIds};
use linegate::domain::device::Device;
use linegate::domain::ids::DeviceId;
use linegate::domain::time::Timestamp;
use linegate::ports::modem::Modems;
use linegate::ports::relational::{DeviceReads, Relational, StoreError, Write};
use linegate::services::devices::{DeviceError, DeviceRegistry, DeviceSettings, EnrolmentMode, Wanted};
use linegate::transport::mqtt::Identities;
use linegate_mqtt::session::Connect;
use linegate_mqtt::{ReasonCode, Version};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Keeps who was expelled.
#[derive(Default)]
struct Connections(Mutex<Vec<DeviceId>>);

#[async_trait]
impl Modems for Connections {
    async fn desired_changed(&self, _: &DeviceId) {}

    async fn expel(&self, device: &DeviceId) {
        self.0.lock().unwrap().push(device.clone());
    }
}

/// A registry for tests that look at what it stores.
pub fn registry(store: &Arc<MemoryStore>, clock: &Arc<ManualClock>, settings: DeviceSettings) -> Arc<DeviceRegistry> {
    registry_with(store, clock, Arc::new(Connections::default()), settings, 1)
}

fn registry_with(
    store: &Arc<MemoryStore>,
    clock: &Arc<ManualClock>,
    modems: Arc<Connections>,
    settings: DeviceSettings,
    seed: u64,
) -> Arc<DeviceRegistry> {
    let ids = Arc::new(SeededIds::from_seed(seed));
    let store = Arc::clone(store) as Arc<dyn Relational>;
    Arc::new(DeviceRegistry::new(store, modems, Arc::clone(clock) as _, ids, settings))
}

struct Gate {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    connections: Arc<Connections>,
    registry: Arc<DeviceRegistry>,
    identities: Identities,
}

const HERE: &str = "127.0.0.1:50000";
const ELSEWHERE: &str = "192.0.2.9:50000";

impl Gate {
    fn new(enrolment: EnrolmentMode) -> Self {
        Self::with(DeviceSettings { enrolment, ..DeviceSettings::default() })
    }

    fn with(settings: DeviceSettings) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::at(Timestamp(1_790_000_000_000)));
        Self::beside(store, clock, settings, 7)
    }

    /// Another gateway on the same store.
    fn beside(store: Arc<MemoryStore>, clock: Arc<ManualClock>, settings: DeviceSettings, seed: u64) -> Self {
        let connections = Arc::new(Connections::default());
        let registry = registry_with(&store, &clock, Arc::clone(&connections), settings, seed);
        Self { identities: Identities::new(Arc::clone(&registry)), store, clock, connections, registry }
    }

    async fn token_of(&self, device: &str) -> String {
        self.registry.enrol(device.into(), Wanted::Token, "kim").await.unwrap().token.unwrap()
    }

    async fn rotate(&self, device: &str) -> String {
        self.registry.rotate_token(device.into(), "kim").await.unwrap().token.unwrap()
    }

    async fn identify(
        &self,
        connect: &Connect,
        certificate: Option<&CertificateDer<'_>>,
        from: &str,
    ) -> Result<String, ReasonCode> {
        let from: SocketAddr = from.parse().unwrap();
        self.identities.identify(connect, certificate, from).await.map(|id| id.as_str().to_owned())
    }

    async fn by_token(&self, device: &str, token: &str, from: &str) -> Result<String, ReasonCode> {
        self.identify(&connect("any-client", Some(device), Some(token)), None, from).await
    }

    #[track_caller]
    fn check(answer: Result<String, ReasonCode>, expected: Result<&str, ReasonCode>) {
        assert_eq!(answer, expected.map(str::to_owned));
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    async fn device(&self, id: &str) -> Device {
        self.store.devices(&[id.into()]).await.unwrap().remove(0)
    }
}

fn connect(client_id: &str, username: Option<&str>, password: Option<&str>) -> Connect {
    Connect {
        version: Version::V5,
        client_id: client_id.to_owned(),
        username: username.map(str::to_owned),
        password: password.map(|p| Bytes::copy_from_slice(p.as_bytes())),
        clean_start: true,
        session_expiry_secs: 0,
        keep_alive_secs: 0,
        will: None,
        user_properties: Vec::new(),
    }
}

const WRONG: ReasonCode = ReasonCode::BAD_USER_NAME_OR_PASSWORD;
const NOT_AUTHORIZED: ReasonCode = ReasonCode::NOT_AUTHORIZED;

#[tokio::test]
async fn where_enrolment_is_open_a_stranger_comes_in_and_an_enrolled_device_shows_its_token() {
    let gate = Gate::new(EnrolmentMode::Open);
    let token = gate.token_of("meter-1").await;
    Gate::check(gate.identify(&connect("stranger", None, None), None, HERE).await, Ok("stranger"));
    Gate::check(gate.identify(&connect("c", Some("named"), Some("any")), None, HERE).await, Ok("named"));
    Gate::check(gate.identify(&connect("meter-1", None, None), None, HERE).await, Err(WRONG));
    Gate::check(gate.by_token("meter-1", "guess", HERE).await, Err(WRONG));
    Gate::check(gate.by_token("meter-1", &token, HERE).await, Ok("meter-1"));
    // The client id names the device where no user name does (MQTT 5 lets a password stand alone).
    Gate::check(gate.identify(&connect("meter-1", None, Some(&token)), None, HERE).await, Ok("meter-1"));
    for bad in ["", "a/b", "a+"] {
        let refused = Err(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
        Gate::check(gate.identify(&connect(bad, None, None), None, HERE).await, refused);
    }
}

#[tokio::test]
async fn where_enrolment_is_required_a_stranger_hears_what_a_wrong_token_hears() {
    let gate = Gate::new(EnrolmentMode::Required);
    let token = gate.token_of("meter-1").await;
    assert!(token.len() >= 22, "128 bits or more of base64url: {token}");
    for _ in 0..5 {
        Gate::check(gate.by_token("stranger", "guess", HERE).await, Err(WRONG));
        Gate::check(gate.by_token("meter-1", "guess", ELSEWHERE).await, Err(WRONG));
    }
    for (device, from) in [("stranger", HERE), ("meter-1", ELSEWHERE)] {
        Gate::check(gate.by_token(device, "guess", from).await, Err(ReasonCode::BANNED));
    }
    Gate::check(gate.by_token("meter-1", &token, HERE).await, Ok("meter-1"));
    assert_eq!(gate.registry.epoch(&"meter-1".into()).await.unwrap(), Some(1));
    assert_eq!(gate.registry.epoch(&"stranger".into()).await.unwrap(), None);
}

#[tokio::test]
async fn a_new_token_works_at_once_and_its_first_use_ends_the_old_one() {
    let gate = Gate::new(EnrolmentMode::Required);
    let first = gate.token_of("meter-1").await;
    Gate::check(gate.by_token("meter-1", &first, HERE).await, Ok("meter-1"));
    let second = gate.rotate("meter-1").await;
    assert_ne!(first, second);
    Gate::check(gate.by_token("meter-1", &first, HERE).await, Ok("meter-1"));
    Gate::check(gate.by_token("meter-1", &second, HERE).await, Ok("meter-1"));
    Gate::check(gate.by_token("meter-1", &first, HERE).await, Err(WRONG));
    Gate::check(gate.by_token("meter-1", &second, HERE).await, Ok("meter-1"));
    assert!(gate.connections.0.lock().unwrap().len() == 1, "a rotation ends no connection");

    let third = gate.rotate("meter-1").await;
    gate.advance(86_399);
    Gate::check(gate.by_token("meter-1", &second, HERE).await, Ok("meter-1"));
    gate.advance(1);
    Gate::check(gate.by_token("meter-1", &second, HERE).await, Err(WRONG));
    Gate::check(gate.by_token("meter-1", &third, HERE).await, Ok("meter-1"));
}

#[tokio::test]
async fn a_store_that_fails_at_the_first_use_of_a_token_keeps_nobody_out() {
    let gate = Gate::new(EnrolmentMode::Required);
    let first = gate.token_of("meter-1").await;
    let second = gate.rotate("meter-1").await;
    gate.store.fail_next_save(StoreError::Transient { operation: "save", reason: "busy".to_owned() });
    Gate::check(gate.by_token("meter-1", &second, HERE).await, Ok("meter-1"));
    Gate::check(gate.by_token("meter-1", &first, HERE).await, Ok("meter-1"));
    Gate::check(gate.by_token("meter-1", &second, HERE).await, Ok("meter-1"));
    Gate::check(gate.by_token("meter-1", &first, HERE).await, Err(WRONG));
}

#[tokio::test]
async fn a_revoked_device_is_expelled_and_stays_out_until_it_is_enrolled_anew() {
    for mode in [EnrolmentMode::Open, EnrolmentMode::Required] {
        let gate = Gate::new(mode);
        let token = gate.token_of("meter-1").await;
        Gate::check(gate.by_token("meter-1", &token, HERE).await, Ok("meter-1"));
        gate.connections.0.lock().unwrap().clear();
        gate.registry.revoke("meter-1".into(), "kim").await.unwrap();
        assert_eq!(*gate.connections.0.lock().unwrap(), [DeviceId::from("meter-1")]);
        Gate::check(gate.by_token("meter-1", &token, HERE).await, Err(NOT_AUTHORIZED));
        Gate::check(gate.by_token("meter-1", "guess", HERE).await, Err(WRONG));
        let once = gate.device("meter-1").await;
        gate.registry.revoke("meter-1".into(), "kim").await.unwrap();
        assert_eq!(gate.device("meter-1").await, once);
        let refused = gate.registry.rotate_token("meter-1".into(), "kim").await;
        assert_eq!(refused, Err(DeviceError::Revoked("meter-1".into())));
        let known = gate.registry.enrol("meter-1".into(), Wanted::Token, "kim").await;
        assert_eq!(known, Err(DeviceError::Known("meter-1".into())));

        let again = gate.registry.enrol_again("meter-1".into(), Wanted::Token, "kim").await.unwrap();
        assert_eq!(again.device, gate.device("meter-1").await);
        assert_eq!((again.device.epoch, gate.registry.epoch(&"meter-1".into()).await.unwrap()), (2, Some(2)));
        Gate::check(gate.by_token("meter-1", &token, HERE).await, Err(WRONG));
        Gate::check(gate.by_token("meter-1", &again.token.unwrap(), HERE).await, Ok("meter-1"));
    }
}

#[tokio::test]
async fn whoever_guesses_locks_out_himself_and_not_the_device() {
    let gate = Gate::new(EnrolmentMode::Required);
    let token = gate.token_of("meter-1").await;
    for _ in 0..5 {
        Gate::check(gate.by_token("meter-1", "guess", ELSEWHERE).await, Err(WRONG));
    }
    Gate::check(gate.by_token("meter-1", &token, ELSEWHERE).await, Err(ReasonCode::BANNED));
    Gate::check(gate.by_token("meter-1", &token, HERE).await, Ok("meter-1"));
    assert!(gate.registry.locked().contains_key(&DeviceId::from("meter-1")));
    gate.advance(1);
    Gate::check(gate.by_token("meter-1", "guess", ELSEWHERE).await, Err(WRONG));
    gate.advance(1);
    Gate::check(gate.by_token("meter-1", &token, ELSEWHERE).await, Err(ReasonCode::BANNED));
    gate.advance(1);
    Gate::check(gate.by_token("meter-1", &token, ELSEWHERE).await, Ok("meter-1"));
    assert!(gate.registry.locked().is_empty());
}

#[tokio::test]
async fn what_another_gateway_changes_is_seen_at_once_or_after_the_time_of_an_entry() {
    let settings = DeviceSettings { enrolment: EnrolmentMode::Required, ..DeviceSettings::default() };
    let gate = Gate::with(settings.clone());
    let other = Gate::beside(Arc::clone(&gate.store), Arc::clone(&gate.clock), settings, 8);
    let first = gate.token_of("meter-1").await;
    Gate::check(gate.by_token("meter-1", &first, HERE).await, Ok("meter-1"));
    let second = other.rotate("meter-1").await;
    for _ in 0..2 {
        Gate::check(gate.by_token("meter-1", &second, HERE).await, Ok("meter-1"));
    }
    other.registry.revoke("meter-1".into(), "kim").await.unwrap();
    Gate::check(gate.by_token("meter-1", &second, HERE).await, Ok("meter-1"));
    gate.advance(60);
    Gate::check(gate.by_token("meter-1", &second, HERE).await, Err(NOT_AUTHORIZED));
}

#[tokio::test]
async fn an_imported_device_comes_in_without_a_certificate_only_where_enrolment_is_open() {
    let id = || [DeviceId::from("meter-1")].into();
    for (mode, expected) in [(EnrolmentMode::Open, Ok("meter-1")), (EnrolmentMode::Required, Err(WRONG))] {
        let gate = Gate::new(mode);
        let before = gate.identify(&connect("meter-1", None, None), None, HERE).await;
        Gate::check(before, expected);
        assert_eq!(gate.registry.import(id()).await.unwrap().enrolled, 1);
        Gate::check(gate.identify(&connect("meter-1", None, None), None, HERE).await, expected);
        let token = gate.rotate("meter-1").await;
        Gate::check(gate.identify(&connect("meter-1", None, None), None, HERE).await, Err(WRONG));
        Gate::check(gate.by_token("meter-1", &token, HERE).await, Ok("meter-1"));
    }
}

#[tokio::test]
async fn a_certificate_name_is_one_devices_name() {
    let gate = Gate::new(EnrolmentMode::Required);
    let named = |name: &str| Wanted::Certificate(Some(name.into()));
    gate.registry.enrol("meter-1".into(), named("name"), "kim").await.unwrap();
    let taken = gate.registry.enrol("meter-2".into(), named("name"), "kim").await;
    assert!(matches!(taken, Err(DeviceError::NameTaken { device, .. }) if device == DeviceId::from("meter-1")));
    gate.registry.enrol_again("meter-1".into(), named("name"), "kim").await.unwrap();
}

/// A certificate of its own authority: all that is read is its name.
fn certificate(subject: &str, alternative: Option<&str>) -> CertificateDer<'static> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.pem");
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-utf8", "-subj", subject, "-keyout"]).arg(folder.path().join("key.pem")).arg("-out").arg(&file);
    if let Some(names) = alternative {
        openssl.args(["-addext", &format!("subjectAltName={names}")]);
    }
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    CertificateDer::from_pem_file(file).unwrap()
}

#[tokio::test]
async fn a_certificate_names_its_device_by_alternative_name_else_by_common_name() {
    let gate = Gate::new(EnrolmentMode::Required);
    let named = |name: &str| Wanted::Certificate(Some(name.into()));
    let devices =
        [("by-dns", "meter.example"), ("by-uri", "urn:dev:mac:1/2"), ("by-cn", "Meter 9"), ("by-korean", "계량기")];
    for (device, name) in devices {
        gate.registry.enrol(device.into(), named(name), "kim").await.unwrap();
    }
    let table = [
        ("/CN=other", Some("DNS:meter.example,URI:urn:dev:mac:1/2"), Ok("by-dns")),
        ("/CN=other", Some("email:a@example.com,URI:urn:dev:mac:1/2,DNS:meter.example"), Ok("by-uri")),
        ("/CN=Meter 9", Some("IP:192.0.2.1"), Ok("by-cn")),
        ("/O=Meters/CN=Meter 9", None, Ok("by-cn")),
        ("/CN=계량기", None, Ok("by-korean")),
        ("/CN=Meter 9", Some("DNS:stranger.example"), Err(NOT_AUTHORIZED)),
        ("/O=Meter 9", None, Err(NOT_AUTHORIZED)),
    ];
    for (subject, alternative, expected) in table {
        let certificate = certificate(subject, alternative);
        let answer = gate.identify(&connect("any", None, None), Some(&certificate), HERE).await;
        assert_eq!(answer, expected.map(str::to_owned), "{subject} {alternative:?}");
    }
    let broken = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01]);
    Gate::check(gate.identify(&connect("any", None, None), Some(&broken), HERE).await, Err(NOT_AUTHORIZED));
}

#[tokio::test]
async fn with_a_certificate_a_user_name_must_say_the_same_and_nobody_elses_guesses_count() {
    let gate = Gate::new(EnrolmentMode::Required);
    gate.registry.enrol("meter-1".into(), Wanted::Certificate(None), "kim").await.unwrap();
    gate.token_of("meter-2").await;
    let certificate = certificate("/CN=meter-1", None);
    let with = |user| connect("any", user, Some("a token that nobody asks for"));
    Gate::check(gate.identify(&with(Some("meter-2")), Some(&certificate), HERE).await, Err(NOT_AUTHORIZED));
    for _ in 0..9 {
        let _refused = gate.by_token("meter-1", "guess", HERE).await;
    }
    Gate::check(gate.by_token("meter-1", "guess", HERE).await, Err(ReasonCode::BANNED));
    for user in [None, Some(""), Some("meter-1")] {
        Gate::check(gate.identify(&with(user), Some(&certificate), HERE).await, Ok("meter-1"));
    }
    assert_eq!(gate.registry.epoch(&"meter-1".into()).await.unwrap(), Some(1));
    gate.registry.revoke("meter-1".into(), "kim").await.unwrap();
    Gate::check(gate.identify(&with(None), Some(&certificate), HERE).await, Err(NOT_AUTHORIZED));
}

#[tokio::test]
async fn where_enrolment_is_open_a_certificate_is_a_strangers_name_and_no_other_devices() {
    let gate = Gate::new(EnrolmentMode::Open);
    let certificate = certificate("/CN=meter-1", None);
    Gate::check(gate.identify(&connect("any", None, None), Some(&certificate), HERE).await, Ok("meter-1"));
    Gate::check(gate.identify(&connect("", Some("x"), None), Some(&certificate), HERE).await, Err(NOT_AUTHORIZED));
    gate.token_of("meter-1").await;
    Gate::check(gate.identify(&connect("any", None, None), Some(&certificate), HERE).await, Err(WRONG));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn devices_speed_of_a_reconnect_storm() {
    use linegate::adapters::sqlite::{SqliteSettings, SqliteStore};
    use linegate::adapters::system::SystemClock;
    const MODEMS: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let store = Arc::new(SqliteStore::open(&url, SqliteSettings::default()).await.unwrap());
    let token = "a-token-of-some-length-0123456789";
    let digest = linegate::domain::device::TokenDigest::of(token.as_bytes());
    let credential = linegate::domain::device::Credential::Token(digest);
    let devices = (0..MODEMS).map(|n| Device::enrolled(format!("meter-{n}").into(), credential.clone(), Timestamp(0)));
    store.save(devices.map(Write::Device).collect()).await.unwrap();
    let (modems, ids) = (Arc::new(Connections::default()), Arc::new(SeededIds::from_seed(1)));
    let settings = DeviceSettings { enrolment: EnrolmentMode::Required, ..DeviceSettings::default() };
    let registry = Arc::new(DeviceRegistry::new(store, modems, Arc::new(SystemClock), ids, settings));
    let identities = Arc::new(Identities::new(registry));
    for what in ["from the store", "from memory"] {
        let started = SystemClock::instant();
        let mut connecting = tokio::task::JoinSet::new();
        for n in 0..MODEMS {
            let identities = Arc::clone(&identities);
            connecting.spawn(async move {
                let connect = connect("any", Some(&format!("meter-{n}")), Some(token));
                identities.identify(&connect, None, HERE.parse().unwrap()).await.unwrap()
            });
        }
        while let Some(joined) = connecting.join_next().await {
            joined.unwrap();
        }
        println!("{MODEMS} modems identified {what}: {} ms", started.elapsed().as_millis());
    }
}
