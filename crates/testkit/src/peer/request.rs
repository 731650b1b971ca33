//! Reads one HTTP/1.1 request.

use std::io::{self, BufRead, Read};

use serde_json::Value;

/// What a client has asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In capitals: `GET`.
    pub method: String,
    /// As it was sent, with its query: `/v1/secret/data/db?version=2`.
    pub path_and_query: String,
    /// As they were sent, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, if there was one.
    pub body: Vec<u8>,
    /// Whether another request may follow.
    pub(super) keep_alive: bool,
}

impl Request {
    /// The path without its query.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// What comes after the `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query.split_once('?').map(|(_, query)| query)
    }

    /// The first header of that name, in whichever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Panics where it isn't.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The next request of a connection; `None` where the client has closed it.
    pub(super) fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = line(stream)? else { return Ok(None) };
        let mut words = start.split(' ');
        let (Some(method), Some(path), Some(version @ ("HTTP/1.1" | "HTTP/1.0"))) =
            (words.next(), words.next(), words.next())
        else {
            return Err(io::Error::other(format!("not a request: {start}")));
        };
        let mut request = Self {
            method: method.to_owned(),
            path_and_query: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            keep_alive: false,
        };
        while let Some(header) = line(stream)?.filter(|line| !line.is_empty()) {
            let (name, value) = header.split_once(':').unwrap_or((&header, ""));
            request.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let closes = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        request.keep_alive = version == "HTTP/1.1" && !closes;
        request.body = request.read_body(stream)?;
        Ok(Some(request))
    }

    fn read_body(&self, stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding").is_none() {
            let length = self.header("content-length").unwrap_or("0");
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            stream.read_exact(&mut body)?;
            return Ok(body);
        }
        loop {
            let size = line(stream)?.unwrap_or_default();
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16);
            let size = size.map_err(io::Error::other)?;
            let read = stream.by_ref().take(size as u64).read_to_end(&mut body)?;
            // The end of the chunk; after the last one, of trailers that nobody sends.
            if line(stream)?.is_none() || read < size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

/// A line without its end; `None` at the end of the connection.
fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(mut bytes: &[u8]) -> io::Result<Option<Request>> {
        Request::read(&mut bytes)
    }

    #[test]
    fn a_request_is_taken_apart() {
        let request = read(
            b"PUT /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-Token:  t \r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}more",
        );
        let request = request.unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path(), request.query()), ("PUT", "/a/b", Some("c=d")));
        assert_eq!((request.header("x-token"), request.header("y")), (Some("t"), None));
        assert_eq!((request.json(), request.keep_alive), (json!({"a": "b"}), true));
        for last in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nConnection: Close\r\n\r\n"] {
            assert!(!read(last.as_bytes()).unwrap().unwrap().keep_alive);
        }
    }

    #[test]
    fn a_body_in_chunks_is_put_together() {
        let request = read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n");
        assert_eq!(request.unwrap().unwrap().text(), "abc0123456789");
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        assert_eq!(read(b"").unwrap(), None);
        for wrong in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab",
            b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
            b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
        ] {
            assert!(read(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
