//! The demo's network: the gateway on embedded stores in a temporary folder,
//! and everything it talks to, over real sockets on free loopback ports.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use linegate_simulators::desk::{Desk, DeskConfig, DeskHandle};
use linegate_simulators::element::{Element, ElementConfig, ElementHandle, Role};
use linegate_simulators::modem::{Modem, ModemConfig, ModemHandle};
use linegate_simulators::sinks::{HttpSink, MailSink};
use tempfile::TempDir;

use super::rest::Rest;
use crate::adapters::smtp::SmtpTls;
use crate::app::{Gateway, Mode};
use crate::config::Config;

/// Cellular lines of the story.
pub const CELLULAR_LINES: usize = 20;

/// Everything that runs during the demo.
pub struct World {
    /// The gateway.
    pub gateway: Gateway,
    /// Its REST side.
    pub rest: Rest,
    /// HSS front end.
    pub hss: ElementHandle,
    /// Serving MME.
    pub mme: ElementHandle,
    /// PGW-C: Gy and Rf.
    pub pgw: ElementHandle,
    /// OLT.
    pub olt: ElementHandle,
    /// IPTV head end.
    pub head_end: ElementHandle,
    /// One for each cellular line.
    pub modems: Vec<ModemHandle>,
    /// Call desk and workers.
    pub desk: DeskHandle,
    /// SMS gateway.
    pub sms: HttpSink,
    /// The order system's callback.
    pub hook: HttpSink,
    /// Mail relay.
    pub mail: MailSink,
    /// The gateway's data; gone with the demo.
    _folder: TempDir,
}

impl World {
    /// Starts everything and waits until it is connected.
    pub async fn start(mut config: Config) -> anyhow::Result<Self> {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let folder = tempfile::Builder::new().prefix("linegate-demo-").tempdir().context("make a temporary folder")?;
        let sms = HttpSink::start(any).await?;
        let hook = HttpSink::start(any).await?;
        let mail = MailSink::start(any).await?;
        config.data.folder = folder.path().to_path_buf();
        config.diameter.listen = any;
        // An element that comes back is asked once, not for two watchdog periods.
        config.diameter.reopen_answers = 1;
        config.mqtt.listen = any;
        config.http.listen = any.to_string();
        config.sms.url = format!("{}/sms", sms.url());
        config.mail.host = mail.address().ip().to_string();
        config.mail.port = mail.address().port();
        config.mail.tls = SmtpTls::Plain;
        config.webhook.allow_private = true;
        // Nobody waits half an hour for a second call in a demo.
        config.scheduling.call_intervals_s = vec![1];
        config.scheduling.call_until = config.scheduling.call_from;
        let gateway = Gateway::start(config, Mode::Serve).await?;
        let rest = Rest::new(gateway.http)?;

        let element = |name: &str, roles: &[Role]| {
            let host = format!("{name}.linegate.example");
            Element::start(ElementConfig::new(&host, roles, gateway.diameter))
        };
        let hss = element("hss-1", &[Role::Hss]);
        let mme = element("mme-1", &[Role::Mme]);
        let pgw = element("pgw-1", &[Role::PgwC]);
        let olt = element("olt-1", &[Role::Olt]);
        let head_end = element("iptv-1", &[Role::TvHeadEnd]);
        for each in [&hss, &mme, &pgw, &olt, &head_end] {
            ensure!(each.connected_within(Duration::from_secs(10)).await, "an element did not connect within 10 s");
        }
        let mut modems = Vec::with_capacity(CELLULAR_LINES);
        for n in 1..=CELLULAR_LINES {
            modems.push(Modem::start(ModemConfig::new(&device(n), gateway.mqtt))?);
        }
        for modem in &modems {
            ensure!(modem.online_within(Duration::from_secs(10)).await, "{} did not connect", modem.device());
        }
        let desk = Desk::start(DeskConfig::new(&format!("http://{}", gateway.http)))?;
        Ok(Self { gateway, rest, hss, mme, pgw, olt, head_end, modems, desk, sms, hook, mail, _folder: folder })
    }

    /// Ends everything in an order in which nobody waits for anybody.
    pub async fn end(self) -> anyhow::Result<()> {
        self.desk.shutdown();
        for modem in &self.modems {
            modem.shutdown();
        }
        self.gateway.shutdown().await?;
        for each in [&self.hss, &self.mme, &self.pgw, &self.olt, &self.head_end] {
            each.shutdown();
        }
        self.sms.shutdown();
        self.hook.shutdown();
        self.mail.shutdown();
        Ok(())
    }
}

/// IMSI of the n-th cellular line, 1 upwards; test network 450-08.
pub fn imsi(n: usize) -> String {
    format!("45008{n:010}")
}

/// MSISDN of the n-th cellular line.
pub fn msisdn(n: usize) -> String {
    format!("8210{n:08}")
}

/// Modem of the n-th cellular line.
pub fn device(n: usize) -> String {
    format!("meter-{n:04}")
}
