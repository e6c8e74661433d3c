//! A Diameter peer that says what it likes, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use linegate_diameter::apps::base::{Application, Capabilities};
use linegate_diameter::codec::frame_length;
use linegate_diameter::dictionary::application;
use linegate_diameter::{Header, MESSAGE_LENGTH_MAX, Message};

/// One connection.
pub struct RawPeer {
    pub stream: TcpStream,
    input: BytesMut,
}

/// What a peer of credit control says of itself.
pub fn capabilities(host: &str) -> Capabilities {
    Capabilities {
        origin_host: host.into(),
        origin_realm: "example.net".into(),
        host_ip_addresses: vec!["127.0.0.1".parse().unwrap()],
        vendor_id: 0,
        product_name: "raw".into(),
        origin_state_id: None,
        supported_vendors: vec![],
        applications: vec![Application::auth(application::CREDIT_CONTROL)],
        inband_security: vec![],
        firmware_revision: None,
    }
}

impl RawPeer {
    /// The socket alone.
    pub fn dial(gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, input: BytesMut::new() }
    }

    /// Says who it is; gives the CEA, `None` where the gateway hangs up instead.
    pub fn introduce(&mut self, me: &Capabilities) -> Option<Message> {
        let mut out = BytesMut::new();
        me.encode_request(&Header { hop_by_hop: 1, end_to_end: 1, ..Capabilities::header() }, &mut out);
        self.stream.write_all(&out).unwrap();
        self.read()
    }

    /// Sends bytes and waits for a message.
    pub fn ask(&mut self, bytes: &[u8]) -> Message {
        self.stream.write_all(bytes).unwrap();
        self.read().expect("the gateway hung up")
    }

    /// The next message; `None` at the end of the stream.
    pub fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(length) = frame_length(&self.input, MESSAGE_LENGTH_MAX).unwrap() {
                return Some(Message::decode(self.input.split_to(length).freeze()).unwrap());
            }
            let mut buffer = [0u8; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("read from the gateway: {error}"),
            }
        }
    }
}
