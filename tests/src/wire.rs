//! HTTP/1.1 by hand: what no client would send, over one connection that is kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request as its bytes will be.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// The verb.
    pub verb: String,
    /// Path and query, as they are sent.
    pub path: String,
    /// Names and values; host and content length are added.
    pub headers: Vec<(String, String)>,
    /// The body; `None` sends neither body nor content length.
    pub body: Option<Vec<u8>>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The status.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A connection, made when it is needed.
#[derive(Debug)]
pub struct Wire {
    address: String,
    patience: Duration,
    stream: Option<BufReader<TcpStream>>,
}

impl Wire {
    /// A connection to `127.0.0.1:2583` or the like. An answer that takes longer than `patience` is an error.
    #[must_use]
    pub fn new(address: &str, patience: Duration) -> Self {
        Self { address: address.to_owned(), patience, stream: None }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// What happened instead of an answer.
    pub fn send(&mut self, sent: &Sent) -> Result<Received, String> {
        let kept = self.stream.is_some();
        let mut outcome = self.exchange(sent);
        // A connection that was kept may have been closed meanwhile.
        if kept && matches!(&outcome, Err(error) if error.kind() != std::io::ErrorKind::WouldBlock) {
            self.stream = None;
            outcome = self.exchange(sent);
        }
        if outcome.is_err() {
            self.stream = None;
        }
        outcome.map_err(|error| error.to_string())
    }

    fn exchange(&mut self, sent: &Sent) -> std::io::Result<Received> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.patience))?;
                stream.set_write_timeout(Some(self.patience))?;
                self.stream.insert(BufReader::new(stream))
            }
        };
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", sent.verb, sent.path, self.address);
        for (name, value) in &sent.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &sent.body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(sent.body.as_deref().unwrap_or_default());
        stream.get_mut().write_all(&bytes)?;
        let received = receive(stream, sent.verb == "HEAD")?;
        if received.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.stream = None;
        }
        Ok(received)
    }
}

fn receive(stream: &mut BufReader<TcpStream>, head: bool) -> std::io::Result<Received> {
    let broken = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let status = line(stream)?;
    let status = status.split(' ').nth(1).and_then(|text| text.parse().ok());
    let mut received = Received { status: status.ok_or_else(|| broken("no status"))?, ..Received::default() };
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken("no header"))?;
        received.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if head || matches!(received.status, 101 | 204 | 304) {
        return Ok(received);
    }
    if received.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        loop {
            let size = usize::from_str_radix(line(stream)?.trim(), 16).map_err(|_| broken("no chunk"))?;
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk)?;
            chunk.truncate(size);
            received.body.extend(chunk);
            if size == 0 {
                return Ok(received);
            }
        }
    }
    let length = received.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    received.body = vec![0; length];
    stream.read_exact(&mut received.body)?;
    Ok(received)
}

fn line(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    stream.read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
