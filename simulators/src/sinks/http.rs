//! An HTTP server that takes anything on any path: the SMS gateway, a webhook
//! listener.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{KEPT_MAX, reaches};

/// Largest body that is taken, in bytes.
const BODY_BYTES_MAX: usize = 4 << 20;

/// What goes wrong with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpFault {
    /// Nothing.
    #[default]
    None,
    /// Refused with this status; kept all the same, marked.
    Status(u16),
    /// The next so many are refused with 503, then all is well.
    FailNext(u32),
    /// Taken, and answered only after this time.
    Hang(Duration),
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Method.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Status that it was answered with.
    pub status: u16,
}

impl HttpRequest {
    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, where it is.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// A running HTTP sink. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct HttpSink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    kept: Mutex<Kept>,
    count: watch::Sender<usize>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<HttpRequest>,
    fault: HttpFault,
}

impl HttpSink {
    /// Listens on `address`; port 0 takes any.
    pub async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let shared = Arc::new(Shared {
            address: listener.local_addr().context("read address")?,
            kept: Mutex::new(Kept::default()),
            count: watch::Sender::new(0),
            stop: CancellationToken::new(),
        });
        let app = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let stop = shared.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                outcome = axum::serve(listener, app) => {
                    if let Err(error) = outcome {
                        tracing::warn!("HTTP sink ended: {error}");
                    }
                }
                () = stop.cancelled() => {}
            }
        });
        Ok(Self { shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Its address as a URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Sets what goes wrong.
    pub fn set_fault(&self, fault: HttpFault) {
        self.shared.kept().fault = fault;
    }

    /// Everything that came, oldest first, refused ones too.
    pub fn received(&self) -> Vec<HttpRequest> {
        self.shared.kept().requests.iter().cloned().collect()
    }

    /// What came and was answered with success.
    pub fn accepted(&self) -> Vec<HttpRequest> {
        self.received().into_iter().filter(|request| (200..300).contains(&request.status)).collect()
    }

    /// Waits until so many came in all; false when the time ran out.
    pub async fn received_within(&self, count: usize, wait: Duration) -> bool {
        reaches(&self.shared.count, count, wait).await
    }

    /// Ends the server.
    pub fn shutdown(&self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> StatusCode {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    let (status, pause) = shared.judge();
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let request = HttpRequest {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: body.to_vec(),
        status: status.as_u16(),
    };
    {
        let mut kept = shared.kept();
        if kept.requests.len() >= KEPT_MAX {
            kept.requests.pop_front();
        }
        kept.requests.push_back(request);
    }
    shared.count.send_modify(|count| *count += 1);
    tokio::time::sleep(pause).await;
    status
}

impl Shared {
    fn judge(&self) -> (StatusCode, Duration) {
        let mut kept = self.kept();
        match kept.fault {
            HttpFault::None => (StatusCode::OK, Duration::ZERO),
            HttpFault::Status(code) => {
                (StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Duration::ZERO)
            }
            HttpFault::FailNext(0) => {
                kept.fault = HttpFault::None;
                (StatusCode::OK, Duration::ZERO)
            }
            HttpFault::FailNext(left) => {
                kept.fault = HttpFault::FailNext(left - 1);
                (StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO)
            }
            HttpFault::Hang(pause) => (StatusCode::OK, pause),
        }
    }
}
