//! An HTTP/1.1 client that sends exactly the given bytes, in the given pieces.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

/// How long a response may take: a module that is compiled or reloaded on a busy machine takes seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between the pieces of a body, so that they arrive as such.
const PAUSE: Duration = Duration::from_millis(15);

/// A response.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case, values lossily as text, in order.
    pub headers: Vec<(String, String)>,
    /// The body, decoded if it was chunked.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub complete: bool,
}

impl Response {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, lossily.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// At once, with `content-length`.
    One,
    /// In pieces of this many bytes, with `content-length`.
    Of(usize),
    /// In HTTP chunks of this many bytes each, without `content-length`.
    Chunked(usize),
}

/// One request on a connection of its own.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path with the query.
    pub path: &'a str,
    /// Header lines, bytes as they are to be sent; `host`, `connection` and the body's framing are added.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The body; without one there is no framing either.
    pub body: Option<&'a [u8]>,
    /// How it is sent.
    pub pieces: Pieces,
}

impl<'a> Request<'a> {
    /// A POST of a JSON body.
    pub fn post(path: &'a str, body: &'a [u8]) -> Request<'a> {
        Request {
            method: "POST",
            path,
            headers: vec![("content-type", b"application/json")],
            body: Some(body),
            pieces: Pieces::One,
        }
    }

    /// A GET.
    pub fn get(path: &'a str) -> Request<'a> {
        Request {
            method: "GET",
            path,
            headers: Vec::new(),
            body: None,
            pieces: Pieces::One,
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a [u8]) -> Request<'a> {
        self.headers.push((name, value));
        self
    }

    /// With the body in such pieces.
    #[must_use]
    pub fn pieces(mut self, pieces: Pieces) -> Request<'a> {
        self.pieces = pieces;
        self
    }

    /// Sends it and reads the response to its end.
    ///
    /// # Errors
    /// If there is no response within the time limit.
    pub fn send(&self, address: SocketAddr) -> io::Result<Response> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(&self.head())?;
        // A server that has heard enough answers and closes: the answer counts, not the failed write.
        let _ = self.write_body(&mut stream);
        read_response(&mut stream)
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n",
            self.method, self.path
        )
        .into_bytes();
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        match (self.body, self.pieces) {
            (None, _) => {}
            (Some(_), Pieces::Chunked(_)) => {
                head.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            (Some(body), _) => {
                head.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
            }
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    fn write_body(&self, stream: &mut TcpStream) -> io::Result<()> {
        let body = self.body.unwrap_or_default();
        match self.pieces {
            Pieces::One => stream.write_all(body),
            Pieces::Of(size) => {
                for piece in body.chunks(size.max(1)) {
                    sleep(PAUSE);
                    stream.write_all(piece)?;
                }
                Ok(())
            }
            Pieces::Chunked(size) => {
                for piece in body.chunks(size.max(1)) {
                    sleep(PAUSE);
                    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                    chunk.extend_from_slice(piece);
                    chunk.extend_from_slice(b"\r\n");
                    stream.write_all(&chunk)?;
                }
                stream.write_all(b"0\r\n\r\n")
            }
        }
    }
}

/// Sends raw bytes and reads what comes until the connection is closed.
///
/// # Errors
/// If it does not connect.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(bytes)?;
    read_response(&mut stream)
}

fn read_response(stream: &mut TcpStream) -> io::Result<Response> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(count) => count,
            // A reset after the response is how some servers close.
            Err(error) if bytes.is_empty() => return Err(error),
            Err(_) => 0,
        };
        bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if count == 0 {
            let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "no whole response head");
            return parse(&bytes).ok_or_else(broken);
        }
        // Envoy's admin keeps connections open for a while whatever it is asked.
        if let Some(response) = parse(&bytes)
            && response.complete
            && response.header("content-length").is_some()
        {
            return Ok(response);
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    let body = bytes.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if status == 100 {
        return parse(body);
    }
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response {
        status,
        headers,
        ..Response::default()
    };
    if response.header("transfer-encoding") == Some("chunked") {
        (response.body, response.complete) = unchunk(body);
    } else {
        let length = response
            .header("content-length")
            .and_then(|l| l.parse().ok());
        response.complete = length.is_none_or(|length: usize| length == body.len());
        response.body = body.to_vec();
    }
    Some(response)
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let size = find(rest, b"\r\n").and_then(|end| {
            let text = std::str::from_utf8(rest.get(..end)?).ok()?;
            let size = usize::from_str_radix(text.split(';').next()?, 16).ok()?;
            Some((size, end + 2))
        });
        match size {
            Some((0, _)) => return (body, true),
            Some((size, start)) => match rest.get(start..start + size) {
                Some(data) => {
                    body.extend_from_slice(data);
                    rest = rest.get(start + size + 2..).unwrap_or_default();
                }
                None => {
                    body.extend_from_slice(rest.get(start..).unwrap_or_default());
                    return (body, false);
                }
            },
            None => return (body, false),
        }
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_read() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let response = parse(chunked).unwrap();
        assert_eq!(
            (response.text().as_str(), response.complete),
            ("abcde", true)
        );
        let cut = parse(chunked.get(..60).unwrap()).unwrap();
        assert!(!cut.complete);
        let plain = parse(b"HTTP/1.1 404 X\r\nA: b\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        assert_eq!((plain.status, plain.header("a")), (404, Some("b")));
        assert!(plain.complete);
    }
}
