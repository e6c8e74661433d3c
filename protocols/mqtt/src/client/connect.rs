//! CONNECT, as the client says it.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Client, message_parts, put_bytes, put_text};
use crate::Version;
use crate::codec::{packet_type, property, publish};
use crate::session::{MessageProperties, UserProperty, Will};

/// What a CONNECT says.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Client identifier; may be empty.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Bytes>,
    /// Clean Start, or Clean Session in 3.1.1.
    pub clean_start: bool,
    /// Keep alive in seconds, 0 for none.
    pub keep_alive_secs: u16,
    /// Session Expiry Interval in seconds, said in version 5 when not 0.
    pub session_expiry_secs: u32,
    /// Receive Maximum, said in version 5.
    pub receive_max: Option<u16>,
    /// Maximum Packet Size in bytes, said in version 5.
    pub packet_bytes_max: Option<u32>,
    /// Request Problem Information, said in version 5 when it is false: then the
    /// server sends no Reason Strings.
    pub wants_problems: bool,
    /// Request Response Information, said in version 5 when it is true.
    pub wants_response_info: bool,
    /// User properties, said in version 5.
    pub user_properties: Vec<UserProperty>,
    /// The will.
    pub will: Option<Will>,
}

impl ConnectOptions {
    /// A clean session with a keep alive of 60 s and nothing else.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            username: None,
            password: None,
            clean_start: true,
            keep_alive_secs: 60,
            session_expiry_secs: 0,
            receive_max: None,
            packet_bytes_max: None,
            wants_problems: true,
            wants_response_info: false,
            user_properties: Vec::new(),
            will: None,
        }
    }
}

impl Client {
    /// Sends CONNECT (section 3.1).
    pub fn connect(&mut self, options: &ConnectOptions) {
        let v5 = self.version == Version::V5;
        let mut body = BytesMut::with_capacity(128);
        put_text(&mut body, "MQTT");
        body.put_u8(if v5 { 5 } else { 4 });
        let will = options.will.as_ref();
        let will_flags = will.map_or(0, |will| 0b100 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
        body.put_u8(
            u8::from(options.clean_start) << 1
                | will_flags
                | u8::from(options.password.is_some()) << 6
                | u8::from(options.username.is_some()) << 7,
        );
        body.put_u16(options.keep_alive_secs);
        if v5 {
            let properties = connect_properties(options);
            publish::put_varint(&mut body, properties.len());
            body.put_slice(&properties);
        }
        put_text(&mut body, &options.client_id);
        if let Some(will) = will {
            if v5 {
                let properties = will_properties(will);
                publish::put_varint(&mut body, properties.len());
                body.put_slice(&properties);
            }
            put_text(&mut body, &will.topic);
            put_bytes(&mut body, &will.payload);
        }
        if let Some(name) = &options.username {
            put_text(&mut body, name);
        }
        if let Some(password) = &options.password {
            put_bytes(&mut body, password);
        }
        self.put_packet(packet_type::CONNECT << 4, &body);
    }
}

fn connect_properties(options: &ConnectOptions) -> BytesMut {
    let mut out = BytesMut::new();
    if options.session_expiry_secs > 0 {
        out.put_u8(0x11);
        out.put_u32(options.session_expiry_secs);
    }
    if let Some(max) = options.receive_max {
        out.put_u8(0x21);
        out.put_u16(max);
    }
    if let Some(max) = options.packet_bytes_max {
        out.put_u8(0x27);
        out.put_u32(max);
    }
    if !options.wants_problems {
        out.put_slice(&[0x17, 0]);
    }
    if options.wants_response_info {
        out.put_slice(&[0x19, 1]);
    }
    property::put_user_properties(&options.user_properties, &mut out);
    out
}

fn will_properties(will: &Will) -> BytesMut {
    let mut out = BytesMut::new();
    if will.delay_secs > 0 {
        out.put_u8(0x18);
        out.put_u32(will.delay_secs);
    }
    let none = MessageProperties::default();
    let said = will.properties.as_deref().unwrap_or(&none);
    let response_topic = said.response_topic.as_deref();
    message_parts(will.content_type, said, response_topic.as_slice()).encode(&mut out);
    out
}
