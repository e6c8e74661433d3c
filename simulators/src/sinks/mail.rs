//! A mail server for tests: takes what RFC 5321 calls a minimal implementation
//! (section 4.5.1), without TLS and without authentication.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::mime::Mail;
use super::{KEPT_MAX, reaches};

/// Largest message that is taken, in bytes.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Longest command line, in bytes.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Recipients of one message, at most.
const RECIPIENTS_MAX: usize = 100;

/// What goes wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailFault {
    /// Nothing.
    #[default]
    None,
    /// Every message is put off with 451.
    Temporary,
    /// The next so many messages are put off with 451, then all is well.
    TemporaryNext(u32),
    /// Every recipient is refused with 550.
    Permanent,
    /// The message is kept and the connection cut before the reply: the sender
    /// cannot know.
    ReplyLost,
}

/// A running mail server. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct MailSink {
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
    messages: VecDeque<Mail>,
    fault: MailFault,
    put_off: u64,
}

impl MailSink {
    /// Listens on `address`; port 0 takes any.
    pub async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let shared = Arc::new(Shared {
            address: listener.local_addr().context("read address")?,
            kept: Mutex::new(Kept::default()),
            count: watch::Sender::new(0),
            stop: CancellationToken::new(),
        });
        tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Sets what goes wrong.
    pub fn set_fault(&self, fault: MailFault) {
        self.shared.kept().fault = fault;
    }

    /// Messages accepted, oldest first.
    pub fn messages(&self) -> Vec<Mail> {
        self.shared.kept().messages.iter().cloned().collect()
    }

    /// Messages put off or refused.
    pub fn put_off(&self) -> u64 {
        self.shared.kept().put_off
    }

    /// Waits until so many were accepted in all; false when the time ran out.
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

    /// What becomes of a whole message: the reply, or none.
    fn judge(&self, mail: Mail) -> Option<&'static str> {
        let mut kept = self.kept();
        let put_off = match kept.fault {
            MailFault::Temporary => true,
            MailFault::TemporaryNext(0) => {
                kept.fault = MailFault::None;
                false
            }
            MailFault::TemporaryNext(left) => {
                kept.fault = MailFault::TemporaryNext(left - 1);
                true
            }
            _ => false,
        };
        if put_off {
            kept.put_off += 1;
            return Some("451 4.3.0 try again later");
        }
        if kept.messages.len() >= KEPT_MAX {
            kept.messages.pop_front();
        }
        kept.messages.push_back(mail);
        let lost = kept.fault == MailFault::ReplyLost;
        drop(kept);
        self.count.send_modify(|count| *count += 1);
        (!lost).then_some("250 2.0.0 kept")
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                outcome = converse(stream, &shared) => {
                    if let Err(error) = outcome {
                        tracing::debug!("mail connection ended: {error:#}");
                    }
                }
                () = shared.stop.cancelled() => {}
            }
        });
    }
}

/// One connection, from greeting to QUIT.
async fn converse(stream: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    say(&mut stream, "220 mail.example ESMTP").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    while let Some(line) = line(&mut stream).await? {
        let upper = line.to_ascii_uppercase();
        let reply = match upper.get(..4).unwrap_or(&upper) {
            "EHLO" => "250-mail.example\r\n250-8BITMIME\r\n250 SMTPUTF8",
            "HELO" | "NOOP" => "250 OK",
            "MAIL" => {
                from = address_in(&line);
                to.clear();
                "250 2.1.0 OK"
            }
            "RCPT" if shared.kept().fault == MailFault::Permanent => {
                shared.kept().put_off += 1;
                "550 5.1.1 no such mailbox"
            }
            "RCPT" if to.len() >= RECIPIENTS_MAX => "452 4.5.3 too many recipients",
            "RCPT" => {
                to.push(address_in(&line));
                "250 2.1.5 OK"
            }
            "DATA" if to.is_empty() => "503 5.5.1 RCPT first",
            "DATA" => {
                say(&mut stream, "354 go on").await?;
                let raw = data(&mut stream).await?;
                let mail = Mail { from: std::mem::take(&mut from), to: std::mem::take(&mut to), raw };
                match shared.judge(mail) {
                    Some(reply) => reply,
                    None => return Ok(()),
                }
            }
            "RSET" => {
                to.clear();
                "250 OK"
            }
            "QUIT" => {
                say(&mut stream, "221 2.0.0 bye").await?;
                return Ok(());
            }
            _ => "500 5.5.2 not known",
        };
        say(&mut stream, reply).await?;
    }
    Ok(())
}

async fn say(stream: &mut BufReader<TcpStream>, reply: &str) -> anyhow::Result<()> {
    stream.get_mut().write_all(format!("{reply}\r\n").as_bytes()).await.context("write reply")
}

async fn line(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<String>> {
    let raw = raw_line(stream, LINE_BYTES_MAX).await?;
    Ok(raw.map(|raw| String::from_utf8_lossy(&raw).trim_end().to_owned()))
}

/// A line with its end, of at most `max` bytes; `None` at the end of the stream.
async fn raw_line(stream: &mut BufReader<TcpStream>, max: usize) -> anyhow::Result<Option<Vec<u8>>> {
    let mut raw = Vec::new();
    loop {
        let available = stream.fill_buf().await.context("read")?;
        if available.is_empty() {
            return Ok((!raw.is_empty()).then_some(raw));
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |at| at + 1);
        raw.extend_from_slice(&available[..taken]);
        stream.consume(taken);
        if end.is_some() {
            return Ok(Some(raw));
        }
        if raw.len() > max {
            bail!("line of over {max} bytes");
        }
    }
}

/// The message up to the lone dot, its dots unstuffed (RFC 5321 section 4.5.2).
async fn data(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let line = raw_line(stream, MESSAGE_BYTES_MAX).await?.context("connection ended inside a message")?;
        if line == b".\r\n" || line == b".\n" {
            return Ok(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        if message.len() > MESSAGE_BYTES_MAX {
            bail!("message of over {MESSAGE_BYTES_MAX} bytes");
        }
    }
}

/// What stands between the angle brackets of MAIL and RCPT.
fn address_in(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(String::new, |(address, _)| address.to_owned())
}
