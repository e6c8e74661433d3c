//! One connection of a script: a task reads it, the script writes it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use linegate_diameter::codec::{DecodeError, frame_length};
use linegate_diameter::dictionary::Dictionary;
use linegate_diameter::{MESSAGE_LENGTH_MAX, Message, tree};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Octets taken from a socket at once.
const READ_BYTES: usize = 16 << 10;

/// How long a write may take before the other side is said to take nothing.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// What came in on one of the connections.
pub(super) struct Incoming {
    pub(super) link: usize,
    pub(super) what: Arrival,
}

pub(super) enum Arrival {
    Message(Message),
    /// Octets that are no message, as text.
    Undecodable(String),
    /// The other side closed, or the connection broke.
    Closed,
}

/// A connection.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) local: IpAddr,
    writer: Option<OwnedWriteHalf>,
    reader: JoinHandle<()>,
    reading: watch::Sender<bool>,
    /// Closed, by either side.
    pub(super) closed: bool,
}

impl Link {
    /// Starts to read `stream`; what comes goes to `to`.
    pub(super) fn start(name: String, index: usize, stream: TcpStream, to: mpsc::Sender<Incoming>) -> Self {
        let _nodelay = stream.set_nodelay(true);
        let local = stream.local_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip());
        let (half, writer) = stream.into_split();
        let (reading, may_read) = watch::channel(true);
        let reader = tokio::spawn(read(half, index, to, may_read));
        Self { name, local, writer: Some(writer), reader, reading, closed: false }
    }

    /// Writes octets as they are.
    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), String> {
        let Some(writer) = self.writer.as_mut() else {
            return Err("the connection is closed".into());
        };
        match timeout(WRITE_PATIENCE, writer.write_all(octets)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the connection is broken: {error}")),
            Err(_) => Err(format!("the other side took nothing for {WRITE_PATIENCE:?}")),
        }
    }

    /// Takes from the socket, or leaves what comes to the kernel.
    pub(super) fn set_reading(&self, reading: bool) {
        self.reading.send_replace(reading);
    }

    /// Closes without a word.
    pub(super) fn drop_it(&mut self) {
        self.reader.abort();
        self.writer = None;
        self.closed = true;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut half: OwnedReadHalf, link: usize, to: mpsc::Sender<Incoming>, mut may_read: watch::Receiver<bool>) {
    let mut input = BytesMut::new();
    loop {
        while let Some(what) = cut(&mut input) {
            if to.send(Incoming { link, what }).await.is_err() {
                return;
            }
        }
        if may_read.wait_for(|reading| *reading).await.is_err() {
            return;
        }
        input.reserve(READ_BYTES);
        if !matches!(half.read_buf(&mut input).await, Ok(1..)) {
            let _gone = to.send(Incoming { link, what: Arrival::Closed }).await;
            return;
        }
    }
}

/// The next message of the input; where the stream cannot be cut any
/// further, all of it as text.
fn cut(input: &mut BytesMut) -> Option<Arrival> {
    let length = match frame_length(input, MESSAGE_LENGTH_MAX) {
        Ok(length) => length?,
        Err(_) => input.len(),
    };
    let frame = input.split_to(length).freeze();
    Some(match Message::decode(frame.clone()) {
        Ok(message) => Arrival::Message(message),
        Err(error) => Arrival::Undecodable(undecodable(&frame, &error)),
    })
}

fn undecodable(octets: &Bytes, error: &DecodeError) -> String {
    let mut text = String::new();
    match tree::write_front(octets, Dictionary::standard(), &mut text) {
        Ok(_) => text,
        Err(_) => error.to_string(),
    }
}
