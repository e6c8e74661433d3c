//! The composition root: the one place that names every adapter. Owns start-up
//! order and graceful shutdown.
//!
//! Start-up: stores, charging (recovers from its log), sagas, outbox, REST, then
//! the listeners for elements and modems. Shutdown goes the other way: nothing
//! new is accepted, what waits is made durable and answered, peers are told.

mod folder;
mod seams;
mod stores;
mod threads;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

pub use self::folder::running_at;

use self::folder::Folder;
use self::seams::{AccountsSeam, BalancesSeam, ChargingSeam, EveryTransport, ImportsSeam, MonthSeam};
use self::stores::RelationalStore;
use self::threads::Threads;
use crate::adapters::broker::{self, BrokerModems, BrokerServices, BrokerSettings};
use crate::adapters::file_journal::FileJournal;
use crate::adapters::pdf::PdfDocuments;
use crate::adapters::scheduler::{HttpScheduler, SchedulerSettings};
use crate::adapters::sms::HttpSmsGateway;
use crate::adapters::smtp::SmtpMailer;
use crate::adapters::system::{SeededIds, SystemClock};
use crate::adapters::tariff_file;
use crate::adapters::webhook::HttpWebhooks;
use crate::api::{self, ApiParts, ApiState, Readiness};
use crate::config::Config;
use crate::domain::tariff::{SharedTariff, TariffBook};
use crate::ports::delivery::{Mailer, SmsGateway};
use crate::ports::modem::{ModemIntake, Modems};
use crate::ports::network::Elements;
use crate::ports::relational::{Relational, Write};
use crate::ports::scheduling::Scheduler;
use crate::ports::{Clock, Ids};
use crate::saga::Engine;
use crate::services::activation::{self, Outside};
use crate::services::charging::{Charging, ChargingTasks};
use crate::services::device_states::DeviceStates;
use crate::services::devices::{DeviceRegistry, EnrolmentMode};
use crate::services::drain::Drain;
use crate::services::explain::Explain;
use crate::services::fieldwork::Fieldwork;
use crate::services::imports::Imports;
use crate::services::month::Month;
use crate::services::ordering::{Follower, Ordering};
use crate::services::outbox::{Outbox, Senders};
use crate::services::rerating::Rerating;
use crate::services::saga_store::RelationalSagas;
use crate::services::scheduling::{Scheduling, VisitPlan};
use crate::services::suspense::Suspense;
use crate::services::tariffs::Tariffs;
use crate::services::thresholds::{Recall, Thresholds};
use crate::services::tokens::Tokens;
use crate::services::usage_events::UsageEvents;
use crate::transport::diameter::{self, DiameterElements, DiameterServices, Peers};
use crate::transport::mqtt::{self, Identities, IntakeSettings, MessageIntake, ModemRegistry, MqttListeners};

/// Name of the stored Origin-State-Id.
const ORIGIN_STATE_ID: &str = "diameter.origin-state-id";

/// Where a modem is that a broker serves; no gateway's name has a space.
const BEHIND_BROKER: &str = "behind a broker";
/// How long connections may take to finish what waits, at shutdown.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// What a gateway does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Serve,
    /// Stores, services and REST on a free port: for commands where no gateway runs.
    Stores,
}

/// A running gateway.
pub struct Gateway {
    /// REST, metrics, health.
    pub http: SocketAddr,
    /// Diameter; the configured address where it is not listened on.
    pub diameter: SocketAddr,
    /// MQTT; the configured address where it is not listened on.
    pub mqtt: SocketAddr,
    readiness: Arc<Readiness>,
    stop: Stops,
    connections: TaskTracker,
    services: TaskTracker,
    charging: ChargingTasks,
    relational: RelationalStore,
    folder: Folder,
    drain_threads: Threads,
    modem_threads: Threads,
}

/// Told in this order at shutdown.
#[derive(Default)]
struct Stops {
    connections: CancellationToken,
    services: CancellationToken,
    drain: CancellationToken,
    http: CancellationToken,
}

/// The services that the listeners and REST stand on.
struct Built {
    store: Arc<dyn Relational>,
    tariffs: Arc<Tariffs>,
    tariff: SharedTariff,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    charging: Charging,
    seam: Arc<ChargingSeam>,
    drain: Arc<Drain>,
    devices: DeviceStates,
    engine: Arc<Engine<Write>>,
    ordering: Arc<Ordering>,
    scheduling: Arc<Scheduling>,
    visits: VisitPlan,
    tokens: Arc<Tokens>,
    peers: Peers,
    modems: ModemRegistry,
    registry: Arc<DeviceRegistry>,
    behind_broker: BrokerModems,
    outbox: Arc<Outbox>,
    elements: Arc<dyn Elements>,
    rerating: Arc<Rerating>,
    suspense: Arc<Suspense>,
    webhooks: Arc<HttpWebhooks>,
    documents: Arc<PdfDocuments>,
}

/// Makes ring the process's TLS provider; repeating it changes nothing.
pub fn install_tls() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}

/// Reads everything that the settings name, without starting.
pub fn check(config: &Config) -> anyhow::Result<()> {
    guard_listeners(config)?;
    config.diameter.check()?;
    config.diameter.tls.load("diameter.tls")?;
    config.mqtt.tls.load("mqtt.tls")?;
    config.diameter.load_dictionary()?;
    broker(config).check()?;
    tariff(config)?;
    config.scheduling.calls().context("settings: scheduling")?;
    PdfDocuments::new(&config.documents, config.billing.calendar()?)?;
    Ok(())
}

/// Serves until SIGTERM or SIGINT, or until a store fails.
pub async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let mut gateway = Gateway::start(config, Mode::Serve).await?;
    println!("linegate: http {}, diameter {}, mqtt {}", gateway.http, gateway.diameter, gateway.mqtt);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => info!("interrupted"),
        _ = terminate.recv() => info!("told to stop"),
        failure = gateway.charging.fatal() => {
            // Nobody is answered: recovery at the next start settles what was in flight.
            error!(%failure, "the hot store failed; restart the gateway");
            return Ok(ExitCode::from(3));
        }
    }
    gateway.shutdown().await?;
    Ok(ExitCode::SUCCESS)
}

/// A listener on an address that is not loopback needs to know who may connect.
fn guard_listeners(config: &Config) -> anyhow::Result<()> {
    let http: SocketAddr = config
        .http
        .listen
        .parse()
        .with_context(|| format!("settings: http.listen: `{}` is no address:port", config.http.listen))?;
    let is_enrolment_open = config.mqtt.enrolment == EnrolmentMode::Open;
    let guarded = [
        ("diameter.listen", config.diameter.listen, config.diameter.peers.is_empty(), "diameter.peers"),
        ("mqtt.listen", config.mqtt.listen, is_enrolment_open, "mqtt.enrolment = \"required\""),
        ("mqtt.tls.listen", config.mqtt.tls.listen, is_enrolment_open, "mqtt.enrolment = \"required\""),
        ("http.listen", http, config.http.tokens.is_empty(), "http.tokens"),
    ];
    for (key, address, open, guard) in guarded {
        if open && !address.ip().is_loopback() {
            bail!("settings: {key}: {address} is not loopback: set {guard} first, or listen on 127.0.0.1");
        }
    }
    Ok(())
}

/// Connections that may wait to be accepted: after an outage every modem comes back
/// at once, and one that finds no room tries again a second later. The kernel cuts it
/// to its own limit (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    listen(address).with_context(|| format!("listen on {address} ({key})"))
}

impl Gateway {
    /// Starts it and gives it back ready.
    pub async fn start(config: Config, mode: Mode) -> anyhow::Result<Self> {
        guard_listeners(&config)?;
        config.diameter.check()?;
        install_tls();
        let folder = Folder::take(&config.data.folder)?;
        let readiness = Arc::new(Readiness::waiting_for(&["gateway"]));
        let stop = Stops::default();
        let (connections, services) = (TaskTracker::new(), TaskTracker::new());

        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let http_wanted = if mode == Mode::Serve { config.http.listen.parse()? } else { any };
        let http_listener = bind("http.listen", http_wanted)?;
        let http = http_listener.local_addr()?;

        let drain_threads = Threads::start("drain", config.drain.threads.max(1), config.drain.niceness)
            .context("start the threads that drain the hot log (drain.threads)")?;
        let of_store = config.clone();
        let opening = async move { RelationalStore::open(&of_store, &SystemClock, &SeededIds::from_os()).await };
        let relational = drain_threads.spawn(opening).await??;
        let modem_threads = Threads::start("modems", config.mqtt.threads, config.mqtt.niceness)
            .context("start the threads that serve modems (mqtt.threads)")?;
        let (built, charging) = build(&config, relational.port(), &modem_threads, &stop, &services).await?;
        spawn_services(&config, &built, &drain_threads, mode, &stop, &services).await?;
        let router = api::router(ApiState::new(api_parts(&config, &built, Arc::clone(&readiness)).await?));
        let (http_settings, http_stop) = (config.http.clone(), stop.http.clone());
        services.spawn(async move {
            if let Err(error) = api::serve(http_listener, router, &http_settings, http_stop).await {
                error!(%error, "serve HTTP");
            }
        });

        let mut gateway = Self {
            http,
            diameter: config.diameter.listen,
            mqtt: config.mqtt.listen,
            readiness,
            stop,
            connections,
            services,
            charging,
            relational,
            folder,
            drain_threads,
            modem_threads,
        };
        if mode == Mode::Serve {
            gateway.listen(&config, &built).await?;
            gateway.services.spawn(watch_intake(
                built.charging.clone(),
                Arc::clone(&gateway.readiness),
                gateway.stop.services.clone(),
            ));
        }
        gateway.folder.announce(&config.data.folder, http)?;
        gateway.readiness.ready("gateway");
        info!(%http, "ready");
        Ok(gateway)
    }

    async fn listen(&mut self, config: &Config, built: &Built) -> anyhow::Result<()> {
        let diameter = diameter::Listeners {
            tcp: bind("diameter.listen", config.diameter.listen)?,
            tls: match config.diameter.tls.live("diameter.tls", &self.stop.services, &self.services)? {
                Some(tls) => Some((bind("diameter.tls.listen", config.diameter.tls.listen)?, tls)),
                None => None,
            },
        };
        let services = DiameterServices {
            charging: Arc::new(built.charging.clone()),
            devices: built.devices.clone(),
            clock: Arc::clone(&built.clock),
            ids: Arc::clone(&built.ids),
            origin_state_id: origin_state_id(built).await?,
        };
        let (peers, stop) = (built.peers.clone(), self.stop.connections.clone());
        let dictionary = config.diameter.load_dictionary()?;
        let settings = config.diameter.clone();
        self.diameter = diameter::start(diameter, settings, dictionary, peers, services, stop, &self.connections)?;
        self.listen_to_modems(config, built)
    }

    fn listen_to_modems(&mut self, config: &Config, built: &Built) -> anyhow::Result<()> {
        let _theirs = self.modem_threads.enter();
        let listeners = MqttListeners {
            tcp: bind("mqtt.listen", config.mqtt.listen)?,
            tls: match config.mqtt.tls.live("mqtt.tls", &self.stop.services, &self.services)? {
                Some(tls) => Some((bind("mqtt.tls.listen", config.mqtt.tls.listen)?, tls)),
                None => None,
            },
        };
        let intake = |gateway: &str| -> Arc<dyn ModemIntake> {
            Arc::new(MessageIntake::new(
                Arc::new(built.charging.clone()),
                built.devices.clone(),
                Arc::clone(&built.registry),
                Arc::clone(&built.clock),
                IntakeSettings {
                    gateway: gateway.to_owned(),
                    desired_expiry_s: config.mqtt.desired_expiry_s,
                    unreadable_per_minute_max: config.mqtt.unreadable_per_minute_max,
                    receipts_per_message_max: config.broker.receipts_per_message_max,
                },
            ))
        };
        let broker = broker(config);
        if broker.is_set() {
            let services = BrokerServices {
                intake: intake(BEHIND_BROKER),
                modems: built.behind_broker.clone(),
                clock: Arc::clone(&built.clock),
                ids: Arc::clone(&built.ids),
            };
            broker::start(broker, services, self.stop.connections.clone(), &self.connections)?;
        }
        let (registry, stop) = (built.modems.clone(), self.stop.connections.clone());
        let identities = Identities::new(Arc::clone(&built.registry));
        let (settings, tasks) = (config.mqtt.clone(), &self.connections);
        let intake = intake(&config.diameter.origin_host);
        self.mqtt = mqtt::start(listeners, settings, identities, registry, intake, stop, tasks)?;
        Ok(())
    }

    /// Stops accepting, finishes batches, sends their answers, tells the peers, ends.
    pub async fn shutdown(self) -> anyhow::Result<()> {
        self.readiness.not_ready("gateway", "shutting down");
        // Sagas and outbox first: what they would send needs the connections.
        self.stop.services.cancel();
        self.stop.connections.cancel();
        self.connections.close();
        if tokio::time::timeout(DRAIN_PATIENCE, self.connections.wait()).await.is_err() {
            warn!(left = self.connections.len(), "connections did not end in time");
        }
        // A store that is away keeps it waiting; what is not answered comes again.
        if tokio::time::timeout(DRAIN_PATIENCE, self.charging.shutdown()).await.is_err() {
            warn!("charging did not end in time");
        }
        // What charging has logged goes on to the relational store before the end.
        self.stop.drain.cancel();
        self.stop.http.cancel();
        self.services.close();
        if tokio::time::timeout(DRAIN_PATIENCE, self.services.wait()).await.is_err() {
            warn!(left = self.services.len(), "services did not end in time");
        }
        self.relational.close().await;
        drop(self.drain_threads);
        drop(self.folder);
        info!("stopped");
        Ok(())
    }
}

/// Opens the hot store and builds every service over both.
async fn build(
    config: &Config,
    store: Arc<dyn Relational>,
    modem_threads: &Threads,
    stop: &Stops,
    tasks: &TaskTracker,
) -> anyhow::Result<(Built, ChargingTasks)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(SeededIds::from_os());
    let settings = config.tariffs.clone();
    let tariffs = Tariffs::open(Arc::clone(&store), Arc::clone(&clock), tariff(config)?, settings).await;
    let tariffs = Arc::new(tariffs.context("merge the tariff's files with the versions that the store keeps")?);
    let tariff = tariffs.book();
    let documents = Arc::new(PdfDocuments::new(&config.documents, config.billing.calendar()?)?);
    let hot = stores::open_hot(config, &*clock, &*ids).await?;
    stores::check_pair(config, &*hot, &*store).await?;
    let drain = Arc::new(Drain::new(Arc::clone(&hot), Arc::clone(&store), config.drain.clone()));
    drain.check().await?;
    let newest_closed = store.newest_closed().await.context("read the newest closed month")?;
    let (of_charging, settings) = (Arc::clone(&clock), config.charging.clone());
    let (charging, charging_tasks) =
        Charging::start(Arc::clone(&hot), tariff.clone(), of_charging, settings, newest_closed)
            .await
            .context("recover charging")?;

    let journal = FileJournal::open(&config.data.folder.join("outage.journal"))?;
    tasks.spawn(charging.bridge_outages(Arc::new(journal), stop.drain.clone())?);

    let peers = Peers::new(&config.diameter, clock.now().millis() / 1000, ids.jitter(u64::MAX));
    let modems = ModemRegistry::default();
    let behind_broker = BrokerModems::new(config.broker.outgoing_max);
    let mut reached: Vec<Arc<dyn Modems>> = vec![Arc::new(modems.clone())];
    if config.broker.is_set() {
        reached.push(Arc::new(behind_broker.clone()));
    }
    let seam = Arc::new(ChargingSeam::new(charging.clone(), Arc::clone(&drain), &config.billing, Arc::clone(&clock)));
    let (of_rerating, settings) = (Arc::clone(&seam) as _, config.rerating.clone());
    let rerating = Rerating::new(Arc::clone(&store), of_rerating, tariff.clone(), Arc::clone(&clock), settings);
    let (of_suspense, settings) = (Arc::clone(&seam) as _, config.suspense.clone());
    let suspense = Arc::new(Suspense::new(Arc::clone(&store), of_suspense, Arc::clone(&clock), settings));
    let tokens = Arc::new(Tokens::open(&config.http.my_page_secret, &*store, &*ids).await?);
    let scheduler = scheduler(config, &clock)?;
    let outside_scheduler = scheduler.clone().map(|s| s as Arc<dyn Scheduler>);
    let language = config.ordering.sms_language;
    let visits = VisitPlan::new(&config.scheduling, Arc::clone(&tokens), language, outside_scheduler)
        .context("settings: scheduling")?;
    let outside = Outside {
        store: Arc::clone(&store),
        elements: Arc::new(DiameterElements::new(&config.diameter, peers.clone())),
        modems: Arc::new(EveryTransport(reached)),
        charging: Arc::clone(&seam) as _,
        tariff: tariff.clone(),
        visits: visits.clone(),
        settings: config.activation.clone(),
    };
    let webhooks = Arc::new(HttpWebhooks::new(config.webhook.clone())?);
    let senders = Senders {
        webhooks: Arc::clone(&webhooks) as _,
        sms: sms(config)?,
        mail: mail(config)?,
        documents: Arc::clone(&documents) as _,
    };
    let outbox =
        Arc::new(Outbox::new(Arc::clone(&store), senders, Arc::clone(&clock), Arc::clone(&ids), config.outbox.clone()));
    let sagas = RelationalSagas::new(Arc::clone(&store)).ringing(outbox.bell());
    let follower = Follower::new(Arc::clone(&store), Arc::clone(&clock), config.ordering.sms_language);
    let engine =
        activation::engine(&outside, sagas, follower, Arc::clone(&clock), Arc::clone(&ids), config.saga.clone());
    let waiting = Arc::clone(&engine);
    peers.on_up(move |host| {
        waiting.signal_all(&format!("element {host}:"));
    });
    if let Some(scheduler) = scheduler {
        let waiting = Arc::clone(&engine);
        scheduler.on_back(move || {
            waiting.signal_all(activation::SCHEDULER);
        });
    }

    let ordering = Arc::new(Ordering::new(
        Arc::clone(&store),
        Arc::clone(&engine),
        Arc::clone(&clock),
        Arc::clone(&ids),
        tariff.clone(),
        config.ordering.clone(),
    ));

    let scheduling = Arc::new(Scheduling::new(
        Arc::clone(&store),
        Arc::clone(&engine),
        Arc::clone(&clock),
        Arc::clone(&ids),
        visits.clone(),
        config.scheduling.clone(),
    ));

    // It stops when the connections have: what they brought is stored.
    let devices = {
        let _theirs = modem_threads.enter();
        DeviceStates::start(Arc::clone(&store), &config.device_states, stop.drain.clone(), tasks)
    };
    let registry = Arc::new(DeviceRegistry::new(
        Arc::clone(&store),
        Arc::new(modems.clone()),
        Arc::clone(&clock),
        Arc::clone(&ids),
        config.mqtt.registry(),
    ));
    let built = Built {
        store,
        tariffs,
        tariff,
        clock,
        ids,
        charging,
        seam,
        drain,
        devices,
        engine,
        ordering,
        scheduling,
        visits,
        tokens,
        peers,
        modems,
        registry,
        behind_broker,
        outbox,
        elements: outside.elements,
        rerating: Arc::new(rerating),
        suspense,
        webhooks,
        documents,
    };
    Ok((built, charging_tasks))
}

fn tariff(config: &Config) -> anyhow::Result<TariffBook> {
    config.tariffs.check().map_err(anyhow::Error::msg)?;
    match config.tariffs.file() {
        Some(file) => Ok(tariff_file::load(file)?),
        None => Ok(tariff_file::shipped()?.into()),
    }
}

/// The broker's settings; the gateway's own name stands in for the replica's.
fn broker(config: &Config) -> BrokerSettings {
    let mut settings = config.broker.clone();
    if settings.replica.is_empty() {
        settings.replica.clone_from(&config.diameter.origin_host);
    }
    settings
}

/// The scheduler outside, where the settings name one.
fn scheduler(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Arc<HttpScheduler>>> {
    let settings = &config.scheduling;
    if settings.external_url.is_empty() {
        return Ok(None);
    }
    let settings = SchedulerSettings {
        url: settings.external_url.clone(),
        token: settings.external_token.clone(),
        timeout_ms: settings.external_timeout_ms,
        concurrency: settings.external_concurrency,
        failures_max: settings.external_failures_max,
        open_ms: settings.external_open_ms,
    };
    Ok(Some(Arc::new(HttpScheduler::new(settings, Arc::clone(clock))?)))
}

fn sms(config: &Config) -> anyhow::Result<Option<Arc<dyn SmsGateway>>> {
    if config.sms.url.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(HttpSmsGateway::new(config.sms.clone())?)))
}

fn mail(config: &Config) -> anyhow::Result<Option<Arc<dyn Mailer>>> {
    if config.mail.host.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(SmtpMailer::new(&config.mail)?)))
}

async fn spawn_services(
    config: &Config,
    built: &Built,
    drain_threads: &Threads,
    mode: Mode,
    stop: &Stops,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let (drain, drain_stop) = (Arc::clone(&built.drain), stop.drain.clone());
    let draining = async move { drain.run(drain_stop).await };
    {
        let _theirs = drain_threads.enter();
        tasks.spawn(draining);
    }
    if mode == Mode::Serve {
        tasks.spawn(Arc::clone(&built.tariffs).run(stop.services.clone()));
        let (charging, store) = (built.charging.clone(), Arc::clone(&built.store));
        tasks.spawn(watch_closes(charging, store, stop.services.clone()));
        tasks.spawn(Arc::clone(&built.engine).run(stop.services.clone()));
        let (store, ordering) = (Arc::clone(&built.store), Arc::clone(&built.ordering));
        let recall = Recall {
            charging: Arc::clone(&built.seam) as _,
            elements: Arc::clone(&built.elements),
            tariff: built.tariff.clone(),
        };
        let thresholds = Thresholds::open(store, ordering, recall, config.thresholds.clone()).await?;
        tasks.spawn(thresholds.run(stop.services.clone()));
        tasks.spawn(Arc::clone(&built.scheduling).keep_slots(stop.services.clone()));
        tasks.spawn(Arc::clone(&built.outbox).run(stop.services.clone()));
        let (bell, settings) = (built.outbox.bell(), config.usage_events.clone());
        let currency = built.tariff.book().currency();
        let (events, of_events) =
            (UsageEvents::new(Arc::clone(&built.store), currency, bell, settings), stop.services.clone());
        tasks.spawn(async move { events.run(of_events).await });
        let (suspense, stop) = (Arc::clone(&built.suspense), stop.services.clone());
        tasks.spawn(async move { suspense.watch(stop).await });
    }
    Ok(())
}

/// Hears of months that another gateway on the stores has closed.
async fn watch_closes(charging: Charging, store: Arc<dyn Relational>, stop: CancellationToken) {
    const PAUSE: Duration = Duration::from_secs(10);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        match store.newest_closed().await {
            Ok(Some(cycle)) => charging.closed_elsewhere(cycle),
            Ok(None) => {}
            Err(error) => warn!(%error, "read the newest closed month"),
        }
    }
}

/// Keeps `/readyz` in step with whether usage is taken in: a full disk or a log
/// that nothing drains is a reason to send traffic elsewhere.
async fn watch_intake(charging: Charging, readiness: Arc<Readiness>, stop: CancellationToken) {
    const PAUSE: Duration = Duration::from_secs(1);
    while !stop.is_cancelled() {
        match charging.refuses() {
            Some(reason) => readiness.not_ready("usage", reason),
            None => readiness.ready("usage"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn api_parts(config: &Config, built: &Built, readiness: Arc<Readiness>) -> anyhow::Result<ApiParts> {
    let (store, engine) = (Arc::clone(&built.store), Arc::clone(&built.engine));
    let (clock, ids, tariff) = (Arc::clone(&built.clock), Arc::clone(&built.ids), built.tariff.clone());
    let tokens = Arc::clone(&built.tokens);
    let currency = tariff.book().currency();
    let seam = Arc::clone(&built.seam);
    let month = Month::new(
        Arc::clone(&store),
        Arc::clone(&seam) as _,
        tariff.clone(),
        Arc::clone(&clock),
        config.billing.clone(),
    )?;
    let month = Arc::new(month);
    let imports = Imports::new(
        Arc::clone(&store),
        Arc::clone(&seam) as _,
        Arc::clone(&seam) as _,
        Arc::clone(&built.registry),
        tariff.clone(),
        Arc::clone(&clock),
        config.imports.clone(),
    )?;
    built.ordering.count_fallout().await?;
    Ok(ApiParts {
        ordering: Arc::clone(&built.ordering),
        scheduling: Arc::clone(&built.scheduling),
        fieldwork: Arc::new(Fieldwork::new(
            Arc::clone(&store),
            engine,
            Arc::clone(&clock),
            built.visits.clone(),
            config.fieldwork.clone(),
        )),
        store,
        clock,
        ids,
        devices: Arc::clone(&built.registry),
        outbox: Arc::clone(&built.outbox),
        webhooks: Arc::clone(&built.webhooks) as _,
        documents: Arc::clone(&built.documents) as _,
        month: Arc::new(MonthSeam::new(Arc::clone(&month))),
        previews: month,
        imports: Arc::new(ImportsSeam::new(imports)),
        accounts: Arc::new(AccountsSeam::new(built.charging.clone())),
        balances: Arc::new(BalancesSeam::new(
            built.charging.clone(),
            Arc::clone(&seam) as _,
            built.tariff.clone(),
            Arc::clone(&built.elements),
            Arc::clone(&built.clock),
        )),
        explain: Arc::new(Explain::new(Arc::clone(&built.store), built.tariff.clone())),
        rerating: Arc::clone(&built.rerating),
        suspense: Arc::clone(&built.suspense),
        tariffs: Arc::clone(&built.tariffs),
        tokens,
        currency,
        readiness,
        settings: config.http.clone(),
    })
}

/// Rises only when sessions were truly lost; they live in the hot store, so a
/// restart keeps it (RFC 6733 section 8.16).
async fn origin_state_id(built: &Built) -> anyhow::Result<u32> {
    let stored = built.store.meta(ORIGIN_STATE_ID).await?.and_then(|text| text.parse().ok());
    if let Some(id) = stored {
        return Ok(id);
    }
    let first = u32::try_from(built.clock.now().millis() / 1000).unwrap_or(1);
    built.store.save(vec![Write::Meta(ORIGIN_STATE_ID.to_owned(), first.to_string())]).await?;
    Ok(first)
}
