//! Two TCP relays that hold both sides' first bytes until both sides have
//! connected: the only way to make an election certain.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

/// One relay; connections after the first pass freely.
pub struct Relay {
    /// Where to dial.
    pub address: SocketAddr,
    live: Arc<AtomicUsize>,
}

impl Relay {
    /// Connections through it that both ends still hold.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }
}

/// Relays to `left` and to `right`: the first message through each is passed
/// on once there is one in both.
pub fn pair(left: SocketAddr, right: SocketAddr) -> (Relay, Relay) {
    let meeting = Arc::new(Barrier::new(2));
    (relay(left, Arc::clone(&meeting)), relay(right, meeting))
}

fn relay(to: SocketAddr, meeting: Arc<Barrier>) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let live = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&live);
    thread::spawn(move || {
        for (at, accepted) in listener.incoming().enumerate() {
            let (meeting, counted) = (Arc::clone(&meeting), Arc::clone(&counted));
            thread::spawn(move || {
                let Ok(mut from) = accepted else { return };
                let mut first = vec![0; 4096];
                let Ok(read) = from.read(&mut first) else { return };
                if read == 0 {
                    return;
                }
                if at == 0 {
                    meeting.wait();
                }
                let Ok(mut onward) = TcpStream::connect(to) else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                if onward.write_all(&first[..read]).is_ok() {
                    pass_both_ways(&from, &onward);
                }
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    Relay { address, live }
}

/// Until either side closes; then both are closed.
fn pass_both_ways(one: &TcpStream, other: &TcpStream) {
    thread::scope(|scope| {
        scope.spawn(|| pass(one, other));
        pass(other, one);
    });
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _closed = from.shutdown(std::net::Shutdown::Both);
    let _closed = to.shutdown(std::net::Shutdown::Both);
}
