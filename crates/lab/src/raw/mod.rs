//! HTTP/1.1 as bytes, for measuring what stands between: a client and a server that cost next to nothing themselves.
//!
//! Both share one core in `make bench-peers`, so a library's allocations and tasks would be part of every figure. Messages are
//! framed by `content-length` or in chunks and read whole; no TLS, no pipelining, no upgrade.

pub mod load;
pub mod mock;
mod pace;
mod watch;

use std::io;
use std::ops::Range;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// How many bytes are read at a time at most.
const READ: usize = 64 * 1024;

/// Reads one message after the other from a connection.
#[derive(Debug, Default)]
struct Reader {
    buffer: Vec<u8>,
    /// The body of the latest message, within `buffer`.
    body: Range<usize>,
}

/// The parts of a message's head that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    /// The status of an answer; 0 for a request.
    status: u16,
    /// Whether the sender closes the connection after it.
    closes: bool,
    framing: Framing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Reader {
    /// The next message, read to its end; `None` if the connection was closed before it began.
    async fn next(&mut self, stream: &mut TcpStream) -> io::Result<Option<Head>> {
        self.buffer.drain(..self.body.end);
        self.body = 0..0;
        let start = loop {
            match find(&self.buffer, b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if self.fill(stream).await? => {}
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        let head = Head::parse(self.buffer.get(..start).unwrap_or_default());
        let end = loop {
            let end = match head.framing {
                Framing::Length(length) => Some(start + length),
                Framing::Chunked => end_of_chunks(&self.buffer, start),
            };
            match end {
                Some(end) if end <= self.buffer.len() => break end,
                _ if self.fill(stream).await? => {}
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        self.body = start..end;
        Ok(Some(head))
    }

    /// The body of the latest message, chunks and all.
    fn body(&self) -> &[u8] {
        self.buffer.get(self.body.clone()).unwrap_or_default()
    }

    /// Reads more; `false` at the end of the stream.
    async fn fill(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        self.buffer.reserve(READ);
        Ok(stream.read_buf(&mut self.buffer).await? > 0)
    }
}

impl Head {
    fn parse(head: &[u8]) -> Head {
        let mut lines = head.split(|byte| *byte == b'\n');
        let mut parsed = Head {
            status: lines.next().map(status).unwrap_or_default(),
            closes: false,
            framing: Framing::Length(0),
        };
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length") {
                parsed.framing = Framing::Length(number(value, 10).unwrap_or(0));
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                parsed.framing = Framing::Chunked;
            } else if name.eq_ignore_ascii_case(b"connection") {
                parsed.closes = value.eq_ignore_ascii_case(b"close");
            }
        }
        parsed
    }
}

/// The status in the first line of an answer; 0 for that of a request.
fn status(line: &[u8]) -> u16 {
    let code = line
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..5));
    let code = code.and_then(|code| number(code, 10));
    code.and_then(|code| u16::try_from(code).ok())
        .unwrap_or_default()
}

fn number(text: &[u8], radix: u32) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Where the chunks that begin at `start` end, the last empty one and its empty line included; `None` if more has to be read.
fn end_of_chunks(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let rest = bytes.get(at..)?;
        let line = find(rest, b"\r\n")?;
        let size = rest.get(..line)?.split(|byte| *byte == b';').next()?;
        let size = number(size.trim_ascii(), 16)?;
        at += line + 2 + size + 2;
        if size == 0 {
            return (at <= bytes.len()).then_some(at);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn messages_are_read_to_their_end() {
        let sent: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nYes.\
            HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n\
            POST / HTTP/1.1\r\nhost: x\r\n\r\n";
        let runtime = pointsman_cli::runtime().unwrap();
        for piece in [1, 7, sent.len()] {
            let seen = runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let writer = tokio::spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    for part in sent.chunks(piece) {
                        stream.write_all(part).await.unwrap();
                    }
                });
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut reader, mut seen) = (Reader::default(), Vec::new());
                while let Some(head) = reader.next(&mut stream).await.unwrap() {
                    let body = String::from_utf8_lossy(reader.body()).into_owned();
                    seen.push((head.status, head.closes, body));
                }
                writer.await.unwrap();
                seen
            });
            let wanted = [
                (200, false, "Yes.".to_owned()),
                (503, true, "3;x=y\r\nabc\r\n0\r\n\r\n".to_owned()),
                (0, false, String::new()),
            ];
            assert_eq!(seen, wanted, "{piece}");
        }
    }
}
