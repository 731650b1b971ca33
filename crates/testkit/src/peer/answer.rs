//! What a scripted peer answers, and the ways in which it doesn't.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;

/// One answer, made by [`Answer::new`] and its relatives, and changed by the methods after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ending: Ending,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    KeepAlive,
    Close,
    /// Half of the body is missing.
    Torn,
    /// Nothing is sent.
    Hang,
    /// Nothing is sent.
    Reset,
}

impl Answer {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), ending: Ending::KeepAlive }
    }

    /// A body with its type.
    pub fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new(status).header("content-type", content_type) }
    }

    /// A body in JSON.
    pub fn json(status: u16, body: Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    /// Sends the client elsewhere.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).header("location", location)
    }

    /// The request is taken, and never answered. The connection stays open until the client or the peer closes it.
    pub fn hang() -> Self {
        Self { ending: Ending::Hang, ..Self::new(0) }
    }

    /// The connection is reset instead of an answer.
    pub fn reset() -> Self {
        Self { ending: Ending::Reset, ..Self::new(0) }
    }

    /// Adds a header. The length of the body adds itself.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The connection is closed after this answer.
    pub fn close(self) -> Self {
        Self { ending: Ending::Close, ..self }.header("connection", "close")
    }

    /// The first half of the body is sent, although its whole length is declared; then the connection is closed.
    pub fn torn(self) -> Self {
        Self { ending: Ending::Torn, ..self }
    }

    pub(super) fn ending(&self) -> Ending {
        self.ending
    }

    /// In one piece, so that a client which closes early has had it.
    pub(super) fn write(&self, stream: &mut impl Write, head_only: bool) -> io::Result<()> {
        if matches!(self.ending, Ending::Hang | Ending::Reset) {
            return Ok(());
        }
        let mut answer = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        if self.status != 204 {
            answer.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        answer.push_str("\r\n");
        let sent = match self.ending {
            _ if head_only => 0,
            Ending::Torn => self.body.len() / 2,
            _ => self.body.len(),
        };
        stream.write_all(&[answer.as_bytes(), &self.body[..sent]].concat())?;
        stream.flush()
    }
}

/// Until the client has closed the connection.
pub(super) fn wait_for_the_end(stream: &mut impl Read) {
    let _ = io::copy(stream, &mut io::sink());
}

/// The last one to close this connection sends a reset.
pub(super) fn reset_on_close(stream: &TcpStream) {
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}

/// For people who look at the bytes; clients go by the number.
fn reason(status: u16) -> &'static str {
    match status {
        200..=299 => "OK",
        300..=399 => "Redirect",
        400..=499 => "Client Error",
        _ => "Server Error",
    }
}
