//! A wire between two real parts that a test can disturb: it delays, holds back
//! (a partition), cuts, half-closes, and loses a reply.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::support::pause;

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// They pass.
    Passes,
    /// They pass so many milliseconds later.
    Delays(u64),
    /// They are kept and delivered when the wire passes again, as TCP does after a partition.
    Holds,
    /// Requests pass, and replies are kept likewise: what was asked is done, and nobody hears of it.
    HoldsReplies,
    /// Connections are closed at once, and those that are open were cut.
    Refuses,
}

/// Listens on an address of its own and carries bytes to a server and back.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    wire: Mutex<Wire>,
    changed: Condvar,
    loses_reply: AtomicBool,
    /// Both ends of each connection: the client's, the server's.
    open: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Proxy {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            wire: Mutex::new(Wire::Passes),
            changed: Condvar::new(),
            loses_reply: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let of_thread = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), state) = (client, Arc::clone(&of_thread)) else { return };
                if *state.wire.lock().unwrap() == Wire::Refuses {
                    continue;
                }
                // Refused where the server is down: the client sees its connection end.
                let Ok(server) = TcpStream::connect(server) else { continue };
                let ends = |(a, b): (&TcpStream, &TcpStream)| (a.try_clone().unwrap(), b.try_clone().unwrap());
                state.open.lock().unwrap().push(ends((&client, &server)));
                let (up, down) = (ends((&client, &server)), ends((&server, &client)));
                let other = Arc::clone(&state);
                std::thread::spawn(move || carry(up.0, up.1, &state, false));
                std::thread::spawn(move || carry(down.0, down.1, &other, true));
            }
        });
        Self { address, state }
    }

    pub(crate) fn set(&self, wire: Wire) {
        *self.state.wire.lock().unwrap() = wire;
        self.state.changed.notify_all();
        if wire == Wire::Refuses {
            self.cut();
        }
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for (client, server) in self.state.open.lock().unwrap().drain(..) {
            let _gone = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    }

    /// The client reads the end of each connection, and the server goes on reading from it.
    pub(crate) fn half_close(&self) {
        for (client, _) in self.state.open.lock().unwrap().iter() {
            let _gone = client.shutdown(Shutdown::Write);
        }
    }

    /// Swallows the next reply and ends its connection.
    pub(crate) fn lose_reply(&self) {
        self.state.loses_reply.store(true, Ordering::SeqCst);
    }

    /// Whether a reply is yet to be lost.
    pub(crate) fn loses_reply(&self) -> bool {
        self.state.loses_reply.load(Ordering::SeqCst)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &State, is_reply: bool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if is_reply && state.loses_reply.swap(false, Ordering::SeqCst) {
            break;
        }
        let mut wire = state.wire.lock().unwrap();
        while *wire == Wire::Holds || *wire == Wire::HoldsReplies && is_reply {
            wire = state.changed.wait_timeout(wire, Duration::from_secs(600)).unwrap().0;
        }
        if let Wire::Delays(millis) = *wire {
            drop(wire);
            pause(millis);
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
