//! The gateway's side of MQTT as small as it can be: the session machine of the
//! protocol crate over a socket, everything acknowledged at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use linegate_mqtt::payload::{Desired, LineState, Payload, Presence, Reported, Status, Usage, UsageRecord};
use linegate_mqtt::session::{Command, ConnackOptions, Connection, Event, Input, Limits, Outgoing, SessionState};
use linegate_mqtt::topic::{DeviceId, TopicKind};
use linegate_mqtt::{ContentType, ReasonCode};
use linegate_simulators::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

#[derive(Default)]
pub struct Kept {
    pub usage: Vec<(String, UsageRecord)>,
    pub reported: Vec<(String, Reported)>,
    pub status: Vec<(String, Presence)>,
    pub desired: BTreeMap<String, Desired>,
    pub sessions: BTreeMap<String, SessionState>,
    pub dups: usize,
    /// Close the link in place of the next so many acknowledgements of usage.
    pub lose_acks: usize,
}

pub struct Broker {
    pub address: SocketAddr,
    pub kept: Arc<Mutex<Kept>>,
    news: broadcast::Sender<()>,
}

impl Broker {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let news = broadcast::Sender::new(16);
        let (shared, sender) = (Arc::clone(&kept), news.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let link = Link {
                    stream,
                    machine: Connection::new(Arc::new(Limits::default()), clock::now()),
                    kept: Arc::clone(&shared),
                    device: None,
                    close: false,
                };
                tokio::spawn(link.run(sender.subscribe()));
            }
        });
        Self { address, kept, news }
    }

    pub fn wish(&self, device: &str, version: u64, state: LineState) {
        let desired = Desired {
            version,
            state,
            epoch: None,
            order_id: "o-1".into(),
            expires_ms: None,
            plan: None,
            apns: Vec::new(),
        };
        self.kept.lock().unwrap().desired.insert(device.into(), desired);
        let _nobody = self.news.send(());
    }
}

struct Link {
    stream: TcpStream,
    machine: Connection,
    kept: Arc<Mutex<Kept>>,
    device: Option<DeviceId>,
    close: bool,
}

impl Link {
    async fn run(mut self, mut news: broadcast::Receiver<()>) {
        loop {
            let mut input = BytesMut::with_capacity(4096);
            tokio::select! {
                read = self.stream.read_buf(&mut input) => match read {
                    Ok(n) if n > 0 => self.machine.handle_input(Input::Bytes(input.freeze()), clock::now()),
                    _ => self.machine.handle_input(Input::Closed, clock::now()),
                },
                _ = news.recv() => self.send_desired(),
            }
            let ended = self.drain();
            while let Some(command) = self.machine.next_command() {
                match command {
                    Command::Send(bytes) if !self.close => {
                        let _gone = self.stream.write_all(&bytes).await;
                    }
                    Command::Send(_) => {}
                    Command::Close => self.close = true,
                }
            }
            if ended || self.close {
                self.machine.handle_input(Input::Closed, clock::now());
                self.drain();
                if let Some(device) = &self.device {
                    let session = self.machine.take_session();
                    self.kept.lock().unwrap().sessions.insert(device.to_string(), session);
                }
                return;
            }
        }
    }

    fn drain(&mut self) -> bool {
        let mut ended = false;
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Connect(connect) => {
                    let device = DeviceId::new(&connect.client_id).unwrap();
                    let session = self.kept.lock().unwrap().sessions.remove(device.as_str());
                    let options = ConnackOptions { session, ..ConnackOptions::new(device.clone()) };
                    self.machine.accept(options, clock::now()).unwrap();
                    self.device = Some(device);
                    self.send_desired();
                }
                Event::Subscribed(_) => self.send_desired(),
                Event::Publish(message) => {
                    self.keep(message.kind, &message.payload, message.content_type, message.dup);
                    let lose = {
                        let mut kept = self.kept.lock().unwrap();
                        let lose = message.kind == TopicKind::Usage && kept.lose_acks > 0;
                        kept.lose_acks -= usize::from(lose);
                        lose
                    };
                    self.close |= lose;
                    if let Some(id) = message.packet_id.filter(|_| !lose) {
                        self.machine.ack(id, ReasonCode::SUCCESS, clock::now());
                    }
                }
                Event::Disconnected(gone) => {
                    ended = true;
                    if let Some(will) = gone.will {
                        self.keep(TopicKind::Status, &will.payload, will.content_type, false);
                    }
                }
                Event::PublishRefused { topic, reason } => panic!("refused {topic}: {reason}"),
                Event::PubAck { .. } | Event::Expired { .. } => {}
            }
        }
        ended
    }

    fn keep(&self, kind: TopicKind, payload: &Bytes, content_type: Option<ContentType>, dup: bool) {
        let device = self.device.as_ref().unwrap().to_string();
        let mut kept = self.kept.lock().unwrap();
        kept.dups += usize::from(dup);
        match kind {
            TopicKind::Usage => {
                let usage = Usage::decode(payload, content_type).unwrap();
                let records = usage.records().iter().cloned().map(|record| (device.clone(), record));
                kept.usage.extend(records);
            }
            TopicKind::Reported => {
                kept.reported.push((device, Reported::decode(payload, content_type).unwrap()));
            }
            TopicKind::Status => kept.status.push((device, Status::decode(payload, content_type).unwrap().state)),
            TopicKind::Desired | TopicKind::Receipt => panic!("a modem publishes no {kind:?}"),
        }
    }

    fn send_desired(&mut self) {
        let Some(device) = &self.device else { return };
        let desired = self.kept.lock().unwrap().desired.get(device.as_str()).cloned();
        if let Some(desired) = desired {
            let payload = desired.encode(ContentType::Json);
            let message = Outgoing { retain: true, ..Outgoing::desired(desired.version, payload, ContentType::Json) };
            let _not_yet = self.machine.publish(message, clock::now());
        }
    }
}
