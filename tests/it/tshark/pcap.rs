//! Capture files of TCP conversations: Ethernet, IPv4, TCP with sequence
//! numbers and checksums that are right.

use std::fs;
use std::path::Path;

/// The port that Diameter is known by.
pub const DIAMETER: u16 = 3868;

/// The most that one packet here carries.
const SEGMENT_MAX: usize = 32_000;

/// A capture that grows by what either side of a conversation sends.
pub struct Pcap {
    file: Vec<u8>,
    packets: u32,
}

/// One TCP conversation of a capture: a client and the node on port 3868.
pub struct Conversation {
    client_port: u16,
    /// Octets sent so far, by the client and by the node.
    sent: [u32; 2],
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The client.
    Client = 0,
    /// The node.
    Node = 1,
}

impl Conversation {
    /// Between a client's port and port 3868.
    pub const fn new(client_port: u16) -> Self {
        Self { client_port, sent: [0, 0] }
    }
}

impl Pcap {
    /// Empty.
    pub fn new() -> Self {
        let mut file = Vec::new();
        // magic, version 2.4, no zone, no accuracy, longest packet, Ethernet
        for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65_535, 1] {
            file.extend_from_slice(&word.to_be_bytes());
        }
        Self { file, packets: 0 }
    }

    /// Appends what one side sends.
    pub fn add(&mut self, conversation: &mut Conversation, sender: Sender, octets: &[u8]) {
        for piece in octets.chunks(SEGMENT_MAX) {
            let packet = packet(conversation, sender, piece);
            conversation.sent[sender as usize] = conversation.sent[sender as usize].wrapping_add(piece.len() as u32);
            self.packets += 1;
            // a millisecond apart
            let head = [
                1_790_000_000 + self.packets / 1000,
                self.packets % 1000 * 1000,
                packet.len() as u32,
                packet.len() as u32,
            ];
            head.iter().for_each(|word| self.file.extend_from_slice(&word.to_be_bytes()));
            self.file.extend_from_slice(&packet);
        }
    }

    /// Writes the file.
    pub fn save(&self, file: &Path) {
        fs::write(file, &self.file).unwrap();
    }
}

fn packet(conversation: &Conversation, sender: Sender, payload: &[u8]) -> Vec<u8> {
    let addresses = [[127, 0, 0, 2], [127, 0, 0, 1]];
    let ports = [conversation.client_port, DIAMETER];
    let (me, other) = (sender as usize, 1 - sender as usize);
    let mut tcp = Vec::with_capacity(20 + payload.len());
    tcp.extend_from_slice(&ports[me].to_be_bytes());
    tcp.extend_from_slice(&ports[other].to_be_bytes());
    tcp.extend_from_slice(&conversation.sent[me].wrapping_add(1).to_be_bytes());
    tcp.extend_from_slice(&conversation.sent[other].wrapping_add(1).to_be_bytes());
    // 20 octets of header, PSH and ACK, window, checksum, no urgent data
    tcp.extend_from_slice(&[0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend_from_slice(payload);
    let mut pseudo = Vec::with_capacity(12 + tcp.len());
    pseudo.extend_from_slice(&addresses[me]);
    pseudo.extend_from_slice(&addresses[other]);
    pseudo.extend_from_slice(&[0, 6]);
    pseudo.extend_from_slice(&(tcp.len() as u16).to_be_bytes());
    pseudo.extend_from_slice(&tcp);
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());

    let mut ip = vec![0x45, 0];
    ip.extend_from_slice(&(20 + tcp.len() as u16).to_be_bytes());
    // no fragments, time to live 64, TCP
    ip.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
    ip.extend_from_slice(&addresses[me]);
    ip.extend_from_slice(&addresses[other]);
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());

    let mut packet = vec![2, 0, 0, 0, 0, other as u8 + 1, 2, 0, 0, 0, 0, me as u8 + 1, 8, 0];
    packet.extend_from_slice(&ip);
    packet.extend_from_slice(&tcp);
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
