//! The table of open peers: requests of ours go to a peer by its Origin-Host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::BytesMut;
use linegate_diameter::peer::RequestFailure;
use linegate_diameter::{Header, Message};
use tokio::sync::{mpsc, oneshot};

/// Writes a request behind the header that it is given.
pub type Encode = Box<dyn FnOnce(&Header, &mut BytesMut) + Send>;

/// Requests that wait for their connection's task, for one peer.
pub const OUTBOUND_QUEUE: usize = 256;

/// One request of ours on its way to a connection.
pub struct Outbound {
    /// With the end-to-end id set.
    pub header: Header,
    /// The rest.
    pub encode: Encode,
    /// How long to wait for the answer.
    pub timeout: Duration,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Message, RequestFailure>>,
}

/// An open connection.
#[derive(Clone)]
struct Open {
    connection: u64,
    realm: Arc<str>,
    to: mpsc::Sender<Outbound>,
}

/// The open peers, shared by every connection and by activation.
#[derive(Clone, Default)]
pub struct Peers {
    inner: Arc<Inner>,
}

type PeerUp = Box<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct Inner {
    /// By Origin-Host in lower case; the newest connection last.
    open: RwLock<HashMap<String, Vec<Open>>>,
    next_connection: AtomicU64,
    end_to_end: AtomicU32,
    session: AtomicU64,
    on_up: RwLock<Option<PeerUp>>,
}

impl Peers {
    /// An empty table. End-to-end ids start from the time (RFC 6733 section 3).
    pub fn new(unix_seconds: i64, seed: u64) -> Self {
        let peers = Self::default();
        let high = u32::try_from(unix_seconds & 0xfff).unwrap_or(0) << 20;
        let low = u32::try_from(seed & 0xf_ffff).unwrap_or(0);
        peers.inner.end_to_end.store(high | low, Ordering::Relaxed);
        peers.inner.session.store(u64::try_from(unix_seconds).unwrap_or(0) << 32, Ordering::Relaxed);
        peers
    }

    /// Calls `hook` with the Origin-Host of every peer that opens.
    pub fn on_up(&self, hook: impl Fn(&str) + Send + Sync + 'static) {
        *self.inner.on_up.write().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    /// Whether the peer has an open connection.
    pub fn is_open(&self, host: &str) -> bool {
        self.read().contains_key(&host.to_ascii_lowercase())
    }

    /// A new Session-Id of ours (RFC 6733 section 8.8).
    pub fn fresh_session(&self, origin_host: &str) -> String {
        let number = self.inner.session.fetch_add(1, Ordering::Relaxed);
        format!("{origin_host};{};{}", number >> 32, number & 0xffff_ffff)
    }

    /// The realm of an open peer.
    pub fn realm(&self, host: &str) -> Option<Arc<str>> {
        self.read().get(&host.to_ascii_lowercase())?.last().map(|open| Arc::clone(&open.realm))
    }

    /// Sends a request to a peer and waits for its answer.
    pub async fn request(
        &self,
        host: &str,
        header: Header,
        timeout: Duration,
        encode: Encode,
    ) -> Result<Message, RequestFailure> {
        let open = self.read().get(&host.to_ascii_lowercase()).and_then(|all| all.last().cloned());
        let Some(open) = open else { return Err(RequestFailure::NotOpen) };
        let end_to_end = self.inner.end_to_end.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let outbound = Outbound { header: Header { end_to_end, ..header }, encode, timeout, answer };
        match open.to.try_send(outbound) {
            Ok(()) => answered.await.unwrap_or(Err(RequestFailure::Disconnected)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(RequestFailure::TooMany),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(RequestFailure::NotOpen),
        }
    }

    /// Puts a connection that has opened into the table.
    pub(super) fn opened(&self, host: &str, realm: &str, to: mpsc::Sender<Outbound>) -> u64 {
        let connection = self.inner.next_connection.fetch_add(1, Ordering::Relaxed);
        let open = Open { connection, realm: realm.into(), to };
        let mut table = self.inner.open.write().unwrap_or_else(PoisonError::into_inner);
        table.entry(host.to_ascii_lowercase()).or_default().push(open);
        connection
    }

    /// Tells whoever waits for this peer that it is there.
    pub(super) fn announce(&self, host: &str) {
        if let Some(hook) = &*self.inner.on_up.read().unwrap_or_else(PoisonError::into_inner) {
            hook(host);
        }
    }

    /// Takes a connection out of the table.
    pub(super) fn closed(&self, host: &str, connection: u64) {
        let mut table = self.inner.open.write().unwrap_or_else(PoisonError::into_inner);
        let host = host.to_ascii_lowercase();
        if let Some(all) = table.get_mut(&host) {
            all.retain(|open| open.connection != connection);
            if all.is_empty() {
                table.remove(&host);
            }
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Vec<Open>>> {
        self.inner.open.read().unwrap_or_else(PoisonError::into_inner)
    }
}
