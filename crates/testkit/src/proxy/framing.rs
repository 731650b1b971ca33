//! Tells heads from bodies in what one side of an HTTP/1.1 connection sends.

/// Longer heads are none: then everything that follows is taken for a body.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How far one side has come.
#[derive(Debug)]
pub(super) enum Framing {
    /// In a head, of which there is so much.
    Head(Vec<u8>),
    /// In a body, of which so many bytes are to come.
    Body(u64),
    /// In what ends with the connection.
    Rest,
}

impl Default for Framing {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Framing {
    /// Takes the next bytes; calls `on_head` with the first line of each head, and `on_body` with pieces of bodies.
    pub(super) fn feed(
        &mut self,
        mut bytes: &mut [u8],
        mut on_head: impl FnMut(&str),
        mut on_body: impl FnMut(&mut [u8]),
    ) {
        while !bytes.is_empty() {
            match self {
                Self::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    let end = head.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4);
                    // TLS begins with this byte.
                    if head.first() == Some(&0x16) || (end.is_none() && head.len() > HEAD_BYTES_MAX) {
                        *self = Self::Rest;
                        continue;
                    }
                    let Some(end) = end else { return };
                    let text = String::from_utf8_lossy(&head[..end]).into_owned();
                    on_head(text.lines().next().unwrap_or_default());
                    *self = after(&text);
                    bytes = &mut bytes[end - before..];
                }
                Self::Body(0) => *self = Self::default(),
                Self::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (body, more) = bytes.split_at_mut(here);
                    on_body(body);
                    *left -= here as u64;
                    bytes = more;
                }
                Self::Rest => return on_body(bytes),
            }
        }
    }
}

/// What follows a head: for a request without a length nothing, for an answer without one everything.
fn after(head: &str) -> Framing {
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let header = |wanted: &str| {
        let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    match (status, header("content-length").and_then(|length| length.parse().ok())) {
        (Some("204" | "304"), _) => Framing::Body(0),
        (Some(status), _) if status.starts_with('1') => Framing::Body(0),
        _ if header("transfer-encoding").is_some() => Framing::Rest,
        (_, Some(length)) => Framing::Body(length),
        (Some(_), None) => Framing::Rest,
        (None, None) => Framing::Body(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The heads, and the bodies one after the other, of what is sent in pieces of `size` bytes.
    fn taken_apart(sent: &[u8], size: usize) -> (Vec<String>, Vec<u8>) {
        let (mut framing, mut heads, mut bodies) = (Framing::default(), Vec::new(), Vec::new());
        for piece in sent.to_vec().chunks_mut(size) {
            framing.feed(piece, |head| heads.push(head.to_owned()), |body| bodies.extend_from_slice(body));
        }
        (heads, bodies)
    }

    #[test]
    fn heads_are_told_from_bodies_wherever_the_pieces_end() {
        for (sent, heads, bodies) in [
            (
                &b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET GET /b?c HTTP/1.1\r\nA: b\r\n\r\n"[..],
                &["POST /a HTTP/1.1", "GET /b?c HTTP/1.1"][..],
                &b"GET "[..],
            ),
            (
                b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\nall",
                &["HTTP/1.1 204 No Content", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK"],
                b"hiall",
            ),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", &["HTTP/1.1 200 OK"], b"0\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nhost: x\r\n", &[], b""),
            (b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n", &[], b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n"),
        ] {
            for size in [1, 2, 7, sent.len()] {
                let (seen_heads, seen_bodies) = taken_apart(sent, size);
                assert_eq!(seen_heads, heads, "{size}");
                assert_eq!(seen_bodies, bodies, "{size}");
            }
        }
    }
}
