//! Diameter messages over one socket, and the capabilities exchange that opens
//! it. Owns no state between connections ([`crate::peer`] does).

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use linegate_diameter::answer::{Origin, ReplyTo};
use linegate_diameter::apps::Answered;
use linegate_diameter::apps::base::{Application, Capabilities};
use linegate_diameter::codec::{CommandFlags, frame_length};
use linegate_diameter::dictionary::{command, vendor};
use linegate_diameter::{Header, MESSAGE_LENGTH_MAX, Message, Outcome, ResultCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// Octets taken from a socket at once.
const READ_BYTES: usize = 32 << 10;

/// Who a simulated node is, and what it speaks.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Origin-Host.
    pub host: String,
    /// Origin-Realm.
    pub realm: String,
    /// Destination-Realm of its requests: the gateway's.
    pub destination_realm: String,
    /// What CER and CEA announce.
    pub applications: Vec<Application>,
    /// Origin-State-Id; rises when the node lost its sessions.
    pub origin_state_id: u32,
}

impl Identity {
    /// A node of the realm `network.example` that talks to `linegate.example`.
    pub fn new(host: &str, applications: &[Application]) -> Self {
        Self {
            host: host.into(),
            realm: "network.example".into(),
            destination_realm: "linegate.example".into(),
            applications: applications.to_vec(),
            origin_state_id: crate::clock::unix_seconds(),
        }
    }

    /// Origin-Host and Origin-Realm, encoded.
    pub fn origin(&self) -> Origin {
        Origin::new(&self.host, &self.realm)
    }

    fn capabilities(&self, address: IpAddr) -> Capabilities {
        let mut vendors: Vec<u32> = self.applications.iter().filter_map(|app| app.vendor).collect();
        vendors.sort_unstable();
        vendors.dedup();
        Capabilities {
            origin_host: self.host.as_str().into(),
            origin_realm: self.realm.as_str().into(),
            host_ip_addresses: vec![address],
            vendor_id: vendor::EXAMPLE,
            product_name: "linegate-sim".into(),
            origin_state_id: Some(self.origin_state_id),
            supported_vendors: vendors,
            applications: self.applications.clone(),
            inband_security: Vec::new(),
            firmware_revision: None,
        }
    }
}

/// The reading side of a connection.
#[derive(Debug)]
pub(crate) struct WireReader {
    stream: OwnedReadHalf,
    input: BytesMut,
}

impl WireReader {
    /// The next message; `None` at the end of the stream. Safe to cancel.
    pub(crate) async fn read(&mut self) -> anyhow::Result<Option<Message>> {
        loop {
            if let Some(message) = cut(&mut self.input)? {
                return Ok(Some(message));
            }
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await.context("read from peer")? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next message where one is buffered already.
    pub(crate) fn buffered(&mut self) -> anyhow::Result<Option<Message>> {
        cut(&mut self.input)
    }
}

fn cut(input: &mut BytesMut) -> anyhow::Result<Option<Message>> {
    match frame_length(input, MESSAGE_LENGTH_MAX).context("cut message")? {
        None => Ok(None),
        Some(length) => {
            let frame = input.split_to(length).freeze();
            Message::decode(frame).map(Some).map_err(|error| anyhow::anyhow!("{error}"))
        }
    }
}

/// An open connection after its capabilities exchange.
pub(crate) struct Opened {
    /// To read from.
    pub(crate) reader: WireReader,
    /// To write to.
    pub(crate) writer: tokio::net::tcp::OwnedWriteHalf,
    /// What the other side said of itself.
    pub(crate) remote: Capabilities,
}

/// Opens a connection as the one who dialled: CER, CEA (RFC 6733 section 5.3).
pub(crate) async fn dial(stream: TcpStream, identity: &Identity) -> anyhow::Result<Opened> {
    let (mut reader, mut writer, address) = halves(stream)?;
    let header = Header { hop_by_hop: 1, end_to_end: 1, ..Capabilities::header() };
    let mut out = BytesMut::new();
    identity.capabilities(address).encode_request(&header, &mut out);
    writer.write_all(&out).await.context("write CER")?;
    let answer = reader.read().await?.context("peer closed before its CEA")?;
    let answered = Answered::parse(&answer).map_err(|error| anyhow::anyhow!("read CEA: {error:?}"))?;
    if !answered.outcome.is_success() {
        bail!("peer refused CER with {}", code_of(answered.outcome));
    }
    let remote = Capabilities::parse(&answer).map_err(|error| anyhow::anyhow!("read CEA: {error:?}"))?;
    Ok(Opened { reader, writer, remote })
}

/// Opens a connection as the one who listens.
pub(crate) async fn accept(stream: TcpStream, identity: &Identity) -> anyhow::Result<Opened> {
    let (mut reader, mut writer, address) = halves(stream)?;
    let request = reader.read().await?.context("peer closed before its CER")?;
    if request.header.command_code != command::CAPABILITIES_EXCHANGE || !request.header.is_request() {
        bail!("command {} came before CER", request.header.command_code);
    }
    let remote = Capabilities::parse(&request).map_err(|error| anyhow::anyhow!("read CER: {error:?}"))?;
    let ours = identity.capabilities(address);
    let common = !ours.common_applications(&remote).is_empty();
    let outcome = if common { Outcome::SUCCESS } else { ResultCode::NO_COMMON_APPLICATION.into() };
    let mut out = BytesMut::new();
    ours.encode_answer(&ReplyTo::new(&request), outcome, &mut out);
    writer.write_all(&out).await.context("write CEA")?;
    if !common {
        bail!("{} announces no application of ours", remote.origin_host);
    }
    Ok(Opened { reader, writer, remote })
}

type Halves = (WireReader, tokio::net::tcp::OwnedWriteHalf, IpAddr);

fn halves(stream: TcpStream) -> anyhow::Result<Halves> {
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    let address = stream.local_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip());
    let (stream, writer) = stream.into_split();
    Ok((WireReader { stream, input: BytesMut::new() }, writer, address))
}

/// Result-Code, or the code of Experimental-Result.
pub(crate) fn code_of(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Result(code) => code.0,
        Outcome::Experimental { code, .. } => code,
    }
}

/// Sets the hop-by-hop id of an encoded message (RFC 6733 section 3).
pub(crate) fn set_hop_by_hop(frame: &mut [u8], id: u32) {
    if let Some(slot) = frame.get_mut(12..16) {
        slot.copy_from_slice(&id.to_be_bytes());
    }
}

/// Sets the T flag of an encoded request.
pub(crate) fn set_retransmitted(frame: &mut [u8]) {
    if let Some(flags) = frame.get_mut(4) {
        *flags |= CommandFlags::RETRANSMITTED.0;
    }
}

/// An encoded message to share.
pub(crate) fn encoded(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    write(&mut out);
    out.freeze()
}
