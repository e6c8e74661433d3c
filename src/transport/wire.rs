//! A TCP stream, plain or in TLS, read and written when it is ready.
//!
//! TLS is driven by hand (rustls is a machine without I/O itself), so that both
//! kinds share one loop: wait for readiness, then try.

use std::io::{self, Read, Write};

use bytes::BytesMut;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Plaintext of one connection that TLS may hold before it is sent, bytes.
const TLS_BUFFER_BYTES: usize = 64 << 10;
/// Bytes read at once. The buffer lives only while something is in it, so an
/// idle connection costs none.
const READ_BYTES: usize = 16 << 10;

/// One connection's stream.
pub struct Wire {
    stream: TcpStream,
    tls: Option<Box<rustls::Connection>>,
    /// Decrypted and not taken yet, bytes: what came behind the handshake.
    plaintext: usize,
}

/// What a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes more.
    Bytes(usize),
    /// Nothing at this moment.
    Nothing,
    /// The peer has closed its side.
    End,
}

/// Reads and writes a stream without waiting.
struct Ready<'a>(&'a TcpStream);

impl Read for Ready<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Ready<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.try_write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire {
    /// Without TLS.
    pub const fn plain(stream: TcpStream) -> Self {
        Self { stream, tls: None, plaintext: 0 }
    }

    /// The server's side of TLS; [`Wire::handshake`] comes next.
    pub fn tls_server(stream: TcpStream, config: std::sync::Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let tls = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self::tls(stream, tls.into()))
    }

    /// The client's side of TLS towards a server of this name; [`Wire::handshake`] comes next.
    pub fn tls_client(
        stream: TcpStream,
        config: std::sync::Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let tls = rustls::ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self::tls(stream, tls.into()))
    }

    fn tls(stream: TcpStream, mut tls: rustls::Connection) -> Self {
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        Self { stream, tls: Some(Box::new(tls)), plaintext: 0 }
    }

    /// The TCP stream below.
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// True where the connection is encrypted.
    pub const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The certificate that the peer has shown.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.as_ref()?.peer_certificates()?.first()
    }

    /// Brings TLS up; does nothing without it. The caller sets the time limit.
    ///
    /// # Errors
    /// What rustls says of the peer, as `InvalidData`, or what the socket says.
    pub async fn handshake(&mut self) -> io::Result<()> {
        loop {
            while self.wants_write() {
                if !self.flush()? {
                    self.stream.writable().await?;
                }
            }
            let Some(tls) = &mut self.tls else { return Ok(()) };
            if !tls.is_handshaking() {
                return Ok(());
            }
            self.stream.readable().await?;
            match tls.read_tls(&mut Ready(&self.stream)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.process()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until there is something to read.
    pub async fn readable(&self) -> io::Result<()> {
        if self.plaintext > 0 { Ok(()) } else { self.stream.readable().await }
    }

    /// Reads what is there into `into`, at most about [`READ_BYTES`] at once.
    pub fn try_read(&mut self, into: &mut BytesMut) -> io::Result<Received> {
        into.reserve(READ_BYTES);
        let Some(tls) = &mut self.tls else {
            return match self.stream.try_read_buf(into) {
                Ok(0) => Ok(Received::End),
                Ok(bytes) => Ok(Received::Bytes(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
                Err(error) => Err(error),
            };
        };
        if self.plaintext > 0 {
            return self.take_plaintext(into);
        }
        match tls.read_tls(&mut Ready(&self.stream)) {
            Ok(0) => return Ok(Received::End),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(error) => return Err(error),
        }
        self.process()?;
        self.take_plaintext(into)
    }

    fn take_plaintext(&mut self, into: &mut BytesMut) -> io::Result<Received> {
        let Some(tls) = &mut self.tls else { return Ok(Received::Nothing) };
        self.plaintext = 0;
        let before = into.len();
        loop {
            let start = into.len();
            into.resize(start + 4096, 0);
            let read = tls.reader().read(&mut into[start..]);
            into.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                // close_notify: the peer has said that this is all
                Ok(0) if into.len() == before => return Ok(Received::End),
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(if into.len() > before { Received::Bytes(into.len() - before) } else { Received::Nothing })
    }

    /// Decrypts what has come, and sends what TLS answers of itself.
    fn process(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let processed = tls.process_new_packets();
        // an alert that says why goes out, where it can
        let flushed = self.flush();
        let state = processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.plaintext = state.plaintext_bytes_to_read();
        flushed.map(drop)
    }

    /// Writes what the socket takes at this moment; `WouldBlock` where it is nothing.
    pub fn try_write(&mut self, from: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.try_write(from) };
        let taken = tls.writer().write(from)?;
        self.flush()?;
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// True where encrypted bytes wait for the socket.
    pub fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends encrypted bytes that wait; true where none are left.
    pub fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut Ready(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says that nothing more comes, and reads until the peer says so too: a socket
    /// that is closed with something unread is reset, and the reset destroys what
    /// the peer has not read yet (RFC 1122 section 4.2.2.13, RFC 2525 section 2.17).
    /// The caller sets the time limit.
    pub async fn finish(&mut self) {
        self.say_goodbye();
        if self.stream.shutdown().await.is_err() {
            return;
        }
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut [0; 4096]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Says that nothing more comes (TLS close_notify); the socket closes when dropped.
    pub fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _gone = self.flush();
        }
    }
}
