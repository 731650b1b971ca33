//! Sends one request and reads the whole answer, without a runtime: for setting up servers, not for testing clients.

use std::io::{self, Read, Write};
use std::time::Duration;

use serde_json::Value;

/// No server of ours takes that long, unless a test has stopped it.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What a server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as JSON; `null` without a body, and a string where it isn't JSON.
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(_) if self.body.is_empty() => Value::Null,
            Err(_) => Value::String(self.text()),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request in HTTP/1.0: then the answer ends where the connection ends, and comes in one piece.
pub(crate) fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let mut request = format!("{method} {path} HTTP/1.0\r\ncontent-length: {}\r\n", body.len());
    if headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        request.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(&[request.as_bytes(), body].concat())?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parsed(&answer).ok_or_else(|| io::Error::other(format!("not HTTP: {}", String::from_utf8_lossy(&answer))))
}

fn parsed(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Response { status, head, body: answer[end + 4..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = parsed(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n{\"errors\": []}").unwrap();
        assert_eq!((answer.status, answer.json()), (404, serde_json::json!({"errors": []})));
        assert_eq!(answer.head, "HTTP/1.1 404 Not Found\r\nA: b");
        assert_eq!(parsed(b"HTTP/1.0 204 No Content\r\n\r\n").unwrap().json(), Value::Null);
        assert_eq!(parsed(b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>").unwrap().json(), "<html>");
        for torn in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 yes\r\n\r\n"] {
            assert_eq!(parsed(torn), None);
        }
    }
}
