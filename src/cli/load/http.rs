//! A client of HTTP/1.1 that costs little: whoever measures a server on its own machine takes from it what the client uses. Requests are bytes that
//! were put together before, several may be under way on one connection, and of an answer only the status, the length and the body are read.

use std::future::pending;
use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::limits::{LOAD_HEAD_BYTES_MAX, LOAD_RESPONSE_BYTES_MAX};

/// Bytes that are asked for at once.
const READ_BYTES: usize = 16 << 10;

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    inbox: Inbox,
}

/// An answer; its body is read through [`Connection::body`].
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// How long to wait before the next try, if the server says so.
    pub retry_after: Option<Duration>,
    place: Place,
}

/// Where a body lies: as it came, or put together from its chunks.
#[derive(Clone, Copy, Debug)]
enum Place {
    Buffer { from: usize, to: usize },
    Joined,
}

impl Connection {
    /// Connects, without delaying small packets.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, inbox: Inbox::default() })
    }

    /// Sends requests.
    pub async fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.stream.write_all(requests).await
    }

    /// The next answer. The one before is gone.
    pub async fn receive(&mut self) -> io::Result<Response> {
        self.inbox.response(&mut self.stream).await
    }

    /// Sends one long request and reads the answer, which may begin before the request has ended.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        let (mut from, mut to) = self.stream.split();
        let sent = async {
            to.write_all(request).await?;
            pending::<io::Result<Response>>().await
        };
        tokio::select! {
            biased;
            received = self.inbox.response(&mut from) => received,
            failed = sent => failed,
        }
    }

    /// The body of the answer that was read last.
    pub fn body(&self, response: &Response) -> &[u8] {
        match response.place {
            Place::Buffer { from, to } => self.inbox.buffer.get(from..to).unwrap_or_default(),
            Place::Joined => &self.inbox.joined,
        }
    }
}

/// What has come in and is not used up.
#[derive(Debug, Default)]
struct Inbox {
    buffer: Vec<u8>,
    /// Up to here the buffer is used up.
    used: usize,
    /// A body that came in chunks.
    joined: Vec<u8>,
}

/// What of a head matters here.
struct Head {
    len: usize,
    status: u16,
    retry_after: Option<Duration>,
    length: Length,
}

enum Length {
    Bytes(usize),
    Chunks,
}

fn malformed(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

impl Inbox {
    async fn response(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Response> {
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
        loop {
            let head = loop {
                if let Some(head) = parse_head(self.buffer.get(self.used..).unwrap_or_default())? {
                    break head;
                }
                self.more(from).await?;
            };
            self.used += head.len;
            let place = match head.length {
                Length::Bytes(length) => {
                    let (begin, end) = (self.used, self.used + length);
                    while self.buffer.len() < end {
                        self.more(from).await?;
                    }
                    self.used = end;
                    Place::Buffer { from: begin, to: end }
                }
                Length::Chunks => {
                    self.join_chunks(from).await?;
                    Place::Joined
                }
            };
            // An interim answer is followed by the one that counts.
            if head.status >= 200 {
                return Ok(Response { status: head.status, retry_after: head.retry_after, place });
            }
        }
    }

    async fn more(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        if self.buffer.len() - self.used > LOAD_RESPONSE_BYTES_MAX {
            return Err(malformed("an answer longer than any"));
        }
        self.buffer.reserve(READ_BYTES);
        match from.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn join_chunks(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        self.joined.clear();
        loop {
            let line = self.line(from).await?;
            let digits = self.buffer.get(self.used..line).unwrap_or_default();
            let digits = digits.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let length = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
            let length =
                length.filter(|length| self.joined.len() + length <= LOAD_RESPONSE_BYTES_MAX).ok_or_else(|| malformed("a chunk's length"))?;
            self.used = line + 2;
            if length == 0 {
                break;
            }
            while self.buffer.len() < self.used + length + 2 {
                self.more(from).await?;
            }
            self.joined.extend_from_slice(self.buffer.get(self.used..self.used + length).unwrap_or_default());
            self.used += length + 2;
            // Long bodies go by; what is used up makes room.
            if self.used > self.buffer.len() / 2 {
                self.buffer.drain(..self.used);
                self.used = 0;
            }
        }
        // Trailers, up to an empty line.
        loop {
            let line = self.line(from).await?;
            let empty = line == self.used;
            self.used = line + 2;
            if empty {
                return Ok(());
            }
        }
    }

    /// Where the line that begins here ends.
    async fn line(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        loop {
            let unread = self.buffer.get(self.used..).unwrap_or_default();
            if let Some(at) = unread.windows(2).position(|pair| pair == b"\r\n") {
                return Ok(self.used + at);
            }
            if unread.len() > LOAD_HEAD_BYTES_MAX {
                return Err(malformed("a line without an end"));
            }
            self.more(from).await?;
        }
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > LOAD_HEAD_BYTES_MAX { Err(malformed("a head without an end")) } else { Ok(None) };
    };
    let mut lines = bytes.get(..end).unwrap_or_default().split(|byte| *byte == b'\n');
    let status = lines.next().unwrap_or_default();
    let digits = status.strip_prefix(b"HTTP/1.1 ").or_else(|| status.strip_prefix(b"HTTP/1.0 ")).and_then(|rest| rest.get(..3));
    let status: u16 = digits.and_then(number).ok_or_else(|| malformed("not HTTP/1"))?;
    let (mut length, mut retry_after) = (None, None);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Err(malformed("a header without a colon")) };
        let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default().trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(Length::Bytes(number(value).ok_or_else(|| malformed("content-length"))?));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") && value.eq_ignore_ascii_case(b"chunked") {
            length = Some(Length::Chunks);
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            retry_after = number(value).map(Duration::from_secs);
        }
    }
    let bodiless = status < 200 || status == 204 || status == 304;
    let length = match length {
        _ if bodiless => Length::Bytes(0),
        Some(length) => length,
        None => return Err(malformed("an answer that ends with its connection")),
    };
    Ok(Some(Head { len: end + 4, status, retry_after, length }))
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl AsyncRead for Trickle<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let (now, later) = self.0.split_at(self.0.len().min(self.1));
            buffer.put_slice(now);
            self.0 = later;
            std::task::Poll::Ready(Ok(()))
        }
    }

    /// Status, seconds to wait, body.
    type Seen = Result<(u16, Option<u64>, String), ErrorKind>;

    fn read(bytes: &[u8], step: usize) -> Vec<Seen> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (mut inbox, mut from, mut seen) = (Inbox::default(), Trickle(bytes, step), Vec::new());
        loop {
            match runtime.block_on(inbox.response(&mut from)) {
                Ok(response) => {
                    let body = match response.place {
                        Place::Buffer { from, to } => &inbox.buffer[from..to],
                        Place::Joined => &inbox.joined,
                    };
                    seen.push(Ok((response.status, response.retry_after.map(|wait| wait.as_secs()), String::from_utf8_lossy(body).into_owned())));
                }
                Err(error) => {
                    seen.push(Err(error.kind()));
                    return seen;
                }
            }
        }
    }

    #[test]
    fn answers_come_in_pieces_and_several_at_once() {
        let stream = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello\
            HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length:0\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n";
        for step in [1, 2, 7, 64, 4_096] {
            let expected = [
                Ok((200, None, "hello".to_owned())),
                Ok((503, Some(7), String::new())),
                Ok((200, None, "abc0123456789".to_owned())),
                Ok((204, None, String::new())),
                Err(ErrorKind::UnexpectedEof),
            ];
            assert_eq!(read(stream, step), expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for stream in [
            &b"SMTP ready\r\n\r\n"[..],
            b"HTTP/1.1 2x0 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert_eq!(read(stream, 16), [Err(ErrorKind::InvalidData)], "{}", String::from_utf8_lossy(stream));
        }
        assert_eq!(read(&[b'a'; 100_000], 4_096), [Err(ErrorKind::InvalidData)]);
    }
}
